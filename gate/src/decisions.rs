//! Decisions that are kept: whoever reads the same events under an equal access is not decided about again.
//!
//! When a thousand sessions fall behind together, each is fed by itself, and most of them may see the same. Conditions
//! are evaluated once for all of them.

use crate::decision::{Access, Facts, Permitted, Withheld};

/// Accesses that are remembered beside each other; those beyond are decided each time.
const ACCESSES: usize = 16;

/// What was decided about the events of one list that never changes, by their places in it.
#[derive(Debug, Default)]
pub struct Decisions {
    of: Vec<Decided>,
}

/// What was decided under one access.
#[derive(Debug)]
pub struct Decided {
    access: Access,
    known: Box<[Option<Result<(), Withheld>>]>,
}

impl Decisions {
    /// Those of an equal access, about so many events. `None` where asking is no dearer than remembering, where the time
    /// of the decision counts, or where too many others are remembered: then [`Access::admit`] decides.
    pub fn under(&mut self, access: &Access, events: usize) -> Option<&mut Decided> {
        if !access.is_conditional() || access.reads_now() {
            return None;
        }
        let at = match self.of.iter().position(|decided| decided.access == *access) {
            Some(at) => at,
            None if self.of.len() == ACCESSES => return None,
            None => {
                self.of.push(Decided { access: access.clone(), known: vec![None; events].into() });
                self.of.len() - 1
            }
        };
        self.of.get_mut(at)
    }
}

impl Decided {
    /// Decides about the event at this place as [`Access::admit`] does. Its topic and tenant are looked at each time; what
    /// the condition said of it is remembered.
    pub fn admit<'a, E: Facts>(&'a mut self, at: usize, event: &'a E) -> Result<Permitted<'a, E>, Withheld> {
        let Self { access, known } = self;
        let Some(known) = known.get_mut(at) else { return access.admit(event) };
        access.admit_by(event, |rule| *known.get_or_insert_with(|| rule.decide(event)))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use super::*;
    use crate::content::Content;
    use crate::rule::Rule;
    use crate::{Claims, Principal, Scope};

    /// An event that counts how often it is looked into.
    struct Event<'a> {
        tenant: &'static str,
        content: Content<'a>,
        looks: Cell<usize>,
    }

    impl<'a> Event<'a> {
        fn of(tenant: &'static str, text: &'a str) -> Self {
            Self { tenant, content: Content::new(text, None, &(), 0), looks: Cell::new(0) }
        }
    }

    impl Facts for Event<'_> {
        fn topic(&self) -> &'static str {
            "orders"
        }

        fn tenant(&self) -> &str {
            self.tenant
        }

        fn content(&self) -> Option<&Content<'_>> {
            self.looks.set(self.looks.get() + 1);
            Some(&self.content)
        }
    }

    fn access(tenant: &str, condition: &str) -> Access {
        let principal = Principal {
            tenant: tenant.into(),
            subject: "ada".into(),
            roles: Arc::new([]),
            issued_at: None,
            expires: 1,
            ends: 1,
            token_id: None,
            claims: Claims::default(),
        };
        let condition = Arc::new(condition.parse().expect("a condition"));
        let rule = Rule::of([Some(&condition)].into_iter(), &principal, "orders").expect("it can hold");
        Access::grant("orders".into(), "orders".into(), Scope::Tenant(tenant.into()), rule)
    }

    #[test]
    fn an_equal_access_is_not_asked_again() {
        let events = [Event::of("acme", r#"{"n":1}"#), Event::of("acme", r#"{"n":9}"#)];
        let mut decisions = Decisions::default();
        for _ in 0..3 {
            let access = access("acme", "event.n > 5");
            let decided = decisions.under(&access, events.len()).expect("remembered");
            assert_eq!(decided.admit(0, &events[0]).err(), Some(Withheld::Condition));
            assert!(decided.admit(1, &events[1]).is_ok());
        }
        assert!(events.iter().all(|event| event.looks.get() == 1));
    }

    #[test]
    fn another_access_and_another_tenant_have_decisions_of_their_own() {
        let event = Event::of("acme", r#"{"n":9}"#);
        let mut decisions = Decisions::default();
        let (more, less) = (access("acme", "event.n > 5"), access("acme", "event.n < 5"));
        assert!(decisions.under(&more, 1).expect("remembered").admit(0, &event).is_ok());
        assert_eq!(decisions.under(&less, 1).expect("remembered").admit(0, &event).err(), Some(Withheld::Condition));
        let foreign = access("globex", "event.n > 5");
        assert_eq!(decisions.under(&foreign, 1).expect("remembered").admit(0, &event).err(), Some(Withheld::Tenant));
        // What was let through for one tenant's event says nothing of another tenant's.
        let other = Event::of("globex", r#"{"n":9}"#);
        assert_eq!(decisions.under(&more, 1).expect("remembered").admit(0, &other).err(), Some(Withheld::Tenant));
        assert!(decisions.under(&more, 1).expect("remembered").admit(7, &event).is_ok(), "a place beyond is decided");
    }

    #[test]
    fn what_the_time_decides_is_decided_each_time() {
        let mut decisions = Decisions::default();
        for condition in ["now > timestamp(event.until)", "event.n > 1 || now < timestamp(event.until)"] {
            assert!(decisions.under(&access("acme", condition), 1).is_none(), "{condition}");
        }
        assert!(decisions.under(&access("acme", "event.now == 1"), 1).is_some());
        for n in 0..ACCESSES {
            decisions.under(&access("acme", &format!("event.n == {n}.5")), 1);
        }
        assert!(decisions.under(&access("acme", "event.n == -1"), 1).is_none(), "bounded");
    }
}

//! The one decision that every event passes before a page may see it.

use std::sync::Arc;

use crate::condition::Condition;
use crate::content::{Content, Extracted, Path};
use crate::rule::{IndexPlan, Rule};

/// What the decision reads of an event.
pub trait Facts {
    /// The physical topic it lies on.
    fn topic(&self) -> &str;

    /// The tenant it belongs to, as its topic's one source says; empty on a public topic.
    fn tenant(&self) -> &str;

    /// What its feed extracted at a place, if it did: spares looking there again.
    fn extracted(&self, _path: &Path) -> Option<Extracted<'_>> {
        None
    }

    /// What conditions read of it: made once per event, and only when it is asked for. Without it, conditions fail.
    fn content(&self) -> Option<&Content<'_>> {
        None
    }
}

/// Leave to read a topic: made by [`Policy::subscribe`](crate::Policy::subscribe) only, and bound to what
/// was granted. Two that are equal let the same events through, so they can share a view.
///
/// ```compile_fail,E0451
/// let forged = tidegate_gate::Access { granted: unimplemented!() };
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Access {
    granted: Arc<Granted>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Granted {
    topic: Arc<str>,
    physical: Arc<str>,
    scope: Scope,
    rule: Rule,
}

/// Whose events of the topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// This tenant's.
    Tenant(Arc<str>),
    /// Everyone's: the topic is configured as public.
    Public,
}

/// Why an event is not for this reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Withheld {
    /// It lies on another topic.
    Topic,
    /// It belongs to another tenant, or to none.
    Tenant,
    /// No grant's condition holds for it.
    Condition,
    /// No grant's condition holds for it, and some could not be evaluated.
    Failed,
}

/// An event that a reader with a certain [`Access`] may see. Nothing but [`Access::admit`] makes one, and
/// [`Decided::admit`](crate::Decided::admit), which remembers what it said.
///
/// ```compile_fail,E0451
/// # fn forge<E>(event: &E, access: &tidegate_gate::Access) {
/// let forged = tidegate_gate::Permitted { event, access };
/// # }
/// ```
#[derive(Debug)]
pub struct Permitted<'a, E> {
    event: &'a E,
    access: &'a Access,
}

impl Access {
    pub(crate) fn grant(topic: Arc<str>, physical: Arc<str>, scope: Scope, rule: Rule) -> Self {
        Self { granted: Arc::new(Granted { topic, physical, scope, rule }) }
    }

    /// Decides about one event: the tenant, and the whole condition. An index only spares asking.
    ///
    /// Without a condition, and with one that is only keys, it allocates nothing.
    #[inline]
    pub fn admit<'a, E: Facts>(&'a self, event: &'a E) -> Result<Permitted<'a, E>, Withheld> {
        self.admit_by(event, |rule| rule.decide(event))
    }

    /// The same, with what `decide` says of the condition.
    #[inline]
    pub(crate) fn admit_by<'a, E: Facts>(
        &'a self,
        event: &'a E,
        decide: impl FnOnce(&Rule) -> Result<(), Withheld>,
    ) -> Result<Permitted<'a, E>, Withheld> {
        if event.topic() != &*self.granted.physical {
            return Err(Withheld::Topic);
        }
        match &self.granted.scope {
            Scope::Tenant(tenant) if event.tenant() != &**tenant => Err(Withheld::Tenant),
            Scope::Tenant(_) | Scope::Public => {
                decide(&self.granted.rule)?;
                Ok(Permitted { event, access: self })
            }
        }
    }

    /// Whether a condition reads the time: then what it said of an event may be otherwise later.
    pub fn reads_now(&self) -> bool {
        self.granted.rule.reads_now()
    }

    /// How the events that it may let through can be found among its tenant's.
    pub fn index(&self) -> IndexPlan {
        self.granted.rule.index()
    }

    /// The conditions that could not be decided about for an event that was withheld as [`Withheld::Failed`].
    pub fn undecided<'a>(&'a self, event: &impl Facts) -> impl Iterator<Item = &'a Arc<Condition>> {
        self.granted.rule.undecided(event)
    }

    /// Whether the same conditions decide as for another one, with whatever claims.
    pub fn has_conditions_of(&self, other: &Self) -> bool {
        self.granted.rule.is_like(&other.granted.rule)
    }

    /// Whether it depends on what events say.
    pub fn is_conditional(&self) -> bool {
        self.granted.rule != Rule::All
    }

    /// The logical topic.
    pub fn topic(&self) -> &Arc<str> {
        &self.granted.topic
    }

    /// The topic on the log.
    pub fn physical(&self) -> &Arc<str> {
        &self.granted.physical
    }

    /// Whose events.
    pub fn scope(&self) -> &Scope {
        &self.granted.scope
    }
}

impl<'a, E> Permitted<'a, E> {
    /// The event.
    pub fn event(&self) -> &'a E {
        self.event
    }

    /// Whose yes it was: the event may go to views with an equal access, and to no other.
    pub fn access(&self) -> &'a Access {
        self.access
    }
}

impl<E> Clone for Permitted<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Permitted<'_, E> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Event(&'static str, &'static str);

    impl Facts for Event {
        fn topic(&self) -> &str {
            self.0
        }

        fn tenant(&self) -> &str {
            self.1
        }
    }

    fn access(scope: Scope) -> Access {
        Access::grant("orders".into(), "orders.v1".into(), scope, Rule::All)
    }

    #[test]
    fn tenants_are_compared_byte_for_byte() {
        let acme = access(Scope::Tenant("acme".into()));
        assert!(acme.admit(&Event("orders.v1", "acme")).is_ok());
        for tenant in ["", "Acme", "acme ", "acm", "acme2", "*", "globex"] {
            assert_eq!(acme.admit(&Event("orders.v1", tenant)).unwrap_err(), Withheld::Tenant, "{tenant}");
        }
    }

    #[test]
    fn another_topic_is_withheld_even_if_public() {
        let all = access(Scope::Public);
        assert!(all.admit(&Event("orders.v1", "")).is_ok());
        assert_eq!(all.admit(&Event("orders", "")).unwrap_err(), Withheld::Topic);
    }

    #[test]
    fn equal_grants_share_a_view() {
        assert_eq!(access(Scope::Tenant("acme".into())), access(Scope::Tenant("acme".into())));
        assert_ne!(access(Scope::Tenant("acme".into())), access(Scope::Public));
    }
}

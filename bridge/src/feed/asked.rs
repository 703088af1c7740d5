//! What readers of history are asked for: in turn by tenant, each no faster than its account allows.
//!
//! A tenant with ten thousand subscriptions that are behind waits in one line; another's one subscription comes after at
//! most one part for it. A tenant that owes for what was read for it is passed over until it has paid: its readers fall
//! further behind, and nobody else's do.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use tidegate_gate::{Account, Place, RetryAfter};
use tidegate_protocol::timestamp::Millis;

use crate::turns::Turns;

/// How long a line may become before those are looked for who are not there any more.
const FEW: usize = 64;

/// Questions of subscriptions, in the order in which they are to be answered.
#[derive(Debug)]
pub(super) struct Asked<J> {
    turns: Turns<Line, Question<J>>,
    /// How many were left in each long line when it was last cleaned.
    left: HashMap<Line, usize>,
}

/// A tenant's line: one for what is read, one for what is only looked up and costs nothing.
type Line = (Kind, Arc<str>);

/// What a question costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// An answer that is looked up.
    Lookup,
    /// Bytes that are read, and charged to the tenant.
    Read,
}

/// Something that a subscription waits for.
#[derive(Debug)]
struct Question<J> {
    kind: Kind,
    account: Arc<Account>,
    /// Whose: without it nobody waits for the answer.
    place: Weak<Place>,
    job: J,
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Next<J> {
    /// This, on that account.
    Do(J, Arc<Account>),
    /// Nothing before this time, unless something new is asked.
    Wait(Millis),
    /// Nothing, until something is asked.
    Nothing,
}

impl<J> Default for Asked<J> {
    fn default() -> Self {
        Self { turns: Turns::default(), left: HashMap::new() }
    }
}

impl<J> Asked<J> {
    pub(super) fn push(&mut self, kind: Kind, place: &Arc<Place>, job: J) {
        let account = Arc::clone(place.account());
        let line = (kind, Arc::clone(account.tenant()));
        self.turns.push(&line, Question { kind, account, place: Arc::downgrade(place), job });
        // Subscriptions that come and go while their tenant is passed over must not gather here.
        let waiting = self.turns.waiting(&line);
        if waiting > FEW && waiting > 2 * self.left.get(&line).copied().unwrap_or(0) {
            self.turns.retain(&line, |question| question.place.strong_count() > 0);
            self.left.insert(line.clone(), self.turns.waiting(&line));
        }
    }

    pub(super) fn next(&mut self, now: Millis) -> Next<J> {
        let mut soonest = self.turns.unpark(now);
        while let Some(question) = self.turns.front() {
            if question.place.strong_count() == 0 {
                self.turns.pop();
                continue;
            }
            if question.kind == Kind::Read
                && let Err(RetryAfter(wait)) = question.account.may_replay(now)
            {
                let until = now.saturating_add(i64::try_from(wait).unwrap_or(i64::MAX).max(1));
                self.turns.park(until);
                soonest = Some(soonest.map_or(until, |soonest| soonest.min(until)));
                continue;
            }
            let Some(Question { account, job, .. }) = self.turns.pop() else { break };
            return Next::Do(job, account);
        }
        self.left.retain(|line, _| self.turns.waiting(line) > FEW);
        soonest.map_or(Next::Nothing, Next::Wait)
    }
}

#[cfg(test)]
mod tests {
    use tidegate_gate::{Accounts, Rate, TenantLimitTable, TenantLimits};

    use super::*;

    /// `acme` may have a thousand bytes a second; who else there is, as much as it likes.
    fn accounts() -> Arc<Accounts> {
        let replay_bytes = Some(Rate { per_second: 1000, burst: 1000 });
        let own = TenantLimits { replay_bytes, ..TenantLimits::default() };
        let table = TenantLimitTable { of: [("acme".into(), own)].into(), ..TenantLimitTable::default() };
        Accounts::new(table, |_, _, _| {})
    }

    fn place(accounts: &Accounts, tenant: &str) -> Arc<Place> {
        Arc::new(accounts.of(&tenant.into(), 0).place(0).unwrap())
    }

    fn done<J>(next: Next<J>) -> J {
        match next {
            Next::Do(job, _) => job,
            Next::Wait(until) => panic!("waits until {until}"),
            Next::Nothing => panic!("nothing"),
        }
    }

    #[test]
    fn one_of_another_tenant_comes_after_one() {
        let accounts = accounts();
        let (storm, quiet) = (place(&accounts, "storm"), place(&accounts, "quiet"));
        let mut asked = Asked::default();
        for n in 0..10_000 {
            asked.push(Kind::Read, &storm, n);
        }
        asked.push(Kind::Read, &quiet, -1);
        assert_eq!([done(asked.next(0)), done(asked.next(0)), done(asked.next(0))], [0, -1, 1]);
    }

    #[test]
    fn who_owes_is_passed_over_until_it_has_paid_and_nobody_else_is() {
        let accounts = accounts();
        let (acme, other) = (place(&accounts, "acme"), place(&accounts, "other"));
        let mut asked = Asked::default();
        for n in 0..3 {
            asked.push(Kind::Read, &acme, n);
            asked.push(Kind::Read, &other, 100 + n);
        }
        let Next::Do(0, account) = asked.next(0) else { panic!("the first") };
        account.replayed(5_000, 0);
        assert_eq!([done(asked.next(0)), done(asked.next(0)), done(asked.next(0))], [100, 101, 102]);
        let Next::Wait(until) = asked.next(10) else { panic!("acme owes") };
        assert!((4_000..4_010).contains(&until), "{until}");
        asked.push(Kind::Lookup, &acme, 7);
        assert_eq!(done(asked.next(10)), 7, "what costs nothing need not wait");
        assert!(matches!(asked.next(until - 1), Next::Wait(_)));
        assert_eq!(done(asked.next(until)), 1);
        assert!(matches!(asked.next(until), Next::Do(2, _)));
        assert!(matches!(asked.next(until), Next::Nothing));
    }

    #[test]
    fn nothing_is_read_for_who_is_gone_and_nothing_gathers() {
        let accounts = accounts();
        let mut asked = Asked::default();
        let here = place(&accounts, "acme");
        asked.push(Kind::Read, &here, -1);
        assert_eq!(done(asked.next(0)), -1);
        here.account().replayed(1 << 20, 0);
        for n in 0..100_000 {
            let gone = place(&accounts, "acme");
            asked.push(Kind::Read, &gone, n);
            assert!(matches!(asked.next(0), Next::Wait(_)));
            drop(gone);
            assert!(asked.turns.waiting(&(Kind::Read, "acme".into())) <= FEW + 1);
        }
        asked.push(Kind::Read, &here, -2);
        let Next::Wait(until) = asked.next(0) else { panic!("acme owes") };
        assert_eq!(done(asked.next(until)), -2);
    }
}

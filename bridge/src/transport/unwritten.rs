//! Sessions that rounds have put bytes into the outboxes of, and whose sockets have not been written to yet.
//!
//! A write costs microseconds, and one tenant may have ten thousand sessions that want the same event. So sockets are
//! written in turn by tenant, a few at a time, and between them the shard takes what else has come: an event of another
//! tenant waits for a few writes of each, not for all. Who has not been written to meanwhile gets more with one write.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use tokio::sync::Notify;

use crate::fanout::SessionKey;
use crate::turns::Turns;

/// Sockets of one tenant that are written to before another's have their turn.
const TOGETHER: usize = 16;

/// Sockets that are written to before the shard looks for other things to do.
pub(super) const A_FEW: usize = 256;

/// Events that may be taken while sockets wait. Then all are written to first: the feed has to wait, and with it the
/// log, rather than every session's credit run out.
const AHEAD: usize = 8_192;

/// Sessions to be written to, by tenant.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    sessions: RefCell<Turns<Arc<str>, SessionKey>>,
    /// Events taken since the last time that nobody waited.
    taken: Cell<usize>,
    /// Somebody waits.
    pub(super) some: Notify,
}

impl Unwritten {
    /// These sessions of a tenant have to be written to.
    pub(super) fn add(&self, tenant: &Arc<str>, sessions: Vec<SessionKey>) {
        self.sessions.borrow_mut().extend(tenant, sessions);
    }

    /// So many events were taken.
    pub(super) fn took(&self, events: usize) {
        self.taken.set(self.taken.get() + events);
    }

    /// Whether more events may be taken before everybody is written to.
    pub(super) fn may_take(&self) -> bool {
        self.taken.get() < AHEAD
    }

    /// A few sessions whose turn it is: none when nobody waits.
    pub(super) fn next(&self) -> Vec<SessionKey> {
        let taken = self.sessions.borrow_mut().take(TOGETHER);
        if taken.is_empty() {
            self.taken.set(0);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    #[test]
    fn who_is_quiet_waits_for_a_few_of_each_other_tenant() {
        let mut keys: SlotMap<SessionKey, ()> = SlotMap::with_key();
        let unwritten = Unwritten::default();
        let storm: Vec<SessionKey> = (0..10_000).map(|_| keys.insert(())).collect();
        unwritten.add(&"storm".into(), storm.clone());
        assert_eq!(unwritten.next(), storm[..16]);
        // Another event comes while the first is being written.
        let quiet = keys.insert(());
        unwritten.add(&"quiet".into(), vec![quiet]);
        assert_eq!(unwritten.next(), storm[16..32]);
        assert_eq!(unwritten.next(), [quiet]);
        let rest: Vec<SessionKey> =
            std::iter::repeat_with(|| unwritten.next()).take_while(|it| !it.is_empty()).flatten().collect();
        assert_eq!(rest, storm[32..]);
    }

    #[test]
    fn no_more_is_taken_than_can_be_written() {
        let mut keys: SlotMap<SessionKey, ()> = SlotMap::with_key();
        let unwritten = Unwritten::default();
        unwritten.add(&"acme".into(), vec![keys.insert(())]);
        unwritten.took(AHEAD - 1);
        assert!(unwritten.may_take());
        unwritten.took(1);
        assert!(!unwritten.may_take());
        unwritten.next();
        assert!(!unwritten.may_take());
        assert!(unwritten.next().is_empty() && unwritten.may_take());
    }
}

//! The ledger's words and laws: what became of every delivery, and the equations that must hold.
//!
//! Nothing here repairs a count. A law that fails is reported as an [`Imbalance`] and shown in red.

use alloc::string::String;

use crate::json::write::Object;
use crate::json::{BadField, Fields, Value};

/// Defines [`Counts`] from one list of its members.
macro_rules! counts {
    ($($(#[doc = $doc:literal])* $field:ident),* $(,)?) => {
        /// Deliveries and happenings, counted since the node began.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Counts { $($(#[doc = $doc])* pub $field: u64),* }

        impl Counts {
            /// The members' names, as on the wire.
            pub const NAMES: &[&str] = &[$(stringify!($field)),*];

            /// Adds another node's, shard's or row's counts.
            pub fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
            }

            /// Writes the members that are not zero.
            pub fn write(&self, object: &mut Object<'_>) {
                for (name, count) in Self::NAMES.iter().zip([$(self.$field),*]) {
                    if count > 0 {
                        object.integer(name, count);
                    }
                }
            }

            /// Reads the members; absent ones are zero.
            pub fn read<V: Value>(fields: &Fields<'_, V>) -> Result<Self, BadField> {
                let mut counts = Self::default();
                for (name, count) in Self::NAMES.iter().zip([$(&mut counts.$field),*]) {
                    *count = fields.optional_integer(name)?.unwrap_or_default();
                }
                Ok(counts)
            }
        }
    };
}

counts! {
    /// Deliveries that entered an outbox.
    sent,
    /// Deliveries that the client reported it dispatched.
    received,
    /// Fate: handled.
    consumed,
    /// Fate: put on a dead-letter queue.
    dead_lettered,
    /// Fate: failed for the last time, and no dead letter was asked for.
    given_up,
    /// Fate: the session ended before it was settled.
    abandoned,
    /// Received and not settled: the size of a table, never a difference.
    in_flight,
    /// Attempts that threw, rejected or ran out of time.
    failed,
    /// Attempts made after a failed one.
    retried,
    /// Deliveries tried in another session.
    redelivered,
    /// Consumed without any listener of the type.
    unhandled,
    /// Taken by a socket of a transport that has no reports, and counted as consumed.
    unreported,
}

/// A law that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Imbalance {
    /// Law 1.
    #[error("received {received} but fates and in-flight come to {accounted}")]
    Deliveries {
        /// The left side.
        received: u64,
        /// The right side.
        accounted: u64,
    },
    /// Law 3.
    #[error("{records} records read but events, tombstones and quarantined come to {accounted}")]
    Records {
        /// The left side.
        records: u64,
        /// The right side.
        accounted: u64,
    },
}

impl Counts {
    /// Deliveries that reached a fate.
    pub fn fates(&self) -> u64 {
        self.consumed + self.dead_lettered + self.given_up + self.abandoned
    }

    /// Law 1: `received = consumed + dead_lettered + given_up + abandoned + in_flight`.
    pub fn law_1(&self) -> Result<(), Imbalance> {
        let accounted = self.fates() + self.in_flight;
        if self.received == accounted {
            Ok(())
        } else {
            Err(Imbalance::Deliveries { received: self.received, accounted })
        }
    }
}

/// What a node's live feed read of one topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// Records read.
    pub records: u64,
    /// Valid events among them.
    pub events: u64,
    /// Records with a null value.
    pub tombstones: u64,
    /// Records that are no valid event.
    pub quarantined: u64,
    /// Records between the feed and the end of the log, when last asked.
    pub lag: u64,
}

impl Reading {
    /// Law 3: `records = events + tombstones + quarantined`.
    pub fn law_3(&self) -> Result<(), Imbalance> {
        let accounted = self.events + self.tombstones + self.quarantined;
        if self.records == accounted { Ok(()) } else { Err(Imbalance::Records { records: self.records, accounted }) }
    }

    /// Adds another feed's reading.
    pub fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.events += other.events;
        self.tombstones += other.tombstones;
        self.quarantined += other.quarantined;
        self.lag += other.lag;
    }
}

/// The columns a subscriber of `$ledger` may group by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Column {
    /// On whose behalf.
    Tenant,
    /// Logical topic.
    Topic,
    /// Event type.
    Type,
    /// Named consumer; empty for unnamed subscriptions.
    Consumer,
}

impl Column {
    /// Every column, in the order in which rows are told apart.
    pub const ALL: [Self; 4] = [Self::Tenant, Self::Topic, Self::Type, Self::Consumer];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Topic => "topic",
            Self::Type => "type",
            Self::Consumer => "consumer",
        }
    }

    /// The column of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }
}

/// One row of the ledger: what it is about (in the columns grouped by), and its counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// Values of the grouped columns, in the order of [`Column::ALL`]; `None` where not grouped by.
    pub of: [Option<String>; 4],
    /// The counts.
    pub counts: Counts,
}

/// Sessions of a node by what they are doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sessions {
    /// Authenticated connections.
    pub open: u64,
    /// Of them, those out of credit.
    pub paused: u64,
    /// Of them, those with a subscription that is behind.
    pub behind: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laws() {
        let mut counts =
            Counts { received: 7, consumed: 3, given_up: 1, abandoned: 1, in_flight: 2, ..Counts::default() };
        assert_eq!(counts.law_1(), Ok(()));
        counts.in_flight = 1;
        assert_eq!(counts.law_1(), Err(Imbalance::Deliveries { received: 7, accounted: 6 }));
        let reading = Reading { records: 3, events: 1, tombstones: 1, quarantined: 1, lag: 9 };
        assert_eq!(reading.law_3(), Ok(()));
    }
}

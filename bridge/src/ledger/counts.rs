//! One shard's counts, by (tenant, topic, type, consumer).

use std::collections::HashMap;
use std::sync::Arc;

use tidegate_protocol::ledger::{self, Sessions};

/// Rows beyond which new event types of a topic are counted together, so that a publisher who invents types can't
/// grow a node's memory.
const MAX_ROWS: usize = 50_000;

/// The type under which they are counted.
const OTHER_TYPES: &str = "~other";

/// Names one row of a shard's counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowId(u32);

/// What a row is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RowKey {
    /// On whose behalf.
    pub tenant: Arc<str>,
    /// Logical topic.
    pub topic: Arc<str>,
    /// Event type.
    pub event_type: Arc<str>,
    /// Named consumer; empty for unnamed subscriptions.
    pub consumer: Arc<str>,
}

/// One shard's rows.
#[derive(Debug, Default)]
pub struct Counts {
    ids: HashMap<Arc<RowKey>, RowId>,
    keys: Vec<Arc<RowKey>>,
    values: Vec<ledger::Counts>,
}

/// A shard's rows between two inputs.
#[derive(Debug, Clone, Default)]
pub struct ShardSnapshot {
    /// The rows.
    pub rows: Vec<(Arc<RowKey>, ledger::Counts)>,
    /// The shard's sessions, by tenant.
    pub sessions: HashMap<Arc<str>, Sessions>,
}

impl Counts {
    /// The row of that key, made when new.
    pub fn row(&mut self, mut key: RowKey) -> RowId {
        if let Some(&id) = self.ids.get(&key) {
            return id;
        }
        if self.keys.len() >= MAX_ROWS && &*key.event_type != OTHER_TYPES {
            key.event_type = OTHER_TYPES.into();
            return self.row(key);
        }
        let id = RowId(self.keys.len() as u32);
        let key = Arc::new(key);
        self.ids.insert(Arc::clone(&key), id);
        self.keys.push(key);
        self.values.push(ledger::Counts::default());
        id
    }

    /// The counts of a row. `in_flight` stays zero here: it is the size of the sessions' tables.
    pub fn of(&mut self, row: RowId) -> &mut ledger::Counts {
        &mut self.values[row.0 as usize]
    }

    /// The rows now; `in_flight` calls back with what each session's table holds.
    pub fn snapshot(&self, in_flight: impl FnOnce(&mut dyn FnMut(RowId, u64))) -> Vec<(Arc<RowKey>, ledger::Counts)> {
        let mut counts = self.values.clone();
        in_flight(&mut |row, count| counts[row.0 as usize].in_flight += count);
        self.keys.iter().cloned().zip(counts).collect()
    }
}

//! Adds the snapshots of a node's shards and feed up. Nodes are added up by whoever reads them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tidegate_protocol::ledger::{Counts, Reading, Sessions};
use tidegate_protocol::timestamp::Millis;

use super::counts::{RowKey, ShardSnapshot};

/// A node's totals at one moment.
#[derive(Debug, Clone, Default)]
pub struct NodeSnapshot {
    /// The node's name.
    pub node: Arc<str>,
    /// Which life of it.
    pub incarnation: Arc<str>,
    /// When.
    pub at: Millis,
    /// The rows of all shards.
    pub rows: Vec<(Arc<RowKey>, Counts)>,
    /// What the feed read, by logical topic.
    pub topics: BTreeMap<Arc<str>, Reading>,
    /// Sessions by tenant.
    pub sessions: HashMap<Arc<str>, Sessions>,
}

/// Takes the shards' and the feed's newest snapshots.
#[derive(Debug)]
pub struct Hub {
    node: Arc<str>,
    incarnation: Arc<str>,
    shards: Mutex<Vec<ShardSnapshot>>,
    topics: Mutex<BTreeMap<Arc<str>, Reading>>,
}

impl Hub {
    /// A hub of so many shards.
    pub fn new(node: Arc<str>, incarnation: Arc<str>, shards: usize) -> Self {
        Self { node, incarnation, shards: Mutex::new(vec![ShardSnapshot::default(); shards]), topics: Mutex::default() }
    }

    /// A shard's newest snapshot.
    pub fn put_shard(&self, shard: usize, snapshot: ShardSnapshot) {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = shards.get_mut(shard) {
            *slot = snapshot;
        }
    }

    /// The feed's newest readings.
    pub fn put_topics(&self, topics: BTreeMap<Arc<str>, Reading>) {
        *self.topics.lock().unwrap_or_else(PoisonError::into_inner) = topics;
    }

    /// The sum.
    pub fn sum(&self, at: Millis) -> NodeSnapshot {
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows: HashMap<Arc<RowKey>, Counts> = HashMap::new();
        let mut sessions: HashMap<Arc<str>, Sessions> = HashMap::new();
        for shard in &*shards {
            for (key, counts) in &shard.rows {
                rows.entry(Arc::clone(key)).or_default().add(counts);
            }
            for (tenant, of) in &shard.sessions {
                let sum = sessions.entry(Arc::clone(tenant)).or_default();
                sum.open += of.open;
                sum.paused += of.paused;
                sum.behind += of.behind;
            }
        }
        NodeSnapshot {
            node: Arc::clone(&self.node),
            incarnation: Arc::clone(&self.incarnation),
            at,
            rows: rows.into_iter().collect(),
            topics: self.topics.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            sessions,
        }
    }
}

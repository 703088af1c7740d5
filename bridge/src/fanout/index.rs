//! The index: topic → tenant → type → views, and beside the types the views that are found by key ([`KeyIndex`]), so that
//! an event costs what it matches, not what is connected.

use std::collections::HashMap;
use std::sync::Arc;

use hashbrown::HashTable;
use tidegate_gate::Filter;
use tidegate_log::{Offsets, TopicId, TopicKey};

use super::keyed::KeyIndex;
use super::view::{ViewKey, ViewRef};
use crate::feed::{TopicSpec, name_hash};
use crate::ledger::{Counts, RowId, RowKey};

/// Types of one tenant and topic whose views are remembered.
const MAX_TYPES: usize = 1_024;

/// A physical topic that somebody in this shard wants.
#[derive(Debug)]
pub struct Topic {
    /// Physical name.
    pub physical: Arc<str>,
    /// Logical name.
    pub logical: Arc<str>,
    /// How its records are read.
    pub spec: Arc<TopicSpec>,
    /// Its identity; `None` while it does not exist.
    pub id: Option<TopicId>,
    /// The next offset to come of every partition.
    pub tail: Offsets,
    /// Rises whenever the tail moves.
    pub version: u64,
    /// Subscriptions to it, of any state.
    pub subscriptions: usize,
    /// When the last of them ended.
    pub idle_since: Option<i64>,
    tenants: HashTable<Tenant>,
}

/// One tenant's views of a topic.
#[derive(Debug)]
pub struct Tenant {
    name: Arc<str>,
    topic: Arc<str>,
    /// The views that no key finds events for, and what they want.
    views: HashMap<ViewRef, Filter>,
    types: HashTable<EventType>,
    keyed: KeyIndex,
}

/// One type of one tenant and topic.
#[derive(Debug)]
pub struct EventType {
    name: Arc<str>,
    /// Its ledger row for unnamed subscriptions.
    pub row: RowId,
    /// The views that want it, of those that no key finds events for.
    pub views: Vec<ViewRef>,
}

impl Topic {
    /// A topic of which nothing is known yet.
    pub fn new(spec: TopicSpec) -> Self {
        Self {
            physical: Arc::clone(&spec.physical),
            logical: Arc::clone(&spec.logical),
            spec: Arc::new(spec),
            id: None,
            tail: Offsets::new(),
            version: 0,
            subscriptions: 0,
            idle_since: None,
            tenants: HashTable::new(),
        }
    }

    /// The tenant, made when new.
    pub fn tenant(&mut self, name: &Arc<str>) -> &mut Tenant {
        let hash = name_hash(name);
        let topic = &self.logical;
        let make = || Tenant {
            name: Arc::clone(name),
            topic: Arc::clone(topic),
            views: HashMap::new(),
            types: HashTable::new(),
            keyed: KeyIndex::default(),
        };
        self.tenants.entry(hash, |t| t.name == *name, |t| name_hash(&t.name)).or_insert_with(make).into_mut()
    }

    /// Whether a tenant of this hash may be here: looks at some bits of it.
    pub fn may_have(&self, hash: u64) -> bool {
        self.tenants.find(hash, |_| true).is_some()
    }

    /// The tenant, if anybody of it wants this topic.
    pub fn find_tenant(&mut self, hash: u64, name: &str) -> Option<&mut Tenant> {
        self.tenants.find_mut(hash, |tenant| &*tenant.name == name)
    }
}

impl Tenant {
    /// Adds a view.
    pub fn add(&mut self, view: ViewRef, wants: &ViewKey) {
        if self.keyed.add(view, wants) {
            return;
        }
        for known in &mut self.types {
            if wants.filter.wants_type(&known.name) {
                known.views.push(view);
            }
        }
        self.views.insert(view, wants.filter.clone());
    }

    /// Takes a view out.
    pub fn remove(&mut self, view: ViewRef, wants: &ViewKey) {
        if self.keyed.remove(view, wants) {
            return;
        }
        self.views.remove(&view);
        for known in &mut self.types {
            known.views.retain(|other| *other != view);
        }
    }

    /// The type, with its ledger row and the views that want it; and the views that are found by key.
    pub fn event_type(&mut self, hash: u64, name: &str, counts: &mut Counts) -> (&EventType, &KeyIndex) {
        if self.types.len() >= MAX_TYPES && self.types.find(hash, |known| &*known.name == name).is_none() {
            // Rows outlive this; only the lookup is made anew.
            self.types.clear();
        }
        let make = || {
            let name: Arc<str> = name.into();
            let row = counts.row(RowKey {
                tenant: Arc::clone(&self.name),
                topic: Arc::clone(&self.topic),
                event_type: Arc::clone(&name),
                consumer: "".into(),
            });
            let views =
                self.views.iter().filter(|(_, filter)| filter.wants_type(&name)).map(|(view, _)| *view).collect();
            EventType { name, row, views }
        };
        let entry = self.types.entry(hash, |known| &*known.name == name, |known| name_hash(&known.name));
        (entry.or_insert_with(make).into_mut(), &self.keyed)
    }
}

/// The topics of one shard.
#[derive(Debug, Default)]
pub struct Topics {
    /// Looked into for every event, so hashed quickly; the keys are the feed's own.
    by_key: hashbrown::HashMap<TopicKey, Topic>,
    by_name: HashMap<Arc<str>, TopicKey>,
}

impl Topics {
    /// A topic by its key.
    pub fn get(&self, key: TopicKey) -> Option<&Topic> {
        self.by_key.get(&key)
    }

    /// A topic by its key.
    pub fn get_mut(&mut self, key: TopicKey) -> Option<&mut Topic> {
        self.by_key.get_mut(&key)
    }

    /// A topic's key by its physical name.
    pub fn key(&self, physical: &str) -> Option<TopicKey> {
        self.by_name.get(physical).copied()
    }

    /// Adds a topic.
    pub fn insert(&mut self, key: TopicKey, topic: Topic) {
        self.by_name.insert(Arc::clone(&topic.physical), key);
        self.by_key.insert(key, topic);
    }

    /// Takes a topic out.
    pub fn remove(&mut self, key: TopicKey) -> Option<Topic> {
        let topic = self.by_key.remove(&key)?;
        self.by_name.remove(&topic.physical);
        Some(topic)
    }

    /// All topics.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (TopicKey, &mut Topic)> {
        self.by_key.iter_mut().map(|(key, topic)| (*key, topic))
    }
}

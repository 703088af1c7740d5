//! A round: what one read of the log brought, decoded and encoded once, shared by all shards.

use std::hash::BuildHasher;
use std::sync::LazyLock;

use tidegate_log::TopicKey;

/// The events of one read, in the order in which they were read, and how far it came.
#[derive(Debug, Default)]
pub struct Round {
    text: String,
    /// The events.
    pub entries: Vec<Entry>,
    /// The next offset of every partition that was read from, events or not.
    pub reached: Vec<(TopicKey, i32, i64)>,
}

/// One event of a round.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Which topic of the feed.
    pub topic: TopicKey,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// [`name_hash`] of the tenant.
    pub tenant_hash: u64,
    /// [`name_hash`] of the type.
    pub type_hash: u64,
    tenant: Span,
    event_type: Span,
    wire: Span,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    at: u32,
    len: u32,
}

impl Round {
    /// The tenant of an entry of this round.
    pub fn tenant(&self, entry: &Entry) -> &str {
        &self.text[entry.tenant.range()]
    }

    /// The type of an entry of this round.
    pub fn event_type(&self, entry: &Entry) -> &str {
        &self.text[entry.event_type.range()]
    }

    /// The entry as it stands in a batch.
    pub fn wire(&self, entry: &Entry) -> &[u8] {
        &self.text.as_bytes()[entry.wire.range()]
    }

    /// Memory that this round holds, in bytes.
    pub fn size(&self) -> usize {
        self.text.capacity() + self.entries.capacity() * size_of::<Entry>() + 64
    }

    /// Notes that a partition was read up to `next`.
    pub fn reach(&mut self, topic: TopicKey, partition: i32, next: i64) {
        // Records come in runs of one partition, so the last one is nearly always it.
        match self.reached.iter_mut().rev().find(|(t, p, _)| (*t, *p) == (topic, partition)) {
            Some((_, _, at)) => *at = (*at).max(next),
            None => self.reached.push((topic, partition, next)),
        }
    }

    /// Adds an event; `write` appends its wire form.
    pub fn push(
        &mut self,
        (topic, partition, offset): (TopicKey, i32, i64),
        tenant: &str,
        event_type: &str,
        write: impl FnOnce(&mut String),
    ) {
        let tenant_span = self.append(tenant);
        let type_span = self.append(event_type);
        let at = self.text.len();
        write(&mut self.text);
        self.entries.push(Entry {
            topic,
            partition,
            offset,
            tenant_hash: name_hash(tenant),
            type_hash: name_hash(event_type),
            tenant: tenant_span,
            event_type: type_span,
            wire: Span::new(at, self.text.len()),
        });
    }

    fn append(&mut self, text: &str) -> Span {
        let at = self.text.len();
        self.text.push_str(text);
        Span::new(at, self.text.len())
    }

    /// Whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.reached.is_empty()
    }
}

impl Span {
    fn new(from: usize, to: usize) -> Self {
        // A read is bounded far below 4 GiB.
        Self { at: from as u32, len: (to - from) as u32 }
    }

    fn range(self) -> std::ops::Range<usize> {
        self.at as usize..(self.at + self.len) as usize
    }
}

/// The hash by which tenants and types are looked up: taken once by the feed, used by every shard.
pub fn name_hash(name: &str) -> u64 {
    static STATE: LazyLock<hashbrown::DefaultHashBuilder> = LazyLock::new(hashbrown::DefaultHashBuilder::default);
    STATE.hash_one(name)
}

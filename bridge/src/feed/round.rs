//! A round: what one read of the log brought, decoded and encoded once, shared by all shards.

use std::hash::BuildHasher;
use std::sync::LazyLock;

use tidegate_gate::Header;
use tidegate_log::TopicKey;

/// The events of one read, in the order in which they were read, and how far it came.
#[derive(Debug, Default)]
pub struct Round {
    text: String,
    /// The events.
    pub entries: Vec<Entry>,
    /// What conditions read beside the event itself, for topics that have any.
    details: Vec<Detail>,
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
    event: Span,
    /// Place among the round's details, from 1; 0 for none.
    detail: u32,
}

/// What conditions read of a record beside the event itself.
#[derive(Debug, Default)]
pub struct Detail {
    /// The key that readers see.
    pub key: Option<Box<str>>,
    /// The headers that conditions name, in order.
    pub headers: Vec<KeptHeader>,
}

/// A header's name and value.
type KeptHeader = (Box<str>, Option<Box<[u8]>>);

impl tidegate_gate::Headers for Detail {
    fn last(&self, name: &str) -> Header<'_> {
        match self.headers.iter().rev().find(|(known, _)| **known == *name) {
            None => Header::Missing,
            Some((_, None)) => Header::Null,
            Some((_, Some(value))) => Header::Value(value),
        }
    }
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

    /// The event itself, as it is delivered.
    pub fn event(&self, entry: &Entry) -> &str {
        &self.text[entry.event.range()]
    }

    /// What conditions read beside it; `None` on topics without conditions.
    pub fn detail(&self, entry: &Entry) -> Option<&Detail> {
        self.details.get((entry.detail as usize).checked_sub(1)?)
    }

    /// Memory that this round holds, in bytes.
    pub fn size(&self) -> usize {
        let details: usize = self.details.iter().map(Detail::size).sum();
        self.text.capacity() + self.entries.capacity() * size_of::<Entry>() + details + 64
    }

    /// Notes that a partition was read up to `next`.
    pub fn reach(&mut self, topic: TopicKey, partition: i32, next: i64) {
        // Records come in runs of one partition, so the last one is nearly always it.
        match self.reached.iter_mut().rev().find(|(t, p, _)| (*t, *p) == (topic, partition)) {
            Some((_, _, at)) => *at = (*at).max(next),
            None => self.reached.push((topic, partition, next)),
        }
    }

    /// Adds an event; `write` appends its wire form and says where in the text the event itself lies.
    pub fn push(
        &mut self,
        (topic, partition, offset): (TopicKey, i32, i64),
        tenant: &str,
        event_type: &str,
        detail: Option<Detail>,
        write: impl FnOnce(&mut String) -> std::ops::Range<usize>,
    ) {
        let tenant_span = self.append(tenant);
        let type_span = self.append(event_type);
        let at = self.text.len();
        let event = write(&mut self.text);
        let detail = detail.map_or(0, |detail| {
            self.details.push(detail);
            self.details.len() as u32
        });
        self.entries.push(Entry {
            topic,
            partition,
            offset,
            tenant_hash: name_hash(tenant),
            type_hash: name_hash(event_type),
            tenant: tenant_span,
            event_type: type_span,
            wire: Span::new(at, self.text.len()),
            event: Span::new(event.start, event.end),
            detail,
        });
    }

    /// Adds an event that no condition looks into.
    #[cfg(test)]
    pub fn put(
        &mut self,
        place: (TopicKey, i32, i64),
        tenant: &str,
        event_type: &str,
        write: impl FnOnce(&mut String),
    ) {
        self.push(place, tenant, event_type, None, |out| {
            write(out);
            0..0
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

impl Detail {
    fn size(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, |v| v.len()) + 48);
        size_of::<Self>() + self.key.as_ref().map_or(0, |key| key.len()) + headers.sum::<usize>()
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

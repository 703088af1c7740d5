//! A round: what one read of the log brought, decoded and encoded once, shared by all shards.

use std::borrow::Cow;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use tidegate_gate::{Condition, Extracted, Header, Path, Reads};
use tidegate_log::TopicKey;

/// The events of one read, in the order in which they were read, and how far it came.
#[derive(Debug, Default)]
pub struct Round {
    text: String,
    /// The events.
    pub entries: Vec<Entry>,
    /// What conditions read beside the event itself, for topics that have any.
    details: Vec<Detail>,
    /// What lies at the places that indexes look at, for each detail one after the other.
    found: Vec<Found>,
    /// What was looked for, by topic: records come in runs of one.
    reads: Vec<Arc<Reads>>,
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
    /// [`name_hash`] of the key, if it has one.
    pub key_hash: u64,
    tenant: Span,
    event_type: Span,
    key: Option<Span>,
    wire: Span,
    event: Span,
    /// Place among the round's details, from 1; 0 for none.
    detail: u32,
}

/// What conditions read of a record beside the event itself.
#[derive(Debug)]
struct Detail {
    headers: KeptHeaders,
    /// Place of what was looked for, and of the first that was found.
    reads: u32,
    found: u32,
    /// The conditions that could not be decided about, by their place, so that each is counted once by all shards.
    undecided: AtomicU64,
}

/// The headers that conditions name, in order, with their values.
#[derive(Debug, Default)]
pub struct KeptHeaders(pub Vec<KeptHeader>);

type KeptHeader = (Box<str>, Option<Box<[u8]>>);

/// What lies at a place that an index looks at.
#[derive(Debug, Clone, Copy)]
enum Found {
    /// Text, and its [`name_hash`].
    Text(Span, u64),
    Other,
    Missing,
    Ambiguous,
}

/// A place of an event as an index looks it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked<'a> {
    /// This text, and its [`name_hash`].
    Text(&'a str, u64),
    /// Nothing that an index key can be equal to.
    Other,
    /// What conditions that read it fail on.
    Undecidable,
    /// The feed did not look there.
    Unknown,
}

impl tidegate_gate::Headers for KeptHeaders {
    fn last(&self, name: &str) -> Header<'_> {
        match self.0.iter().rev().find(|(known, _)| **known == *name) {
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

    /// The key that readers see.
    pub fn key(&self, entry: &Entry) -> Option<&str> {
        entry.key.map(|key| &self.text[key.range()])
    }

    /// The headers that conditions read; `None` on topics without conditions.
    pub fn headers(&self, entry: &Entry) -> Option<&KeptHeaders> {
        self.detail(entry).map(|detail| &detail.headers)
    }

    fn detail(&self, entry: &Entry) -> Option<&Detail> {
        self.details.get((entry.detail as usize).checked_sub(1)?)
    }

    /// Memory that this round holds, in bytes.
    pub fn size(&self) -> usize {
        let details: usize = self.details.iter().map(Detail::size).sum();
        let found = self.found.capacity() * size_of::<Found>();
        self.text.capacity() + self.entries.capacity() * size_of::<Entry>() + found + details + 64
    }

    /// What the feed found at a place of an entry; `None` where it did not look.
    pub fn extracted(&self, entry: &Entry, path: &Path) -> Option<Extracted<'_>> {
        Some(match self.find(entry, path)? {
            Found::Text(at, _) => Extracted::Text(Cow::Borrowed(&self.text[at.range()])),
            Found::Other => Extracted::Other,
            Found::Missing => Extracted::Missing,
            Found::Ambiguous => Extracted::Ambiguous,
        })
    }

    /// The same, as an index needs it.
    pub fn look(&self, entry: &Entry, path: &Path) -> Looked<'_> {
        match self.find(entry, path) {
            Some(Found::Text(at, hash)) => Looked::Text(&self.text[at.range()], hash),
            Some(Found::Other) => Looked::Other,
            Some(Found::Missing | Found::Ambiguous) => Looked::Undecidable,
            None => Looked::Unknown,
        }
    }

    fn find(&self, entry: &Entry, path: &Path) -> Option<Found> {
        let detail = self.detail(entry)?;
        let at = self.reads[detail.reads as usize].paths.iter().position(|known| known == path)?;
        Some(self.found[detail.found as usize + at])
    }

    /// Notes that a condition could not be decided about. Says whether nobody knew yet.
    pub fn note_undecided(&self, entry: &Entry, condition: &Arc<Condition>) -> bool {
        let Some(detail) = self.detail(entry) else { return true };
        let known = self.reads[detail.reads as usize].conditions.iter().position(|known| known == condition);
        // Beyond 64 conditions of one topic, two may count as one.
        let bit = 1 << (known.unwrap_or(63) % 64);
        detail.undecided.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    /// Notes that a partition was read up to `next`.
    pub fn reach(&mut self, topic: TopicKey, partition: i32, next: i64) {
        // Records come in runs of one partition, so the last one is nearly always it.
        match self.reached.iter_mut().rev().find(|(t, p, _)| (*t, *p) == (topic, partition)) {
            Some((_, _, at)) => *at = (*at).max(next),
            None => self.reached.push((topic, partition, next)),
        }
    }

    /// Adds an event: where it lies, its tenant and type, and the key that readers see. `write` appends its wire form
    /// and says where in the text the event itself lies.
    pub fn push(
        &mut self,
        (topic, partition, offset): (TopicKey, i32, i64),
        (tenant, event_type): (&str, &str),
        key: Option<&str>,
        write: impl FnOnce(&mut String) -> std::ops::Range<usize>,
    ) {
        let tenant_span = self.append(tenant);
        let type_span = self.append(event_type);
        let key_span = key.map(|key| self.append(key));
        let at = self.text.len();
        let event = write(&mut self.text);
        self.entries.push(Entry {
            topic,
            partition,
            offset,
            tenant_hash: name_hash(tenant),
            type_hash: name_hash(event_type),
            key_hash: key.map_or(0, name_hash),
            tenant: tenant_span,
            event_type: type_span,
            key: key_span,
            wire: Span::new(at, self.text.len()),
            event: Span::new(event.start, event.end),
            detail: 0,
        });
    }

    /// Adds to the event that was pushed last what lies at each of `reads.paths`, in order.
    pub fn detail_last<'a>(&mut self, reads: &Arc<Reads>, found: impl IntoIterator<Item = Extracted<'a>>) {
        let known = self.reads.iter().rposition(|known| Arc::ptr_eq(known, reads));
        let reads_at = known.unwrap_or_else(|| {
            self.reads.push(Arc::clone(reads));
            self.reads.len() - 1
        });
        let first = self.found.len() as u32;
        for found in found {
            let found = match found {
                Extracted::Text(text) => Found::Text(self.append(&text), name_hash(&text)),
                Extracted::Other => Found::Other,
                Extracted::Missing => Found::Missing,
                Extracted::Ambiguous => Found::Ambiguous,
            };
            self.found.push(found);
        }
        debug_assert_eq!(self.found.len() - first as usize, reads.paths.len());
        let (headers, undecided) = (KeptHeaders::default(), AtomicU64::new(0));
        self.details.push(Detail { headers, reads: reads_at as u32, found: first, undecided });
        let Some(entry) = self.entries.last_mut() else { return };
        entry.detail = self.details.len() as u32;
    }

    /// Adds the headers that conditions name to the event whose details were added last.
    pub fn keep_headers(&mut self, headers: KeptHeaders) {
        if let Some(detail) = self.details.last_mut() {
            detail.headers = headers;
        }
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
        self.push(place, (tenant, event_type), None, |out| {
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
        let headers =
            self.headers.0.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, |v| v.len()) + 48);
        size_of::<Self>() + headers.sum::<usize>()
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

/// The hash by which tenants, types, keys and what lies at index places are looked up: taken once by the feed, used by every shard.
pub fn name_hash(name: &str) -> u64 {
    static STATE: LazyLock<hashbrown::DefaultHashBuilder> = LazyLock::new(hashbrown::DefaultHashBuilder::default);
    STATE.hash_one(name)
}

//! A round: what one read of the log brought, decoded and encoded once, shared by all shards.

use std::borrow::Cow;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use hashbrown::HashMap;
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
    /// Bytes of the headers that details hold.
    kept: usize,
    /// What was looked for, by topic: records come in runs of one.
    reads: Vec<Arc<Reads>>,
    /// The next offset of every partition that was read from, events or not.
    pub reached: Vec<(TopicKey, i32, i64)>,
    /// Where each partition lies in `reached`, if they are many, and which one was reached last.
    places: HashMap<(TopicKey, i32), usize>,
    last_reached: usize,
    /// Where its memory goes when nobody holds it any more.
    home: Option<Rooms>,
}

/// The memory of rounds, used again: in a backlog each one fills many MiB, and fresh pages of the system would cost more
/// than to fill them. The feed has these.
#[derive(Debug, Clone, Default)]
pub struct Rooms(Arc<Mutex<Vec<Room>>>);

/// What a round is written into, empty.
#[derive(Debug)]
struct Room {
    text: String,
    entries: Vec<Entry>,
    details: Vec<Detail>,
    found: Vec<Found>,
}

/// Rooms that are kept: one that is written into, and those that are given back while a round is.
const KEPT: usize = 3;

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

impl Rooms {
    /// An empty round with room for about this much; what it does not touch costs nothing.
    pub fn round(&self, records: usize, bytes: usize) -> Round {
        let room = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Room { text, entries, details, found } = room.unwrap_or_else(|| Room {
            // Beside its record's own bytes, an event holds its names and the frame's words around it.
            text: String::with_capacity(bytes + bytes / 2),
            entries: Vec::with_capacity(records),
            details: Vec::new(),
            found: Vec::new(),
        });
        let mut round = Round::default();
        (round.text, round.entries, round.details, round.found) = (text, entries, details, found);
        round.home = Some(self.clone());
        round
    }

    fn give_back(&self, room: Room) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(room);
        }
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            home.give_back(self.empty());
        }
    }
}

impl Round {
    /// The round as it is handed on: one that leaves most of its room empty moves out.
    #[must_use]
    pub fn settle(mut self) -> Self {
        let used = self.text.len() + size_of_val(&*self.entries);
        if self.home.is_none() || used >= self.size() / 3 {
            return self;
        }
        let mut moved = Self::default();
        moved.text.clone_from(&self.text);
        moved.entries.clone_from(&self.entries);
        moved.found.clone_from(&self.found);
        moved.details.append(&mut self.details);
        moved.kept = self.kept;
        moved.reads = std::mem::take(&mut self.reads);
        moved.reached = std::mem::take(&mut self.reached);
        moved
    }

    fn empty(&mut self) -> Room {
        let mut room = Room {
            text: std::mem::take(&mut self.text),
            entries: std::mem::take(&mut self.entries),
            details: std::mem::take(&mut self.details),
            found: std::mem::take(&mut self.found),
        };
        room.text.clear();
        room.entries.clear();
        room.details.clear();
        room.found.clear();
        room
    }

    /// Looks at an entry and at where its text begins, so that both are in the processor's caches when they are needed.
    pub fn touch(&self, entry: &Entry) {
        std::hint::black_box(self.text.as_bytes().get(entry.tenant.at as usize).copied());
    }

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
        let details = self.details.capacity() * size_of::<Detail>() + self.kept;
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
        if let Some((t, p, at)) = self.reached.get_mut(self.last_reached)
            && (*t, *p) == (topic, partition)
        {
            *at = (*at).max(next);
            return;
        }
        let place = |&(t, p, _): &(TopicKey, i32, i64)| (t, p);
        // Few are looked through; many are worth a map.
        let known = if self.reached.len() < 16 {
            self.reached.iter().position(|reached| place(reached) == (topic, partition))
        } else {
            let places = self.reached.iter().enumerate().skip(self.places.len());
            self.places.extend(places.map(|(at, reached)| (place(reached), at)));
            self.places.get(&(topic, partition)).copied()
        };
        self.last_reached = known.unwrap_or(self.reached.len());
        match known {
            Some(at) => self.reached[at].2 = self.reached[at].2.max(next),
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
            self.kept += headers.size();
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

impl KeptHeaders {
    fn size(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, |v| v.len()) + 48).sum()
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

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: TopicKey = TopicKey(1);

    fn fill(mut round: Round, events: i64) -> Round {
        for offset in 0..events {
            round.put((TOPIC, 0, offset), "acme", "a.b", |out| out.push_str(&"x".repeat(1000)));
            round.reach(TOPIC, 0, offset + 1);
        }
        round
    }

    fn free(rooms: &Rooms) -> usize {
        rooms.0.lock().unwrap().len()
    }

    #[test]
    fn the_room_of_a_large_round_is_used_again() {
        let rooms = Rooms::default();
        let round = fill(rooms.round(100, 100_000), 100).settle();
        let (text, capacity) = (round.text.as_ptr(), round.text.capacity());
        let held = Arc::new(round);
        assert_eq!(free(&rooms), 0);
        drop(held);
        let again = rooms.round(100, 100_000);
        assert_eq!((again.text.as_ptr(), again.text.capacity(), again.text.len()), (text, capacity, 0));
        assert!(again.is_empty() && again.details.is_empty() && again.found.is_empty());
    }

    #[test]
    fn a_small_round_holds_what_it_needs_and_nothing_else() {
        let rooms = Rooms::default();
        let round = fill(rooms.round(10_000, 1 << 20), 3).settle();
        assert_eq!(free(&rooms), 1);
        assert!(round.size() < 4_000, "{}", round.size());
        let again = fill(Round::default(), 3);
        for (moved, written) in round.entries.iter().zip(&again.entries) {
            assert_eq!((round.tenant(moved), round.event_type(moved)), ("acme", "a.b"));
            assert_eq!((moved.offset, round.wire(moved)), (written.offset, again.wire(written)));
        }
        assert_eq!(round.reached, [(TOPIC, 0, 3)]);
        drop(round);
        assert_eq!(free(&rooms), 1);
    }

    #[test]
    fn few_rooms_are_kept() {
        let rooms = Rooms::default();
        let rounds: Vec<Round> = (0..10).map(|_| rooms.round(1, 1)).collect();
        drop(rounds);
        assert_eq!(free(&rooms), KEPT);
    }

    #[test]
    fn each_partition_is_reached_once_however_many_there_are() {
        for partitions in [1, 2, 15, 16, 17, 100] {
            let mut round = Round::default();
            for next in 1..=3 {
                (0..partitions).for_each(|partition| round.reach(TOPIC, partition, next));
                round.reach(TOPIC, 0, 1);
            }
            let expected: Vec<_> = (0..partitions).map(|partition| (TOPIC, partition, 3)).collect();
            assert_eq!(round.reached, expected);
        }
    }
}

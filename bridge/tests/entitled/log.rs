//! The log of a case: raw records in partitions, each with what the reference reads in it.

use std::collections::BTreeMap;

use tidegate::feed::{Decoded, Round, TopicSpec, decode};
use tidegate_log::{Headers, Offsets, Record, TopicId, TopicKey};

use super::reading::{self, Delivered, Raw};
use super::setting::Topic;

#[derive(Debug, Default)]
pub struct Log {
    pub topics: BTreeMap<String, OnLog>,
    /// Where each mark lies.
    places: BTreeMap<usize, (String, usize, usize)>,
}

#[derive(Debug)]
pub struct OnLog {
    pub id: TopicId,
    pub topic: Topic,
    pub partitions: Vec<Partition>,
}

#[derive(Debug, Default)]
pub struct Partition {
    pub entries: Vec<Entry>,
    pub end: i64,
}

#[derive(Debug)]
pub struct Entry {
    pub raw: Raw,
    /// What the reference reads in it; `None`: nobody sees it.
    pub event: Option<Delivered>,
}

impl Log {
    pub fn create(&mut self, physical: &str, topic: &Topic, partitions: usize) {
        let mut id = [0; 16];
        for (at, byte) in physical.bytes().enumerate() {
            id[at % 16] ^= byte.rotate_left(at as u32 / 16 + 1);
        }
        id[15] = 1;
        let partitions = (0..partitions).map(|_| Partition::default()).collect();
        self.topics.insert(physical.to_owned(), OnLog { id, topic: topic.clone(), partitions });
    }

    /// Appends a record after a gap of so many offsets; returns where it lies.
    pub fn append(&mut self, physical: &str, partition: usize, gap: i64, mut raw: Raw, mark: usize) -> (i32, i64) {
        let of = self.topics.get_mut(physical).expect("a topic");
        let number = partition % of.partitions.len();
        let at = &mut of.partitions[number];
        raw.offset = at.end + gap;
        at.end = raw.offset + 1;
        let event = reading::read(&of.topic, physical, &raw);
        let place = (number as i32, raw.offset);
        self.places.insert(mark, (physical.to_owned(), number, at.entries.len()));
        at.entries.push(Entry { raw, event });
        place
    }

    /// The record of a mark: its topic, partition and itself.
    pub fn find(&self, mark: usize) -> Option<(&str, i32, &Entry)> {
        let (physical, partition, at) = self.places.get(&mark)?;
        Some((physical, *partition as i32, &self.topics[physical].partitions[*partition].entries[*at]))
    }

    pub fn ends(&self, physical: &str) -> Offsets {
        let partitions = self.topics.get(physical).map_or(&[][..], |topic| &topic.partitions);
        (0..).zip(partitions).map(|(number, partition)| (number, partition.end)).collect()
    }

    /// The first offsets at or after a time.
    pub fn offsets_at(&self, physical: &str, time: i64) -> Offsets {
        let first = |partition: &Partition| {
            let found = partition.entries.iter().find(|entry| entry.raw.time >= time);
            found.map_or(partition.end, |entry| entry.raw.offset)
        };
        let partitions = self.topics.get(physical).map_or(&[][..], |topic| &topic.partitions);
        (0..).zip(partitions).map(|(number, partition)| (number, first(partition))).collect()
    }
}

/// Reads part of a partition into a round as a feed does, at most `most` records: how far it came.
pub fn read(
    (log, spec, key): (&Log, &TopicSpec, TopicKey),
    partition: i32,
    from: i64,
    until: i64,
    most: usize,
    round: &mut Round,
) -> i64 {
    let entries = &log.topics[&*spec.physical].partitions[partition as usize].entries;
    let there = entries.iter().filter(|entry| (from..until).contains(&entry.raw.offset));
    for (count, Entry { raw, event }) in there.enumerate() {
        if count == most {
            return raw.offset;
        }
        let record = Record {
            partition,
            offset: raw.offset,
            timestamp: Some(raw.time),
            key: raw.key.as_deref(),
            value: raw.value.as_deref(),
            headers: &List(&raw.headers),
        };
        let decoded = decode(spec, key, &record, round);
        let text = String::from_utf8_lossy(raw.value.as_deref().unwrap_or_default());
        assert_eq!(
            decoded == Decoded::Event,
            event.is_some(),
            "{decoded:?} of {text} with {raw:?} on {spec:?}, but the reference reads {event:?}"
        );
    }
    until.max(from)
}

#[derive(Debug)]
struct List<'a>(&'a [(String, Option<Vec<u8>>)]);

impl Headers for List<'_> {
    fn visit<'h>(&'h self, each: &mut dyn FnMut(&'h str, Option<&'h [u8]>) -> bool) {
        for (name, value) in self.0 {
            if !each(name, value.as_deref()) {
                return;
            }
        }
    }
}

//! A log to compare with: topics with partitions, gaps between offsets, retention, deletion.

use std::collections::{BTreeMap, HashMap};

use tidegate_log::{Bounds, Headers, Offsets, ReadError, Record, TopicId, TopicKey};

use super::variants;
use crate::feed::{Decoded, Round, TopicSpec, decode};

/// Draws numbers; the same ones for the same seed.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % bound.max(1) as u64) as usize
    }

    /// Once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// An event on the log.
#[derive(Debug, Clone)]
pub struct Event {
    /// Unique among all events of all topics.
    pub number: u64,
    pub topic: String,
    pub life: u32,
    pub partition: i32,
    pub offset: i64,
    pub tenant: &'static str,
    pub kind: String,
    pub size: usize,
    pub body: Body,
    /// How many rules had applied on each node when it was appended: the last of them, and later ones, may have
    /// decided about it.
    pub since: Vec<usize>,
}

/// What grants and filters look at.
#[derive(Debug, Clone)]
pub struct Body {
    pub user: User,
    pub region: Option<&'static str>,
    pub amount: i64,
    /// The key that readers see.
    pub key: &'static str,
}

#[derive(Debug, Clone, Copy)]
pub enum User {
    Is(&'static str),
    /// Written with an escape.
    Escaped(&'static str),
    Number,
    Missing,
    /// The object names it twice.
    Twice(&'static str),
}

#[derive(Debug, Clone, Default)]
pub struct Partition {
    pub earliest: i64,
    pub end: i64,
    /// All that ever was there, also what retention has taken.
    pub events: Vec<Event>,
}

#[derive(Debug, Clone, Default)]
pub struct Topic {
    /// Which life of the topic; 0 is none yet.
    pub life: u32,
    pub exists: bool,
    pub partitions: Vec<Partition>,
}

#[derive(Debug, Default)]
pub struct Log {
    pub topics: BTreeMap<String, Topic>,
    /// Every event there ever was, by number.
    pub events: HashMap<u64, Event>,
    /// The rules that applied on each node, one after the other, by their variant.
    pub rules: Vec<Vec<usize>>,
    next: u64,
}

pub fn topic_id(name: &str, life: u32) -> TopicId {
    let mut id = [life as u8; 16];
    id[0] = 1;
    id[1] = name.len() as u8;
    id
}

impl Log {
    pub fn create(&mut self, name: &str, partitions: usize) {
        let topic = self.topics.entry(name.to_owned()).or_default();
        assert!(!topic.exists);
        *topic = Topic { life: topic.life + 1, exists: true, partitions: vec![Partition::default(); partitions] };
    }

    pub fn delete(&mut self, name: &str) {
        let topic = self.topics.get_mut(name).unwrap();
        topic.exists = false;
        topic.partitions.clear();
    }

    /// Appends an event, after a gap of so many offsets.
    pub fn append(
        &mut self,
        name: &str,
        partition: usize,
        tenant: &'static str,
        event_type: &str,
        (size, gap): (usize, i64),
        body: Body,
    ) {
        let topic = self.topics.get_mut(name).unwrap();
        let life = topic.life;
        let count = topic.partitions.len();
        let Some(at) = topic.partitions.get_mut(partition % count.max(1)) else { return };
        let offset = at.end + gap;
        at.end = offset + 1;
        let event = Event {
            number: self.next,
            topic: name.to_owned(),
            life,
            partition: (partition % count) as i32,
            offset,
            tenant,
            kind: event_type.to_owned(),
            size,
            body,
            since: self.rules.iter().map(Vec::len).collect(),
        };
        self.next += 1;
        at.events.push(event.clone());
        self.events.insert(event.number, event);
    }

    pub fn retain(&mut self, name: &str, partition: usize, share: usize) {
        let Some(topic) = self.topics.get_mut(name) else { return };
        let count = topic.partitions.len();
        let Some(at) = topic.partitions.get_mut(partition % count.max(1)) else { return };
        at.earliest += (at.end - at.earliest) * share as i64 / 4;
    }

    pub fn ends(&self, name: &str) -> Offsets {
        let Some(topic) = self.topics.get(name) else { return Offsets::new() };
        topic.partitions.iter().enumerate().map(|(at, partition)| (at as i32, partition.end)).collect()
    }

    pub fn id(&self, name: &str) -> Option<TopicId> {
        self.topics.get(name).filter(|topic| topic.exists).map(|topic| topic_id(name, topic.life))
    }

    pub fn partition(&self, name: &str, partition: i32) -> Option<&Partition> {
        self.topics.get(name)?.partitions.get(partition as usize)
    }

    /// Reads as a `Reader` would, at most `most` events.
    pub fn read(
        &self,
        (spec, key, partition): (&TopicSpec, TopicKey, i32),
        from: i64,
        until: i64,
        most: usize,
    ) -> Result<(Round, i64), ReadError> {
        let at = self.partition(&spec.physical, partition).ok_or(ReadError::Unknown)?;
        if from < at.earliest || from > at.end {
            return Err(ReadError::OutOfRange(Bounds { earliest: at.earliest, end: at.end }));
        }
        let mut round = Round::default();
        let found = at.events.iter().filter(|event| event.offset >= from && event.offset < until);
        for (count, event) in found.enumerate() {
            if count == most {
                return Ok((round, event.offset));
            }
            event.push(key, spec, &mut round);
        }
        Ok((round, until.max(from)))
    }
}

impl Event {
    pub fn push(&self, key: TopicKey, spec: &TopicSpec, round: &mut Round) {
        let (number, tenant, kind) = (self.number, self.tenant, &self.kind);
        let pad = "x".repeat(self.size);
        let Body { user, region, amount, .. } = self.body;
        let user = match user {
            User::Is(user) => format!(r#","user":"{user}""#),
            User::Escaped(user) => format!(r#","\u0075ser":"\u{:04x}{}""#, user.as_bytes()[0], &user[1..]),
            User::Number => r#","user":7"#.to_owned(),
            User::Missing => String::new(),
            User::Twice(user) => format!(r#","user":"{user}","us\u0065r":"{user}""#),
        };
        let region = region.map(|region| format!(r#","region":"{region}""#)).unwrap_or_default();
        let data = format!(r#"{{"of":"!{tenant}!","amount":{amount}{user}{region},"pad":"{pad}"}}"#);
        let id = format!("00000000-0000-7000-8000-{number:012}");
        // Half of them lack what is filled in for delivery.
        let at = if number.is_multiple_of(2) { "" } else { r#","timestamp":"2026-01-02T03:04:05Z","version":"1.0""# };
        let value = format!(r#"{{"id":"{id}","correlation_id":"{id}","type":"{kind}"{at},"data":{data}}}"#);
        let record_key = self.record_key();
        let record = Record {
            partition: self.partition,
            offset: self.offset,
            timestamp: Some(1_000),
            key: Some(record_key.as_bytes()),
            value: Some(value.as_bytes()),
            headers: self,
        };
        assert_eq!(decode(spec, key, &record, round), Decoded::Event);
    }

    fn record_key(&self) -> String {
        let key = self.body.key;
        if self.topic == "orders" { format!("{}/{key}", self.tenant) } else { key.to_owned() }
    }

    /// A header that every record has.
    pub fn lane(&self) -> &'static str {
        if self.number.is_multiple_of(3) { "b" } else { "a" }
    }

    /// A header that some have.
    pub fn zone(&self) -> Option<&'static str> {
        self.number.is_multiple_of(2).then_some("z")
    }

    /// Whether all rules that may have decided about it let this reader see it.
    pub fn is_granted(&self, log: &Log, (role, subject): (&str, &str)) -> bool {
        let since = |(rules, since): (&Vec<usize>, &usize)| rules[since - 1..].to_vec();
        log.rules.iter().zip(&self.since).flat_map(since).all(|variant| variants::grant(variant, role, subject, self))
    }
}

impl Headers for Event {
    fn visit<'h>(&'h self, each: &mut dyn FnMut(&'h str, Option<&'h [u8]>) -> bool) {
        let all = [("lane", Some(self.lane())), ("zone", self.zone()), ("owner", Some(self.tenant))];
        for (name, value) in all {
            if let Some(value) = value
                && !each(name, Some(value.as_bytes()))
            {
                return;
            }
        }
    }
}

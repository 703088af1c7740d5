//! Reads the ends of many topics. What is published is known at once: nothing has to be looked for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use super::state::{Published, Topic};
use super::store::{self, log_error};
use crate::{Budget, LogError, Offsets, Tail, TailEvent, TopicId, TopicKey};

/// One connection for all topics that are followed.
#[derive(Debug)]
pub(super) struct SqliteTail {
    connection: Connection,
    published: Arc<Published>,
    topics: BTreeMap<TopicKey, Followed>,
    keys: HashMap<String, TopicKey>,
    next_key: u32,
    /// The version of what was published that all was read of.
    seen: u64,
    /// After whom the next round begins, so that a busy topic does not keep others waiting.
    turn: TopicKey,
}

#[derive(Debug)]
struct Followed {
    name: String,
    stands: Stands,
}

#[derive(Debug)]
enum Stands {
    /// As it was when it began to be followed; told at the next read.
    New(Option<(TopicId, Offsets)>),
    /// Not there, and that was told.
    Missing,
    At {
        id: TopicId,
        positions: Vec<Position>,
    },
}

#[derive(Debug, Clone, Copy)]
struct Position {
    next: i64,
    caught_up: bool,
}

impl SqliteTail {
    pub(super) fn new(connection: Connection, published: Arc<Published>) -> Self {
        Self {
            connection,
            published,
            topics: BTreeMap::new(),
            keys: HashMap::new(),
            next_key: 0,
            seen: u64::MAX,
            turn: TopicKey(0),
        }
    }

    /// Tells all that is to be told. `false`: nothing was published, and nobody was woken, since the last round.
    fn round(&mut self, budget: Budget, sink: &mut dyn FnMut(TailEvent<'_>)) -> Result<bool, LogError> {
        let now: Vec<(TopicKey, Option<Topic>)> = {
            let published = self.published.lock();
            if published.version == self.seen {
                return Ok(false);
            }
            self.seen = published.version;
            let (before, after): (Vec<_>, Vec<_>) = self.topics.iter().partition(|(key, _)| **key <= self.turn);
            after.into_iter().chain(before).map(|(key, it)| (*key, published.topics.get(&it.name).cloned())).collect()
        };
        let mut left = budget;
        for (key, topic) in now {
            let Some(followed) = self.topics.get_mut(&key) else { continue };
            followed.open(key, topic.as_ref(), sink);
            let (Some(topic), Stands::At { positions, .. }) = (topic, &mut followed.stands) else { continue };
            for (index, (position, written)) in positions.iter_mut().zip(&topic.partitions).enumerate() {
                let partition = index as i32;
                if position.next < written.earliest {
                    let (from, to) = (position.next, written.earliest);
                    tracing::warn!(
                        topic = followed.name,
                        partition,
                        from,
                        to,
                        "retention overtook the reader: records are lost"
                    );
                    position.next = written.earliest;
                }
                if position.next < written.next {
                    if left.is_spent() {
                        self.seen = u64::MAX;
                        return Ok(true);
                    }
                    let next = &mut position.next;
                    let all =
                        store::scan(&self.connection, written.number, partition, *next, written.next, &mut |record| {
                            *next = record.offset + 1;
                            left.take(&record);
                            sink(TailEvent::Record(key, record));
                            !left.is_spent()
                        })
                        .map_err(log_error)?;
                    position.caught_up = false;
                    if !all {
                        self.turn = key;
                        self.seen = u64::MAX;
                        return Ok(true);
                    }
                    position.next = written.next;
                }
                if !position.caught_up {
                    position.caught_up = true;
                    sink(TailEvent::CaughtUp { topic: key, partition, next: position.next });
                }
            }
        }
        Ok(true)
    }
}

impl Followed {
    /// Brings what is followed in line with what is there, telling the difference.
    fn open(&mut self, key: TopicKey, topic: Option<&Topic>, sink: &mut dyn FnMut(TailEvent<'_>)) {
        if let Stands::New(first) = &mut self.stands {
            let first = first.take();
            let (id, offsets) = first.map_or((None, Offsets::new()), |(id, offsets)| (Some(id), offsets));
            self.stands = match id {
                None => Stands::Missing,
                Some(id) => {
                    let position = |next: &i64| Position { next: *next, caught_up: false };
                    Stands::At { id, positions: offsets.values().map(position).collect() }
                }
            };
            sink(TailEvent::Opened { topic: key, id, offsets });
        }
        if let Stands::At { id, .. } = &self.stands
            && topic.is_none_or(|topic| topic.id != *id)
        {
            self.stands = Stands::Missing;
            sink(TailEvent::Closed(key));
        }
        let Some(topic) = topic else { return };
        if matches!(self.stands, Stands::Missing) {
            self.stands = Stands::At { id: topic.id, positions: Vec::new() };
        }
        let Stands::At { id, positions } = &mut self.stands else { return };
        let known = positions.len();
        let added = topic.partitions.iter().skip(known);
        positions.extend(added.map(|partition| Position { next: partition.earliest, caught_up: false }));
        if positions.len() > known {
            let offsets = (0..).zip(positions.iter().map(|position| position.next)).skip(known).collect();
            sink(TailEvent::Opened { topic: key, id: Some(*id), offsets });
        }
    }
}

impl Tail for SqliteTail {
    fn follow(&mut self, topic: &str) -> TopicKey {
        if let Some(key) = self.keys.get(topic) {
            return *key;
        }
        let key = TopicKey(self.next_key);
        self.next_key += 1;
        let now = self
            .published
            .lock()
            .topics
            .get(topic)
            .map(|topic| (topic.id, (0..).zip(topic.partitions.iter().map(|partition| partition.next)).collect()));
        self.topics.insert(key, Followed { name: topic.into(), stands: Stands::New(now) });
        self.keys.insert(topic.into(), key);
        self.seen = u64::MAX;
        key
    }

    fn unfollow(&mut self, topic: TopicKey) {
        if let Some(gone) = self.topics.remove(&topic) {
            self.keys.remove(&gone.name);
        }
    }

    fn read(&mut self, wait: Duration, budget: Budget, sink: &mut dyn FnMut(TailEvent<'_>)) -> Result<(), LogError> {
        if !self.round(budget, sink)? && !wait.is_zero() {
            self.published.wait(self.seen, wait);
            self.round(budget, sink)?;
        }
        Ok(())
    }

    fn waker(&self) -> Box<dyn Fn() + Send + Sync> {
        let published = Arc::downgrade(&self.published);
        Box::new(move || {
            if let Some(published) = published.upgrade() {
                published.wake();
            }
        })
    }

    fn lag(&self, topic: TopicKey) -> u64 {
        let Some(followed) = self.topics.get(&topic) else { return 0 };
        let published = self.published.lock();
        let (Some(topic), Stands::At { positions, .. }) = (published.topics.get(&followed.name), &followed.stands)
        else {
            return 0;
        };
        let behind = |(position, written): (&Position, &super::state::Partition)| {
            (written.next - position.next.max(written.earliest)).max(0) as u64
        };
        positions.iter().zip(&topic.partitions).map(behind).sum()
    }
}

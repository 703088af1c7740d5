//! Reads the ends of many topics, on the feed's thread.

use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::assignment;
use super::discovery::{Desk, Finding};
use super::offsets::log_error;
use super::queue::{Message, Polled, Taken};
use super::source::Source;
use crate::{Budget, LogError, Offsets, Tail, TailEvent, TopicId, TopicKey};

/// One consumer for all topics that are followed.
#[derive(Debug)]
pub(super) struct KafkaTail {
    source: Source,
    /// The topics that the client has read, as they were then; it keeps as many itself.
    ids: HashMap<String, TopicId>,
    /// One of them was made again, which the client could not read: it is to be exchanged.
    outdated: bool,
    /// Of the client's queue, and not handed on yet.
    taken: Taken,
    desk: Arc<Desk>,
    findings: Receiver<Finding>,
    /// By key. Keys are not used again, so a place that is empty was followed once.
    topics: Vec<Option<Topic>>,
    keys: HashMap<String, TopicKey>,
    /// Of the last record: records come in runs of one topic.
    last: (usize, TopicKey),
    /// librdkafka's address of each assigned topic. Emptied whenever something is unassigned, for an address may
    /// then be given to another topic.
    addresses: HashMap<usize, TopicKey>,
}

/// A topic that is followed.
#[derive(Debug)]
struct Topic {
    name: String,
    c_name: CString,
    /// Assigned partitions.
    positions: BTreeMap<i32, Position>,
}

#[derive(Debug, Clone, Copy)]
struct Position {
    /// The next offset to hand on.
    next: i64,
    /// The broker's end of the partition when all before it had been handed on.
    caught_up_at: i64,
}

impl KafkaTail {
    pub(super) fn new(source: Source, desk: Arc<Desk>, findings: Receiver<Finding>) -> Self {
        Self {
            taken: Taken::of(Arc::clone(source.queue())),
            source,
            ids: HashMap::new(),
            outdated: false,
            desk,
            findings,
            topics: Vec::new(),
            keys: HashMap::new(),
            last: (0, TopicKey(u32::MAX)),
            addresses: HashMap::new(),
        }
    }

    fn topic(&mut self, key: TopicKey) -> Option<&mut Topic> {
        self.topics.get_mut(key.0 as usize)?.as_mut()
    }

    /// Takes in what discovery found. Whether there was something to tell.
    fn take_findings(&mut self, sink: &mut dyn FnMut(TailEvent<'_>)) -> Result<bool, LogError> {
        let mut told = false;
        while let Ok(finding) = self.findings.try_recv() {
            match finding {
                Finding::Missing(topic) if self.topic(topic).is_some() => {
                    sink(TailEvent::Opened { topic, id: None, offsets: Offsets::new() });
                }
                Finding::Opened { topic, id, offsets } if self.topic(topic).is_some() => {
                    self.assign(topic, id, &offsets)?;
                    sink(TailEvent::Opened { topic, id: Some(id), offsets });
                }
                Finding::Closed(topic) if self.topic(topic).is_some() => {
                    self.unassign(topic);
                    sink(TailEvent::Closed(topic));
                }
                Finding::Moved { topic, partition, earliest, end } => {
                    self.move_to(topic, partition, earliest, end)?;
                    continue;
                }
                // Unfollowed meanwhile.
                _ => continue,
            }
            told = true;
        }
        if self.outdated {
            self.exchange()?;
        }
        Ok(told)
    }

    fn assign(&mut self, key: TopicKey, id: TopicId, offsets: &Offsets) -> Result<(), LogError> {
        let Some(topic) = self.topics.get_mut(key.0 as usize).and_then(Option::as_mut) else { return Ok(()) };
        let before = self.ids.insert(topic.name.clone(), id);
        self.outdated |= before.is_some_and(|before| before != id);
        let mut list = TopicPartitionList::new();
        for (partition, next) in offsets {
            list.add_partition_offset(&topic.name, *partition, Offset::Offset(*next)).map_err(log_error)?;
            topic.positions.insert(*partition, Position { next: *next, caught_up_at: -1 });
        }
        if self.outdated {
            return Ok(());
        }
        assignment::add(self.source.queue().consumer(), &list).map_err(log_error)
    }

    /// Goes on through another client, where each partition is.
    fn exchange(&mut self) -> Result<(), LogError> {
        let mut list = TopicPartitionList::new();
        for topic in self.topics.iter().flatten() {
            for (partition, position) in &topic.positions {
                list.add_partition_offset(&topic.name, *partition, Offset::Offset(position.next)).map_err(log_error)?;
            }
        }
        tracing::info!("a topic was made again: reading on through another client");
        self.source.exchange()?;
        self.taken = Taken::of(Arc::clone(self.source.queue()));
        self.forget_addresses();
        assignment::replace(self.source.queue().consumer(), &list).map_err(log_error)?;
        self.ids.retain(|name, _| self.keys.contains_key(name));
        self.outdated = false;
        Ok(())
    }

    fn unassign(&mut self, key: TopicKey) {
        let Some(topic) = self.topic(key) else { return };
        let mut list = TopicPartitionList::new();
        for partition in std::mem::take(&mut topic.positions).into_keys() {
            list.add_partition(&topic.name, partition);
        }
        let name = topic.name.clone();
        self.taken.forget(&name, None);
        if list.count() > 0
            && !self.outdated
            && let Err(error) = assignment::remove(self.source.queue().consumer(), &list)
        {
            tracing::warn!(topic = name, %error, "partitions could not be unassigned");
        }
        self.forget_addresses();
    }

    fn forget_addresses(&mut self) {
        self.addresses.clear();
        self.last = (0, TopicKey(u32::MAX));
    }

    /// Goes on within what a partition holds.
    fn move_to(&mut self, key: TopicKey, partition: i32, earliest: i64, end: i64) -> Result<(), LogError> {
        let Some(topic) = self.topic(key) else { return Ok(()) };
        let Some(position) = topic.positions.get_mut(&partition) else { return Ok(()) };
        let (from, name) = (position.next, topic.name.clone());
        if from < earliest {
            tracing::warn!(
                topic = name,
                partition,
                from,
                to = earliest,
                "retention overtook the reader: records are lost"
            );
            position.next = earliest;
        } else if from > end {
            tracing::error!(
                topic = name,
                partition,
                from,
                to = end,
                "the partition was cut off: going on from its end"
            );
            position.next = end;
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&name, partition, Offset::Offset(position.next)).map_err(log_error)?;
        self.taken.forget(&name, Some(partition));
        if self.outdated {
            return Ok(());
        }
        assignment::remove(self.source.queue().consumer(), &list).map_err(log_error)?;
        self.forget_addresses();
        assignment::add(self.source.queue().consumer(), &list).map_err(log_error)
    }

    /// The topic of a record, if it is followed.
    fn key_of(&mut self, message: &Message<'_>) -> Option<TopicKey> {
        let address = message.topic_address();
        if self.last.0 == address {
            return Some(self.last.1);
        }
        let key = if let Some(key) = self.addresses.get(&address) {
            *key
        } else {
            let key = *self.keys.get(message.topic())?;
            // Only an assigned topic keeps its address.
            if self.topic(key)?.positions.is_empty() {
                return None;
            }
            self.addresses.insert(address, key);
            key
        };
        self.last = (address, key);
        Some(key)
    }

    /// Hands a record on, unless it is left over from before an unassignment.
    fn hand_on(&mut self, message: &Message<'_>, budget: &mut Budget, sink: &mut dyn FnMut(TailEvent<'_>)) {
        let Some(key) = self.key_of(message) else { return };
        let Some(topic) = self.topic(key) else { return };
        let Some(position) = topic.positions.get_mut(&message.partition()) else { return };
        if message.offset() < position.next {
            return;
        }
        position.next = message.offset() + 1;
        let record = message.record();
        budget.take(&record);
        sink(TailEvent::Record(key, record));
    }

    fn caught_up(&mut self, topic: &str, partition: i32, next: i64, sink: &mut dyn FnMut(TailEvent<'_>)) -> bool {
        let queue = Arc::clone(self.source.queue());
        let Some(&key) = self.keys.get(topic) else { return false };
        let Some(topic) = self.topic(key) else { return false };
        let Some(position) = topic.positions.get_mut(&partition) else { return false };
        if next < position.next {
            return false;
        }
        position.next = next;
        position.caught_up_at = queue.high(&topic.c_name, partition).unwrap_or(-1);
        sink(TailEvent::CaughtUp { topic: key, partition, next });
        true
    }

    /// What an error of one partition asks for. The others go on meanwhile.
    fn trouble(&mut self, topic: &str, partition: i32, offset: i64, code: RDKafkaErrorCode, reason: &str) {
        let Some(&key) = self.keys.get(topic) else { return };
        match code {
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                tracing::debug!(topic, partition, offset, reason, "the position is out of range");
                self.desk.reset(key, partition);
            }
            RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition => self.desk.look(key),
            _ => tracing::warn!(topic, partition, offset, %code, reason, "a partition can not be read; trying again"),
        }
    }
}

impl Drop for KafkaTail {
    fn drop(&mut self) {
        self.desk.close();
    }
}

impl Tail for KafkaTail {
    fn follow(&mut self, topic: &str) -> TopicKey {
        if let Some(key) = self.keys.get(topic) {
            return *key;
        }
        let key = TopicKey(u32::try_from(self.topics.len()).unwrap_or(u32::MAX));
        // A name with a NUL is never found; discovery answers that it is missing.
        let c_name = CString::new(topic).unwrap_or_default();
        self.topics.push(Some(Topic { name: topic.into(), c_name, positions: BTreeMap::new() }));
        self.keys.insert(topic.into(), key);
        self.desk.follow(key, topic);
        key
    }

    fn unfollow(&mut self, topic: TopicKey) {
        self.unassign(topic);
        if let Some(gone) = self.topics.get_mut(topic.0 as usize).and_then(Option::take) {
            self.keys.remove(&gone.name);
            self.desk.unfollow(topic);
        }
    }

    fn read(&mut self, wait: Duration, budget: Budget, sink: &mut dyn FnMut(TailEvent<'_>)) -> Result<(), LogError> {
        let mut budget = budget;
        let mut wait = if self.take_findings(sink)? { Duration::ZERO } else { wait };
        let queue = Arc::clone(self.source.queue());
        while !budget.is_spent() {
            match queue.next(wait, &mut self.taken) {
                Polled::Nothing => break,
                // A statistics event, or so: what was waited for may still come in this round.
                Polled::Handled => continue,
                Polled::Message(message) => self.hand_on(&message, &mut budget, sink),
                Polled::End { topic, partition, next } => drop(self.caught_up(&topic, partition, next, sink)),
                Polled::Error { code, fatal: true, reason, .. } => {
                    return Err(LogError::Fatal(format!("the Kafka client failed: {reason} ({code})")));
                }
                Polled::Error { topic, partition, offset, code, reason, .. } => {
                    self.trouble(&topic, partition, offset, code, &reason);
                }
            }
            wait = Duration::ZERO;
        }
        drop(queue);
        self.take_findings(sink)?;
        Ok(())
    }

    fn waker(&self) -> Box<dyn Fn() + Send + Sync> {
        let bell = self.source.bell();
        Box::new(move || bell.ring())
    }

    fn lag(&self, topic: TopicKey) -> u64 {
        let Some(Some(topic)) = self.topics.get(topic.0 as usize) else { return 0 };
        let behind = |(partition, position): (&i32, &Position)| {
            let high = self.source.queue().high(&topic.c_name, *partition)?;
            (high != position.caught_up_at).then(|| (high - position.next).max(0) as u64)
        };
        topic.positions.iter().filter_map(behind).sum()
    }
}

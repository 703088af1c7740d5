//! Reads history, on a client of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::assignment;
use super::client_config::Consumer;
use super::offsets::{self, At, log_error};
use super::queue::Polled;
use super::source::Source;
use super::topic_id;
use crate::{Bounds, Chunk, Description, Limit, LogError, Offsets, ReadError, Reader, Record};

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Without anything from the partition for this long, it can not be reached.
const SILENCE: Duration = Duration::from_secs(10);

/// Without anything for this long, another client tries: this one may know the topic as it was before it was made again.
const DOUBT: Duration = Duration::from_secs(3);

/// One consumer that is assigned one partition at a time.
pub(super) struct KafkaReader {
    source: Source,
    asker: Arc<Consumer>,
    /// The partition being read, and the offset it stands at: a read that goes on there needs no new assignment.
    current: Option<(String, i32, i64)>,
}

impl KafkaReader {
    pub(super) fn new(source: Source, asker: Arc<Consumer>) -> Self {
        Self { source, asker, current: None }
    }

    fn topic(&self, topic: &str) -> Result<Option<topic_id::Topic>, LogError> {
        match topic_id::describe(&self.asker, &[topic], PATIENCE)?.remove(topic) {
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => Err(LogError::Unavailable(error)),
            None => Ok(None),
        }
    }

    fn bounds(&self, topic: &str, partition: i32) -> Result<Bounds, ReadError> {
        let list = |at| offsets::list(&self.asker, topic, [partition], at, PATIENCE);
        let bounds = list(At::Earliest).and_then(|earliest| Ok((earliest, list(At::End)?)));
        match bounds {
            Ok((earliest, end)) => match (earliest.get(&partition), end.get(&partition)) {
                (Some(&earliest), Some(&end)) => Ok(Bounds { earliest, end }),
                _ => Err(ReadError::Unknown),
            },
            // The error of a partition that is not there is not told from that of one without leader.
            Err(error) => match self.topic(topic)? {
                Some(found) if found.partitions.contains_key(&partition) => Err(error.into()),
                _ => Err(ReadError::Unknown),
            },
        }
    }

    /// Turns to a partition. `None`: there is nothing at or after `from`.
    fn turn_to(&mut self, topic: &str, partition: i32, from: i64) -> Result<Option<()>, ReadError> {
        let bounds = self.bounds(topic, partition)?;
        if from < bounds.earliest || from > bounds.end {
            return Err(ReadError::OutOfRange(bounds));
        }
        if from == bounds.end {
            return Ok(None);
        }
        self.assign(topic, partition, from)?;
        Ok(Some(()))
    }

    fn assign(&self, topic: &str, partition: i32, from: i64) -> Result<(), LogError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(from)).map_err(log_error)?;
        assignment::replace(self.source.queue().consumer(), &list).map_err(log_error)
    }

    fn turn_away(&mut self) {
        self.current = None;
        if let Err(error) = assignment::clear(self.source.queue().consumer()) {
            tracing::warn!(%error, "a partition could not be unassigned");
        }
    }
}

impl Reader for KafkaReader {
    fn describe(&mut self, topic: &str) -> Result<Option<Description>, LogError> {
        let Some(found) = self.topic(topic)? else { return Ok(None) };
        let list = |at| offsets::list(&self.asker, topic, found.partitions.keys().copied(), at, PATIENCE);
        let (earliest, end) = (list(At::Earliest)?, list(At::End)?);
        let bounds = |(partition, end)| Some((partition, Bounds { earliest: *earliest.get(&partition)?, end }));
        Ok(Some(Description {
            id: found.id,
            partitions: end.into_iter().filter_map(bounds).collect::<BTreeMap<_, _>>(),
        }))
    }

    fn offsets_at(&mut self, topic: &str, time: i64) -> Result<Offsets, LogError> {
        let Some(found) = self.topic(topic)? else { return Ok(Offsets::new()) };
        let list = |at| offsets::list(&self.asker, topic, found.partitions.keys().copied(), at, PATIENCE);
        let mut offsets = list(At::End)?;
        for (partition, offset) in list(At::Time(time))? {
            // Timed offsets know no transactions: one that is open may lie before.
            offsets.entry(partition).and_modify(|end| *end = offset.min(*end));
        }
        Ok(offsets)
    }

    fn read(
        &mut self,
        topic: &str,
        partition: i32,
        from: i64,
        limit: Limit,
        sink: &mut dyn FnMut(Record<'_>),
    ) -> Result<Chunk, ReadError> {
        if from >= limit.until || limit.records == 0 || limit.bytes == 0 {
            return Ok(Chunk { next: from, end: false });
        }
        let goes_on = self.current.take().is_some_and(|(t, p, next)| t == topic && p == partition && next == from);
        if !goes_on && self.turn_to(topic, partition, from)?.is_none() {
            return Ok(Chunk { next: from, end: true });
        }
        let (mut next, mut records, mut bytes) = (from, 0, 0);
        let mut heard = Instant::now();
        let mut exchanged = false;
        loop {
            let queue = Arc::clone(self.source.queue());
            match queue.poll(Duration::from_millis(100)) {
                // Left over from the partition before.
                Polled::Message(message)
                    if message.partition() != partition || message.topic() != topic || message.offset() < next => {}
                Polled::Message(message) if message.offset() >= limit.until => {
                    drop(message);
                    self.turn_away();
                    return Ok(Chunk { next: limit.until, end: false });
                }
                Polled::Message(message) => {
                    let record = message.record();
                    next = record.offset + 1;
                    records += 1;
                    bytes += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
                    sink(record);
                    heard = Instant::now();
                    if records >= limit.records || bytes >= limit.bytes || next >= limit.until {
                        self.current = Some((topic.to_owned(), partition, next));
                        return Ok(Chunk { next, end: false });
                    }
                }
                Polled::End { topic: t, partition: p, next: end } if t == topic && p == partition && end >= next => {
                    // An idle assignment would go on asking the broker.
                    self.turn_away();
                    return Ok(Chunk { next: end, end: true });
                }
                Polled::Error { fatal: true, reason, .. } => return Err(LogError::Fatal(reason).into()),
                Polled::Error { topic: t, partition: p, code, reason, .. } if t == topic && p == partition => {
                    tracing::debug!(topic, partition, next, %code, reason, "a partition can not be read on");
                    let lost = matches!(
                        code,
                        RDKafkaErrorCode::AutoOffsetReset
                            | RDKafkaErrorCode::OffsetOutOfRange
                            | RDKafkaErrorCode::UnknownTopicOrPartition
                            | RDKafkaErrorCode::UnknownPartition
                            | RDKafkaErrorCode::UnknownTopic
                    );
                    if lost {
                        self.turn_away();
                        if records > 0 {
                            return Ok(Chunk { next, end: false });
                        }
                        let bounds = self.bounds(topic, partition)?;
                        if (bounds.earliest..=bounds.end).contains(&from) {
                            // Said of what was read before, or not true any more.
                            return Err(
                                LogError::Unavailable(format!("{topic}[{partition}]: {reason} ({code})")).into()
                            );
                        }
                        return Err(ReadError::OutOfRange(bounds));
                    }
                }
                _ => {}
            }
            drop(queue);
            if heard.elapsed() > DOUBT && !exchanged {
                exchanged = true;
                self.source.exchange()?;
                self.assign(topic, partition, next)?;
            }
            if heard.elapsed() > SILENCE {
                self.turn_away();
                if records > 0 {
                    return Ok(Chunk { next, end: false });
                }
                return Err(LogError::Unavailable(format!("nothing was heard of {topic}[{partition}]")).into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::kafka::client_config::{self, Role};
    use crate::kafka::health::Context;
    use crate::kafka::queue::Queue;

    #[test]
    fn what_lies_within_a_partition_is_not_out_of_its_range() {
        let cluster = MockCluster::new(1).expect("a cluster");
        cluster.create_topic("orders", 1, 1).expect("a topic");
        let settings = BTreeMap::from([("bootstrap.servers".into(), cluster.bootstrap_servers())]);
        let context = Context::new().0;
        let producer: BaseProducer = client_config::config(&settings, Role::Producer).create().expect("a producer");
        producer.send(BaseRecord::<(), str>::to("orders").payload("one")).expect("a record");
        producer.flush(Duration::from_secs(30)).expect("it is on the log");
        let consumer = |role| client_config::create(&settings, role, context.clone()).expect("a consumer");
        let asker = Arc::new(consumer(Role::Asker));
        let make = move || {
            Ok(Queue::new(client_config::create(&settings, Role::Reader, context.clone())?).expect("its queue"))
        };
        let mut reader = KafkaReader::new(Source::new(Box::new(make)).expect("a client"), asker);
        let limit = Limit { until: i64::MAX, records: 10, bytes: 1000 };
        cluster.request_errors(RDKafkaApiKey::Fetch, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE]);
        let outcome = reader.read("orders", 0, 0, limit, &mut |_| ());
        assert!(matches!(outcome, Err(ReadError::Log(LogError::Unavailable(_)))), "{outcome:?}");
        let mut read = 0;
        let outcome = reader.read("orders", 0, 0, limit, &mut |_| read += 1);
        assert!(matches!(outcome, Ok(Chunk { next: 1, end: true })), "{outcome:?}");
        assert_eq!(read, 1);
    }
}

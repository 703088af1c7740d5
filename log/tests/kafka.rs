//! The contract on a real Apache Kafka, and what only Kafka does.

#[path = "../../tests/src/kafka.rs"]
#[allow(dead_code, unreachable_pub, reason = "the harness serves other tests too")]
mod harness;

#[allow(dead_code, unreachable_pub, reason = "shared with the embedded log's tests")]
mod conformance;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use conformance::{
    ALL, Follower, LONG, LogUnderTest, Seen, append, append_all, eventually, read, read_all, text, texts,
};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tidegate_log::kafka::{KafkaLog, KafkaOptions};
use tidegate_log::{Limit, Log, NewRecord};

conformance::conformance!(crate::RealKafka::shared());

/// A log on a broker, and clients that are not ours beside it.
struct RealKafka {
    bootstrap: String,
    log: KafkaLog,
}

impl RealKafka {
    /// A log of its own on the broker that all tests share.
    fn shared() -> Self {
        static BROKER: OnceLock<harness::Kafka> = OnceLock::new();
        Self::on(BROKER.get_or_init(harness::Kafka::shared))
    }

    fn on(broker: &harness::Kafka) -> Self {
        let settings = BTreeMap::from([("bootstrap.servers".to_owned(), broker.bootstrap())]);
        let options = KafkaOptions { discovery: Duration::from_millis(300), ..KafkaOptions::new(settings) };
        Self { bootstrap: broker.bootstrap(), log: KafkaLog::open(options).unwrap() }
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().unwrap()
    }

    fn transactional(&self) -> BaseProducer {
        let id = uuid::Uuid::new_v4().to_string();
        let producer: BaseProducer = self.config().set("transactional.id", id).create().unwrap();
        producer.init_transactions(LONG).unwrap();
        producer
    }
}

impl LogUnderTest for RealKafka {
    fn log(&self) -> &dyn Log {
        &self.log
    }

    fn append_at(&self, record: NewRecord, timestamp: i64) {
        let producer: BaseProducer = self.config().create().unwrap();
        let (key, value) = (record.key.unwrap(), record.value.unwrap());
        producer.send(BaseRecord::to(&record.topic).key(&key).payload(&value).timestamp(timestamp)).unwrap();
        producer.flush(LONG).unwrap();
    }

    fn add_partitions(&self, topic: &str, partitions: i32) {
        let new = NewPartitions::new(topic, partitions as usize);
        block_on(self.admin().create_partitions([&new], &AdminOptions::new())).unwrap()[0].as_ref().unwrap();
    }

    fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before)).unwrap();
        let deleted = block_on(self.admin().delete_records(&list, &AdminOptions::new())).unwrap();
        deleted.elements()[0].error().unwrap();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Sends to partition 0, outside what the log does.
fn send(producer: &BaseProducer, topic: &str, value: &str) {
    producer.send(BaseRecord::<str, str>::to(topic).partition(0).key("k").payload(value)).unwrap();
    producer.poll(Duration::ZERO);
}

#[test]
fn aborted_transactions_are_holes() {
    let it = RealKafka::shared();
    let topic = conformance::topic(it.log(), "aborted", 1);
    let (mut follower, _) = Follower::at_end(it.log(), &topic);
    let producer = it.transactional();
    for round in 0..3 {
        producer.begin_transaction().unwrap();
        send(&producer, &topic, &format!("aborted {round}"));
        producer.flush(LONG).unwrap();
        producer.abort_transaction(LONG).unwrap();
        producer.begin_transaction().unwrap();
        send(&producer, &topic, &format!("committed {round}"));
        producer.commit_transaction(LONG).unwrap();
    }
    producer.begin_transaction().unwrap();
    for _ in 0..500 {
        send(&producer, &topic, "aborted at the end");
    }
    producer.flush(LONG).unwrap();
    producer.abort_transaction(LONG).unwrap();

    let expected = ["committed 0", "committed 1", "committed 2"];
    assert_eq!(texts(&follower.records(3)), expected);
    let mut reader = it.log().reader().unwrap();
    let mut end = 0;
    // The marker of an abort is written after the answer to it.
    eventually("the end is after the hole", || {
        end = reader.describe(&topic).unwrap().unwrap().partitions[&0].end;
        end > 500
    });
    // The tail's last word is the end, though no record stands before it.
    follower.until("caught up after the hole", |seen| matches!(seen, Seen::CaughtUp(_, 0, next) if *next == end));
    let (history, next) = read_all(&mut *reader, &topic, 0, 0);
    assert_eq!((texts(&history), next), (expected.map(String::from).to_vec(), end));
    // From within the hole: nothing, and then the end.
    assert_eq!(read_all(&mut *reader, &topic, 0, end - 100), (vec![], end));
}

#[test]
fn an_open_transaction_is_not_there_yet_and_comes_when_committed() {
    let it = RealKafka::shared();
    let topic = conformance::topic(it.log(), "open", 1);
    append(it.log(), text(&topic, "k", "before"));
    let producer = it.transactional();
    producer.begin_transaction().unwrap();
    send(&producer, &topic, "open");
    producer.flush(LONG).unwrap();
    append(it.log(), text(&topic, "k", "behind the open one"));

    // Who begins now begins before what is open.
    let mut reader = it.log().reader().unwrap();
    assert_eq!(reader.describe(&topic).unwrap().unwrap().partitions[&0].end, 1);
    let (history, end) = read_all(&mut *reader, &topic, 0, 0);
    assert_eq!((texts(&history), end), (vec!["before".into()], 1));
    assert_eq!(reader.offsets_at(&topic, i64::MAX / 2).unwrap(), [(0, 1)].into());
    let (mut follower, key) = Follower::at_end(it.log(), &topic);
    follower.until("caught up before it", |seen| *seen == Seen::CaughtUp(key, 0, 1));
    assert_eq!(conformance::records(&follower.seen), []);

    producer.commit_transaction(LONG).unwrap();
    assert_eq!(texts(&follower.records(2)), ["open", "behind the open one"]);
    assert_eq!(texts(&read_all(&mut *reader, &topic, 0, end).0), ["open", "behind the open one"]);
}

#[test]
fn every_codec_is_read() {
    let it = RealKafka::shared();
    let topic = conformance::topic(it.log(), "codecs", 1);
    let (mut follower, _) = Follower::at_end(it.log(), &topic);
    let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
    for codec in codecs {
        let producer: BaseProducer = it.config().set("compression.codec", codec).create().unwrap();
        for n in 0..100 {
            send(&producer, &topic, &format!("{codec} {n} {}", "again ".repeat(100)));
        }
        producer.flush(LONG).unwrap();
    }
    let records = follower.records(500);
    for (index, text) in texts(&records).iter().enumerate() {
        assert!(text.starts_with(&format!("{} {} ", codecs[index / 100], index % 100)), "{text}");
    }
    assert_eq!(read_all(&mut *it.log().reader().unwrap(), &topic, 0, 0).0, records);
}

#[test]
fn compacted_records_are_holes() {
    let it = RealKafka::shared();
    let name = conformance::unique("compacted");
    let new = NewTopic::new(&name, 1, TopicReplication::Fixed(1))
        .set("cleanup.policy", "compact")
        .set("segment.bytes", "1048576")
        .set("segment.ms", "100")
        .set("min.cleanable.dirty.ratio", "0.01")
        .set("max.compaction.lag.ms", "100");
    block_on(it.admin().create_topics([&new], &AdminOptions::new())).unwrap()[0].as_ref().unwrap();
    append_all(it.log(), (0..100).map(|n| text(&name, "same", &format!("{n}"))));
    let mut reader = it.log().reader().unwrap();
    let deadline = Instant::now() + LONG;
    loop {
        // Another segment, so that those before may be compacted.
        append(it.log(), text(&name, "other", "x"));
        let (history, end) = read_all(&mut *reader, &name, 0, 0);
        assert_eq!(reader.describe(&name).unwrap().unwrap().partitions[&0].end, end);
        assert!(texts(&history).contains(&"99".to_owned()), "the newest of a key stays");
        if history.len() < 50 {
            // A read that stops in the hole goes on behind it.
            let (before, chunk) = read(&mut *reader, &name, 0, 0, Limit { until: 50, ..ALL }).unwrap();
            assert_eq!((before.len(), chunk.end), (0, false));
            assert_eq!(read_all(&mut *reader, &name, 0, chunk.next).0[0].offset, 99);
            return;
        }
        assert!(Instant::now() < deadline, "the broker never compacted");
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn a_record_for_no_topic_is_refused() {
    let it = RealKafka::shared();
    let outcome = append_all(it.log(), [text(&conformance::unique("none"), "k", "v")]).remove(0);
    assert!(matches!(outcome, Err(tidegate_log::AppendError::Rejected(_))), "{outcome:?}");
}

#[test]
fn retention_that_overtakes_the_tail_costs_records_but_not_the_tail() {
    let it = RealKafka::shared();
    let topic = conformance::topic(it.log(), "overtaken", 1);
    let (mut follower, _) = Follower::at_end(it.log(), &topic);
    // Larger than what is fetched ahead, so that the rest is still to be fetched when it is deleted.
    let large = "x".repeat(900_000);
    for n in 0..100 {
        append(it.log(), text(&topic, "k", &format!("{n} {large}")));
    }
    follower.round(Duration::from_secs(5), 1);
    it.delete_records(&topic, 0, 90);
    follower.until("the last record", |seen| matches!(seen, Seen::Record(_, record) if record.offset == 99));
    let offsets: Vec<i64> = conformance::records(&follower.seen).iter().map(|record| record.offset).collect();
    assert!(offsets.is_sorted() && offsets.ends_with(&[90, 91, 92, 93, 94, 95, 96, 97, 98, 99]), "{offsets:?}");
    append(it.log(), text(&topic, "k", "on"));
    follower.until("what comes after", |seen| matches!(seen, Seen::Record(_, record) if record.offset == 100));
}

/// Leaders are counted anew with each topic. A client that knew the old one takes what it hears of the new for outdated.
#[test]
fn what_is_made_again_is_read_though_the_old_one_had_more_leaders() {
    let broker = harness::Kafka::start();
    let it = RealKafka::on(&broker);
    let names = ["followed", "left"].map(|name| conformance::topic(it.log(), name, 1));
    let [followed, left] = &names;
    let (mut follower, _) = Follower::at_end(it.log(), followed);
    let left_key = follower.tail.follow(left);
    follower.until("opened", |seen| matches!(seen, Seen::Opened(key, Some(_), _) if *key == left_key));
    let mut reader = it.log().reader().unwrap();
    broker.stop();
    broker.restart();
    for name in &names {
        append(it.log(), text(name, "k", "before"));
    }
    follower.records(2);
    for name in &names {
        assert_eq!(texts(&read_all(&mut *reader, name, 0, 0).0), ["before"]);
    }

    follower.tail.unfollow(left_key);
    for name in &names {
        it.log().delete_topic(name).unwrap();
        eventually("gone", || reader.describe(name).unwrap().is_none());
        conformance::create(it.log(), name, 1);
        append(it.log(), text(name, "k", "after"));
    }
    assert_eq!(texts(&follower.records(3))[2..], ["after"]);
    let again = follower.tail.follow(left);
    follower.until("opened", |seen| matches!(seen, Seen::Opened(key, Some(_), _) if *key == again));
    append(it.log(), text(left, "k", "on"));
    assert_eq!(texts(&follower.records(4))[3..], ["on"]);
    assert_eq!(texts(&read_all(&mut *reader, followed, 0, 0).0), ["after"]);
    assert_eq!(texts(&read_all(&mut *reader, left, 0, 0).0), ["after", "on"]);
}

#[test]
fn outages_are_seen_and_survived() {
    let broker = harness::Kafka::start();
    let it = RealKafka::on(&broker);
    let topic = conformance::topic(it.log(), "outage", 1);
    let (mut follower, _) = Follower::at_end(it.log(), &topic);
    append(it.log(), text(&topic, "k", "before"));
    follower.records(1);
    let available = it.log().available();
    eventually("available", || *available.borrow());

    let mut outage = |stop: &dyn Fn(), start: &dyn Fn()| {
        let count = conformance::records(&follower.seen).len();
        stop();
        let begun = Instant::now();
        while *available.borrow() {
            follower.round(Duration::from_millis(20), 10);
            assert!(begun.elapsed() < LONG, "an outage is seen");
        }
        let took = begun.elapsed();
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        it.log().append(text(&topic, "k", "meanwhile"), Box::new(move |outcome| sender.send(outcome).unwrap()));
        start();
        receiver.recv_timeout(LONG).unwrap().unwrap();
        eventually("available again", || *available.borrow());
        append(it.log(), text(&topic, "k", "after"));
        assert_eq!(texts(&follower.records(count + 2))[count..], ["meanwhile", "after"]);
        took < Duration::from_secs(6)
    };
    // A busy machine stands still for a moment now and then: one of three is seen in time.
    let stopped = (0..3).any(|_| outage(&|| broker.stop(), &|| broker.restart()));
    let frozen = (0..3).any(|_| outage(&|| broker.freeze(true), &|| broker.freeze(false)));
    assert!(stopped && frozen, "an outage is seen within 5 s");
    let (history, _) = read_all(&mut *it.log().reader().unwrap(), &topic, 0, 0);
    assert_eq!(history, conformance::records(&follower.seen), "nothing lost, nothing twice");
}

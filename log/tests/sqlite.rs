//! The contract on the embedded log, and what only a file does.

#[allow(dead_code, unreachable_pub, reason = "shared with Kafka's tests")]
mod conformance;

use std::sync::mpsc;
use std::time::Duration;

use conformance::{Follower, LONG, LogUnderTest, Seen, append, append_all, eventually, read_all, text, texts};
use tidegate_log::sqlite::{Retention, SqliteLog, SqliteOptions};
use tidegate_log::{AppendError, Log, LogError, NewRecord, NewTopic};

conformance::conformance!(crate::Embedded::new());

/// A log in a directory of its own, with gaps.
struct Embedded {
    log: SqliteLog,
    directory: tempfile::TempDir,
}

impl Embedded {
    fn new() -> Self {
        Self::with(|options| options.gaps = true)
    }

    fn with(change: impl FnOnce(&mut SqliteOptions)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut options = SqliteOptions::new(directory.path().join("log.db"));
        change(&mut options);
        Self { log: SqliteLog::open(&options).unwrap(), directory }
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("log.db")
    }
}

impl LogUnderTest for Embedded {
    fn log(&self) -> &dyn Log {
        &self.log
    }

    fn append_at(&self, record: NewRecord, timestamp: i64) {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.log.append_at(record, timestamp, Box::new(move |outcome| sender.send(outcome).unwrap()));
        receiver.recv_timeout(LONG).unwrap().unwrap();
    }

    fn add_partitions(&self, topic: &str, partitions: i32) {
        self.log.add_partitions(topic, partitions).unwrap();
    }

    fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        self.log.delete_records(topic, partition, before).unwrap();
    }
}

#[test]
fn belongs_to_one_at_a_time_and_outlives_each() {
    let it = Embedded::new();
    let topic = conformance::topic(it.log(), "kept", 2);
    append_all(it.log(), (0..10).map(|n| text(&topic, &format!("{n}"), "v")));
    let before = it.log().reader().unwrap().describe(&topic).unwrap();

    let LogError::Fatal(reason) = SqliteLog::open(&SqliteOptions::new(it.path())).unwrap_err() else { panic!() };
    assert!(reason.contains("in use by another bridge"), "{reason}");

    let Embedded { log, directory } = it;
    drop(log);
    let again = SqliteLog::open(&SqliteOptions::new(directory.path().join("log.db"))).unwrap();
    let mut reader = again.reader().unwrap();
    assert_eq!(reader.describe(&topic).unwrap(), before, "the same topic, id and ends");
    let count: usize = (0..2).map(|partition| read_all(&mut *reader, &topic, partition, 0).0.len()).sum();
    assert_eq!(count, 10);
}

#[test]
fn has_gaps_when_asked() {
    let it = Embedded::new();
    let topic = conformance::topic(it.log(), "gaps", 1);
    for n in 0..20 {
        append(it.log(), text(&topic, "k", &format!("{n}")));
    }
    let (records, end) = read_all(&mut *it.log().reader().unwrap(), &topic, 0, 0);
    assert_eq!(records.len(), 20);
    assert!(records.windows(2).any(|two| two[1].offset > two[0].offset + 1), "between");
    assert!(end > records.last().unwrap().offset + 1, "and before the end");
}

#[test]
fn makes_topics_for_records_or_refuses_them() {
    let it = Embedded::with(|options| options.new_topics = Some(3));
    let (mut follower, _) = Follower::at_end(it.log(), "made.by-append");
    append(it.log(), text("made.by-append", "k", "v"));
    assert_eq!(texts(&follower.records(1)), ["v"], "from its beginning");
    assert_eq!(it.log().reader().unwrap().describe("made.by-append").unwrap().unwrap().partitions.len(), 3);
    let nameless = append_all(it.log(), [text("no/name", "k", "v")]).remove(0);
    assert!(matches!(nameless, Err(AppendError::Rejected(_))));

    let it = Embedded::with(|options| options.new_topics = None);
    let refused = append_all(it.log(), [text("unknown", "k", "v")]).remove(0);
    assert!(matches!(refused, Err(AppendError::Rejected(_))));
    assert_eq!(it.log().reader().unwrap().describe("unknown").unwrap(), None);
}

#[test]
fn keeps_the_newest_records() {
    let retention = Retention { records: Some(10), age: None };
    let it = Embedded::with(|options| options.retention = retention);
    let topic = conformance::topic(it.log(), "newest", 1);
    append_all(it.log(), (0..50).map(|n| text(&topic, "k", &format!("{n}"))));
    let mut reader = it.log().reader().unwrap();
    let mut earliest = || reader.describe(&topic).unwrap().unwrap().partitions[&0].earliest;
    eventually("the older ones are gone", || earliest() == 40);
    assert_eq!(read_all(&mut *it.log().reader().unwrap(), &topic, 0, 40).0.len(), 10);
}

#[test]
fn keeps_the_young_records() {
    let retention = Retention { records: None, age: Some(Duration::from_hours(1)) };
    let it = Embedded::with(|options| options.retention = retention);
    let topic = conformance::topic(it.log(), "young", 1);
    for n in 0..5 {
        it.append_at(text(&topic, "k", "old"), 1_700_000_000_000 + n);
    }
    append(it.log(), text(&topic, "k", "new"));
    let mut reader = it.log().reader().unwrap();
    eventually("the old ones are gone", || reader.describe(&topic).unwrap().unwrap().partitions[&0].earliest == 5);
    assert_eq!(texts(&read_all(&mut *reader, &topic, 0, 5).0), ["new"]);
}

#[test]
fn retention_that_overtakes_the_tail_costs_records_but_not_the_tail() {
    let it = Embedded::with(|_| {});
    let topic = conformance::topic(it.log(), "overtaken", 1);
    let (mut follower, key) = Follower::at_end(it.log(), &topic);
    append_all(it.log(), (0..10).map(|n| text(&topic, "k", &format!("{n}"))));
    it.delete_records(&topic, 0, 7);
    assert_eq!(texts(&follower.records(3)), ["7", "8", "9"]);
    follower.until("caught up", |seen| *seen == Seen::CaughtUp(key, 0, 10));
}

#[test]
fn commits_together_what_waits_together() {
    let it = Embedded::with(|_| {});
    let topic = conformance::topic(it.log(), "group", 1);
    let begun = std::time::Instant::now();
    let outcomes = append_all(it.log(), (0..20_000).map(|n| text(&topic, "k", &format!("{n}"))));
    assert!(outcomes.iter().all(Result::is_ok));
    // One fsync a record would take minutes.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn keeps_all_of_a_compacted_topic() {
    let retention = Retention { records: Some(1), age: Some(Duration::from_hours(1)) };
    let it = Embedded::with(|options| options.retention = retention);
    let compacted = NewTopic { partitions: Some(1), ..NewTopic::named("kept") }.with("cleanup.policy", "compact");
    it.log().create_topics(&[compacted]).unwrap();
    let plain = conformance::topic(it.log(), "plain", 1);
    for topic in ["kept", &plain] {
        for n in 0..5 {
            it.append_at(text(topic, "k", "old"), 1_700_000_000_000 + n);
        }
    }
    let mut reader = it.log().reader().unwrap();
    let mut earliest = |topic: &str| reader.describe(topic).unwrap().unwrap().partitions[&0].earliest;
    eventually("the plain one is cleaned", || earliest(&plain) > 0);
    assert_eq!(earliest("kept"), 0);
    assert_eq!(read_all(&mut *it.log().reader().unwrap(), "kept", 0, 0).0.len(), 5);
}

#[test]
fn reads_the_form_of_file_before() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    let options = SqliteOptions::new(&path);
    drop(SqliteLog::open(&options).unwrap());
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute_batch("ALTER TABLE topics DROP COLUMN compacted; PRAGMA user_version = 1;").unwrap();
    drop(file);
    let log = SqliteLog::open(&options).unwrap();
    append(&log, text("orders", "k", "v"));
    drop(log);
    assert_eq!(SqliteLog::open(&options).unwrap().cluster().unwrap().topics["orders"].partitions, 1);
}

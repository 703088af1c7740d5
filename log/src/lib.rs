//! Where events are durable: one contract, two makers.
//!
//! [`Log`] is Apache Kafka (`kafka`) or the embedded SQLite log (`sqlite`). What readers may rely on,
//! and what the conformance suite checks of both:
//!
//! - Offsets rise within a partition and have gaps.
//! - "Caught up" is the end of the partition as a `read_committed` reader sees it, never an offset's arithmetic.
//! - Headers are an ordered list with repeats and null values; a null key is not an empty one.
//! - Timestamps are milliseconds and may go back.
//! - New topics and partitions are found within [`DISCOVERY`] and read from their beginning.
//! - A topic that is deleted and made again has another [`TopicId`].
//!
//! The log knows no tenants, and nothing outside `kafka/` names rdkafka.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;

mod administration;
pub mod kafka;
pub mod sqlite;

pub use administration::{Cluster, Made, NewTopic, TopicSummary};

/// How often new topics and partitions are looked for.
pub const DISCOVERY: Duration = Duration::from_secs(5);

/// A topic's own identity; another one under the same name is another log.
pub type TopicId = [u8; 16];

/// Next offset to read in each partition.
pub type Offsets = BTreeMap<i32, i64>;

/// A durable, partitioned log of records.
pub trait Log: Send + Sync + 'static {
    /// A live reader for the feed's own thread.
    fn tail(&self) -> Result<Box<dyn Tail>, LogError>;

    /// A reader for history and for questions about topics, on another client than any tail's.
    fn reader(&self) -> Result<Box<dyn Reader>, LogError>;

    /// Appends a record; `done` is called once, from any thread, when it is durable or has failed.
    /// Never blocks: a full queue is answered as [`AppendError::Full`].
    fn append(&self, record: NewRecord, done: AppendDone);

    /// Waits, blocking, until what was appended is durable or failed, at most `limit`.
    fn flush(&self, limit: Duration);

    /// Whether the log can be reached, as last seen.
    fn available(&self) -> watch::Receiver<bool>;

    /// What there is: brokers, and all topics. Blocking.
    fn cluster(&self) -> Result<Cluster, LogError>;

    /// The settings of topics, by Kafka's names (`cleanup.policy`, `retention.ms`, …). Topics that are not there, or
    /// whose settings may not be read, are left out. Blocking.
    fn topic_settings(&self, topics: &[&str]) -> Result<BTreeMap<String, BTreeMap<String, String>>, LogError>;

    /// Makes topics, and says of each what became of it, in their order. One that exists stays as it is. Blocking.
    fn create_topics(&self, topics: &[NewTopic]) -> Result<Vec<Result<Made, LogError>>, LogError>;

    /// Makes a topic with the log's own defaults. Blocking. Making one that exists is no error.
    fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), LogError> {
        let topic = NewTopic { partitions: Some(partitions), ..NewTopic::named(topic) };
        self.create_topics(&[topic])?.into_iter().collect::<Result<Vec<_>, _>>().map(drop)
    }

    /// Deletes a topic. Blocking.
    fn delete_topic(&self, topic: &str) -> Result<(), LogError>;
}

/// Called with the outcome of an append.
pub type AppendDone = Box<dyn FnOnce(Result<Appended, AppendError>) + Send>;

/// Names a topic within one [`Tail`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicKey(pub u32);

/// Reads the ends of many topics, on one thread. Blocking.
pub trait Tail: Send {
    /// Begins to follow a topic, from its end; one that does not exist yet is read from its beginning
    /// once it does. Following a topic twice gives the same key.
    fn follow(&mut self, topic: &str) -> TopicKey;

    /// No longer follows it.
    fn unfollow(&mut self, topic: TopicKey);

    /// Waits up to `wait` for something to happen, then hands on all that has, until the budget is spent.
    fn read(&mut self, wait: Duration, budget: Budget, sink: &mut dyn FnMut(TailEvent<'_>)) -> Result<(), LogError>;

    /// Makes a `read` that waits return soon; to be called from other threads.
    fn waker(&self) -> Box<dyn Fn() + Send + Sync>;

    /// Records between each followed partition's position and its end, when last known.
    fn lag(&self, topic: TopicKey) -> u64;
}

/// How much one read hands on: it ends with the record that spends either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Records.
    pub records: usize,
    /// Bytes of their keys and values.
    pub bytes: usize,
}

impl Budget {
    /// Takes a record's share.
    pub(crate) fn take(&mut self, record: &Record<'_>) {
        let size = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(size);
    }

    /// Whether nothing more is to be handed on.
    pub(crate) fn is_spent(&self) -> bool {
        self.records == 0 || self.bytes == 0
    }
}

/// What a [`Tail`] tells.
#[derive(Debug)]
pub enum TailEvent<'a> {
    /// Partitions are read from here on: all of a topic when it is first found, later the new ones only.
    /// An empty list: the topic does not exist yet; it will be opened again, with an id, when it does.
    Opened {
        /// Which topic.
        topic: TopicKey,
        /// Its id; `None` while it does not exist.
        id: Option<TopicId>,
        /// Where each partition begins.
        offsets: Offsets,
    },
    /// A record.
    Record(TopicKey, Record<'a>),
    /// The end of a partition was reached; nothing below `next` is still to come.
    CaughtUp {
        /// Which topic.
        topic: TopicKey,
        /// Which partition.
        partition: i32,
        /// The next offset.
        next: i64,
    },
    /// The topic was deleted (it may be opened again with another id). Of one that was made again within
    /// [`DISCOVERY`], Kafka may have told some records already: they come again after it is opened.
    Closed(TopicKey),
}

/// Reads history and answers questions about topics. Blocking; one thread at a time.
pub trait Reader: Send {
    /// What is there of a topic; `None` if there is no such topic.
    fn describe(&mut self, topic: &str) -> Result<Option<Description>, LogError>;

    /// For each partition the first offset whose timestamp is at or after `time` (ms), else its end.
    fn offsets_at(&mut self, topic: &str, time: i64) -> Result<Offsets, LogError>;

    /// Reads one partition from an offset, until `limit` is reached or there is nothing more.
    fn read(
        &mut self,
        topic: &str,
        partition: i32,
        from: i64,
        limit: Limit,
        sink: &mut dyn FnMut(Record<'_>),
    ) -> Result<Chunk, ReadError>;
}

/// Where one [`Reader::read`] stops.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Records at most.
    pub records: usize,
    /// Bytes of keys and values after which no further record is read.
    pub bytes: usize,
    /// Offset that need not be read.
    pub until: i64,
}

/// How far one [`Reader::read`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// The next offset: all visible records below it were handed on.
    pub next: i64,
    /// The end of the partition was reached.
    pub end: bool,
}

/// A topic as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its id.
    pub id: TopicId,
    /// Its partitions.
    pub partitions: BTreeMap<i32, Bounds>,
}

/// What a partition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The oldest offset.
    pub earliest: i64,
    /// The end for a `read_committed` reader.
    pub end: i64,
}

/// A record, borrowed from the log's own memory.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Milliseconds since the epoch, if it has one.
    pub timestamp: Option<i64>,
    /// Key; `None` is null.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers, read only when asked for.
    pub headers: &'a dyn Headers,
}

/// A record's headers: an ordered list with repeats and null values.
pub trait Headers: std::fmt::Debug {
    /// Calls `each` with every header, in order, until it returns `false`.
    fn visit<'h>(&'h self, each: &mut dyn FnMut(&'h str, Option<&'h [u8]>) -> bool);
}

/// A record to append.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// Physical topic.
    pub topic: String,
    /// Key; `None` is null.
    pub key: Option<Vec<u8>>,
    /// Value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Where a record came to lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Partition: of the key as Java's producer would choose it.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// An append that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// More is waiting than may; try again.
    #[error("the log's queue is full")]
    Full,
    /// It was not, or not certainly, written; trying again may succeed.
    #[error("the log can not be reached: {0}")]
    Unavailable(String),
    /// It will not be written.
    #[error("the log refused the record: {0}")]
    Rejected(String),
}

/// A read of history that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The offset lies outside what the partition holds.
    #[error("offset outside {0:?}")]
    OutOfRange(Bounds),
    /// There is no such topic or partition.
    #[error("no such topic or partition")]
    Unknown,
    /// Anything else.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// A log that can not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// It can not be reached; it may come back by itself.
    #[error("the log can not be reached: {0}")]
    Unavailable(String),
    /// It never will: configuration, permission, damage.
    #[error("{0}")]
    Fatal(String),
}

//! The embedded log: one SQLite file, durable, of one process.
//!
//! One thread writes, and commits together what waits together; each [`Tail`] and
//! [`Reader`] reads on a connection of its own. What was committed is published in memory
//! (topics, partitions, ends), so that a tail knows at once what there is to read.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::{AppendDone, Cluster, Log, LogError, Made, NewRecord, NewTopic, Reader, Tail, TopicSummary};

mod headers;
mod murmur2;
mod reader;
mod state;
mod store;
mod tail;
mod writer;

use state::{Published, Topic};
use writer::{Change, Writer};

/// The one setting of a topic that the embedded log knows, by Kafka's name.
const CLEANUP_POLICY: &str = "cleanup.policy";

/// Where the embedded log lies, and what it keeps.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The file. It is made where it is missing; its directory is not.
    pub path: PathBuf,
    /// Partitions of a topic that is made because a record is appended to it; `None` refuses the record.
    pub new_topics: Option<i32>,
    /// What is kept.
    pub retention: Retention,
    /// Leaves holes between offsets, as Kafka's transactions and compaction do: for tests of what reads them.
    pub gaps: bool,
}

impl SqliteOptions {
    /// The file, and the usual rest.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), new_topics: Some(1), retention: Retention::default(), gaps: false }
    }
}

/// What is kept in each partition, unless its topic is compacted; without a limit, everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention {
    /// The newest so many records.
    pub records: Option<u64>,
    /// Records not older than this, and whatever lies behind one of them.
    pub age: Option<Duration>,
}

/// A SQLite file as a [`Log`].
#[derive(Debug)]
pub struct SqliteLog {
    path: PathBuf,
    published: Arc<Published>,
    available: watch::Receiver<bool>,
    /// Partitions of a topic that is made without a number of them.
    new_topics: i32,
    // Before the lock, so that the last commit is done when another process may begin.
    writer: Writer,
    _lock: File,
}

impl SqliteLog {
    /// Opens the log. It is an error if another process (or another [`SqliteLog`]) holds it.
    pub fn open(options: &SqliteOptions) -> Result<Self, LogError> {
        let lock = lock(&options.path)?;
        let connection = store::open_writer(&options.path)?;
        let published = Arc::new(Published::new(store::topics(&connection)?));
        let (sender, available) = watch::channel(true);
        let writer = Writer::start(connection, Arc::clone(&published), options, sender)
            .map_err(|error| LogError::Fatal(format!("no thread could be started: {error}")))?;
        let new_topics = options.new_topics.unwrap_or(1);
        Ok(Self { path: options.path.clone(), published, available, new_topics, writer, _lock: lock })
    }

    /// Appends with a timestamp (ms) of the caller's own, as an import of history does.
    pub fn append_at(&self, record: NewRecord, timestamp: i64, done: AppendDone) {
        self.writer.append(record, Some(timestamp), done);
    }

    /// Adds partitions to a topic until it has so many. Blocking.
    pub fn add_partitions(&self, topic: &str, partitions: i32) -> Result<(), LogError> {
        self.writer.change(Change::Topic { name: topic.into(), partitions, grow: true, compacted: false })
    }

    /// Deletes the records of a partition that lie before an offset. Blocking.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) -> Result<(), LogError> {
        self.writer.change(Change::DeleteRecords { name: topic.into(), partition, before })
    }
}

impl Log for SqliteLog {
    fn tail(&self) -> Result<Box<dyn Tail>, LogError> {
        let connection = store::open_reader(&self.path)?;
        Ok(Box::new(tail::SqliteTail::new(connection, Arc::clone(&self.published))))
    }

    fn reader(&self) -> Result<Box<dyn Reader>, LogError> {
        let connection = store::open_reader(&self.path)?;
        Ok(Box::new(reader::SqliteReader::new(connection, Arc::clone(&self.published))))
    }

    fn append(&self, record: NewRecord, done: AppendDone) {
        self.writer.append(record, None, done);
    }

    fn flush(&self, limit: Duration) {
        self.writer.flush(limit);
    }

    fn available(&self) -> watch::Receiver<bool> {
        self.available.clone()
    }

    fn cluster(&self) -> Result<Cluster, LogError> {
        let published = self.published.lock();
        let summary = |topic: &Topic| TopicSummary {
            partitions: u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX),
            replicas: 1,
        };
        Ok(Cluster {
            brokers: vec![0],
            topics: published.topics.iter().map(|(name, topic)| (name.clone(), summary(topic))).collect(),
            default_partitions: u32::try_from(self.new_topics).ok(),
            default_replicas: Some(1),
        })
    }

    fn topic_settings(&self, topics: &[&str]) -> Result<BTreeMap<String, BTreeMap<String, String>>, LogError> {
        let published = self.published.lock();
        let settings = |topic: &Topic| {
            let policy = if topic.compacted { "compact" } else { "delete" };
            BTreeMap::from([(CLEANUP_POLICY.to_owned(), policy.to_owned())])
        };
        let known = |name: &&str| Some(((*name).to_owned(), settings(published.topics.get(*name)?)));
        Ok(topics.iter().filter_map(known).collect())
    }

    fn create_topics(&self, topics: &[NewTopic]) -> Result<Vec<Result<Made, LogError>>, LogError> {
        let create = |topic: &NewTopic| {
            if topic.replicas.is_some_and(|replicas| replicas != 1) {
                return Err(LogError::Fatal(format!("{}: the embedded log has one replica of each topic", topic.name)));
            }
            let compacted = topic.settings.get(CLEANUP_POLICY).is_some_and(|policy| policy == "compact");
            let partitions = topic.partitions.unwrap_or(self.new_topics);
            let existed = self.published.lock().topics.contains_key(&topic.name);
            self.writer.change(Change::Topic { name: topic.name.clone(), partitions, grow: false, compacted })?;
            Ok(if existed { Made::Existed } else { Made::Created })
        };
        Ok(topics.iter().map(create).collect())
    }

    fn delete_topic(&self, topic: &str) -> Result<(), LogError> {
        self.writer.change(Change::Delete { name: topic.into() })
    }
}

/// Holds the log for this process: a lock on a file beside it, which the system lets go when the process ends.
fn lock(path: &Path) -> Result<File, LogError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(|error| LogError::Fatal(format!("{} can not be opened: {error}", Path::new(&name).display())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LogError::Fatal(format!(
            "{} is in use by another bridge: an embedded log belongs to one process at a time",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => {
            Err(LogError::Fatal(format!("{} can not be locked: {error}", Path::new(&name).display())))
        }
    }
}

//! The one thread that writes. What waits together is committed together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rusqlite::Connection;
use tokio::sync::watch;

use super::state::{Partition, Published, Topic};
use super::store::{self, log_error};
use super::{Retention, SqliteOptions, murmur2};
use crate::{AppendDone, AppendError, Appended, LogError, NewRecord};

/// Records that may wait.
const QUEUE_RECORDS: usize = 1 << 16;

/// Bytes that may wait.
const QUEUE_BYTES: usize = 64 << 20;

/// The largest record, as Kafka's brokers have a limit too.
const LARGEST: usize = 16 << 20;

/// Records of one commit.
const COMMIT: usize = 10_000;

/// How often retention is looked at, and a file that could not be written is tried again.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// Hands work to the thread.
#[derive(Debug)]
pub(super) struct Writer {
    // `None` when the log is being closed: the thread ends when all senders are gone.
    commands: Option<SyncSender<Command>>,
    waiting: Arc<Waiting>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What is asked of the thread.
enum Command {
    // Boxed, for the queue has room for as many commands as may wait.
    Append(Box<Append>),
    Change(Change, SyncSender<Result<(), LogError>>),
}

/// A record to be written.
struct Append {
    record: NewRecord,
    timestamp: Option<i64>,
    bytes: usize,
    done: AppendDone,
}

/// A change of topics.
#[derive(Debug)]
pub(super) enum Change {
    /// Makes a topic, or adds partitions to it; leaves one that has as many.
    Topic {
        name: String,
        partitions: i32,
        grow: bool,
        /// Whether one that is made is compacted: all its records are kept.
        compacted: bool,
    },
    Delete {
        name: String,
    },
    DeleteRecords {
        name: String,
        partition: i32,
        before: i64,
    },
}

/// How much waits to be written.
#[derive(Debug, Default)]
struct Waiting {
    records: AtomicUsize,
    bytes: AtomicUsize,
    lock: Mutex<()>,
    less: Condvar,
}

impl Waiting {
    fn remove(&self, records: usize, bytes: usize) {
        let _lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.records.fetch_sub(records, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.less.notify_all();
    }
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        published: Arc<Published>,
        options: &SqliteOptions,
        available: watch::Sender<bool>,
    ) -> std::io::Result<Self> {
        let (commands, commanded) = sync_channel(QUEUE_RECORDS);
        let waiting = Arc::new(Waiting::default());
        let topics = published.lock().topics.clone();
        let mut thread = Thread {
            connection,
            topics,
            published,
            waiting: Arc::clone(&waiting),
            available,
            new_topics: options.new_topics,
            gaps: options.gaps,
            retention: options.retention.clone(),
            keyless: 0,
        };
        let thread = std::thread::Builder::new().name("sqlite-writer".into()).spawn(move || thread.run(&commanded))?;
        Ok(Self { commands: Some(commands), waiting, thread: Some(thread) })
    }

    pub(super) fn append(&self, record: NewRecord, timestamp: Option<i64>, done: AppendDone) {
        let size = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers: usize = record.headers.iter().map(|(name, value)| name.len() + size(value)).sum();
        let bytes = size(&record.key) + size(&record.value) + headers;
        if bytes > LARGEST {
            return done(Err(AppendError::Rejected(format!("a record of {bytes} bytes; {LARGEST} are allowed"))));
        }
        self.waiting.records.fetch_add(1, Ordering::AcqRel);
        let before = self.waiting.bytes.fetch_add(bytes, Ordering::AcqRel);
        let append = Box::new(Append { record, timestamp, bytes, done });
        let unsent = match &self.commands {
            _ if before > 0 && before + bytes > QUEUE_BYTES => Some((append, AppendError::Full)),
            None => Some((append, closed())),
            Some(commands) => match commands.try_send(Command::Append(append)) {
                Err(TrySendError::Full(Command::Append(append))) => Some((append, AppendError::Full)),
                Err(TrySendError::Disconnected(Command::Append(append))) => Some((append, closed())),
                _ => None,
            },
        };
        if let Some((append, error)) = unsent {
            self.waiting.remove(1, bytes);
            (append.done)(Err(error));
        }
    }

    pub(super) fn change(&self, change: Change) -> Result<(), LogError> {
        let (sender, receiver) = sync_channel(1);
        if let Some(commands) = &self.commands {
            let _ = commands.send(Command::Change(change, sender));
        }
        receiver.recv().unwrap_or_else(|_| Err(LogError::Fatal("the embedded log is closed".into())))
    }

    pub(super) fn flush(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut lock = self.waiting.lock.lock().unwrap_or_else(PoisonError::into_inner);
        while self.waiting.records.load(Ordering::Acquire) > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                tracing::warn!("not all records that were to be appended are durable");
                return;
            }
            lock = self.waiting.less.wait_timeout(lock, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // What waits is still written.
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Thread {
    connection: Connection,
    /// As it will be published after the next commit.
    topics: BTreeMap<String, Topic>,
    published: Arc<Published>,
    waiting: Arc<Waiting>,
    available: watch::Sender<bool>,
    new_topics: Option<i32>,
    gaps: bool,
    retention: Retention,
    keyless: usize,
}

impl Thread {
    fn run(&mut self, commands: &Receiver<Command>) {
        let mut cleaned = Instant::now();
        loop {
            let first = match commands.recv_timeout(HOUSEKEEPING) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut appends = Vec::new();
            for command in first.into_iter().chain(commands.try_iter().take(COMMIT)) {
                match command {
                    Command::Append(append) => appends.push(*append),
                    Command::Change(change, answer) => {
                        // In the order they were asked for.
                        self.append(std::mem::take(&mut appends));
                        let _ = answer.send(self.commit(|it| it.change(&change)));
                    }
                }
            }
            self.append(appends);
            if cleaned.elapsed() >= HOUSEKEEPING {
                cleaned = Instant::now();
                if let Err(error) = self.clean() {
                    tracing::warn!(%error, "retention failed");
                }
            }
        }
    }

    /// Does something in one transaction, and lets all see it.
    fn commit<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, LogError>) -> Result<T, LogError> {
        let before = self.topics.clone();
        let done = self.connection.execute_batch("BEGIN IMMEDIATE").map_err(log_error).and_then(|()| work(self));
        let done = done.and_then(|value| {
            self.connection.execute_batch("COMMIT").map_err(log_error)?;
            Ok(value)
        });
        match &done {
            Ok(_) if before != self.topics => self.published.change(|topics| topics.clone_from(&self.topics)),
            Ok(_) => {}
            Err(_) => {
                // There may be none to roll back.
                let _ = self.connection.execute_batch("ROLLBACK");
                self.topics = before;
            }
        }
        let healthy = !matches!(&done, Err(LogError::Unavailable(_)));
        if self.available.send_replace(healthy) != healthy {
            tracing::warn!(healthy, "the embedded log's file");
        }
        done
    }

    fn append(&mut self, appends: Vec<Append>) {
        if appends.is_empty() {
            return;
        }
        let outcomes = self.commit(|it| {
            let mut touched = BTreeSet::new();
            let outcomes = appends
                .iter()
                .map(|append| it.insert(&append.record, append.timestamp.unwrap_or_else(now), &mut touched))
                .collect::<Result<Vec<_>, _>>()?;
            for (topic, partition) in touched {
                let partition = &mut it.topics.get_mut(&topic).expect("it was touched").partitions[partition];
                // As Kafka's transaction markers do, so that the end is no record's neighbour.
                partition.next += i64::from(it.gaps);
                store::update_partition(&it.connection, partition).map_err(log_error)?;
            }
            Ok(outcomes)
        });
        let bytes = appends.iter().map(|append| append.bytes).sum();
        let count = appends.len();
        let dones = appends.into_iter().map(|append| append.done);
        match outcomes {
            Ok(outcomes) => dones.zip(outcomes).for_each(|(done, outcome)| finish(done, outcome)),
            Err(error) => dones.for_each(|done| finish(done, Err(AppendError::Unavailable(error.to_string())))),
        }
        self.waiting.remove(count, bytes);
    }

    /// Writes one record; the inner error is of this record only.
    fn insert(
        &mut self,
        record: &NewRecord,
        timestamp: i64,
        touched: &mut BTreeSet<(String, usize)>,
    ) -> Result<Result<Appended, AppendError>, LogError> {
        if !self.topics.contains_key(&record.topic) {
            let Some(partitions) = self.new_topics else {
                return Ok(Err(AppendError::Rejected(format!("there is no topic {}", record.topic))));
            };
            if let Err(reason) = topic_name(&record.topic) {
                return Ok(Err(AppendError::Rejected(reason)));
            }
            self.grow(&record.topic, partitions, false)?;
        }
        let topic = self.topics.get_mut(&record.topic).expect("it is there or was made");
        let count = topic.partitions.len() as i32;
        let index = if let Some(key) = &record.key {
            murmur2::partition(key, count)
        } else {
            self.keyless += 1;
            (self.keyless % topic.partitions.len()) as i32
        };
        let partition = &mut topic.partitions[index as usize];
        if self.gaps && partition.next % 3 == 1 {
            partition.next += 2;
        }
        store::insert_record(&self.connection, partition, record, timestamp).map_err(log_error)?;
        let offset = partition.next;
        partition.next += 1;
        partition.newest = partition.newest.max(timestamp);
        touched.insert((record.topic.clone(), index as usize));
        Ok(Ok(Appended { partition: index, offset }))
    }

    fn change(&mut self, change: &Change) -> Result<(), LogError> {
        match change {
            Change::Topic { name, partitions, grow, compacted } => {
                topic_name(name).map_err(LogError::Fatal)?;
                if *grow || !self.topics.contains_key(name) {
                    self.grow(name, *partitions, *compacted)?;
                }
            }
            Change::Delete { name } => {
                if let Some(topic) = self.topics.remove(name) {
                    store::delete_topic(&self.connection, &topic).map_err(log_error)?;
                }
            }
            Change::DeleteRecords { name, partition, before } => {
                let index = usize::try_from(*partition).unwrap_or(usize::MAX);
                let found = self.topics.get_mut(name).and_then(|topic| topic.partitions.get_mut(index));
                let Some(partition) = found else {
                    return Err(LogError::Fatal(format!("there is no partition {partition} of {name}")));
                };
                cut(&self.connection, partition, *before)?;
            }
        }
        Ok(())
    }

    fn grow(&mut self, name: &str, partitions: i32, compacted: bool) -> Result<(), LogError> {
        let partitions = usize::try_from(partitions).ok().filter(|count| (1..=10_000).contains(count));
        let partitions =
            partitions.ok_or_else(|| LogError::Fatal(format!("{name}: a topic has 1 to 10,000 partitions")))?;
        let mut topic = match self.topics.remove(name) {
            Some(topic) => topic,
            None => store::insert_topic(&self.connection, name, compacted).map_err(log_error)?,
        };
        while topic.partitions.len() < partitions {
            store::insert_partition(&self.connection, &mut topic).map_err(log_error)?;
        }
        self.topics.insert(name.to_owned(), topic);
        Ok(())
    }

    /// Deletes what retention no longer keeps.
    fn clean(&mut self) -> Result<(), LogError> {
        // Without a change it only proves that the file can be written (again).
        if self.retention == Retention::default() && *self.available.borrow() {
            return Ok(());
        }
        let retention = self.retention.clone();
        self.commit(|it| {
            let topics = it.topics.values_mut().filter(|topic| !topic.compacted);
            for partition in topics.flat_map(|topic| &mut topic.partitions) {
                let mut keep_from = partition.earliest;
                if let Some(records) = retention.records {
                    let first = store::newest_records(&it.connection, partition, records).map_err(log_error)?;
                    keep_from = keep_from.max(first.unwrap_or(0));
                }
                if let Some(age) = retention.age {
                    let time = now() - i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                    let first = store::first_at(&it.connection, partition, time).map_err(log_error)?;
                    keep_from = keep_from.max(first.unwrap_or(partition.next));
                }
                cut(&it.connection, partition, keep_from)?;
            }
            Ok(())
        })
    }
}

/// Deletes what lies before an offset.
fn cut(connection: &Connection, partition: &mut Partition, before: i64) -> Result<(), LogError> {
    let before = before.min(partition.next);
    if before > partition.earliest {
        partition.earliest = before;
        store::update_partition(connection, partition).map_err(log_error)?;
        store::delete_before_earliest(connection, partition).map_err(log_error)?;
    }
    Ok(())
}

fn closed() -> AppendError {
    AppendError::Unavailable("the embedded log is closed".into())
}

fn finish(done: AppendDone, outcome: Result<Appended, AppendError>) {
    // What waits for a record is not allowed to end the thread that writes all.
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| done(outcome))).is_err() {
        tracing::error!("what waited for a record panicked");
    }
}

/// Kafka's own rule, so that a name works with either log.
fn topic_name(name: &str) -> Result<(), String> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > 249 || name == "." || name == ".." || !name.bytes().all(legal) {
        return Err(format!("`{name}` can not be a topic's name: 1 to 249 of [A-Za-z0-9._-]"));
    }
    Ok(())
}

fn now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

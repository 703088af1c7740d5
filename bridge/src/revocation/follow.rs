//! Reads revocations: first all there are, then each as it comes, on a thread of its own, so that no slow shard and no
//! busy topic is in the way.
//!
//! What was revoked is *known* from when the end was reached until the log has been lost for a minute. Lost means that
//! nobody could say where the end is, or that it was not reached.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tidegate_gate::{Revocation, Revocations};
use tidegate_log::{
    AppendError, Budget, Description, Limit, Log, LogError, Made, NewTopic, Offsets, ReadError, Reader, Record, Tail,
    TailEvent, TopicId,
};
use tidegate_protocol::timestamp::Millis;
use tokio::sync::watch;

use super::TOPIC;
use super::record::{self, Said};
use crate::clock::Clock;
use crate::telemetry::Metrics;

/// How long a read waits when nothing comes; then the thread looks whether it is to stop.
const WAIT: Duration = Duration::from_millis(200);

/// Records of one read.
const ROUND: usize = 4096;

/// Bytes of them.
const ROUND_BYTES: usize = 4 << 20;

/// How often the end of the topic is asked for.
const CHECK: Duration = Duration::from_secs(5);

/// For how long the end may not be known, or not be reached, before the node takes no more sessions.
const LOST: Duration = Duration::from_mins(1);

/// How long to wait after a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// Unreadable records that are logged one by one; all are counted.
const LOGGED: u64 = 100;

/// Reads revocations for a node.
pub struct Follower {
    /// The log.
    pub log: Arc<dyn Log>,
    /// The set to keep.
    pub revocations: Arc<Revocations>,
    /// Told each that is new, after the set has it.
    pub tell: Tell,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The clock.
    pub clock: Clock,
}

/// Takes a revocation to those who must act.
pub type Tell = Box<dyn Fn(&Arc<Revocation>) + Send>;

/// A follower that runs.
pub struct FollowerHandle {
    /// The next offset that it will read, in each partition.
    pub position: watch::Receiver<Offsets>,
    /// Its thread; it ends after [`FollowerHandle::stop`].
    pub thread: JoinHandle<()>,
    stop: Arc<AtomicBool>,
}

/// What a tail told.
enum Event {
    Opened(Option<TopicId>, Offsets),
    Record(Owned),
    CaughtUp(i32, i64),
    Closed,
}

/// A record of one's own.
struct Owned {
    partition: i32,
    offset: i64,
    said: Said,
}

/// The thread's state.
struct Running {
    of: Follower,
    stop: Arc<AtomicBool>,
    position: watch::Sender<Offsets>,
    /// Partitions whose end has not been reached yet.
    behind: BTreeSet<i32>,
    opened: bool,
    /// Which topic that is.
    topic: Option<TopicId>,
    /// When it was last known for certain that nothing is missing.
    fresh: Option<Instant>,
    /// The end as it was asked for then.
    end: Option<(Instant, Offsets)>,
    unreadable: u64,
}

impl Follower {
    /// Starts the thread.
    pub fn start(self) -> std::io::Result<FollowerHandle> {
        let stop: Arc<AtomicBool> = Arc::default();
        let (sender, position) = watch::channel(Offsets::new());
        let running = Running {
            of: self,
            stop: Arc::clone(&stop),
            position: sender,
            behind: BTreeSet::new(),
            opened: false,
            topic: None,
            fresh: None,
            end: None,
            unreadable: 0,
        };
        let thread = std::thread::Builder::new().name("revocations".into()).spawn(move || running.run())?;
        Ok(FollowerHandle { position, thread, stop })
    }
}

impl FollowerHandle {
    /// Ends the thread.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Running {
    fn run(mut self) {
        let mut said = None;
        while !self.stopped() {
            let Err(error) = self.follow() else { continue };
            let text = error.to_string();
            if said.as_ref() != Some(&text) {
                tracing::warn!(error = text, "revocations can not be read; trying again");
            }
            self.judge(Some(&text));
            said = Some(text);
            std::thread::sleep(PAUSE);
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Reads from the beginning, and on, until it is to stop or something fails.
    fn follow(&mut self) -> Result<(), LogError> {
        let mut reader = self.of.log.reader()?;
        self.find_topic(&mut *reader)?;
        let mut tail = self.of.log.tail()?;
        tail.follow(TOPIC);
        self.behind.clear();
        self.opened = false;
        self.end = None;
        self.position.send_replace(Offsets::new());
        let mut check = Instant::now();
        while !self.stopped() {
            for event in self.read(&mut *tail)? {
                self.take(event, &mut *reader)?;
            }
            if check <= Instant::now() {
                check = Instant::now() + CHECK;
                self.of.revocations.forget(self.of.clock.now());
                self.ask_end(&mut *reader)?;
            }
            self.judge(None);
            self.of.metrics.revocations(self.of.revocations.len());
        }
        Ok(())
    }

    /// Makes the topic if it is not there. If it is another one than before, what is known is written down again: those
    /// who start later know of the new one only.
    fn find_topic(&mut self, reader: &mut dyn Reader) -> Result<(), LogError> {
        let found = match reader.describe(TOPIC)? {
            Some(found) => found,
            None => self.make_topic(reader)?,
        };
        self.check_settings();
        if self.topic.replace(found.id).is_some_and(|before| before != found.id) {
            let list = self.of.revocations.list();
            tracing::error!(
                topic = TOPIC,
                revocations = list.len(),
                "the topic is another one: all is written down again"
            );
            for revocation in list {
                self.write_again(&revocation);
            }
        }
        Ok(())
    }

    fn make_topic(&self, reader: &mut dyn Reader) -> Result<Description, LogError> {
        let topic = NewTopic { partitions: Some(1), ..NewTopic::named(TOPIC) }.with("cleanup.policy", "compact");
        let made = self.of.log.create_topics(&[topic])?.pop().unwrap_or(Ok(Made::Existed));
        let made = made.map_err(|error| {
            LogError::Fatal(format!(
                "{TOPIC} is not there and can not be made: {error}. Have it made: kafka-topics.sh --bootstrap-server … \
                 --create --topic {TOPIC} --partitions 1 --config cleanup.policy=compact; or set revocation.enabled = \
                 false and do without"
            ))
        })?;
        if made == Made::Created {
            tracing::info!(topic = TOPIC, "made the topic of revocations");
        }
        // Not every broker knows of it at once.
        reader.describe(TOPIC)?.ok_or_else(|| LogError::Unavailable(format!("{TOPIC} is being made")))
    }

    fn write_again(&self, revocation: &Revocation) {
        let target = revocation.target.to_string();
        let done = move |outcome: Result<_, AppendError>| {
            if let Err(error) = outcome {
                tracing::error!(target, %error, "a revocation could not be written down again");
            }
        };
        self.of.log.append(record::encode(revocation), Box::new(done));
    }

    /// What is kept for a while only un-revokes when the while is over.
    fn check_settings(&self) {
        let settings = self.of.log.topic_settings(&[TOPIC]).unwrap_or_default();
        let policy = settings.get(TOPIC).and_then(|settings| settings.get("cleanup.policy"));
        if let Some(policy) = policy.filter(|policy| *policy != "compact") {
            tracing::warn!(
                topic = TOPIC,
                policy,
                "the topic should be compacted (cleanup.policy=compact): its retention un-revokes for nodes that start later"
            );
        }
    }

    fn read(&self, tail: &mut dyn Tail) -> Result<Vec<Event>, LogError> {
        let now = self.of.clock.now();
        let mut events = Vec::new();
        tail.read(WAIT, Budget { records: ROUND, bytes: ROUND_BYTES }, &mut |event| {
            events.push(match event {
                TailEvent::Opened { id, offsets, .. } => Event::Opened(id, offsets),
                TailEvent::Record(_, record) => Event::Record(Owned::of(&record, now)),
                TailEvent::CaughtUp { partition, next, .. } => Event::CaughtUp(partition, next),
                TailEvent::Closed(_) => Event::Closed,
            });
        })?;
        Ok(events)
    }

    fn take(&mut self, event: Event, reader: &mut dyn Reader) -> Result<(), LogError> {
        match event {
            // Deleted since it was found: it is made anew, and read from its beginning.
            Event::Opened(None, _) => self.find_topic(reader)?,
            Event::Opened(Some(_), offsets) => {
                self.opened = true;
                for (partition, until) in offsets {
                    self.behind.insert(partition);
                    self.catch_up(reader, partition, until)?;
                    self.reach(BTreeMap::from([(partition, until)]));
                }
            }
            Event::Record(record) => self.record(record),
            Event::CaughtUp(partition, next) => {
                self.reach(BTreeMap::from([(partition, next)]));
                self.behind.remove(&partition);
            }
            Event::Closed => {
                tracing::error!(topic = TOPIC, "the topic of revocations was deleted; what is known stays revoked");
                return Err(LogError::Unavailable(format!("{TOPIC} was deleted")));
            }
        }
        Ok(())
    }

    /// Reads what lies before the tail.
    fn catch_up(&mut self, reader: &mut dyn Reader, partition: i32, until: i64) -> Result<(), LogError> {
        let now = self.of.clock.now();
        let limit = Limit { records: ROUND, bytes: ROUND_BYTES, until };
        let mut from = 0;
        while from < until && !self.stopped() {
            let mut records = Vec::new();
            let outcome =
                reader.read(TOPIC, partition, from, limit, &mut |record| records.push(Owned::of(&record, now)));
            for record in records {
                self.record(record);
            }
            match outcome {
                Ok(chunk) if chunk.end && chunk.next < until => {
                    return Err(LogError::Unavailable(format!("{TOPIC} is not shown as far as it reaches")));
                }
                Ok(chunk) => from = chunk.next,
                // Compaction and retention move the beginning.
                Err(ReadError::OutOfRange(bounds)) if bounds.earliest > from => from = bounds.earliest,
                Err(ReadError::OutOfRange(_) | ReadError::Unknown) => {
                    return Err(LogError::Unavailable(format!("{TOPIC} changed while it was read")));
                }
                Err(ReadError::Log(error)) => return Err(error),
            }
        }
        Ok(())
    }

    fn record(&mut self, record: Owned) {
        let Owned { partition, offset, said } = record;
        self.of.metrics.revocation_read();
        match said {
            Said::Revoked(revocation) => self.revoke(revocation),
            Said::Lifted(target) => drop(self.of.revocations.lift(&target)),
            Said::Unclear(mut revocation, why) => {
                // Whoever wrote it may have given it any time.
                let before = self.of.revocations.get(&revocation.target);
                let at_least = before.map_or(Millis::MIN, |before| before.issued_before);
                revocation.issued_before = revocation.issued_before.max(at_least);
                let target = revocation.target.to_string();
                self.unreadable(
                    partition,
                    offset,
                    &format!("{why}; all of {target} issued before it counts as revoked"),
                );
                self.revoke(revocation);
            }
            Said::Unreadable(why) => self.unreadable(partition, offset, &why),
        }
        self.reach(BTreeMap::from([(partition, offset + 1)]));
    }

    fn revoke(&self, revocation: Revocation) {
        if revocation.until.is_some_and(|until| until <= self.of.clock.now()) {
            self.of.revocations.lift(&revocation.target);
            return;
        }
        let revocation = Arc::new(revocation);
        // First the set, then the shards: a session that opens in between is found by one of them.
        if self.of.revocations.put(&revocation) {
            (self.of.tell)(&revocation);
        }
    }

    fn unreadable(&mut self, partition: i32, offset: i64, why: &str) {
        self.of.metrics.revocation_unreadable();
        self.unreadable += 1;
        if self.unreadable <= LOGGED {
            tracing::error!(topic = TOPIC, partition, offset, why, "a revocation can not be read");
        }
    }

    fn reach(&self, offsets: Offsets) {
        self.position.send_modify(|position| {
            for (partition, next) in offsets {
                let at = position.entry(partition).or_insert(next);
                *at = next.max(*at);
            }
        });
    }

    /// Asks where the end is.
    fn ask_end(&mut self, reader: &mut dyn Reader) -> Result<(), LogError> {
        let asked = Instant::now();
        match reader.describe(TOPIC) {
            Ok(Some(found)) => {
                let end = found.partitions.into_iter().map(|(partition, bounds)| (partition, bounds.end)).collect();
                self.end = Some((asked, end));
                Ok(())
            }
            // The tail says so too, when it is certain.
            Ok(None) => Ok(()),
            Err(LogError::Unavailable(reason)) => {
                tracing::debug!(reason, "the end of the revocations could not be asked for");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Says whether it is known what has been revoked.
    fn judge(&mut self, trouble: Option<&str>) {
        if trouble.is_none() && self.opened && self.behind.is_empty() {
            let position = self.position.borrow();
            let reached = |(partition, end): (&i32, &i64)| position.get(partition).is_some_and(|next| next >= end);
            if let Some((asked, end)) = &self.end
                && end.iter().all(reached)
            {
                self.fresh = self.fresh.max(Some(*asked));
            }
        }
        let known = self.fresh.is_some_and(|fresh| fresh.elapsed() < LOST);
        let before = self.of.revocations.known();
        if known {
            if before.is_err() {
                let count = self.of.revocations.len();
                tracing::info!(revocations = count, "all revocations are read");
                self.of.revocations.set_known(Ok(()));
            }
            return;
        }
        let reason = match (trouble, self.fresh) {
            (Some(trouble), None) => format!("revocations can not be read: {trouble}"),
            (None, None) => format!("revocations are being read from {TOPIC}"),
            (_, Some(_)) => format!("revocations could not be read for {} s", LOST.as_secs()),
        };
        if before.is_ok() {
            tracing::error!(reason, "this node takes no more sessions");
        }
        if before != Err(reason.as_str().into()) {
            self.of.revocations.set_known(Err(reason.into()));
        }
    }
}

impl Owned {
    fn of(record: &Record<'_>, now: Millis) -> Self {
        Self { partition: record.partition, offset: record.offset, said: record::decode(record, now) }
    }
}

//! The feed's own thread: follows topics for the shards, and gives each read to all of them as one round.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use tidegate_log::{Budget, LogError, Offsets, Record, Tail, TailEvent, TopicId, TopicKey};
use tidegate_protocol::ledger::Reading;
use tokio::sync::mpsc;

use super::decode::{Outcome, TopicSpec, decode};
use super::round::{Rooms, Round};
use super::topics::TopicTable;
use crate::fanout::Renewal;
use crate::ledger::Hub;
use crate::telemetry::Metrics;

/// What one round holds at most. Large, because whoever has much to do does it cheaper at once: with a thousand
/// tenants a batch then has 25 events rather than 8. Where there is little to do, rounds are small by themselves.
const ROUND: Budget = Budget { records: 32_768, bytes: 8 << 20 };

/// How long a read waits when nothing comes.
const WAIT: Duration = Duration::from_millis(500);

/// How often readings are handed to the ledger.
const SNAPSHOT: Duration = Duration::from_secs(1);

/// Quarantined records of one topic that are logged each second; all are counted.
const LOGGED: u32 = 5;

/// What the feed tells a shard.
#[derive(Debug, Clone)]
pub enum FeedMessage {
    /// A topic is followed now, from these offsets on.
    Followed {
        /// Physical name.
        physical: Arc<str>,
        /// Its key.
        topic: TopicKey,
        /// Its identity; `None` while it does not exist.
        id: Option<TopicId>,
        /// The next offset to come of every partition.
        offsets: Offsets,
    },
    /// Partitions are read from here on.
    Opened(TopicKey, TopicId, Offsets),
    /// A topic was deleted.
    Closed(TopicKey),
    /// Events.
    Round(Arc<Round>),
    /// Rules that apply to what follows. What came before was read, and is to be decided about, under the older ones.
    Rules(Arc<Renewal>),
}

/// Asks the feed for topics; a clone for each shard.
#[derive(Clone)]
pub struct FeedHandle {
    commands: Sender<Command>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

enum Command {
    Follow(usize, Arc<str>),
    Unfollow(usize, TopicKey),
    Rules(Arc<Renewal>),
    Stop,
}

/// Follows topics for the shards of a node.
pub struct Feed {
    tail: Box<dyn Tail>,
    table: Arc<TopicTable>,
    shards: Vec<mpsc::Sender<FeedMessage>>,
    commands: Receiver<Command>,
    followed: HashMap<TopicKey, Followed>,
    rooms: Rooms,
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
    readings: BTreeMap<Arc<str>, Reading>,
    stop: Arc<AtomicBool>,
}

struct Followed {
    spec: TopicSpec,
    id: Option<TopicId>,
    /// Whether the log has said anything of it yet.
    known: bool,
    offsets: Offsets,
    shards: Vec<usize>,
    reading: Reading,
    logged: u32,
}

impl FeedHandle {
    /// Follows a topic for a shard; answered by [`FeedMessage::Followed`].
    pub fn follow(&self, shard: usize, physical: Arc<str>) {
        self.send(Command::Follow(shard, physical));
    }

    /// No longer follows it for that shard.
    pub fn unfollow(&self, shard: usize, topic: TopicKey) {
        self.send(Command::Unfollow(shard, topic));
    }

    /// Reads by new rules from now on, and hands them to every shard at their place among the rounds.
    pub fn renew(&self, renewal: Arc<Renewal>) {
        self.send(Command::Rules(renewal));
    }

    /// Ends the feed's thread.
    pub fn stop(&self) {
        self.send(Command::Stop);
    }

    fn send(&self, command: Command) {
        // The feed is gone only when the node goes.
        let _ = self.commands.send(command);
        (self.wake)();
    }
}

impl Feed {
    /// A feed over a tail, for shards that take rounds through these channels. When a shard has not taken its last
    /// rounds the feed waits, and the log's own prefetch is the back-pressure.
    #[expect(clippy::disallowed_methods, reason = "a shard asks for each topic once, and may not wait for the feed")]
    pub fn new(
        tail: Box<dyn Tail>,
        table: Arc<TopicTable>,
        shards: Vec<mpsc::Sender<FeedMessage>>,
        hub: Arc<Hub>,
        metrics: Arc<Metrics>,
    ) -> (Self, FeedHandle) {
        let (sender, commands) = channel();
        let handle = FeedHandle { commands: sender, wake: Arc::from(tail.waker()) };
        let feed = Self {
            tail,
            table,
            shards,
            commands,
            followed: HashMap::new(),
            rooms: Rooms::default(),
            hub,
            metrics,
            readings: BTreeMap::new(),
            stop: Arc::default(),
        };
        (feed, handle)
    }

    /// Reads until stopped. Blocking: to be run on a thread of its own.
    pub fn run(mut self) {
        let mut last = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            while let Ok(command) = self.commands.try_recv() {
                self.command(command);
            }
            if let Err(error) = self.read() {
                tracing::warn!(%error, "the live feed can not read");
                // The tail comes back by itself; this only keeps a failing one from spinning.
                let _ = self.commands.recv_timeout(WAIT).map(|command| self.command(command));
            }
            if last.elapsed() >= SNAPSHOT {
                last = Instant::now();
                self.snapshot();
            }
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Follow(shard, physical) => self.follow(shard, &physical),
            Command::Unfollow(shard, topic) => {
                let Some(followed) = self.followed.get_mut(&topic) else { return };
                followed.shards.retain(|other| *other != shard);
                if followed.shards.is_empty() {
                    self.unfollow(topic);
                }
            }
            Command::Rules(renewal) => self.renew(&renewal),
            Command::Stop => self.stop.store(true, Ordering::Relaxed),
        }
    }

    fn follow(&mut self, shard: usize, physical: &Arc<str>) {
        let Some(spec) = self.table.spec(physical) else {
            // It was asked for under older rules; who waits for it is told by the shard.
            tracing::debug!(%physical, "asked to follow a topic that is not configured");
            return;
        };
        let topic = self.tail.follow(physical);
        let followed = self.followed.entry(topic).or_insert_with(|| Followed {
            spec,
            id: None,
            known: false,
            offsets: Offsets::new(),
            shards: Vec::new(),
            reading: Reading::default(),
            logged: 0,
        });
        if !followed.shards.contains(&shard) {
            followed.shards.push(shard);
        }
        if followed.known {
            let message = followed.introduction(topic);
            Self::send(&self.shards, shard, message);
        }
    }

    fn unfollow(&mut self, topic: TopicKey) {
        let Some(followed) = self.followed.remove(&topic) else { return };
        self.tail.unfollow(topic);
        self.readings.entry(followed.spec.logical).or_default().add(&Reading { lag: 0, ..followed.reading });
    }

    /// All that was read so far has been delivered. Shards drop what is not followed any more at the same place, and
    /// ask anew for what is still there and read otherwise.
    fn renew(&mut self, renewal: &Arc<Renewal>) {
        self.table = Arc::clone(&renewal.rules.topics);
        let mut gone = Vec::new();
        for (&topic, followed) in &mut self.followed {
            match self.table.spec(&followed.spec.physical) {
                Some(spec) if spec.same_events(&followed.spec) => followed.spec = spec,
                _ => gone.push(topic),
            }
        }
        for topic in gone {
            self.unfollow(topic);
        }
        for shard in 0..self.shards.len() {
            Self::send(&self.shards, shard, FeedMessage::Rules(Arc::clone(renewal)));
        }
    }

    fn read(&mut self) -> Result<(), LogError> {
        let Self { tail, shards, followed, rooms, metrics, .. } = self;
        let empty = || rooms.round(ROUND.records, ROUND.bytes);
        let mut round = empty();
        let outcome = tail.read(WAIT, ROUND, &mut |event| match event {
            TailEvent::Record(topic, record) => {
                if let Some(followed) = followed.get_mut(&topic) {
                    followed.record(topic, &record, &mut round, metrics);
                }
            }
            TailEvent::CaughtUp { topic, partition, next } => round.reach(topic, partition, next),
            TailEvent::Opened { topic, id, offsets } => {
                Self::deliver(shards, followed, std::mem::replace(&mut round, empty()));
                let Some(followed) = followed.get_mut(&topic) else { return };
                let first = !std::mem::replace(&mut followed.known, true);
                followed.id = id.or(followed.id);
                followed.offsets.extend(&offsets);
                for &shard in &followed.shards {
                    let message = match followed.id {
                        Some(id) if !first => FeedMessage::Opened(topic, id, offsets.clone()),
                        _ => followed.introduction(topic),
                    };
                    Self::send(shards, shard, message);
                }
            }
            TailEvent::Closed(topic) => {
                Self::deliver(shards, followed, std::mem::replace(&mut round, empty()));
                let Some(followed) = followed.get_mut(&topic) else { return };
                followed.id = None;
                followed.offsets.clear();
                for &shard in &followed.shards {
                    Self::send(shards, shard, FeedMessage::Closed(topic));
                }
            }
        });
        Self::deliver(&self.shards, &mut self.followed, round);
        outcome
    }

    /// Gives a round to every shard that follows one of its topics.
    fn deliver(shards: &[mpsc::Sender<FeedMessage>], followed: &mut HashMap<TopicKey, Followed>, round: Round) {
        if round.is_empty() {
            return;
        }
        let mut wanted = vec![false; shards.len()];
        for &(topic, partition, next) in &round.reached {
            let Some(followed) = followed.get_mut(&topic) else { continue };
            let at = followed.offsets.entry(partition).or_insert(next);
            *at = (*at).max(next);
            followed.shards.iter().for_each(|&shard| wanted[shard] = true);
        }
        let round = Arc::new(round.settle());
        for (shard, _) in wanted.iter().enumerate().filter(|(_, wanted)| **wanted) {
            Self::send(shards, shard, FeedMessage::Round(Arc::clone(&round)));
        }
    }

    fn send(shards: &[mpsc::Sender<FeedMessage>], shard: usize, message: FeedMessage) {
        if let Some(shard) = shards.get(shard) {
            // A shard is gone only when the node goes.
            let _ = shard.blocking_send(message);
        }
    }

    fn snapshot(&mut self) {
        let mut topics = self.readings.clone();
        for (&key, followed) in &mut self.followed {
            followed.reading.lag = self.tail.lag(key);
            followed.logged = 0;
            topics.entry(Arc::clone(&followed.spec.logical)).or_default().add(&followed.reading);
        }
        self.hub.put_topics(topics);
    }
}

impl Followed {
    fn introduction(&self, topic: TopicKey) -> FeedMessage {
        let physical = Arc::clone(&self.spec.physical);
        FeedMessage::Followed { physical, topic, id: self.id, offsets: self.offsets.clone() }
    }

    fn record(&mut self, topic: TopicKey, record: &Record<'_>, round: &mut Round, metrics: &Metrics) {
        round.reach(topic, record.partition, record.offset + 1);
        self.reading.records += 1;
        match decode(&self.spec, topic, record, round) {
            Outcome::Event => self.reading.events += 1,
            Outcome::Tombstone => self.reading.tombstones += 1,
            Outcome::Quarantined(reason) => {
                self.reading.quarantined += 1;
                metrics.quarantined(&self.spec.logical, reason.name());
                self.logged += 1;
                if self.logged <= LOGGED {
                    let (topic, partition, offset) = (&*self.spec.physical, record.partition, record.offset);
                    tracing::warn!(topic, partition, offset, %reason, "quarantined a record");
                }
            }
        }
    }
}

//! Finds topics, partitions and their ids, on a thread of its own: a tail never waits for metadata.
//!
//! ```text
//!  tail ── follow, unfollow, look, reset ──► desk ──► discovery ── asks the cluster, every 5 s and when told to
//!  tail ◄────── Missing, Opened, Closed, Moved ────── discovery
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::client_config::Consumer;
use super::offsets::{self, At};
use super::source::Bell;
use super::topic_id::{self, Answer, Topic};
use crate::{LogError, Offsets, TopicId, TopicKey};

/// What is done again soon, for it had no answer or one that must be confirmed.
const SOON: Duration = Duration::from_secs(1);

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a tail leaves what it asks for. Never larger than what is followed, and never waited for.
#[derive(Debug, Default)]
pub(super) struct Desk {
    asked: Mutex<Asked>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Asked {
    /// Topics to be followed from now on.
    follow: BTreeMap<TopicKey, String>,
    /// Topics to be followed no longer.
    unfollow: BTreeSet<TopicKey>,
    /// Topics to which something seems to have happened.
    look: BTreeSet<TopicKey>,
    /// Partitions where the position is outside what they hold.
    reset: BTreeSet<(TopicKey, i32)>,
    /// The tail is gone.
    closed: bool,
}

impl Asked {
    fn is_empty(&self) -> bool {
        let Self { follow, unfollow, look, reset, closed } = self;
        follow.is_empty() && unfollow.is_empty() && look.is_empty() && reset.is_empty() && !closed
    }
}

impl Desk {
    pub(super) fn follow(&self, topic: TopicKey, name: &str) {
        self.ask(|asked| {
            asked.follow.insert(topic, name.to_owned());
        });
    }

    pub(super) fn unfollow(&self, topic: TopicKey) {
        self.ask(|asked| {
            if asked.follow.remove(&topic).is_none() {
                asked.unfollow.insert(topic);
            }
        });
    }

    pub(super) fn look(&self, topic: TopicKey) {
        self.ask(|asked| {
            asked.look.insert(topic);
        });
    }

    pub(super) fn reset(&self, topic: TopicKey, partition: i32) {
        self.ask(|asked| {
            asked.reset.insert((topic, partition));
        });
    }

    pub(super) fn close(&self) {
        self.ask(|asked| asked.closed = true);
    }

    fn ask(&self, change: impl FnOnce(&mut Asked)) {
        change(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }

    /// What was asked for, as soon as there is something, at the latest at `deadline`.
    fn take(&self, deadline: Instant) -> Asked {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        while asked.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            asked = self.changed.wait_timeout(asked, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::take(&mut asked)
    }
}

/// What a tail is told.
#[derive(Debug)]
pub(super) enum Finding {
    Missing(TopicKey),
    Opened {
        topic: TopicKey,
        id: TopicId,
        offsets: Offsets,
    },
    Closed(TopicKey),
    /// Read this partition from within these bounds.
    Moved {
        topic: TopicKey,
        partition: i32,
        earliest: i64,
        end: i64,
    },
}

/// What is known of a topic that is followed.
#[derive(Debug)]
struct Followed {
    name: String,
    known: Known,
    /// The last answer told of something that a broker behind on metadata may be wrong about.
    doubted: bool,
}

#[derive(Debug)]
enum Known {
    /// No answer yet.
    Nothing,
    /// Not there: it will be read from its beginning.
    Missing,
    There {
        id: TopicId,
        opened: BTreeSet<i32>,
        first: Option<First>,
    },
}

/// The partitions a topic had when it was first seen, and where to begin in those that had no leader then.
#[derive(Debug)]
struct First {
    partitions: BTreeSet<i32>,
    at: At,
}

/// Discovery's own state.
struct Discovery {
    asker: Arc<Consumer>,
    tail: Arc<Bell>,
    findings: SyncSender<Finding>,
    topics: BTreeMap<TopicKey, Followed>,
}

/// Looks every `interval` and when told to, until the tail is gone.
pub(super) fn start(
    asker: Arc<Consumer>,
    interval: Duration,
    desk: Arc<Desk>,
    findings: SyncSender<Finding>,
    tail: Arc<Bell>,
) -> std::io::Result<()> {
    let mut discovery = Discovery { asker, tail, findings, topics: BTreeMap::new() };
    std::thread::Builder::new().name("kafka-discovery".into()).spawn(move || discovery.run(interval, &desk))?;
    Ok(())
}

impl Discovery {
    fn run(&mut self, interval: Duration, desk: &Desk) {
        let mut next = Instant::now() + interval;
        let mut resets = BTreeMap::new();
        loop {
            let asked = desk.take(next);
            if asked.closed {
                return;
            }
            let mut look = asked.look;
            for (key, name) in asked.follow {
                self.topics.insert(key, Followed { name, known: Known::Nothing, doubted: false });
                look.insert(key);
            }
            for key in asked.unfollow {
                self.topics.remove(&key);
            }
            let of = |(key, partition)| Some(((key, partition), self.topics.get(&key)?.id()?));
            resets.extend(asked.reset.into_iter().filter_map(of));
            look.extend(resets.keys().map(|(key, _)| *key));
            if Instant::now() >= next {
                look.extend(self.topics.keys());
                next = Instant::now() + interval;
            }
            let again = self.look(&look);
            self.reset(&mut resets);
            if again || !resets.is_empty() {
                next = next.min(Instant::now() + SOON.min(interval));
            }
            self.tail.ring();
        }
    }

    /// Looks at some topics; whether it should soon look again.
    fn look(&mut self, keys: &BTreeSet<TopicKey>) -> bool {
        let names: Vec<&str> = keys.iter().filter_map(|key| Some(self.topics.get(key)?.name.as_str())).collect();
        if names.is_empty() {
            return false;
        }
        let mut answers = match topic_id::describe(&self.asker, &names, PATIENCE) {
            Ok(answers) => answers,
            Err(error) => {
                tracing::debug!(%error, "topics could not be described");
                return true;
            }
        };
        let mut again = false;
        for key in keys {
            let Some(followed) = self.topics.get_mut(key) else { continue };
            let answer = answers.remove(&followed.name).unwrap_or_else(|| Err("no answer".into()));
            match followed.update(*key, answer, &self.asker, &self.findings) {
                Ok(all) => again |= !all,
                Err(error) => {
                    tracing::warn!(topic = followed.name, %error, "a topic can not be looked up; trying again");
                    again = true;
                }
            }
        }
        again
    }

    /// Finds where to go on in partitions whose position is out of range. What can not be told yet stays: the tail asks
    /// once, for librdkafka tells it once.
    fn reset(&self, resets: &mut BTreeMap<(TopicKey, i32), TopicId>) {
        resets.retain(|&(key, partition), of| {
            let Some(Followed { name, known: Known::There { id, opened, .. }, doubted }) = self.topics.get(&key) else {
                return false;
            };
            // Made again: it was opened anew, where it is to be read from.
            if id != of {
                return false;
            }
            // Perhaps made again, or deleted: the next look says so.
            if *doubted || !opened.contains(&partition) {
                return *doubted;
            }
            let list = |at| offsets::list(&self.asker, name, [partition], at, PATIENCE);
            let bounds = list(At::Earliest).and_then(|earliest| Ok((earliest, list(At::End)?)));
            match bounds.map(|(earliest, end)| Some((*earliest.get(&partition)?, *end.get(&partition)?))) {
                Ok(Some((earliest, end))) => {
                    let _ = self.findings.send(Finding::Moved { topic: key, partition, earliest, end });
                    false
                }
                Ok(None) => true,
                Err(error) => {
                    tracing::warn!(topic = name, partition, %error, "bounds can not be found; trying again");
                    true
                }
            }
        });
    }
}

impl Followed {
    fn id(&self) -> Option<TopicId> {
        if let Known::There { id, .. } = &self.known { Some(*id) } else { None }
    }

    /// Takes an answer in, and tells the tail what changed. `false`: something remains to be looked at soon.
    fn update(
        &mut self,
        key: TopicKey,
        answer: Answer,
        asker: &Consumer,
        findings: &SyncSender<Finding>,
    ) -> Result<bool, LogError> {
        let topic = answer.map_err(LogError::Unavailable)?;
        let gone = match (&self.known, &topic) {
            (Known::There { .. }, None) => true,
            (Known::There { id, .. }, Some(topic)) => *id != topic.id,
            _ => false,
        };
        if gone && !self.doubted {
            self.doubted = true;
            return Ok(false);
        }
        self.doubted = false;
        if gone {
            self.known = Known::Missing;
            let _ = findings.send(Finding::Closed(key));
        }
        match topic {
            None => {
                if matches!(self.known, Known::Nothing) {
                    let _ = findings.send(Finding::Missing(key));
                }
                self.known = Known::Missing;
                Ok(true)
            }
            Some(topic) => self.open(key, &topic, asker, findings),
        }
    }

    /// Opens the partitions that are not yet, as far as they can be.
    fn open(
        &mut self,
        key: TopicKey,
        topic: &Topic,
        asker: &Consumer,
        findings: &SyncSender<Finding>,
    ) -> Result<bool, LogError> {
        let at_first = if matches!(self.known, Known::Nothing) { At::End } else { At::Earliest };
        let (opened, first) = match &mut self.known {
            Known::There { opened, first, .. } => (std::mem::take(opened), first.take()),
            _ => (BTreeSet::new(), None),
        };
        let mut first =
            first.unwrap_or_else(|| First { partitions: topic.partitions.keys().copied().collect(), at: at_first });
        let ready = |partition: &i32| !opened.contains(partition) && topic.partitions[partition];
        let (old, new): (Vec<i32>, Vec<i32>) =
            topic.partitions.keys().copied().filter(ready).partition(|partition| first.partitions.contains(partition));
        let found = offsets::list(asker, &self.name, old, first.at, PATIENCE).and_then(|mut offsets| {
            offsets.extend(offsets::list(asker, &self.name, new, At::Earliest, PATIENCE)?);
            Ok(offsets)
        });
        let mut opened = opened;
        let error = match found {
            Ok(offsets) => {
                opened.extend(offsets.keys());
                first.partitions.retain(|partition| !opened.contains(partition));
                if !offsets.is_empty() {
                    let _ = findings.send(Finding::Opened { topic: key, id: topic.id, offsets });
                }
                None
            }
            Err(error) => Some(error),
        };
        // Before anything is opened it stays unknown (or missing), so that the next look begins where this one would.
        if !opened.is_empty() {
            let all = opened.len() >= topic.partitions.len();
            self.known = Known::There { id: topic.id, opened, first: Some(first) };
            return error.map_or(Ok(all), Err);
        }
        error.map_or(Ok(false), Err)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use rdkafka::mocking::MockCluster;

    use super::*;
    use crate::kafka::client_config::{self, Role};
    use crate::kafka::health::Context;

    #[test]
    fn a_position_out_of_range_is_not_forgotten_while_its_topic_is_in_doubt() {
        let cluster = MockCluster::new(1).expect("a cluster");
        cluster.create_topic("orders", 1, 1).expect("a topic");
        let settings = BTreeMap::from([("bootstrap.servers".into(), cluster.bootstrap_servers())]);
        let asker = client_config::create(&settings, Role::Asker, Context::new().0).expect("a consumer");
        let (findings, found) = sync_channel(9);
        let (key, id) = (TopicKey(0), TopicId::default());
        let known = Known::There { id, opened: BTreeSet::from([0]), first: None };
        let topics = BTreeMap::from([(key, Followed { name: "orders".into(), known, doubted: true })]);
        let mut discovery = Discovery { asker: Arc::new(asker), tail: Arc::default(), findings, topics };
        let mut resets = BTreeMap::from([((key, 0), id), ((TopicKey(7), 0), id)]);
        discovery.reset(&mut resets);
        assert_eq!((&resets, found.try_recv().is_err()), (&BTreeMap::from([((key, 0), id)]), true));
        discovery.topics.get_mut(&key).expect("it is followed").doubted = false;
        discovery.reset(&mut resets);
        assert!(resets.is_empty());
        let moved = found.try_recv().expect("where to go on");
        assert!(matches!(moved, Finding::Moved { topic: TopicKey(0), partition: 0, earliest: 0, end: 0 }), "{moved:?}");
        resets.insert((key, 0), [9; 16]);
        discovery.reset(&mut resets);
        assert!(resets.is_empty() && found.try_recv().is_err(), "what was made again is opened where it begins");
    }
}

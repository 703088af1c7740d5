//! Finds topics, partitions and their ids, on a thread of its own: a tail never waits for metadata.
//!
//! ```text
//!  tail ── Follow, Unfollow, Look, Reset ──► discovery ── asks the cluster, every 5 s and when told to look
//!  tail ◄── Missing, Opened, Closed, Moved ── discovery
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::client_config::Consumer;
use super::offsets::{self, At};
use super::queue::Queue;
use super::topic_id::{self, Answer, Topic};
use crate::{LogError, Offsets, TopicId, TopicKey};

/// What is done again soon, for it had no answer or one that must be confirmed.
const SOON: Duration = Duration::from_secs(1);

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a tail asks for.
#[derive(Debug)]
pub(super) enum Command {
    Follow(TopicKey, String),
    Unfollow(TopicKey),
    /// Something seems to have happened to this topic.
    Look(TopicKey),
    /// The position in this partition is outside what it holds.
    Reset(TopicKey, i32),
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
    tail: Weak<Queue>,
    findings: Sender<Finding>,
    topics: BTreeMap<TopicKey, Followed>,
}

/// Looks every `interval` and when told to, until the tail is gone.
pub(super) fn start(
    asker: Arc<Consumer>,
    interval: Duration,
    commands: Receiver<Command>,
    findings: Sender<Finding>,
    tail: Weak<Queue>,
) -> std::io::Result<()> {
    let mut discovery = Discovery { asker, tail, findings, topics: BTreeMap::new() };
    std::thread::Builder::new().name("kafka-discovery".into()).spawn(move || discovery.run(interval, &commands))?;
    Ok(())
}

impl Discovery {
    fn run(&mut self, interval: Duration, commands: &Receiver<Command>) {
        let mut next = Instant::now() + interval;
        loop {
            let first = match commands.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let (mut look, mut resets) = (BTreeSet::new(), BTreeSet::new());
            let told = first.is_some();
            for command in first.into_iter().chain(commands.try_iter()) {
                match command {
                    Command::Follow(key, name) => {
                        self.topics.insert(key, Followed { name, known: Known::Nothing, doubted: false });
                        look.insert(key);
                    }
                    Command::Unfollow(key) => drop(self.topics.remove(&key)),
                    Command::Look(key) => drop(look.insert(key)),
                    Command::Reset(key, partition) => drop(resets.insert((key, partition))),
                }
            }
            look.extend(resets.iter().map(|(key, _)| *key));
            if !told {
                look.extend(self.topics.keys());
                next = Instant::now() + interval;
            }
            let again = self.look(&look) | self.reset(&resets);
            if again {
                next = next.min(Instant::now() + SOON.min(interval));
            }
            if let Some(tail) = self.tail.upgrade() {
                tail.wake();
            }
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

    /// Finds where to go on in partitions whose position is out of range.
    fn reset(&mut self, resets: &BTreeSet<(TopicKey, i32)>) -> bool {
        for (key, partition) in resets {
            let Some(followed) = self.topics.get(key) else { continue };
            // Made again, or deleted: the next look says so, and opens what there is.
            if followed.doubted || !matches!(followed.known, Known::There { .. }) {
                continue;
            }
            let list = |at| offsets::list(&self.asker, &followed.name, [*partition], at, PATIENCE);
            let bounds = list(At::Earliest).and_then(|earliest| Ok((earliest, list(At::End)?)));
            let finding = match bounds {
                Ok((earliest, end)) => match (earliest.get(partition), end.get(partition)) {
                    (Some(&earliest), Some(&end)) => {
                        Finding::Moved { topic: *key, partition: *partition, earliest, end }
                    }
                    _ => continue,
                },
                Err(error) => {
                    tracing::warn!(topic = followed.name, partition, %error, "bounds can not be found; trying again");
                    // The tail asks again: it still stands outside.
                    Finding::Moved { topic: *key, partition: *partition, earliest: -1, end: -1 }
                }
            };
            let _ = self.findings.send(finding);
        }
        false
    }
}

impl Followed {
    /// Takes an answer in, and tells the tail what changed. `false`: something remains to be looked at soon.
    fn update(
        &mut self,
        key: TopicKey,
        answer: Answer,
        asker: &Consumer,
        findings: &Sender<Finding>,
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
        findings: &Sender<Finding>,
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

//! Deliveries in the application's hands, and what is known of the batch they came in.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use tidegate_protocol::envelope::Head;
use tidegate_protocol::frame::FailureKind;

use super::driver::{Command, Commands};
use crate::machine::{Arrival, Outcome};

/// One event for one subscription. Dropping it says that it was handled.
#[derive(Debug)]
pub struct Delivery {
    /// Logical topic.
    pub topic: Arc<str>,
    /// The record's key, if it is text.
    pub key: Option<String>,
    /// The envelope's JSON text.
    pub event: String,
    /// The view it came by.
    pub view: u32,
    /// Its batch's number in the view.
    pub seq: u64,
    /// Its place in the batch.
    pub ordinal: u32,
    batch: Arc<Batch>,
    taken: bool,
    settled: bool,
}

impl Delivery {
    pub(super) fn new(batch: &Arc<Batch>, topic: Arc<str>, key: Option<String>, event: String, ordinal: u32) -> Self {
        let Arrival { view, seq, .. } = batch.arrival;
        Self { topic, key, event, view, seq, ordinal, batch: Arc::clone(batch), taken: false, settled: false }
    }

    /// A string member of the envelope, such as `type` or `id`.
    pub fn text(&self, member: &str) -> Option<String> {
        Head::read(&self.event).ok()?.text(member).ok()?.map(Cow::into_owned)
    }

    /// It was handled.
    pub fn consumed(self) {
        drop(self);
    }

    /// Handling it failed.
    pub fn failed(mut self, kind: FailureKind, reason: impl Into<String>) {
        self.settled = true;
        self.batch.settle(self.ordinal, Outcome::failed(kind, reason));
    }

    /// The application has it.
    pub(super) fn take(&mut self) {
        self.taken = true;
        Batch::take(&self.batch);
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if !self.taken {
            Batch::take(&self.batch);
        }
        if !self.settled {
            self.batch.settle(self.ordinal, if self.taken { Outcome::Consumed } else { Outcome::Unhandled });
        }
    }
}

/// A batch whose deliveries are on their way.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) arrival: Arrival,
    progress: Mutex<Progress>,
    commands: Commands,
}

#[derive(Debug)]
struct Progress {
    /// Deliveries not yet taken.
    waiting: usize,
    /// Whether the machine was told: what settles from now on is told one by one.
    announced: bool,
    entries: Vec<Entry>,
}

/// One entry: how many subscriptions still have it, and the weightiest of what the others said.
#[derive(Debug)]
struct Entry {
    open: u32,
    outcome: Outcome,
}

impl Batch {
    /// A batch whose entries go to so many subscriptions each.
    pub(super) fn new(arrival: Arrival, takers: impl Iterator<Item = u32>, commands: Commands) -> Arc<Self> {
        let entries: Vec<Entry> = takers.map(|open| Entry { open, outcome: Outcome::Unhandled }).collect();
        let waiting = entries.iter().map(|entry| entry.open as usize).sum();
        let progress = Mutex::new(Progress { waiting, announced: false, entries });
        Arc::new(Self { arrival, progress, commands })
    }

    /// Says that no subscription takes this entry, and that this is as it should be.
    pub(super) fn pass_over(&self, ordinal: u32) {
        self.with(|progress| {
            if let Some(entry) = progress.entries.get_mut(ordinal as usize) {
                entry.outcome = Outcome::Consumed;
            }
        });
    }

    pub(super) fn is_taken(&self) -> bool {
        self.with(|progress| progress.waiting == 0)
    }

    /// What to tell the machine, once, when all is taken: the number of entries, and what was not simply consumed.
    pub(super) fn announce(&self) -> (u32, Vec<(u32, Outcome)>) {
        self.with(|progress| {
            progress.announced = true;
            let outcomes = progress.entries.iter().enumerate().filter_map(|(ordinal, entry)| match &entry.outcome {
                _ if entry.open > 0 => Some((ordinal as u32, Outcome::Pending)),
                Outcome::Consumed => None,
                other => Some((ordinal as u32, other.clone())),
            });
            (progress.entries.len() as u32, outcomes.collect())
        })
    }

    fn take(batch: &Arc<Self>) {
        let last = batch.with(|progress| {
            progress.waiting = progress.waiting.saturating_sub(1);
            progress.waiting == 0
        });
        if last {
            let _ = batch.commands.send(Command::Taken(batch.arrival));
        }
    }

    fn settle(&self, ordinal: u32, outcome: Outcome) {
        let later = self.with(|progress| {
            let announced = progress.announced;
            let entry = progress.entries.get_mut(ordinal as usize)?;
            entry.open = entry.open.saturating_sub(1);
            if weight(&outcome) > weight(&entry.outcome) {
                entry.outcome = outcome;
            }
            (announced && entry.open == 0).then(|| entry.outcome.clone())
        });
        if let Some(outcome) = later {
            let _ = self.commands.send(Command::Settled { arrival: self.arrival, ordinal, outcome });
        }
    }

    fn with<T>(&self, see: impl FnOnce(&mut Progress) -> T) -> T {
        // A panic elsewhere leaves nothing half done here.
        see(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn weight(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Unhandled => 0,
        Outcome::Consumed => 1,
        Outcome::Pending | Outcome::Failed { .. } => 2,
    }
}

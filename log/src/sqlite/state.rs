//! What is written, as all readers see it: published after each commit.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{Bounds, TopicId};

/// A topic as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Topic {
    pub(super) number: i64,
    pub(super) id: TopicId,
    /// Retention keeps the newest record of each key, whatever its age: here, all.
    pub(super) compacted: bool,
    pub(super) partitions: Vec<Partition>,
}

/// A partition as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Partition {
    /// Its number in the file, of no other partition before or after.
    pub(super) number: i64,
    pub(super) earliest: i64,
    pub(super) next: i64,
    /// The latest timestamp so far.
    pub(super) newest: i64,
}

impl Partition {
    pub(super) fn bounds(&self) -> Bounds {
        Bounds { earliest: self.earliest, end: self.next }
    }
}

/// All topics by name, and a number that rises whenever something changes or somebody is to be woken.
#[derive(Debug)]
pub(super) struct Published {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) topics: BTreeMap<String, Topic>,
    pub(super) version: u64,
}

impl Published {
    pub(super) fn new(topics: BTreeMap<String, Topic>) -> Self {
        Self { inner: Mutex::new(Inner { topics, version: 0 }), changed: Condvar::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets all see a change.
    pub(super) fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Topic>)) {
        let mut inner = self.lock();
        change(&mut inner.topics);
        inner.version += 1;
        self.changed.notify_all();
    }

    /// Ends all waits.
    pub(super) fn wake(&self) {
        self.change(|_| {});
    }

    /// Waits until there is another version than `seen`, at most so long.
    pub(super) fn wait(&self, seen: u64, wait: Duration) {
        let deadline = Instant::now() + wait;
        let mut inner = self.lock();
        while inner.version == seen {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            inner = self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

//! The client that a tail or a reader reads through, exchanged for another where it can not be read on.
//!
//! librdkafka keeps the highest leader epoch it has seen of each partition, for as long as the client lives. A topic made
//! again begins at epoch 0 anew: it takes all it is told of the new leader for outdated, fetches with the epoch of the old
//! one, is refused, asks once more, and so on without a word. Only a client that never knew the old topic reads the new.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::queue::Queue;
use crate::LogError;

/// Makes one client after another.
pub(super) type Make = Box<dyn Fn() -> Result<Queue, LogError> + Send>;

/// The client of now.
pub(super) struct Source {
    queue: Arc<Queue>,
    make: Make,
    bell: Arc<Bell>,
}

impl Source {
    pub(super) fn new(make: Make) -> Result<Self, LogError> {
        let queue = Arc::new(make()?);
        let bell = Arc::new(Bell(Mutex::new(Arc::downgrade(&queue))));
        Ok(Self { queue, make, bell })
    }

    pub(super) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Wakes whoever waits for this source.
    pub(super) fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }

    /// Goes on through another client, which reads nothing yet.
    pub(super) fn exchange(&mut self) -> Result<(), LogError> {
        let before = std::mem::replace(&mut self.queue, Arc::new((self.make)()?));
        *self.bell.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&self.queue);
        // A client waits for its brokers to let go of it. Where there is no thread, it is dropped here.
        let _ = std::thread::Builder::new().name("kafka-farewell".into()).spawn(move || drop(before));
        Ok(())
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("queue", &self.queue).finish_non_exhaustive()
    }
}

/// Makes a poll that waits, or the next one, return: of whichever client there is now.
#[derive(Debug, Default)]
pub(super) struct Bell(Mutex<Weak<Queue>>);

impl Bell {
    pub(super) fn ring(&self) {
        let queue = self.0.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let Some(queue) = queue {
            queue.wake();
        }
    }
}

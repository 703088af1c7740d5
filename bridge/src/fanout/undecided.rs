//! Conditions that fail at run time: the event is withheld, and counted once for each condition, however many sessions
//! it concerns.

use std::sync::Arc;

use tidegate_gate::{Access, Condition};

use super::view::Event;

/// Events that a condition could not be decided about.
#[derive(Debug, Clone)]
pub struct Undecided {
    /// Logical topic.
    pub topic: Arc<str>,
    /// The condition.
    pub condition: Arc<Condition>,
    /// How many.
    pub events: u64,
    /// Where the first of them lies: its partition, and its offset.
    pub first: (i32, i64),
}

/// What was met since it was last told of, by topic and condition.
#[derive(Debug, Default)]
pub(super) struct UndecidedList(Vec<Undecided>);

impl UndecidedList {
    /// Notes the conditions of an access that could not be decided about for an event, unless somebody has before.
    pub(super) fn note(&mut self, access: &Access, event: &Event<'_>) {
        for condition in access.undecided(event) {
            if !event.round.note_undecided(event.entry, condition) {
                continue;
            }
            let same = |known: &&mut Undecided| known.topic == *access.topic() && known.condition == *condition;
            match self.0.iter_mut().find(same) {
                Some(known) => known.events += 1,
                None => self.0.push(Undecided {
                    topic: Arc::clone(access.topic()),
                    condition: Arc::clone(condition),
                    events: 1,
                    first: (event.entry.partition, event.entry.offset),
                }),
            }
        }
    }

    /// All of it; nothing is left.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Undecided> {
        self.0.drain(..)
    }
}

//! Positions: where the readers of a view stand, and the cursors that say so.
//!
//! Members of a live view stand at their topic's tail, and, while rounds are handled, as far beyond it as the view's
//! batches came in them. A batch's cursor is a delta of that; now and then, and in heartbeats, it is the whole.

use std::sync::Arc;

use hashbrown::HashMap;
use slotmap::SlotMap;
use tidegate_gate::Scope;
use tidegate_log::{Offsets, TopicKey};
use tidegate_protocol::cursor::Head;

use super::index::Topics;
use super::reached::Reached;
use super::shard::Shard;
use super::view::{View, ViewKey, ViewRef};
use crate::feed::Round;
use crate::session::Format;

/// Of so many batches of a view one carries a full cursor, so that no client has to keep more deltas. (Tests see to it
/// that it happens often.)
const FULL_CURSOR_EVERY: u64 = if cfg!(test) { 4 } else { 64 };

/// Whether the batch of this number carries a full cursor.
fn is_full(format: Format, seq: u64) -> bool {
    format.full_cursors() || seq % FULL_CURSOR_EVERY == FULL_CURSOR_EVERY - 1
}

/// The cursor of a batch.
#[derive(Debug)]
pub struct Sealed {
    /// As it goes over the wire.
    pub cursor: String,
    /// Whether it says where the view stands in every partition, and not only in those of the batch.
    pub full: bool,
}

/// Where rounds that are handled together end: in each partition that they read from, at the next offset.
pub struct Ends {
    next: HashMap<(TopicKey, i32), i64>,
    /// The delta that was sealed last, and what it says.
    delta: Option<(TopicKey, Scope, Reached, String)>,
}

impl Ends {
    /// Where these rounds end.
    pub fn of(rounds: &[Arc<Round>]) -> Self {
        let mut ends: HashMap<(TopicKey, i32), i64> = HashMap::new();
        for &(topic, partition, next) in rounds.iter().flat_map(|round| &round.reached) {
            let at = ends.entry((topic, partition)).or_insert(next);
            *at = (*at).max(next);
        }
        Self { next: ends, delta: None }
    }

    /// Each partition, and where the rounds end in it.
    pub fn iter(&self) -> impl Iterator<Item = (TopicKey, i32, i64)> {
        self.next.iter().map(|(&(topic, partition), &next)| (topic, partition, next))
    }

    /// A view was offered all of the rounds: it reached the end of each partition that it touched.
    pub fn complete(&self, topic: TopicKey, reached: &mut Reached) {
        reached.advance(|partition| self.next.get(&(topic, partition)).copied());
    }
}

impl Shard {
    /// Where the members of a live view stand: at the end of the last round, and in the rounds being handled as far as
    /// the view's batches came.
    pub(super) fn live_position(views: &SlotMap<ViewRef, View>, topics: &Topics, view: ViewRef) -> Offsets {
        let Some(view) = views.get(view) else { return Offsets::new() };
        let Some(topic) = topics.get(view.key.topic) else { return Offsets::new() };
        let mut position = topic.tail.clone();
        position.extend(view.reached.iter());
        position
    }

    /// The cursor of the batch of this number of a view: of what it reached, or of the `position` that made. With `ends`,
    /// what it reached is the end of the rounds wherever it came, and other views of the tenant may stand there too.
    pub(super) fn batch_cursor(
        &self,
        of: &ViewKey,
        seq: u64,
        reached: &Reached,
        position: impl FnOnce() -> Offsets,
        ends: Option<&mut Ends>,
    ) -> Sealed {
        let (topic, scope) = (of.topic, of.access.scope());
        let full = is_full(of.format, seq);
        let delta = || self.seal_offsets(topic, scope, false, reached.iter());
        let cursor = match ends {
            _ if full => self.seal(topic, scope, &position()),
            None => delta(),
            Some(ends) => {
                let same = |known: &(TopicKey, Scope, Reached, String)| {
                    (known.0, &known.1, &known.2) == (topic, scope, reached)
                };
                let known = ends.delta.take().filter(same);
                let known = known.unwrap_or_else(|| (topic, scope.clone(), reached.clone(), delta()));
                ends.delta.insert(known).3.clone()
            }
        };
        Sealed { cursor, full }
    }

    /// Seals a whole position in a topic, for the readers of one scope.
    pub(super) fn seal(&self, topic: TopicKey, scope: &Scope, position: &Offsets) -> String {
        self.seal_offsets(topic, scope, true, position.iter().map(|(&partition, &next)| (partition, next)))
    }

    fn seal_offsets(
        &self,
        topic: TopicKey,
        scope: &Scope,
        full: bool,
        offsets: impl Iterator<Item = (i32, i64)> + Clone,
    ) -> String {
        let Some(topic) = self.topics.get(topic) else { return String::new() };
        let tenant = match scope {
            Scope::Tenant(tenant) => tenant,
            Scope::Public => "",
        };
        let topic_id = topic.id.unwrap_or_default();
        self.sealer.seal_parts(Head { tenant, topic: &topic.physical, topic_id, full }, offsets)
    }
}

//! Subscriptions: what components want, shared on the wire, and resumed where they stood.
//!
//! On the wire a client has at most one subscription per topic and consumer. It asks for the union of its members'
//! types; when that grows, it ends and begins again from its cursor. Its cursor is the newest full one and the deltas
//! since. The bridge sends a full one with a `ping` after at most 64 batches of a subscription, so there are few deltas;
//! if it did not, the oldest would go beyond [`MAX_DELTAS`], which costs repeated events and never a lost one.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::frame::{
    ClientFrame, Failed, From, Joined, LedgerReport, Moved, MovedReason, Ping, Subscribe, Subscribed, Unsubscribe,
};
use tidegate_protocol::ledger::Column;

use super::filter::{covers_all, distinct, same_keys, union};
use super::words::{Effect, Handle, Member, Problem, Transport, Want};
use super::{Context, Effects, NEVER};

const MAX_DELTAS: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    list: Vec<Subscription>,
    last_handle: u32,
}

#[derive(Debug)]
struct Subscription {
    topic: Arc<str>,
    consumer: Option<String>,
    group_by: Vec<Column>,
    /// The same for all members; all keys when empty.
    keys: Vec<String>,
    from: From,
    /// Empty: over, and only waiting for the bridge to say so.
    members: Arc<Vec<Member>>,
    /// The types last asked for.
    types: Vec<String>,
    cursor: Cursor,
    stage: Stage,
    /// Whether the bridge ever accepted it.
    established: bool,
    refusals: u32,
}

#[derive(Debug, Default)]
struct Cursor {
    full: Option<String>,
    deltas: Vec<String>,
    /// The topic was made anew and no full cursor of it has come yet.
    outdated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not known to the bridge; to be asked for once the time has come.
    Off {
        until: u64,
    },
    Asked {
        id: u32,
        resumed: bool,
    },
    On {
        wire: u32,
        at: Joined,
    },
    Leaving {
        id: u32,
        wire: u32,
        at: Joined,
    },
}

impl Subscriptions {
    /// Adds a component's want.
    pub(super) fn join(&mut self, cx: &mut Context, want: Want) -> Result<Handle, Problem> {
        let handle = Handle(self.last_handle + 1);
        let member = Member { handle, types: want.types };
        let keys = distinct(want.keys);
        let same = |s: &&mut Subscription| s.is(&want.topic, want.consumer.as_deref()) && !s.members.is_empty();
        if let Some(subscription) = self.list.iter_mut().find(same) {
            let other_from = want.from.is_some_and(|from| from != subscription.from);
            if other_from || !same_keys(&keys, &subscription.keys) || want.group_by != subscription.group_by {
                let message =
                    "the topic is subscribed here already: from another place, of other keys, or grouped otherwise";
                return Err(Problem::known(ErrorCode::AlreadySubscribed, message));
            }
            Arc::make_mut(&mut subscription.members).push(member);
            subscription.leave_if_outgrown(cx);
            if matches!(subscription.stage, Stage::On { .. }) && !subscription.is_outgrown() {
                cx.effects.push_back(Effect::Subscribed { handles: vec![handle], recovered: true });
            }
        } else {
            self.list.push(Subscription {
                topic: want.topic.into(),
                consumer: want.consumer,
                group_by: want.group_by,
                keys,
                from: want.from.unwrap_or_default(),
                members: Arc::new(vec![member]),
                types: Vec::new(),
                cursor: Cursor::default(),
                stage: Stage::Off { until: 0 },
                established: false,
                refusals: 0,
            });
        }
        self.last_handle += 1;
        Ok(handle)
    }

    /// Takes a component's want away.
    pub(super) fn leave(&mut self, cx: &mut Context, handle: Handle) {
        let Some(at) = self.list.iter().position(|s| s.members.iter().any(|m| m.handle == handle)) else { return };
        let subscription = &mut self.list[at];
        Arc::make_mut(&mut subscription.members).retain(|m| m.handle != handle);
        subscription.leave_if_outgrown(cx);
        self.forget_ended();
    }

    /// Where a handle's subscription stands.
    pub(super) fn cursor(&self, handle: Handle) -> Option<Vec<String>> {
        let of = |s: &&Subscription| s.members.iter().any(|member| member.handle == handle);
        let cursor = &self.list.iter().find(of)?.cursor;
        cursor.full.as_ref().map(|_| cursor.tokens())
    }

    /// Asks for what is due. Called when there is a session.
    pub(super) fn ask(&mut self, cx: &mut Context) {
        for at in 0..self.list.len() {
            let due = matches!(self.list[at].stage, Stage::Off { until } if cx.now >= until);
            if due && !self.is_taken(at) {
                self.list[at].ask(cx);
            }
        }
    }

    /// Whether a stream that was asked for now would be for other subscriptions than the one there is.
    pub(super) fn need_another_stream(&self, now: u64) -> bool {
        let asks =
            |at: usize| matches!(self.list[at].stage, Stage::Off { until } if now >= until) && !self.is_taken(at);
        (0..self.list.len()).any(|at| asks(at) || self.list[at].is_outgrown())
    }

    /// There is no session any more, or none yet: all is to be asked for anew.
    pub(super) fn lost(&mut self) {
        for subscription in &mut self.list {
            subscription.stage = Stage::Off { until: 0 };
        }
        self.forget_ended();
    }

    /// There will be no session any more: every handle ends.
    pub(super) fn close(&mut self, effects: &mut Effects, problem: &Problem) {
        for subscription in self.list.drain(..) {
            subscription.end(effects, problem);
        }
    }

    /// A batch came. Answers with who takes it, or what is wrong with it.
    pub(super) fn batch(
        &mut self,
        view: u32,
        seq: u64,
        cursor: String,
        full: bool,
    ) -> Result<(Arc<str>, Arc<Vec<Member>>), &'static str> {
        for subscription in &mut self.list {
            let (Stage::On { at, .. } | Stage::Leaving { at, .. }) = &mut subscription.stage else { continue };
            if at.view != view {
                continue;
            }
            if at.seq != seq {
                return Err("a batch is missing");
            }
            at.seq += 1;
            if full {
                subscription.cursor.replace(cursor);
            } else {
                subscription.cursor.advance(cursor);
            }
            return Ok((Arc::clone(&subscription.topic), Arc::clone(&subscription.members)));
        }
        Err("a batch of a view that nothing subscribes to")
    }

    pub(super) fn subscribed(&mut self, cx: &mut Context, frame: Subscribed) {
        let asked = |s: &&mut Subscription| matches!(s.stage, Stage::Asked { id, .. } if id == frame.id);
        let Some(subscription) = self.list.iter_mut().find(asked) else { return };
        let resumed = matches!(subscription.stage, Stage::Asked { resumed: true, .. });
        let recovered = if resumed { frame.recovered } else { !subscription.established || subscription.is_ledger() };
        subscription.stage = Stage::On { wire: frame.subscription, at: frame.at };
        subscription.cursor.replace(frame.cursor);
        subscription.established = true;
        subscription.refusals = 0;
        if !subscription.members.is_empty() {
            cx.effects.push_back(Effect::Subscribed { handles: subscription.handles(), recovered });
        }
        subscription.leave_if_outgrown(cx);
    }

    pub(super) fn moved(&mut self, effects: &mut Effects, frame: Moved) {
        let Some(subscription) = self.of_wire(frame.subscription) else { return };
        if let Stage::On { at, .. } | Stage::Leaving { at, .. } = &mut subscription.stage {
            *at = frame.at;
        }
        if frame.reason == MovedReason::LogChanged {
            subscription.cursor.outdate();
        }
        // Joining the others, or leaving them, is the bridge's own affair while nothing is missed.
        let silent = frame.recovered && matches!(frame.reason, MovedReason::Live | MovedReason::Behind);
        if !silent && !subscription.members.is_empty() {
            effects.push_back(Effect::Moved {
                handles: subscription.handles(),
                reason: frame.reason,
                recovered: frame.recovered,
                gap: frame.gap,
            });
        }
    }

    pub(super) fn ping(&mut self, ping: Ping) {
        for (wire, cursor) in ping.cursors {
            if let Some(subscription) = self.of_wire(wire) {
                subscription.cursor.replace(cursor);
            }
        }
    }

    /// The bridge says, or admits by an error, that the subscription is gone.
    pub(super) fn unsubscribed(&mut self, id: u32) -> bool {
        let leaving = |s: &&mut Subscription| matches!(s.stage, Stage::Leaving { id: asked, .. } if asked == id);
        let Some(subscription) = self.list.iter_mut().find(leaving) else { return false };
        subscription.stage = Stage::Off { until: 0 };
        self.forget_ended();
        true
    }

    pub(super) fn ledger(&mut self, effects: &mut Effects, report: LedgerReport) {
        if let Some(subscription) = self.of_wire(report.subscription)
            && !subscription.members.is_empty()
        {
            effects.push_back(Effect::Ledger { handles: subscription.handles(), report });
        }
    }

    /// An error refuses or ends a subscription. Says whether it was about one.
    pub(super) fn failed(&mut self, cx: &mut Context, failed: &Failed) -> bool {
        if failed.id.is_some_and(|id| self.unsubscribed(id)) {
            return true;
        }
        let of = |s: &Subscription| match s.stage {
            Stage::Asked { id, .. } => failed.id == Some(id),
            Stage::On { wire, .. } | Stage::Leaving { wire, .. } => failed.subscription == Some(wire),
            Stage::Off { .. } => false,
        };
        let Some(at) = self.list.iter().position(of) else { return false };
        let subscription = &mut self.list[at];
        let cursor_refused = failed.code == ErrorCode::InvalidCursor.name() && subscription.established;
        if cursor_refused {
            // Its keys are no longer held. Better to go on, and say that something was missed.
            subscription.cursor = Cursor::default();
            subscription.from = From::Latest;
            subscription.stage = Stage::Off { until: 0 };
        } else if failed.retryable {
            let wait = cx.options.backoff.delay(subscription.refusals + 1, cx.random.unit());
            subscription.refusals += 1;
            subscription.stage = Stage::Off { until: cx.now + wait.max(failed.retry_after_ms.unwrap_or(0)) };
        } else {
            self.list.remove(at).end(&mut cx.effects, &failed.clone().into());
        }
        self.forget_ended();
        true
    }

    pub(super) fn deadline(&self) -> u64 {
        let mut first = NEVER;
        for subscription in &self.list {
            if let Stage::Off { until } = subscription.stage
                && until > 0
            {
                first = first.min(until);
            }
        }
        first
    }

    /// Whether another one of the same topic and consumer is still on the wire.
    fn is_taken(&self, at: usize) -> bool {
        let wanted = &self.list[at];
        let off = |s: &Subscription| matches!(s.stage, Stage::Off { .. });
        self.list.iter().any(|s| !off(s) && s.is(&wanted.topic, wanted.consumer.as_deref()))
    }

    fn of_wire(&mut self, subscription: u32) -> Option<&mut Subscription> {
        self.list.iter_mut().find(|s| match s.stage {
            Stage::On { wire, .. } | Stage::Leaving { wire, .. } => wire == subscription,
            Stage::Off { .. } | Stage::Asked { .. } => false,
        })
    }

    fn forget_ended(&mut self) {
        self.list.retain(|s| !(s.members.is_empty() && matches!(s.stage, Stage::Off { .. })));
    }
}

impl Subscription {
    fn is(&self, topic: &str, consumer: Option<&str>) -> bool {
        *self.topic == *topic && self.consumer.as_deref() == consumer
    }

    fn is_ledger(&self) -> bool {
        self.topic.starts_with('$')
    }

    fn handles(&self) -> Vec<Handle> {
        self.members.iter().map(|member| member.handle).collect()
    }

    fn ask(&mut self, cx: &mut Context) {
        self.types = union(&self.members);
        let resumed = self.established && !self.is_ledger() && self.cursor.full.is_some();
        let from = if resumed { From::Cursor(self.cursor.tokens()) } else { self.from.clone() };
        let id = cx.next_id();
        self.stage = Stage::Asked { id, resumed: matches!(from, From::Cursor(_)) };
        cx.send(&ClientFrame::Subscribe(Subscribe {
            id,
            topic: (*self.topic).to_owned(),
            types: self.types.clone(),
            keys: self.keys.clone(),
            consumer: self.consumer.clone(),
            from,
            group_by: self.group_by.clone(),
        }));
    }

    /// Whether nobody is left, or more types are wanted than were asked for.
    fn is_outgrown(&self) -> bool {
        let on = matches!(self.stage, Stage::On { .. });
        on && (self.members.is_empty() || !covers_all(&self.types, &union(&self.members)))
    }

    /// Ends it on the wire when it is outgrown. A stream is replaced as a whole instead.
    fn leave_if_outgrown(&mut self, cx: &mut Context) {
        let Stage::On { wire, at } = self.stage else { return };
        if cx.transport == Transport::Stream || !self.is_outgrown() {
            return;
        }
        let id = cx.next_id();
        self.stage = Stage::Leaving { id, wire, at };
        cx.send(&ClientFrame::Unsubscribe(Unsubscribe { id, subscription: wire }));
    }

    fn end(&self, effects: &mut Effects, problem: &Problem) {
        for member in self.members.iter() {
            effects.push_back(Effect::Ended { handle: member.handle, problem: problem.clone() });
        }
    }
}

impl Cursor {
    fn replace(&mut self, full: String) {
        // The ledger has no position.
        self.full = (!full.is_empty()).then_some(full);
        self.deltas.clear();
        self.outdated = false;
    }

    fn advance(&mut self, delta: String) {
        if self.outdated {
            return;
        }
        if self.deltas.len() == MAX_DELTAS {
            self.deltas.remove(0);
        }
        self.deltas.push(delta);
    }

    /// Deltas of the new topic do not continue the old one's cursor. That one alone is told `log_changed` again.
    fn outdate(&mut self) {
        self.deltas.clear();
        self.outdated = true;
    }

    fn tokens(&self) -> Vec<String> {
        let mut tokens = self.deltas.clone();
        if let Some(full) = &self.full {
            tokens.insert(0, full.clone());
        }
        tokens
    }
}

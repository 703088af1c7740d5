//! Publishes and their answers.
//!
//! What was sent and not answered when the socket broke is `outcome_unknown` and not sent again: it may be on
//! the log. What was never sent waits for a session, a while and within bounds.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::frame::{ClientFrame, Limits, Publish, Published};

use super::words::{Call, Effect, Problem, Transport};
use super::{Context, Effects, NEVER};

/// How long a publish waits for a session.
const QUEUE_MS: u64 = 10_000;
/// How long it then waits for its answer.
const ANSWER_MS: u64 = 30_000;
const QUEUED_CALLS: usize = 256;
const QUEUED_BYTES: usize = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Calls {
    // Few, and mostly taken from the front: a queue would be more of a page's download.
    queued: Vec<(Publish, u64)>,
    queued_bytes: usize,
    sent: Vec<(u32, u64)>,
    limits: Option<Limits>,
}

impl Calls {
    /// Sends the publish if there is a session, else keeps it for the next.
    pub(super) fn publish(&mut self, cx: &mut Context, publish: Publish) {
        if self.limits.is_some() {
            return self.send(cx, &publish);
        }
        if self.queued.len() == QUEUED_CALLS || self.queued_bytes + publish.event.len() > QUEUED_BYTES {
            return refuse(&mut cx.effects, publish.id, not_connected());
        }
        self.queued_bytes += publish.event.len();
        self.queued.push((publish, cx.now));
    }

    /// A session is open.
    pub(super) fn begin(&mut self, cx: &mut Context, limits: Limits) {
        self.limits = Some(limits);
        self.queued_bytes = 0;
        for (publish, _) in core::mem::take(&mut self.queued) {
            self.send(cx, &publish);
        }
    }

    /// The session is over.
    pub(super) fn lost(&mut self, effects: &mut Effects) {
        self.limits = None;
        for (id, _) in core::mem::take(&mut self.sent) {
            refuse(effects, id, outcome_unknown());
        }
    }

    /// There will be no session any more.
    pub(super) fn close(&mut self, effects: &mut Effects) {
        for (publish, _) in core::mem::take(&mut self.queued) {
            refuse(effects, publish.id, not_connected());
        }
    }

    pub(super) fn published(&mut self, effects: &mut Effects, published: Published) {
        if self.take(published.id) {
            effects.push_back(Effect::Published { call: Call(published.id), result: Ok(published) });
        }
    }

    /// An error answers the frame `id`; says whether that was a publish.
    pub(super) fn failed(&mut self, effects: &mut Effects, id: u32, problem: &Problem) -> bool {
        let ours = self.take(id);
        if ours {
            let mut problem = problem.clone();
            // The bridge points into the frame, of which the publisher knows only the event.
            let in_event = problem.pointer.as_deref().and_then(|pointer| pointer.strip_prefix("/publish/event"));
            if let Some(pointer) = in_event {
                problem.pointer = Some(pointer.to_owned());
            }
            refuse(effects, id, problem);
        }
        ours
    }

    pub(super) fn tick(&mut self, now: u64, effects: &mut Effects) {
        while self.queued.first().is_some_and(|(_, since)| now >= since + QUEUE_MS) {
            let (publish, _) = self.queued.remove(0);
            self.queued_bytes -= publish.event.len();
            refuse(effects, publish.id, not_connected());
        }
        while self.sent.first().is_some_and(|(_, since)| now >= since + ANSWER_MS) {
            let (id, _) = self.sent.remove(0);
            refuse(effects, id, outcome_unknown());
        }
    }

    pub(super) fn deadline(&self) -> u64 {
        let queued = self.queued.first().map_or(NEVER, |(_, since)| since + QUEUE_MS);
        self.sent.first().map_or(queued, |(_, since)| queued.min(since + ANSWER_MS))
    }

    fn send(&mut self, cx: &mut Context, publish: &Publish) {
        let id = publish.id;
        if cx.transport == Transport::Stream {
            return cx.effects.push_back(Effect::Post(publish.clone()));
        }
        let size = publish.event.len() as u64;
        let frame = ClientFrame::Publish(publish.clone()).encode();
        // A frame beyond the limit would end the session for good.
        if self.limits.is_some_and(|limits| size > limits.event_bytes || frame.len() as u64 > limits.frame_bytes) {
            let problem = Problem::known(ErrorCode::EventTooLarge, "the event is larger than the bridge accepts");
            return refuse(&mut cx.effects, id, problem);
        }
        self.sent.push((id, cx.now));
        cx.effects.push_back(Effect::Send(frame));
    }

    fn take(&mut self, id: u32) -> bool {
        let found = self.sent.iter().position(|&(sent, _)| sent == id);
        found.map(|at| self.sent.remove(at)).is_some()
    }
}

fn refuse(effects: &mut Effects, id: u32, problem: Problem) {
    effects.push_back(Effect::Published { call: Call(id), result: Err(problem) });
}

fn not_connected() -> Problem {
    Problem::own("not_connected", "there is no session to publish in; the event was not sent")
}

fn outcome_unknown() -> Problem {
    Problem::known(ErrorCode::OutcomeUnknown, "no answer came: the event may or may not be on the log")
}

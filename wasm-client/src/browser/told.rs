//! What the core tells JavaScript: one thing after another, each by its number, after the texts and numbers that belong
//! to it.

use tidegate_protocol::frame::Publish;
use wasm_bindgen::prelude::*;

use crate::machine::{Effect, Handle, Machine, Problem, State, Transport};

#[wasm_bindgen(raw_module = "./told.js")]
extern "C" {
    /// A text, by its address; of less than no length for none.
    fn text(at: i32, length: i32);
    fn number(number: f64);
    /// What it is that the texts and numbers since the last one belong to.
    fn told(what: u8);
}

/// What is told; `words.js` has them by their numbers.
#[derive(Clone, Copy)]
pub(super) enum What {
    /// The answer to what was asked.
    Answer,
    Send,
    Token,
    Connect,
    OpenStream,
    Disconnect,
    Post,
    Open,
    Waiting,
    Closed,
    Log,
    Subscribed,
    Ended,
    Published,
    Refused,
    Ledger,
}

impl What {
    /// Tells it with what was put before.
    pub(super) fn tell(self) {
        told(self as u8);
    }
}

/// Tells all that there is to do.
pub(super) fn effects(machine: &mut Machine, now: u64) {
    while let Some(effect) = machine.next_effect() {
        if let Some(what) = put(&effect, machine, now) {
            what.tell();
        }
    }
}

/// Puts what belongs to an effect; `None` for what a page has no use for.
fn put(effect: &Effect, machine: &Machine, now: u64) -> Option<What> {
    Some(match effect {
        Effect::Send(frame) => {
            put_text(frame);
            What::Send
        }
        Effect::FetchToken { ask } => {
            put_number(*ask);
            What::Token
        }
        Effect::Connect => What::Connect,
        Effect::OpenStream => What::OpenStream,
        Effect::Disconnect { code, reason } => {
            put_number(*code);
            put_text(reason);
            What::Disconnect
        }
        Effect::Post(Publish { id, topic, key, event, .. }) => {
            put_number(*id);
            put_text(machine.stream_token());
            put_text(topic);
            put_optional(key.as_deref());
            put_text(event);
            What::Post
        }
        Effect::State(State::Open(_)) => {
            put_number(machine.transport() == Transport::Stream);
            What::Open
        }
        Effect::State(State::Waiting { until, problem }) => {
            number(until.saturating_sub(now) as f64);
            put_problem(problem);
            What::Waiting
        }
        Effect::State(State::Closed(problem)) => {
            if let Some(problem) = problem {
                put_problem(problem);
            }
            What::Closed
        }
        Effect::LogState { available } => {
            put_number(*available);
            What::Log
        }
        Effect::Subscribed { handles, recovered } => {
            put_number(*recovered);
            put_optional(None);
            put_handles(handles);
            What::Subscribed
        }
        Effect::Moved { handles, reason, recovered, .. } => {
            put_number(*recovered);
            put_text(reason.name());
            put_handles(handles);
            What::Subscribed
        }
        Effect::Ended { handle, problem } => {
            put_number(handle.0);
            put_problem(problem);
            What::Ended
        }
        Effect::Published { call, result: Ok(published) } => {
            put_number(call.0);
            put_text(&published.event_id);
            put_text(&published.correlation_id);
            What::Published
        }
        Effect::Published { call, result: Err(problem) } => {
            put_number(call.0);
            put_problem(problem);
            What::Refused
        }
        Effect::Ledger { handles, .. } => {
            put_handles(handles);
            What::Ledger
        }
        Effect::TimedOut { .. } | Effect::State(State::Connecting) => return None,
    })
}

/// A text.
pub(super) fn put_text(of: &str) {
    text(of.as_ptr() as i32, of.len() as i32);
}

fn put_optional(of: Option<&str>) {
    of.map_or_else(|| text(0, -1), put_text);
}

/// A number, or a flag as 0 or 1.
pub(super) fn put_number(of: impl Into<u32>) {
    number(f64::from(of.into()));
}

/// A problem, as `TidegateError` takes it.
pub(super) fn put_problem(problem: &Problem) {
    let Problem { code, message, retryable, pointer, retry_after_ms } = problem;
    put_text(code);
    put_text(message);
    put_number(*retryable);
    put_optional(pointer.as_deref());
    if let Some(after) = retry_after_ms {
        number(*after as f64);
    }
}

fn put_handles(handles: &[Handle]) {
    for handle in handles {
        put_number(handle.0);
    }
}

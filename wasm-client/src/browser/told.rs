//! What the core tells JavaScript: frames to send as they are, all else as `["what", …]`.

use tidegate_protocol::json::write;

use crate::machine::{Effect, Handle, Problem, State, Transport};

/// The text of an effect; `None` for what a page has no use for.
pub(super) fn told(effect: Effect, now: u64, transport: Transport, token: &str) -> Option<String> {
    Some(match effect {
        Effect::Send(frame) => frame,
        Effect::FetchToken { ask } => Told::new("token").number(ask).end(),
        Effect::Connect => Told::new("connect").end(),
        Effect::OpenStream => Told::new("stream").end(),
        Effect::Disconnect { code, reason } => Told::new("disconnect").number(code).text(reason).end(),
        Effect::Post(publish) => {
            let told = Told::new("post").number(publish.id).text(token).text(&publish.topic);
            told.optional(publish.key.as_deref()).text(&publish.event).end()
        }
        Effect::State(State::Connecting) | Effect::TimedOut { .. } => return None,
        Effect::State(State::Open(_)) => Told::new("open").flag(transport == Transport::Stream).end(),
        Effect::State(State::Waiting { until, problem }) => {
            Told::new("waiting").number(until.saturating_sub(now)).problem(&problem).end()
        }
        Effect::State(State::Closed(None)) => Told::new("closed").end(),
        Effect::State(State::Closed(Some(problem))) => Told::new("closed").problem(&problem).end(),
        Effect::LogState { available } => Told::new("log").flag(available).end(),
        Effect::Subscribed { handles, recovered } => Told::new("subscribed").handles(&handles).flag(recovered).end(),
        Effect::Moved { handles, reason, recovered, .. } => {
            Told::new("subscribed").handles(&handles).flag(recovered).text(reason.name()).end()
        }
        Effect::Ended { handle, problem } => Told::new("ended").number(handle.0).problem(&problem).end(),
        Effect::Published { call, result: Ok(published) } => {
            Told::new("published").number(call.0).text(&published.event_id).text(&published.correlation_id).end()
        }
        Effect::Published { call, result: Err(problem) } => Told::new("refused").number(call.0).problem(&problem).end(),
        Effect::Ledger { handles, .. } => Told::new("ledger").handles(&handles).end(),
    })
}

/// A problem as `TidegateError` takes it.
pub(super) fn problem(problem: &Problem) -> String {
    let Problem { code, message, retryable, pointer, retry_after_ms } = problem;
    let told = Told::new(code).text(message).flag(*retryable).optional(pointer.as_deref());
    match retry_after_ms {
        Some(after) => told.number(*after).end(),
        None => told.end(),
    }
}

/// A number as text.
pub(super) fn number(number: u32) -> String {
    let mut text = String::new();
    write::integer(&mut text, number);
    text
}

/// A JSON array that is being written.
struct Told(String);

impl Told {
    fn new(what: &str) -> Self {
        let mut told = "[".to_owned();
        write::string(&mut told, what);
        Self(told)
    }

    fn raw(mut self, json: &str) -> Self {
        self.0.push(',');
        self.0.push_str(json);
        self
    }

    fn text(mut self, text: &str) -> Self {
        self.0.push(',');
        write::string(&mut self.0, text);
        self
    }

    fn optional(self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(text),
            None => self.raw("null"),
        }
    }

    fn flag(self, flag: bool) -> Self {
        self.raw(if flag { "true" } else { "false" })
    }

    fn number(mut self, number: impl Into<u64>) -> Self {
        self.0.push(',');
        write::integer(&mut self.0, number.into());
        self
    }

    fn handles(mut self, handles: &[Handle]) -> Self {
        self.0.push(',');
        write::array(&mut self.0, handles, |out, handle| write::integer(out, handle.0));
        self
    }

    fn problem(self, of: &Problem) -> Self {
        self.raw(&problem(of))
    }

    fn end(mut self) -> String {
        self.0.push(']');
        self.0
    }
}

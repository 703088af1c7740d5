//! What the core tells JavaScript: frames to send as they are, all else as `["what", …]`.

use tidegate_protocol::frame::Publish;
use tidegate_protocol::json::write;

use crate::machine::{Effect, Handle, Problem, State, Transport};

/// The text of an effect; `None` for what a page has no use for.
pub(super) fn told(effect: Effect, now: u64, transport: Transport, token: &str) -> Option<String> {
    let effect = match effect {
        Effect::Send(frame) => return Some(frame),
        effect => effect,
    };
    let what = match &effect {
        Effect::Send(_) | Effect::TimedOut { .. } | Effect::State(State::Connecting) => "",
        Effect::FetchToken { .. } => "token",
        Effect::Connect => "connect",
        Effect::OpenStream => "stream",
        Effect::Disconnect { .. } => "disconnect",
        Effect::Post(_) => "post",
        Effect::State(State::Open(_)) => "open",
        Effect::State(State::Waiting { .. }) => "waiting",
        Effect::State(State::Closed(_)) => "closed",
        Effect::LogState { .. } => "log",
        Effect::Subscribed { .. } | Effect::Moved { .. } => "subscribed",
        Effect::Ended { .. } => "ended",
        Effect::Published { result: Ok(_), .. } => "published",
        Effect::Published { result: Err(_), .. } => "refused",
        Effect::Ledger { .. } => "ledger",
    };
    let mut told = Told::new(what);
    match &effect {
        Effect::Connect | Effect::OpenStream | Effect::State(State::Closed(None)) => &mut told,
        Effect::FetchToken { ask } => told.number(*ask),
        Effect::Disconnect { code, reason } => told.number(*code).text(reason),
        Effect::Post(Publish { id, topic, key, event, .. }) => {
            told.number(*id).text(token).text(topic).optional(key.as_deref()).text(event)
        }
        Effect::State(State::Open(_)) => told.flag(transport == Transport::Stream),
        Effect::State(State::Waiting { until, problem }) => told.number(until.saturating_sub(now)).problem(problem),
        Effect::State(State::Closed(Some(problem))) => told.problem(problem),
        Effect::LogState { available } => told.flag(*available),
        Effect::Subscribed { handles, recovered } => told.handles(handles).flag(*recovered),
        Effect::Moved { handles, reason, recovered, .. } => told.handles(handles).flag(*recovered).text(reason.name()),
        Effect::Ended { handle, problem } => told.number(handle.0).problem(problem),
        Effect::Published { call, result: Ok(published) } => {
            told.number(call.0).text(&published.event_id).text(&published.correlation_id)
        }
        Effect::Published { call, result: Err(problem) } => told.number(call.0).problem(problem),
        Effect::Ledger { handles, .. } => told.handles(handles),
        Effect::Send(_) | Effect::TimedOut { .. } | Effect::State(State::Connecting) => return None,
    };
    Some(told.end())
}

/// A problem as `TidegateError` takes it.
pub(super) fn problem(problem: &Problem) -> String {
    let Problem { code, message, retryable, pointer, retry_after_ms } = problem;
    let mut told = Told::new(code);
    told.text(message).flag(*retryable).optional(pointer.as_deref());
    if let Some(after) = retry_after_ms {
        told.number(*after);
    }
    told.end()
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

    fn raw(&mut self, json: &str) -> &mut Self {
        self.0.push(',');
        self.0.push_str(json);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.0.push(',');
        write::string(&mut self.0, text);
        self
    }

    fn optional(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.text(text),
            None => self.raw("null"),
        }
    }

    fn flag(&mut self, flag: bool) -> &mut Self {
        self.raw(if flag { "true" } else { "false" })
    }

    fn number(&mut self, number: impl Into<u64>) -> &mut Self {
        self.0.push(',');
        write::integer(&mut self.0, number.into());
        self
    }

    fn handles(&mut self, handles: &[Handle]) -> &mut Self {
        self.0.push(',');
        write::array(&mut self.0, handles, |out, handle| write::integer(out, handle.0));
        self
    }

    fn problem(&mut self, of: &Problem) -> &mut Self {
        self.raw(&problem(of))
    }

    fn end(mut self) -> String {
        self.0.push(']');
        self.0
    }
}

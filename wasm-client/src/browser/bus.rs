//! The core of the npm package's bus: what JavaScript calls, and what it is told.

use lol_alloc::{FreeListAllocator, LockedAllocator};
use tidegate_protocol::frame::{self, FailureKind, Publish};
use tidegate_protocol::ledger::Column;
use wasm_bindgen::prelude::*;

use super::connection::{Application, Connection};
use super::platform;
use super::value::{Json, List};
use crate::machine::{Arrival, Dispatch, Effect, Handle, Options, Outcome, Problem, State, Transports, Want};

#[wasm_bindgen]
extern "C" {
    /// The bus's own methods for the core; none of them throws.
    pub type Hooks;

    /// Makes the error object that stands for a problem.
    #[wasm_bindgen(method)]
    fn error(
        this: &Hooks,
        code: &str,
        message: &str,
        retryable: bool,
        pointer: Option<&str>,
        retry_after: Option<f64>,
    ) -> JsValue;
    /// Fetches a token for `Core.token`.
    #[wasm_bindgen(method)]
    fn token(this: &Hooks, ask: u32);
    #[wasm_bindgen(method)]
    fn connecting(this: &Hooks);
    #[wasm_bindgen(method)]
    fn open(this: &Hooks, streaming: bool);
    /// Opens a stream with what `Core.stream_request` says, in place of the one that there may be. Its frames go to
    /// `Core.heard`, its end to `Core.closed`.
    #[wasm_bindgen(method)]
    fn stream(this: &Hooks);
    /// Ends the stream, of which nothing more is told.
    #[wasm_bindgen(method)]
    fn hang_up(this: &Hooks);
    /// Publishes by a request, and answers the call by itself.
    #[wasm_bindgen(method)]
    fn post(this: &Hooks, call: u32, token: &str, topic: &str, key: Option<&str>, event: &str);
    #[wasm_bindgen(method)]
    fn waiting(this: &Hooks, delay: f64, error: JsValue);
    #[wasm_bindgen(method)]
    fn closed(this: &Hooks, error: JsValue);
    #[wasm_bindgen(method)]
    fn log(this: &Hooks, available: bool);
    #[wasm_bindgen(method)]
    fn subscribed(this: &Hooks, handle: u32, recovered: bool, reason: Option<&str>);
    #[wasm_bindgen(method)]
    fn ended(this: &Hooks, handle: u32, error: JsValue);
    #[wasm_bindgen(method)]
    fn published(this: &Hooks, call: u32, id: &str, correlation: &str);
    #[wasm_bindgen(method)]
    fn refused(this: &Hooks, call: u32, error: JsValue);
    #[wasm_bindgen(method)]
    fn ledger(this: &Hooks, handle: u32, report: &JsValue);
    /// Dispatches a batch. The answer is undefined when all was consumed, else `[ordinal, code, reason, …]`.
    #[wasm_bindgen(method)]
    fn batch(this: &Hooks, topic: &str, session: u32, view: u32, seq: f64, entries: &JsValue) -> Option<List>;
}

/// A few hundred blocks live here at a time; the standard allocator is 3 KiB more of a page's download.
#[global_allocator]
static ALLOCATOR: LockedAllocator<FreeListAllocator> = LockedAllocator::new(FreeListAllocator::new());

/// A connection for one bus.
#[wasm_bindgen]
pub struct Core(Connection);

// What JavaScript passes is copied in, so that it is owned here whether or not it is kept.
#[allow(clippy::needless_pass_by_value)]
#[wasm_bindgen]
impl Core {
    /// Begins to connect. `transports`: 0 all that there are, 1 WebSockets only, 2 streams only.
    #[wasm_bindgen(constructor)]
    pub fn new(url: &str, client: &str, handler_timeout: f64, transports: u8, hooks: Hooks) -> Self {
        let transports = match transports {
            1 => Transports::WebSocket,
            2 => Transports::Stream,
            _ => Transports::Auto,
        };
        let options = Options { handler_timeout_ms: handler_timeout as u64, transports, ..Options::new(client) };
        Self(Connection::open(url, options, Page(hooks)))
    }

    /// The token asked for.
    pub fn token(&self, ask: u32, token: String) {
        self.0.token(ask, Ok(token));
    }

    /// There is no token, for the reason given.
    pub fn no_token(&self, ask: u32, reason: String) {
        self.0.token(ask, Err(reason));
    }

    /// The body of the request for a stream.
    pub fn stream_request(&self) -> String {
        self.0.stream_request()
    }

    /// A frame came over the stream.
    pub fn heard(&self, text: &JsValue) {
        self.0.heard(text);
    }

    /// The stream has ended.
    pub fn closed(&self, code: u16, reason: &str) {
        self.0.closed(code, reason);
    }

    /// Takes up a topic; answers with a handle. `from` is a time, where the earliest is infinitely long ago.
    pub fn subscribe(
        &self,
        topic: String,
        types: Vec<String>,
        keys: Vec<String>,
        from: Option<f64>,
        cursor: Vec<String>,
        hooks: &Hooks,
    ) -> Result<u32, JsValue> {
        let from = match from {
            _ if !cursor.is_empty() => Some(frame::From::Cursor(cursor)),
            Some(f64::NEG_INFINITY) => Some(frame::From::Earliest),
            Some(f64::INFINITY) => Some(frame::From::Latest),
            time => time.map(|time| frame::From::Time(time as i64)),
        };
        let want = Want { topic, types, keys, from, ..Want::default() };
        self.0.subscribe(want).map(|Handle(handle)| handle).map_err(|problem| error(hooks, &problem))
    }

    /// Takes up the ledger; answers with a handle.
    pub fn ledger(&self, group_by: Vec<String>, hooks: &Hooks) -> Result<u32, JsValue> {
        let columns = group_by.iter().filter_map(|name| Column::from_name(name)).collect();
        self.0.ledger(columns).map(|Handle(handle)| handle).map_err(|problem| error(hooks, &problem))
    }

    /// Gives a handle back.
    pub fn unsubscribe(&self, handle: u32) {
        self.0.unsubscribe(Handle(handle));
    }

    /// Where a handle's subscription stands.
    pub fn cursor(&self, handle: u32) -> Option<Vec<String>> {
        self.0.cursor(Handle(handle))
    }

    /// Publishes an event's JSON text; answers with the call's number.
    pub fn publish(&self, topic: &str, key: Option<String>, id: &str, event: &str) -> u32 {
        self.0.publish(topic, key.as_deref(), id, event).0
    }

    /// What became of a delivery that was pending.
    pub fn settled(&self, session: u32, view: u32, seq: f64, ordinal: u32, failure: Option<String>) {
        let outcome = failure.map_or(Outcome::Consumed, |reason| Outcome::failed(FailureKind::Rejected, reason));
        self.0.settle(Arrival { session, view, seq: seq as u64, bytes: 0 }, ordinal, outcome);
    }

    /// A new event id.
    pub fn event_id(&self) -> String {
        self.0.event_id()
    }

    /// Ends the session.
    pub fn close(&self) {
        self.0.close();
    }
}

/// The page behind a bus.
struct Page(Hooks);

impl Application for Page {
    fn token(&self, _: &Connection, ask: u32) {
        self.0.token(ask);
    }

    fn told(&self, connection: &Connection, effect: Effect) {
        let hooks = &self.0;
        match effect {
            Effect::State(State::Connecting) => hooks.connecting(),
            Effect::State(State::Open(_)) => hooks.open(connection.is_streaming()),
            Effect::OpenStream => hooks.stream(),
            Effect::Disconnect { .. } => hooks.hang_up(),
            Effect::Post(publish) => {
                let Publish { id, topic, key, event, .. } = &publish;
                hooks.post(*id, &connection.stream_token(), topic, key.as_deref(), event);
            }
            Effect::State(State::Waiting { until, problem }) => {
                hooks.waiting(until.saturating_sub(platform::now()) as f64, error(hooks, &problem));
            }
            Effect::State(State::Closed(problem)) => {
                hooks.closed(problem.map_or(JsValue::UNDEFINED, |problem| error(hooks, &problem)));
            }
            Effect::LogState { available } => hooks.log(available),
            Effect::Subscribed { handles, recovered } => {
                for handle in handles {
                    hooks.subscribed(handle.0, recovered, None);
                }
            }
            Effect::Moved { handles, reason, recovered, .. } => {
                for handle in handles {
                    hooks.subscribed(handle.0, recovered, Some(reason.name()));
                }
            }
            Effect::Ended { handle, problem } => hooks.ended(handle.0, error(hooks, &problem)),
            Effect::Published { call, result: Ok(published) } => {
                hooks.published(call.0, &published.event_id, &published.correlation_id);
            }
            Effect::Published { call, result: Err(problem) } => hooks.refused(call.0, error(hooks, &problem)),
            Effect::Ledger { handles, .. } => {
                if let Some(report) = connection.ledger_frame() {
                    for handle in handles {
                        hooks.ledger(handle.0, report.as_js());
                    }
                }
            }
            // The adapter's own, or of no interest to a page.
            _ => {}
        }
    }

    fn dispatch(&self, _: &Connection, batch: &Dispatch<Json>) -> Vec<(u32, Outcome)> {
        let Arrival { session, view, seq, .. } = batch.arrival;
        let exceptions = self.0.batch(&batch.topic, session, view, seq as f64, batch.entries.as_js());
        exceptions.map_or_else(Vec::new, |list| {
            let number = |at| list.get(at).as_f64().unwrap_or_default() as u32;
            (0..list.length() / 3).map(|n| (number(n * 3), outcome(number(n * 3 + 1), &list.get(n * 3 + 2)))).collect()
        })
    }
}

/// The numbers are those of `event.js`.
fn outcome(code: u32, reason: &JsValue) -> Outcome {
    match code {
        0 => Outcome::Consumed,
        2 => Outcome::Pending,
        3 => Outcome::failed(FailureKind::Threw, reason.as_string().unwrap_or_default()),
        _ => Outcome::Unhandled,
    }
}

fn error(hooks: &Hooks, problem: &Problem) -> JsValue {
    let retry_after = problem.retry_after_ms.map(|after| after as f64);
    hooks.error(&problem.code, &problem.message, problem.retryable, problem.pointer.as_deref(), retry_after)
}

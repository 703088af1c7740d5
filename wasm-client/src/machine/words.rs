//! What the machine and its adapter say to each other: wants and outcomes in, effects out.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use tidegate_protocol::backoff::{Backoff, RECONNECT};
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::frame::{Failed, FailureKind, From, LedgerReport, MovedReason, Publish, Published, Welcome};
use tidegate_protocol::ledger::Column;

use super::filter::covers;

/// How the machine behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Names this client; a newer session with the same name and subject replaces the older. Random when empty.
    pub client: String,
    /// Whether asking for a token again can give another one. A fixed token that expired is the end.
    pub renewable: bool,
    /// A delivery that is not settled after this long has failed for the last time.
    pub handler_timeout_ms: u64,
    /// Which transports may be used.
    pub transports: Transports,
    /// Waits between attempts to connect.
    pub backoff: Backoff,
}

impl Options {
    /// The defaults, for a client of that name.
    pub fn new(client: impl Into<String>) -> Self {
        let (client, transports) = (client.into(), Transports::default());
        Self { client, renewable: true, handler_timeout_ms: 30_000, transports, backoff: RECONNECT }
    }
}

/// How frames travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Both ways over a WebSocket.
    WebSocket,
    /// From the bridge as Server-Sent Events, the answer to `POST /v1/stream`; to the bridge in that request, and each
    /// publish in a request of its own. There are no reports.
    Stream,
}

/// The transports that a client may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transports {
    /// WebSockets only.
    #[default]
    WebSocket,
    /// Streams only.
    Stream,
    /// WebSockets, and streams where those do not pass.
    Auto,
}

/// What one component wants of one topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Want {
    /// Logical topic, or `$ledger`.
    pub topic: String,
    /// Event types (`order.created`), or their beginnings (`order.*`); all when empty.
    pub types: Vec<String>,
    /// Keys; all when empty. Those who share a subscription name the same.
    pub keys: Vec<String>,
    /// Named consumer: a work queue.
    pub consumer: Option<String>,
    /// Where to begin. `None` joins what other components have, and begins with the latest if there is nothing.
    pub from: Option<From>,
    /// `$ledger` only: the columns to group by.
    pub group_by: Vec<Column>,
}

/// One component's share of a subscription, as [`Machine::subscribe`](super::Machine::subscribe) names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(pub u32);

/// A handle and what it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The handle.
    pub handle: Handle,
    /// Its event types and their beginnings; all when empty.
    pub types: Vec<String>,
}

impl Member {
    /// Whether it takes events of that type.
    pub fn takes(&self, event_type: &str) -> bool {
        self.types.is_empty() || self.types.iter().any(|wanted| covers(wanted, event_type))
    }
}

/// Names a publish, and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Call(pub u32);

/// A batch that arrived. It stays good for settling; those of a session that ended are passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Arrival {
    /// Counts this client's sessions.
    pub session: u32,
    /// The view.
    pub view: u32,
    /// The batch's number in the view.
    pub seq: u64,
    /// What it costs in credit.
    pub bytes: u64,
}

/// Entries to dispatch to the members of a subscription, all of them and in their order.
///
/// Then tell [`Machine::dispatched`](super::Machine::dispatched), batch by batch.
#[derive(Debug, Clone)]
pub struct Dispatch<V> {
    /// Which batch.
    pub arrival: Arrival,
    /// Logical topic.
    pub topic: Arc<str>,
    /// Who takes them. Empty when the last handle was just closed: then they are unhandled.
    pub members: Arc<Vec<Member>>,
    /// The batch's `entries`.
    pub entries: V,
}

/// What became of one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Handled.
    Consumed,
    /// Nobody listens for its type: consumed, and counted as such.
    Unhandled,
    /// An attempt failed.
    Failed {
        /// How.
        kind: FailureKind,
        /// For a person; cut to 4 KiB.
        reason: String,
        /// No attempt follows.
        last: bool,
    },
    /// Not known yet; [`Machine::settle`](super::Machine::settle) tells.
    Pending,
}

impl Outcome {
    /// A failure after which no attempt follows.
    pub fn failed(kind: FailureKind, reason: impl Into<String>) -> Self {
        Self::Failed { kind, reason: reason.into(), last: true }
    }
}

/// What an adapter shall do, or shall tell the application.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Ask the token source and answer with [`Machine::token`](super::Machine::token) and this number.
    FetchToken {
        /// Which question.
        ask: u32,
    },
    /// Open a socket. Nothing of an earlier one, or of a stream, may be told to the machine from now on.
    Connect,
    /// Send a text frame.
    Send(String),
    /// Open a stream, instead of the one that there may be: `POST /v1/stream` with what
    /// [`Machine::stream_request`](super::Machine::stream_request) says once this is done. Nothing of an earlier
    /// stream may be told to the machine from now on.
    OpenStream,
    /// Publish by `POST /v1/topics/{topic}/events`, with [`Machine::stream_token`](super::Machine::stream_token). What
    /// came of it the adapter tells the application itself: nothing else waits for it.
    Post(Publish),
    /// Close the socket or stream, if there is one, and tell nothing more of it.
    Disconnect {
        /// WebSocket close code.
        code: u16,
        /// Reason text.
        reason: &'static str,
    },
    /// The connection's state changed.
    State(State),
    /// Whether the bridge reaches the log.
    LogState {
        /// Whether it does.
        available: bool,
    },
    /// A subscription is established, first or again.
    Subscribed {
        /// Its handles.
        handles: Vec<Handle>,
        /// Whether nothing was missed since it was last established. True the first time.
        recovered: bool,
    },
    /// The bridge moved a subscription in a way the application may care about.
    Moved {
        /// Its handles.
        handles: Vec<Handle>,
        /// Why.
        reason: MovedReason,
        /// Whether nothing was missed.
        recovered: bool,
        /// Where the gap begins and ends, as sealed cursors.
        gap: Option<(String, String)>,
    },
    /// A handle is over, not by its own closing.
    Ended {
        /// The handle.
        handle: Handle,
        /// Why.
        problem: Problem,
    },
    /// A publish is answered.
    Published {
        /// Which.
        call: Call,
        /// The answer.
        result: Result<Published, Problem>,
    },
    /// The ledger's newest totals, for these handles.
    Ledger {
        /// Handles of the ledger subscription.
        handles: Vec<Handle>,
        /// The totals.
        report: LedgerReport,
    },
    /// A delivery was not settled in time and is reported as failed.
    TimedOut {
        /// The batch it was in.
        arrival: Arrival,
        /// Its place there.
        ordinal: u32,
    },
}

/// The connection's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Getting a token, a socket and a session.
    Connecting,
    /// In session.
    Open(Arc<Welcome>),
    /// Will try again.
    Waiting {
        /// When, on the machine's clock.
        until: u64,
        /// Why the last session or attempt ended.
        problem: Problem,
    },
    /// Over for good.
    Closed(Option<Problem>),
}

/// Why something was refused or ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Problem {
    /// Stable name: an error code of the protocol, a close reason, or one of this client's own
    /// (`not_connected`, `socket_closed`, `heartbeat_missed`, `token_unavailable`, `identity_changed`, `closed`).
    pub code: Cow<'static, str>,
    /// For a person.
    pub message: Cow<'static, str>,
    /// Whether the same can succeed later.
    pub retryable: bool,
    /// JSON pointer to what is wrong: for a publish within the event, else within the frame.
    pub pointer: Option<String>,
    /// After how many milliseconds the same can succeed, where that is known.
    pub retry_after_ms: Option<u64>,
}

impl Problem {
    /// A problem of a code of the protocol.
    #[expect(clippy::inline_always, reason = "so a page needs no table of all codes' names")]
    #[inline(always)]
    pub fn known(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(code.name(), message.into(), code.retryable())
    }

    /// A problem that this client names itself; retryable.
    pub(crate) fn own(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(code, message.into(), true)
    }

    // Not inlined: there are many places where problems are made, and a page downloads them all.
    #[inline(never)]
    fn new(code: &'static str, message: Cow<'static, str>, retryable: bool) -> Self {
        Self { code: code.into(), message, retryable, pointer: None, retry_after_ms: None }
    }

    /// The same, never to succeed.
    pub(crate) fn forever(self) -> Self {
        Self { retryable: false, ..self }
    }
}

impl core::convert::From<Failed> for Problem {
    fn from(failed: Failed) -> Self {
        Self {
            code: failed.code.into(),
            message: failed.message.into(),
            retryable: failed.retryable,
            pointer: failed.pointer,
            retry_after_ms: failed.retry_after_ms,
        }
    }
}

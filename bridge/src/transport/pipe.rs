//! A session's way out through an HTTP answer: from its outbox in the shard's thread to wherever HTTP is served.
//!
//! What goes over is one chunk at a time, and the next only when HTTP has taken the one before: so what waits, waits in
//! the outbox, where the shard bounds it, and what was taken is known.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::frame::{ClientFrame, Failed};
use tidegate_protocol::ids;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::shard_thread::Local;
use crate::fanout::{Input, Newcomer, SessionKey};
use crate::session::{Format, Outbox};
use crate::telemetry::Metrics;

/// How many bytes go over at once, if so many wait.
const CHUNK: usize = 64 << 10;

/// How long what waits at the end may take to be taken.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same, of a session that may not be told anything more but why.
const CUT_PATIENCE: Duration = Duration::from_millis(100);

/// What a request for a session is answered with: the chunks of the body, or why there is none.
pub(super) type Answer = Result<mpsc::Receiver<Bytes>, Failed>;

/// Somebody who asks for a session by an HTTP request.
pub(super) struct Arrival {
    /// How it wants to be spoken to.
    pub(super) format: Format,
    /// Its token.
    pub(super) token: String,
    /// Its own name for itself.
    pub(super) client: Option<Arc<str>>,
    /// What it has to say.
    pub(super) frames: Vec<ClientFrame>,
    /// Ends its connection.
    pub(super) hangup: CancellationToken,
    /// Counts it, for as long as it is there.
    pub(super) connected: Connected,
    /// Where the answer goes.
    pub(super) answer: oneshot::Sender<Answer>,
}

/// A connection that is counted among the open ones.
pub(super) struct Connected(Arc<Metrics>);

impl Connected {
    pub(super) fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.connected();
        Self(Arc::clone(metrics))
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.disconnected();
    }
}

/// A session's way out.
pub(super) struct Pipe {
    outbox: Rc<RefCell<Outbox>>,
    /// Something waits in the outbox, or nothing more will.
    stirred: Notify,
    ending: Cell<bool>,
    /// The end took too long.
    overdue: Notify,
    verdict: RefCell<Option<Result<(), Failed>>>,
    decided: Notify,
}

impl Pipe {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            outbox: Rc::default(),
            stirred: Notify::new(),
            ending: Cell::new(false),
            overdue: Notify::new(),
            verdict: RefCell::default(),
            decided: Notify::new(),
        })
    }

    /// Something waits.
    pub(super) fn flush(&self) {
        self.stirred.notify_one();
    }

    /// Nothing more will come.
    pub(super) fn end(self: &Rc<Self>) {
        if self.ending.replace(true) {
            return;
        }
        self.stirred.notify_one();
        let pipe = Rc::clone(self);
        let patience = if pipe.outbox.borrow().is_cut() { CUT_PATIENCE } else { PATIENCE };
        tokio::task::spawn_local(async move {
            tokio::time::sleep(patience).await;
            pipe.overdue.notify_one();
        });
    }

    /// The answer can begin, or is a refusal.
    pub(super) fn decide(&self, verdict: Result<(), Failed>) {
        self.verdict.borrow_mut().get_or_insert(verdict);
        self.decided.notify_one();
    }

    async fn verdict(&self) -> Result<(), Failed> {
        loop {
            if let Some(verdict) = self.verdict.borrow_mut().take() {
                return verdict;
            }
            self.decided.notified().await;
        }
    }

    /// Hands over what comes until nothing more will. `false`: the other side went away, or takes no more.
    async fn pump(&self, local: &Local, key: SessionKey, body: mpsc::Sender<Bytes>) -> bool {
        loop {
            // The channel holds one: where there is room, the last was taken.
            let permit = tokio::select! {
                permit = body.reserve() => permit,
                () = self.overdue.notified() => return false,
            };
            let Ok(permit) = permit else { return false };
            local.taken(key, self.outbox.borrow().left());
            while self.outbox.borrow().is_empty() {
                if self.ending.get() {
                    return true;
                }
                tokio::select! {
                    () = self.stirred.notified() => {}
                    () = body.closed() => return false,
                }
            }
            permit.send(self.outbox.borrow_mut().take(CHUNK));
        }
    }
}

/// Serves one request for a session to its end.
pub(super) async fn serve(local: Rc<Local>, arrival: Arrival) {
    let Arrival { format, token, client, frames, hangup, connected: _connected, mut answer } = arrival;
    let principal = match local.verify(token).await {
        Ok(principal) => principal,
        Err(error) => {
            tracing::info!(%error, "refused a token");
            local.metrics.handshake(error.code().name());
            let _ = answer.send(Err(Failed::new(error.code(), error.public())));
            return;
        }
    };
    let moment = local.moment();
    let id: Arc<str> = ids::uuid_v7(moment.now.cast_unsigned(), moment.entropy).into();
    // Who has no name is nobody's successor.
    let client = client.unwrap_or_else(|| Arc::clone(&id));
    let seat = match local.seat(&principal, &client) {
        Ok(seat) => seat,
        Err(failed) => {
            local.metrics.handshake(ErrorCode::TooManySessions.name());
            let _ = answer.send(Err(failed));
            return;
        }
    };
    let pipe = Pipe::new();
    let newcomer = Newcomer { id, principal, client, format, outbox: Rc::clone(&pipe.outbox), seat };
    let key = local.open_pipe(newcomer, &pipe);
    local.metrics.handshake("ok");
    for frame in frames {
        local.metrics.frame();
        local.input(Input::Frame(key, frame));
    }
    if format == Format::Events {
        let verdict = tokio::select! {
            verdict = pipe.verdict() => verdict,
            () = answer.closed() => return local.gone(key),
        };
        if let Err(failed) = verdict {
            // It never saw the frame that this answers.
            let _ = answer.send(Err(Failed { id: None, pointer: None, ..failed }));
            return local.gone(key);
        }
    }
    let (body, chunks) = mpsc::channel(1);
    if answer.send(Ok(chunks)).is_ok() && !pipe.pump(&local, key, body).await {
        hangup.cancel();
    }
    local.gone(key);
}

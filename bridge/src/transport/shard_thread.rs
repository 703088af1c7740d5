//! A shard's thread: runs the pure [`Shard`] over real sockets, the feed, the log and the clock.
//!
//! Everything of a shard happens on its one thread: the connections' tasks call the shard directly, and what the
//! shard wants done is done before the call returns. No task is woken to write to a socket.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use slotmap::SecondaryMap;
use tidegate_gate::{Accounts, Principal, Revocation, Seat, TokenError, Verifier};
use tidegate_log::Log;
use tidegate_protocol::code::{CloseCode, ErrorCode};
use tidegate_protocol::frame::Failed;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::LocalSet;
use tokio::time::MissedTickBehavior;

use super::connection;
use super::directory::{Directory, Identity, identity};
use super::pipe::{self, Pipe};
use super::shard_handle::{Message, ShardHandle, ShardInbox};
use super::socket::{Ready, Socket, Taken};
use super::unwritten::{A_FEW, Unwritten};
use crate::clock::Clock;
use crate::fanout::{Effect, Input, Moment, Newcomer, Outcomes, Request, SessionKey, Shard, Ticket, Undecided};
use crate::feed::catch_up::CatchUp;
use crate::feed::{FeedHandle, FeedMessage, Round};
use crate::ledger::Hub;
use crate::telemetry::Metrics;

/// How often the shard looks at the clock.
const TICK: Duration = Duration::from_millis(100);

/// How often it hands its snapshot to the ledger.
const SNAPSHOT: Duration = Duration::from_secs(1);

/// Failures of conditions that are logged each second; all are counted.
const LOGGED: u32 = 5;

/// Batches fed to subscriptions that are behind before live rounds have their turn again.
const TURNS: usize = 64;

/// What a shard's thread is made of.
pub struct ShardThread {
    /// Which shard of the node this is.
    pub index: usize,
    /// The shard.
    pub shard: Box<dyn FnOnce() -> Shard + Send>,
    /// Its rounds.
    pub rounds: mpsc::Receiver<FeedMessage>,
    /// The live feed.
    pub feed: FeedHandle,
    /// History.
    pub catch_up: CatchUp,
    /// Where publishes go.
    pub log: Arc<dyn Log>,
    /// Who takes tokens.
    pub verifier: Arc<Verifier>,
    /// Where that and other waiting work runs.
    pub runtime: tokio::runtime::Handle,
    /// All sessions of the node, by who they are.
    pub directory: Arc<Directory>,
    /// What each tenant takes of the node.
    pub accounts: Arc<Accounts>,
    /// The ledger.
    pub hub: Arc<Hub>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The clock.
    pub clock: Clock,
    /// How long a connection may take to say `hello`.
    pub handshake_timeout: Duration,
    /// Bytes of one frame from a client.
    pub frame_bytes: Arc<AtomicUsize>,
}

impl ShardThread {
    /// Starts the thread; it ends at [`ShardHandle::stop`].
    pub fn start(self, handle: ShardHandle, inbox: ShardInbox) -> std::io::Result<std::thread::JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name(format!("shard-{}", self.index)).spawn(move || {
            let tasks = LocalSet::new();
            tasks.block_on(&runtime, self.run(handle, inbox));
        })
    }

    async fn run(self, handle: ShardHandle, inbox: ShardInbox) {
        let ShardInbox { mut inbox, mut revocations } = inbox;
        let Self { index, shard, mut rounds, hub, .. } = self;
        let local = Rc::new(Local {
            index,
            shard: RefCell::new(shard()),
            ways: RefCell::default(),
            publishing: RefCell::default(),
            identities: RefCell::default(),
            handle,
            feed: self.feed,
            catch_up: self.catch_up,
            log: self.log,
            verifier: self.verifier,
            runtime: self.runtime,
            directory: self.directory,
            accounts: self.accounts,
            metrics: self.metrics,
            clock: self.clock,
            hungry: Notify::new(),
            unwritten: Unwritten::default(),
            settling: Cell::new(false),
            logged: Cell::new(0),
            handshake_timeout: self.handshake_timeout,
            frame_bytes: self.frame_bytes,
        });
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = Instant::now();
        loop {
            // Before anything that waits may be sent to whom they speak of.
            while let Ok(revocation) = revocations.try_recv() {
                local.revoke(revocation);
                local.settle();
            }
            // Whichever has something to do has its turn, in no fixed order: a feed that always has more must not keep
            // the clock, new sockets and those who are behind from theirs.
            tokio::select! {
                Some(revocation) = revocations.recv() => {
                    local.revoke(revocation);
                    local.settle();
                }
                Some(message) = rounds.recv(), if local.unwritten.may_take() => {
                    local.feed_messages(message, &mut rounds);
                    local.settle_rounds();
                    local.write_a_few();
                }
                () = local.unwritten.some.notified() => {
                    local.write_a_few();
                    // Connections have their turn too.
                    tokio::task::yield_now().await;
                }
                Some(message) = inbox.recv() => match message {
                    Message::Socket(socket) => local.accept(socket),
                    Message::Arrival(arrival) => drop(tokio::task::spawn_local(pipe::serve(Rc::clone(&local), *arrival))),
                    Message::Publish(request, answer) => local.publish(*request, answer),
                    Message::Input(input) => local.input(input),
                    Message::Stop => return,
                },
                _ = tick.tick() => {
                    local.shard.borrow_mut().tick(local.moment());
                    local.settle();
                    if last.elapsed() >= SNAPSHOT {
                        last = Instant::now();
                        local.logged.set(0);
                        if let Some(snapshot) = local.shard.borrow_mut().changed_snapshot() {
                            hub.put_shard(index, snapshot);
                        }
                    }
                }
                () = local.hungry.notified() => {
                    let more = local.shard.borrow_mut().feed(TURNS);
                    local.settle();
                    if more {
                        local.hungry.notify_one();
                        // Connections have their turn too.
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
    }
}

/// Where a session's bytes go.
enum WayOut {
    Socket(Rc<Socket>),
    Pipe(Rc<Pipe>),
}

/// A shard and what its thread does for it.
pub(super) struct Local {
    index: usize,
    shard: RefCell<Shard>,
    ways: RefCell<SecondaryMap<SessionKey, WayOut>>,
    /// Requests to publish that wait for their outcomes.
    publishing: RefCell<SecondaryMap<Ticket, oneshot::Sender<Outcomes>>>,
    identities: RefCell<SecondaryMap<SessionKey, Identity>>,
    handle: ShardHandle,
    feed: FeedHandle,
    catch_up: CatchUp,
    log: Arc<dyn Log>,
    verifier: Arc<Verifier>,
    runtime: tokio::runtime::Handle,
    directory: Arc<Directory>,
    accounts: Arc<Accounts>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    hungry: Notify,
    unwritten: Unwritten,
    settling: Cell<bool>,
    /// Failures of conditions that were logged in this second.
    logged: Cell<u32>,
    pub(super) handshake_timeout: Duration,
    pub(super) frame_bytes: Arc<AtomicUsize>,
}

impl Local {
    pub(super) fn moment(&self) -> Moment {
        self.clock.moment()
    }

    /// Hands an input to the shard and does what it wants done.
    pub(super) fn input(&self, input: Input) {
        self.shard.borrow_mut().handle(self.moment(), input);
        self.settle();
    }

    /// Room for a session on its tenant's account. One whose client has an older session takes that one's place.
    pub(super) fn seat(&self, principal: &Principal, client: &Arc<str>) -> Result<Seat, Failed> {
        let now = self.moment().now;
        let replaces = self.directory.has(&identity(principal, client));
        let seat = self.accounts.of(&principal.tenant, now).seat(replaces, now);
        seat.map_err(|full| {
            let text = format!("{full}; try again later (limits.tenant.sessions, of this node)");
            Failed::new(ErrorCode::TooManySessions, text)
        })
    }

    /// Opens a session on a socket.
    pub(super) fn open(&self, newcomer: Newcomer, socket: &Rc<Socket>) -> SessionKey {
        self.enter(newcomer, WayOut::Socket(Rc::clone(socket)))
    }

    /// Opens a session whose frames are the answer to a request.
    pub(super) fn open_pipe(&self, newcomer: Newcomer, pipe: &Rc<Pipe>) -> SessionKey {
        self.enter(newcomer, WayOut::Pipe(Rc::clone(pipe)))
    }

    /// The session's connection took so many bytes, in all.
    pub(super) fn taken(&self, key: SessionKey, upto: u64) {
        self.input(Input::Taken(key, upto));
    }

    fn publish(&self, request: Request, answer: oneshot::Sender<Outcomes>) {
        let ticket = self.shard.borrow_mut().request(self.moment(), request);
        self.publishing.borrow_mut().insert(ticket, answer);
        self.settle();
    }

    fn enter(&self, newcomer: Newcomer, way: WayOut) -> SessionKey {
        let identity = identity(&newcomer.principal, &newcomer.client);
        let key = self.shard.borrow_mut().open(self.moment(), newcomer);
        self.ways.borrow_mut().insert(key, way);
        self.identities.borrow_mut().insert(key, identity.clone());
        self.directory.enter(identity, (self.index, key));
        self.settle();
        key
    }

    /// The session's socket is gone.
    pub(super) fn gone(&self, key: SessionKey) {
        self.input(Input::Gone(key));
        self.forget(key);
    }

    /// Refuses what a session did, and ends it.
    pub(super) fn refuse(&self, key: SessionKey, failed: Failed, close: CloseCode) {
        self.input(Input::Refuse(key, failed, close));
    }

    /// Verifies a token off this thread: signatures cost more than deliveries.
    pub(super) async fn verify(&self, token: String) -> Result<Principal, TokenError> {
        let (verifier, now) = (Arc::clone(&self.verifier), self.moment().now);
        let verdict = self.runtime.spawn(async move { verifier.verify(&token, now).await }).await;
        verdict.unwrap_or(Err(TokenError::Malformed("the verification failed")))
    }

    fn accept(self: &Rc<Self>, Taken { tcp, records, early }: Taken) {
        match TcpStream::from_std(tcp) {
            Ok(tcp) => {
                let local = Rc::clone(self);
                tokio::task::spawn_local(async move {
                    let metrics = Arc::clone(&local.metrics);
                    connection::serve(local, tcp, records, early).await;
                    metrics.disconnected();
                });
            }
            Err(error) => {
                self.metrics.disconnected();
                tracing::warn!(%error, "a socket could not be taken over");
            }
        }
    }

    /// Handles a message of the feed and all that wait behind it; rounds that follow each other go together.
    fn feed_messages(&self, first: FeedMessage, more: &mut mpsc::Receiver<FeedMessage>) {
        let mut rounds = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            if let FeedMessage::Round(round) = message {
                rounds.push(round);
            } else {
                self.rounds(std::mem::take(&mut rounds));
                self.feed_message(message);
            }
            // At most what the channel held: others have their turn too.
            next = if rounds.len() < more.max_capacity() { more.try_recv().ok() } else { None };
        }
        self.rounds(rounds);
    }

    fn rounds(&self, rounds: Vec<Arc<Round>>) {
        if !rounds.is_empty() {
            self.unwritten.took(rounds.iter().map(|round| round.entries.len()).sum());
            self.shard.borrow_mut().handle(self.moment(), Input::Rounds(rounds));
        }
    }

    fn feed_message(&self, message: FeedMessage) {
        let input = match message {
            FeedMessage::Rules(renewal) => {
                let applied = self.shard.borrow_mut().renew(self.moment(), &renewal);
                self.frame_bytes.store(renewal.options.limits.frame_bytes as usize, Ordering::Relaxed);
                // Whoever asked may have stopped waiting.
                let _ = renewal.told.try_send(applied);
                return;
            }
            FeedMessage::Round(round) => return self.rounds(vec![round]),
            FeedMessage::Followed { physical, topic, id, offsets } => Input::Followed { physical, topic, id, offsets },
            FeedMessage::Opened(topic, id, offsets) => Input::TopicOpened { topic, id, offsets },
            FeedMessage::Closed(topic) => {
                self.catch_up.forget(topic);
                Input::TopicClosed(topic)
            }
        };
        self.shard.borrow_mut().handle(self.moment(), input);
    }

    fn revoke(&self, revocation: Arc<Revocation>) {
        let before = self.shard.borrow().session_count();
        self.shard.borrow_mut().handle(self.moment(), Input::Revoked(revocation));
        self.metrics.sessions_revoked(before - self.shard.borrow().session_count());
    }

    /// Does what the shard wants done.
    fn settle(&self) {
        self.settle_by(|key| self.perform(Effect::Flush(key)));
    }

    /// Does what the shard wants done after rounds, but for writing to sockets, which waits until it is their turn.
    fn settle_rounds(&self) {
        self.settle_by(|key| {
            if let Some(principal) = self.shard.borrow().principal(key) {
                self.unwritten.add(&principal.tenant, vec![key]);
            }
        });
    }

    /// Writes to a few of the sockets that wait.
    fn write_a_few(&self) {
        let mut written = 0;
        while written < A_FEW {
            let next = self.unwritten.next();
            if next.is_empty() {
                return;
            }
            written += next.len();
            self.write_to(&next);
        }
        self.unwritten.some.notify_one();
    }

    /// Writes to these, which are looked up before the first is written to: what the kernel's work for others has pushed
    /// out of the caches is then waited for together, and not once more between each two writes.
    fn write_to(&self, keys: &[SessionKey]) {
        let ways = self.ways.borrow();
        let mut sockets = Vec::with_capacity(keys.len());
        for key in keys {
            match ways.get(*key) {
                Some(WayOut::Socket(socket)) => sockets.extend(socket.ready()),
                Some(WayOut::Pipe(pipe)) => pipe.flush(),
                None => {}
            }
        }
        sockets.into_iter().for_each(Ready::flush);
    }

    fn settle_by(&self, mut flush: impl FnMut(SessionKey)) {
        if self.settling.replace(true) {
            return;
        }
        loop {
            let effects = self.shard.borrow_mut().take_effects();
            if effects.is_empty() {
                break;
            }
            for effect in effects {
                match effect {
                    Effect::Flush(key) => flush(key),
                    other => self.perform(other),
                }
            }
        }
        self.settling.set(false);
        if self.shard.borrow().is_hungry() {
            self.hungry.notify_one();
        }
    }

    fn perform(&self, effect: Effect) {
        match effect {
            Effect::Undecided(undecided) => self.undecided(&undecided),
            Effect::Flush(key) => match self.ways.borrow().get(key) {
                Some(WayOut::Socket(socket)) => socket.flush(),
                Some(WayOut::Pipe(pipe)) => pipe.flush(),
                None => {}
            },
            Effect::Deliver(tenant, sessions) => {
                self.unwritten.add(&tenant, sessions);
                self.unwritten.some.notify_one();
            }
            Effect::Close(key) => {
                match self.ways.borrow().get(key) {
                    Some(WayOut::Socket(socket)) => socket.end(),
                    Some(WayOut::Pipe(pipe)) => pipe.end(),
                    None => {}
                }
                self.forget(key);
            }
            Effect::Accepted(key) => self.decide(key, Ok(())),
            Effect::Refused(key, failed) => self.decide(key, Err(failed)),
            Effect::Published(ticket, outcomes) => {
                if let Some(answer) = self.publishing.borrow_mut().remove(ticket) {
                    // Who asked may have gone: what is on the log stays there.
                    let _ = answer.send(outcomes);
                }
            }
            Effect::Follow(physical) => self.feed.follow(self.index, physical),
            Effect::Unfollow(topic) => self.feed.unfollow(self.index, topic),
            Effect::Read(key) => {
                let handle = self.handle.clone();
                if let Some(place) = self.shard.borrow().room(key.session, key.subscription) {
                    let part = key.part.clone();
                    self.catch_up.read(place, part, move |outcome| handle.input(Input::History(key, outcome)));
                }
            }
            Effect::FindTime(session, subscription, physical, at) => {
                let handle = self.handle.clone();
                let done = move |outcome| handle.input(Input::OffsetsAt(session, subscription, outcome));
                if let Some(place) = self.shard.borrow().room(session, subscription) {
                    self.catch_up.find_time(place, physical, at, done);
                }
            }
            Effect::Append(key, record, unanswered) => {
                let (handle, metrics) = (self.handle.clone(), Arc::clone(&self.metrics));
                self.log.append(
                    record,
                    Box::new(move |outcome| {
                        metrics.published(if outcome.is_ok() { "ok" } else { "failed" });
                        drop(unanswered);
                        handle.input(Input::Appended(key, outcome));
                    }),
                );
            }
            Effect::Verify(session, request, token) => {
                let (verifier, now, handle) = (Arc::clone(&self.verifier), self.moment().now, self.handle.clone());
                self.runtime.spawn(async move {
                    let verdict = verifier.verify(&token, now).await;
                    handle.input(Input::Verified(session, request, verdict));
                });
            }
        }
    }

    /// Counts events that a condition could not be decided about, and logs a few.
    fn undecided(&self, undecided: &Undecided) {
        let Undecided { topic, condition, events, first: (partition, offset) } = undecided;
        self.metrics.withheld(topic, "failed", *events);
        let logged = self.logged.get();
        if logged < LOGGED {
            self.logged.set(logged + 1);
            tracing::warn!(%topic, partition, offset, events, %condition, "withheld events: a condition failed");
        }
    }

    fn decide(&self, key: SessionKey, verdict: Result<(), Failed>) {
        if let Some(WayOut::Pipe(pipe)) = self.ways.borrow().get(key) {
            pipe.decide(verdict);
        }
    }

    fn forget(&self, key: SessionKey) {
        self.ways.borrow_mut().remove(key);
        if let Some(identity) = self.identities.borrow_mut().remove(key) {
            self.directory.leave(&identity, (self.index, key));
        }
    }
}

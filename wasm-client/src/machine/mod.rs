//! The client as a pure machine: no socket, no clock, no randomness of its own.
//!
//! An adapter tells it what happened by one of its methods, with the time in milliseconds since the epoch
//! (on a clock that never goes back), then drains [`Machine::next_effect`] and does what it says, then
//! calls [`Machine::tick`] no later than [`Machine::deadline`].

mod calls;
mod connection;
mod echo;
mod filter;
mod random;
mod reports;
mod subscriptions;
#[cfg(test)]
mod tests;
mod transport;
mod words;

use alloc::borrow::ToOwned;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use tidegate_protocol::frame::{BadFrame, Batch, ClientFrame, Failed, Publish, ServerFrame};
use tidegate_protocol::ids;

use calls::Calls;
use connection::Connection;
use echo::Echoes;
use random::Random;
use reports::Reports;
use subscriptions::Subscriptions;

pub use words::{
    Arrival, Call, Dispatch, Effect, Handle, Member, Options, Outcome, Problem, State, Transport, Transports, Want,
};

type Effects = VecDeque<Effect>;

/// The time of what is not due at all.
const NEVER: u64 = u64::MAX;

/// The client's state.
#[derive(Debug)]
pub struct Machine {
    context: Context,
    /// Sessions so far; the newest one's number.
    sessions: u32,
    in_session: bool,
    connection: Connection,
    subscriptions: Subscriptions,
    calls: Calls,
    reports: Reports,
    echoes: Echoes,
}

/// What the parts need of the whole for one input.
#[derive(Debug)]
struct Context {
    now: u64,
    transport: Transport,
    options: Options,
    random: Random,
    effects: Effects,
    last_id: u32,
}

/// The context as of now, borrowed beside the machine's parts.
macro_rules! context {
    ($machine:ident, $now:expr) => {{
        $machine.context.now = $now;
        $machine.context.transport = $machine.connection.transport();
        &mut $machine.context
    }};
}

impl Context {
    fn next_id(&mut self) -> u32 {
        self.last_id = self.last_id.wrapping_add(1);
        self.last_id
    }

    fn send(&mut self, frame: &ClientFrame) {
        self.effects.push_back(Effect::Send(frame.encode()));
    }
}

impl Machine {
    /// A machine at rest. `seed` must be unpredictable and different each time: event ids and jitter grow from it.
    pub fn new(options: Options, seed: [u64; 2]) -> Self {
        let connection = Connection::new(options.transports);
        let (transport, random) = (connection.transport(), Random::new(seed));
        Self {
            connection,
            context: Context { now: 0, transport, options, random, effects: Effects::new(), last_id: 0 },
            sessions: 0,
            in_session: false,
            subscriptions: Subscriptions::default(),
            calls: Calls::default(),
            reports: Reports::default(),
            echoes: Echoes::default(),
        }
    }

    /// Begins to connect.
    pub fn connect(&mut self, now: u64) {
        if self.context.options.client.is_empty() {
            self.context.options.client = self.event_id(now);
        }
        if self.connection.is_idle() {
            self.connection.start(context!(self, now));
        }
        self.go_on(now);
    }

    /// The token source's answer to [`Effect::FetchToken`]; an error's text is for a person.
    pub fn token(&mut self, now: u64, ask: u32, token: Result<String, String>) {
        self.connection.token(context!(self, now), ask, token);
        self.go_on(now);
    }

    /// The socket is open.
    pub fn socket_opened(&mut self, now: u64) {
        self.connection.socket_opened(context!(self, now));
        self.go_on(now);
    }

    /// The frames that the body of the request for a stream holds, one a line.
    pub fn stream_request(&mut self, now: u64) -> String {
        // Frames go into the body instead.
        let effects = core::mem::take(&mut self.context.effects);
        let cx = context!(self, now);
        let mut body = self.connection.stream_hello(cx).encode();
        // What an earlier stream was asked for, this one is asked for.
        self.subscriptions.lost();
        self.subscriptions.ask(cx);
        for frame in core::mem::replace(&mut self.context.effects, effects) {
            if let Effect::Send(frame) = frame {
                body.push('\n');
                body.push_str(&frame);
            }
        }
        body
    }

    /// The token that publishes beside a stream are sent with.
    pub fn stream_token(&self) -> &str {
        self.connection.stream_token()
    }

    /// The socket or stream is closed, or could not be opened (1006 when no code is known).
    pub fn socket_closed(&mut self, now: u64, code: u16, reason: &str) {
        self.connection.socket_closed(context!(self, now), code, reason);
        self.go_on(now);
    }

    /// A frame arrived, in a message of `bytes`. Answers with what to dispatch, before other effects.
    ///
    /// An estimate of `bytes` will do: when it is too low, a report comes later, by its timer.
    pub fn receive<V>(&mut self, now: u64, frame: ServerFrame<V>, bytes: usize) -> Option<Dispatch<V>> {
        if !self.connection.has_socket() {
            return None;
        }
        self.connection.heard(now);
        let mut dispatch = None;
        match frame {
            ServerFrame::Batch(batch) => dispatch = self.batch(now, batch, bytes),
            ServerFrame::Welcome(welcome) => self.connection.welcome(context!(self, now), welcome),
            // What comes before `welcome` is about the session; nothing else may.
            ServerFrame::Error(failed) => self.failed(now, failed),
            _ if !self.in_session => self.connection.drop_socket(context!(self, now), "a frame before welcome".into()),
            ServerFrame::Subscribed(frame) => self.subscriptions.subscribed(context!(self, now), frame),
            ServerFrame::Moved(frame) => self.subscriptions.moved(&mut self.context.effects, frame),
            ServerFrame::Unsubscribed(frame) => {
                self.subscriptions.unsubscribed(frame.id);
            }
            ServerFrame::Published(frame) => self.calls.published(&mut self.context.effects, frame),
            ServerFrame::Refreshed(frame) => self.connection.refreshed(context!(self, now), frame),
            ServerFrame::Ping(ping) => {
                if !self.is_streaming() {
                    context!(self, now).send(&ClientFrame::Pong);
                }
                self.subscriptions.ping(ping);
            }
            ServerFrame::State(state) => {
                self.context.effects.push_back(Effect::LogState { available: state.log_available });
            }
            ServerFrame::Reconnect(frame) => {
                self.report_all(now);
                self.connection.move_after(now, frame.delay_ms);
            }
            ServerFrame::Ledger(report) => self.subscriptions.ledger(&mut self.context.effects, report),
        }
        self.go_on(now);
        dispatch
    }

    /// What arrived was no frame.
    pub fn bad_frame(&mut self, now: u64, bad: &BadFrame) {
        if self.connection.has_socket() {
            self.connection.drop_socket(context!(self, now), bad.message().into());
        }
        self.go_on(now);
    }

    /// Takes up a topic, or joins those who have.
    pub fn subscribe(&mut self, now: u64, want: Want) -> Result<Handle, Problem> {
        if let Some(problem) = self.ended() {
            return Err(problem);
        }
        let handle = self.subscriptions.join(context!(self, now), want)?;
        self.go_on(now);
        Ok(handle)
    }

    /// Gives a handle back; the last one of a subscription ends it.
    pub fn unsubscribe(&mut self, now: u64, handle: Handle) {
        self.subscriptions.leave(context!(self, now), handle);
        self.go_on(now);
    }

    /// Where a handle's subscription stands, as sealed tokens for [`From::Cursor`](tidegate_protocol::frame::From).
    pub fn cursor(&self, handle: Handle) -> Option<Vec<String>> {
        self.subscriptions.cursor(handle)
    }

    /// Publishes an event's JSON text, whose `id` is told beside it so that its echo is known. [`Effect::Published`]
    /// answers.
    pub fn publish(&mut self, now: u64, topic: &str, key: Option<&str>, id: &str, event: &str) -> Call {
        if !matches!(self.connection.state(), State::Closed(_)) {
            self.echoes.remember(id);
        }
        self.offer(now, topic.to_owned(), key.map(str::to_owned), event.to_owned())
    }

    /// Publishes an event whose echo the caller will know by itself.
    pub fn offer(&mut self, now: u64, topic: String, key: Option<String>, event: String) -> Call {
        let call = Call(self.context.next_id());
        if let Some(problem) = self.ended() {
            self.context.effects.push_back(Effect::Published { call, result: Err(problem) });
            return call;
        }
        self.calls.publish(context!(self, now), Publish { id: call.0, topic, key, event, again: false });
        self.go_on(now);
        call
    }

    /// All entries of a batch were dispatched. `exceptions` names, in rising order, the ordinals that were not simply
    /// consumed. Batches of a view are told in their order.
    pub fn dispatched(&mut self, now: u64, arrival: Arrival, entries: u32, exceptions: Vec<(u32, Outcome)>) {
        self.reports.dispatched(now, arrival, entries, exceptions);
        self.go_on(now);
    }

    /// A pending delivery has an outcome. What is not pending (settled, timed out, of an old session) is passed over.
    pub fn settle(&mut self, now: u64, arrival: Arrival, ordinal: u32, outcome: Outcome) {
        // In one report a position either failed on the way or is settled.
        if self.reports.failed_before(arrival, ordinal) {
            self.report_all(now);
        }
        self.reports.settle(now, arrival, ordinal, outcome);
        self.go_on(now);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: u64) {
        self.go_on(now);
    }

    /// Connect now rather than after the wait: the network is back, or the page is seen again.
    pub fn wake(&mut self, now: u64) {
        self.connection.forget_transport();
        if self.connection.is_waiting() {
            self.connection.start(context!(self, now));
        }
        self.go_on(now);
    }

    /// Reports what there is to report and ends for good.
    pub fn close(&mut self, now: u64) {
        if matches!(self.connection.state(), State::Closed(_)) {
            return;
        }
        self.report_all(now);
        self.context.effects.push_back(Effect::Disconnect { code: 1000, reason: "closed" });
        self.connection.end(context!(self, now), None);
        self.go_on(now);
    }

    /// What to do next.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.context.effects.pop_front()
    }

    /// When to call [`Machine::tick`] at the latest.
    pub fn deadline(&self) -> Option<u64> {
        let mut first = self.connection.deadline().min(self.calls.deadline());
        if self.in_session {
            first = first.min(self.subscriptions.deadline()).min(self.reports.deadline());
        }
        (first != NEVER).then_some(first)
    }

    /// The connection's state.
    pub fn state(&self) -> &State {
        self.connection.state()
    }

    /// How frames travel in this session, or shall in the one that is tried to be had.
    pub fn transport(&self) -> Transport {
        self.connection.transport()
    }

    /// A new event id (UUID version 7).
    pub fn event_id(&mut self, now: u64) -> String {
        ids::uuid_v7(now, self.context.random.bytes())
    }

    /// Whether an event of this id was published here lately (among the last 1,000).
    pub fn is_echo(&self, id: &str) -> bool {
        self.echoes.contains(id)
    }

    fn batch<V>(&mut self, now: u64, batch: Batch<V>, bytes: usize) -> Option<Dispatch<V>> {
        match self.subscriptions.batch(batch.view, batch.seq, batch.cursor, batch.full) {
            Ok((topic, members)) => {
                let arrival = Arrival { session: self.sessions, view: batch.view, seq: batch.seq, bytes: bytes as u64 };
                Some(Dispatch { arrival, topic, members, entries: batch.entries })
            }
            Err(what) => {
                self.connection.drop_socket(context!(self, now), what.into());
                None
            }
        }
    }

    fn failed(&mut self, now: u64, failed: Failed) {
        let id = failed.id;
        let about_subscription = self.subscriptions.failed(context!(self, now), &failed);
        let problem = failed.into();
        if about_subscription || id.is_some_and(|id| self.calls.failed(&mut self.context.effects, id, &problem)) {
            return;
        }
        self.connection.failed(context!(self, now), id, problem);
    }

    /// What every input ends with: what is due by time, what follows from a session's beginning or end,
    /// and what is due because of the input.
    fn go_on(&mut self, now: u64) {
        self.connection.tick(context!(self, now));
        self.keep_up(now);
        if let Some(problem) = self.ended() {
            self.subscriptions.close(&mut self.context.effects, &problem);
            self.calls.close(&mut self.context.effects);
        }
        self.calls.tick(now, &mut self.context.effects);
        if self.in_session && self.is_streaming() {
            if self.subscriptions.need_another_stream(now) {
                self.connection.open_stream(context!(self, now));
                self.keep_up(now);
            }
        } else if self.in_session {
            self.subscriptions.ask(context!(self, now));
            self.reports.tick(now, &mut self.context.effects);
            if let Some(report) = self.reports.due(now) {
                context!(self, now).send(&ClientFrame::Report(report));
            }
        }
    }

    /// Begins or ends what lives as long as a session.
    fn keep_up(&mut self, now: u64) {
        if self.in_session != self.connection.is_open() {
            self.in_session = self.connection.is_open();
            if self.in_session { self.begin(now) } else { self.lost() }
        }
    }

    fn begin(&mut self, now: u64) {
        let State::Open(welcome) = self.connection.state() else { return };
        let limits = welcome.limits;
        self.sessions += 1;
        if !self.is_streaming() {
            // What a stream that came to nothing was asked for.
            self.subscriptions.lost();
            self.reports.begin(self.sessions, limits, self.context.options.handler_timeout_ms);
        }
        self.calls.begin(context!(self, now), limits);
    }

    fn lost(&mut self) {
        self.reports.lost();
        self.subscriptions.lost();
        self.calls.lost(&mut self.context.effects);
    }

    /// Why there will be no session any more, if so.
    #[inline(never)]
    fn ended(&self) -> Option<Problem> {
        let State::Closed(problem) = self.connection.state() else { return None };
        Some(problem.clone().unwrap_or_else(|| Problem::own("closed", "the client was closed").forever()))
    }

    fn is_streaming(&self) -> bool {
        self.transport() == Transport::Stream
    }

    fn report_all(&mut self, now: u64) {
        if let Some(report) = self.reports.take().filter(|_| self.in_session) {
            context!(self, now).send(&ClientFrame::Report(report));
        }
    }
}

//! The client as a pure machine: no socket, no clock, no randomness of its own.
//!
//! An adapter tells it what happened by one of its methods, with the time in milliseconds since the epoch
//! (on a clock that never goes back), then drains [`Machine::next_effect`] and does what it says, then
//! calls [`Machine::tick`] no later than [`Machine::deadline`].

mod words;

use std::collections::VecDeque;

use tidegate_protocol::frame::{BadFrame, ServerFrame};

pub use words::{Arrival, Call, Dispatch, Effect, Handle, Member, Options, Outcome, Problem, State, Want};

/// The client's state.
#[derive(Debug)]
pub struct Machine {
    options: Options,
    effects: VecDeque<Effect>,
    state: State,
}

impl Machine {
    /// A machine at rest. `seed` must be unpredictable and different each time: event ids and jitter grow from it.
    pub fn new(options: Options, seed: [u64; 2]) -> Self {
        let _ = seed;
        Self { options, effects: VecDeque::new(), state: State::Connecting }
    }

    /// Begins to connect.
    pub fn connect(&mut self, now: u64) {
        let _ = now;
        self.effects.push_back(Effect::FetchToken { ask: 0 });
    }

    /// The token source's answer to [`Effect::FetchToken`]; an error's text is for a person.
    pub fn token(&mut self, now: u64, ask: u32, token: Result<String, String>) {
        let _ = (now, ask, token, &self.options);
    }

    /// The socket is open.
    pub fn socket_opened(&mut self, now: u64) {
        let _ = now;
    }

    /// The socket is closed or could not be opened (1006 when no code is known).
    pub fn socket_closed(&mut self, now: u64, code: u16, reason: &str) {
        let _ = (now, code, reason);
    }

    /// A frame arrived, in a message of `bytes`. Answers with what to dispatch, before other effects.
    pub fn receive<V>(&mut self, now: u64, frame: ServerFrame<V>, bytes: usize) -> Option<Dispatch<V>> {
        let _ = (now, frame, bytes);
        None
    }

    /// What arrived was no frame.
    pub fn bad_frame(&mut self, now: u64, bad: &BadFrame) {
        let _ = (now, bad);
    }

    /// Takes up a topic, or joins those who have.
    pub fn subscribe(&mut self, now: u64, want: Want) -> Result<Handle, Problem> {
        let _ = (now, want);
        Ok(Handle(0))
    }

    /// Gives a handle back; the last one of a subscription ends it.
    pub fn unsubscribe(&mut self, now: u64, handle: Handle) {
        let _ = (now, handle);
    }

    /// Publishes an event's JSON text, whose `id` is told beside it. [`Effect::Published`] answers.
    pub fn publish(&mut self, now: u64, topic: &str, key: Option<&str>, id: &str, event: &str) -> Call {
        let _ = (now, topic, key, id, event);
        Call(0)
    }

    /// All entries of a batch were dispatched. `exceptions` names, in rising order, the ordinals that were not simply
    /// consumed. Batches of a view are told in their order.
    pub fn dispatched(&mut self, now: u64, arrival: Arrival, entries: u32, exceptions: Vec<(u32, Outcome)>) {
        let _ = (now, arrival, entries, exceptions);
    }

    /// A pending delivery has an outcome. What is not pending (settled, timed out, of an old session) is passed over.
    pub fn settle(&mut self, now: u64, arrival: Arrival, ordinal: u32, outcome: Outcome) {
        let _ = (now, arrival, ordinal, outcome);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: u64) {
        let _ = now;
    }

    /// Connect now rather than after the wait: the network is back, or the page is seen again.
    pub fn wake(&mut self, now: u64) {
        let _ = now;
    }

    /// Reports what there is to report and ends for good.
    pub fn close(&mut self, now: u64) {
        let _ = now;
    }

    /// What to do next.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to call [`Machine::tick`] at the latest.
    pub fn deadline(&self) -> Option<u64> {
        None
    }

    /// The connection's state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// A new event id (UUID version 7).
    pub fn event_id(&mut self, now: u64) -> String {
        let _ = now;
        String::new()
    }

    /// Whether an event of this id was published here lately (among the last 1,000).
    pub fn is_echo(&self, id: &str) -> bool {
        let _ = id;
        false
    }
}

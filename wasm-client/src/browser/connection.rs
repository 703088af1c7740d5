//! The machine with a browser's WebSocket, timers and clock: for the bus of JavaScript pages, and for
//! Rust programs in the browser such as the dashboard.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use tidegate_protocol::frame::ServerFrame;
use tidegate_protocol::ledger::Column;
use wasm_bindgen::prelude::*;

use super::platform::{self, Online, Soon, Timer};
use super::socket::{CloseEvent, Ears, MessageEvent, Socket};
use super::value::{Json, text_length};
use crate::machine::{Arrival, Call, Dispatch, Effect, Handle, Machine, Options, Outcome, Problem, State, Want};

/// What a connection is for. Every method may call the connection again.
pub trait Application {
    /// Fetch a token, and answer with [`Connection::token`].
    fn token(&self, connection: &Connection, ask: u32);

    /// Something happened that is not the adapter's own business: state, answers, subscriptions, ledger.
    fn told(&self, connection: &Connection, effect: Effect);

    /// A batch arrived: dispatch all of it, and name in rising order the ordinals that were not consumed.
    fn dispatch(&self, connection: &Connection, batch: &Dispatch<Json>) -> Vec<(u32, Outcome)> {
        let _ = connection;
        (0..batch.entries.length()).map(|ordinal| (ordinal, Outcome::Unhandled)).collect()
    }
}

/// A handle on the connection. When the last one is dropped the socket is closed.
#[derive(Clone)]
pub struct Connection(Rc<Inner>);

struct Inner {
    url: String,
    machine: RefCell<Machine>,
    /// Gone once the connection is over: a JavaScript application and its core would otherwise keep each other alive.
    application: RefCell<Option<Rc<dyn Application>>>,
    ears: Ears,
    socket: RefCell<Option<Socket>>,
    timer: RefCell<Timer>,
    soon: Soon,
    _online: Online,
    /// The newest ledger frame's body, as the browser decoded it.
    ledger: RefCell<Option<Json>>,
}

impl Connection {
    /// Begins to connect to a bridge's `ws:` or `wss:` address.
    pub fn open(url: &str, options: Options, application: impl Application + 'static) -> Self {
        let connection = Self(Rc::new_cyclic(|inner| Inner {
            url: url.to_owned(),
            machine: RefCell::new(Machine::new(options, seed())),
            application: RefCell::new(Some(Rc::new(application))),
            ears: ears(inner),
            socket: RefCell::default(),
            timer: RefCell::new(Timer::new(calling(inner, |connection| {
                connection.0.timer.borrow_mut().called();
                connection.drive(Machine::tick);
            }))),
            soon: Soon::new(calling(inner, |connection| {
                connection.0.soon.called();
                connection.obey();
            })),
            _online: Online::new(calling(inner, |connection| connection.drive(Machine::wake))),
            ledger: RefCell::default(),
        }));
        connection.drive(Machine::connect);
        connection
    }

    /// Opens a connection with one fixed token, whose events go to a function.
    pub fn observe(url: &str, token: String, told: impl Fn(&Self, Effect) + 'static) -> Self {
        struct Observer<F>(String, F);

        impl<F: Fn(&Connection, Effect)> Application for Observer<F> {
            fn token(&self, connection: &Connection, ask: u32) {
                connection.token(ask, Ok(self.0.clone()));
            }

            fn told(&self, connection: &Connection, effect: Effect) {
                (self.1)(connection, effect);
            }
        }

        Self::open(url, Options { renewable: false, ..Options::new("") }, Observer(token, told))
    }

    /// Answers [`Application::token`]; an error's text is for a person.
    pub fn token(&self, ask: u32, token: Result<String, String>) {
        self.drive(|machine, now| machine.token(now, ask, token));
    }

    /// Takes up a topic, or joins those who have. [`Effect::Subscribed`] or [`Effect::Ended`] follows.
    pub fn subscribe(&self, want: Want) -> Result<Handle, Problem> {
        self.ask(|machine, now| machine.subscribe(now, want))
    }

    /// Asks for the ledger's totals, which follow as [`Effect::Ledger`].
    pub fn ledger(&self, group_by: Vec<Column>) -> Result<Handle, Problem> {
        self.subscribe(Want { topic: "$ledger".to_owned(), group_by, ..Want::default() })
    }

    /// Gives a handle back.
    pub fn unsubscribe(&self, handle: Handle) {
        self.ask(|machine, now| machine.unsubscribe(now, handle));
    }

    /// Where a handle's subscription stands, as sealed tokens for `From::Cursor`.
    pub fn cursor(&self, handle: Handle) -> Option<Vec<String>> {
        self.0.machine.borrow().cursor(handle)
    }

    /// Publishes an event's JSON text, whose `id` is told beside it. [`Effect::Published`] follows.
    pub fn publish(&self, topic: &str, key: Option<&str>, id: &str, event: &str) -> Call {
        self.ask(|machine, now| machine.publish(now, topic, key, id, event))
    }

    /// Tells what became of a delivery that was pending.
    pub fn settle(&self, arrival: Arrival, ordinal: u32, outcome: Outcome) {
        self.ask(|machine, now| machine.settle(now, arrival, ordinal, outcome));
    }

    /// A new event id.
    pub fn event_id(&self) -> String {
        self.0.machine.borrow_mut().event_id(platform::now())
    }

    /// The stream has ended.
    pub(super) fn closed(&self, code: u16, reason: &str) {
        self.drive(|machine, now| machine.socket_closed(now, code, reason));
    }

    /// The connection's state.
    pub fn state(&self) -> State {
        self.0.machine.borrow().state().clone()
    }

    /// Reports what there is to report and ends for good.
    pub fn close(&self) {
        self.drive(Machine::close);
    }

    /// The body of the ledger frame that [`Effect::Ledger`] is about, while that is told.
    pub fn ledger_frame(&self) -> Option<Json> {
        self.0.ledger.borrow().clone()
    }

    /// Tells the machine something, then does what it says.
    fn drive<T>(&self, tell: impl FnOnce(&mut Machine, u64) -> T) -> T {
        let answer = tell(&mut self.0.machine.borrow_mut(), platform::now());
        self.obey();
        answer
    }

    /// Tells the machine something for the application, and does what it says soon after: the application must know
    /// the answer before it is told what followed.
    fn ask<T>(&self, tell: impl FnOnce(&mut Machine, u64) -> T) -> T {
        let answer = tell(&mut self.0.machine.borrow_mut(), platform::now());
        self.0.soon.call();
        answer
    }

    /// Does what the machine says. Nothing is borrowed while the application is told, since it may call again.
    fn obey(&self) {
        loop {
            let next = self.0.machine.borrow_mut().next_effect();
            let Some(effect) = next else { break };
            match effect {
                Effect::FetchToken { ask } => {
                    if let Some(application) = self.application() {
                        application.token(self, ask);
                    }
                }
                Effect::Connect => self.connect(),
                Effect::Send(frame) => {
                    if let Some(socket) = &*self.0.socket.borrow() {
                        socket.send(&frame);
                    }
                }
                Effect::Disconnect { code, reason } => {
                    if let Some(socket) = self.0.socket.take() {
                        socket.close(code, reason);
                    } else if let Some(application) = self.application() {
                        application.told(self, Effect::Disconnect { code, reason });
                    }
                }
                told => {
                    if let Some(application) = self.application() {
                        application.told(self, told);
                    }
                }
            }
        }
        if matches!(self.0.machine.borrow().state(), State::Closed(_)) {
            self.0.application.take();
        }
        let deadline = self.0.machine.borrow().deadline();
        if let Some(deadline) = deadline {
            self.0.timer.borrow_mut().set(deadline);
        }
    }

    fn connect(&self) {
        let socket = Socket::connect(&self.0.url, &self.0.ears);
        let refused = socket.is_none();
        // The old one, if there still is one, goes before the new one is heard.
        self.0.socket.replace(socket);
        if refused {
            self.drive(|machine, now| machine.socket_closed(now, 1006, "the address is refused by the browser"));
        }
    }

    fn application(&self) -> Option<Rc<dyn Application>> {
        self.0.application.borrow().clone()
    }

    /// A frame's text has come: over a stream, or a socket.
    pub(super) fn heard(&self, text: &JsValue) {
        // The protocol has no binary messages.
        let Some(length) = text_length(text) else { return };
        // Credit is counted in UTF-8 bytes, which a string does not tell. Twice its length is never less than
        // half of them, and so reports still go out before the credit is used up.
        let bytes = length as usize * 2;
        let decoded = Json::parse(text).ok_or(tidegate_protocol::frame::BadFrame::Shape);
        match decoded.and_then(|json| Ok((ServerFrame::decode(&json)?, json))) {
            Ok((Some(frame), json)) => self.receive(frame, &json, bytes),
            Ok((None, _)) => {}
            Err(bad) => self.drive(|machine, now| machine.bad_frame(now, &bad)),
        }
    }

    fn receive(&self, frame: ServerFrame<Json>, json: &Json, bytes: usize) {
        use tidegate_protocol::json::Value;
        let ledger = if matches!(frame, ServerFrame::Ledger(_)) { json.member("ledger") } else { None };
        self.0.ledger.replace(ledger);
        // Effects come after what is to be dispatched, which may itself bring about some.
        let batch = self.0.machine.borrow_mut().receive(platform::now(), frame, bytes);
        if let Some(batch) = batch {
            let exceptions = self.application().map_or_else(Vec::new, |application| application.dispatch(self, &batch));
            let entries = batch.entries.length();
            self.0.machine.borrow_mut().dispatched(platform::now(), batch.arrival, entries, exceptions);
        }
        self.obey();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            socket.close(1000, "");
        }
    }
}

fn ears(inner: &Weak<Inner>) -> Ears {
    let (heard, closed) = (inner.clone(), inner.clone());
    Ears {
        opened: Closure::new(calling(inner, |connection| connection.drive(Machine::socket_opened))),
        heard: Closure::new(move |message: MessageEvent| {
            if let Some(inner) = heard.upgrade() {
                Connection(inner).heard(&message.data());
            }
        }),
        closed: Closure::new(move |event: CloseEvent| {
            if let Some(inner) = closed.upgrade() {
                let connection = Connection(inner);
                connection.0.socket.take();
                connection.closed(event.code(), &event.reason());
            }
        }),
    }
}

fn calling(inner: &Weak<Inner>, call: impl Fn(&Connection) + 'static) -> impl FnMut() + 'static {
    let inner = inner.clone();
    move || {
        if let Some(inner) = inner.upgrade() {
            call(&Connection(inner));
        }
    }
}

fn seed() -> [u64; 2] {
    let bytes: [u8; 16] = platform::random();
    let (first, second) = bytes.split_at(8);
    [first, second].map(|half| half.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

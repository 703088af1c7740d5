//! The machine against a scripted bridge: no socket, and time as the test says.

mod connecting;
mod publishing;
mod reporting;
mod streaming;
mod subscribing;

use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::frame::{
    Batch, ClientFrame, Failed, Joined, Limits, Report, ServerFrame, Subscribe, Subscribed, Unsubscribed, Welcome,
};

use super::*;

/// A machine, its clock, and all it did since last asked.
struct Bench {
    machine: Machine,
    now: u64,
    sent: Vec<ClientFrame>,
    effects: Vec<Effect>,
}

type Frame = ServerFrame<()>;

const START: u64 = 1_763_725_000_000;

impl Bench {
    fn new(options: Options) -> Self {
        let machine = Machine::new(options, [1, 2]);
        let mut bench = Self { machine, now: START, sent: Vec::new(), effects: Vec::new() };
        bench.machine.connect(START);
        bench.drain();
        bench
    }

    /// In session, all effects of getting there forgotten.
    fn open() -> Self {
        let mut bench = Self::new(Options::new("tab"));
        bench.handshake(welcome());
        bench.clear();
        bench
    }

    fn drain(&mut self) {
        while let Some(effect) = self.machine.next_effect() {
            match effect {
                Effect::Send(text) => self.sent.push(ClientFrame::decode(&text).unwrap().unwrap()),
                other => self.effects.push(other),
            }
        }
    }

    fn clear(&mut self) {
        self.sent.clear();
        self.effects.clear();
    }

    /// Calls the machine and gathers what it does.
    fn with<T>(&mut self, call: impl FnOnce(&mut Machine, u64) -> T) -> T {
        let answer = call(&mut self.machine, self.now);
        self.drain();
        answer
    }

    fn frame(&mut self, frame: Frame) {
        self.with(|machine, now| assert!(machine.receive(now, frame, 100).is_none()));
    }

    /// Runs the clock, ticking at each deadline as an adapter does.
    fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(at) = self.machine.deadline().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.with(Machine::tick);
        }
        self.now = end;
    }

    fn last_ask(&self) -> Option<u32> {
        self.effects.iter().rev().find_map(|effect| match effect {
            Effect::FetchToken { ask } => Some(*ask),
            _ => None,
        })
    }

    /// Answers the newest question for a token, opens the socket, and welcomes.
    fn handshake(&mut self, welcome: Welcome) {
        let ask = self.last_ask().expect("a token was asked for");
        self.with(|machine, now| machine.token(now, ask, Ok("jwt".into())));
        assert!(self.effects.contains(&Effect::Connect));
        self.with(Machine::socket_opened);
        assert!(matches!(self.sent.last(), Some(ClientFrame::Hello(hello)) if hello.token == "jwt"));
        self.frame(ServerFrame::Welcome(welcome));
    }

    /// The socket breaks, and after the wait there is a new session.
    fn reconnect(&mut self) {
        self.with(|machine, now| machine.socket_closed(now, 1006, ""));
        self.pass(20_000);
        self.sent.clear();
        self.handshake(welcome());
    }

    fn closed(&mut self, code: u16) {
        self.with(|machine, now| machine.socket_closed(now, code, ""));
    }

    fn want(&mut self, topic: &str, types: &[&str]) -> Handle {
        let types = types.iter().map(ToString::to_string).collect();
        let want = Want { topic: topic.into(), types, ..Want::default() };
        self.with(|machine, now| machine.subscribe(now, want)).unwrap()
    }

    fn asked(&mut self) -> Subscribe {
        let at = self.sent.iter().position(|frame| matches!(frame, ClientFrame::Subscribe(_)));
        match self.sent.remove(at.expect("a subscribe frame")) {
            ClientFrame::Subscribe(subscribe) => subscribe,
            _ => unreachable!(),
        }
    }

    /// Accepts the subscription that was asked for.
    fn accept(&mut self, view: u32, seq: u64, cursor: &str) -> Subscribe {
        let asked = self.asked();
        let (id, cursor) = (asked.id, cursor.to_owned());
        let at = Joined { view, seq };
        self.frame(ServerFrame::Subscribed(Subscribed { id, subscription: view + 100, at, cursor, recovered: true }));
        asked
    }

    fn let_go(&mut self) {
        let unsubscribe = self.sent.iter().find_map(|frame| match frame {
            ClientFrame::Unsubscribe(unsubscribe) => Some(unsubscribe.clone()),
            _ => None,
        });
        let unsubscribe = unsubscribe.expect("an unsubscribe frame");
        self.frame(ServerFrame::Unsubscribed(Unsubscribed {
            id: unsubscribe.id,
            subscription: unsubscribe.subscription,
        }));
    }

    fn batch(&mut self, view: u32, seq: u64, cursor: &str, bytes: usize) -> Option<Dispatch<()>> {
        // Full ones are called so.
        let (cursor, full) = (cursor.to_owned(), cursor.starts_with("full"));
        let frame = ServerFrame::Batch(Batch { view, seq, cursor, full, entries: () });
        self.with(|machine, now| machine.receive(now, frame, bytes))
    }

    fn refuse(&mut self, id: Option<u32>, subscription: Option<u32>, code: ErrorCode) {
        self.frame(ServerFrame::Error(Failed { id, subscription, ..Failed::new(code, "no") }));
    }

    fn reports(&mut self) -> Vec<Report> {
        let reports = self.sent.iter().filter_map(|frame| match frame {
            ClientFrame::Report(report) => Some(report.clone()),
            _ => None,
        });
        let reports = reports.collect();
        self.sent.retain(|frame| !matches!(frame, ClientFrame::Report(_)));
        reports
    }
}

fn welcome() -> Welcome {
    Welcome {
        session: "s".into(),
        node: "n".into(),
        tenant: "acme".into(),
        subject: "ann".into(),
        expires: None,
        heartbeat_ms: 25_000,
        limits: Limits { credit: 1000, unsettled: 10_000, frame_bytes: 100_000, event_bytes: 1000, subscriptions: 9 },
        features: Vec::new(),
    }
}

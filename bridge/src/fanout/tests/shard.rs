//! One shard alone, driven by hand: what each frame is answered with.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tidegate_gate::{Accounts, Principal, Seat};
use tidegate_log::{Offsets, TopicId, TopicKey};
use tidegate_protocol::frame::{ClientFrame, Failed, From, Publish, Refresh, ServerFrame, Subscribe, Unsubscribe};
use tidegate_protocol::json::Raw;

use super::client::{Wire, take_frames};
use super::fixture::{NOW, options, principal, rules, sealer};
use crate::fanout::{Effect, Input, Moment, Newcomer, Options, Request, SessionKey, Shard, Ticket};
use crate::feed::Round;
use crate::session::{Format, Outbox};

pub const ID: TopicId = [9; 16];

/// A shard, its clock, and the outboxes of its sessions.
pub struct Bench {
    pub shard: Shard,
    pub accounts: Arc<Accounts>,
    pub now: i64,
    pub outboxes: Vec<(SessionKey, Rc<RefCell<Outbox>>)>,
    pub effects: Vec<Effect>,
}

/// What a session was told since it was last asked, and how it was closed.
pub struct Told {
    pub texts: Vec<String>,
    pub closed: Option<u16>,
}

impl Bench {
    pub fn new() -> Self {
        Self::with(options(1))
    }

    pub fn with(options: Options) -> Self {
        let accounts = Arc::clone(&options.accounts);
        let shard = Shard::new(options, rules(), sealer(1));
        Self { shard, accounts, now: NOW, outboxes: Vec::new(), effects: Vec::new() }
    }

    fn seat(&self, principal: &Principal) -> Seat {
        self.accounts.of(&principal.tenant, self.now).seat(false, self.now).unwrap()
    }

    pub fn moment(&self) -> Moment {
        Moment { now: self.now, random: 0.5, entropy: [3; 10] }
    }

    /// Opens a session and takes its welcome.
    pub fn open(&mut self, tenant: &str, roles: &[&str]) -> SessionKey {
        self.open_as(principal(tenant, "ada", roles))
    }

    pub fn open_as(&mut self, principal: Principal) -> SessionKey {
        let key = self.open_unwelcome(principal);
        assert!(self.told(key).texts[0].starts_with(r#"{"welcome""#));
        key
    }

    /// Opens a session, whatever it is told.
    pub fn open_unwelcome(&mut self, principal: Principal) -> SessionKey {
        let outbox: Rc<RefCell<Outbox>> = Rc::default();
        let seat = self.seat(&principal);
        let newcomer = Newcomer {
            id: "s".into(),
            principal,
            client: "tab".into(),
            format: Format::WebSocket,
            outbox: Rc::clone(&outbox),
            seat,
        };
        let key = self.shard.open(self.moment(), newcomer);
        self.outboxes.push((key, outbox));
        self.take_effects();
        key
    }

    /// Opens a session that is spoken to in another format.
    pub fn open_in(&mut self, format: Format, principal: Principal) -> SessionKey {
        let outbox: Rc<RefCell<Outbox>> = Rc::default();
        let seat = self.seat(&principal);
        let newcomer =
            Newcomer { id: "s".into(), principal, client: "tab".into(), format, outbox: Rc::clone(&outbox), seat };
        let key = self.shard.open(self.moment(), newcomer);
        self.outboxes.push((key, outbox));
        self.take_effects();
        key
    }

    /// What a session's connection takes now, as text.
    pub fn taken(&mut self, key: SessionKey) -> String {
        String::from_utf8(self.taken_raw(key)).unwrap()
    }

    pub fn taken_raw(&mut self, key: SessionKey) -> Vec<u8> {
        let outbox = Rc::clone(self.outbox(key));
        let mut text = Vec::new();
        while !outbox.borrow().is_empty() {
            text.extend_from_slice(&outbox.borrow_mut().take(1));
        }
        let left = outbox.borrow().left();
        self.input(Input::Taken(key, left));
        text
    }

    pub fn outbox(&self, key: SessionKey) -> &Rc<RefCell<Outbox>> {
        &self.outboxes.iter().find(|(known, _)| *known == key).unwrap().1
    }

    pub fn input(&mut self, input: Input) {
        self.shard.handle(self.moment(), input);
        self.take_effects();
    }

    pub fn request(&mut self, request: Request) -> Ticket {
        let ticket = self.shard.request(self.moment(), request);
        self.take_effects();
        ticket
    }

    pub fn frame(&mut self, key: SessionKey, frame: ClientFrame) {
        self.input(Input::Frame(key, frame));
    }

    pub fn tick(&mut self, passed: i64) {
        self.now += passed;
        self.shard.tick(self.moment());
        self.take_effects();
    }

    /// Feeds whoever is behind, until nothing more can be done.
    pub fn feed(&mut self) {
        while self.shard.feed(16) {}
        self.take_effects();
    }

    pub fn take_effects(&mut self) {
        for effect in self.shard.take_effects() {
            match effect {
                Effect::Flush(_) | Effect::Deliver(..) => {}
                other => self.effects.push(other),
            }
        }
    }

    pub fn told(&mut self, key: SessionKey) -> Told {
        let outbox = self.outbox(key);
        let mut wire = Wire::default();
        take_frames(outbox, &mut wire);
        Told { texts: wire.frames.into_iter().map(|frame| frame.text).collect(), closed: wire.closed }
    }

    /// Subscribes, and answers for the feed: the topic stands at these offsets.
    pub fn subscribe(&mut self, key: SessionKey, topic: &str, from: From) -> Told {
        self.frame(key, subscribe(1, topic, from));
        self.told(key)
    }

    /// The feed follows a topic that exists.
    pub fn follow(&mut self, physical: &str, topic: u32, offsets: &[(i32, i64)]) {
        let offsets: Offsets = offsets.iter().copied().collect();
        let id = (!offsets.is_empty()).then_some(ID);
        self.input(Input::Followed { physical: physical.into(), topic: TopicKey(topic), id, offsets });
    }

    /// Events of one partition, one for each offset.
    pub fn round(&mut self, topic: u32, tenant: &str, offsets: std::ops::Range<i64>, size: usize) {
        self.input(Input::Rounds(vec![Arc::new(Self::events(topic, tenant, offsets, size))]));
    }

    /// A round of such events.
    pub fn events(topic: u32, tenant: &str, offsets: std::ops::Range<i64>, size: usize) -> Round {
        let mut round = Round::default();
        for offset in offsets {
            round.push((TopicKey(topic), 0, offset), (tenant, "order.paid"), None, |out| {
                let event = format!(r#"{{"id":"{offset}","pad":"{}"}}"#, "x".repeat(size));
                tidegate_protocol::frame::Entry::write(out, None, &[], &event);
                out.len() - 1 - event.len()..out.len() - 1
            });
            round.reach(TopicKey(topic), 0, offset + 1);
        }
        round
    }

    /// A session that is live on `orders`, at offset 10 of partition 0.
    pub fn live(&mut self, tenant: &str) -> SessionKey {
        let key = self.open(tenant, &["reader", "replayer", "writer"]);
        let told = self.subscribe(key, "orders", From::Latest);
        if told.texts.is_empty() {
            self.follow("orders", 1, &[(0, 10)]);
            assert!(self.told(key).texts[0].starts_with(r#"{"subscribed""#));
        }
        key
    }
}

impl Told {
    pub fn error(&self) -> Failed {
        let errors: Vec<Failed> = self
            .texts
            .iter()
            .filter_map(|text| match decode(text) {
                Decoded::Error(failed) => Some(failed),
                Decoded::Other => None,
            })
            .collect();
        assert_eq!(errors.len(), 1, "{:?}", self.texts);
        errors.into_iter().next().unwrap()
    }

    pub fn kinds(&self) -> Vec<&str> {
        self.texts.iter().map(|text| text.split('"').nth(1).unwrap()).collect()
    }
}

enum Decoded {
    Error(Failed),
    Other,
}

fn decode(text: &str) -> Decoded {
    match ServerFrame::decode(&Raw::parse(text).unwrap()) {
        Ok(Some(ServerFrame::Error(failed))) => Decoded::Error(failed),
        _ => Decoded::Other,
    }
}

pub fn subscribe(id: u32, topic: &str, from: From) -> ClientFrame {
    let topic = topic.to_owned();
    ClientFrame::Subscribe(Subscribe {
        id,
        topic,
        types: Vec::new(),
        keys: Vec::new(),
        consumer: None,
        from,
        group_by: Vec::new(),
    })
}

pub fn unsubscribe(id: u32, subscription: u32) -> ClientFrame {
    ClientFrame::Unsubscribe(Unsubscribe { id, subscription })
}

pub fn publish(topic: &str, event: &str) -> Publish {
    Publish { id: 5, topic: topic.into(), key: None, event: event.into(), again: false }
}

pub fn refresh() -> ClientFrame {
    ClientFrame::Refresh(Refresh { id: 3, token: "t".into() })
}

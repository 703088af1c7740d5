//! Two nodes' shards over one log, with clients: everything around them is played, in any order that may happen.

mod feed;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use tidegate_log::{Offsets, ReadError, TopicKey};
use tidegate_protocol::frame::{ClientFrame, From, Subscribe, Unsubscribe};
use tidegate_protocol::ledger::Counts;

use super::client::{Client, Row, take_frames};
use super::fixture::{NOW, options, principal, sealer, seat};
use super::model::{Chance, Log};
use super::variants;
use crate::fanout::{Effect, Input, Moment, Newcomer, Options, Rules, SessionKey, Shard};
use crate::feed::catch_up::History;
use crate::ledger::ShardSnapshot;
use crate::session::Format;

thread_local! {
    /// Whether what happens is told, for whoever looks for a fault.
    pub static LOUD: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// One node: a shard, what the feed has told it, what it waits for.
pub struct Node {
    pub shard: Shard,
    keys: BTreeMap<String, TopicKey>,
    /// The topics that the feed reads: the life it knows of, and how far it came.
    fed: BTreeMap<String, (u32, Offsets)>,
    /// The rules that the feed reads by.
    rules: Rules,
    /// What the feed has told and the shard has not taken yet.
    told: VecDeque<Told>,
    next_key: u32,
    options: Options,
    asked: Vec<Effect>,
    pub counts: BTreeMap<Row, Counts>,
    /// What the shard handed to the ledger last.
    snapshot: ShardSnapshot,
}

enum Told {
    Input(Input),
    /// Other rules, by their variant.
    Rules(usize),
}

pub struct World {
    pub log: Log,
    pub nodes: Vec<Node>,
    pub clients: Vec<Client>,
    pub chance: Chance,
    pub now: i64,
    limits: (usize, usize),
}

/// A topic, and the types and keys wanted of it.
pub type Want = (&'static str, &'static [&'static str], &'static [&'static str]);

/// Each client's tenant and role, and what it wants.
pub const WANTS: [(&str, &str, &[Want]); 8] = [
    ("acme", "reader", &[("orders", &[], &[]), ("news", &[], &[])]),
    ("acme", "clerk", &[("orders", &[], &[])]),
    ("acme", "reader", &[("orders", &["order.paid"], &[]), ("audit", &[], &["k1", "k3"])]),
    ("globex", "desk", &[("orders", &["order.*"], &[]), ("audit", &[], &["k1"])]),
    ("globex", "reader", &[("orders", &["order.created", "order.shipped"], &[]), ("news", &["news.flash"], &[])]),
    ("globex", "mixed", &[("orders", &[], &["k1", ""]), ("news", &["news.*"], &[])]),
    ("acme", "mixed", &[("orders", &["order.shipped", "order.paid.*"], &[]), ("audit", &["order.*"], &[])]),
    ("acme", "auditor", &[("orders", &[], &["k2"]), ("audit", &[], &[])]),
];

impl World {
    pub fn new(seed: u64, credit: u64, unsettled: u64, window_bytes: usize) -> Self {
        let node = |number: u32| {
            let mut options = options(number);
            options.limits.credit = credit;
            options.limits.unsettled = unsettled;
            options.window_bytes = window_bytes;
            Node {
                shard: Shard::new(options.clone(), variants::rules(0), sealer(number as u8)),
                rules: variants::rules(0),
                next_key: 0,
                options,
                keys: BTreeMap::new(),
                fed: BTreeMap::new(),
                told: VecDeque::new(),
                asked: Vec::new(),
                counts: BTreeMap::new(),
                snapshot: ShardSnapshot::default(),
            }
        };
        let mut log = Log::default();
        log.rules = vec![vec![0]; 2];
        log.create("orders", 2);
        log.create("news", 1);
        log.create("acme.audit", 1);
        Self {
            log,
            nodes: vec![node(1), node(2)],
            clients: WANTS.iter().enumerate().map(|(at, want)| Client::new(at, want)).collect(),
            chance: Chance::new(seed),
            now: NOW,
            limits: (credit as usize, unsettled as usize),
        }
    }

    fn moment(&self) -> Moment {
        Moment { now: self.now, random: 0.5, entropy: [3; 10] }
    }

    pub fn input(&mut self, node: usize, input: Input) {
        if LOUD.get() {
            println!("node {node} takes {:.300}", format!("{input:?}"));
        }
        let moment = self.moment();
        self.nodes[node].shard.handle(moment, input);
        self.settle(node);
    }

    /// Does what a shard wants done, but for what takes time.
    fn settle(&mut self, at: usize) {
        for effect in self.nodes[at].shard.take_effects() {
            let node = &mut self.nodes[at];
            match effect {
                Effect::Flush(key) | Effect::Close(key) => self.receive(at, key),
                Effect::Deliver(_, keys) => keys.into_iter().for_each(|key| self.receive(at, key)),
                Effect::Undecided(undecided) => assert!(undecided.events > 0),
                Effect::Follow(physical) => {
                    if node.rules.topics.spec(&physical).is_none() {
                        continue;
                    }
                    let next = &mut node.next_key;
                    let key = *node.keys.entry(physical.to_string()).or_insert_with(|| {
                        *next += 1;
                        TopicKey(*next)
                    });
                    let log = &self.log;
                    let now = || {
                        let life = log.topics.get(&*physical).filter(|t| t.exists).map_or(0, |t| t.life);
                        (life, log.ends(&physical))
                    };
                    // A topic that is followed already is introduced as it stands with the feed.
                    let (life, offsets) = node.fed.entry(physical.to_string()).or_insert_with(now).clone();
                    let id = (!offsets.is_empty()).then(|| super::model::topic_id(&physical, life));
                    node.told.push_back(Told::Input(Input::Followed { physical, topic: key, id, offsets }));
                }
                Effect::Unfollow(topic) => {
                    // The feed has dropped it already if the rules have changed.
                    let name = node.keys.iter().find(|(_, key)| **key == topic).map(|(name, _)| name.clone());
                    if let Some(name) = name {
                        node.fed.remove(&name);
                        node.keys.remove(&name);
                    }
                }
                effect @ (Effect::Read(_) | Effect::FindTime(..)) => node.asked.push(effect),
                Effect::Append(..) | Effect::Verify(..) | Effect::Published(..) => panic!("nobody publishes here"),
                Effect::Accepted(..) | Effect::Refused(..) => {
                    panic!("nobody publishes here")
                }
            }
        }
    }

    /// What stands in a session's outbox reaches its client's socket.
    fn receive(&mut self, at: usize, key: SessionKey) {
        let Some(client) = self.clients.iter_mut().find(|c| c.node == at && c.key == Some(key)) else { return };
        let before = client.wire.frames.len();
        take_frames(&client.outbox, &mut client.wire);
        for index in before..client.wire.frames.len() {
            let (text, bytes) = (client.wire.frames[index].text.clone(), client.wire.frames[index].bytes);
            if !text.starts_with(r#"{"batch""#) {
                continue;
            }
            let first = super::client::numbers_of(&text)[0];
            let now = *self.log.rules[at].last().unwrap();
            for number in super::client::numbers_of(&text) {
                let (event, subject) = (&self.log.events[&number], &client.readers[0].who.1);
                assert!(variants::grant(now, client.role, subject, event), "{event:?} under the rules {now}");
            }
            let physical = &self.log.events[&first].topic;
            let topic = physical.rsplit('.').next().unwrap().to_owned();
            for row in client.note_sent(&self.log, &topic, &text, bytes, self.limits) {
                self.nodes[at].counts.entry(row).or_default().sent += 1;
            }
        }
    }

    pub fn connect(&mut self, client: usize, node: usize) {
        if self.clients[client].key.is_some() {
            return;
        }
        let moment = self.moment();
        let at = &mut self.clients[client];
        at.node = node;
        at.outbox = Rc::new(RefCell::default());
        let principal = principal(at.tenant, &format!("user-{client}"), &[at.role, "replayer"]);
        let outbox = Rc::clone(&at.outbox);
        let newcomer = Newcomer {
            id: "s".into(),
            principal,
            client: format!("client-{client}").into(),
            format: Format::WebSocket,
            outbox,
            seat: seat(at.tenant),
        };
        let key = self.nodes[node].shard.open(moment, newcomer);
        self.clients[client].key = Some(key);
        self.settle(node);
        for reader in 0..self.clients[client].readers.len() {
            self.subscribe(client, reader);
        }
    }

    fn subscribe(&mut self, client: usize, reader: usize) {
        let at = &mut self.clients[client];
        at.next_request += 1;
        let request = at.next_request;
        let of = &mut at.readers[reader];
        of.request = request;
        let first = of.cursors.is_empty();
        let from = if first {
            match self.chance.below(3) {
                0 => From::Earliest,
                1 => From::Time(NOW),
                _ => From::Latest,
            }
        } else {
            From::Cursor(of.cursors.clone())
        };
        of.resuming = !first;
        of.refused = false;
        of.earliest = from == From::Earliest;
        let (topic, types, keys) = (of.topic.clone(), of.types.clone(), of.keys.clone());
        let (node, key) = (at.node, at.key.unwrap());
        let subscribe = Subscribe { id: request, topic, types, keys, consumer: None, from, group_by: Vec::new() };
        self.input(node, Input::Frame(key, ClientFrame::Subscribe(subscribe)));
    }

    /// Ends one subscription and begins it again from its cursor.
    pub fn resubscribe(&mut self, client: usize, reader: usize) {
        self.read(client, usize::MAX);
        let at = &mut self.clients[client];
        let (Some(key), node) = (at.key, at.node) else { return };
        let reader = reader % at.readers.len();
        let Some(subscription) = at.readers[reader].id else { return };
        at.next_request += 1;
        let frame = ClientFrame::Unsubscribe(Unsubscribe { id: at.next_request, subscription });
        self.input(node, Input::Frame(key, frame));
        // Batches that crossed with it are dispatched too.
        self.read(client, usize::MAX);
        if self.clients[client].key.is_none() {
            return;
        }
        self.clients[client].readers[reader].id = None;
        self.subscribe(client, reader);
    }

    pub fn disconnect(&mut self, client: usize) {
        let at = &self.clients[client];
        let (Some(key), node) = (at.key, at.node) else { return };
        self.input(node, Input::Gone(key));
        self.ended(client);
    }

    fn ended(&mut self, client: usize) {
        let node = self.clients[client].node;
        self.clients[client].end(&mut self.nodes[node].counts);
    }

    /// One of the questions that were asked is answered.
    pub fn answer(&mut self, at: usize) {
        let count = self.nodes[at].asked.len();
        if count == 0 {
            return;
        }
        let asked = self.nodes[at].asked.swap_remove(self.chance.below(count));
        let input = match asked {
            Effect::Read(key) if self.chance.once_in(12) => Input::History(key, Err(ReadError::Unknown)),
            Effect::Read(key) => {
                let part = &key.part;
                let most = 1 + self.chance.below(12);
                let place = (&*part.spec, part.topic, part.partition);
                let read = self.log.read(place, part.from, part.until, most);
                let read = read.map(|(round, next)| History { round: Arc::new(round), next, bytes: 0 });
                Input::History(key, read)
            }
            Effect::FindTime(session, subscription, physical, _) => {
                let ends = self.log.ends(&physical);
                let chance = &mut self.chance;
                let log = &self.log;
                let found = ends.iter().map(|(&p, &end)| {
                    let earliest = log.partition(&physical, p).unwrap().earliest;
                    (p, earliest + chance.below((end - earliest) as usize + 1) as i64)
                });
                let found = found.collect();
                Input::OffsetsAt(session, subscription, Ok(found))
            }
            _ => unreachable!(),
        };
        self.input(at, input);
    }

    pub fn turns(&mut self, at: usize, turns: usize) {
        self.nodes[at].shard.feed(turns);
        self.settle(at);
    }

    pub fn tick(&mut self, passed: i64) {
        self.now += passed;
        for at in 0..self.nodes.len() {
            let moment = self.moment();
            self.nodes[at].shard.tick(moment);
            self.settle(at);
        }
        for client in 0..self.clients.len() {
            self.check_closed(client);
        }
    }

    fn check_closed(&mut self, client: usize) {
        if self.clients[client].wire.closed.is_some() {
            self.ended(client);
        }
    }

    /// A client reads so many frames, and answers pings.
    pub fn read(&mut self, client: usize, most: usize) {
        for _ in 0..most {
            let Some(pong) = self.clients[client].read(&self.log) else { return };
            if pong && let (Some(key), node) = (self.clients[client].key, self.clients[client].node) {
                self.input(node, Input::Frame(key, ClientFrame::Pong));
            }
        }
    }

    pub fn report(&mut self, client: usize, whole: bool) {
        let at = &mut self.clients[client];
        let (Some(key), node) = (at.key, at.node) else { return };
        if let Some(report) = at.report(&mut self.chance, whole, &mut self.nodes[node].counts) {
            self.input(node, Input::Frame(key, ClientFrame::Report(report)));
            let wire = &self.clients[client].wire;
            let last = wire.frames.back().map(|frame| &frame.text);
            assert!(wire.closed.is_none(), "a valid report was refused: {last:?}");
        }
    }

    /// The ledger says what the clients know, and balances.
    pub fn check_ledger(&mut self) {
        for (at, node) in self.nodes.iter_mut().enumerate() {
            if let Some(snapshot) = node.shard.changed_snapshot() {
                node.snapshot = snapshot;
            }
            let mut expected = node.counts.clone();
            for client in self.clients.iter().filter(|c| c.node == at && c.key.is_some()) {
                client.in_flight(&mut expected);
            }
            let mut found: BTreeMap<Row, Counts> = BTreeMap::new();
            for (key, counts) in &node.snapshot.rows {
                assert_eq!(counts.law_1(), Ok(()), "{key:?}");
                let row = (key.tenant.to_string(), key.topic.to_string(), key.event_type.to_string());
                assert!(found.insert(row, *counts).is_none(), "{key:?} twice");
            }
            found.retain(|_, counts| *counts != Counts::default());
            expected.retain(|_, counts| *counts != Counts::default());
            assert_eq!(found, expected, "node {at}");
        }
    }

    /// Lets everything come to rest, and checks that every reader has everything.
    pub fn rest(&mut self) {
        for name in ["orders", "news", "acme.audit"] {
            if !self.log.topics[name].exists {
                self.log.create(name, 2);
            }
        }
        for at in 0..self.nodes.len() {
            let open = variants::OPEN[self.chance.below(variants::OPEN.len())];
            self.reload(at, open);
            self.take(at, usize::MAX);
        }
        for client in 0..self.clients.len() {
            self.read(client, usize::MAX);
            if self.clients[client].readers.iter().any(|reader| reader.refused) {
                self.disconnect(client);
            }
            let node = self.chance.below(2);
            self.connect(client, node);
        }
        let mut quiet = 0;
        for _ in 0..3_000 {
            let before: u64 = self.clients.iter().flat_map(|c| &c.readers).map(|r| r.received).sum();
            for at in 0..self.nodes.len() {
                self.discover(at);
                self.feed(at, 1_000);
                self.take(at, usize::MAX);
                self.answer(at);
                self.turns(at, 100);
            }
            for client in 0..self.clients.len() {
                self.read(client, usize::MAX);
                self.report(client, true);
                for reader in 0..self.clients[client].readers.len() {
                    if self.clients[client].readers[reader].refused {
                        self.subscribe(client, reader);
                    }
                }
            }
            self.tick(10);
            let after: u64 = self.clients.iter().flat_map(|c| &c.readers).map(|r| r.received).sum();
            let waits = self.nodes.iter().any(|node| !node.asked.is_empty() || node.shard.is_hungry());
            quiet = if before == after && !waits { quiet + 1 } else { 0 };
            if quiet == 20 {
                break;
            }
        }
        assert_eq!(quiet, 20, "it never comes to rest");
        for client in &self.clients {
            for reader in &client.readers {
                assert!(reader.id.is_some(), "{} {:?} was never answered", client.tenant, reader.topic);
                reader.check_complete(&self.log, &client.physical(&reader.topic), client.tenant);
            }
        }
        self.check_ledger();
        let sessions = self.nodes.iter().flat_map(|node| node.snapshot.sessions.values());
        let paused_or_behind: u64 = sessions.map(|of| of.paused + of.behind).sum();
        assert_eq!(paused_or_behind, 0, "all are live at rest");
    }
}

//! The world of a case: a log, two nodes, clients; whatever a shard wants done is done, now or later.

use std::collections::BTreeMap;

use tidegate::fanout::{Effect, Input, Moment, Newcomer, SessionKey};
use tidegate::session::Format;
use tidegate_log::{Appended, NewRecord, Offsets};
use tidegate_protocol::frame::ClientFrame;

use super::chance::Chance;
use super::client::{Client, Message, Pending, Reader, State, Stored};
use super::json::Json;
use super::log::Log;
use super::node::{Built, Node, Room};
use super::reading::Raw;
use super::reference::Verdict;
use super::setting::{NOW, Token};

pub struct World<'a> {
    pub built: &'a Built,
    pub log: Log,
    pub nodes: Vec<Node>,
    pub clients: Vec<Client>,
    pub chance: Chance,
    pub now: i64,
    /// Cursors of all who ever read.
    pub stored: Vec<Stored>,
    /// What was sent on each node, by tenant, topic and type.
    pub sent: Vec<BTreeMap<(String, String, String), u64>>,
    /// Where times were found to lie, by node, session and subscription.
    pub found: BTreeMap<(usize, SessionKey, u32), Offsets>,
    pub marks: usize,
    pub loud: bool,
    /// Events that came to somebody: a world in which nothing comes proves nothing.
    pub delivered: usize,
}

impl<'a> World<'a> {
    pub fn new(built: &'a Built, mut chance: Chance) -> Self {
        let setting = &built.setting;
        let mut log = Log::default();
        for topic in &setting.topics {
            let mut create = |tenant| log.create(&topic.physical_of(tenant), topic, 1 + chance.below(2));
            if topic.physical.contains("{tenant}") {
                setting.tenants.iter().copied().chain(["stranger"]).for_each(create);
            } else {
                create("");
            }
        }
        let room =
            Room { credit: *chance.pick(&[600, 262_144, 262_144]), window: *chance.pick(&[0, 3_000, 1 << 20]) };
        let tokens = setting.tokens.len();
        let clients = (0..6).map(|number| Client::new(number, chance.below(tokens), chance.once_in(3))).collect();
        Self {
            built,
            log,
            nodes: vec![Node::new(built, 1, room), Node::new(built, 2, room)],
            clients,
            chance,
            now: NOW,
            stored: Vec::new(),
            sent: vec![BTreeMap::new(), BTreeMap::new()],
            found: BTreeMap::new(),
            marks: 0,
            loud: false,
            delivered: 0,
        }
    }

    pub fn token(&self, client: usize) -> &'a Token {
        &self.built.setting.tokens[self.clients[client].token]
    }

    pub fn state(&self, client: usize) -> State {
        State { token: self.clients[client].token, now: self.now }
    }

    fn moment(&mut self) -> Moment {
        let mut entropy = [0; 10];
        entropy.fill_with(|| self.chance.below(256) as u8);
        Moment { now: self.now, random: 0.5, entropy }
    }

    pub fn append(&mut self, physical: &str, raw: Raw) {
        let gap = if self.chance.once_in(5) { self.chance.below(4) as i64 } else { 0 };
        let partition = self.chance.below(2);
        self.log.append(physical, partition, gap, raw, self.marks);
    }

    /// A client comes with its token.
    pub fn connect(&mut self, at: usize, node: usize) {
        let principal = match self.built.verify(&self.token(at).text, self.now) {
            Ok(principal) => principal,
            Err(error) => return assert!(self.token(at).expires <= self.now, "{error}"),
        };
        assert!(self.now < self.token(at).expires, "an expired token was taken");
        let client = &mut self.clients[at];
        (client.node, client.outbox) = (node, std::rc::Rc::default());
        let (outbox, name) = (client.outbox.clone(), client.name.clone());
        let moment = self.moment();
        let newcomer = Newcomer { id: "s".into(), principal, client: name.into(), format: Format::WebSocket, outbox };
        let key = self.nodes[node].shard.open(moment, newcomer);
        self.clients[at].key = Some(key);
        self.settle(node);
    }

    /// Something happens to a node.
    pub fn input(&mut self, node: usize, input: Input) {
        self.tell(|| format!("{node} takes {input:?}"));
        let moment = self.moment();
        self.nodes[node].shard.handle(moment, input);
        self.settle(node);
    }

    /// Tells what happens, when one case is played alone.
    pub fn tell(&self, what: impl FnOnce() -> String) {
        if self.loud {
            println!("{}", what());
        }
    }

    /// A client says something, in so many words.
    pub fn say(&mut self, at: usize, text: &str) {
        let (Some(key), node) = (self.clients[at].key, self.clients[at].node) else { return };
        match ClientFrame::decode(text) {
            Ok(Some(frame)) => self.input(node, Input::Frame(key, frame)),
            other => panic!("{other:?}: {text}"),
        }
    }

    /// Does what a shard wants done, but for what takes time, and lets clients read and answer.
    fn settle(&mut self, node: usize) {
        for effect in self.nodes[node].shard.take_effects() {
            match effect {
                Effect::Flush(key) => {
                    self.nodes[node].shard.flushed(key);
                    self.receive(node, key);
                }
                Effect::Close(key) => self.receive(node, key),
                Effect::Follow(physical) => self.nodes[node].follow(self.built, &self.log, &physical),
                Effect::Unfollow(topic) => self.nodes[node].unfollow(topic),
                Effect::Append(key, record) => {
                    let at = self.client_of(node, key.session).expect("a publisher");
                    let place = self.appended(at, key.request, &record);
                    self.nodes[node].asked.push(Effect::Append(key, record));
                    self.found.insert((node, place.0, place.1), Offsets::from([place.2]));
                }
                later => self.nodes[node].asked.push(later),
            }
        }
        for at in 0..self.clients.len() {
            for text in std::mem::take(&mut self.clients[at].outgoing) {
                self.say(at, &text);
            }
        }
    }

    fn client_of(&self, node: usize, key: SessionKey) -> Option<usize> {
        self.clients.iter().position(|client| client.node == node && client.key == Some(key))
    }

    fn receive(&mut self, node: usize, key: SessionKey) {
        let Some(at) = self.client_of(node, key) else { return };
        for message in self.clients[at].drain() {
            match message {
                Message::Frame(frame) => {
                    self.tell(|| format!("{at} hears {frame}"));
                    self.hear(at, &frame);
                }
                Message::Close(code) => {
                    let expired = self.token(at).expires <= self.now;
                    assert_eq!((code == 3002, true), (expired, matches!(code, 3002 | 3500)), "closed with {code}");
                    self.leave(at);
                }
            }
        }
    }

    /// What was appended is what the reference says, and lies on the log from now on.
    fn appended(&mut self, at: usize, request: u32, record: &NewRecord) -> (SessionKey, u32, (i32, i64)) {
        let client = &self.clients[at];
        let Some(Pending::Publish(verdict)) = client.pending.get(&request) else { panic!("{record:?} was not asked") };
        let value = Json::parse(record.value.as_deref().expect("a value")).expect("JSON");
        let describe = || format!("{value} as {record:?} by {}; {verdict:?}", self.token(at).claims);
        let Verdict::Appended(expected) = verdict else {
            panic!("published {}\n{}", describe(), self.built.setting.configuration())
        };
        let key = record.key.as_deref().map(String::from_utf8_lossy);
        let headers = Json::Object(
            record
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), Json::text(&String::from_utf8_lossy(value.as_deref().unwrap()))))
                .collect(),
        );
        assert_eq!(record.topic, expected.physical, "{}", describe());
        assert!(value.alike(&expected.value), "{}", describe());
        assert!(headers.alike(&Json::Object(expected.headers.clone())), "{}", describe());
        assert!(expected.key.is_none() || expected.key.as_deref() == key.as_deref(), "{}", describe());
        let (key, session) = (record.key.clone(), client.key.expect("a session"));
        let raw =
            Raw { offset: 0, time: self.now, key, value: record.value.clone(), headers: record.headers.clone() };
        let mark = super::hear::mark(&value).expect("what is published is marked");
        let partition = self.chance.below(2);
        let place = self.log.append(&record.topic, partition, 0, raw, mark);
        (session, request, place)
    }

    /// Something that was asked is answered.
    pub fn answer(&mut self, node: usize) {
        let count = self.nodes[node].asked.len();
        if count == 0 {
            return;
        }
        let asked = self.chance.below(count);
        match self.nodes[node].asked.swap_remove(asked) {
            Effect::Read(key) => {
                let input = super::node::history(self.built, &self.log, key, &mut self.chance);
                self.input(node, input);
            }
            Effect::FindTime(session, subscription, physical, time) => {
                let found = self.log.offsets_at(&physical, time);
                self.found.insert((node, session, subscription), found.clone());
                self.input(node, Input::OffsetsAt(session, subscription, Ok(found)));
            }
            Effect::Append(key, _) => {
                let place = self.found.remove(&(node, key.session, key.request)).expect("a place");
                let (partition, offset) = place.into_iter().next().expect("a place");
                self.input(node, Input::Appended(key, Ok(Appended { partition, offset })));
            }
            Effect::Verify(session, request, token) => self.verify(node, session, request, &token),
            other => panic!("{other:?}"),
        }
    }

    /// A token is to be renewed: for the same tenant and subject only.
    fn verify(&mut self, node: usize, session: SessionKey, request: u32, text: &str) {
        let outcome = self.built.verify(text, self.now);
        let Some(at) = self.client_of(node, session) else { return };
        let tokens = &self.built.setting.tokens;
        let new = tokens.iter().position(|token| token.text == text).expect("a token of this setting");
        assert_eq!(outcome.is_ok(), self.now < tokens[new].expires, "{outcome:?}");
        let known = self.token(at);
        let same = (known.tenant, known.subject) == (tokens[new].tenant, tokens[new].subject);
        if same && outcome.is_ok() {
            self.clients[at].token = new;
            self.note_state(at);
        }
        let taken = outcome.is_ok();
        self.input(node, Input::Verified(session, request, outcome));
        assert!(same || !taken || self.clients[at].key.is_none(), "a session went on as another's");
        self.check_grants(at);
    }

    /// What its token no longer allows has ended.
    fn check_grants(&self, at: usize) {
        let (client, token, setting) = (&self.clients[at], self.token(at), &self.built.setting);
        for reader in &client.readers {
            let mut grants = super::reference::grants(setting, token, "subscribe", &reader.topic);
            assert!(grants.next().is_some(), "still subscribed: {reader:?}; {}", reader.describe(setting));
        }
        let observes = super::reference::observer(setting, token).0;
        assert!(client.ledgers.is_empty() || observes, "still observing");
    }

    /// From here on a client's events are decided about in another state.
    pub fn note_state(&mut self, at: usize) {
        let state = self.state(at);
        let client = &mut self.clients[at];
        let waiting = client.pending.values_mut().filter_map(|pending| match pending {
            Pending::Subscribe { reader, .. } => Some(&mut **reader),
            _ => None,
        });
        client.readers.iter_mut().chain(waiting).for_each(|reader| reader.states.push(state));
    }

    /// A client's session is over: what it got is settled, its cursors are kept.
    pub fn leave(&mut self, at: usize) {
        let client = &mut self.clients[at];
        client.key = None;
        client.pending.clear();
        client.unreported.clear();
        client.outgoing.clear();
        client.ledgers.clear();
        for reader in std::mem::take(&mut client.readers) {
            self.store(at, reader);
        }
    }

    /// A subscription is over.
    pub fn store(&mut self, at: usize, mut reader: Reader) {
        let position = reader.position();
        reader.settle(&self.built.setting, &self.log, &position);
        let public = self.log.topics[&reader.physical].topic.is_public();
        let tenant = if public { String::new() } else { self.token(at).tenant.to_owned() };
        self.stored.push(Stored { tenant, physical: reader.physical, cursors: reader.cursors });
    }

    /// Time passes.
    pub fn tick(&mut self, passed: i64) {
        self.now += passed;
        for at in 0..self.clients.len() {
            self.note_state(at);
        }
        for node in 0..self.nodes.len() {
            let moment = self.moment();
            self.nodes[node].shard.tick(moment);
            self.settle(node);
        }
        for at in 0..self.clients.len() {
            assert!(self.clients[at].key.is_none() || self.now < self.token(at).expires, "open after it expired");
        }
    }

    /// Everything that can come comes; then everybody has exactly what they should.
    pub fn rest(&mut self) {
        let mut idle = 0;
        for turn in 0.. {
            assert!(turn < 1_000, "no rest");
            let mut busy = false;
            for node in 0..self.nodes.len() {
                self.nodes[node].feed(&self.log, usize::MAX);
                while let Some(input) = self.nodes[node].take() {
                    busy = true;
                    self.input(node, input);
                }
                while !self.nodes[node].asked.is_empty() {
                    busy = true;
                    self.answer(node);
                }
                while self.turn(node, 64) {}
                busy |= !self.nodes[node].asked.is_empty();
            }
            for at in 0..self.clients.len() {
                self.clients[at].report();
                for text in std::mem::take(&mut self.clients[at].outgoing) {
                    busy = true;
                    self.say(at, &text);
                }
            }
            // Who stands ahead of a node looks again with the clock.
            idle = if busy { 0 } else { idle + 1 };
            if idle == 2 {
                break;
            }
            self.tick(1);
        }
        for at in 0..self.clients.len() {
            let state = self.state(at);
            let Client { readers, pending, .. } = &mut self.clients[at];
            assert!(pending.is_empty(), "never answered: {pending:?}");
            for reader in readers {
                let ends = self.log.ends(&reader.physical);
                reader.settle(&self.built.setting, &self.log, &ends);
                reader.states = vec![state];
            }
        }
    }

    /// Feeds those who are behind. Says whether there is more to do.
    pub fn turn(&mut self, node: usize, turns: usize) -> bool {
        let more = self.nodes[node].shard.feed(turns);
        self.settle(node);
        more
    }
}

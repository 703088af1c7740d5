//! The world of a case: a log, two nodes, clients; whatever a shard wants done is done, now or later.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate::fanout::{Effect, Input, Moment, Origin, SessionKey};
use tidegate::session::Format;
use tidegate_gate::{Revocations, Verifier};
use tidegate_log::{Appended, Offsets};
use tidegate_protocol::frame::ClientFrame;

use super::chance::Chance;
use super::client::{Client, Message, Say, State, Stored};
use super::log::Log;
use super::node::{self, Built, Node, Room, Told};
use super::publishes::Post;
use super::reading::Raw;
use super::setting::{NOW, Setting, Token};

/// What happened in cases, by name: where nothing happens, nothing is proved.
pub type Tally = BTreeMap<&'static str, usize>;

pub struct World<'a> {
    pub builts: &'a [Built],
    pub revocations: Arc<Revocations>,
    pub verifier: Verifier,
    /// What was revoked: its kind, the tenant, the value, and since when.
    pub revoked: Vec<(&'static str, String, String, i64)>,
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
    /// Where what was published lies, until it is answered.
    places: Vec<(usize, Origin, (i32, i64))>,
    /// Requests that were not answered yet.
    pub posts: Vec<Post>,
    pub marks: usize,
    /// Sessions that there were.
    pub sessions: usize,
    pub loud: bool,
    /// How often what is to be proved happened.
    pub tally: Tally,
}

impl<'a> World<'a> {
    pub fn new(builts: &'a [Built], mut chance: Chance) -> Self {
        let setting = &builts[0].setting;
        let mut log = Log::default();
        for topic in &setting.topics {
            let mut create = |tenant| log.create(&topic.physical_of(tenant), topic, 1 + chance.below(2));
            if topic.is_own() {
                setting.tenants.iter().copied().chain(["stranger"]).for_each(create);
            } else {
                create("");
            }
        }
        let room = Room { credit: *chance.pick(&[600, 262_144, 262_144]), window: *chance.pick(&[0, 3_000, 1 << 20]) };
        let tokens = setting.tokens.len();
        let clients = (0..6).map(|number| {
            let format = *chance.pick(&[Format::WebSocket, Format::WebSocket, Format::Stream, Format::Events]);
            Client::new(number, chance.below(tokens), chance.once_in(3), format)
        });
        let clients = clients.collect();
        let revocations = Arc::<Revocations>::default();
        Self {
            builts,
            verifier: builts[0].verifier(Arc::clone(&revocations)),
            revoked: Vec::new(),
            log,
            nodes: [1, 2].map(|number| Node::new(&builts[0], number, room, &revocations)).into(),
            revocations,
            clients,
            chance,
            now: NOW,
            stored: Vec::new(),
            sent: vec![BTreeMap::new(), BTreeMap::new()],
            found: BTreeMap::new(),
            places: Vec::new(),
            posts: Vec::new(),
            marks: 0,
            sessions: 0,
            loud: false,
            tally: Tally::default(),
        }
    }

    pub fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    pub fn token(&self, client: usize) -> &'a Token {
        &self.builts[0].setting.tokens[self.clients[client].token]
    }

    /// What a client's node goes by.
    pub fn setting(&self, client: usize) -> &'a Setting {
        &self.builts[self.nodes[self.clients[client].node].setting].setting
    }

    pub fn state(&self, client: usize) -> State {
        let client = &self.clients[client];
        State { setting: self.nodes[client.node].setting, token: client.token, now: self.now }
    }

    pub fn moment(&mut self) -> Moment {
        let mut entropy = [0; 10];
        entropy.fill_with(|| self.chance.below(256) as u8);
        Moment { now: self.now, random: 0.5, entropy }
    }

    pub fn append(&mut self, physical: &str, raw: Raw) {
        let gap = if self.chance.once_in(5) { self.chance.below(4) as i64 } else { 0 };
        let partition = self.chance.below(2);
        self.log.append(physical, partition, gap, raw, self.marks);
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
    pub fn settle(&mut self, node: usize) {
        for effect in self.nodes[node].shard.take_effects() {
            match effect {
                Effect::Flush(key) | Effect::Close(key) => self.receive(node, key),
                Effect::Deliver(_, keys) => keys.into_iter().for_each(|key| self.receive(node, key)),
                Effect::Follow(physical) => self.nodes[node].follow(self.builts, &self.log, &physical),
                Effect::Unfollow(topic) => self.nodes[node].unfollow(topic),
                Effect::Append(key, record, unanswered) => {
                    let place = self.appended(node, key.origin, &record);
                    self.places.push((node, key.origin, place));
                    self.nodes[node].asked.push(Effect::Append(key, record, unanswered));
                }
                Effect::Published(ticket, outcomes) => self.posted(node, ticket, &outcomes),
                Effect::Undecided(_) => {}
                Effect::Accepted(key) => assert!(self.client_of(node, key).is_some()),
                Effect::Refused(key, failed) => {
                    let at = self.client_of(node, key).expect("a reader");
                    self.turned_away(at, &failed.code);
                }
                later => self.nodes[node].asked.push(later),
            }
        }
        for at in 0..self.clients.len() {
            self.speak(at);
        }
    }

    /// A client says what it has to say.
    pub fn speak(&mut self, at: usize) -> bool {
        let outgoing = std::mem::take(&mut self.clients[at].outgoing);
        let any = !outgoing.is_empty();
        for say in outgoing {
            match (say, self.clients[at].key, self.clients[at].node) {
                (Say::Frame(text), ..) => self.say(at, &text),
                (Say::Taken(bytes), Some(key), node) => self.input(node, Input::Taken(key, bytes)),
                _ => {}
            }
        }
        any
    }

    pub fn client_of(&self, node: usize, key: SessionKey) -> Option<usize> {
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
                Message::Event(message) => {
                    self.tell(|| format!("{at} hears {message:?}"));
                    self.hear_event(at, &message);
                }
                Message::Close(code) => self.closed(at, code),
            }
        }
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
                let input = node::history(&self.log, key, &mut self.chance);
                self.input(node, input);
            }
            Effect::FindTime(session, subscription, physical, time) => {
                let found = self.log.offsets_at(&physical, time);
                self.found.insert((node, session, subscription), found.clone());
                self.input(node, Input::OffsetsAt(session, subscription, Ok(found)));
            }
            Effect::Append(key, ..) => {
                let known = self.places.iter().position(|(of, origin, _)| (*of, *origin) == (node, key.origin));
                let (.., (partition, offset)) = self.places.swap_remove(known.expect("a place"));
                self.input(node, Input::Appended(key, Ok(Appended { partition, offset })));
            }
            Effect::Verify(session, request, token) => self.verify(node, session, request, &token),
            other => panic!("{other:?}"),
        }
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
                while self.take(node) {
                    busy = true;
                }
                while !self.nodes[node].asked.is_empty() {
                    busy = true;
                    self.answer(node);
                }
                while self.nodes[node].shard.is_hungry() {
                    busy = true;
                    self.turn(node, 64);
                }
                busy |= !self.nodes[node].asked.is_empty();
            }
            for at in 0..self.clients.len() {
                self.clients[at].report();
                busy |= self.speak(at);
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
                reader.settle(self.builts, &self.log, &ends);
                reader.states = vec![state];
            }
        }
    }

    /// The shard takes what its feed told next. Says whether there was anything.
    pub fn take(&mut self, node: usize) -> bool {
        match self.nodes[node].take() {
            None => return false,
            Some(Told::Input(input)) => self.input(node, input),
            Some(Told::Rules(setting)) => {
                let moment = self.moment();
                self.nodes[node].renew(moment, self.builts, setting);
                let of_node =
                    |world: &Self, at: usize| world.clients[at].node == node && world.clients[at].key.is_some();
                for at in 0..self.clients.len() {
                    if of_node(self, at) {
                        self.note_state(at);
                    }
                }
                self.settle(node);
                for at in 0..self.clients.len() {
                    if of_node(self, at) {
                        self.check_grants(at);
                    }
                }
            }
        }
        true
    }

    /// Feeds those who are behind.
    pub fn turn(&mut self, node: usize, turns: usize) {
        self.nodes[node].shard.feed(turns);
        self.settle(node);
    }
}

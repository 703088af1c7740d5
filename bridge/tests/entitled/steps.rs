//! What happens in a case, step by step, drawn by chance.

use std::sync::Arc;

use tidegate::fanout::Input;
use tidegate::ledger::Hub;
use tidegate::session::Format;
use tidegate_gate::{Revocation, Target};
use tidegate_log::Offsets;

use super::client::{From, Pending, Reader, Stored};
use super::json::Json;
use super::node::sealer;
use super::records::{self, KEYS};
use super::reference::{self, Filter};
use super::setting::NO_TOPICS;
use super::world::World;

/// What subscribers ask for.
const PATTERNS: [&str; 6] = ["order.created", "order.line.added", "orders.seen", "order.*", "order.line.*", "cart.*"];

/// Steps of one case.
const STEPS: usize = 60;

/// Records of one case at most.
pub const RECORDS: usize = 40;

impl World<'_> {
    /// Plays a case from beginning to rest.
    pub fn play(&mut self) {
        for client in 0..4 {
            self.record();
            self.come(client);
        }
        for _ in 0..STEPS {
            self.step();
        }
        self.rest();
    }

    fn step(&mut self) {
        let node = self.chance.below(2);
        let at = self.chance.below(self.clients.len());
        match self.chance.below(64) {
            0..=11 => {
                for _ in 0..=self.chance.below(4) {
                    self.record();
                }
            }
            12..=19 => {
                let most = 1 + self.chance.below(8);
                let Self { nodes, log, .. } = self;
                nodes[node].feed(log, most);
            }
            20..=27 => {
                for _ in 0..=self.chance.below(4) {
                    if !self.take(node) {
                        break;
                    }
                }
            }
            28..=31 => self.answer(node),
            32..=36 => {
                let turns = 1 + self.chance.below(4);
                self.turn(node, turns);
            }
            37..=46 if self.clients[at].key.is_none() => self.come(at),
            47..=48 => self.go(at),
            49..=50 => self.post(node),
            61 if self.chance.once_in(2) => self.revoke(),
            62 => self.reload(),
            // Whoever has only a stream says nothing more.
            37..=57 if self.clients[at].format != Format::WebSocket => {}
            37..=46 => self.subscribe(at),
            51..=53 => self.publish(at),
            54 => self.unsubscribe(at),
            55..=56 => self.refresh(at),
            57 => self.observe(at),
            58 => self.totals(node),
            59 => {
                self.clients[at].report();
                self.speak(at);
            }
            60 => {
                let passed = *self.chance.pick(&[200, 1_500, 21_000]);
                self.tick(passed);
            }
            _ => self.rest(),
        }
    }

    /// Somebody puts a record onto the log.
    fn record(&mut self) {
        if self.marks >= RECORDS {
            return;
        }
        self.marks += 1;
        let read: Vec<&String> = self.clients.iter().flat_map(|c| &c.readers).map(|r| &r.physical).collect();
        let names: Vec<&String> = self.log.topics.keys().collect();
        // Mostly where somebody listens.
        let names = if read.is_empty() || self.chance.once_in(4) { names } else { read };
        let physical = (*self.chance.pick(&names)).clone();
        let topic = self.log.topics[&physical].topic.clone();
        let tenants = &self.builts[0].setting.tenants;
        let own =
            tenants.iter().find(|tenant| topic.physical.contains("{tenant}") && physical == topic.physical_of(tenant));
        let owner = own.copied().unwrap_or_else(|| self.chance.word(tenants));
        let raw = records::record(&mut self.chance, &topic, owner, tenants, self.marks);
        self.append(&physical, raw);
    }

    fn come(&mut self, at: usize) {
        if self.chance.once_in(2) {
            self.clients[at].token = self.chance.below(self.builts[0].setting.tokens.len());
        }
        let node = self.chance.below(2);
        self.connect(at, node);
        let wants = match self.clients[at].format {
            Format::Events => 1,
            _ => 1 + self.chance.below(3),
        };
        for _ in 0..wants {
            self.subscribe(at);
        }
        // A reader of one topic that asks for none is no request.
        let client = &self.clients[at];
        if client.format == Format::Events && client.readers.is_empty() && client.pending.is_empty() {
            self.go(at);
        }
    }

    fn go(&mut self, at: usize) {
        let (Some(key), node) = (self.clients[at].key, self.clients[at].node) else { return };
        self.leave(at);
        self.input(node, Input::Gone(key));
    }

    /// A topic that there is, or one that there is not.
    pub fn any_topic(&mut self) -> &'static str {
        if self.chance.once_in(8) {
            return self.chance.word(&NO_TOPICS);
        }
        self.chance.pick(&self.builts[0].setting.topics).name
    }

    fn subscribe(&mut self, at: usize) {
        if self.clients[at].key.is_none() {
            return;
        }
        let name = self.any_topic();
        let client = &self.clients[at];
        let waits = |pending: &Pending| matches!(pending, Pending::Subscribe { reader, .. } if reader.topic == name);
        if client.readers.iter().any(|reader| reader.topic == name) || client.pending.values().any(waits) {
            return;
        }
        let (setting, token, state) = (self.setting(at), self.token(at), self.state(at));
        let topic = setting.topic(name);
        let physical = topic.map(|topic| topic.physical_of(token.tenant)).unwrap_or_default();
        let tenant = if topic.is_some_and(super::setting::Topic::is_public) { "" } else { token.tenant };
        let granted = |action| topic.is_some() && reference::grants(setting, token, action, name).next().is_some();
        let (covered, replays) = (granted("subscribe"), granted("replay"));
        let (text, from, good) = self.from(tenant, &physical);
        let replayed = replays || !matches!(from, From::Earliest | From::Time);
        let mut refusals = Vec::new();
        if !covered || !replayed {
            refusals.push("denied");
        } else if !good {
            refusals.extend(["invalid_cursor", "malformed_frame"]);
        }
        let filter = self.filter();
        let types = Json::List(filter.types.iter().map(|name| Json::text(name)).collect());
        let keys = Json::List(filter.keys.iter().map(|key| Json::text(key)).collect());
        let reader = Reader { topic: name.to_owned(), physical, filter, states: vec![state], ..Reader::default() };
        let pending =
            Pending::Subscribe { reader: Box::new(reader), from, open: covered && replayed && good, refusals };
        let id = self.clients[at].ask(pending);
        let topic = Json::text(name);
        self.say(
            at,
            &format!(r#"{{"subscribe":{{"id":{id},"topic":{topic},"types":{types},"keys":{keys},"from":{text}}}}}"#),
        );
    }

    fn filter(&mut self) -> Filter {
        let words = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect();
        let types = if self.chance.once_in(3) { self.chance.any(&PATTERNS) } else { Vec::new() };
        let keys = if self.chance.once_in(5) { self.chance.any(&KEYS) } else { Vec::new() };
        Filter { types: words(types), keys: words(keys) }
    }

    /// Where to begin: as it is said, as it is meant, and whether it is good there.
    fn from(&mut self, tenant: &str, physical: &str) -> (String, From, bool) {
        let stored = |chance: &mut super::chance::Chance, all: &[Stored]| {
            // Mostly one's own, often another's.
            let own = |stored: &&Stored| stored.tenant == tenant && stored.physical == physical;
            let theirs: Vec<&Stored> = all.iter().filter(own).collect();
            if theirs.is_empty() || chance.once_in(4) {
                chance.pick(all).clone()
            } else {
                (*chance.pick(&theirs)).clone()
            }
        };
        match self.chance.below(10) {
            0..=1 => (r#""latest""#.to_owned(), From::Latest, true),
            2..=3 => (r#""earliest""#.to_owned(), From::Earliest, true),
            4..=5 => {
                let time = self.now - 100_000 + self.chance.below(40) as i64 * 1_000;
                (format!(r#"{{"time":{time}}}"#), From::Time, true)
            }
            _ if self.stored.is_empty() => (r#""latest""#.to_owned(), From::Latest, true),
            _ => {
                let of = stored(&mut self.chance, &self.stored);
                let Stored { mut cursors, .. } = of.clone();
                let mut good = of.tenant == tenant && of.physical == physical;
                match self.chance.below(10) {
                    0 => {
                        let other = stored(&mut self.chance, &self.stored);
                        good &= (&*other.tenant, &*other.physical) == (tenant, physical);
                        cursors.extend(other.cursors.last().cloned());
                    }
                    1 => {
                        good = false;
                        let token = &mut cursors[0];
                        let at = self.chance.below(token.len() - 2);
                        let new = if &token[at..=at] == "A" { "B" } else { "A" };
                        token.replace_range(at..=at, new);
                    }
                    2 if cursors.len() > 1 => {
                        // Without the full one that they follow.
                        good = false;
                        cursors.remove(0);
                    }
                    _ => {}
                }
                let position = if good { sealer(99).open_all(&cursors).expect("good").offsets } else { Offsets::new() };
                let tokens: Vec<String> = cursors.iter().map(|token| format!("{token:?}")).collect();
                (format!(r#"{{"cursor":[{}]}}"#, tokens.join(",")), From::Cursor(position), good)
            }
        }
    }

    fn unsubscribe(&mut self, at: usize) {
        let client = &mut self.clients[at];
        if client.readers.is_empty() {
            return;
        }
        let subscription = self.chance.pick(&client.readers).subscription;
        let id = client.ask(Pending::Unsubscribe(subscription));
        self.say(at, &format!(r#"{{"unsubscribe":{{"id":{id},"subscription":{subscription}}}}}"#));
    }

    /// Another token: of the same person, mostly.
    fn refresh(&mut self, at: usize) {
        if self.clients[at].key.is_none() {
            return;
        }
        let (setting, token) = (self.setting(at), self.token(at));
        let same = |other: &&super::setting::Token| (other.tenant, other.subject) == (token.tenant, token.subject);
        let theirs: Vec<_> = setting.tokens.iter().filter(same).collect();
        let new = if self.chance.once_in(8) { self.chance.pick(&setting.tokens) } else { *self.chance.pick(&theirs) };
        let id = self.clients[at].ask(Pending::Refresh);
        self.say(at, &format!(r#"{{"refresh":{{"id":{id},"token":{:?}}}}}"#, new.text));
    }

    fn observe(&mut self, at: usize) {
        if self.clients[at].key.is_none() {
            return;
        }
        let (open, _) = reference::observer(self.setting(at), self.token(at));
        let columns = self.chance.some(&["tenant", "topic", "type"]);
        let by = format!("{columns:?}");
        let id = self.clients[at].ask(Pending::Ledger { columns, open });
        self.say(at, &format!(r#"{{"subscribe":{{"id":{id},"topic":"$ledger","group_by":{by}}}}}"#));
    }

    /// The configuration is read again: other grants, everywhere, at their own time.
    fn reload(&mut self) {
        let setting = self.chance.below(self.builts.len());
        for node in &mut self.nodes {
            node.reload(self.builts, setting);
        }
    }

    /// Somebody, or somebody's session, is revoked.
    fn revoke(&mut self) {
        let token = self.chance.pick(&self.builts[0].setting.tokens);
        let (kind, value) = match self.chance.below(6) {
            0 => ("tenant", String::new()),
            1..=2 => ("subject", token.subject.to_owned()),
            3..=4 => ("token", token.claims.get("jti").and_then(Json::as_text).expect("an id").to_owned()),
            _ => ("session", self.chance.pick(&self.clients).session.clone()),
        };
        let tenant = (kind != "session").then_some(token.tenant);
        let Ok(target) = Target::new(kind, tenant, Some(&value)) else { return };
        let before = self.now - if self.chance.once_in(3) { 5_000 } else { 0 };
        self.revoked.retain(|(known, of, what, _)| (*known, &**of, what) != (kind, token.tenant, &value));
        self.revoked.push((kind, token.tenant.to_owned(), value, before));
        let revocation = Arc::new(Revocation { target, issued_before: before, reason: None, until: None });
        self.revocations.put(&revocation);
        for node in 0..self.nodes.len() {
            self.input(node, Input::Revoked(Arc::clone(&revocation)));
        }
        for at in 0..self.clients.len() {
            assert!(self.clients[at].key.is_none() || !self.is_revoked(at), "open after it was revoked");
        }
    }

    /// A node tells its totals.
    fn totals(&mut self, node: usize) {
        let hub = Hub::new("node".into(), "life".into(), 1);
        hub.put_shard(0, self.nodes[node].shard.snapshot());
        self.input(node, Input::Ledger(Arc::new(hub.sum(self.now))));
    }
}

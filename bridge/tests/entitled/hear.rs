//! What clients hear, each word of it held against the reference.

use std::collections::BTreeMap;

use tidegate::session::Format;

use super::client::{From, Pending, Reader, Say};
use super::json::Json;
use super::records::mark;
use super::reference::{self, Verdict, may_see};
use super::world::World;

impl World<'_> {
    pub fn hear(&mut self, at: usize, frame: &Json) {
        let Json::Object(members) = frame else { panic!("{frame}") };
        let [(kind, body)] = &members[..] else { panic!("{frame}") };
        match &**kind {
            "welcome" => {
                let token = self.token(at);
                assert_eq!(body.get("tenant").and_then(Json::as_text), Some(token.tenant));
                assert_eq!(body.get("subject").and_then(Json::as_text), Some(token.subject));
            }
            "subscribed" => self.subscribed(at, body),
            "moved" => {
                let reason = body.get("reason").and_then(Json::as_text);
                assert!(matches!(reason, Some("live" | "behind" | "policy")), "{frame}");
                let reader = self.reader(at, number(body, "subscription") as u32);
                (reader.view, reader.seq) = (number(body, "view"), number(body, "seq"));
                reader.live = reason != Some("behind");
                if reason == Some("policy") {
                    self.count("view moved by policy");
                }
            }
            "batch" => self.batch(at, body),
            "ping" => self.ping(at, body),
            "published" => {
                let published = self.clients[at].pending.remove(&(number(body, "id") as u32));
                assert!(matches!(published, Some(Pending::Publish(Verdict::Appended(_)))), "{frame}: {published:?}");
                assert!(body.get("offset").is_none(), "nobody here is shown positions");
            }
            "refreshed" => {
                let refreshed = self.clients[at].pending.remove(&(number(body, "id") as u32));
                assert!(matches!(refreshed, Some(Pending::Refresh)), "{frame}");
            }
            "unsubscribed" => {
                let asked = self.clients[at].pending.remove(&(number(body, "id") as u32));
                assert!(
                    matches!(asked, Some(Pending::Unsubscribe(id)) if u64::from(id) == number(body, "subscription"))
                );
                self.end_of_subscription(at, number(body, "subscription") as u32);
            }
            "ledger" => self.ledger(at, body),
            "error" => self.refused(at, body),
            _ => panic!("{frame}"),
        }
    }

    pub fn reader(&mut self, at: usize, subscription: u32) -> &mut Reader {
        let readers = &mut self.clients[at].readers;
        readers.iter_mut().find(|reader| reader.subscription == subscription).expect("a subscription")
    }

    fn subscribed(&mut self, at: usize, body: &Json) {
        let cursor = body.get("cursor").and_then(Json::as_text).expect("a cursor").to_owned();
        let begins = (number(body, "subscription") as u32, number(body, "view"), number(body, "seq"));
        self.begin(at, number(body, "id") as u32, begins, cursor);
    }

    fn batch(&mut self, at: usize, body: &Json) {
        let (view, seq) = (number(body, "view"), number(body, "seq"));
        let Some(Json::List(entries)) = body.get("entries") else { panic!("{body}") };
        let client = &mut self.clients[at];
        let reader = client.readers.iter_mut().find(|reader| reader.view == view).expect("a view of its own");
        assert_eq!(reader.seq, seq, "in order");
        reader.seq += 1;
        reader.cursors.push(body.get("cursor").and_then(Json::as_text).expect("a cursor").to_owned());
        for entry in entries {
            self.deliver(at, view, entry, true);
        }
        let client = &mut self.clients[at];
        client.unreported.push((view, seq, entries.len()));
        if !client.lazy {
            client.report();
        }
    }

    /// An event came: it is one for this reader, now, and as it was read.
    pub fn deliver(&mut self, at: usize, view: u64, entry: &Json, keyed: bool) {
        let state = self.state(at);
        let (setting, token, node) = (self.setting(at), self.token(at), self.clients[at].node);
        let client = &mut self.clients[at];
        let reader = client.readers.iter_mut().find(|reader| reader.view == view).expect("a view of its own");
        let found = mark(entry).and_then(|mark| self.log.find(mark));
        let (physical, partition, on_log) = found.unwrap_or_else(|| panic!("{entry} was never appended"));
        let describe = || format!("{entry} of {on_log:?}, to {reader:?}; {}", reader.describe(self.builts));
        let event = on_log.event.as_ref().unwrap_or_else(|| panic!("nobody may see {}", describe()));
        assert_eq!(reader.physical, physical, "of another topic: {}", describe());
        let topic = &self.log.topics[physical].topic;
        let seen = may_see(setting, token, topic, event, &on_log.raw, state.now);
        assert!(seen, "not for them: {}", describe());
        assert!(reader.filter.wants(event), "not asked for: {}", describe());
        assert!(entry.get("event").is_some_and(|sent| sent.alike(&event.event)), "not as read: {}", describe());
        assert!(!keyed || entry.get("key").and_then(Json::as_text) == event.key.as_deref(), "{}", describe());
        let place = (partition, on_log.raw.offset);
        let settled = reader.settled.get(&partition).copied().unwrap_or(0);
        assert!(place.1 >= settled && !reader.got.contains(&place), "again: {}", describe());
        reader.got.insert(place);
        let live = reader.live;
        let tenant = if topic.is_public() { String::new() } else { token.tenant.to_owned() };
        let row = (tenant, reader.topic.clone(), event.event_type.clone());
        *self.sent[node].entry(row).or_default() += 1;
        let how = match (client.format, live) {
            (Format::WebSocket, true) => "event live",
            (Format::WebSocket, false) => "event behind",
            (Format::Stream, _) => "event by stream",
            (Format::Events, _) => "event by server-sent events",
        };
        self.count(how);
    }

    fn ping(&mut self, at: usize, body: &Json) {
        if let Some(Json::List(cursors)) = body.get("cursors") {
            for cursor in cursors {
                let reader = self.reader(at, number(cursor, "subscription") as u32);
                reader.cursors = vec![cursor.get("cursor").and_then(Json::as_text).expect("a cursor").to_owned()];
            }
        }
        if self.clients[at].format == Format::WebSocket {
            self.clients[at].outgoing.push(Say::Frame(r#"{"pong":{}}"#.to_owned()));
        }
    }

    fn refused(&mut self, at: usize, body: &Json) {
        let code = body.get("code").and_then(Json::as_text).expect("a code");
        if let Some(subscription) = body.get("subscription") {
            assert_eq!(code, "denied");
            let Json::Int(subscription) = *subscription else { panic!("{body}") };
            return self.ended(at, subscription as u32);
        }
        let Some(Json::Int(id)) = body.get("id") else {
            assert!(matches!(code, "token_expired" | "revoked"), "{body}");
            return;
        };
        self.refused_request(at, *id as u32, code);
    }

    /// A subscription was ended by its node: by other grants, which show it nothing more.
    pub fn ended(&mut self, at: usize, subscription: u32) {
        let client = &mut self.clients[at];
        let ledgers = client.ledgers.len();
        client.ledgers.retain(|(id, _)| *id != subscription);
        if client.ledgers.len() == ledgers {
            let state = self.state(at);
            let reader = self.reader(at, subscription).clone();
            let dead = reader.is_dead(self.builts, &self.log, state);
            assert!(dead, "ended, but may go on: {}", reader.describe(self.builts));
            self.end_of_subscription(at, subscription);
            self.count("subscription ended by grants");
        }
    }

    /// Something that was asked is refused.
    pub fn refused_request(&mut self, at: usize, id: u32, code: &str) {
        let state = self.state(at);
        let (setting, token) = (self.setting(at), self.token(at));
        let pending = self.clients[at].pending.remove(&id);
        match pending {
            // A log that took too long.
            Some(Pending::Subscribe { .. }) if code == "log_unavailable" => {}
            Some(Pending::Subscribe { reader, from, refusals, .. }) => {
                let dead = || reader.is_dead(self.builts, &self.log, state);
                // A renewed token, or other rules, may have taken it away meanwhile.
                let there = setting.topic(&reader.topic).is_some();
                let granted =
                    |action| there && reference::grants(setting, token, action, &reader.topic).next().is_some();
                let replay = matches!(from, From::Earliest | From::Time);
                let lost = !granted("subscribe") || (replay && !granted("replay"));
                let denied = code == "denied" && (lost || dead());
                // Or given it back.
                let changed = code == "topic_changed" && reader.states.iter().any(|of| of.setting != state.setting);
                let why = || format!("{code}: {reader:?}; {}", reader.describe(self.builts));
                assert!(refusals.contains(&code) || denied || changed, "refused with {}", why());
                self.count(match code {
                    "denied" => "subscribe denied",
                    "invalid_cursor" => "cursor refused",
                    _ => "subscribe refused otherwise",
                });
            }
            Some(Pending::Ledger { open: false, .. }) => assert_eq!(code, "denied"),
            Some(Pending::Publish(Verdict::Refused(codes))) => {
                assert!(codes.contains(&code), "{code}: {codes:?}");
                self.count("publish refused");
            }
            Some(Pending::Refresh) => assert!(matches!(code, "invalid_token" | "token_expired" | "revoked"), "{code}"),
            other => panic!("{code}, but {other:?} by {}\n{}", token.claims, setting.configuration()),
        }
    }

    fn end_of_subscription(&mut self, at: usize, subscription: u32) {
        let readers = &mut self.clients[at].readers;
        let place = readers.iter().position(|reader| reader.subscription == subscription).expect("a subscription");
        let reader = readers.remove(place);
        self.store(at, reader);
    }

    /// Totals: exactly the rows that the grant shows, and in sums nothing of the others.
    fn ledger(&mut self, at: usize, body: &Json) {
        let (setting, token, node) = (self.setting(at), self.token(at), self.clients[at].node);
        let subscription = number(body, "subscription") as u32;
        let (_, columns) = self.clients[at].ledgers.iter().find(|(id, _)| *id == subscription).expect("an observer");
        let grouped = |of: [&str; 3]| -> Vec<String> {
            let wanted = ["tenant", "topic", "type"].into_iter().zip(of);
            wanted.filter(|(column, _)| columns.contains(column)).map(|(_, value)| value.to_owned()).collect()
        };
        let mut expected: BTreeMap<Vec<String>, u64> = BTreeMap::new();
        for ((tenant, topic, event_type), sent) in &self.sent[node] {
            if reference::may_observe(setting, token, tenant, topic) {
                *expected.entry(grouped([tenant, topic, event_type])).or_default() += sent;
            }
        }
        let mut told: BTreeMap<Vec<String>, u64> = BTreeMap::new();
        if let Some(Json::List(rows)) = body.get("rows") {
            for row in rows {
                let text = |name: &str| row.get(name).and_then(Json::as_text).unwrap_or_default();
                let of = [text("tenant"), text("topic"), text("type")];
                if columns.contains(&"tenant") && columns.contains(&"topic") {
                    assert!(reference::may_observe(setting, token, of[0], of[1]), "another's row: {row}");
                }
                if row.get("sent").is_some() {
                    *told.entry(grouped(of)).or_default() += number(row, "sent");
                }
            }
        }
        self.count(if told.is_empty() { "totals of nothing" } else { "totals" });
        assert_eq!(told, expected, "{body} for {}\n{}", token.claims, setting.configuration());
        let all = reference::observer(setting, token).1;
        let open = self.clients.iter().enumerate().filter(|(number, client)| {
            client.key.is_some() && client.node == node && (all || self.token(*number).tenant == token.tenant)
        });
        assert_eq!(number(body.get("sessions").expect("sessions"), "open"), open.count() as u64);
        assert!(body.get("other").is_none_or(|other| other.get("sent").is_none()));
    }
}

fn number(of: &Json, name: &str) -> u64 {
    match of.get(name) {
        Some(Json::Int(number)) => *number as u64,
        other => panic!("{name} is {other:?} in {of}"),
    }
}

//! Publishing, by sessions and by requests: what is appended is what the reference says, and nothing else is.

use std::sync::Arc;

use tidegate::fanout::{Offering, Origin, Outcomes, Request, Ticket};
use tidegate_log::NewRecord;

use super::client::Pending;
use super::json::Json;
use super::node;
use super::reading::Raw;
use super::records;
use super::records::mark;
use super::reference::{self, Offer, Verdict};
use super::world::World;

/// A request that is under way: what must become of each of its events, and who made it.
#[derive(Debug)]
pub struct Post {
    node: usize,
    ticket: Option<Ticket>,
    token: usize,
    verdicts: Vec<Verdict>,
}

impl World<'_> {
    /// A session publishes.
    pub fn publish(&mut self, at: usize) {
        if self.clients[at].key.is_none() || self.marks >= super::steps::RECORDS {
            return;
        }
        self.marks += 1;
        let name = self.any_topic();
        let (setting, token) = (self.setting(at), self.token(at));
        let event = records::published(&mut self.chance, &setting.tenants, self.marks);
        let key = records::key(&mut self.chance, &event);
        let client = self.clients[at].name.clone();
        let offer = Offer { topic: name, key, event: &event, client: Some(&client), id: None, now: self.now };
        let verdict = reference::publish(setting, token, &offer);
        let id = self.clients[at].ask(Pending::Publish(verdict));
        let key = key.map(|key| format!(r#","key":{key:?}"#)).unwrap_or_default();
        let text = self.oddly(&event);
        let topic = Json::text(name);
        self.say(at, &format!(r#"{{"publish":{{"id":{id},"topic":{topic}{key},"event":{text}}}}}"#));
    }

    fn oddly(&mut self, event: &Json) -> String {
        let mut text = String::new();
        let chance = &mut self.chance;
        event.write(&mut text, &mut || chance.once_in(6));
        text
    }

    /// Somebody without a session publishes.
    pub fn post(&mut self, node: usize) {
        let setting = &self.builts[self.nodes[node].setting].setting;
        let number = self.chance.below(setting.tokens.len());
        let token = &setting.tokens[number];
        let Ok(principal) = node::verify(&self.verifier, &token.text, self.now) else {
            return assert!(!self.is_good(token));
        };
        assert!(self.is_good(token), "a token that expired or was revoked was taken");
        let name = self.any_topic();
        let client = self.chance.once_in(2).then_some("backend");
        let (mut items, mut verdicts) = (Vec::new(), Vec::new());
        for _ in 0..=self.chance.below(2) {
            if self.marks >= super::steps::RECORDS {
                return;
            }
            self.marks += 1;
            let event = records::published(&mut self.chance, &setting.tenants, self.marks);
            let key = records::key(&mut self.chance, &event);
            let id = self.chance.once_in(4).then(|| records::uuid(self.marks));
            let offer = Offer { topic: name, key, event: &event, client, id: id.as_deref(), now: self.now };
            verdicts.push(reference::publish(setting, token, &offer));
            let (key, event) = (key.map(str::to_owned), self.oddly(&event));
            items.push(Ok(Offering { topic: name.into(), key, event, id }));
        }
        // Its first effects come before its ticket is known: until then it is the one without.
        self.posts.push(Post { node, ticket: None, token: number, verdicts });
        let moment = self.moment();
        let request = Request { principal, client: client.map(Arc::from), items };
        let ticket = self.nodes[node].shard.request(moment, request);
        self.posts.last_mut().expect("it").ticket = Some(ticket);
        self.settle(node);
    }

    /// A request is answered.
    pub fn posted(&mut self, node: usize, ticket: Ticket, outcomes: &Outcomes) {
        let known = self.posts.iter().position(|post| (post.node, post.ticket) == (node, Some(ticket)));
        let Post { verdicts, token, .. } = self.posts.swap_remove(known.expect("a request"));
        assert_eq!(verdicts.len(), outcomes.len());
        let token = &self.builts[0].setting.tokens[token];
        for (verdict, outcome) in verdicts.iter().zip(outcomes) {
            let right = match (verdict, outcome) {
                (Verdict::Appended(_), Ok((receipt, _))) => !receipt.raw,
                (Verdict::Refused(codes), Err(failed)) => codes.contains(&&*failed.code),
                _ => false,
            };
            self.count(if outcome.is_ok() { "event posted" } else { "post refused" });
            assert!(right, "{outcome:?}, but {verdict:?} by {}", token.claims);
        }
    }

    /// What was appended is what the reference says, and lies on the log from now on.
    pub fn appended(&mut self, node: usize, origin: Origin, record: &NewRecord) -> (i32, i64) {
        let (verdict, token) = match origin {
            Origin::Session { session, request } => {
                let at = self.client_of(node, session).expect("a publisher");
                let Some(Pending::Publish(verdict)) = self.clients[at].pending.get(&request) else {
                    panic!("{record:?} was not asked")
                };
                (verdict, self.token(at))
            }
            Origin::Request { ticket, item } => {
                let post = self.posts.iter().find(|post| (post.node, post.ticket) == (node, Some(ticket)));
                let Post { verdicts, token, .. } = post.expect("a request");
                (&verdicts[item], &self.builts[0].setting.tokens[*token])
            }
        };
        let value = Json::parse(record.value.as_deref().expect("a value")).expect("JSON");
        let setting = &self.builts[self.nodes[node].setting].setting;
        let describe =
            || format!("{value} as {record:?} by {}; {verdict:?}\n{}", token.claims, setting.configuration());
        let Verdict::Appended(expected) = verdict else { panic!("published {}", describe()) };
        let key = record.key.as_deref().map(String::from_utf8_lossy);
        let header = |(name, value): &(String, Option<Vec<u8>>)| {
            (name.clone(), Json::text(&String::from_utf8_lossy(value.as_deref().expect("a value"))))
        };
        let headers = Json::Object(record.headers.iter().map(header).collect());
        assert_eq!(record.topic, expected.physical, "{}", describe());
        assert!(value.alike(&expected.value), "{}", describe());
        assert!(headers.alike(&Json::Object(expected.headers.clone())), "{}", describe());
        assert!(expected.key.is_none() || expected.key.as_deref() == key.as_deref(), "{}", describe());
        if let Origin::Session { .. } = origin {
            self.count("event published");
        }
        let (key, value, headers) = (record.key.clone(), record.value.clone(), record.headers.clone());
        let mark = mark(&Json::parse(value.as_deref().unwrap_or_default()).expect("JSON")).expect("a mark");
        let partition = self.chance.below(2);
        self.log.append(&record.topic, partition, 0, Raw { offset: 0, time: self.now, key, value, headers }, mark)
    }
}

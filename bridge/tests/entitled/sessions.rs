//! Sessions of a case: who may open one, renew it, keep it; and what is settled when it ends.

use tidegate::fanout::{Input, Newcomer, SessionKey};
use tidegate_gate::{Accounts, TokenError};

use super::client::{Pending, Reader, Stored};
use super::json::Json;
use super::node;
use super::reference;
use super::setting::Token;
use super::world::World;

impl World<'_> {
    /// Whether a token is good by now, in a plain reading.
    pub fn is_good(&self, token: &Token) -> bool {
        let id = token.claims.get("jti").and_then(Json::as_text).unwrap_or_default();
        let refuses = |(kind, tenant, value, before): &(&str, String, String, i64)| {
            let covered = match *kind {
                "tenant" => token.issued <= *before,
                "subject" => value == token.subject && token.issued <= *before,
                "token" => *value == *id,
                _ => false,
            };
            tenant == token.tenant && covered
        };
        self.now < token.expires && !self.revoked.iter().any(refuses)
    }

    /// A client comes with its token.
    pub fn connect(&mut self, at: usize, node: usize) {
        let good = self.is_good(self.token(at));
        let principal = match node::verify(&self.verifier, &self.token(at).text, self.now) {
            Ok(principal) => principal,
            Err(error) => return assert!(!good, "{error}"),
        };
        assert!(good, "a token that expired or was revoked was taken");
        self.sessions += 1;
        let session = format!("s-{}", self.sessions);
        let client = &mut self.clients[at];
        (client.node, client.outbox, client.session) = (node, std::rc::Rc::default(), session.clone());
        client.taken = 0;
        let format = client.format;
        let (outbox, name) = (client.outbox.clone(), client.name.clone());
        let moment = self.moment();
        let seat = Accounts::unlimited().of(&principal.tenant, self.now).seat(false, self.now).expect("no limit");
        let newcomer = Newcomer { seat, id: session.into(), principal, client: name.into(), format, outbox };
        let key = self.nodes[node].shard.open(moment, newcomer);
        self.clients[at].key = Some(key);
        self.settle(node);
    }

    /// A session was ended by its node.
    pub fn closed(&mut self, at: usize, code: u16) {
        let expired = self.token(at).expires <= self.now;
        let revoked = self.is_revoked(at) || self.clients[at].accused;
        let rightly = match code {
            3002 => expired,
            3503 => revoked,
            // Renewed for somebody else.
            3500 => true,
            _ => false,
        };
        self.count(match code {
            3002 => "session expired",
            3503 => "session revoked",
            _ => "session of another",
        });
        assert!(rightly, "closed with {code}: {}", self.token(at).claims);
        self.leave(at);
    }

    /// Whether a client's session or token was revoked.
    pub fn is_revoked(&self, at: usize) -> bool {
        let session = &self.clients[at].session;
        let ended = self.revoked.iter().any(|(kind, _, value, _)| *kind == "session" && value == session);
        ended || !self.is_good(self.token(at))
    }

    /// A token is to be renewed: for the same tenant and subject only.
    pub fn verify(&mut self, node: usize, session: SessionKey, request: u32, text: &str) {
        let outcome = node::verify(&self.verifier, text, self.now);
        let Some(at) = self.client_of(node, session) else { return };
        let tokens = &self.builts[0].setting.tokens;
        let new = tokens.iter().position(|token| token.text == text).expect("a token of this setting");
        assert_eq!(outcome.is_ok(), self.is_good(&tokens[new]), "{outcome:?}");
        let known = self.token(at);
        let same = (known.tenant, known.subject) == (tokens[new].tenant, tokens[new].subject);
        if same && outcome.is_ok() {
            self.clients[at].token = new;
            self.note_state(at);
        }
        let taken = outcome.is_ok();
        // Whoever comes with what was revoked does not stay.
        self.clients[at].accused = matches!(outcome, Err(TokenError::Revoked(_)));
        self.input(node, Input::Verified(session, request, outcome));
        assert!(same || !taken || self.clients[at].key.is_none(), "a session went on as another's");
        self.check_grants(at);
    }

    /// What its token no longer allows has ended.
    pub fn check_grants(&self, at: usize) {
        let (client, token, setting) = (&self.clients[at], self.token(at), self.setting(at));
        for reader in &client.readers {
            let mut grants = reference::grants(setting, token, "subscribe", &reader.topic);
            let allowed = grants.next().is_some() && setting.topic(&reader.topic).is_some();
            assert!(allowed, "still subscribed: {reader:?}; {}", reader.describe(self.builts));
        }
        let observes = reference::observer(setting, token).0;
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
        reader.settle(self.builts, &self.log, &position);
        let public = self.log.topics[&reader.physical].topic.is_public();
        let tenant = if public { String::new() } else { self.token(at).tenant.to_owned() };
        self.stored.push(Stored { tenant, physical: reader.physical, cursors: reader.cursors });
    }
}

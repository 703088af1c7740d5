//! The reference decision: who may see, begin where, publish and observe. Plain, slow, and written from the
//! specification alone: nothing here is shared with the bridge's gate, feed or fan-out.

use super::json::{ANY_ID, Json};
use super::judge::Sight;
use super::reading::{self, Delivered, Raw};
use super::setting::{Grant, Setting, Source, Token, Topic};
use tidegate_protocol::timestamp;

/// What a subscriber asks for; empty lists ask for all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub types: Vec<String>,
    pub keys: Vec<String>,
}

impl Filter {
    pub fn wants(&self, event: &Delivered) -> bool {
        let named = |name: &String| match name.strip_suffix('*') {
            Some(prefix) => event.event_type.len() > prefix.len() && event.event_type.starts_with(prefix),
            None => *name == event.event_type,
        };
        (self.types.is_empty() || self.types.iter().any(named))
            && (self.keys.is_empty() || event.key.as_ref().is_some_and(|key| self.keys.contains(key)))
    }
}

/// The grants that let a token's holder do something with a topic.
pub fn grants<'a>(
    setting: &'a Setting,
    token: &'a Token,
    action: &'a str,
    topic: &'a str,
) -> impl Iterator<Item = &'a Grant> {
    setting.grants.iter().filter(move |grant| {
        token.roles.contains(&grant.role)
            && grant.allow.contains(&action)
            && grant.topics.iter().any(|pattern| covers(pattern, topic))
    })
}

/// Whether a pattern speaks of a topic.
pub fn covers(pattern: &str, topic: &str) -> bool {
    match pattern.strip_suffix(".*") {
        _ if pattern == "*" => true,
        Some(words) => topic.strip_prefix(words).is_some_and(|rest| rest.len() > 1 && rest.starts_with('.')),
        None => pattern == topic,
    }
}

/// Whether the holder of a token may see an event of a topic at that time.
pub fn may_see(setting: &Setting, token: &Token, topic: &Topic, event: &Delivered, raw: &Raw, now: i64) -> bool {
    let theirs = (topic.is_public() || event.tenant == token.tenant) && setting.topic(topic.name).is_some();
    let sight = Sight {
        event: &event.event,
        key: event.key.as_deref(),
        headers: &raw.headers,
        topic: topic.name,
        claims: &token.claims,
        now,
    };
    let allowed = |grant: &Grant| grant.condition.as_ref().is_none_or(|condition| sight.holds(condition));
    theirs && now < token.expires && grants(setting, token, "subscribe", topic.name).any(allowed)
}

/// Whether a row of the ledger is for the holder of a token.
pub fn may_observe(setting: &Setting, token: &Token, tenant: &str, topic: &str) -> bool {
    let observes = |grant: &Grant| grant.all_tenants || tenant == token.tenant;
    grants(setting, token, "observe", topic).any(observes)
}

/// Whether the holder of a token may observe anything, and whether all tenants.
pub fn observer(setting: &Setting, token: &Token) -> (bool, bool) {
    let of = |grant: &&Grant| token.roles.contains(&grant.role) && grant.allow.contains(&"observe");
    (setting.grants.iter().any(|grant| of(&grant)), setting.grants.iter().any(|grant| of(&grant) && grant.all_tenants))
}

/// What must become of a publish.
#[derive(Debug)]
pub enum Verdict {
    /// Refused with one of these codes.
    Refused(&'static [&'static str]),
    /// Exactly this record.
    Appended(Box<Record>),
}

#[derive(Debug)]
pub struct Record {
    pub physical: String,
    /// `None`: any that follows from an id.
    pub key: Option<String>,
    pub value: Json,
    pub headers: Vec<(String, Json)>,
}

/// What is published: to which topic, under which key.
pub struct Offer<'a> {
    pub topic: &'a str,
    pub key: Option<&'a str>,
    pub event: &'a Json,
    pub client: Option<&'a str>,
    /// The id that it must have.
    pub id: Option<&'a str>,
    pub now: i64,
}

/// What must become of it.
pub fn publish(setting: &Setting, token: &Token, offer: &Offer<'_>) -> Verdict {
    const DENIED: Verdict = Verdict::Refused(&["denied"]);
    let mut grants = grants(setting, token, "publish", offer.topic).peekable();
    let Some(topic) = setting.topic(offer.topic).filter(|_| grants.peek().is_some()) else { return DENIED };
    if !topic.is_publishable() {
        return DENIED;
    }
    let Some((members, key, id)) = stamped(token, offer) else {
        // That nothing would be allowed can be known before.
        return Verdict::Refused(&["invalid_event", "denied"]);
    };
    let value = Json::Object(members);
    let shown = if topic.source == Source::Key && !topic.tenant_key { token.tenant.to_owned() } else { key };
    let sight = Sight {
        event: &value,
        key: Some(&shown),
        headers: &[],
        topic: offer.topic,
        claims: &token.claims,
        now: offer.now,
    };
    if !grants.any(|grant| grant.condition.as_ref().is_none_or(|condition| sight.holds(condition))) {
        return DENIED;
    }
    let text = |name: &str| value.get(name).cloned().unwrap_or(Json::Null);
    let mut headers = vec![
        ("tg_id".to_owned(), Json::text(&id)),
        ("tg_type".to_owned(), text("type")),
        ("tg_tenant".to_owned(), Json::text(token.tenant)),
        ("tg_correlation_id".to_owned(), text("correlation_id")),
        ("content-type".to_owned(), Json::text("application/json")),
    ];
    headers.extend(offer.client.map(|client| ("tg_client".to_owned(), Json::text(client))));
    if let Source::Header(name) = topic.source
        && name != "tg_tenant"
    {
        headers.push((name.to_owned(), Json::text(token.tenant)));
    }
    let key = (shown != ANY_ID).then(|| if topic.tenant_key { format!("{}/{shown}", token.tenant) } else { shown });
    Verdict::Appended(Box::new(Record { physical: topic.physical_of(token.tenant), key, value, headers }))
}

/// An event's members, its key, and its id.
type Stamped = (Vec<(String, Json)>, String, String);

/// The event as it goes onto the log; `None` if it is no event.
fn stamped(token: &Token, offer: &Offer<'_>) -> Option<Stamped> {
    let event = offer.event;
    let Json::Object(mut members) = event.clone() else { return None };
    if event.repeats() || !reading::is_envelope(event, offer.now) {
        return None;
    }
    let is_there = |name: &str| event.get(name).is_some_and(|value| *value != Json::Null);
    let text = |name: &str| event.get(name).and_then(Json::as_text).map(str::to_owned);
    let command = |name: &str| event.get(name).and_then(|work| work.get("command")?.as_text());
    let default = command("response")
        .map(|name| format!("response.{name}"))
        .or_else(|| command("action").map(|name| format!("request.{name}")));
    let event_type = text("type").or(default)?;
    let id = text("id").or(offer.id.map(str::to_owned)).unwrap_or_else(|| ANY_ID.to_owned());
    if offer.id.is_some_and(|demanded| *demanded != *id) {
        return None;
    }
    let correlation = text("correlation_id").unwrap_or_else(|| id.clone());
    for (name, value) in [
        ("version", "1.0".to_owned()),
        ("id", id.clone()),
        ("type", event_type.clone()),
        ("correlation_id", correlation.clone()),
        ("timestamp", timestamp::format(offer.now)),
    ] {
        if !is_there(name) {
            reading::set(&mut members, name, Json::Text(value));
        }
    }
    reading::set(&mut members, "tenant_id", Json::text(token.tenant));
    let response = is_there("response");
    if response || is_there("responder") {
        reading::set(&mut members, "responder", Json::text(token.subject));
    }
    if !response && (is_there("action") || is_there("requester")) {
        reading::set(&mut members, "requester", Json::text(token.subject));
    }
    let target = event.get("action").and_then(|action| action.get("target")?.as_text()).map(str::to_owned);
    let key = offer.key.map(str::to_owned).or(target).unwrap_or(correlation);
    reading::is_type(&event_type).then_some((members, key, id))
}

//! What a record is, from the specification: an event of one tenant, a tombstone, or nothing that anybody may see.

use std::fmt;

use super::json::{ANY_ID, Json};
use super::setting::{Format, Source, Topic};
use tidegate_protocol::timestamp;

/// A record as it lies on the log.
#[derive(Clone, Default)]
pub struct Raw {
    pub offset: i64,
    pub time: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        write!(f, "{} at {}: {:?} = {:?}", self.offset, self.time, text(&self.key), text(&self.value))?;
        self.headers.iter().try_for_each(|(name, value)| write!(f, ", {name}: {:?}", text(value)))
    }
}

/// An event as the specification says it is delivered.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// Empty on public topics.
    pub tenant: String,
    pub event_type: String,
    pub key: Option<String>,
    pub event: Json,
}

type Members = Vec<(String, Json)>;

/// Reads a record of a topic; `physical` is the topic's name on the log. `None`: nobody sees it.
pub fn read(topic: &Topic, physical: &str, raw: &Raw) -> Option<Delivered> {
    let value = raw.value.as_ref()?;
    let Draft { event_type, tenant: named, key, mut members } = match topic.format {
        Format::Envelope => envelope(&Json::parse(value)?, raw)?,
        Format::Json { constant, pointers } => json(topic, (constant, pointers), Json::parse(value)?, raw)?,
        Format::CloudEvents => cloud_event(value, raw)?,
    };
    let (tenant, record_key) = whose(topic, physical, raw, named.as_deref())?;
    let shown = if topic.is_public() { named } else { Some(tenant.clone()) };
    if let Some(shown) = shown {
        set(&mut members, "tenant_id", Json::Text(shown));
    }
    let key = key.or_else(|| record_key.and_then(|key| String::from_utf8(key).ok()));
    Some(Delivered { tenant, event_type, key, event: Json::Object(members) })
}

/// The tenant, and the key without it. One place says it, all others that speak of a tenant must agree.
fn whose(topic: &Topic, physical: &str, raw: &Raw, body: Option<&str>) -> Option<(String, Option<Vec<u8>>)> {
    if topic.is_public() {
        return body.is_none_or(is_tenant).then(|| (String::new(), raw.key.clone()));
    }
    let mut said: Vec<String> = Vec::new();
    let mut source = None;
    let mut speaks = |is_source: bool, tenant: Option<&str>| -> Option<()> {
        let tenant = tenant?;
        said.push(tenant.to_owned());
        if is_source {
            source = Some(tenant.to_owned());
        }
        Some(())
    };
    if topic.physical.contains("{tenant}") {
        let (before, after) = topic.physical.split_once("{tenant}")?;
        let physical = physical.strip_prefix(&topic.prefix)?;
        speaks(topic.source == Source::Name, Some(physical.strip_prefix(before)?.strip_suffix(after)?))?;
    }
    let mut key = raw.key.clone();
    if let Some(bytes) = &raw.key {
        if topic.tenant_key {
            let slash = bytes.iter().position(|byte| *byte == b'/')?;
            speaks(topic.source == Source::Key, Some(std::str::from_utf8(&bytes[..slash]).ok()?))?;
            key = Some(bytes[slash + 1..].to_vec());
        } else if topic.source == Source::Key {
            speaks(true, Some(std::str::from_utf8(bytes).ok()?))?;
        }
    }
    let own = match topic.source {
        Source::Header(name) => Some(name),
        _ => None,
    };
    for name in ["tg_tenant"].into_iter().chain(own.filter(|own| *own != "tg_tenant")) {
        let named: Vec<_> = raw.headers.iter().filter(|(known, _)| known == name).collect();
        match named[..] {
            [] => {}
            [(_, Some(value))] => speaks(own == Some(name), std::str::from_utf8(value).ok())?,
            // Null, or said twice.
            _ => return None,
        }
    }
    if let Some(body) = body {
        speaks(topic.source == Source::Member, Some(body))?;
    }
    let tenant = source?;
    (is_tenant(&tenant) && said.iter().all(|other| *other == tenant)).then_some((tenant, key))
}

struct Draft {
    event_type: String,
    /// The tenant that the value names.
    tenant: Option<String>,
    key: Option<String>,
    members: Members,
}

fn envelope(value: &Json, raw: &Raw) -> Option<Draft> {
    if value.repeats() {
        return None;
    }
    let Json::Object(mut members) = value.clone() else { return None };
    is_envelope(value, i64::MAX).then_some(())?;
    let text = |name: &str| value.get(name).and_then(Json::as_text).map(str::to_owned);
    let (id, event_type) = (text("id")?, text("type")?);
    for (name, default) in
        [("version", "1.0".to_owned()), ("correlation_id", id), ("timestamp", timestamp::format(raw.time))]
    {
        if value.get(name).is_none_or(|value| *value == Json::Null) {
            set(&mut members, name, Json::Text(default));
        }
    }
    Some(Draft { event_type, tenant: text("tenant_id"), key: None, members })
}

/// Whether each member that the envelope defines has its form, where it is there and not null.
pub fn is_envelope(value: &Json, latest: i64) -> bool {
    let Json::Object(members) = value else { return false };
    members.iter().filter(|(_, value)| *value != Json::Null).all(|(name, value)| match &**name {
        "version" => value.as_text().is_some_and(|text| text == "1" || text.starts_with("1.")),
        "id" | "correlation_id" | "causation_id" => value.as_text().is_some_and(is_uuid),
        "type" => value.as_text().is_some_and(is_type),
        "tenant_id" => value.as_text().is_some_and(is_tenant),
        "timestamp" => value.as_text().and_then(timestamp::parse).is_some_and(|at| at <= latest),
        "requester" | "responder" | "traceparent" | "tracestate" => value.as_text().is_some(),
        "action" | "response" => {
            let text = |name: &str| value.get(name).filter(|value| **value != Json::Null).map(Json::as_text);
            let command = text("command").flatten().is_some_and(|command| !command.is_empty());
            let texts = ["target", "error"].into_iter().all(|name| text(name) != Some(None));
            let result = matches!(value.get("result"), Some(Json::Int(100..=599)));
            !value.repeats() && command && texts && (name == "action" || result)
        }
        _ => true,
    })
}

fn json(topic: &Topic, (constant, pointers): (bool, bool), value: Json, raw: &Raw) -> Option<Draft> {
    // What a pointer goes through may not repeat the member that it takes.
    let at = |name: &str| only(&value, name).ok();
    let event_type = if constant { "order.seen".to_owned() } else { at("kind")??.as_text()?.to_owned() };
    is_type(&event_type).then_some(())?;
    let mut tenant = None;
    if topic.source == Source::Member
        && let Some(owner) = at("owner")?
        && let Some(named) = only(owner, "tenant").ok()?
    {
        tenant = Some(named.as_text()?.to_owned());
    }
    let scalar = |name: &str| match if pointers { only(&value, name)? } else { None } {
        None => Ok(None),
        Some(Json::Text(text)) => Ok(Some(text.clone())),
        Some(Json::Int(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(Twice),
    };
    let id = scalar("no").ok()?.filter(|id| is_uuid(id)).unwrap_or_else(|| ANY_ID.to_owned());
    let time = match if pointers { at("at")? } else { None } {
        None => raw.time,
        Some(Json::Int(millis)) => i64::try_from(*millis).ok()?,
        Some(at) => timestamp::parse(at.as_text()?)?,
    };
    let key = scalar("order").ok()?;
    let members = vec![
        ("version".to_owned(), Json::text("1.0")),
        ("id".to_owned(), Json::text(&id)),
        ("correlation_id".to_owned(), Json::Text(id)),
        ("type".to_owned(), Json::text(&event_type)),
        ("timestamp".to_owned(), Json::Text(timestamp::format(time))),
        ("data".to_owned(), value),
    ];
    Some(Draft { event_type, tenant, key, members })
}

/// Two readers could take different things for it, or it is of no use.
struct Twice;

/// The member of that name, null being none.
fn only<'a>(of: &'a Json, name: &str) -> Result<Option<&'a Json>, Twice> {
    let Json::Object(members) = of else { return Ok(None) };
    let mut named = members.iter().filter(|(known, _)| known == name).map(|(_, value)| value);
    let first = named.next();
    if named.next().is_some() { Err(Twice) } else { Ok(first.filter(|value| **value != Json::Null)) }
}

/// Binary mode, or structured where the content type says so.
fn cloud_event(value: &[u8], raw: &Raw) -> Option<Draft> {
    let mut kinds = raw.headers.iter().filter(|(name, value)| name == "content-type" && value.is_some());
    let kind = kinds.next().and_then(|(_, value)| value.as_deref());
    kinds.next().is_none().then_some(())?;
    let mut data = None;
    let mut attributes: Members = Vec::new();
    if kind == Some(b"application/cloudevents+json") {
        let Json::Object(members) = Json::parse(value)? else { return None };
        for (name, value) in members {
            match &*name {
                "data" if data.is_some() => return None,
                "data" => data = Some(value),
                _ => attributes.push((name, value)),
            }
        }
    } else {
        for (name, value) in &raw.headers {
            if let (Some(name), Some(value)) = (name.strip_prefix("ce_"), value) {
                attributes.push((name.to_owned(), Json::text(std::str::from_utf8(value).ok()?)));
            }
        }
        if let Some(kind) = kind {
            attributes.push(("datacontenttype".to_owned(), Json::text(std::str::from_utf8(kind).ok()?)));
        }
        data = if value.is_empty() { None } else { Some(Json::parse(value)?) };
    }
    if Json::Object(attributes.clone()).repeats() {
        return None;
    }
    attributes.retain(|(_, value)| *value != Json::Null);
    let named = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let texts = ["specversion", "id", "source", "type", "time", "tenantid", "subject", "datacontenttype"];
    let of = |name: &str| attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value);
    let formed = attributes.iter().all(|(name, value)| {
        named(name) && !name.is_empty() && (!texts.contains(&&**name) || value.as_text().is_some())
    });
    let text = |name: &str| of(name).and_then(Json::as_text).filter(|text| !text.is_empty());
    let event_type = text("type").filter(|_| formed)?.to_owned();
    if !text("specversion")?.starts_with("1.") || !is_type(&event_type) || text("source").is_none() {
        return None;
    }
    let id = text("id")?.to_owned();
    let mut members: Members = vec![("version".to_owned(), Json::text("1.0"))];
    let shown = if is_uuid(&id) { id.clone() } else { ANY_ID.to_owned() };
    members.push(("id".to_owned(), Json::text(&shown)));
    members.push(("correlation_id".to_owned(), Json::Text(shown)));
    let time = match of("time") {
        Some(time) => timestamp::parse(time.as_text()?)?,
        None => raw.time,
    };
    members.push(("timestamp".to_owned(), Json::Text(timestamp::format(time))));
    for (name, value) in &attributes {
        match &**name {
            "specversion" | "tenantid" | "time" => {}
            "id" if is_uuid(&id) => {}
            "id" => members.push(("ce_id".to_owned(), value.clone())),
            _ => members.push((name.clone(), value.clone())),
        }
    }
    members.extend(data.map(|data| ("data".to_owned(), data)));
    let tenant = of("tenantid").and_then(Json::as_text).map(str::to_owned);
    Some(Draft { event_type, tenant, key: None, members })
}

/// Puts a member in the place of one of that name.
pub fn set(members: &mut Members, name: &str, value: Json) {
    members.retain(|(known, _)| known != name);
    members.push((name.to_owned(), value));
}

pub fn is_tenant(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(is_word)
}

pub fn is_type(text: &str) -> bool {
    text.contains('.') && text.split('.').all(|word| !word.is_empty() && word.bytes().all(is_word))
}

fn is_uuid(text: &str) -> bool {
    let form = |(at, byte): (usize, u8)| {
        if matches!(at, 8 | 13 | 18 | 23) { byte == b'-' } else { byte.is_ascii_hexdigit() }
    };
    text.len() == 36 && text.bytes().enumerate().all(form)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

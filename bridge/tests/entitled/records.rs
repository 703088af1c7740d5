//! Records as a log may hold them: honest ones, and every kind of forged, repeated, mistaken and broken ones. And
//! events as a page may publish them.

use super::chance::Chance;
use super::json::Json;
use super::reading::Raw;
use super::setting::{Format, Source, Topic, begins};
use tidegate_protocol::timestamp;

pub const TYPES: [&str; 4] = ["order.created", "order.line.added", "orders.seen", "cart.filled"];
pub const KEYS: [&str; 5] = ["order/ada", "ada", "order/42", "", "acme"];

type Members = Vec<(String, Json)>;

fn member(name: &str, value: Json) -> (String, Json) {
    (name.to_owned(), value)
}

/// A value as it is not expected.
fn scalar(chance: &mut Chance) -> Json {
    let all = [
        Json::text("ada"),
        Json::text("ada"),
        Json::text("ada"),
        Json::text("bob"),
        Json::text("acme"),
        Json::text("eu"),
        Json::text(""),
        Json::text("aada"),
        Json::Int(1),
        Json::Int(i128::from(begins() / 1000)),
        Json::Double(1.0),
        Json::Double(1.5),
        Json::Bool(true),
        Json::Null,
        Json::List(vec![Json::text("ada"), Json::Int(1)]),
        Json::Object(vec![member("x", Json::text("ada"))]),
        Json::Object(vec![member("x", Json::text("ada")), member("x", Json::text("bob"))]),
    ];
    chance.pick(&all).clone()
}

fn time(chance: &mut Chance) -> String {
    timestamp::format(*chance.pick(&[begins() - 30_000, begins() - 1_800_000, begins() - 7_200_000, begins() - 50_000]))
}

/// What an event is about: what conditions look into, with a mark by which it is found again.
fn data(chance: &mut Chance, mark: usize) -> Members {
    let mut all = vec![member("mark", Json::Text(format!("#{mark}#")))];
    for name in ["user", "n", "deep", "list", "flag", "due"] {
        if chance.once_in(5) {
            continue;
        }
        let value = match name {
            "deep" if !chance.once_in(5) => Json::Object(vec![member("x", scalar(chance))]),
            "list" if !chance.once_in(5) => Json::List((0..chance.below(3)).map(|_| scalar(chance)).collect()),
            "flag" if !chance.once_in(5) => Json::Bool(chance.once_in(2)),
            "due" if !chance.once_in(5) => Json::Text(time(chance)),
            "user" if !chance.once_in(4) => Json::text(chance.word(&["ada", "bob", "acme"])),
            _ => scalar(chance),
        };
        all.push(member(name, value));
    }
    if chance.once_in(8) {
        // Said twice: two readers could read it differently.
        let name = chance.word(&["user", "n", "deep", "odd"]);
        all.push(member(name, scalar(chance)));
        all.push(member(name, Json::text("ada")));
    }
    all
}

pub fn uuid(mark: usize) -> String {
    format!("00000000-0001-7000-8000-{mark:012}")
}

/// A tenant's name, spelled otherwise, or another's.
fn forged(chance: &mut Chance, tenant: &str, tenants: &[&str]) -> Vec<u8> {
    match chance.below(8) {
        0 => Vec::new(),
        1 => b"*".to_vec(),
        2 => tenant.to_uppercase().into_bytes(),
        3 => format!("{tenant} ").into_bytes(),
        4 => format!("{tenant}/").into_bytes(),
        5 => vec![0xFF, b'a'],
        _ => chance.pick(tenants).as_bytes().to_vec(),
    }
}

/// A record for a physical topic; `owner` is whose it is meant to be, also where somebody forged it.
pub fn record(chance: &mut Chance, topic: &Topic, owner: &str, tenants: &[&str], mark: usize) -> Raw {
    let lie = if chance.once_in(4) { chance.below(6) } else { 6 };
    let named = |chance: &mut Chance, at: usize| {
        if lie == at { forged(chance, owner, tenants) } else { owner.as_bytes().to_vec() }
    };
    let mut headers: Vec<(String, Option<Vec<u8>>)> = Vec::new();
    if let Source::Header(name) = topic.source
        && !(lie == 4 && chance.once_in(2))
    {
        headers.push((name.to_owned(), Some(named(chance, 0))));
    }
    if chance.once_in(3) && topic.source != Source::Header("tg_tenant") {
        headers.push(("tg_tenant".to_owned(), Some(named(chance, 1))));
    }
    let key = match (topic.source, topic.tenant_key) {
        (_, true) => [&named(chance, 2)[..], b"/", chance.word(&KEYS).as_bytes()].concat(),
        (Source::Key, false) => named(chance, 2),
        _ => chance.word(&KEYS).as_bytes().to_vec(),
    };
    let body = (topic.source == Source::Member || chance.once_in(3))
        .then(|| String::from_utf8_lossy(&named(chance, 3)).into_owned());
    for _ in 0..chance.below(3) {
        let value = *chance.pick(&[Some(&b"eu"[..]), Some(b"ada"), Some(b"\xFF"), None, Some(b"")]);
        headers.push(((chance.word(&["region", "Region", "other"])).to_owned(), value.map(<[u8]>::to_vec)));
    }
    if lie == 5
        && chance.once_in(2)
        && let Some(header) = headers.first().cloned()
    {
        headers.push(header);
    }
    let mut value = match topic.format {
        Format::Envelope => envelope(chance, body.as_deref(), mark),
        Format::Json { .. } => json(chance, body.as_deref(), mark),
        Format::CloudEvents => cloud_event(chance, body.as_deref(), mark, &mut headers),
    };
    match chance.below(40) {
        0 => value.truncate(value.len() / 2),
        1 => value.insert(0, 0xFF),
        _ => {}
    }
    let key = if chance.once_in(10) { None } else { Some(key) };
    let value = if chance.once_in(25) { None } else { Some(value) };
    Raw { offset: 0, time: begins() - 100_000 + 1_000 * mark as i64, key, value, headers }
}

fn bytes(chance: &mut Chance, value: &Json) -> Vec<u8> {
    let mut out = String::new();
    let rarely = chance.once_in(2);
    value.write(&mut out, &mut || !rarely && chance.once_in(3));
    out.into_bytes()
}

fn envelope(chance: &mut Chance, tenant: Option<&str>, mark: usize) -> Vec<u8> {
    let event = Json::Object(event(chance, tenant, mark));
    bytes(chance, &event)
}

/// An event as a page or a service writes it, or nearly one.
fn event(chance: &mut Chance, tenant: Option<&str>, mark: usize) -> Members {
    let mut all = vec![member("id", Json::Text(uuid(mark))), member("type", Json::text(chance.word(&TYPES)))];
    all.push(member("note", Json::Text(format!("#{mark}#"))));
    all.extend(tenant.map(|tenant| member("tenant_id", Json::text(tenant))));
    let data = data(chance, mark);
    all.push(member("data", Json::Object(data)));
    for name in ["a", "version", "timestamp", "correlation_id", "action", "response", "requester", "responder"] {
        if !chance.once_in(3) {
            continue;
        }
        let value = match name {
            _ if chance.once_in(8) => Json::Null,
            "a" => scalar(chance),
            "version" => Json::text(chance.word(&["1.0", "1.7", "1"])),
            "timestamp" => Json::Text(time(chance)),
            "correlation_id" => Json::Text(uuid(7)),
            "action" if chance.once_in(2) => Json::Object(vec![
                member("command", Json::text("approve")),
                member("target", Json::text(chance.word(&KEYS))),
            ]),
            "response" if chance.once_in(2) => {
                Json::Object(vec![member("command", Json::text("approve")), member("result", Json::Int(200))])
            }
            "action" | "response" => Json::Null,
            _ => Json::text(chance.word(&["ada", "bob", "root"])),
        };
        all.push(member(name, value));
    }
    if chance.once_in(12) {
        let wrong = [
            member("tenant_id", Json::text("globex")),
            member("type", Json::text("cart.filled")),
            member("data", Json::text("ada")),
            member("tenant_id", Json::List(vec![Json::text("acme")])),
            member("tenant_id", Json::Int(1)),
            member("version", Json::text("2.0")),
            member("id", Json::text("7")),
            member("type", Json::text("open")),
            member("action", Json::text("approve")),
        ];
        all.push(chance.pick(&wrong).clone());
    }
    if chance.once_in(12) {
        all.remove(chance.below(all.len()));
    }
    let at = chance.below(all.len());
    all.rotate_left(at);
    all
}

/// What a page publishes. It claims to be whoever it likes.
pub fn published(chance: &mut Chance, tenants: &[&str], mark: usize) -> Json {
    let claimed = chance.once_in(2).then(|| String::from_utf8_lossy(&forged(chance, "acme", tenants)).into_owned());
    let mut all = event(chance, claimed.as_deref(), mark);
    if chance.once_in(2) {
        all.retain(|(name, _)| name != "id");
    }
    match chance.below(30) {
        0 => Json::List(vec![Json::Object(all)]),
        1 => Json::text("event"),
        _ => Json::Object(all),
    }
}

/// The key under which an event is published. Where the event has no id of its own, the default would be one that
/// nobody can foretell.
pub fn key(chance: &mut Chance, event: &Json) -> Option<&'static str> {
    let foretold = event.get("id").is_some_and(|id| *id != Json::Null);
    (!foretold || chance.once_in(2)).then(|| chance.word(&KEYS))
}

/// The mark of an event, wherever in it it stands.
pub fn mark(value: &Json) -> Option<usize> {
    match value {
        Json::Text(text) => text.strip_prefix('#')?.strip_suffix('#')?.parse().ok(),
        Json::List(items) => items.iter().find_map(mark),
        Json::Object(members) => members.iter().find_map(|(_, value)| mark(value)),
        _ => None,
    }
}

fn json(chance: &mut Chance, tenant: Option<&str>, mark: usize) -> Vec<u8> {
    let mut all = vec![member("kind", Json::text(chance.word(&TYPES)))];
    if chance.once_in(10) {
        all[0].1 = chance.pick(&[Json::text("open"), Json::Int(1), Json::Null]).clone();
    }
    if let Some(tenant) = tenant {
        let mut owner = vec![member("tenant", Json::text(tenant))];
        match chance.below(12) {
            0 => owner.push(member("tenant", Json::text("acme"))),
            1 => owner[0].1 = Json::List(vec![Json::text(tenant)]),
            2 => owner[0].1 = Json::Null,
            3 => all.push(member("owner", Json::Null)),
            _ => {}
        }
        all.push(member("owner", Json::Object(owner)));
    }
    for (name, value) in [
        ("no", Json::Text(uuid(mark))),
        ("order", Json::text(chance.word(&KEYS))),
        ("at", Json::Int((begins() - 30_000).into())),
        ("no", Json::Int(7)),
        ("order", Json::Int(42)),
        ("at", Json::Bool(false)),
    ] {
        if chance.once_in(5) {
            all.push(member(name, value));
        }
    }
    all.extend(data(chance, mark));
    let value = match chance.below(12) {
        0 => Json::List(vec![Json::Object(all)]),
        1 => Json::Text(format!("#{mark}#")),
        _ => Json::Object(all),
    };
    bytes(chance, &value)
}

fn cloud_event(
    chance: &mut Chance,
    tenant: Option<&str>,
    mark: usize,
    headers: &mut Vec<(String, Option<Vec<u8>>)>,
) -> Vec<u8> {
    let id = if chance.once_in(2) { uuid(mark) } else { format!("no-{mark}") };
    let mut all = vec![
        ("specversion", "1.0".to_owned()),
        ("id", id),
        ("source", "/shop".to_owned()),
        ("type", (chance.word(&TYPES)).to_owned()),
    ];
    all.extend(tenant.map(|tenant| ("tenantid", tenant.to_owned())));
    if chance.once_in(3) {
        all.push(("time", time(chance)));
    }
    match chance.below(16) {
        0 => all.push(("tenantid", "globex".to_owned())),
        1 => drop(all.remove(chance.below(4))),
        2 => all.push(("Type", "order.created".to_owned())),
        _ => {}
    }
    let data = Json::Object(data(chance, mark));
    if chance.once_in(2) {
        headers.extend(all.into_iter().map(|(name, text)| (format!("ce_{name}"), Some(text.into_bytes()))));
        if chance.once_in(2) {
            headers.push(("content-type".to_owned(), Some(b"application/json".to_vec())));
        }
        return bytes(chance, &data);
    }
    headers.push(("content-type".to_owned(), Some(b"application/cloudevents+json".to_vec())));
    let mut members: Members = all.into_iter().map(|(name, text)| member(name, Json::Text(text))).collect();
    if chance.once_in(12) {
        members.push(member("tenantid", Json::List(vec![Json::text("acme")])));
    }
    members.push(member("data", data));
    bytes(chance, &Json::Object(members))
}

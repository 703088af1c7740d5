//! `POST /v1/topics/{topic}/events`: one event, or a batch with an outcome for each.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use tidegate_log::Appended;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::frame::Failed;
use tidegate_protocol::ids;
use tidegate_protocol::json::write::{self, Object};
use tidegate_protocol::json::{self, Raw, Value};
use tokio::sync::oneshot;

use super::answer::{Refusal, error, json};
use super::body::{Incoming, in_time};
use super::{Api, client, gone};
use crate::fanout::{Offering, Outcomes, Receipt, Request};

/// Most events of a batch: as many as a publisher may have unanswered.
const BATCH_EVENTS: usize = 256;

/// Bytes of a batch, where a frame may not be larger.
const BATCH_BYTES: usize = 4 << 20;

/// Gives an event its id.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A request's body, read as what its media type says.
#[derive(Debug, PartialEq)]
enum Events {
    One(Item),
    Batch(Vec<Item>),
}

/// An event, as it stands in a body.
#[derive(Debug, PartialEq)]
struct Item {
    event: String,
    key: Option<String>,
    /// It stands in an object beside its key.
    keyed: bool,
}

pub(super) async fn publish(
    State(api): State<Arc<Api>>,
    Path(topic): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    // First of all: who may not publish is not read from.
    let principal = api.verify(&headers).await?;
    let client = client(&headers)?;
    let key = key(query)?;
    let id = idempotency_key(&headers)?;
    let lines = is_lines(&headers)?;
    let (body, limit) = (Incoming::new(body), BATCH_BYTES.max(api.frame_bytes()));
    let length = body.length().map_or(limit, |length| limit.min(length as usize));
    let _room = api.held.room(&principal.tenant, length)?;
    let text = in_time(api.patience, body.text(limit)).await?;
    let events = if lines { Events::of_lines(&text) } else { Events::of_json(text) }?;
    let topic: Arc<str> = topic.into();
    let offering = |item: Item, id| Offering { topic: Arc::clone(&topic), key: item.key, event: item.event, id };
    let shard = api.shard_of(&principal)?;
    let (answer, answered) = oneshot::channel();
    match events {
        Events::One(item) => {
            let item = Item { key, ..item };
            shard.publish(Request { principal, client, items: vec![Ok(offering(item, id))] }, answer);
            let outcomes: Outcomes = answered.await.map_err(|_| gone())?;
            let (receipt, at) = outcomes.into_iter().next().ok_or_else(gone)??;
            Ok(json(StatusCode::OK, receipt_text(&receipt, at)))
        }
        Events::Batch(items) => {
            if id.is_some() || key.is_some() {
                let text = "Idempotency-Key and ?key= are for a single event; in a batch each event has its own id, and \
                    {\"key\": …, \"event\": …} its key";
                return Err(Failed::new(ErrorCode::MalformedFrame, text).into());
            }
            let keyed: Vec<bool> = items.iter().map(|item| item.keyed).collect();
            let items = items.into_iter().map(|item| Ok(offering(item, None))).collect();
            shard.publish(Request { principal, client, items }, answer);
            let mut outcomes: Outcomes = answered.await.map_err(|_| gone())?;
            for (outcome, keyed) in outcomes.iter_mut().zip(keyed) {
                if let Err(Failed { pointer: Some(pointer), .. }) = outcome
                    && keyed
                {
                    pointer.insert_str(0, "/event");
                }
            }
            batch(outcomes)
        }
    }
}

/// The answer to a batch.
fn batch(outcomes: Outcomes) -> Result<Response, Refusal> {
    let published = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    if published == 0
        && let Some(failed) = one_reason(&outcomes)
    {
        return Err(failed.into());
    }
    let status = if published == outcomes.len() { StatusCode::OK } else { StatusCode::MULTI_STATUS };
    let mut text = String::new();
    let mut object = Object::begin(&mut text);
    object.integer("published", published as u64);
    object.array("outcomes", outcomes, |out, outcome| match outcome {
        Ok((receipt, at)) => out.push_str(&receipt_text(&receipt, at)),
        Err(failed) => out.push_str(&error(failed)),
    });
    object.end();
    Ok(json(status, text))
}

/// What all events were refused for, if that is one thing, and not what they say.
fn one_reason(outcomes: &Outcomes) -> Option<Failed> {
    let mut reasons = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    let first = reasons.next()?;
    let about_events = [ErrorCode::InvalidEvent, ErrorCode::EventTooLarge, ErrorCode::LogRejected];
    let whole = !about_events.iter().any(|code| code.name() == first.code);
    (whole && reasons.all(|other| other.code == first.code)).then(|| first.clone())
}

fn receipt_text(receipt: &Receipt, at: Appended) -> String {
    let mut text = String::new();
    let mut object = Object::begin(&mut text);
    object.text("id", &receipt.id);
    object.text("correlation_id", &receipt.correlation_id);
    if receipt.raw {
        object.integer("partition", at.partition);
        object.integer("offset", at.offset);
    }
    object.end();
    text
}

fn key(query: Vec<(String, String)>) -> Result<Option<String>, Failed> {
    let mut key = None;
    for (name, value) in query {
        if name != "key" || key.replace(value).is_some() {
            let mut text = "the query may hold one key, and nothing else; there is: ".to_owned();
            write::string(&mut text, &name);
            return Err(Failed::new(ErrorCode::MalformedFrame, text));
        }
    }
    Ok(key)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Failed> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if !ids::is_uuid(bare) {
        let text =
            "Idempotency-Key must be a UUID such as 0199f3a0-4b1c-7d2e-8f00-aabbccddeeff: it becomes the event's id";
        return Err(Failed::new(ErrorCode::MalformedFrame, text));
    }
    Ok(Some(bare.to_owned()))
}

/// Whether the body is one item a line.
fn is_lines(headers: &HeaderMap) -> Result<bool, Refusal> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/json" => Ok(false),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(true),
        _ => {
            let text =
                "the content-type must be application/json (an event, or an array of them) or application/x-ndjson";
            let failed = Failed::new(ErrorCode::MalformedFrame, text);
            Err(Refusal::with(StatusCode::UNSUPPORTED_MEDIA_TYPE, failed))
        }
    }
}

impl Events {
    fn of_json(text: String) -> Result<Self, Failed> {
        let space: &[char] = &[' ', '\t', '\n', '\r'];
        if !text.trim_start_matches(space).starts_with('[') {
            return Ok(Self::One(Item { event: text, key: None, keyed: false }));
        }
        let mut elements = Vec::new();
        let bad = |error| Failed { pointer: Some(String::new()), ..malformed(error) };
        json::elements(&text, &mut elements).map_err(bad)?;
        few(elements.len())?;
        Ok(Self::Batch(elements.into_iter().map(Item::of_batch).collect()))
    }

    fn of_lines(text: &str) -> Result<Self, Failed> {
        let lines = || text.lines().filter(|line| !line.trim().is_empty());
        few(lines().count())?;
        Ok(Self::Batch(lines().map(Item::of_batch).collect()))
    }
}

fn malformed(error: json::Malformed) -> Failed {
    Failed::new(ErrorCode::MalformedFrame, format!("no JSON array: {error}"))
}

fn few(count: usize) -> Result<(), Failed> {
    if count <= BATCH_EVENTS {
        return Ok(());
    }
    let text = format!("the batch has {count} events; at most {BATCH_EVENTS} are allowed");
    Err(Failed::new(ErrorCode::FrameTooLarge, text))
}

impl Item {
    /// An event, or `{"key": …, "event": …}` and nothing else: which no event could be.
    fn of_batch(text: &str) -> Self {
        let plain = || Self { event: text.to_owned(), key: None, keyed: false };
        let Ok(raw) = Raw::parse(text) else { return plain() };
        let mut names = raw.names();
        names.sort_unstable();
        let key = raw.member("key").map(|key| key.text());
        match (names.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), raw.member("event"), key) {
            (["event"] | ["event", "key"], Some(event), None) => Self { event: event.json(), key: None, keyed: true },
            (["event", "key"], Some(event), Some(Some(key))) => {
                Self { event: event.json(), key: Some(key), keyed: true }
            }
            _ => plain(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(event: &str) -> Item {
        Item { event: event.into(), key: None, keyed: false }
    }

    #[test]
    fn bodies() {
        let json = |text: &str| Events::of_json(text.to_owned());
        assert_eq!(json(r#" {"a":1}"#), Ok(Events::One(plain(r#" {"a":1}"#))));
        assert_eq!(json("nonsense"), Ok(Events::One(plain("nonsense"))), "is told by what reads events");
        assert_eq!(json(" [ ] "), Ok(Events::Batch(Vec::new())));
        assert_eq!(json(r#"[{"a":1}, 2]"#), Ok(Events::Batch(vec![plain(r#"{"a":1}"#), plain("2")])));
        for bad in ["[", "[1,]", "[1] x", r#"[{"a":}]"#] {
            assert_eq!(json(bad).unwrap_err().code, "malformed_frame", "{bad}");
        }
        let many = format!("[{}1]", "1,".repeat(BATCH_EVENTS));
        assert_eq!(json(&many).unwrap_err().code, "frame_too_large");
        let lines = Events::of_lines("{\"a\":1}\r\n\n  \nbroken\n");
        assert_eq!(lines, Ok(Events::Batch(vec![plain("{\"a\":1}"), plain("broken")])));
        assert_eq!(Events::of_lines(&"1\n".repeat(BATCH_EVENTS + 1)).unwrap_err().code, "frame_too_large");
    }

    #[test]
    fn an_item_may_name_its_key() {
        let keyed = |key: Option<&str>| Item { event: r#"{"a": 1}"#.into(), key: key.map(str::to_owned), keyed: true };
        assert_eq!(Item::of_batch(r#"{"key":"k\n","event":{"a": 1}}"#), keyed(Some("k\n")));
        assert_eq!(Item::of_batch(r#"{"event":{"a": 1},"key":null}"#), keyed(None));
        assert_eq!(Item::of_batch(r#"{"event":{"a": 1}}"#), keyed(None));
        for event in [
            r#"{"key":1,"event":{}}"#,
            r#"{"key":"k"}"#,
            r#"{"key":"k","event":{},"type":"a.b"}"#,
            r#"{"event":{},"event":{}}"#,
            "[]",
            "{",
        ] {
            assert_eq!(Item::of_batch(event), plain(event));
        }
    }

    #[test]
    fn an_idempotency_key_is_a_uuid() {
        let read = |value: &str| {
            let headers = HeaderMap::from_iter([(IDEMPOTENCY_KEY.parse().unwrap(), value.parse().unwrap())]);
            idempotency_key(&headers).map_err(|failed| failed.code)
        };
        let id = "0199f3a0-4b1c-7d2e-8f00-aabbccddeeff";
        assert_eq!(read(id), Ok(Some(id.into())));
        assert_eq!(read(&format!("\"{id}\"")), Ok(Some(id.into())));
        for bad in ["", "1", "\"\"", "0199f3a0", &format!("\"{id}")] {
            assert_eq!(read(bad), Err("malformed_frame".into()), "{bad}");
        }
    }

    #[test]
    fn a_batch_of_which_nothing_may_pass_is_refused_as_a_whole() {
        let failed = |code| Err(Failed::new(code, ""));
        let denied = || failed(ErrorCode::Denied);
        assert_eq!(one_reason(&vec![denied(), denied()]).unwrap().code, "denied");
        assert!(one_reason(&vec![denied(), failed(ErrorCode::RateLimited)]).is_none());
        assert!(one_reason(&vec![failed(ErrorCode::InvalidEvent)]).is_none());
        assert!(one_reason(&Vec::new()).is_none());
    }
}

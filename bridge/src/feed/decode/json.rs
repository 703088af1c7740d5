//! Any JSON: the value becomes the event's `data`, byte for byte, in an envelope made by the bridge.

use std::borrow::Cow;
use std::sync::LazyLock;

use tidegate_log::Record;
use tidegate_protocol::frame::Entry;
use tidegate_protocol::{ENVELOPE_VERSION, ids, timestamp};

use super::document::Document;
use super::{Body, Draft, Reason, TenantSource, TopicSpec, Value, identity, time_of, utc};
use crate::json_pointer::JsonPointer;

/// Where the members of an event come from. What a pointer finds must be right; where it finds nothing, the
/// record serves instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonFormat {
    /// Its type.
    pub event_type: TypeSource,
    /// Its id: a UUID is taken as it is, another string or number gives one id however often it comes again in
    /// this topic. Without, the record's place on the log gives the id.
    pub id: Option<JsonPointer>,
    /// What ties it to others: a UUID is taken as it is, another string or number gives one, the same each time and in
    /// every topic. Without, it is the id.
    pub correlation_id: Option<JsonPointer>,
    /// Its time: RFC 3339 or milliseconds since the epoch. Without, it is the record's.
    pub time: Option<JsonPointer>,
    /// The key that readers see, a string or number. Without, it is the record's.
    pub key: Option<JsonPointer>,
    /// Its tenant. If this is the topic's source of the tenant, `/tenant_id` unless something else is said; if
    /// it is not, what is found here must agree with the source.
    pub tenant: Option<JsonPointer>,
}

/// Where an event's type comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeSource {
    /// All events of the topic have this type.
    Constant(String),
    /// The value says it.
    Pointer(JsonPointer),
}

static TENANT_ID: LazyLock<JsonPointer> = LazyLock::new(|| JsonPointer::to_member("tenant_id"));

pub(super) fn read<'a>(
    spec: &'a TopicSpec,
    format: &'a JsonFormat,
    text: &'a str,
    record: &Record<'_>,
) -> Result<Draft<'a>, Reason> {
    let document = Document::read(text, Entry::DEPTH + 1)?;
    let scalar = |pointer: &Option<JsonPointer>| pointer.as_ref().map_or(Ok(None), |at| document.scalar(at));
    let event_type = event_type(&format.event_type, &document)?;
    let tenant = match &format.tenant {
        Some(pointer) => document.text(pointer)?,
        None if spec.tenant == TenantSource::Envelope => document.text(&TENANT_ID)?,
        None => None,
    };

    let given = scalar(&format.id)?;
    let id = match &given {
        Some(id) if ids::is_uuid(id) => id.clone(),
        Some(id) => identity::derive("json id", &[spec.physical.as_bytes(), id.as_bytes()]).into(),
        None => place_id(spec, record).into(),
    };
    let correlation_id = match scalar(&format.correlation_id)? {
        Some(given) if ids::is_uuid(&given) => given,
        Some(given) => identity::derive("correlation", &[given.as_bytes()]).into(),
        None => id.clone(),
    };
    let time = match &format.time {
        Some(pointer) => time(pointer, &document)?,
        None => None,
    };
    let mut event: Vec<(Cow<'a, str>, Value<'a>)> = Vec::with_capacity(6);
    let mut missing = Vec::new();
    let mut expected = |name, found: bool, value: Cow<'a, str>| {
        if found { event.push((Cow::Borrowed(name), Value::Text(value))) } else { missing.push((name, value)) }
    };
    expected("id", given.is_some() || format.id.is_none(), id.clone());
    expected("timestamp", time.is_some() || format.time.is_none(), time.unwrap_or_else(|| time_of(record).into()));
    event.extend([
        ("version".into(), Value::Text(ENVELOPE_VERSION.into())),
        ("type".into(), Value::Text(event_type.clone())),
        ("correlation_id".into(), Value::Text(correlation_id)),
        ("data".into(), Value::Json(text)),
    ]);
    Ok(Draft { event_type, tenant, key: scalar(&format.key)?, missing, body: Body::Made(event) })
}

fn event_type<'a>(source: &'a TypeSource, document: &Document<'a>) -> Result<Cow<'a, str>, Reason> {
    match source {
        TypeSource::Constant(name) => Ok(Cow::Borrowed(name)),
        TypeSource::Pointer(pointer) => {
            let found = document.text(pointer)?;
            let found = found.ok_or_else(|| Reason::invalid(format_args!("{pointer}: the type is missing")))?;
            if !ids::is_event_type(&found) {
                return Err(Reason::invalid(format_args!("{pointer}: {}", super::NOT_A_TYPE)));
            }
            Ok(found)
        }
    }
}

fn time<'a>(pointer: &JsonPointer, document: &Document<'a>) -> Result<Option<Cow<'a, str>>, Reason> {
    let Some(found) = document.at(pointer)? else { return Ok(None) };
    let time = match found.parse() {
        Ok(millis) => Some(timestamp::format(millis).into()),
        Err(_) => super::document::string(found).and_then(utc),
    };
    let wrong = || Reason::invalid(format_args!("{pointer}: must be an RFC 3339 time or whole milliseconds"));
    time.map(Some).ok_or_else(wrong)
}

/// An id from the record's place on the log. Its time is part of it, because a topic that is deleted and made
/// again has the same places.
fn place_id(spec: &TopicSpec, record: &Record<'_>) -> String {
    let time = record.timestamp.unwrap_or_default().to_be_bytes();
    let parts: [&[u8]; 4] =
        [spec.physical.as_bytes(), &record.partition.to_be_bytes(), &record.offset.to_be_bytes(), &time];
    identity::derive("place", &parts)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Given, ID, given, topic};
    use super::super::{Format, TenantSource, TopicSpec};
    use super::*;

    fn constant() -> JsonFormat {
        JsonFormat {
            event_type: TypeSource::Constant("order.seen".into()),
            id: None,
            correlation_id: None,
            time: None,
            key: None,
            tenant: None,
        }
    }

    #[test]
    fn a_correlation_that_is_no_uuid_gives_one() {
        let format = JsonFormat { correlation_id: at("/job"), ..constant() };
        let correlated = |text: &str| event(&given(text).acme(), &spec(format.clone()))["correlation_id"].clone();
        assert_eq!(correlated(&format!(r#"{{"job":"{ID}"}}"#)), ID);
        assert_eq!(correlated(r#"{"job":7,"n":1}"#), correlated(r#"{"job":"7","n":2}"#));
        assert_ne!(correlated(r#"{"job":7}"#), correlated(r#"{"job":8}"#));
    }

    fn spec(format: JsonFormat) -> TopicSpec {
        topic(Format::Json(format))
    }

    fn at(pointer: &str) -> Option<JsonPointer> {
        pointer.parse().ok()
    }

    fn event(record: &Given, spec: &TopicSpec) -> serde_json::Value {
        record.wire(spec).unwrap()["event"].take()
    }

    #[test]
    fn any_value_is_data_byte_for_byte() {
        for text in ["7", " null ", r#""x""#, "[1, 2]", r#"{ "a" : 1.0e0 , "a":2 }"#, "\n{}"] {
            let (tenant, event_type, wire) = given(text).acme().entry(&spec(constant())).unwrap();
            assert_eq!((&*tenant, &*event_type), ("acme", "order.seen"));
            assert!(wire.ends_with(&format!(r#","data":{text}}}}}"#)), "{wire}");
            assert!(!wire.contains("filled"), "nothing of an envelope is missing where none was to be");
        }
        for text in ["", "{", "1 2", "\u{feff}{}"] {
            assert_eq!(given(text).acme().refused(&spec(constant())), "invalid", "{text:?}");
        }
        let deep = |depth: usize| given("[".repeat(depth) + &"]".repeat(depth)).acme();
        assert!(deep(123).entry(&spec(constant())).is_ok());
        assert_eq!(deep(124).refused(&spec(constant())), "invalid");
    }

    #[test]
    fn members_come_from_where_pointers_say() {
        let format = JsonFormat {
            correlation_id: None,
            event_type: TypeSource::Pointer("/meta/kind".parse().unwrap()),
            id: at("/meta/id"),
            time: at("/meta/at"),
            key: at("/order/0"),
            tenant: at("/meta/for"),
        };
        let text = format!(
            r#"{{"meta":{{"kind":"order.paid","id":"{ID}","at":"2026-01-02T03:04:05.123456Z","for":"acme"}},"order":[42]}}"#
        );
        let spec = TopicSpec { tenant: TenantSource::Envelope, ..spec(format) };
        let wire = given(text.clone()).key("ignored").wire(&spec).unwrap();
        assert_eq!(
            wire,
            serde_json::json!({"key": "42", "event": {
                "version": "1.0", "id": ID, "type": "order.paid", "correlation_id": ID, "tenant_id": "acme",
                "timestamp": "2026-01-02T03:04:05.123456Z",
                "data": serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            }})
        );
    }

    #[test]
    fn a_place_on_the_log_gives_one_id_for_ever() {
        let spec = spec(constant());
        let record = given("{}").acme();
        let id = event(&record, &spec)["id"].clone();
        assert_eq!(id, "0cb51b32-39ec-8c35-8ab2-b71e1343bc5b");
        assert_eq!(event(&record, &spec)["correlation_id"], id);
        let elsewhere = Given { offset: 8, ..record.clone() };
        assert_ne!(event(&elsewhere, &spec)["id"], id);
        let other = TopicSpec { physical: "other".into(), ..spec };
        assert_ne!(event(&record, &other)["id"], id);
    }

    #[test]
    fn an_id_of_another_form_gives_one_id_wherever_it_lies() {
        let spec = spec(JsonFormat { id: at("/id"), ..constant() });
        let id = |text: &str, offset| event(&Given { offset, ..given(text).acme() }, &spec)["id"].clone();
        assert_eq!(id(r#"{"id":42}"#, 1), id(r#"{"id":"42","x":1}"#, 2));
        assert_ne!(id(r#"{"id":42}"#, 1), id(r#"{"id":43}"#, 1));
    }

    #[test]
    fn what_a_pointer_does_not_find_is_the_records_and_marked() {
        let spec = spec(JsonFormat { id: at("/id"), time: at("/at"), key: at("/key"), ..constant() });
        let wire = given(r#"{"at":null}"#).key("k").acme().wire(&spec).unwrap();
        assert_eq!(wire["filled"], serde_json::json!(["id", "timestamp"]));
        assert_eq!((&wire["key"], &wire["event"]["timestamp"]), (&"k".into(), &"1970-01-01T00:00:01.000Z".into()));
        assert_eq!(wire["event"]["id"], wire["event"]["correlation_id"]);
    }

    #[test]
    fn what_a_pointer_finds_must_be_right() {
        let kind = TypeSource::Pointer("/type".parse().unwrap());
        let format = JsonFormat {
            event_type: kind,
            id: at("/id"),
            correlation_id: None,
            time: at("/at"),
            key: at("/key"),
            tenant: at("/for"),
        };
        let spec = spec(format);
        assert!(given(r#"{"type":"a.b"}"#).acme().entry(&spec).is_ok());
        for text in [
            "{}",
            "7",
            r#"{"type":"open"}"#,
            r#"{"type":7}"#,
            r#"{"type":"a.b","id":{}}"#,
            r#"{"type":"a.b","at":"soon"}"#,
            r#"{"type":"a.b","at":1.5}"#,
            r#"{"type":"a.b","key":[1]}"#,
            r#"{"type":"a.b","for":7}"#,
            r#"{"type":"a.b","t\u0079pe":"a.b"}"#,
        ] {
            assert_eq!(given(text).acme().refused(&spec), "invalid", "{text}");
        }
        assert_eq!(given(r#"{"type":"a.b","for":"globex"}"#).acme().refused(&spec), "tenant_mismatch");
    }

    #[test]
    fn times_are_given_in_utc() {
        let spec = spec(JsonFormat { time: at("/at"), ..constant() });
        for (at, timestamp) in [
            ("86400000", "1970-01-02T00:00:00.000Z"),
            (r#""1970-01-02T02:00:00+02:00""#, "1970-01-02T00:00:00.000Z"),
            (r#""1970-01-02 00:00:00z""#, "1970-01-02T00:00:00.000Z"),
            (r#""1970-01-02T00:00:00Z""#, "1970-01-02T00:00:00Z"),
        ] {
            let record = given(format!(r#"{{"at":{at}}}"#)).acme();
            assert_eq!(event(&record, &spec)["timestamp"], timestamp);
        }
    }

    #[test]
    fn the_tenant_is_a_member_unless_something_else_is_said() {
        let source = TopicSpec { tenant: TenantSource::Envelope, ..spec(constant()) };
        assert_eq!(event(&given(r#"{"tenant_id":"acme"}"#), &source)["tenant_id"], "acme");
        assert_eq!(given("{}").refused(&source), "tenant_missing");
        assert_eq!(given(r#"{"tenant_id":"acme","tenant_id":"acme"}"#).refused(&source), "invalid");
        // Where it is not the source, it is a member of somebody's data like any other.
        assert_eq!(event(&given(r#"{"tenant_id":7}"#).acme(), &spec(constant()))["tenant_id"], "acme");
    }
}

//! `CloudEvents` 1.0 by its Kafka binding, in binary and structured mode, as envelopes.
//!
//! | attribute | member |
//! | --- | --- |
//! | `type`, `time` | `type`, `timestamp` |
//! | `id` | `id` if it is a UUID; else `ce_id`, and `id` follows from `source` and it |
//! | `tenantid` | `tenant_id` |
//! | `correlationid` | `correlation_id` if it is a UUID; else kept, and `correlation_id` follows from it |
//! | `causationid` | `causation_id` if it is a UUID; else kept |
//! | `specversion`, `partitionkey` | none: the record's key stands for the latter |
//! | `version`, `timestamp`, `action`, `requester`, `responder`, `response` | `ce_` before the name: here these words mean something else |
//! | all others | the same name |
//!
//! A record without a value is a tombstone here too, although the binding writes events without data so.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tidegate_log::Record;
use tidegate_protocol::envelope::Head;
use tidegate_protocol::frame::Entry;
use tidegate_protocol::{ENVELOPE_VERSION, headers, ids, json};

use super::document::string;
use super::{Body, Draft, Reason, Value, identity, time_of, utc, utf8};

/// More attributes than any producer writes; it bounds the search for repeats.
const MAX_ATTRIBUTES: usize = 128;
const TEXTS: [&str; 11] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "dataschema",
    "datacontenttype",
    "tenantid",
    "traceparent",
    "tracestate",
];

/// Reads an event; `room` is how many bytes its headers may have.
pub(super) fn read<'a>(room: usize, value: &'a [u8], record: &Record<'a>) -> Result<Draft<'a>, Reason> {
    let content_type = content_type(record)?;
    if content_type.is_some_and(|kind| starts_with(kind, "application/cloudevents")) {
        if media_type(content_type) != "application/cloudevents+json" {
            return Err(Reason::invalid("content-type: only application/cloudevents+json is read, one event a record"));
        }
        return structured(utf8(value)?)?.into_draft(record);
    }
    binary(room, content_type, value, record)?.into_draft(record)
}

/// The attributes of an event, by their own names, and its data as members.
struct CloudEvent<'a> {
    attributes: Vec<(Cow<'a, str>, Value<'a>)>,
    data: Option<(&'static str, Value<'a>)>,
}

fn structured(text: &str) -> Result<CloudEvent<'_>, Reason> {
    let mut event = CloudEvent { attributes: Vec::with_capacity(16), data: None };
    for member in Head::read(text)?.into_members() {
        let data = match &*member.name {
            // A null is data; only of attributes does it say that they are absent.
            "data" => "data",
            "data_base64" if member.value == "null" => continue,
            "data_base64" if string(member.value).is_some_and(|text| STANDARD.decode(&*text).is_ok()) => "data_base64",
            "data_base64" => return Err(Reason::invalid("/data_base64: must be base64")),
            _ => {
                if member.value != "null" {
                    event.add(member.name, Value::Json(member.value))?;
                }
                continue;
            }
        };
        if event.data.replace((data, Value::Json(member.value))).is_some() {
            return Err(Reason::invalid("/data_base64: there is data beside it"));
        }
    }
    Ok(event)
}

fn binary<'a>(
    room: usize,
    content_type: Option<&'a str>,
    value: &'a [u8],
    record: &Record<'a>,
) -> Result<CloudEvent<'a>, Reason> {
    let mut event = CloudEvent { attributes: Vec::with_capacity(16), data: None };
    let mut size = 0;
    let mut read = Ok(());
    record.headers.visit(&mut |header, value| {
        if let (Some(name), Some(value)) = (header.strip_prefix("ce_"), value) {
            size += name.len() + value.len();
            read = match std::str::from_utf8(value) {
                _ if size > room => Err(Reason::TooLarge(size)),
                Ok(text) => event.add(Cow::Borrowed(name), Value::Text(Cow::Borrowed(text))),
                Err(_) => Err(Reason::invalid(format_args!("/{name}: not UTF-8"))),
            };
        }
        read.is_ok()
    });
    read?;
    if let Some(kind) = content_type {
        event.add("datacontenttype".into(), Value::Text(kind.into()))?;
    }
    let kind = event.text("datacontenttype")?;
    event.data = data(kind.as_deref(), value)?;
    Ok(event)
}

/// Data as the JSON format of `CloudEvents` writes it: JSON as it is, text as a string, anything else in base64.
fn data<'a>(kind: Option<&str>, value: &'a [u8]) -> Result<Option<(&'static str, Value<'a>)>, Reason> {
    if value.is_empty() {
        return Ok(None);
    }
    let kind = media_type(kind);
    // The format says so: what names no type is JSON.
    if kind.is_empty() || kind.ends_with("/json") || kind.ends_with("+json") {
        let text = utf8(value)?;
        json::validate_within(text, Entry::DEPTH + 1)
            .map_err(|bad| Reason::invalid(format_args!("/data: not JSON: {bad}")))?;
        return Ok(Some(("data", Value::Json(text))));
    }
    let textual = kind.starts_with("text/") || kind.ends_with("/xml") || kind.ends_with("+xml");
    Ok(Some(match std::str::from_utf8(value) {
        Ok(text) if textual => ("data", Value::Text(text.into())),
        _ => ("data_base64", Value::Text(STANDARD.encode(value).into())),
    }))
}

impl<'a> CloudEvent<'a> {
    fn add(&mut self, name: Cow<'a, str>, value: Value<'a>) -> Result<(), Reason> {
        let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !named || name == "data" {
            return Err(Reason::invalid(format_args!(
                "/{name}: names of attributes are lower-case letters and digits"
            )));
        }
        if self.attributes.iter().any(|(other, _)| *other == name) {
            return Err(Reason::invalid(format_args!("/{name}: is repeated")));
        }
        if self.attributes.len() == MAX_ATTRIBUTES {
            return Err(Reason::invalid("too many attributes"));
        }
        if TEXTS.contains(&&*name) && value.text().is_none() {
            return Err(Reason::invalid(format_args!("/{name}: must be a string")));
        }
        self.attributes.push((name, value));
        Ok(())
    }

    fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, Reason> {
        let Some((_, value)) = self.attributes.iter().find(|(other, _)| other == name) else { return Ok(None) };
        value.text().map(Some).ok_or_else(|| Reason::invalid(format_args!("/{name}: must be a string")))
    }

    fn require(&self, name: &str) -> Result<Cow<'a, str>, Reason> {
        let found = self.text(name)?.filter(|text| !text.is_empty());
        found.ok_or_else(|| Reason::invalid(format_args!("/{name}: is missing")))
    }

    fn into_draft(self, record: &Record<'_>) -> Result<Draft<'a>, Reason> {
        if !self.require("specversion")?.starts_with("1.") {
            return Err(Reason::invalid("/specversion: must be \"1.x\""));
        }
        let (source, given, event_type) = (self.require("source")?, self.require("id")?, self.require("type")?);
        if !ids::is_event_type(&event_type) {
            return Err(Reason::invalid(format_args!("/type: {}", super::NOT_A_TYPE)));
        }
        let tenant = self.text("tenantid")?;
        let id = uuid(&given)
            .unwrap_or_else(|| identity::derive("cloudevent", &[source.as_bytes(), given.as_bytes()]).into());
        let correlation = self.text("correlationid")?;
        let correlation_id = match &correlation {
            Some(text) => uuid(text).unwrap_or_else(|| identity::derive("correlation", &[text.as_bytes()]).into()),
            None => id.clone(),
        };
        let mut event = Vec::with_capacity(self.attributes.len() + 6);
        let mut missing = Vec::new();
        event.push(("version".into(), Value::Text(ENVELOPE_VERSION.into())));
        event.push(("id".into(), Value::Text(id)));
        event.push(("correlation_id".into(), Value::Text(correlation_id)));
        match self.text("time")? {
            Some(time) => {
                let time = utc(time).ok_or_else(|| Reason::invalid("/time: must be an RFC 3339 time"))?;
                event.push(("timestamp".into(), Value::Text(time)));
            }
            None => missing.push(("timestamp", Cow::Owned(time_of(record)))),
        }
        for (name, value) in self.attributes {
            let is_uuid = || value.text().is_some_and(|text| ids::is_uuid(&text));
            let name = match &*name {
                "specversion" | "partitionkey" | "tenantid" | "time" => continue,
                "id" | "correlationid" if is_uuid() => continue,
                "causationid" if is_uuid() => "causation_id".into(),
                "id" | "version" | "timestamp" | "action" | "requester" | "responder" | "response" => {
                    format!("ce_{name}").into()
                }
                _ => name,
            };
            event.push((name, value));
        }
        event.extend(self.data.map(|(name, value)| (Cow::Borrowed(name), value)));
        Ok(Draft { event_type, tenant, key: None, missing, body: Body::Made(event) })
    }
}

impl<'a> Value<'a> {
    fn text(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Json(json) => string(json),
        }
    }
}

fn uuid<'a>(text: &Cow<'a, str>) -> Option<Cow<'a, str>> {
    ids::is_uuid(text).then(|| text.clone())
}

fn content_type<'a>(record: &Record<'a>) -> Result<Option<&'a str>, Reason> {
    let mut found: Option<&'a [u8]> = None;
    let mut repeated = false;
    record.headers.visit(&mut |name, value| {
        if let Some(value) = value.filter(|_| name == headers::CONTENT_TYPE) {
            repeated |= found.replace(value).is_some();
        }
        !repeated
    });
    if repeated {
        return Err(Reason::invalid("content-type: is repeated"));
    }
    let wrong = |_| Reason::invalid("content-type: not UTF-8");
    found.map(std::str::from_utf8).transpose().map_err(wrong)
}

/// The media type without its parameters, in lower case; empty for none.
fn media_type(content_type: Option<&str>) -> String {
    let kind = content_type.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::{Given, ID, given, topic};
    use super::super::{Format, TenantSource, TopicSpec};

    fn spec() -> TopicSpec {
        TopicSpec { tenant: TenantSource::Envelope, ..topic(Format::CloudEvents) }
    }

    fn binary(value: impl Into<Vec<u8>>) -> Given {
        given(value)
            .header("ce_specversion", "1.0")
            .header("ce_id", ID)
            .header("ce_source", "/shop")
            .header("ce_type", "com.example.order")
            .header("ce_tenantid", "acme")
    }

    fn structured(rest: &str) -> Given {
        let text = format!(
            r#"{{"specversion":"1.0","id":"{ID}","source":"/shop","type":"com.example.order","tenantid":"acme"{rest}}}"#
        );
        given(text).header("content-type", "application/cloudevents+json; charset=utf-8")
    }

    fn event(record: &Given) -> serde_json::Value {
        record.wire(&spec()).unwrap()["event"].take()
    }

    #[test]
    fn both_modes_give_the_same_event() {
        let record = binary(r#"{"n":1}"#)
            .header("content-type", "application/json")
            .header("ce_time", "2026-01-02T03:04:05Z")
            .header("ce_subject", "42")
            .header("ce_correlationid", ID)
            .header("ce_causationid", ID)
            .header("ce_traceparent", "00-a-b-01")
            .header("ce_partitionkey", "p")
            .header("ce_colour", "r\"ed")
            .key("k");
        let wire = record.wire(&spec()).unwrap();
        assert_eq!(
            wire,
            json!({"key": "k", "event": {
                "version": "1.0", "id": ID, "type": "com.example.order", "correlation_id": ID, "causation_id": ID,
                "timestamp": "2026-01-02T03:04:05Z", "tenant_id": "acme", "source": "/shop", "subject": "42",
                "datacontenttype": "application/json", "traceparent": "00-a-b-01", "colour": "r\"ed",
                "data": {"n": 1},
            }})
        );
        let rest = format!(
            r#","time":"2026-01-02T03:04:05Z","subject":"42","datacontenttype":"application/json","correlationid":"{ID}","causationid":"{ID}","traceparent":"00-a-b-01","partitionkey":"p","colour":"r\"ed","data":{{"n":1}}"#
        );
        assert_eq!(structured(&rest).key("k").wire(&spec()).unwrap(), wire);
    }

    #[test]
    fn ids_of_other_forms_are_kept_beside_ours() {
        let id = |source: &str, id: &str| {
            event(
                &given("1")
                    .header("ce_specversion", "1.0")
                    .header("ce_source", source)
                    .header("ce_type", "a.b")
                    .header("ce_tenantid", "acme")
                    .header("ce_correlationid", "job 1")
                    .header("ce_causationid", "before")
                    .header("ce_id", id),
            )
        };
        let one = id("/shop", "A-1");
        assert_eq!(
            (&one["ce_id"], &one["correlationid"], &one["causationid"]),
            (&"A-1".into(), &"job 1".into(), &"before".into())
        );
        assert_eq!(one["id"], "1cbbd6d1-bed1-8a76-bea5-546d1d6b09f0");
        assert_eq!(id("/shop", "A-1")["id"], one["id"]);
        assert_ne!(id("/shop", "A-2")["id"], one["id"]);
        assert_ne!(id("/bank", "A-1")["id"], one["id"]);
        assert_eq!(id("/bank", "A-2")["correlation_id"], one["correlation_id"]);
        assert_ne!(one["correlation_id"], one["id"]);
        assert_eq!(one.get("causation_id"), None);
    }

    #[test]
    fn data_is_written_by_its_content_type() {
        for (kind, value, name, data) in [
            ("application/vnd.x+json; v=1", &b"[1]"[..], "data", json!([1])),
            ("Text/JSON", b"1", "data", json!(1)),
            ("text/plain", b"a\"b", "data", json!("a\"b")),
            ("image/svg+xml", b"<a/>", "data", json!("<a/>")),
            ("text/plain", b"\xFF", "data_base64", json!("/w==")),
            ("application/octet-stream", b"ab", "data_base64", json!("YWI=")),
        ] {
            let event = event(&binary(value).header("content-type", kind));
            assert_eq!(event[name], data, "{kind}");
        }
        assert_eq!(event(&binary("[1]"))["data"], json!([1]), "what names no type is JSON");
        assert_eq!(event(&binary("").header("content-type", "application/json")).get("data"), None);
        assert_eq!(event(&structured(r#","data_base64":"YWI=""#))["data_base64"], "YWI=");
        assert_eq!(event(&structured(r#","data":null"#)).get("data"), Some(&json!(null)));
    }

    #[test]
    fn a_time_that_is_missing_is_filled_and_marked() {
        let wire = binary("1").wire(&spec()).unwrap();
        assert_eq!(wire["filled"], json!(["timestamp"]));
        assert_eq!(wire["event"]["timestamp"], "1970-01-01T00:00:01.000Z");
        assert_eq!(
            event(&binary("1").header("ce_time", "1970-01-01T01:00:00+01:00"))["timestamp"],
            "1970-01-01T00:00:00.000Z"
        );
    }

    #[test]
    fn extensions_do_not_pass_for_our_members() {
        let event = event(&structured(r#","action":"x","requester":"root","version":7,"timestamp":true,"n":1.50"#));
        assert_eq!(event["ce_requester"], "root");
        assert_eq!(
            (&event["ce_version"], &event["ce_timestamp"], &event["ce_action"]),
            (&json!(7), &json!(true), &json!("x"))
        );
        assert_eq!((event.get("requester"), &event["version"]), (None, &json!("1.0")));
        for rest in [r#","tenant_id":"globex""#, r#","ce_id":"x""#, r#","Type":"x""#, r#","":"x""#] {
            assert_eq!(structured(rest).refused(&spec()), "invalid", "{rest}");
        }
        assert_eq!(binary("1").header("ce_data", "2").refused(&spec()), "invalid");
    }

    #[test]
    fn what_is_no_cloud_event_is_quarantined() {
        for (what, record) in [
            ("no attributes", given("{}")),
            ("repeated header", binary("1").header("ce_id", "x")),
            ("repeated content type", binary("1").header("content-type", "text/plain").header("content-type", "a/b")),
            ("content type twice over", binary("1").header("content-type", "a/b").header("ce_datacontenttype", "a/b")),
            ("header in bytes", binary("1").header("ce_x", [0xFF])),
            ("bad time", binary("1").header("ce_time", "soon")),
            ("data that is not JSON", binary("{").header("content-type", "application/json")),
            ("deep data", binary("[".repeat(9_000) + &"]".repeat(9_000))),
            ("a batch", given("[]").header("content-type", "application/cloudevents-batch+json")),
            ("repeated member", structured(r#","sourc\u0065":"/x""#)),
            ("a time that is no string", structured(r#","time":7"#)),
            ("data twice", structured(r#","data":1,"data_base64":"YWI=""#)),
            ("data that is not base64", structured(r#","data_base64":"?""#)),
            ("a correlation that is no string", structured(r#","correlationid":7"#)),
        ] {
            assert_eq!(record.refused(&spec()), "invalid", "{what}");
        }
        for missing in ["specversion", "id", "source", "type"] {
            let mut record = binary("1");
            record.headers.0.retain(|(name, _)| name.strip_prefix("ce_") != Some(missing));
            assert_eq!(record.clone().refused(&spec()), "invalid", "{missing}");
            assert_eq!(record.header(&format!("ce_{missing}"), "").refused(&spec()), "invalid", "{missing}");
        }
        let mut many = binary("1");
        for n in 0..200 {
            many = many.header(&format!("ce_x{n}"), "");
        }
        assert_eq!(many.refused(&spec()), "invalid");
        assert_eq!(binary("1").header("ce_x", vec![b'x'; 1 << 20]).refused(&spec()), "too_large");
        assert_eq!(structured("").header("tg_tenant", "globex").refused(&spec()), "tenant_mismatch");
    }

    #[test]
    fn only_the_mode_in_use_names_a_tenant() {
        let record = structured("").header("ce_tenantid", "globex");
        assert_eq!(event(&record)["tenant_id"], "acme");
        let header = TopicSpec { tenant: TenantSource::Header("ce_tenantid".into()), ..spec() };
        assert_eq!(record.refused(&header), "tenant_mismatch");
    }
}

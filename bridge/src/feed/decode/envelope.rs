//! The Tidegate envelope, relayed as read. What is missing and can be known is filled in for delivery.

use std::borrow::Cow;

use tidegate_log::Record;
use tidegate_protocol::ENVELOPE_VERSION;
use tidegate_protocol::envelope::Head;

use super::{Body, Draft, Reason, time_of};

pub(super) fn read<'a>(text: &'a str, record: &Record<'_>) -> Result<Draft<'a>, Reason> {
    let head = Head::read(text)?;
    // What is on the log happened: a clock that ran ahead is no reason to withhold it.
    head.check(i64::MAX, 0)?;
    let id = head.text("id")?.ok_or_else(|| Reason::invalid("/id: is missing"))?;
    let event_type = head.text("type")?.ok_or_else(|| Reason::invalid("/type: is missing"))?;
    let tenant = head.text("tenant_id")?;
    let mut missing = Vec::new();
    if head.member("version").is_none() {
        missing.push(("version", Cow::Borrowed(ENVELOPE_VERSION)));
    }
    if head.member("correlation_id").is_none() {
        missing.push(("correlation_id", id));
    }
    if head.member("timestamp").is_none() {
        missing.push(("timestamp", Cow::Owned(time_of(record))));
    }
    Ok(Draft { event_type, tenant, key: None, missing, body: Body::Relayed(head) })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{ID, given, topic};
    use super::super::{Format, Outcome};
    use crate::feed::round::Round;

    fn whole() -> String {
        format!(
            r#" {{ "version":"1.7","id":"{ID}", "type":"order.created","correlation_id":"{ID}","timestamp":"2026-11-21T11:39:39.1+02:00","tenant_id":"acme","n":1.50e+01,"data":{{"é":"\u00e9"}} }}
"#
        )
    }

    #[test]
    fn what_is_whole_is_relayed_byte_for_byte() {
        let text = whole();
        let (tenant, event_type, wire) =
            given(text.clone()).key("order/42").acme().entry(&topic(Format::Envelope)).unwrap();
        assert_eq!((&*tenant, &*event_type), ("acme", "order.created"));
        assert_eq!(wire, format!(r#"{{"key":"order/42","event":{text}}}"#));
    }

    #[test]
    fn what_is_missing_is_filled_and_marked() {
        let text = format!(r#"{{"id":"{ID}","type":"order.created","correlation_id":null, "x":1}}"#);
        let (_, _, wire) = given(text).acme().entry(&topic(Format::Envelope)).unwrap();
        assert_eq!(
            wire,
            format!(
                r#"{{"filled":["version","correlation_id","timestamp","tenant_id"],"event":{{"version":"1.0","timestamp":"1970-01-01T00:00:01.000Z","tenant_id":"acme","id":"{ID}","type":"order.created","correlation_id":"{ID}", "x":1}}}}"#
            )
        );
    }

    #[test]
    fn what_can_not_be_filled_or_is_wrong_is_no_event() {
        let spec = topic(Format::Envelope);
        for text in [
            r#"{"type":"order.created"}"#.to_owned(),
            format!(r#"{{"id":"{ID}"}}"#),
            format!(r#"{{"id":"{ID}","type":"open"}}"#),
            format!(r#"{{"id":"{ID}","type":"a.b","timestamp":"yesterday"}}"#),
            format!(r#"{{"id":"{ID}","type":"a.b","version":"2.0"}}"#),
            format!(r#"{{"id":"{ID}","type":"a.b","us\u0065r":1,"user":2}}"#),
            format!(r#"{{"id":"{ID}","type":"a.b","t\u0079pe":"a.c"}}"#),
            "[]".to_owned(),
            "{".to_owned(),
            String::new(),
        ] {
            assert_eq!(given(text.clone()).acme().refused(&spec), "invalid", "{text}");
        }
        assert_eq!(given([b'{', 0xFF]).acme().refused(&spec), "not_utf8");
    }

    #[test]
    fn an_event_is_as_deep_as_its_frame_can_carry() {
        let spec = topic(Format::Envelope);
        let nested = |depth: usize| {
            let data = "[".repeat(depth) + &"]".repeat(depth);
            given(format!(r#"{{"id":"{ID}","type":"a.b","data":{data}}}"#)).acme()
        };
        // Around `data`: the event, its entry, the entries, the batch, the frame.
        let (_, _, wire) = nested(123).entry(&spec).unwrap();
        let frame = format!(r#"{{"batch":{{"entries":[{wire}]}}}}"#);
        assert_eq!(tidegate_protocol::json::validate(&frame), Ok(()));
        assert_eq!(nested(124).refused(&spec), "invalid");
        assert_eq!(nested(400_000).refused(&spec), "invalid");
    }

    #[test]
    fn what_is_too_large_is_not_read() {
        let mut spec = topic(Format::Envelope);
        let record = given(whole()).acme();
        spec.max_event = whole().len();
        assert!(record.entry(&spec).is_ok());
        assert_eq!(record.key("k").refused(&spec), "too_large");
    }

    #[test]
    fn a_null_value_is_a_tombstone_and_an_empty_one_is_not() {
        let spec = topic(Format::Envelope);
        let mut record = given("").acme();
        assert_eq!(record.refused(&spec), "invalid");
        record.value = None;
        let mut round = Round::default();
        assert_eq!(record.decode(&spec, &mut round), Outcome::Tombstone);
        assert!(round.is_empty());
    }

    #[test]
    fn a_null_key_is_not_an_empty_one_and_bytes_are_none() {
        let spec = topic(Format::Envelope);
        let record = given(whole()).acme();
        assert_eq!(record.wire(&spec).unwrap().get("key"), None);
        assert_eq!(record.clone().key("").wire(&spec).unwrap()["key"], "");
        assert_eq!(record.clone().key("a\"\n").wire(&spec).unwrap()["key"], "a\"\n");
        assert_eq!(record.key([0xFF]).wire(&spec).unwrap().get("key"), None);
    }

    #[test]
    fn a_reason_is_short_whatever_it_quotes() {
        let name = "é".repeat(10_000);
        let text = format!(r#"{{"{name}":1,"{name}":2}}"#);
        let reason = given(text).acme().entry(&topic(Format::Envelope)).unwrap_err();
        assert!(reason.to_string().len() < 300);
    }
}

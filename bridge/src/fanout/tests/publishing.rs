//! Publishing: what is refused and why, and the record that comes of an event.

use tidegate_log::{AppendError, Appended, NewRecord};
use tidegate_protocol::frame::{ClientFrame, Publish};

use super::fixture::options;
use super::shard::{Bench, publish};
use crate::fanout::{Effect, Input, Origin, PublishKey, SessionKey};

const EVENT: &str = r#"{"type":"order.paid","data":{"a": 1}}"#;

fn refused(bench: &mut Bench, publish: Publish, roles: &[&str]) -> (String, Option<String>) {
    let key = bench.open("acme", roles);
    bench.frame(key, ClientFrame::Publish(publish));
    let error = bench.told(key).error();
    assert_eq!(error.id, Some(5));
    (error.code, error.pointer)
}

fn appended(bench: &mut Bench, publish: Publish, roles: &[&str]) -> (PublishKey, NewRecord) {
    let key = bench.open("acme", roles);
    bench.frame(key, ClientFrame::Publish(publish));
    match bench.effects.pop() {
        Some(Effect::Append(key, record, _)) => (key, record),
        other => panic!("{other:?} {:?}", bench.told(key).texts),
    }
}

fn session(key: &PublishKey) -> SessionKey {
    match key.origin {
        Origin::Session { session, request: 5 } => session,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_refused_and_where() {
    let mut bench = Bench::new();
    let code = |bench: &mut Bench, publish, roles: &[&str]| refused(bench, publish, roles).0;
    assert_eq!(code(&mut bench, publish("orders", EVENT), &["reader"]), "denied");
    assert_eq!(code(&mut bench, publish("nowhere", EVENT), &["writer"]), "denied");
    assert_eq!(code(&mut bench, publish("news", EVENT), &["writer"]), "denied", "not to be published to");
    let again = Publish { again: true, ..publish("orders", EVENT) };
    assert_eq!(code(&mut bench, again, &["writer"]), "unsupported");
    let large = format!(r#"{{"type":"a.b","data":"{}"}}"#, "x".repeat(1 << 20));
    assert_eq!(code(&mut bench, publish("orders", &large), &["writer"]), "event_too_large");
    for (event, pointer) in [
        (r#"{"data":1}"#, "/publish/event/type"),
        (r#"{"type":"nodot"}"#, "/publish/event/type"),
        (r#"{"type":"a.b","id":"x"}"#, "/publish/event/id"),
        (r#"{"type":"a.b","timestamp":"2999-01-01T00:00:00Z"}"#, "/publish/event/timestamp"),
    ] {
        let (code, at) = refused(&mut bench, publish("orders", event), &["writer"]);
        assert_eq!((code.as_str(), at.as_deref()), ("invalid_event", Some(pointer)));
    }
    bench.input(Input::LogAvailable(false));
    let key = bench.open_as(super::fixture::principal("acme", "ada", &["writer"]));
    bench.frame(key, ClientFrame::Publish(publish("orders", EVENT)));
    assert_eq!(bench.told(key).error().code, "log_unavailable");
    assert!(bench.effects.is_empty());
}

#[test]
fn more_than_the_rate_is_refused_and_comes_back() {
    let mut bench = Bench::new();
    let key = bench.open("acme", &["writer"]);
    for _ in 0..options(1).publish_events.burst {
        bench.frame(key, ClientFrame::Publish(publish("orders", EVENT)));
    }
    assert!(bench.told(key).texts.is_empty());
    bench.frame(key, ClientFrame::Publish(publish("orders", EVENT)));
    assert_eq!(bench.told(key).error().code, "rate_limited");
    bench.now += 1_000;
    bench.frame(key, ClientFrame::Publish(publish("orders", EVENT)));
    assert!(bench.told(key).texts.is_empty());
}

#[test]
fn the_record_is_stamped_and_keyed_as_its_topic_wants() {
    let mut bench = Bench::new();
    let event = r#"{"type":"order.paid","tenant_id":"globex","action":{"command":"pay","target":"order/42"},"requester":"eve"}"#;
    let (_, record) = appended(&mut bench, publish("orders", event), &["writer"]);
    assert_eq!((record.topic.as_str(), record.key.as_deref()), ("orders", Some(&b"acme/order/42"[..])));
    let text = String::from_utf8(record.value.unwrap()).unwrap();
    assert!(text.contains(r#""tenant_id":"acme""#) && text.contains(r#""requester":"ada""#), "{text}");
    assert!(!text.contains("globex") && !text.contains("eve"), "{text}");
    let header = |name: &str| {
        let found = record.headers.iter().filter(|(known, _)| known == name);
        found.map(|(_, value)| String::from_utf8(value.clone().unwrap()).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(
        (header("owner"), header("tg_tenant"), header("tg_type")),
        (vec!["acme".into()], vec!["acme".into()], vec!["order.paid".into()])
    );
    assert_eq!(header("tg_client"), ["tab"]);
    let with_key = |topic: &str| Publish { key: Some("k".into()), ..publish(topic, EVENT) };
    let (_, record) = appended(&mut bench, with_key("audit"), &["writer"]);
    assert_eq!((record.topic.as_str(), record.key.as_deref()), ("acme.audit", Some(&b"k"[..])));
    let (_, record) = appended(&mut bench, with_key("keyed"), &["writer"]);
    assert_eq!(record.key.as_deref(), Some(&b"acme"[..]));
}

#[test]
fn the_answer_shows_positions_to_those_who_may_see_them() {
    let mut bench = Bench::new();
    for (roles, shown) in [(["writer"], false), (["operator"], true)] {
        let (key, _) = appended(&mut bench, publish("orders", EVENT), &roles);
        bench.input(Input::Appended(key.clone(), Ok(Appended { partition: 2, offset: 40 })));
        let told = bench.told(session(&key));
        assert_eq!(told.kinds(), ["published"]);
        assert_eq!(told.texts[0].contains(r#""offset":40"#), shown, "{:?}", told.texts);
    }
    for (error, code) in [
        (AppendError::Full, "log_unavailable"),
        (AppendError::Unavailable("x".into()), "log_unavailable"),
        (AppendError::Rejected("x".into()), "log_rejected"),
    ] {
        let (key, _) = appended(&mut bench, publish("orders", EVENT), &["writer"]);
        bench.input(Input::Appended(key.clone(), Err(error)));
        assert_eq!(bench.told(session(&key)).error().code, code);
    }
}

#[test]
fn a_condition_reads_the_key_that_readers_will_see() {
    let mut bench = Bench::new();
    // All keys of `keyed` are the tenant, whatever the publisher says.
    let claimed = Publish { key: Some("order/1".into()), ..publish("keyed", EVENT) };
    assert_eq!(appended(&mut bench, claimed, &["caller"]).1.key.as_deref(), Some(&b"acme"[..]));
    let claimed = Publish { key: Some("acme".into()), ..publish("audit", EVENT) };
    assert_eq!(appended(&mut bench, claimed, &["caller"]).1.key.as_deref(), Some(&b"acme"[..]));
    assert_eq!(refused(&mut bench, publish("audit", EVENT), &["caller"]).0, "denied");
}

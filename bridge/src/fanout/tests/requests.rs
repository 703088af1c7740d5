//! Requests to publish: answered in order, under one account for each publisher.

use tidegate_log::{AppendError, Appended, NewRecord};
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::frame::Failed;

use super::fixture::{options, principal};
use super::shard::Bench;
use crate::fanout::{Effect, Input, Offering, Outcomes, PublishKey, Request};

const EVENT: &str = r#"{"type":"order.paid","data":{"a": 1}}"#;
const ID: &str = "0199f3a0-4b1c-7d2e-8f00-aabbccddeeff";

fn offering(event: &str) -> Offering {
    Offering { topic: "orders".into(), key: None, event: event.into(), id: None }
}

fn request(subject: &str, events: &[&str]) -> Request {
    let items = events.iter().map(|event| Ok(offering(event))).collect();
    Request { principal: principal("acme", subject, &["writer"]), client: None, items }
}

fn one(offering: Offering) -> Request {
    Request { principal: principal("acme", "ada", &["writer"]), client: None, items: vec![Ok(offering)] }
}

fn appends(bench: &mut Bench) -> Vec<(PublishKey, NewRecord)> {
    let all = bench.effects.extract_if(.., |effect| matches!(effect, Effect::Append(..)));
    all.map(|effect| if let Effect::Append(key, record, _) = effect { (key, record) } else { unreachable!() }).collect()
}

fn answer(bench: &mut Bench) -> Option<Outcomes> {
    let at = bench.effects.iter().position(|effect| matches!(effect, Effect::Published(..)))?;
    let Effect::Published(_, outcomes) = bench.effects.remove(at) else { return None };
    Some(outcomes)
}

fn append_all(bench: &mut Bench) -> usize {
    let all = appends(bench);
    let count = all.len();
    for (offset, (key, _)) in all.into_iter().enumerate() {
        bench.input(Input::Appended(key, Ok(Appended { partition: 0, offset: offset as i64 })));
    }
    count
}

fn codes(outcomes: &Outcomes) -> Vec<&str> {
    outcomes.iter().map(|outcome| outcome.as_ref().map_or_else(|failed| failed.code.as_str(), |_| "ok")).collect()
}

#[test]
fn each_event_has_its_outcome_in_order_once_all_are_known() {
    let mut bench = Bench::new();
    bench.request(request("ada", &[EVENT, r#"{"data":1}"#, EVENT, "[]"]));
    let mut appends = appends(&mut bench);
    assert_eq!(appends.len(), 2);
    assert_ne!(appends[0].0.receipt.id, appends[1].0.receipt.id, "ids of one moment differ");
    let (second, _) = appends.pop().unwrap();
    bench.input(Input::Appended(second, Err(AppendError::Rejected("no".into()))));
    assert!(answer(&mut bench).is_none());
    let (first, record) = appends.pop().unwrap();
    assert!(record.headers.iter().all(|(name, _)| name != "tg_client"), "nobody said which client it is");
    bench.input(Input::Appended(first, Ok(Appended { partition: 0, offset: 7 })));
    let outcomes = answer(&mut bench).unwrap();
    assert_eq!(codes(&outcomes), ["ok", "invalid_event", "log_rejected", "invalid_event"]);
    assert_eq!(outcomes[1].as_ref().unwrap_err().pointer.as_deref(), Some("/type"));
}

#[test]
fn what_could_not_be_read_and_nothing_at_all_are_answered_too() {
    let mut bench = Bench::new();
    bench.request(request("ada", &[]));
    assert_eq!(answer(&mut bench).unwrap().len(), 0);
    let bad = Failed::new(ErrorCode::InvalidEvent, "no JSON");
    bench.request(Request { items: vec![Err(bad), Ok(offering(EVENT))], ..request("ada", &[]) });
    assert_eq!(append_all(&mut bench), 1);
    assert_eq!(codes(&answer(&mut bench).unwrap()), ["invalid_event", "ok"]);
}

#[test]
fn after_a_refusal_for_now_nothing_overtakes() {
    let mut bench = Bench::new();
    let burst = options(1).publish_events.burst as usize;
    let mut events = vec![EVENT; burst + 3];
    events[1] = r#"{"data":1}"#;
    events[burst + 2] = r#"{"data":1}"#;
    bench.request(request("ada", &events));
    append_all(&mut bench);
    let outcomes = answer(&mut bench).unwrap();
    let codes = codes(&outcomes);
    assert_eq!((codes[0], codes[1], codes[burst - 1]), ("ok", "invalid_event", "ok"));
    assert_eq!(codes[burst..], ["rate_limited"; 3]);
    assert!(outcomes[burst].as_ref().unwrap_err().retry_after_ms.is_some(), "says when to come back");
    bench.input(Input::LogAvailable(false));
    bench.now += 1_000;
    bench.request(request("ada", &[EVENT]));
    assert_eq!(self::codes(&answer(&mut bench).unwrap()), ["log_unavailable"]);
}

#[test]
fn one_account_for_all_requests_of_a_publisher() {
    let mut bench = Bench::new();
    let burst = options(1).publish_events.burst;
    for _ in 0..burst {
        bench.request(request("ada", &[EVENT]));
        append_all(&mut bench);
        assert_eq!(codes(&answer(&mut bench).unwrap()), ["ok"]);
    }
    bench.request(request("ada", &[EVENT]));
    assert_eq!(codes(&answer(&mut bench).unwrap()), ["rate_limited"]);
    bench.request(request("bob", &[EVENT]));
    append_all(&mut bench);
    assert_eq!(codes(&answer(&mut bench).unwrap()), ["ok"], "another's account is another");
    // Not forgotten before its account is full again.
    bench.tick(500);
    bench.request(request("ada", &[EVENT; 8]));
    append_all(&mut bench);
    assert_eq!(
        codes(&answer(&mut bench).unwrap()),
        ["ok", "ok", "ok", "ok", "ok", "rate_limited", "rate_limited", "rate_limited"]
    );
}

#[test]
fn no_more_unanswered_than_may_be() {
    let mut options = options(1);
    options.publish_events.burst = 10_000;
    let mut bench = Bench::with(options);
    bench.request(request("ada", &[EVENT; 256]));
    bench.request(request("ada", &[EVENT]));
    assert_eq!(codes(&answer(&mut bench).unwrap()), ["rate_limited"]);
    bench.tick(100_000);
    assert_eq!(append_all(&mut bench), 256);
    assert_eq!(answer(&mut bench).unwrap().len(), 256);
    bench.request(request("ada", &[EVENT]));
    assert_eq!(append_all(&mut bench), 1);
}

#[test]
fn an_id_given_beside_the_event_is_the_events() {
    let mut bench = Bench::new();
    let with = |event: &str| Offering { id: Some(ID.into()), ..offering(event) };
    bench.request(one(with(EVENT)));
    let [(key, record)] = appends(&mut bench).try_into().unwrap();
    let text = String::from_utf8(record.value.unwrap()).unwrap();
    assert!(
        text.contains(&format!(r#""id":"{ID}","#)) && text.contains(&format!(r#""correlation_id":"{ID}""#)),
        "{text}"
    );
    assert_eq!(key.receipt.id, ID);
    bench.request(one(with(&format!(r#"{{"type":"order.paid","id":"{}"}}"#, ID.to_uppercase()))));
    assert_eq!(appends(&mut bench).len(), 1, "the same one");
    bench.request(one(with(r#"{"type":"order.paid","id":"0199f3a0-4b1c-7d2e-8f00-aabbccddee00"}"#)));
    let outcomes = answer(&mut bench).unwrap();
    let failed = outcomes[0].as_ref().unwrap_err();
    assert_eq!((failed.code.as_str(), failed.pointer.as_deref()), ("invalid_event", Some("/id")));
}

#[test]
fn a_condition_decides_here_too() {
    let mut bench = Bench::new();
    let principal = principal("acme", "ada", &["clerk"]);
    let items = ["ada", "bob"].map(|user| Ok(offering(&format!(r#"{{"type":"a.b","data":{{"user":"{user}"}}}}"#))));
    bench.request(Request { principal, client: Some("tab".into()), items: items.into() });
    let appends = appends(&mut bench);
    assert_eq!(appends.len(), 1);
    assert!(appends[0].1.headers.contains(&("tg_client".into(), Some(b"tab".to_vec()))));
    bench.input(Input::Appended(appends[0].0.clone(), Ok(Appended { partition: 0, offset: 0 })));
    assert_eq!(codes(&answer(&mut bench).unwrap()), ["ok", "denied"]);
}

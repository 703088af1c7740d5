//! Heartbeats, expiry, draining, and the ledger's frames: by passing the time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tidegate_protocol::code;
use tidegate_protocol::frame::{ClientFrame, From, Subscribe};
use tidegate_protocol::ledger::{Column, Counts, Reading, Sessions};

use super::fixture::{NOW, principal};
use super::shard::{Bench, subscribe};
use crate::fanout::Input;
use crate::ledger::{NodeSnapshot, RowKey, ShardSnapshot};

#[test]
fn who_does_not_answer_a_ping_is_closed() {
    let mut bench = Bench::new();
    let (lively, dead) = (bench.live("acme"), bench.live("acme"));
    bench.tick(18_000);
    assert!(bench.told(lively).texts.is_empty());
    bench.tick(1_000);
    assert_eq!(bench.told(lively).kinds(), ["ping"]);
    bench.frame(lively, ClientFrame::Pong);
    bench.tick(7_000);
    assert_eq!(bench.told(dead).closed, None);
    bench.tick(1_000);
    assert_eq!(bench.told(dead).closed, Some(3003));
    let told = bench.told(lively);
    assert!(told.texts.is_empty() && told.closed.is_none());
    bench.tick(17_000);
    assert_eq!(bench.told(lively).kinds(), ["ping"]);
}

#[test]
fn nothing_is_counted_anew_for_sessions_that_only_answer_pings() {
    let mut bench = Bench::new();
    let (key, dead) = (bench.live("acme"), bench.live("acme"));
    let open = |snapshot: Option<ShardSnapshot>| snapshot.map(|snapshot| snapshot.sessions["acme"].open);
    assert_eq!(open(bench.shard.changed_snapshot()), Some(2));
    bench.tick(19_000);
    bench.frame(key, ClientFrame::Pong);
    assert_eq!(open(bench.shard.changed_snapshot()), None);
    bench.round(1, "acme", 10..12, 5);
    let rows = bench.shard.changed_snapshot().expect("something was sent").rows;
    assert_eq!(rows[0].1.sent, 4);
    assert_eq!(open(bench.shard.changed_snapshot()), None);
    bench.tick(8_000);
    assert_eq!(bench.told(dead).closed, Some(3003));
    assert_eq!(open(bench.shard.changed_snapshot()), Some(1));
}

#[test]
fn a_ping_holds_the_cursor_only_when_the_position_moved() {
    let mut bench = Bench::new();
    let key = bench.live("acme");
    bench.tick(19_000);
    assert!(!bench.told(key).texts[0].contains("cursor"));
    bench.frame(key, ClientFrame::Pong);
    // Another tenant's events move the position too.
    bench.round(1, "globex", 10..15, 10);
    assert!(bench.told(key).texts.is_empty());
    bench.tick(25_000);
    let text = bench.told(key).texts.remove(0);
    let token = text.split(r#""cursor":""#).nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(super::fixture::open(token), [(0, 15)].into());
}

#[test]
fn a_session_ends_with_its_token_unless_that_is_renewed() {
    let mut bench = Bench::new();
    let ending = |seconds: i64| {
        let mut principal = principal("acme", "ada", &["reader"]);
        (principal.expires, principal.ends) = (NOW + seconds * 1000, NOW + seconds * 1000 + 500);
        principal
    };
    let (old, renewed) = (bench.open_as(ending(10)), bench.open_as(ending(10)));
    bench.input(Input::Verified(renewed, 1, Ok(ending(15))));
    assert_eq!(bench.told(renewed).kinds(), ["refreshed"]);
    bench.tick(9_999);
    assert_eq!(bench.told(old).closed, None);
    bench.tick(1);
    let told = bench.told(old);
    assert_eq!((told.error().code.as_str(), told.closed), ("token_expired", Some(3002)));
    assert_eq!(bench.told(renewed).closed, None);
    bench.tick(5_000);
    assert_eq!(bench.told(renewed).closed, Some(3002));
    assert_eq!(bench.shard.session_count(), 0);
}

#[test]
fn draining_spreads_who_comes_back() {
    let mut bench = Bench::new();
    let keys: Vec<_> = (0..4).map(|_| bench.live("acme")).collect();
    bench.input(Input::Drain(4_000));
    let told: Vec<_> = keys.iter().map(|&key| bench.told(key)).collect();
    // Their sessions go on until they leave by themselves, or the node does.
    assert!(told.iter().all(|told| told.closed.is_none()));
    let delays: Vec<String> = told.into_iter().map(|told| told.texts[0].clone()).collect();
    let expected = [0, 1000, 2000, 3000].map(|delay| format!(r#"{{"reconnect":{{"delay_ms":{delay}}}}}"#));
    assert_eq!(delays, expected);
    bench.input(Input::EndAll(code::GOING_AWAY));
    assert!(keys.iter().all(|&key| bench.told(key).closed == Some(3001)));
}

fn snapshot() -> Arc<NodeSnapshot> {
    let row = |tenant: &str, topic: &str, kind: &str, sent| {
        let key = RowKey { tenant: tenant.into(), topic: topic.into(), event_type: kind.into(), consumer: "".into() };
        (Arc::new(key), Counts { sent, ..Counts::default() })
    };
    let mut rows =
        vec![row("acme", "orders", "a.a", 1), row("acme", "orders", "a.b", 2), row("globex", "orders", "a.a", 4)];
    rows.extend((0..300).map(|n| row("initech", "orders", &format!("x.{n}"), 1000 + n)));
    let sessions = [("acme", 1), ("globex", 2)].map(|(t, open)| (t.into(), Sessions { open, ..Sessions::default() }));
    Arc::new(NodeSnapshot {
        node: "n".into(),
        incarnation: "i".into(),
        at: NOW,
        rows,
        topics: BTreeMap::from([("orders".into(), Reading { records: 7, events: 7, ..Reading::default() })]),
        sessions: HashMap::from(sessions),
    })
}

fn observe(bench: &mut Bench, roles: &[&str], group_by: Vec<Column>) -> crate::fanout::SessionKey {
    let key = bench.open("acme", roles);
    let ClientFrame::Subscribe(plain) = subscribe(1, "$ledger", From::Latest) else { unreachable!() };
    bench.frame(key, ClientFrame::Subscribe(Subscribe { group_by, ..plain }));
    assert_eq!(bench.told(key).kinds(), ["subscribed"]);
    key
}

#[test]
fn an_observer_sees_its_own_tenant_grouped_as_asked() {
    let mut bench = Bench::new();
    let one = observe(&mut bench, &["observer"], vec![]);
    let by_type = observe(&mut bench, &["observer"], vec![Column::Type, Column::Tenant]);
    bench.input(Input::Ledger(snapshot()));
    let text = bench.told(one).texts.remove(0);
    assert!(text.contains(r#""rows":[{"sent":3}]"#) && text.contains(r#""open":1"#), "{text}");
    let text = bench.told(by_type).texts.remove(0);
    assert!(
        text.contains(r#"{"tenant":"acme","type":"a.a","sent":1},{"tenant":"acme","type":"a.b","sent":2}"#),
        "{text}"
    );
    assert!(!text.contains("globex") && !text.contains("initech") && !text.contains("records"), "{text}");
}

#[test]
fn an_observer_of_all_sees_the_largest_rows_and_the_rest_as_one() {
    let mut bench = Bench::new();
    let all = observe(&mut bench, &["operator"], vec![Column::Tenant, Column::Type]);
    bench.input(Input::Ledger(snapshot()));
    let text = bench.told(all).texts.remove(0);
    assert_eq!(text.matches(r#""type":"#).count(), 200);
    assert!(text.contains("x.299") && !text.contains(r#""x.99""#));
    // 0 to 99 of initech, and the small rows of the others.
    let other = (1000..1100u64).sum::<u64>() + 7;
    assert!(text.contains(&format!(r#""other":{{"sent":{other}}}"#)) && text.contains(r#""open":3"#), "{text}");
    assert!(text.contains(r#""records":7"#));
}

#[test]
fn ledger_frames_are_newest_only() {
    let mut bench = Bench::new();
    let key = observe(&mut bench, &["observer"], vec![]);
    bench.input(Input::Ledger(snapshot()));
    bench.input(Input::Ledger(snapshot()));
    assert_eq!(bench.told(key).kinds(), ["ledger"], "the second found the first not taken yet");
    bench.input(Input::Ledger(snapshot()));
    assert_eq!(bench.told(key).kinds(), ["ledger"]);
}

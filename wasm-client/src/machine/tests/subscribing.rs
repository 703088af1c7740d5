//! Subscriptions: shared, grown, moved, resumed, ended.

use tidegate_protocol::frame::{From, LedgerReport, Moved, MovedReason, Ping};
use tidegate_protocol::ledger::Column;

use super::*;

fn unsubscribes(bench: &Bench) -> usize {
    bench.sent.iter().filter(|frame| matches!(frame, ClientFrame::Unsubscribe(_))).count()
}

fn cursor(tokens: &[&str]) -> From {
    From::Cursor(tokens.iter().map(ToString::to_string).collect())
}

#[test]
fn components_share_one_and_the_last_ends_it() {
    let mut bench = Bench::open();
    let first = bench.want("orders", &["order.created"]);
    let asked = bench.accept(1, 5, "full");
    assert_eq!((asked.types, asked.from), (vec!["order.created".to_owned()], From::Latest));
    let second = bench.want("orders", &["order.created"]);
    assert_eq!(bench.sent, []);
    let dispatch = bench.batch(1, 5, "d5", 10).unwrap();
    assert_eq!(dispatch.members.iter().map(|m| m.handle).collect::<Vec<_>>(), [first, second]);
    bench.with(|machine, now| machine.unsubscribe(now, first));
    assert_eq!(unsubscribes(&bench), 0);
    bench.with(|machine, now| machine.unsubscribe(now, second));
    assert_eq!(unsubscribes(&bench), 1);
    let late = bench.batch(1, 6, "d6", 10).unwrap();
    assert!(late.members.is_empty());
    bench.let_go();
}

#[test]
fn more_types_resume_from_the_cursor_after_the_last_batch() {
    let mut bench = Bench::open();
    bench.want("orders", &["order.created"]);
    bench.accept(1, 5, "full");
    let other = bench.want("orders", &["order.paid"]);
    assert!(bench.batch(1, 5, "d5", 10).is_some());
    assert!(!bench.sent.iter().any(|frame| matches!(frame, ClientFrame::Subscribe(_))));
    bench.let_go();
    let asked = bench.accept(2, 0, "full2");
    assert_eq!(asked.types, ["order.created", "order.paid"]);
    assert_eq!(asked.from, cursor(&["full", "d5"]));
    assert!(bench.effects.iter().any(|e| matches!(e, Effect::Subscribed { handles, .. } if handles.contains(&other))));
}

#[test]
fn another_beginning_conflicts_and_none_joins() {
    let mut bench = Bench::open();
    let from = |from| Want { topic: "orders".into(), from, ..Want::default() };
    bench.with(|machine, now| machine.subscribe(now, from(Some(From::Earliest)))).unwrap();
    assert!(bench.with(|machine, now| machine.subscribe(now, from(None))).is_ok());
    let refused = bench.with(|machine, now| machine.subscribe(now, from(Some(From::Latest)))).unwrap_err();
    assert_eq!(refused.code, "already_subscribed");
    let consumer = Want { consumer: Some("printer".into()), ..from(Some(From::Latest)) };
    assert!(bench.with(|machine, now| machine.subscribe(now, consumer)).is_ok());
}

#[test]
fn types_that_are_covered_already_are_not_asked_for_again() {
    let mut bench = Bench::open();
    let all = bench.want("orders", &["order.*"]);
    assert_eq!(bench.accept(1, 0, "full").types, ["order.*"]);
    let one = bench.want("orders", &["order.created"]);
    assert_eq!(bench.sent, []);
    let members = bench.batch(1, 0, "d0", 10).unwrap().members;
    let takers = |event_type| members.iter().filter(|m| m.takes(event_type)).map(|m| m.handle).collect::<Vec<_>>();
    assert_eq!(
        (takers("order.created"), takers("order.line.added"), takers("cart.add")),
        (vec![all, one], vec![all], vec![])
    );
    bench.want("orders", &["cart.add"]);
    bench.let_go();
    assert_eq!(bench.asked().types, ["order.*", "cart.add"]);
}

#[test]
fn keys_are_asked_for_and_others_conflict() {
    let of = |keys: &[&str]| Want {
        topic: "orders".into(),
        keys: keys.iter().map(ToString::to_string).collect(),
        ..Want::default()
    };
    let mut bench = Bench::open();
    let mut want = |keys| bench.with(|machine, now| machine.subscribe(now, of(keys)));
    want(&["order/2", "order/1", "order/2"]).unwrap();
    want(&["order/1", "order/2"]).unwrap();
    for other in [&["order/1"][..], &[], &["order/1", "order/2", "order/3"]] {
        assert_eq!(want(other).unwrap_err().code, "already_subscribed");
    }
    assert_eq!(bench.accept(1, 0, "full").keys, ["order/2", "order/1"]);
    bench.reconnect();
    let asked = bench.asked();
    assert_eq!((asked.keys, asked.from), (vec!["order/2".to_owned(), "order/1".to_owned()], cursor(&["full"])));
}

#[test]
fn a_new_one_waits_until_the_old_one_is_gone() {
    let mut bench = Bench::open();
    let old = bench.want("orders", &[]);
    bench.accept(1, 0, "full");
    bench.with(|machine, now| machine.unsubscribe(now, old));
    bench.want("orders", &[]);
    assert!(!bench.sent.iter().any(|frame| matches!(frame, ClientFrame::Subscribe(_))));
    bench.let_go();
    assert_eq!(bench.asked().from, From::Latest);
}

#[test]
fn closing_before_the_answer_ends_it_after_the_answer() {
    let mut bench = Bench::open();
    let handle = bench.want("orders", &[]);
    bench.with(|machine, now| machine.unsubscribe(now, handle));
    bench.accept(1, 0, "full");
    assert_eq!(unsubscribes(&bench), 1);
    assert_eq!(bench.effects, []);
}

#[test]
fn resumes_with_the_newest_full_cursor_and_the_deltas_since() {
    let mut bench = Bench::open();
    bench.want("orders", &[]);
    bench.accept(1, 0, "full");
    bench.batch(1, 0, "d0", 10).unwrap();
    bench.frame(ServerFrame::Ping(Ping { cursors: vec![(101, "newer".into())] }));
    for seq in 1..=80 {
        bench.batch(1, seq, &format!("d{seq}"), 10).unwrap();
    }
    bench.reconnect();
    let From::Cursor(tokens) = bench.accept(7, 3, "full").from else { panic!() };
    assert_eq!((tokens.len(), &*tokens[0], &*tokens[1], &*tokens[80]), (81, "newer", "d1", "d80"));
    assert!(bench.batch(7, 3, "d", 10).is_some());
}

#[test]
fn a_full_cursor_of_a_batch_replaces_what_came_before() {
    let mut bench = Bench::open();
    bench.want("orders", &[]);
    bench.accept(1, 0, "full");
    for (seq, token) in (0..).zip(["d0", "full1", "d2"]) {
        bench.batch(1, seq, token, 10).unwrap();
    }
    bench.reconnect();
    assert_eq!(bench.accept(7, 3, "full").from, cursor(&["full1", "d2"]));
}

#[test]
fn a_gap_in_a_view_reconnects_and_dispatches_nothing() {
    for (view, seq) in [(1, 1), (2, 0)] {
        let mut bench = Bench::open();
        bench.want("orders", &[]);
        bench.accept(1, 0, "full");
        assert!(bench.batch(view, seq, "d", 10).is_none());
        assert!(matches!(bench.machine.state(), State::Waiting { problem, .. } if problem.code == "protocol_error"));
    }
}

#[test]
fn moving_changes_the_view_and_only_losses_are_told() {
    let moved = |reason, recovered| {
        let at = Joined { view: 9, seq: 40 };
        ServerFrame::Moved(Moved { subscription: 101, at, recovered, reason, gap: None })
    };
    let mut bench = Bench::open();
    let handle = bench.want("orders", &[]);
    bench.accept(1, 0, "full");
    bench.clear();
    bench.frame(moved(MovedReason::Live, true));
    assert_eq!(bench.effects, []);
    assert!(bench.batch(9, 40, "d", 10).is_some());
    bench.frame(moved(MovedReason::LogChanged, false));
    let reason = MovedReason::LogChanged;
    assert_eq!(bench.effects, [Effect::Moved { handles: vec![handle], reason, recovered: false, gap: None }]);
    // Deltas of the new topic do not continue the old one's cursor.
    assert!(bench.batch(9, 40, "of the new topic", 10).is_some());
    bench.reconnect();
    assert_eq!(bench.asked().from, cursor(&["full"]));
}

#[test]
fn an_error_ends_all_handles_of_its_subscription() {
    let mut bench = Bench::open();
    let handles = [bench.want("orders", &[]), bench.want("orders", &[])];
    bench.accept(1, 0, "full");
    bench.clear();
    bench.refuse(None, Some(101), ErrorCode::Denied);
    let ended: Vec<Handle> = bench
        .effects
        .iter()
        .map(|effect| match effect {
            Effect::Ended { handle, problem } if problem.code == "denied" => *handle,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ended, handles);
    bench.reconnect();
    assert!(!bench.sent.iter().any(|frame| matches!(frame, ClientFrame::Subscribe(_))));
}

#[test]
fn a_passing_refusal_is_asked_again() {
    let mut bench = Bench::open();
    bench.want("orders", &[]);
    let id = bench.asked().id;
    bench.refuse(Some(id), None, ErrorCode::LogUnavailable);
    assert_eq!(bench.effects, []);
    bench.pass(1000);
    bench.asked();
}

#[test]
fn a_cursor_that_is_refused_goes_on_with_the_latest_and_says_so() {
    let mut bench = Bench::open();
    let handle = bench.want("orders", &[]);
    bench.accept(1, 0, "full");
    bench.reconnect();
    bench.effects.clear();
    let asked = bench.asked();
    bench.refuse(Some(asked.id), None, ErrorCode::InvalidCursor);
    let again = bench.accept(2, 0, "fresh");
    assert_eq!(again.from, From::Latest);
    assert_eq!(bench.effects, [Effect::Subscribed { handles: vec![handle], recovered: false }]);
}

#[test]
fn the_ledger_hands_out_totals() {
    let mut bench = Bench::open();
    let want = Want { topic: "$ledger".into(), group_by: vec![Column::Topic], ..Want::default() };
    let handle = bench.with(|machine, now| machine.subscribe(now, want)).unwrap();
    assert_eq!(bench.accept(3, 0, "").group_by, [Column::Topic]);
    bench.clear();
    let report = LedgerReport { subscription: 103, ..LedgerReport::default() };
    bench.frame(ServerFrame::Ledger(report.clone()));
    assert_eq!(bench.effects, [Effect::Ledger { handles: vec![handle], report }]);
    bench.reconnect();
    assert_eq!(bench.asked().from, From::Latest);
}

#[test]
fn closing_the_client_ends_every_handle() {
    let mut bench = Bench::open();
    let handle = bench.want("orders", &[]);
    bench.with(Machine::close);
    assert!(bench.effects.iter().any(|e| matches!(e, Effect::Ended { handle: of, .. } if *of == handle)));
    let want = Want { topic: "orders".into(), ..Want::default() };
    assert_eq!(bench.with(|machine, now| machine.subscribe(now, want)).unwrap_err().code, "closed");
}

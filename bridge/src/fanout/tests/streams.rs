//! Sessions that do not answer: streams of frames, and readers of one topic's events.

use std::sync::Arc;

use tidegate_gate::{Principal, Revocation};
use tidegate_protocol::frame::From;
use tidegate_protocol::ledger::Counts;

use super::fixture::{NOW, open, options, principal};
use super::shard::{Bench, subscribe};
use crate::fanout::{Effect, Input, SessionKey};
use crate::session::Format;

fn ada() -> Principal {
    principal("acme", "ada", &["reader", "replayer"])
}

/// A session of that format, live on `orders` at offset 10 of partition 0.
fn live(bench: &mut Bench, format: Format) -> SessionKey {
    let key = bench.open_in(format, ada());
    bench.frame(key, subscribe(1, "orders", From::Latest));
    bench.follow("orders", 1, &[(0, 10)]);
    key
}

fn counts(bench: &Bench) -> Counts {
    let mut sum = Counts::default();
    for (_, counts) in bench.shard.snapshot().rows {
        assert_eq!(counts.law_1(), Ok(()));
        sum.add(&counts);
    }
    sum
}

/// The ids of a stream, as its reader keeps them.
fn ids(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("id: ")).collect()
}

/// The events' own ids, in order.
fn numbers(text: &str) -> Vec<i64> {
    let numbers = text.split(r#"{"id":""#).skip(1);
    numbers.map(|rest| rest.split('"').next().unwrap().parse().unwrap()).collect()
}

fn closed(bench: &Bench, key: SessionKey) -> bool {
    bench.effects.iter().any(|effect| matches!(effect, Effect::Close(of) if *of == key))
}

#[test]
fn a_stream_holds_the_same_frames() {
    let mut bench = Bench::new();
    let key = live(&mut bench, Format::Stream);
    let text = bench.taken(key);
    let messages: Vec<&str> = text.split_terminator("\n\n").collect();
    assert!(messages[0].starts_with(r#"data: {"welcome":{"session":"#), "{text}");
    assert!(messages[1].starts_with(r#"data: {"subscribed":{"id":1,"#), "{text}");
    bench.round(1, "acme", 10..12, 5);
    let text = bench.taken(key);
    assert!(text.starts_with(r#"data: {"batch":{"view":"#) && text.ends_with("\"}}\n\n"), "{text}");
    assert_eq!((text.lines().count(), numbers(&text)), (2, vec![10, 11]));
}

#[test]
fn formats_do_not_share_bytes() {
    let mut bench = Bench::new();
    let keys = [Format::WebSocket, Format::Stream, Format::Events].map(|format| live(&mut bench, format));
    for key in keys {
        bench.taken_raw(key);
    }
    bench.round(1, "acme", 10..11, 5);
    let said = keys.map(|key| bench.taken_raw(key));
    assert_eq!(said[0][0], 0x81);
    assert!(said[1].starts_with(b"data: {\"batch\"") && said[2].starts_with(b"event: order.paid\ndata: {\"id\""));
}

#[test]
fn what_was_taken_is_consumed_and_returns_credit() {
    let mut options = options(1);
    options.limits.credit = 1_000;
    let mut bench = Bench::with(options);
    let key = live(&mut bench, Format::Stream);
    bench.taken(key);
    bench.round(1, "acme", 10..13, 600);
    let sent = Counts { sent: 3, ..Counts::default() };
    assert_eq!(counts(&bench), sent, "in the outbox, and no more");
    // More than its credit: the rest of the log waits.
    bench.round(1, "acme", 13..14, 600);
    bench.feed();
    assert_eq!(counts(&bench), sent);
    // All but the last byte is nothing yet.
    let until = bench.outbox(key).borrow().pushed();
    bench.input(Input::Taken(key, until - 1));
    assert_eq!(counts(&bench), sent);
    let mut got = numbers(&bench.taken(key));
    let taken = Counts { received: 3, consumed: 3, unreported: 3, ..sent };
    assert_eq!(counts(&bench), taken);
    bench.feed();
    got.extend(numbers(&bench.taken(key)));
    assert_eq!(got, [10, 11, 12, 13]);
    // What it never took is sent, and has no fate.
    bench.round(1, "acme", 14..15, 5);
    bench.feed();
    bench.input(Input::Gone(key));
    assert_eq!(counts(&bench), Counts { sent: 5, received: 4, consumed: 4, unreported: 4, ..Counts::default() });
}

#[test]
fn a_socket_that_reports_is_not_settled_by_what_it_took() {
    let mut bench = Bench::new();
    let key = bench.live("acme");
    bench.round(1, "acme", 10..11, 5);
    bench.input(Input::Taken(key, u64::MAX));
    assert_eq!(counts(&bench), Counts { sent: 1, ..Counts::default() });
}

#[test]
fn a_reader_is_answered_before_anything_is_said() {
    let mut bench = Bench::new();
    for (topic, from, code) in [
        ("nowhere", From::Latest, "denied"),
        ("orders", From::Cursor(vec!["forged".into()]), "invalid_cursor"),
        ("orders", From::Latest, ""),
    ] {
        let key = bench.open_in(Format::Events, ada());
        bench.input(Input::LogAvailable(code.is_empty()));
        bench.frame(key, subscribe(1, topic, from));
        bench.follow("orders", 1, &[(0, 10)]);
        let said = bench.taken(key);
        if code.is_empty() {
            assert!(bench.effects.iter().any(|effect| matches!(effect, Effect::Accepted(of) if *of == key)));
            assert_eq!(open(ids(&said)[0]), [(0, 10)].into());
            continue;
        }
        let refused = bench.effects.iter().find_map(|effect| match effect {
            Effect::Refused(of, failed) if *of == key => Some(failed.code.clone()),
            _ => None,
        });
        assert_eq!((refused.as_deref(), said.as_str()), (Some(code), ""));
        assert!(closed(&bench, key));
    }
    let without = principal("acme", "ada", &["reader"]);
    let key = bench.open_in(Format::Events, without);
    bench.frame(key, subscribe(1, "orders", From::Earliest));
    assert!(closed(&bench, key), "to replay needs a grant");
    assert_eq!(bench.shard.session_count(), 1);
}

#[test]
fn the_last_id_of_a_reader_is_where_it_goes_on() {
    let mut bench = Bench::new();
    let key = live(&mut bench, Format::Events);
    let mut said = bench.taken(key);
    bench.round(1, "acme", 10..13, 5);
    said += &bench.taken(key);
    assert_eq!((numbers(&said), ids(&said).len()), (vec![10, 11, 12], 2), "{said}");
    assert_eq!(open(ids(&said)[1]), [(0, 13)].into());
    let blocks: Vec<&str> = said.split_terminator("\n\n").collect();
    assert!(blocks[1].starts_with("event: order.paid\ndata: {") && !blocks[1].contains("\nid: "), "{said}");
    assert!(blocks[3].contains("\nid: "), "the id stands on the last event");
    // Another's events move it on too: told with the heartbeat.
    bench.round(1, "globex", 13..15, 5);
    assert_eq!(bench.taken(key), "");
    bench.tick(25_000);
    let beat = bench.taken(key);
    assert_eq!((beat.starts_with(": still here\nid: "), open(ids(&beat)[0])), (true, [(0, 15)].into()));
    // It comes back with the id of the first batch: what lies between is in the window.
    let at = From::Cursor(vec![ids(&said)[0].to_owned()]);
    bench.input(Input::Gone(key));
    let key = bench.open_in(Format::Events, ada());
    bench.frame(key, subscribe(1, "orders", at));
    bench.feed();
    let again = bench.taken(key);
    assert_eq!(numbers(&again), [10, 11, 12]);
    assert_eq!(open(ids(&again)[1]), [(0, 15)].into());
}

#[test]
fn every_batch_of_history_ends_with_a_position_to_go_on_from() {
    let mut bench = Bench::new();
    let first = live(&mut bench, Format::Events);
    let from = ids(&bench.taken(first))[0].to_owned();
    bench.round(1, "acme", 10..20, 30_000);
    let key = bench.open_in(Format::Events, ada());
    bench.frame(key, subscribe(1, "orders", From::Cursor(vec![from])));
    let mut said = String::new();
    for _ in 0..8 {
        bench.feed();
        said += &bench.taken(key);
    }
    assert_eq!(numbers(&said), (10..20).collect::<Vec<_>>());
    let mut reached = 10;
    for block in said.split_terminator("\n\n").filter(|block| block.starts_with("event: order.paid")) {
        reached = *numbers(block).last().unwrap() + 1;
        if let [id] = ids(block)[..] {
            // Not beyond what was sent before it, so that nothing is lost to who comes back with it.
            assert!(open(id)[&0] == reached || reached == 20, "{:?} {reached}", open(id));
        }
    }
    assert_eq!(reached, 20);
}

#[test]
fn expiry_and_the_end_of_the_node_are_the_last_words() {
    for format in [Format::Stream, Format::Events] {
        let mut bench = Bench::new();
        let mut short = ada();
        short.expires = bench.now + 5_000;
        let key = bench.open_in(format, short);
        bench.frame(key, subscribe(1, "orders", From::Latest));
        bench.follow("orders", 1, &[(0, 10)]);
        bench.taken(key);
        bench.tick(5_000);
        let last = bench.taken(key);
        assert!(closed(&bench, key));
        assert_eq!(last.matches("token_expired").count(), if format == Format::Stream { 2 } else { 1 }, "{last}");
        assert!(last.ends_with("\n\n"), "{last}");
        match format {
            Format::Stream => assert!(last.contains("event: close\ndata: {\"code\":3002,"), "{last}"),
            _ => assert!(last.starts_with("event: error\ndata: {\"code\":\"token_expired\","), "{last}"),
        }
    }
}

#[test]
fn who_is_revoked_is_told_no_more_than_that() {
    for format in [Format::Stream, Format::Events] {
        let mut bench = Bench::new();
        let key = live(&mut bench, format);
        bench.taken(key);
        bench.round(1, "acme", 10..12, 5);
        let target = "tenant/acme".parse().unwrap();
        let revocation = Revocation { target, issued_before: NOW, until: None, reason: None };
        bench.input(Input::Revoked(Arc::new(revocation)));
        let last = bench.taken(key);
        assert!(closed(&bench, key) && last.contains("revoked") && !last.contains("order.paid"), "{last}");
        assert_eq!(counts(&bench), Counts { sent: 2, ..Counts::default() });
    }
}

#[test]
fn a_drained_reader_is_ended_when_it_is_its_turn() {
    let mut bench = Bench::new();
    let [stays, goes] = [Format::Stream, Format::Events].map(|format| live(&mut bench, format));
    bench.input(Input::Drain(10_000));
    assert!(bench.taken(goes).contains("event: reconnect\ndata: {\"delay_ms\":5000}"));
    bench.tick(4_000);
    assert!(!closed(&bench, goes));
    bench.tick(1_000);
    assert!(closed(&bench, goes) && !closed(&bench, stays));
    assert!(bench.taken(goes).contains("going_away"));
}

#[test]
fn who_takes_nothing_is_ended_and_who_takes_little_is_not() {
    let mut bench = Bench::new();
    let [dead, slow] = [(); 2].map(|()| live(&mut bench, Format::Events));
    bench.taken(slow);
    for _ in 0..4 {
        bench.tick(25_000);
        bench.outbox(slow).borrow_mut().take(1);
    }
    assert!(closed(&bench, dead) && !closed(&bench, slow));
    assert_eq!(bench.shard.session_count(), 1);
}

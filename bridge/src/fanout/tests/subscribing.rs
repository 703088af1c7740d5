//! Subscribing: what is refused, where it begins, when it ends.

use std::sync::Arc;

use tidegate_gate::TokenError;
use tidegate_log::{Bounds, ReadError, TopicKey};
use tidegate_protocol::cursor::Cursor;
use tidegate_protocol::frame::{ClientFrame, From, Subscribe};

use super::fixture::{options, principal, sealer};
use super::shard::{Bench, ID, refresh, subscribe, unsubscribe};
use crate::fanout::{Effect, HistoryKey, Input};
use crate::feed::Round;
use crate::feed::catch_up::History;

fn cursor(tenant: &str, topic: &str, topic_id: [u8; 16], offset: i64) -> Cursor {
    Cursor { tenant: tenant.into(), topic: topic.into(), topic_id, full: true, offsets: [(0, offset)].into() }
}

#[test]
fn what_is_not_granted_or_not_there_is_denied_alike() {
    let mut bench = Bench::new();
    let stranger = bench.open("acme", &[]);
    let reader = bench.open("acme", &["reader"]);
    let hidden = bench.subscribe(stranger, "orders", From::Latest).error();
    let absent = bench.subscribe(reader, "nowhere", From::Latest).error();
    assert_eq!((hidden.code.as_str(), hidden.id), ("denied", Some(1)));
    assert_eq!(hidden, absent);
    for from in [From::Earliest, From::Time(0)] {
        assert_eq!(bench.subscribe(reader, "orders", from).error().code, "denied", "without replay");
    }
    assert_eq!(bench.subscribe(reader, "$ledger", From::Latest).error().code, "denied", "without observe");
    assert!(bench.effects.is_empty(), "nothing is asked of the feed: {:?}", bench.effects);
}

#[test]
fn named_consumers_are_unsupported() {
    let mut bench = Bench::new();
    let key = bench.open("acme", &["reader"]);
    let ClientFrame::Subscribe(plain) = subscribe(1, "orders", From::Latest) else { unreachable!() };
    bench.frame(key, ClientFrame::Subscribe(Subscribe { consumer: Some("printer".into()), ..plain }));
    assert_eq!(bench.told(key).error().code, "unsupported");
}

#[test]
fn one_subscription_a_topic_whether_answered_or_not() {
    let mut bench = Bench::new();
    let key = bench.open("acme", &["reader"]);
    bench.subscribe(key, "orders", From::Latest);
    assert_eq!(bench.subscribe(key, "orders", From::Latest).error().code, "already_subscribed");
    bench.follow("orders", 1, &[(0, 10)]);
    assert_eq!(bench.told(key).kinds(), ["subscribed"]);
    assert_eq!(bench.subscribe(key, "orders", From::Latest).error().code, "already_subscribed");
    bench.frame(key, unsubscribe(2, 1));
    assert_eq!(bench.told(key).kinds(), ["unsubscribed"]);
    assert_eq!(bench.subscribe(key, "orders", From::Latest).kinds(), ["subscribed"]);
    bench.frame(key, unsubscribe(2, 1));
    assert_eq!(bench.told(key).error().code, "unknown_subscription");
}

#[test]
fn too_many_subscriptions_are_refused_also_while_they_wait() {
    let mut options = options(1);
    options.limits.subscriptions = 1;
    let mut bench = Bench::with(options);
    let key = bench.open("acme", &["reader"]);
    bench.subscribe(key, "orders", From::Latest);
    assert_eq!(bench.subscribe(key, "audit", From::Latest).error().code, "too_many_subscriptions");
}

#[test]
fn cursors_of_others_and_forged_ones_are_refused() {
    let mut bench = Bench::new();
    let key = bench.live("acme");
    bench.frame(key, unsubscribe(2, 1));
    bench.told(key);
    let ours = sealer(7).seal(&cursor("acme", "orders", ID, 10));
    let mut forged = ours.clone();
    forged.replace_range(60..61, if &ours[60..61] == "A" { "B" } else { "A" });
    let delta = Cursor { full: false, ..cursor("acme", "orders", ID, 10) };
    for (token, why) in [
        (sealer(7).seal(&cursor("globex", "orders", ID, 10)), "another tenant's"),
        (sealer(7).seal(&cursor("acme", "acme.audit", ID, 10)), "another topic's"),
        (sealer(7).seal(&delta), "no full one"),
        (forged, "forged"),
        ("?".to_owned(), "no token"),
    ] {
        let error = bench.subscribe(key, "orders", From::Cursor(vec![token])).error();
        assert_eq!((error.code.as_str(), error.id), ("invalid_cursor", Some(1)), "{why}");
    }
    assert_eq!(bench.subscribe(key, "orders", From::Cursor(vec![ours.clone(); 130])).error().code, "malformed_frame");
    assert_eq!(bench.subscribe(key, "orders", From::Cursor(vec![ours])).kinds(), ["subscribed"], "ours is good");
}

#[test]
fn a_cursor_of_a_topic_made_anew_begins_at_the_new_ones_beginning() {
    let mut bench = Bench::new();
    let key = bench.live("acme");
    bench.frame(key, unsubscribe(2, 1));
    bench.told(key);
    let older = sealer(7).seal(&cursor("acme", "orders", [1; 16], 4));
    let told = bench.subscribe(key, "orders", From::Cursor(vec![older]));
    assert_eq!(told.kinds(), ["subscribed", "moved"]);
    assert!(
        told.texts[1].contains("log_changed") && !told.texts[0].contains(r#""recovered":true"#),
        "{:?}",
        told.texts
    );
    bench.feed();
    assert!(matches!(&bench.effects[..], [.., Effect::Read(key)] if key.part.from == 0), "{:?}", bench.effects);
}

#[test]
fn cursors_from_before_the_topic_was_there_hold() {
    let mut bench = Bench::new();
    let key = bench.open("acme", &["reader"]);
    bench.subscribe(key, "orders", From::Latest);
    bench.follow("orders", 1, &[]);
    let early = token(&bench.told(key).texts[0]);
    bench.input(Input::TopicOpened { topic: TopicKey(1), id: ID, offsets: [(0, 0)].into() });
    let told = bench.told(key);
    assert_eq!(told.kinds(), ["ping"], "a full cursor of the topic's own id");
    let full = token(&told.texts[0]);
    bench.round(1, "acme", 0..2, 10);
    let delta = token(&bench.told(key).texts[0]);
    for (cursors, expected) in [(vec![full, delta], 2), (vec![early], 0)] {
        bench.frame(key, unsubscribe(2, 1));
        bench.told(key);
        let told = bench.subscribe(key, "orders", From::Cursor(cursors));
        assert_eq!(told.kinds(), ["subscribed"]);
        assert!(told.texts[0].contains(r#""recovered":true"#));
        assert_eq!(super::fixture::open(&token(&told.texts[0])), [(0, expected)].into());
        bench.frame(key, unsubscribe(2, 2));
        bench.told(key);
    }
}

/// What the shard asks of the log, newest last.
fn reads(bench: &Bench) -> Vec<HistoryKey> {
    let reads = bench.effects.iter().filter_map(|effect| match effect {
        Effect::Read(key) => Some(key.clone()),
        _ => None,
    });
    reads.collect()
}

#[test]
fn history_of_the_older_topic_is_not_taken_for_the_newer_ones() {
    let mut bench = Bench::new();
    let key = bench.open("acme", &["reader", "replayer"]);
    bench.subscribe(key, "orders", From::Earliest);
    bench.follow("orders", 1, &[(0, 10)]);
    bench.feed();
    let older = reads(&bench).pop().unwrap();
    bench.input(Input::TopicClosed(TopicKey(1)));
    bench.input(Input::TopicOpened { topic: TopicKey(1), id: [8; 16], offsets: [(0, 0)].into() });
    bench.feed();
    bench.told(key);
    let mut round = Round::default();
    round.put((TopicKey(1), 0, 3), "acme", "order.paid", |out| out.push_str(r#"{"event":{"id":"old"}}"#));
    bench.input(Input::History(older, Ok(History { round: Arc::new(round), next: 10, bytes: 0 })));
    bench.feed();
    bench.round(1, "acme", 0..2, 10);
    bench.feed();
    let texts = bench.told(key).texts.concat();
    assert!(!texts.contains("old") && texts.contains(r#""id":"0""#) && texts.contains(r#""id":"1""#), "{texts}");
}

#[test]
fn what_retention_took_from_a_reader_that_stood_there_is_said() {
    let mut options = options(1);
    options.window_bytes = 600;
    let mut bench = Bench::with(options);
    let holder = bench.live("acme");
    let key = bench.open("acme", &["reader", "replayer"]);
    // The window holds all from 10 on, and this reader takes 10 from it.
    let at = |offset| vec![sealer(7).seal(&cursor("acme", "orders", ID, offset))];
    bench.subscribe(key, "orders", From::Cursor(at(10)));
    bench.told(key);
    bench.round(1, "acme", 10..11, 10);
    assert_eq!(bench.told(key).kinds(), ["batch"]);
    bench.frame(key, unsubscribe(2, 1));
    bench.told(key);
    for offset in 11..40 {
        bench.round(1, "acme", offset..offset + 1, 50);
    }
    bench.told(holder);
    bench.subscribe(key, "orders", From::Cursor(at(11)));
    bench.feed();
    bench.told(key);
    let read = reads(&bench).pop().unwrap();
    assert_eq!(read.part.from, 11);
    bench.input(Input::History(read, Err(ReadError::OutOfRange(Bounds { earliest: 20, end: 40 }))));
    let told = bench.told(key);
    assert_eq!(told.kinds(), ["moved"]);
    assert!(told.texts[0].contains("expired"), "{:?}", told.texts);
}

#[test]
fn the_window_of_a_topic_that_opens_late_is_not_entered_before_its_beginning() {
    let mut bench = Bench::new();
    let key = bench.live("acme");
    bench.frame(key, unsubscribe(2, 1));
    bench.told(key);
    // Another node's feed knows of a partition that this one's has not found yet.
    let known = Cursor { offsets: [(0, 10), (1, 2)].into(), ..cursor("acme", "orders", ID, 0) };
    bench.subscribe(key, "orders", From::Cursor(vec![sealer(7).seal(&known)]));
    bench.feed();
    let read = reads(&bench).pop().unwrap();
    assert_eq!((read.part.partition, read.part.from, read.part.until), (1, 2, 2), "asks whether the log goes so far");
    bench.input(Input::History(read, Ok(History { round: Arc::default(), next: 2, bytes: 0 })));
    bench.feed();
    // By now retention has taken what lay before 5.
    bench.input(Input::TopicOpened { topic: TopicKey(1), id: ID, offsets: [(1, 5)].into() });
    bench.feed();
    let read = reads(&bench).pop().unwrap();
    assert_eq!((read.part.partition, read.part.from, read.part.until), (1, 2, 5));
}

#[test]
fn who_is_ahead_of_the_feed_gets_what_comes_when_it_has_caught_up() {
    let mut bench = Bench::new();
    let key = bench.live("acme");
    bench.frame(key, unsubscribe(2, 1));
    bench.told(key);
    // Another node's feed has read further than this one's.
    bench.subscribe(key, "orders", From::Cursor(vec![sealer(7).seal(&cursor("acme", "orders", ID, 12))]));
    bench.feed();
    let read = reads(&bench).pop().unwrap();
    bench.input(Input::History(read, Ok(History { round: Arc::default(), next: 12, bytes: 0 })));
    bench.feed();
    bench.told(key);
    bench.round(1, "acme", 10..14, 10);
    bench.tick(1_000);
    for _ in 0..10 {
        bench.shard.feed(16);
    }
    let texts = bench.told(key).texts.concat();
    let ids: Vec<&str> = texts.split(r#""id":""#).skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(ids, ["12", "13"], "{texts}");
}

#[test]
fn who_is_behind_is_told_of_a_topic_made_anew() {
    let mut bench = Bench::new();
    let key = bench.live("acme");
    bench.frame(key, unsubscribe(2, 1));
    bench.told(key);
    bench.subscribe(key, "orders", From::Earliest);
    bench.input(Input::TopicClosed(TopicKey(1)));
    let told = bench.told(key);
    assert_eq!(told.kinds(), ["moved"]);
    assert!(told.texts[0].contains("log_changed"));
}

#[test]
fn deltas_never_gather_beyond_what_a_resume_takes() {
    let mut options = options(1);
    options.limits.credit = 1;
    let mut bench = Bench::with(options);
    let key = bench.live("acme");
    let mut deltas = 0;
    for offset in 10..400 {
        bench.round(1, "acme", offset..offset + 1, 10);
        // Out of credit after each batch: it falls behind, reports, and is live again.
        for text in bench.told(key).texts {
            match text.split('"').nth(1).unwrap() {
                "batch" => {
                    deltas += 1;
                    assert!(deltas <= 128, "{deltas} deltas since the last full cursor");
                    let number = |name: &str| {
                        let at = text.find(&format!("\"{name}\":")).unwrap() + name.len() + 3;
                        text[at..].split([',', '}']).next().unwrap().parse::<u64>().unwrap()
                    };
                    let (view, seq) = (number("view") as u32, number("seq"));
                    bench.frame(key, super::reports::settle_all(view, seq, 1));
                }
                "ping" => deltas = 0,
                _ => {}
            }
        }
        bench.feed();
    }
}

#[test]
fn a_renewed_token_that_lost_the_grant_ends_subscriptions_also_those_that_wait() {
    let mut bench = Bench::new();
    let key = bench.live("acme");
    bench.subscribe(key, "audit", From::Latest);
    bench.frame(key, refresh());
    assert!(matches!(&bench.effects[..], [.., Effect::Verify(_, 3, token)] if token == "t"));
    bench.input(Input::Verified(key, 3, Ok(principal("acme", "ada", &["writer"]))));
    let told = bench.told(key);
    assert_eq!(told.kinds(), ["refreshed", "error"]);
    assert_eq!((told.error().code.as_str(), told.error().subscription), ("denied", Some(1)));
    bench.follow("acme.audit", 2, &[(0, 0)]);
    assert_eq!(bench.told(key).error().code, "denied");
    bench.round(1, "acme", 10..12, 10);
    assert!(bench.told(key).texts.is_empty());
}

#[test]
fn a_session_is_renewed_for_its_own_subject_only() {
    let mut bench = Bench::new();
    let key = bench.live("acme");
    bench.input(Input::Verified(key, 3, Err(TokenError::Malformed("no"))));
    let told = bench.told(key);
    assert_eq!((told.error().id, told.closed), (Some(3), None), "the old token stays good");
    bench.input(Input::Verified(key, 4, Ok(principal("acme", "eve", &["reader"]))));
    let told = bench.told(key);
    assert_eq!((told.error().code.as_str(), told.closed), ("invalid_token", Some(3500)));
}

#[test]
fn an_idle_topic_is_followed_for_a_while_and_asked_for_once() {
    let mut bench = Bench::new();
    let key = bench.live("acme");
    bench.frame(key, unsubscribe(2, 1));
    bench.tick(30_000);
    bench.frame(key, ClientFrame::Pong);
    assert!(!bench.effects.iter().any(|effect| matches!(effect, Effect::Unfollow(_))));
    bench.tick(31_000);
    assert!(bench.effects.iter().any(|effect| matches!(effect, Effect::Unfollow(TopicKey(1)))));
    bench.effects.clear();
    let key = bench.open("acme", &["reader"]);
    bench.subscribe(key, "orders", From::Latest);
    bench.tick(10_001);
    assert!(bench.told(key).texts.iter().any(|text| text.contains("log_unavailable")));
    bench.subscribe(key, "orders", From::Latest);
    let follows = bench.effects.iter().filter(|effect| matches!(effect, Effect::Follow(_))).count();
    assert_eq!(follows, 1, "the feed has not answered yet");
}

fn token(text: &str) -> String {
    text.split(r#""cursor":""#).nth(1).unwrap().split('"').next().unwrap().to_owned()
}

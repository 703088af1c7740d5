//! Grants to the row: each event is decided about on every way to a session, and on the way in.

use std::sync::Arc;

use tidegate_gate::{Content, Principal};
use tidegate_log::TopicKey;
use tidegate_protocol::cursor::Cursor;
use tidegate_protocol::frame::{ClientFrame, Entry, From, Subscribe};

use super::fixture::{principal, rules, sealer};
use super::shard::{Bench, ID, publish, subscribe, unsubscribe};
use crate::fanout::{Effect, Input, SessionKey};
use crate::feed::Round;

/// Events of `acme` on `orders`, from offset 10: one for each user.
pub fn events(users: &[&str]) -> Input {
    events_from(10, "order.paid", users)
}

/// The same, of that type; their key is `k1`.
fn events_of(kind: &str, users: &[&str]) -> Input {
    events_from(10, kind, users)
}

/// The same, from another offset.
pub fn events_from(from: i64, kind: &str, users: &[&str]) -> Input {
    let mut round = Round::default();
    for (offset, user) in (from..).zip(users) {
        let event = format!(r#"{{"id":"{offset}","type":"{kind}","data":{{"user":{user}}}}}"#);
        round.push((TopicKey(1), 0, offset), ("acme", kind), Some("k1"), |out| {
            Entry::write(out, None, &[], &event);
            let end = out.len() - 1;
            end - event.len()..end
        });
        let reads = Arc::clone(rules().policy.reads("orders").unwrap());
        let content = Content::new(&event, Some("k1"), &(), 0);
        round.detail_last(&reads, reads.paths.iter().map(|path| content.extract(path)));
        round.reach(TopicKey(1), 0, offset + 1);
    }
    Input::Rounds(vec![Arc::new(round)])
}

/// A cursor to where [`events`] begin.
fn at_10() -> String {
    sealer(1).seal(&Cursor {
        tenant: "acme".into(),
        topic: "orders".into(),
        topic_id: ID,
        full: true,
        offsets: [(0, 10)].into(),
    })
}

/// The ids of the events in batches: the offsets of [`events`].
pub fn ids(texts: &[String]) -> Vec<u32> {
    let ids = |text: &String| {
        let ids: Vec<u32> = text.split(r#""id":""#).skip(1).map(|rest| rest[..2].parse().unwrap()).collect();
        ids
    };
    texts.iter().filter(|text| text.starts_with(r#"{"batch""#)).flat_map(ids).collect()
}

#[test]
fn a_clerk_sees_their_own_live_and_behind() {
    let mut bench = Bench::new();
    let all = bench.live("acme");
    let clerk = bench.open_as(principal("acme", "bob", &["clerk", "replayer"]));
    assert_eq!(bench.subscribe(clerk, "orders", From::Latest).kinds(), ["subscribed"]);
    bench.input(events(&[r#""ada""#, r#""bob""#, "7", "null", r#""b\u006fb""#, r#""bob","user":"bob""#]));
    assert_eq!(ids(&bench.told(all).texts), [10, 11, 12, 13, 14, 15]);
    // An object that repeats a member on the way is nobody's.
    assert_eq!(ids(&bench.told(clerk).texts), [11, 14]);
    // The same from the window, for one who comes later.
    let later = bench.open_as(principal("acme", "bob", &["clerk", "replayer"]));
    bench.subscribe(later, "orders", From::Cursor(vec![at_10()]));
    bench.feed();
    assert_eq!(ids(&bench.told(later).texts), [11, 14]);
}

/// A session with that filter, live on `orders`, which the feed follows.
fn filtered(bench: &mut Bench, role: &str, types: &[&str], keys: &[&str]) -> SessionKey {
    let session = bench.open_as(principal("acme", "bob", &[role]));
    let ClientFrame::Subscribe(all) = subscribe(1, "orders", From::Latest) else { unreachable!() };
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    bench.frame(session, ClientFrame::Subscribe(Subscribe { types: texts(types), keys: texts(keys), ..all }));
    assert_eq!(bench.told(session).kinds(), ["subscribed"]);
    session
}

#[test]
fn an_event_under_several_keys_of_a_view_comes_once_and_in_its_place() {
    let mut bench = Bench::new();
    bench.live("acme");
    // Found by its user, or by its key.
    let mixed = filtered(&mut bench, "mixed", &[], &[]);
    let paid = filtered(&mut bench, "mixed", &["order.*"], &["k1", "k2"]);
    let none = filtered(&mut bench, "mixed", &["order.created"], &["k1"]);
    let other = filtered(&mut bench, "reader", &[], &["k2"]);
    bench.input(events_of("order.shipped", &[r#""bob""#, r#""ada""#, "7", r#""bob","user":"bob""#, r#""bob""#]));
    assert_eq!(ids(&bench.told(mixed).texts), [10, 11, 12, 13, 14]);
    assert_eq!(ids(&bench.told(paid).texts), [10, 11, 12, 13, 14]);
    bench.input(events_of("order.paid", &[r#""bob""#, r#""ada""#, "7", r#""bob","user":"bob""#]));
    assert_eq!(ids(&bench.told(mixed).texts), [10]);
    assert_eq!(ids(&bench.told(paid).texts), [10]);
    for session in [none, other] {
        assert!(bench.told(session).texts.is_empty());
    }
}

#[test]
fn who_left_is_no_longer_found() {
    let mut bench = Bench::new();
    bench.live("acme");
    let sessions = [(); 3].map(|()| filtered(&mut bench, "mixed", &[], &["k1"]));
    for left in sessions {
        bench.frame(left, unsubscribe(9, 1));
        bench.told(left);
        bench.input(events(&[r#""bob""#]));
        let still = sessions.iter().filter(|session| !ids(&bench.told(**session).texts).is_empty()).count();
        let gone = sessions.iter().position(|session| *session == left).unwrap() + 1;
        assert_eq!(still, sessions.len() - gone);
    }
}

#[test]
fn what_can_not_be_decided_is_counted_once_for_each_condition() {
    let mut bench = Bench::new();
    bench.live("acme");
    for subject in ["ada", "bob", "eve"] {
        for role in ["clerk", "auditor"] {
            let session = bench.open_as(principal("acme", subject, &[role, "replayer"]));
            bench.subscribe(session, "orders", From::Latest);
        }
    }
    let round = events(&[r#""ada""#, r#""bob","user":"bob""#, r#""eve","amount":9"#, r#""eve","amount":"9""#]);
    bench.effects.clear();
    bench.input(round);
    let told = |bench: &mut Bench| {
        let mut told: Vec<(String, u64, i64)> = bench
            .effects
            .drain(..)
            .filter_map(|effect| match effect {
                Effect::Undecided(of) => {
                    assert_eq!((&*of.topic, of.first.0), ("orders", 0));
                    Some((of.condition.source().to_owned(), of.events, of.first.1))
                }
                _ => None,
            })
            .collect();
        told.sort();
        told
    };
    // Of the first and the last the amount is missing or no number, of the second everything is in doubt.
    let expected = [("event.data.amount > 5".to_owned(), 3, 10), ("event.data.user == claims.sub".to_owned(), 1, 11)];
    assert_eq!(told(&mut bench), expected);
    // Whoever reads the same from the window does not make it more.
    let late = bench.open_as(principal("acme", "joe", &["clerk", "replayer"]));
    bench.subscribe(late, "orders", From::Cursor(vec![at_10()]));
    bench.feed();
    assert_eq!(told(&mut bench), []);
}

#[test]
fn a_filter_that_is_none_is_refused_with_its_place() {
    let mut bench = Bench::new();
    let session = bench.live("acme");
    bench.frame(session, unsubscribe(9, 1));
    let ClientFrame::Subscribe(all) = subscribe(2, "orders", From::Latest) else { unreachable!() };
    let refused = |bench: &mut Bench, types: &[&str], keys: Vec<String>| {
        bench.told(session);
        let types = types.iter().map(|text| (*text).to_owned()).collect();
        bench.frame(session, ClientFrame::Subscribe(Subscribe { types, keys, ..all.clone() }));
        let failed = bench.told(session).error();
        assert_eq!((&*failed.code, failed.id), ("malformed_frame", Some(2)));
        failed.pointer.unwrap()
    };
    assert_eq!(refused(&mut bench, &["order.*", "order.created", "a.b", "order*"], Vec::new()), "/subscribe/types/3");
    assert_eq!(refused(&mut bench, &["a.b"; 129], Vec::new()), "/subscribe/types/128");
    assert_eq!(refused(&mut bench, &[], vec!["k".repeat(1_025)]), "/subscribe/keys/0");
    assert_eq!(refused(&mut bench, &[], vec![String::new(); 65]), "/subscribe/keys/64");
    // It can be asked for again.
    bench.frame(session, ClientFrame::Subscribe(all.clone()));
    assert_eq!(bench.told(session).kinds(), ["subscribed"]);
}

#[test]
fn what_a_clerk_publishes_must_be_theirs() {
    let mut bench = Bench::new();
    let clerk = bench.open_as(principal("acme", "bob", &["clerk"]));
    for (user, allowed) in [("bob", true), ("ada", false)] {
        let event = format!(r#"{{"type":"order.paid","data":{{"user":"{user}"}}}}"#);
        bench.effects.clear();
        bench.frame(clerk, ClientFrame::Publish(publish("orders", &event)));
        assert_eq!(bench.effects.iter().any(|effect| matches!(effect, Effect::Append(..))), allowed);
        let told = bench.told(clerk);
        assert_eq!(told.texts.is_empty(), allowed);
        assert!(allowed || told.error().code == "denied");
    }
}

#[test]
fn another_claim_in_a_new_token_is_another_view() {
    let mut bench = Bench::new();
    bench.live("acme");
    let clerk = bench.open_as(principal("acme", "bob", &["clerk"]));
    bench.subscribe(clerk, "orders", From::Latest);
    let renewed = Principal { roles: Arc::from([Arc::from("reader")]), ..principal("acme", "bob", &[]) };
    bench.input(Input::Verified(clerk, 3, Ok(renewed)));
    bench.feed();
    assert_eq!(bench.told(clerk).kinds()[..2], ["refreshed", "moved"]);
    bench.input(events(&[r#""ada""#, r#""bob""#]));
    assert_eq!(ids(&bench.told(clerk).texts), [10, 11]);
}

#[test]
fn what_waits_for_the_log_is_granted_as_the_newest_token_says() {
    let mut bench = Bench::new();
    let clerk = bench.open_as(principal("acme", "bob", &["clerk"]));
    bench.subscribe(clerk, "orders", From::Latest);
    // Other events than before, but still some: no reason to refuse.
    let renewed = Principal { roles: Arc::from([Arc::from("reader")]), ..principal("acme", "bob", &[]) };
    bench.input(Input::Verified(clerk, 3, Ok(renewed)));
    bench.follow("orders", 1, &[(0, 10)]);
    assert_eq!(bench.told(clerk).kinds(), ["refreshed", "subscribed"]);
    bench.input(events(&[r#""ada""#, r#""bob""#]));
    assert_eq!(ids(&bench.told(clerk).texts), [10, 11]);
}

#[test]
fn what_a_renewed_token_takes_away_before_its_answer_is_answered() {
    let mut bench = Bench::new();
    bench.live("acme");
    let reader = bench.open_as(principal("acme", "bob", &["reader", "replayer"]));
    // The log is asked where the time lies.
    assert!(bench.subscribe(reader, "orders", From::Time(1)).texts.is_empty());
    bench.input(Input::Verified(reader, 3, Ok(principal("acme", "bob", &[]))));
    let told = bench.told(reader);
    assert_eq!(told.kinds(), ["refreshed", "error"]);
    // The session knows the subscription by its request only.
    assert_eq!((told.error().id, told.error().subscription), (Some(1), None));
}

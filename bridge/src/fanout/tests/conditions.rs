//! Grants to the row: each event is decided about on every way to a session, and on the way in.

use std::sync::Arc;

use tidegate_gate::Principal;
use tidegate_log::TopicKey;
use tidegate_protocol::cursor::Cursor;
use tidegate_protocol::frame::{ClientFrame, Entry, From};

use super::fixture::{principal, sealer};
use super::shard::{Bench, ID, publish};
use crate::fanout::{Effect, Input};
use crate::feed::{Detail, Round};

/// Events of `acme` on `orders`, from offset 10: one for each user.
fn events(users: &[&str]) -> Input {
    let mut round = Round::default();
    for (offset, user) in (10i64..).zip(users) {
        let event = format!(r#"{{"id":"{offset}","type":"order.paid","data":{{"user":{user}}}}}"#);
        round.push((TopicKey(1), 0, offset), "acme", "order.paid", Some(Detail::default()), |out| {
            Entry::write(out, None, &[], &event);
            let end = out.len() - 1;
            end - event.len()..end
        });
        round.reach(TopicKey(1), 0, offset + 1);
    }
    Input::Round(Arc::new(round))
}

fn ids(texts: &[String]) -> Vec<u32> {
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
    let cursor = sealer(1).seal(&Cursor {
        tenant: "acme".into(),
        topic: "orders".into(),
        topic_id: ID,
        full: true,
        offsets: [(0, 10)].into(),
    });
    bench.subscribe(later, "orders", From::Cursor(vec![cursor]));
    bench.feed();
    assert_eq!(ids(&bench.told(later).texts), [11, 14]);
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

//! Who falls behind together is fed the same bytes, and nobody else is.

use std::rc::Rc;

use tidegate_gate::Filter;
use tidegate_log::{Offsets, TopicKey};
use tidegate_protocol::frame::From;

use super::fixture::{options, principal, rules};
use super::reports::settle_all;
use super::shard::{Bench, subscribe};
use crate::fanout::stretch::{Stretch, Stretches};
use crate::fanout::view::ViewKey;
use crate::fanout::{Input, SessionKey};
use crate::session::Format;

/// Where each slice that waits for a session lies, and how it begins.
fn slices(bench: &Bench, key: SessionKey) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let _ = bench.outbox(key).borrow_mut().flush(|slices| {
        found = slices.iter().map(|slice| (slice.as_ptr() as usize, String::from_utf8_lossy(slice).into())).collect();
        Ok(slices.iter().map(|slice| slice.len()).sum())
    });
    found
}

/// What of it are entries.
fn entries(slices: &[(usize, String)]) -> Vec<&(usize, String)> {
    slices.iter().filter(|(_, text)| text.starts_with(r#"{"event""#)).collect()
}

fn view(text: &str) -> u32 {
    text.split("\"view\":").nth(1).unwrap().split(',').next().unwrap().parse().unwrap()
}

#[test]
fn those_who_fell_behind_together_share_what_they_are_fed() {
    let mut options = options(1);
    options.limits.credit = 3_000;
    let mut bench = Bench::with(options);
    let together = [bench.live("acme"), bench.live("acme")];
    let alone = bench.live("globex");
    let other = bench.open("acme", &["auditor"]);
    bench.frame(other, subscribe(1, "orders", From::Latest));
    bench.round(1, "acme", 10..13, 1_000);
    bench.round(1, "globex", 13..16, 1_000);
    bench.round(1, "acme", 16..20, 1_000);
    for key in [together[0], together[1], alone] {
        let told = bench.told(key);
        bench.frame(key, settle_all(view(&told.texts[0]), 0, 3));
    }
    bench.told(other);
    bench.feed();
    let [one, two] = together.map(|key| slices(&bench, key));
    assert_eq!((entries(&one).len(), entries(&one)), (1, entries(&two)), "the same entries at the same place");
    let heads = |slices: &[(usize, String)]| {
        slices.iter().find(|(_, text)| text.contains("\"batch\"")).map(|(_, text)| view(text))
    };
    assert_ne!(heads(&one), heads(&two), "each in a view of its own");
    assert_eq!(entries(&one)[0].1.matches(r#""id""#).count(), 4);
    assert!(entries(&slices(&bench, alone)).is_empty() && entries(&slices(&bench, other)).is_empty());
}

fn wants(tenant: &str, role: &str) -> ViewKey {
    let access = rules().policy.subscribe(&principal(tenant, "ada", &[role]), "orders").unwrap();
    ViewKey { topic: TopicKey(1), access, filter: Filter::default(), format: Format::WebSocket }
}

fn stretch(wants: ViewKey, number: u64, offset: i64) -> Rc<Stretch> {
    let place = |number, offset| (number, Offsets::from([(0, offset)]));
    Rc::new(Stretch { wants, from: place(number, offset), to: place(number + 1, offset + 1), body: None })
}

#[test]
fn a_stretch_is_for_whoever_may_see_and_wants_the_same_at_the_same_place() {
    let mut kept = Stretches::default();
    kept.keep(&stretch(wants("acme", "reader"), 5, 50));
    let mut known =
        |wants: &ViewKey, number, offset| kept.find(wants, &(number, Offsets::from([(0, offset)]))).is_some();
    assert!(known(&wants("acme", "reader"), 5, 50));
    assert!(!known(&wants("acme", "reader"), 5, 51) && !known(&wants("acme", "reader"), 6, 50));
    assert!(!known(&wants("globex", "reader"), 5, 50), "another tenant");
    assert!(!known(&wants("acme", "auditor"), 5, 50), "another condition");
    assert!(!known(&ViewKey { topic: TopicKey(2), ..wants("acme", "reader") }, 5, 50), "another topic");
    assert!(!known(&ViewKey { format: Format::Stream, ..wants("acme", "reader") }, 5, 50), "another format");
}

#[test]
fn few_stretches_are_kept_and_none_for_long() {
    let (mut kept, reader) = (Stretches::default(), wants("acme", "reader"));
    let here = |kept: &mut Stretches, number| kept.find(&reader, &(number, Offsets::from([(0, 0)]))).is_some();
    for number in 0..100 {
        kept.keep(&stretch(wants("acme", "reader"), number, 0));
    }
    assert_eq!((0..100).filter(|number| here(&mut kept, *number)).count(), 32);
    kept.forget_unused();
    assert!(here(&mut kept, 99), "asked for since it was kept");
    kept.forget_unused();
    assert!(here(&mut kept, 99) && !here(&mut kept, 98));
    kept.forget(TopicKey(2));
    assert!(here(&mut kept, 99));
    kept.forget(TopicKey(1));
    assert!(!here(&mut kept, 99));
}

#[test]
fn what_was_fed_of_a_topic_is_not_fed_of_the_next_of_its_name() {
    let mut bench = Bench::new();
    let key = bench.live("acme");
    let reader = bench.shard.views.values().next().unwrap().key.clone();
    bench.shard.window.stretches.keep(&stretch(reader.clone(), 0, 10));
    bench.input(Input::TopicClosed(TopicKey(1)));
    assert!(bench.shard.window.stretches.find(&reader, &(0, Offsets::from([(0, 10)]))).is_none());
    assert!(bench.told(key).closed.is_none());
}

//! New rules: what was lost ends, what changed goes on in another view, the rest does not notice.

use tidegate_gate::{Action, Content, Grant, TopicRule};
use tidegate_log::TopicKey;
use tidegate_protocol::frame::{Entry, From};
use tokio::sync::mpsc;

use super::conditions::{events, ids};
use super::fixture::{self, NOW, configured, grant, grants, options, principal, rules, topics};
use super::shard::{Bench, subscribe};
use crate::fanout::{Applied, Effect, Input, Renewal, Rules, SessionKey};
use crate::feed::catch_up::History;
use crate::feed::{KeptHeaders, Round};
use crate::session::Format;

/// Whoever is a reader sees these only.
fn readers_see(condition: &str) -> Rules {
    let mut grants = grants();
    grants[0].condition = Some(std::sync::Arc::new(condition.parse().unwrap()));
    fixture::with(topics(), grants)
}

/// Nobody is a reader any more.
fn no_readers() -> Rules {
    fixture::with(topics(), grants().into_iter().skip(1))
}

impl Bench {
    fn renew(&mut self, rules: Rules) -> Applied {
        let (told, _) = mpsc::channel(1);
        let applied = self.shard.renew(self.moment(), &Renewal { rules, options: options(1), told });
        self.take_effects();
        applied
    }
}

/// Takes what was asked of the log since the last time.
fn asked(bench: &mut Bench) -> Vec<crate::fanout::HistoryKey> {
    let effects = std::mem::take(&mut bench.effects).into_iter();
    effects.filter_map(|effect| if let Effect::Read(key) = effect { Some(key) } else { None }).collect()
}

/// A session that has sent all it had and stands behind, for lack of credit: it has got the event at offset 10.
fn paused(bench: &mut Bench) -> SessionKey {
    let key = bench.live("acme");
    bench.input(events(&[r#""ada""#]));
    assert_eq!(ids(&bench.told(key).texts), [10]);
    key
}

#[test]
fn who_keeps_everything_does_not_notice() {
    let mut bench = Bench::new();
    let (live, ledger) = (bench.live("acme"), bench.open("acme", &["observer"]));
    bench.frame(ledger, subscribe(1, "$ledger", From::Latest));
    bench.told(ledger);
    // Other grants, in another order, and conditions on what others see.
    let mut other = grants();
    other.reverse();
    other.push(Grant { role: "guest".into(), ..grant("clerk", &[Action::Subscribe]) });
    let applied = bench.renew(fixture::with(topics(), other));
    assert_eq!(applied, Applied::default());
    bench.round(1, "acme", 10..12, 5);
    assert!(bench.told(ledger).texts.is_empty());
    let told = bench.told(live);
    assert_eq!((told.kinds(), ids(&told.texts)), (vec!["batch"], vec![10, 11]));
    assert!(told.texts[0].contains(r#""seq":0"#), "the same view: {}", told.texts[0]);
}

#[test]
fn what_was_lost_ends_with_an_error() {
    let mut bench = Bench::new();
    let (key, other) = (bench.live("acme"), bench.open("acme", &["clerk"]));
    bench.subscribe(other, "orders", From::Latest);
    let applied = bench.renew(no_readers());
    assert_eq!(applied, Applied { sessions: 1, moved: 0, ended: 1 });
    let told = bench.told(key);
    let error = told.error();
    assert_eq!((&*error.code, error.retryable, error.subscription), ("denied", false, Some(1)));
    assert!(error.message.contains("grants") && told.closed.is_none(), "{}", error.message);
    bench.input(events(&[r#""ada""#]));
    assert!(bench.told(key).texts.is_empty());
    assert_eq!(ids(&bench.told(other).texts), [10]);
    assert_eq!(bench.subscribe(key, "orders", From::Latest).error().code, "denied");
}

#[test]
fn what_changed_is_seen_from_the_next_event_on() {
    let mut bench = Bench::new();
    let keys = [bench.live("acme"), bench.live("acme")];
    bench.input(events(&[r#""eve""#]));
    let applied = bench.renew(readers_see("event.data.user == claims.sub"));
    assert_eq!(applied, Applied { sessions: 2, moved: 2, ended: 0 });
    bench.input(later(11, &[r#""ada""#, r#""eve""#, r#""ada""#]));
    for key in keys {
        let told = bench.told(key);
        assert_eq!(told.kinds(), ["batch", "moved", "ping", "batch"]);
        assert!(told.texts[1].contains(r#""recovered":true,"reason":"policy""#), "{}", told.texts[1]);
        assert_eq!(ids(&told.texts), [10, 11, 13]);
    }
    // And back again.
    bench.renew(rules());
    bench.input(later(14, &[r#""eve""#]));
    assert_eq!(ids(&bench.told(keys[0]).texts), [14]);
}

/// Events from this offset on.
fn later(from: i64, users: &[&str]) -> Input {
    super::conditions::events_from(from, "order.paid", users)
}

#[test]
fn who_is_behind_reads_on_under_the_new_rules() {
    let mut tight = options(1);
    tight.limits.unsettled = 1;
    let mut bench = Bench::with(tight);
    let key = paused(&mut bench);
    bench.input(later(11, &[r#""eve""#, r#""ada""#]));
    bench.feed();
    assert!(bench.told(key).texts.is_empty(), "it has no room");
    let applied = bench.renew(readers_see("headers.region == 'eu' || event.data.user == 'ada'"));
    assert_eq!(applied, Applied { sessions: 1, moved: 1, ended: 0 });
    let told = bench.told(key);
    assert_eq!(told.kinds(), ["moved", "ping"]);
    assert!(told.texts[0].contains(r#""seq":0"#) && told.texts[0].contains("policy"), "{}", told.texts[0]);
    bench.frame(key, settled(2, 0));
    bench.feed();
    // What the window holds was read without that header: it is read again.
    let [question] = &asked(&mut bench)[..] else { panic!("one question") };
    assert_eq!((question.part.from, question.part.until), (11, 13));
    let Input::Rounds(rounds) = later(11, &[r#""eve""#, r#""ada""#]) else { unreachable!() };
    let [round] = <[_; 1]>::try_from(rounds).expect("one round");
    bench.input(Input::History(question.clone(), Ok(History { round, next: 13, bytes: 0 })));
    bench.feed();
    let told = bench.told(key);
    assert_eq!((told.kinds(), ids(&told.texts)), (vec!["batch"], vec![12]));
}

/// A report: everything up to that batch was dispatched and settled.
fn settled(view: u32, seq: u64) -> tidegate_protocol::frame::ClientFrame {
    use tidegate_protocol::frame::{ClientFrame, Position, Report, Span, ViewReport};
    let at = Position { seq, ordinal: 0 };
    let of = ViewReport {
        view,
        dispatched: Some(seq),
        settled: vec![Span { first: at, last: at }],
        ..ViewReport::default()
    };
    ClientFrame::Report(Report { views: vec![of] })
}

#[test]
fn an_answer_of_older_rules_is_asked_for_again() {
    let mut bench = Bench::new();
    bench.live("acme");
    let key = bench.open("acme", &["reader", "replayer"]);
    bench.subscribe(key, "orders", From::Earliest);
    bench.feed();
    let [question] = &asked(&mut bench)[..] else { panic!("one question") };
    let region = readers_see("headers.region == 'eu'");
    bench.renew(region);
    bench.feed();
    let [again] = &asked(&mut bench)[..] else { panic!("asked again") };
    assert_eq!((again.part.from, again.part.until), (question.part.from, question.part.until));
    assert_eq!(&*again.part.spec.reads.as_ref().unwrap().headers, [Box::from("region")]);
    // The first answer has no headers: it must not count, even as "nothing was for this reader".
    let Input::Rounds(rounds) = later(0, &[r#""ada""#]) else { unreachable!() };
    let [round] = <[_; 1]>::try_from(rounds).expect("one round");
    bench.input(Input::History(question.clone(), Ok(History { round, next: 10, bytes: 0 })));
    bench.feed();
    assert_eq!(bench.told(key).kinds(), ["moved", "ping"]);
    let mut round = Round::default();
    let event = r#"{"id":"14","type":"order.paid"}"#;
    round.push((TopicKey(1), 0, 4), ("acme", "order.paid"), None, |out| {
        Entry::write(out, None, &[], event);
        out.len() - 1 - event.len()..out.len() - 1
    });
    let (reads, headers) =
        (again.part.spec.reads.as_ref().unwrap(), KeptHeaders(vec![("region".into(), Some((*b"eu").into()))]));
    let content = Content::new(event, None, &headers, 0);
    round.detail_last(reads, reads.paths.iter().map(|path| content.extract(path)));
    round.keep_headers(headers);
    bench.input(Input::History(again.clone(), Ok(History { round: std::sync::Arc::new(round), next: 10, bytes: 0 })));
    bench.feed();
    assert_eq!(ids(&bench.told(key).texts), [14]);
}

#[test]
fn a_topic_that_is_read_otherwise_is_subscribed_to_anew() {
    let mut bench = Bench::new();
    let (key, reader) = (bench.live("acme"), bench.open_in(Format::Events, principal("acme", "ada", &["reader"])));
    let waits = bench.open("acme", &["reader"]);
    bench.frame(reader, subscribe(1, "orders", From::Latest));
    bench.frame(waits, subscribe(7, "audit", From::Latest));
    bench.taken(reader);
    let mut other = rules();
    let text = fixture::TOPICS
        .replace(r#"tenant.header = "owner""#, r#"tenant.from = "key""#)
        .replace(".audit\"", ".v2.audit\"");
    other.topics = std::sync::Arc::new(crate::feed::TopicTable::new(configured(&text), other.policy.clone(), 1 << 20));
    bench.effects.clear();
    let applied = bench.renew(other);
    assert_eq!((applied.sessions, applied.ended), (3, 3));
    let error = bench.told(key).error();
    assert_eq!((&*error.code, error.retryable, error.subscription), ("topic_changed", true, Some(1)));
    let error = bench.told(waits).error();
    assert_eq!((&*error.code, error.retryable, error.id), ("topic_changed", true, Some(7)));
    assert!(bench.effects.iter().any(|effect| matches!(effect, Effect::Close(of) if *of == reader)));
    // The feed has dropped it already, and is asked for it again.
    assert!(!bench.effects.iter().any(|effect| matches!(effect, Effect::Unfollow(_))));
    bench.frame(key, subscribe(2, "orders", From::Latest));
    assert!(bench.effects.iter().any(|effect| matches!(effect, Effect::Follow(topic) if **topic == *"orders")));
    bench.follow("orders", 5, &[(0, 10)]);
    assert_eq!(bench.told(key).kinds(), ["subscribed"]);
}

#[test]
fn a_topic_that_is_gone_is_denied_and_not_waited_for() {
    let mut bench = Bench::new();
    let (key, waits) = (bench.live("acme"), bench.open("acme", &["reader"]));
    bench.frame(waits, subscribe(7, "audit", From::Latest));
    let kept: Vec<TopicRule> = topics().into_iter().filter(|topic| &*topic.name == "news").collect();
    let mut other = fixture::with(kept, grants());
    let table =
        crate::feed::TopicTable::new(configured("[topics.news]\npublic = true\n"), other.policy.clone(), 1 << 20);
    other.topics = std::sync::Arc::new(table);
    bench.renew(other);
    assert_eq!(bench.told(key).error().code, "denied");
    let error = bench.told(waits).error();
    assert_eq!((&*error.code, error.id), ("denied", Some(7)));
    // Its answer was under way: nobody wants it, so the feed is told.
    bench.effects.clear();
    bench.follow("acme.audit", 2, &[(0, 0)]);
    assert!(matches!(bench.effects[..], [Effect::Unfollow(TopicKey(2))]));
    // When the topic is back, it is asked for.
    bench.renew(rules());
    bench.frame(waits, subscribe(8, "audit", From::Latest));
    assert!(matches!(&bench.effects[1..], [Effect::Follow(topic)] if **topic == *"acme.audit"));
}

#[test]
fn who_is_being_answered_is_looked_at_again() {
    let mut bench = Bench::new();
    bench.live("acme");
    // One waits for a time to be found, one for the topic to be followed; neither may replay any more.
    let (opening, waiting) = (bench.open("acme", &["reader", "replayer"]), bench.open("acme", &["reader", "replayer"]));
    bench.frame(opening, subscribe(3, "orders", From::Time(NOW)));
    bench.frame(waiting, subscribe(4, "audit", From::Earliest));
    let silent = bench.open("acme", &["reader"]);
    bench.frame(silent, subscribe(5, "audit", From::Latest));
    bench.renew(fixture::with(topics(), grants().into_iter().filter(|grant| &*grant.role != "replayer")));
    for (key, request) in [(opening, 3), (waiting, 4)] {
        let error = bench.told(key).error();
        assert_eq!((&*error.code, error.id, error.subscription), ("denied", Some(request), None));
    }
    bench.follow("acme.audit", 2, &[(0, 0)]);
    assert_eq!(bench.told(silent).kinds(), ["subscribed"]);
    // Another condition before the answer is only that: nothing was said yet that it could change.
    let late = bench.open("acme", &["reader"]);
    bench.frame(late, subscribe(1, "news", From::Latest));
    bench.renew(readers_see("event.type == 'news.flash'"));
    bench.follow("news", 3, &[(0, 0)]);
    assert_eq!(bench.told(late).kinds(), ["subscribed"]);
}

#[test]
fn the_ledger_is_lost_with_its_grant() {
    let mut bench = Bench::new();
    let key = bench.open("acme", &["observer"]);
    bench.frame(key, subscribe(1, "$ledger", From::Latest));
    bench.told(key);
    let without = grants().into_iter().filter(|grant| &*grant.role != "observer");
    let applied = bench.renew(fixture::with(topics(), without));
    assert_eq!(applied, Applied { sessions: 1, moved: 0, ended: 1 });
    let error = bench.told(key).error();
    assert_eq!((&*error.code, error.subscription), ("denied", Some(1)));
}

#[test]
fn limits_are_those_of_the_welcome() {
    let mut bench = Bench::new();
    let key = bench.live("acme");
    let mut tight = options(1);
    tight.limits.unsettled = 1;
    let (told, _) = mpsc::channel(1);
    bench.shard.renew(bench.moment(), &Renewal { rules: rules(), options: tight, told });
    bench.round(1, "acme", 10..12, 5);
    bench.round(1, "acme", 12..14, 5);
    assert_eq!(ids(&bench.told(key).texts), [10, 11, 12, 13]);
    let key = bench.open("acme", &["reader"]);
    bench.subscribe(key, "orders", From::Latest);
    bench.round(1, "acme", 14..15, 5);
    bench.round(1, "acme", 15..16, 5);
    bench.feed();
    assert_eq!(ids(&bench.told(key).texts), [14]);
}

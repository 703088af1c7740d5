//! Reports: an invalid one changes nothing and ends its session; credit and shared bytes.

use proptest::prelude::*;
use tidegate_protocol::frame::{ClientFrame, Failure, FailureKind, Position, Report, Span, ViewReport};

use super::fixture::options;
use super::shard::Bench;

/// A report that settles a whole batch.
pub fn settle_all(view: u32, seq: u64, entries: u32) -> ClientFrame {
    let at = |ordinal| Position { seq, ordinal };
    let settled = vec![Span { first: at(0), last: at(entries - 1) }];
    let of = ViewReport { view, dispatched: Some(seq), settled, ..ViewReport::default() };
    ClientFrame::Report(Report { views: vec![of] })
}

fn valid() -> ViewReport {
    let at = |seq, ordinal| Position { seq, ordinal };
    let failure = Failure { at: at(0, 1), kind: FailureKind::Threw, reason: String::new(), last: true };
    ViewReport {
        view: 0,
        dispatched: Some(1),
        settled: vec![Span { first: at(0, 0), last: at(0, 1) }, Span { first: at(1, 0), last: at(1, 1) }],
        failed: vec![failure],
        unhandled: vec![at(1, 1)],
    }
}

type Mutation = (&'static str, fn(&mut Report));

const MUTATIONS: &[Mutation] = &[
    ("another view", |r| r.views[0].view += 1),
    ("a view twice", |r| r.views.push(r.views[0].clone())),
    ("dispatched beyond", |r| r.views[0].dispatched = Some(3)),
    ("dispatched far beyond", |r| r.views[0].dispatched = Some(u64::MAX)),
    ("not dispatched", |r| r.views[0].dispatched = Some(0)),
    ("an ordinal beyond", |r| r.views[0].settled[1].last.ordinal = 3),
    ("the largest ordinal", |r| r.views[0].settled[1].last.ordinal = u32::MAX),
    ("a future batch", |r| r.views[0].settled[1].last.seq = 2),
    ("the last batch of all", |r| r.views[0].settled[1].last.seq = u64::MAX),
    ("a range turned round", |r| {
        let span = &mut r.views[0].settled[0];
        std::mem::swap(&mut span.first, &mut span.last);
    }),
    ("ranges that overlap", |r| r.views[0].settled[1].first = Position { seq: 0, ordinal: 1 }),
    ("settled twice", |r| {
        let again = r.views[0].settled[1];
        r.views[0].settled.push(again);
    }),
    ("ranges that fall", |r| r.views[0].settled.reverse()),
    ("a last attempt that is not settled", |r| r.views[0].failed[0].at = Position { seq: 0, ordinal: 2 }),
    ("an earlier attempt that is settled", |r| r.views[0].failed[0].last = false),
    ("given up twice", |r| {
        let again = r.views[0].failed[0].clone();
        r.views[0].failed.push(again);
    }),
    ("unhandled, not settled", |r| r.views[0].unhandled = vec![Position { seq: 0, ordinal: 2 }]),
    ("unhandled twice", |r| r.views[0].unhandled.push(Position { seq: 1, ordinal: 1 })),
    ("unhandled beyond", |r| r.views[0].unhandled = vec![Position { seq: 9, ordinal: 0 }]),
];

/// A live session with two batches of three events in its only view; its number.
fn with_two_batches(bench: &mut Bench) -> (crate::fanout::SessionKey, u32) {
    let key = bench.live("acme");
    bench.round(1, "acme", 10..13, 10);
    bench.round(1, "acme", 13..16, 10);
    let told = bench.told(key);
    let view = told.texts[0].split(r#""view":"#).nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    (key, view)
}

#[test]
fn a_valid_report_counts() {
    let mut bench = Bench::new();
    let (key, view) = with_two_batches(&mut bench);
    bench.frame(key, ClientFrame::Report(Report { views: vec![ViewReport { view, ..valid() }] }));
    assert_eq!(bench.told(key).closed, None);
    let counts = bench.shard.snapshot().rows[0].1;
    assert_eq!((counts.sent, counts.received, counts.consumed, counts.given_up), (6, 6, 3, 1));
    assert_eq!((counts.failed, counts.unhandled, counts.in_flight), (1, 1, 2));
}

proptest! {
    #![proptest_config(super::properties::config(64))]

    /// Whatever else stands in it, and whatever was reported before.
    #[test]
    fn an_invalid_report_changes_no_count_and_ends_the_session(
        mutation in 0..MUTATIONS.len(), before in prop::option::of(0u32..3), second in prop::option::of(0..MUTATIONS.len()),
    ) {
        let mut bench = Bench::new();
        let (key, view) = with_two_batches(&mut bench);
        if let Some(ordinal) = before {
            let at = Position { seq: 0, ordinal };
            let settled = vec![Span { first: at, last: at }];
            let early = ViewReport { view, dispatched: Some(0), settled, ..ViewReport::default() };
            bench.frame(key, ClientFrame::Report(Report { views: vec![early] }));
        }
        let mut expected = bench.shard.snapshot().rows[0].1;
        expected.abandoned += std::mem::take(&mut expected.in_flight);
        let mut report = Report { views: vec![ViewReport { view, ..valid() }] };
        let (what, mutate) = MUTATIONS[mutation];
        mutate(&mut report);
        // A second fault must not mend the first: it is put in a copy for a view of its own, or left out.
        if let Some((_, mutate)) = second.map(|second| MUTATIONS[second]) {
            let mut other = Report { views: vec![ViewReport { view: view + 7, ..valid() }] };
            mutate(&mut other);
            report.views.append(&mut other.views);
        }
        bench.frame(key, ClientFrame::Report(report));
        let told = bench.told(key);
        prop_assert_eq!((told.error().code, told.closed), ("invalid_report".to_owned(), Some(3501)), "{}", what);
        prop_assert_eq!(bench.shard.snapshot().rows[0].1, expected, "{}", what);
        prop_assert_eq!(bench.shard.session_count(), 0);
    }
}

#[test]
fn settled_in_an_earlier_report_is_not_settled_again() {
    let mut bench = Bench::new();
    let (key, view) = with_two_batches(&mut bench);
    bench.frame(key, settle_all(view, 0, 3));
    assert_eq!(bench.told(key).closed, None);
    bench.frame(key, settle_all(view, 0, 3));
    assert_eq!(bench.told(key).closed, Some(3501));
}

#[test]
fn who_never_reports_gets_its_credit_and_a_batch_and_the_others_all() {
    let mut options = options(1);
    options.limits.credit = 3_000;
    let mut bench = Bench::with(options);
    let (silent, diligent) = (bench.live("acme"), bench.live("acme"));
    let (mut silent_bytes, mut got, mut longest) = (0, 0, 0);
    for offset in 10..210 {
        bench.round(1, "acme", offset..offset + 1, 500);
        bench.feed();
        let batches = |told: super::shard::Told| told.texts.into_iter().filter(|text| text.starts_with(r#"{"batch""#));
        silent_bytes += batches(bench.told(silent)).map(|text| text.len()).sum::<usize>();
        let told: Vec<String> = batches(bench.told(diligent)).collect();
        for text in told {
            got += 1;
            longest = longest.max(text.len());
            let number = |name: &str| {
                text.split(&format!("\"{name}\":")).nth(1).unwrap().split(',').next().unwrap().parse::<u64>()
            };
            bench.frame(diligent, settle_all(number("view").unwrap() as u32, number("seq").unwrap(), 1));
        }
    }
    assert_eq!(got, 200);
    assert!(silent_bytes < 3_000 + longest && silent_bytes >= 3_000 - longest, "{silent_bytes}");
}

#[test]
fn members_of_a_view_share_the_same_bytes_and_the_last_one_ends_it() {
    let mut bench = Bench::new();
    let (one, two, other) = (bench.live("acme"), bench.live("acme"), bench.live("globex"));
    assert_eq!(bench.shard.views.len(), 2);
    bench.round(1, "acme", 10..20, 100);
    let mut places = Vec::new();
    for key in [one, two] {
        let outbox = &bench.outboxes.iter().find(|(known, _)| *known == key).unwrap().1;
        let _ = outbox.borrow_mut().flush(|slices| {
            places.push((slices[0].as_ptr(), slices[0].len()));
            Ok(slices.iter().map(|slice| slice.len()).sum())
        });
    }
    assert_eq!(places[0], places[1]);
    assert!(bench.told(other).texts.is_empty());
    bench.input(crate::fanout::Input::Gone(one));
    assert_eq!(bench.shard.views.len(), 2);
    bench.input(crate::fanout::Input::Gone(two));
    assert_eq!(bench.shard.views.len(), 1);
}

#[test]
fn an_idle_session_is_small() {
    let session = size_of::<crate::session::Session>();
    assert!(session <= 512, "{session} bytes");
    let subscription = size_of::<crate::session::Subscription>();
    assert!(subscription <= 128, "{subscription} bytes");
}

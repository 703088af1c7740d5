//! Reports: when they are sent, and that every position is settled once, whatever the order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tidegate_protocol::frame::{Failure, FailureKind, Position, Span, ViewReport};

use super::*;

fn subscribed() -> Bench {
    let mut bench = Bench::open();
    bench.want("orders", &[]);
    bench.accept(1, 0, "full");
    bench.clear();
    bench
}

fn span(s1: u64, o1: u32, s2: u64, o2: u32) -> Span {
    Span { first: Position { seq: s1, ordinal: o1 }, last: Position { seq: s2, ordinal: o2 } }
}

impl Bench {
    /// A batch comes and is dispatched.
    fn dispatch(&mut self, seq: u64, bytes: usize, entries: u32, exceptions: Vec<(u32, Outcome)>) -> Arrival {
        let arrival = self.batch(1, seq, "d", bytes).unwrap().arrival;
        self.with(|machine, now| machine.dispatched(now, arrival, entries, exceptions));
        arrival
    }

    fn settle(&mut self, arrival: Arrival, ordinal: u32, outcome: Outcome) {
        self.with(|machine, now| machine.settle(now, arrival, ordinal, outcome));
    }
}

#[test]
fn whole_batches_make_one_span_after_a_second() {
    let mut bench = subscribed();
    bench.dispatch(0, 10, 3, vec![]);
    bench.pass(600);
    bench.dispatch(1, 10, 2, vec![]);
    bench.pass(399);
    assert_eq!(bench.reports(), []);
    bench.pass(1);
    let view = ViewReport { view: 1, dispatched: Some(1), settled: vec![span(0, 0, 1, 1)], ..ViewReport::default() };
    assert_eq!(bench.reports(), [Report { views: vec![view] }]);
    bench.pass(5000);
    assert_eq!(bench.reports(), []);
}

#[test]
fn half_the_credit_reports_at_once() {
    let mut bench = subscribed();
    bench.dispatch(0, 499, 1, vec![]);
    assert_eq!(bench.reports(), []);
    bench.dispatch(1, 1, 1, vec![]);
    assert_eq!(bench.reports().len(), 1);
}

#[test]
fn half_the_unsettled_allowance_reports_at_once() {
    let mut bench = subscribed();
    bench.dispatch(0, 1, 5000, vec![]);
    assert_eq!(bench.reports().len(), 1);
}

#[test]
fn exceptions_are_told_by_position() {
    let mut bench = subscribed();
    let failed = Outcome::failed(FailureKind::Threw, "x".repeat(5000));
    let exceptions = vec![(1, failed), (2, Outcome::Unhandled), (3, Outcome::Pending)];
    let arrival = bench.dispatch(0, 10, 5, exceptions);
    bench.pass(1000);
    let [report] = &bench.reports()[..] else { panic!() };
    let at = |ordinal| Position { seq: 0, ordinal };
    let failure = Failure { at: at(1), kind: FailureKind::Threw, reason: "x".repeat(4096), last: true };
    let settled = vec![span(0, 0, 0, 2), span(0, 4, 0, 4)];
    let view = ViewReport { view: 1, dispatched: Some(0), settled, failed: vec![failure], unhandled: vec![at(2)] };
    assert_eq!(report.views, [view]);
    bench.settle(arrival, 3, Outcome::Consumed);
    bench.settle(arrival, 3, Outcome::failed(FailureKind::Rejected, "again"));
    bench.settle(arrival, 0, Outcome::failed(FailureKind::Rejected, "settled at once"));
    bench.pass(1000);
    let view = ViewReport { view: 1, settled: vec![span(0, 3, 0, 3)], ..ViewReport::default() };
    assert_eq!(bench.reports(), [Report { views: vec![view] }]);
}

#[test]
fn an_attempt_that_failed_is_told_before_the_fate() {
    let mut bench = subscribed();
    let arrival = bench.dispatch(0, 10, 1, vec![(0, Outcome::Pending)]);
    bench.settle(arrival, 0, Outcome::Failed { kind: FailureKind::Threw, reason: String::new(), last: false });
    bench.settle(arrival, 0, Outcome::Consumed);
    bench.pass(1000);
    let [first, second] = &bench.reports()[..] else { panic!() };
    assert!(first.views[0].settled.is_empty() && !first.views[0].failed[0].last);
    assert!(second.views[0].failed.is_empty() && second.views[0].settled == [span(0, 0, 0, 0)]);
}

#[test]
fn what_is_not_settled_in_time_has_failed_and_a_later_outcome_is_passed_over() {
    let mut bench = subscribed();
    let arrival = bench.dispatch(0, 10, 1, vec![(0, Outcome::Pending)]);
    bench.frame(ServerFrame::Ping(tidegate_protocol::frame::Ping::default()));
    bench.pass(30_000);
    assert!(bench.effects.contains(&Effect::TimedOut { arrival, ordinal: 0 }));
    bench.settle(arrival, 0, Outcome::Consumed);
    bench.pass(1000);
    let reports = bench.reports();
    let failed: Vec<&Failure> = reports.iter().flat_map(|r| &r.views).flat_map(|v| &v.failed).collect();
    assert!(matches!(failed[..], [Failure { kind: FailureKind::TimedOut, last: true, .. }]));
    assert_eq!(reports.iter().flat_map(|r| &r.views).flat_map(|v| &v.settled).count(), 1);
}

#[test]
fn an_old_view_stays_reportable_and_an_old_session_does_not() {
    let mut bench = subscribed();
    let arrival = bench.dispatch(0, 10, 1, vec![(0, Outcome::Pending)]);
    let at = Joined { view: 2, seq: 9 };
    bench.frame(ServerFrame::Moved(tidegate_protocol::frame::Moved {
        subscription: 101,
        at,
        recovered: true,
        reason: tidegate_protocol::frame::MovedReason::Live,
        gap: None,
    }));
    let newer = bench.batch(2, 9, "d", 10).unwrap().arrival;
    bench.with(|machine, now| machine.dispatched(now, newer, 1, vec![]));
    bench.settle(arrival, 0, Outcome::Consumed);
    bench.pass(1000);
    assert_eq!(bench.reports().last().unwrap().views.len(), 2);
    bench.batch(2, 10, "d", 10).unwrap();
    let stale = bench.batch(2, 11, "d", 10).unwrap().arrival;
    bench.reconnect();
    bench.accept(2, 11, "full");
    bench.with(|machine, now| machine.dispatched(now, stale, 1, vec![]));
    bench.pass(5000);
    assert_eq!(bench.reports(), []);
}

#[test]
fn many_exceptions_do_not_wait_for_a_frame_that_is_too_large() {
    let mut bench = subscribed();
    let failed = |_| Outcome::failed(FailureKind::Threw, "x".repeat(4096));
    bench.dispatch(0, 10, 4, (0..4).map(|ordinal| (ordinal, failed(ordinal))).collect());
    assert_eq!(bench.reports().len(), 1);
}

#[test]
fn closing_reports_first() {
    let mut bench = subscribed();
    bench.dispatch(0, 10, 1, vec![]);
    bench.with(Machine::close);
    assert_eq!(bench.reports().len(), 1);
}

#[derive(Debug, Clone)]
enum Step {
    Batch { entries: u32, pending: Vec<u32> },
    Settle { which: usize },
    Pass { ms: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1u32..6).prop_flat_map(|entries| {
            prop::collection::btree_set(0..entries, 0..=entries as usize)
                .prop_map(move |pending| Step::Batch { entries, pending: pending.into_iter().collect() })
        }),
        any::<usize>().prop_map(|which| Step::Settle { which }),
        (0u64..800).prop_map(|ms| Step::Pass { ms }),
    ]
}

proptest! {
    /// Against a plain set: every position settled is reported once, none that is not, each after its dispatch,
    /// and each report's spans rise without touching.
    #[test]
    fn positions_are_settled_once(steps in prop::collection::vec(step(), 1..60)) {
        let mut bench = subscribed();
        let mut batches: Vec<u32> = Vec::new();
        let mut pending: Vec<(Arrival, u32)> = Vec::new();
        let mut settled: BTreeSet<Position> = BTreeSet::new();
        for step in steps {
            match step {
                Step::Batch { entries, pending: later } => {
                    let seq = batches.len() as u64;
                    batches.push(entries);
                    let exceptions = later.iter().map(|&ordinal| (ordinal, Outcome::Pending)).collect();
                    let arrival = bench.dispatch(seq, 50, entries, exceptions);
                    for ordinal in 0..entries {
                        if later.contains(&ordinal) {
                            pending.push((arrival, ordinal));
                        } else {
                            settled.insert(Position { seq, ordinal });
                        }
                    }
                }
                Step::Settle { which } if !pending.is_empty() => {
                    let (arrival, ordinal) = pending.swap_remove(which % pending.len());
                    bench.settle(arrival, ordinal, Outcome::Consumed);
                    settled.insert(Position { seq: arrival.seq, ordinal });
                }
                Step::Settle { .. } => {}
                Step::Pass { ms } => bench.pass(ms),
            }
        }
        bench.pass(1000);
        let mut told: BTreeMap<Position, u32> = BTreeMap::new();
        let mut dispatched = None;
        for report in bench.reports() {
            let [view] = &report.views[..] else { panic!("{report:?}") };
            if view.dispatched.is_some() {
                prop_assert!(view.dispatched > dispatched);
                dispatched = view.dispatched;
            }
            let mut previous = None;
            for span in &view.settled {
                prop_assert!(previous < Some(span.first) && Some(span.last.seq) <= dispatched);
                let mut at = span.first;
                loop {
                    *told.entry(at).or_default() += 1;
                    previous = Some(at);
                    if at == span.last {
                        break;
                    }
                    at.ordinal += 1;
                    if at.ordinal == batches[at.seq as usize] {
                        at = Position { seq: at.seq + 1, ordinal: 0 };
                    }
                }
            }
        }
        prop_assert!(told.values().all(|&times| times == 1));
        prop_assert_eq!(told.into_keys().collect::<BTreeSet<_>>(), settled);
    }
}

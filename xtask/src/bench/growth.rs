//! What becomes of the cost when there is more of everything: sessions, topics, sessions that want something else.

use super::backlog::{Backlog, a_session_each};
use super::bridge::{PLAIN, Server, Setup, make_many};
use super::paced::Pace;
use super::scenarios::Bench;
use super::summary::Summary;
use super::target::Bound::AtMost;
use super::target::Hold::EachRun;

const NAME: &str = "growth";

/// Events a second: so few that each is written by itself, however few the sessions are.
const EVENTS: f64 = 100.0;

/// Deliveries a second that one core is surely good for: many sessions get fewer events.
const DELIVERIES: f64 = 100_000.0;

/// How far apart the costs of few and of many may lie.
const FLAT: f64 = 1.15;

/// Topics beside one.
const TOPICS: usize = 1000;

/// Sessions that want none of the events.
const OTHERS: usize = 10_000;

pub(super) fn growth(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    sessions(bench, summary)?;
    topics(bench, summary)?;
    others(bench, summary)
}

/// Events at a pace, to few sessions and to many: beside the bare loop with as many.
fn sessions(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    // Where there is little time, the ends will do.
    let sizes = if bench.is_quick() { vec![100, 10_000] } else { vec![100, 1000, 10_000] };
    let mut spreads = Vec::new();
    for round in 1..=bench.rounds(1, 3) {
        let mut ratios = Vec::new();
        for &sessions in &sizes {
            let pace = Pace { sessions, tenants: 1, rate: EVENTS.min(DELIVERIES / sessions as f64), awake: false };
            let measured = [pace.write_loop(bench, summary)?, pace.bridge(bench, summary)?];
            let [bare_us, ours_us] = [&measured[0], &measured[1]].map(|run| figure(run, "cpu_us_per_delivery"));
            summary.take(round, NAME, &format!("write_loop_{sessions}"), &measured[0]);
            summary.take(round, NAME, &format!("tidegate_{sessions}"), &measured[1]);
            ratios.push(ours_us / bare_us);
        }
        if !bench.is_quick() {
            // What an event costs at such a pace before anybody does anything with it.
            let window = bench.window();
            let read = Server::bare_reader_live(bench.kafka()?.0, EVENTS, window)?;
            summary.take(round, NAME, "rdkafka_at_that_pace", &read);
        }
        spreads.push(spread(&ratios));
    }
    let what = "(tidegate ÷ write_loop) per delivery, over 100, 1,000 and 10,000 sessions, greatest ÷ least";
    summary.target(NAME, what, spreads, EachRun, AtMost(FLAT));
    Ok(())
}

/// 1,000 sessions with a tenant each, on one topic and on a topic each: beside librdkafka reading the same.
fn topics(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    make_many(bench.kafka()?.0, TOPICS)?;
    let setup = Setup { topics: TOPICS, ..PLAIN };
    let one = Backlog { topic: "many.0", bursts: 2, ..a_session_each(1000) };
    let many = Backlog { topic: "many", topics: TOPICS, ..one };
    let mut spreads = Vec::new();
    for round in 1..=bench.rounds(1, 3) {
        let mut ratios = Vec::new();
        let runs =
            [("tidegate_1_topic", "rdkafka_1_topic", one), ("tidegate_1000_topics", "rdkafka_1000_topics", many)];
        for (ours, bare, backlog) in runs {
            let measured = backlog.run(bench, setup)?;
            summary.take(round, NAME, ours, &measured);
            let read = Server::bare_reader(bench.kafka()?.0, &backlog)?;
            summary.take(round, NAME, bare, &read);
            ratios.push(figure(&measured, "cpu_us_per_event") / figure(&read, "cpu_us_per_event"));
        }
        spreads.push(spread(&ratios));
    }
    let what = "(tidegate ÷ rdkafka) per event, of 1 and 1,000 topics, greatest ÷ least";
    summary.target(NAME, what, spreads, EachRun, AtMost(FLAT));
    Ok(())
}

/// The same events for the same sessions, alone and among many that want something else.
fn others(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    let alone = a_session_each(1000);
    let among = Backlog { others: OTHERS, ..alone };
    for round in 1..=bench.rounds(1, 3) {
        for (system, backlog) in [("tidegate_alone", alone), ("tidegate_among_10000", among)] {
            let measured = backlog.run(bench, PLAIN)?;
            summary.take(round, NAME, system, &measured);
        }
    }
    let of = ["tidegate_among_10000", "tidegate_alone"];
    summary.ratio(NAME, "cpu_us_per_event", of, EachRun, AtMost(FLAT));
    Ok(())
}

fn figure(measured: &serde_json::Value, name: &str) -> f64 {
    measured[name].as_f64().unwrap_or(f64::NAN)
}

/// The greatest of these by the least.
fn spread(ratios: &[f64]) -> f64 {
    let (least, greatest) = ratios.iter().fold((f64::INFINITY, 0.0_f64), |(l, g), &r| (l.min(r), g.max(r)));
    greatest / least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_is_what_is_the_same_for_few_and_for_many() {
        assert!((spread(&[2.0, 1.0, 3.0]) - 3.0).abs() < f64::EPSILON);
        assert!((spread(&[4.0, 2.0]) - 2.0).abs() < f64::EPSILON);
    }
}

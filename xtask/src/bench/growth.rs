//! What becomes of the cost when there is more of everything: sessions, topics, sessions that want something else.

use super::backlog::{Backlog, a_session_each};
use super::bridge::{PLAIN, Server, Setup, make_many};
use super::paced::Pace;
use super::scenarios::Bench;
use super::summary::Summary;
use super::target::Bound::AtMost;
use super::target::Hold::EachRun;

const NAME: &str = "growth";

/// Deliveries a second, however many sessions share them.
const DELIVERIES: f64 = 100_000.0;

/// How much dearer the dearest may be than the cheapest.
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

/// The same deliveries a second, to few sessions and to many: beside the bare loop with as many.
fn sessions(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    let sizes = [100, 1000, 10_000];
    let systems = sizes.map(|sessions| (format!("tidegate_{sessions}"), format!("write_loop_{sessions}")));
    let mut spreads = Vec::new();
    for round in 1..=bench.rounds(1, 3) {
        let mut ratios = Vec::new();
        for (sessions, (ours, bare)) in sizes.into_iter().zip(&systems) {
            let pace = Pace { sessions, tenants: 1, rate: DELIVERIES / sessions as f64 };
            let measured = [pace.write_loop(bench, summary)?, pace.bridge(bench, summary)?];
            let [bare_us, ours_us] = [&measured[0], &measured[1]].map(|run| figure(run, "cpu_us_per_delivery"));
            summary.take(round, NAME, bare, &measured[0]);
            summary.take(round, NAME, ours, &measured[1]);
            ratios.push(ours_us / bare_us);
        }
        spreads.push(spread(&ratios));
    }
    let what = "(tidegate ÷ write_loop) per delivery, dearest ÷ cheapest of 100, 1,000 and 10,000 sessions";
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
    let what = "(tidegate ÷ rdkafka) per event, dearer ÷ cheaper of 1 and 1,000 topics";
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

fn spread(ratios: &[f64]) -> f64 {
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most / least
}

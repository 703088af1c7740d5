//! Scenarios in which everything waits already when the bridge comes to it.

use anyhow::Context;
use serde_json::{Value, json};

use super::bridge::{CONDITIONS, PLAIN, Server, Setup};
use super::peers::{Kind, Peer};
use super::scenarios::Bench;
use super::summary::Summary;
use super::target::Bound::{AtLeast, AtMost};
use super::target::Hold::EachRun;
use super::{Cores, load};

/// A backlog for sessions of a fresh bridge.
#[derive(Clone, Copy)]
pub(super) struct Backlog<'a> {
    pub(super) sessions: usize,
    pub(super) tenants: usize,
    pub(super) others: usize,
    pub(super) roles: &'a str,
    pub(super) readers: usize,
    pub(super) events: usize,
    pub(super) bursts: usize,
    /// The topic, or of several the beginning of their names.
    pub(super) topic: &'a str,
    pub(super) topics: usize,
}

impl Backlog<'_> {
    /// Through a bridge.
    pub(super) fn run(&self, bench: &mut Bench, setup: Setup) -> anyhow::Result<Value> {
        let server = bench.bridge(setup)?;
        let mut arguments = vec!["backlog".to_owned()];
        arguments.extend(server.arguments());
        arguments.extend(["--bootstrap".into(), bench.kafka()?.0.bootstrap(), "--roles".into(), self.roles.into()]);
        arguments.extend(["--topic".into(), self.topic.into()]);
        arguments.extend(numbers(&[("--readers", self.readers), ("--others", self.others), ("--topics", self.topics)]));
        arguments.extend(self.numbers());
        load(&arguments)
    }

    /// The same through a server that reads no log, where it can be had.
    fn peer(&self, bench: &mut Bench, kind: Kind) -> anyhow::Result<Option<Value>> {
        let Some(peer) = Peer::start(kind, bench.kafka()?.1)? else { return Ok(None) };
        let mut arguments = vec!["peer".to_owned()];
        arguments.extend(peer.arguments());
        arguments.extend(self.numbers());
        load(&arguments).map(Some)
    }

    fn numbers(&self) -> Vec<String> {
        let Self { sessions, tenants, events, bursts, .. } = *self;
        numbers(&[("--sessions", sessions), ("--tenants", tenants), ("--events", events), ("--bursts", bursts)])
    }
}

fn numbers(named: &[(&str, usize)]) -> Vec<String> {
    named.iter().flat_map(|&(name, number)| [name.to_owned(), number.to_string()]).collect()
}

/// Each event is for one session: of its tenant.
pub(super) fn a_session_each(sessions: usize) -> Backlog<'static> {
    Backlog { sessions, tenants: sessions, readers: 1, events: 100_000, bursts: 3, ..FOR_ALL }
}

/// Each event is for all of 1,000 sessions: far more than the credit of a session, so that they fall behind and
/// catch up.
pub(super) const FOR_ALL: Backlog<'static> = Backlog {
    sessions: 1000,
    tenants: 1,
    others: 0,
    roles: "clerk",
    readers: 1000,
    events: 10_000,
    bursts: 2,
    topic: "orders",
    topics: 1,
};

/// The same, or less of it where there is little time.
fn for_all(bench: &Bench) -> Backlog<'static> {
    if bench.is_quick() { Backlog { events: 5000, ..FOR_ALL } } else { FOR_ALL }
}

pub(super) fn fanout_backlog(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    const NAME: &str = "fanout_backlog";
    let backlog = for_all(bench);
    for round in 1..=bench.rounds(1, 3) {
        let measured = backlog.run(bench, PLAIN)?;
        summary.take(round, NAME, "tidegate", &measured);
        for kind in [Kind::Nats, Kind::Naive] {
            if let Some(measured) = backlog.peer(bench, kind)? {
                summary.take(round, NAME, kind.name(), &measured);
            }
        }
    }
    summary.expect(NAME, "cpu_us_per_delivery", "tidegate", EachRun, AtMost(0.2));
    summary.ratio(NAME, "cpu_us_per_delivery", ["tidegate", "nats"], EachRun, AtMost(0.4));
    summary.expect(NAME, "loader_core", "tidegate", EachRun, AtMost(0.9));
    Ok(())
}

/// Two shards on two cores, of which one is the load's too. A shard beside the load finds colder caches, however many there
/// are: so they are held against one shard on either core.
pub(super) fn shards(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    const NAME: &str = "shards";
    // Short runs wander by more than what is looked for.
    let backlog = Backlog { bursts: if bench.is_quick() { 2 } else { 4 }, ..for_all(bench) };
    for round in 1..=bench.rounds(1, 3) {
        let mut run = |shards, cores| backlog.run(bench, Setup { shards, cores, ..PLAIN });
        let (alone, beside, two) = (run(1, Cores::Server)?, run(1, Cores::Load)?, run(2, Cores::Both)?);
        let cost = |measured: &Value| measured["cpu_us_per_delivery"].as_f64().context("no CPU was measured");
        let one = f64::midpoint(cost(&alone)?, cost(&beside)?);
        summary.take(round, NAME, "one_shard_alone", &alone);
        summary.take(round, NAME, "one_shard_beside_the_load", &beside);
        summary.take(round, NAME, "one_shard", &json!({ "deliveries_per_cpu_s": 1e6 / one }));
        summary.take(round, NAME, "two_shards", &two);
    }
    summary.ratio(NAME, "deliveries_per_cpu_s", ["two_shards", "one_shard"], EachRun, AtLeast(0.9));
    Ok(())
}

pub(super) fn tls(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    const NAME: &str = "tls";
    let backlog = for_all(bench);
    for round in 1..=bench.rounds(1, 3) {
        for (system, tls) in [("plain", false), ("tls", true)] {
            let measured = backlog.run(bench, Setup { tls, ..PLAIN })?;
            summary.take(round, NAME, system, &measured);
        }
    }
    summary.ratio(NAME, "cpu_us_per_delivery", ["tls", "plain"], EachRun, AtMost(1.6));
    Ok(())
}

pub(super) fn tenants_backlog(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    const NAME: &str = "tenants_backlog";
    let backlog = a_session_each(1000);
    for round in 1..=bench.rounds(1, 3) {
        let measured = backlog.run(bench, PLAIN)?;
        summary.take(round, NAME, "tidegate", &measured);
        let bare = Server::bare_reader(bench.kafka()?.0, &backlog)?;
        summary.take(round, NAME, "rdkafka", &bare);
        if let Some(nats) = backlog.peer(bench, Kind::Nats)? {
            summary.take(round, NAME, "nats", &nats);
        }
    }
    summary.expect(NAME, "cpu_us_per_event", "tidegate", EachRun, AtMost(2.5));
    summary.ratio(NAME, "cpu_us_per_event", ["tidegate", "rdkafka"], EachRun, AtMost(3.0));
    Ok(())
}

pub(super) fn rules(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    const NAME: &str = "rules";
    let all = Backlog { events: 1000, bursts: 5, ..FOR_ALL };
    let over: Vec<String> = (0..CONDITIONS).map(|number| format!("over-{number}")).collect();
    let ten = Backlog { roles: &over.join(","), ..all };
    let sessions = if bench.is_quick() { 1000 } else { 10_000 };
    let own = Backlog { roles: "own", tenants: 1, ..a_session_each(sessions) };
    let runs =
        [("no_condition", all), ("ten_conditions", ten), ("tenant_each", a_session_each(1000)), ("rule_each", own)];
    for round in 1..=bench.rounds(1, 3) {
        for (system, backlog) in &runs {
            let measured = backlog.run(bench, PLAIN)?;
            summary.take(round, NAME, system, &measured);
        }
    }
    summary.ratio(NAME, "cpu_us_per_delivery", ["ten_conditions", "no_condition"], EachRun, AtMost(1.15));
    summary.ratio(NAME, "cpu_us_per_event", ["rule_each", "tenant_each"], EachRun, AtMost(1.5));
    Ok(())
}

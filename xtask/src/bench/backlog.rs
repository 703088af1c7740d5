//! Scenarios in which everything waits already when the bridge comes to it.

use super::bridge::{CONDITIONS, PLAIN, Server, Setup};
use super::load;
use super::nats::Nats;
use super::scenarios::{Bench, take};
use super::summary::Summary;

/// A backlog for sessions of a fresh bridge.
struct Backlog<'a> {
    sessions: usize,
    tenants: usize,
    roles: &'a str,
    readers: usize,
    events: usize,
    bursts: usize,
}

impl Backlog<'_> {
    fn run(&self, bench: &mut Bench, setup: Setup) -> anyhow::Result<serde_json::Value> {
        let server = bench.bridge(setup)?;
        let mut arguments = vec!["backlog".to_owned()];
        arguments.extend(server.arguments());
        arguments.extend(["--bootstrap".into(), bench.kafka()?.0.bootstrap(), "--roles".into(), self.roles.into()]);
        arguments.extend(["--readers".into(), self.readers.to_string()]);
        arguments.extend(self.numbers());
        load(&arguments)
    }

    /// The same through nats-server, where it can be had.
    fn nats(&self, bench: &mut Bench) -> anyhow::Result<Option<serde_json::Value>> {
        let Some(nats) = Nats::start(bench.kafka()?.1)? else { return Ok(None) };
        let mut arguments = vec!["nats".to_owned()];
        arguments.extend(nats.arguments());
        arguments.extend(self.numbers());
        load(&arguments).map(Some)
    }

    fn numbers(&self) -> Vec<String> {
        let numbers = [
            ("--sessions", self.sessions),
            ("--tenants", self.tenants),
            ("--events", self.events),
            ("--bursts", self.bursts),
        ];
        numbers.into_iter().flat_map(|(name, number)| [name.to_owned(), number.to_string()]).collect()
    }
}

/// Each event is for one session: of its tenant.
fn a_session_each(sessions: usize) -> Backlog<'static> {
    Backlog { sessions, tenants: sessions, roles: "clerk", readers: 1, events: 100_000, bursts: 3 }
}

/// Each event is for all of 1,000 sessions: far more than the credit of a session, so that they fall behind and
/// catch up.
const FOR_ALL: Backlog<'static> =
    Backlog { sessions: 1000, tenants: 1, roles: "clerk", readers: 1000, events: 10_000, bursts: 2 };

pub(super) fn fanout_backlog(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    const NAME: &str = "fanout_backlog";
    for round in 1..=bench.rounds(2, 5) {
        if let Some(nats) = FOR_ALL.nats(bench)? {
            take(summary, round, NAME, "nats", &nats);
        }
        let measured = FOR_ALL.run(bench, PLAIN)?;
        take(summary, round, NAME, "tidegate", &measured);
    }
    summary.at_most(NAME, "cpu_us_per_delivery", "tidegate", 0.2);
    summary.ratio(NAME, "cpu_us_per_delivery", "tidegate", "nats", 0.4);
    Ok(())
}

pub(super) fn shards(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    const NAME: &str = "shards";
    for round in 1..=bench.rounds(2, 3) {
        for (system, shards) in [("one_shard", 1), ("two_shards", 2)] {
            let measured = FOR_ALL.run(bench, Setup { shards, ..PLAIN })?;
            take(summary, round, NAME, system, &measured);
        }
    }
    summary.ratio(NAME, "cpu_us_per_delivery", "two_shards", "one_shard", 1.0 / 0.9);
    Ok(())
}

pub(super) fn tls(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    const NAME: &str = "tls";
    for round in 1..=bench.rounds(2, 3) {
        for (system, tls) in [("plain", false), ("tls", true)] {
            let measured = FOR_ALL.run(bench, Setup { tls, ..PLAIN })?;
            take(summary, round, NAME, system, &measured);
        }
    }
    summary.ratio(NAME, "cpu_us_per_delivery", "tls", "plain", 1.6);
    Ok(())
}

pub(super) fn tenants_backlog(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    const NAME: &str = "tenants_backlog";
    for round in 1..=bench.rounds(3, 5) {
        let measured = a_session_each(1000).run(bench, PLAIN)?;
        take(summary, round, NAME, "tidegate", &measured);
        if let Some(nats) = a_session_each(1000).nats(bench)? {
            take(summary, round, NAME, "nats", &nats);
        }
        let bare = Server::bare_reader(bench.kafka()?.0, 100_000)?;
        take(summary, round, NAME, "rdkafka", &bare);
    }
    summary.at_most(NAME, "cpu_us_per_event", "tidegate", 2.5);
    summary.ratio(NAME, "cpu_us_per_event", "tidegate", "rdkafka", 3.0);
    Ok(())
}

pub(super) fn rules(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    const NAME: &str = "rules";
    let all = Backlog { sessions: 1000, tenants: 1, roles: "clerk", readers: 1000, events: 1000, bursts: 5 };
    let over: Vec<String> = (0..CONDITIONS).map(|number| format!("over-{number}")).collect();
    let ten = Backlog { roles: &over.join(","), ..all };
    let sessions = if bench.is_quick() { 1000 } else { 10_000 };
    let own = Backlog { roles: "own", tenants: 1, ..a_session_each(sessions) };
    for round in 1..=bench.rounds(3, 5) {
        let none = all.run(bench, PLAIN)?;
        take(summary, round, NAME, "no_condition", &none);
        let ten = ten.run(bench, PLAIN)?;
        take(summary, round, NAME, "ten_conditions", &ten);
        let tenants = a_session_each(1000).run(bench, PLAIN)?;
        take(summary, round, NAME, "tenant_each", &tenants);
        let own = own.run(bench, PLAIN)?;
        take(summary, round, NAME, "rule_each", &own);
    }
    summary.ratio(NAME, "cpu_us_per_delivery", "ten_conditions", "no_condition", 1.15);
    summary.ratio(NAME, "cpu_us_per_event", "rule_each", "tenant_each", 1.5);
    Ok(())
}

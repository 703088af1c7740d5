//! Scenarios in which everything waits already when the bridge comes to it.

use super::bridge::{CONDITIONS, Server};
use super::load;
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
    fn run(&self, bench: &mut Bench) -> anyhow::Result<serde_json::Value> {
        let server = bench.bridge()?;
        let mut arguments = vec!["backlog".to_owned()];
        arguments.extend(server.arguments());
        arguments.extend(["--bootstrap".into(), bench.kafka()?.0.bootstrap(), "--roles".into(), self.roles.into()]);
        let numbers = [
            ("--sessions", self.sessions),
            ("--tenants", self.tenants),
            ("--readers", self.readers),
            ("--events", self.events),
            ("--bursts", self.bursts),
        ];
        arguments.extend(numbers.into_iter().flat_map(|(name, number)| [name.to_owned(), number.to_string()]));
        load(&arguments)
    }
}

/// Each event is for one session: of its tenant.
fn a_session_each(sessions: usize) -> Backlog<'static> {
    Backlog { sessions, tenants: sessions, roles: "clerk", readers: 1, events: 100_000, bursts: 3 }
}

pub(super) fn tenants_backlog(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    const NAME: &str = "tenants_backlog";
    for round in 1..=bench.rounds(3, 5) {
        let measured = a_session_each(1000).run(bench)?;
        take(summary, round, NAME, "tidegate", &measured);
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
        let none = all.run(bench)?;
        take(summary, round, NAME, "no_condition", &none);
        let ten = ten.run(bench)?;
        take(summary, round, NAME, "ten_conditions", &ten);
        let tenants = a_session_each(1000).run(bench)?;
        take(summary, round, NAME, "tenant_each", &tenants);
        let own = own.run(bench)?;
        take(summary, round, NAME, "rule_each", &own);
    }
    summary.ratio(NAME, "cpu_us_per_delivery", "ten_conditions", "no_condition", 1.15);
    summary.ratio(NAME, "cpu_us_per_event", "rule_each", "tenant_each", 1.5);
    Ok(())
}

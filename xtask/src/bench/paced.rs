//! Scenarios at a steady pace.

use serde_json::Value;

use super::bridge::{PLAIN, Server};
use super::load;
use super::scenarios::{Bench, take};
use super::summary::Summary;

/// Events a second, and who gets them.
#[derive(Clone, Copy)]
struct Pace {
    sessions: usize,
    tenants: usize,
    rate: f64,
}

impl Pace {
    fn bridge(self, bench: &mut Bench) -> anyhow::Result<Value> {
        let server = bench.bridge(PLAIN)?;
        let bootstrap = bench.kafka()?.0.bootstrap();
        self.load(&server, &["--bootstrap", &bootstrap, "--tenants", &self.tenants.to_string()])
    }

    fn write_loop(self) -> anyhow::Result<Value> {
        let server = Server::write_loop(self.sessions, self.rate, self.tenants > 1)?;
        self.load(&server, &[])
    }

    fn load(self, server: &Server, more: &[&str]) -> anyhow::Result<Value> {
        let mut arguments = vec!["paced".to_owned()];
        arguments.extend(server.arguments());
        arguments.extend(["--sessions".into(), self.sessions.to_string(), "--rate".into(), self.rate.to_string()]);
        arguments.extend(more.iter().map(|&word| word.to_owned()));
        let measured = load(&arguments)?;
        check_pace(&measured, self.rate * (self.sessions / self.tenants) as f64);
        Ok(measured)
    }
}

pub(super) fn fanout_paced(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    const NAME: &str = "fanout_paced";
    let pace = Pace { sessions: 1000, tenants: 1, rate: 150.0 };
    // One after the other, again and again: what the machine does meanwhile befalls both.
    for round in 1..=bench.rounds(5, 9) {
        take(summary, round, NAME, "write_loop", &pace.write_loop()?);
        take(summary, round, NAME, "tidegate", &pace.bridge(bench)?);
    }
    summary.ratio(NAME, "cpu_us_per_delivery", "tidegate", "write_loop", 1.15);
    Ok(())
}

pub(super) fn fanout_live(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    const NAME: &str = "fanout_live";
    let pace = Pace { sessions: 1000, tenants: 1, rate: 2000.0 };
    for round in 1..=bench.rounds(2, 5) {
        take(summary, round, NAME, "tidegate", &pace.bridge(bench)?);
    }
    summary.at_most(NAME, "p99_ms", "tidegate", 100.0);
    Ok(())
}

pub(super) fn tenants_paced(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    const NAME: &str = "tenants_paced";
    let pace = Pace { sessions: 1000, tenants: 1000, rate: 5000.0 };
    for round in 1..=bench.rounds(3, 5) {
        let bare = Server::bare_reader_live(bench.kafka()?.0, pace.rate, 6.0)?;
        take(summary, round, NAME, "rdkafka", &bare);
        let writes = pace.write_loop()?;
        take(summary, round, NAME, "write_loop", &writes);
        let ours = pace.bridge(bench)?;
        take(summary, round, NAME, "tidegate", &ours);
        let read = |of: &Value, measure: &str| of[measure].as_f64().unwrap_or(f64::NAN);
        let floor = read(&bare, "cpu_us_per_event") + read(&writes, "cpu_us_per_delivery");
        summary.add(NAME, "cpu_over_floor", "tidegate", read(&ours, "cpu_us_per_delivery") / floor);
        summary.add(NAME, "p99_over_rdkafka_ms", "tidegate", read(&ours, "p99_ms") - read(&bare, "p99_ms"));
    }
    summary.at_most(NAME, "cpu_over_floor", "tidegate", 1.2);
    summary.at_most(NAME, "p99_over_rdkafka_ms", "tidegate", 2.0);
    Ok(())
}

/// Says when a machine that had other work could not keep the pace: then a run tells of the machine.
fn check_pace(measured: &Value, offered: f64) {
    let kept = measured["deliveries_per_s"].as_f64().unwrap_or(0.0) / offered;
    if !(0.97..1.03).contains(&kept) {
        println!("   the pace was not kept ({:.0} % of it): is the machine busy with something else?", kept * 100.0);
    }
}

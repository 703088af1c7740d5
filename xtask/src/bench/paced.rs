//! Scenarios at a steady pace.

use serde_json::Value;

use super::bridge::{PLAIN, Server};
use super::load;
use super::peers::{Kind, Peer};
use super::scenarios::Bench;
use super::summary::Summary;
use super::target::Bound::{AtLeast, AtMost};
use super::target::Hold::{EachRun, Median};
use super::target::median;

/// Events a second, and who gets them.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    pub(super) sessions: usize,
    pub(super) tenants: usize,
    pub(super) rate: f64,
    /// The load never sleeps.
    pub(super) awake: bool,
}

impl Pace {
    /// Through a bridge.
    pub(super) fn bridge(self, bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<Value> {
        let server = bench.bridge(PLAIN)?;
        let mut more = server.arguments();
        more.extend(["--bootstrap".into(), bench.kafka()?.0.bootstrap(), "--tenants".into(), self.tenants.to_string()]);
        self.load(bench, summary, more)
    }

    /// The bare loop.
    pub(super) fn write_loop(self, bench: &Bench, summary: &mut Summary) -> anyhow::Result<Value> {
        let server = Server::write_loop(self.sessions, self.rate, self.tenants > 1)?;
        self.load(bench, summary, server.arguments())
    }

    /// Through a server that reads no log, where it can be had.
    fn peer(self, bench: &mut Bench, summary: &mut Summary, kind: Kind) -> anyhow::Result<Option<Value>> {
        let Some(peer) = Peer::start(kind, bench.kafka()?.1)? else { return Ok(None) };
        self.load(bench, summary, peer.arguments()).map(Some)
    }

    fn load(self, bench: &Bench, summary: &mut Summary, more: Vec<String>) -> anyhow::Result<Value> {
        let mut arguments = vec!["paced".to_owned()];
        arguments.extend(more);
        arguments.extend(["--sessions".into(), self.sessions.to_string(), "--rate".into(), self.rate.to_string()]);
        arguments.extend(["--window".into(), bench.window().to_string(), "--warm".into(), bench.warm().to_string()]);
        if self.awake {
            arguments.push("--awake".into());
        }
        let measured = load(&arguments)?;
        // A machine that had other work could not keep the pace: then a run tells of the machine.
        let kept = self.kept(&measured);
        // At the edges of the window an event more or less is no matter.
        let tolerated = 0.03 + 1.5 / (self.rate * bench.window());
        if (kept - 1.0).abs() > tolerated {
            summary.remark(format!("a pace of {} events/s was kept to {:.0} %", self.rate, kept * 100.0));
        }
        Ok(measured)
    }

    /// The part of the deliveries of a second that came in a second.
    fn kept(self, measured: &Value) -> f64 {
        let offered = self.rate * (self.sessions / self.tenants) as f64;
        measured["deliveries_per_s"].as_f64().unwrap_or(0.0) / offered
    }
}

pub(super) fn fanout_paced(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    const NAME: &str = "fanout_paced";
    let pace = Pace { sessions: 1000, tenants: 1, rate: 150.0, awake: false };
    // One after the other, again and again: what the machine does meanwhile befalls all of them.
    // Peers are marks, not targets: fewer of their runs will do.
    let marks = bench.rounds(1, 3);
    for round in 1..=bench.rounds(1, 5) {
        let bare = pace.write_loop(bench, summary)?;
        summary.take(round, NAME, "write_loop", &bare);
        let ours = pace.bridge(bench, summary)?;
        summary.take(round, NAME, "tidegate", &ours);
        if !bench.is_quick() {
            // The same without what waking the load costs each of them: how much of the difference that is.
            let awake = Pace { awake: true, ..pace };
            let bare = awake.write_loop(bench, summary)?;
            summary.take(round, NAME, "write_loop_awake", &bare);
            let ours = awake.bridge(bench, summary)?;
            summary.take(round, NAME, "tidegate_awake", &ours);
        }
        for kind in [Kind::Nats, Kind::Naive].into_iter().filter(|_| round <= marks) {
            if let Some(measured) = pace.peer(bench, summary, kind)? {
                summary.take(round, NAME, kind.name(), &measured);
            }
        }
    }
    summary.ratio(NAME, "cpu_us_per_delivery", ["tidegate", "write_loop"], EachRun, AtMost(1.15));
    let awake = summary.ratios(NAME, "cpu_us_per_delivery", ["tidegate_awake", "write_loop_awake"]);
    if !awake.is_empty() {
        summary.remark(format!("{NAME}: {:.2} × the bare loop where nobody has to wake the load", median(&awake)));
    }
    Ok(())
}

pub(super) fn fanout_live(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    const NAME: &str = "fanout_live";
    let pace = Pace { sessions: 1000, tenants: 1, rate: 2000.0, awake: false };
    let mut kept = Vec::new();
    for round in 1..=bench.rounds(1, 5) {
        let measured = pace.bridge(bench, summary)?;
        kept.push(pace.kept(&measured));
        summary.take(round, NAME, "tidegate", &measured);
    }
    summary.expect(NAME, "p99_ms", "tidegate", Median, AtMost(100.0));
    summary.target(NAME, "part of the offered deliveries", kept, Median, AtLeast(0.97));
    Ok(())
}

pub(super) fn tenants_paced(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    const NAME: &str = "tenants_paced";
    let pace = Pace { sessions: 1000, tenants: 1000, rate: 5000.0, awake: false };
    let window = bench.window();
    let (mut beyond_reader, mut over_floor) = (Vec::new(), Vec::new());
    for round in 1..=bench.rounds(1, 5) {
        let bare = Server::bare_reader_live(bench.kafka()?.0, pace.rate, window)?;
        summary.take(round, NAME, "rdkafka", &bare);
        let writes = pace.write_loop(bench, summary)?;
        summary.take(round, NAME, "write_loop", &writes);
        let ours = pace.bridge(bench, summary)?;
        summary.take(round, NAME, "tidegate", &ours);
        let read = |of: &Value, measure: &str| of[measure].as_f64().unwrap_or(f64::NAN);
        let floor = read(&bare, "cpu_us_per_event") + read(&writes, "cpu_us_per_delivery");
        over_floor.push(read(&ours, "cpu_us_per_delivery") / floor);
        beyond_reader.push(read(&ours, "p99_ms") - read(&bare, "p99_ms"));
    }
    summary.target(NAME, "p99_ms, tidegate - rdkafka", beyond_reader, Median, AtMost(2.0));
    let what = "CPU per event, tidegate ÷ (rdkafka + write_loop)";
    summary.target(NAME, what, over_floor, EachRun, AtMost(1.2));
    Ok(())
}

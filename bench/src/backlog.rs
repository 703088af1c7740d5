//! Events that wait when the server comes to them: what it costs when there is much to do.
//!
//! The sessions are live; the server is stopped where it stands, the backlog is put onto the log, and it goes on.

use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use serde_json::json;

use crate::load::Load;
use crate::process;
use crate::server::{Server, Who};
use crate::source::Source;

/// How long nothing may come before all that was sent counts as lost.
const QUIET: Duration = Duration::from_secs(10);

/// How long events of a backlog may wait for others on their way onto the log.
const LINGER: Duration = Duration::from_millis(20);

/// How long the server may rest between two bursts.
const REST: Duration = Duration::from_millis(200);

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    server: Server,
    /// Kafka.
    #[arg(long)]
    bootstrap: String,
    /// Sessions; the tenants have them in turn.
    #[arg(long)]
    sessions: usize,
    /// Tenants; the events are theirs in turn.
    #[arg(long, default_value_t = 1)]
    tenants: usize,
    /// Roles; the sessions have them in turn.
    #[arg(long, value_delimiter = ',', default_value = "clerk")]
    roles: Vec<String>,
    /// Sessions of other tenants, which get none of the events.
    #[arg(long, default_value_t = 0)]
    others: usize,
    /// Sessions that each event is for. All of its tenant, unless the roles have rules.
    #[arg(long)]
    readers: Option<usize>,
    /// Events of one burst.
    #[arg(long)]
    events: usize,
    /// Bursts that are measured, after one that is not.
    #[arg(long, default_value_t = 3)]
    bursts: usize,
}

/// What the bursts came to.
#[derive(Default)]
struct Spent {
    server_us: u64,
    own_us: u64,
    entries: u64,
    frames: u64,
    time: Duration,
}

/// Runs it and prints what was measured.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let &Options { ref server, ref bootstrap, sessions, tenants, ref roles, events, bursts, .. } = options;
    ensure!(sessions % tenants == 0 && events % sessions == 0, "sessions must divide by tenants, events by sessions");
    let who = |subject: usize| Who { tenant: subject % tenants, subject, role: &roles[subject % roles.len()] };
    let mut connections = (0..sessions).map(|subject| server.open(who(subject))).collect::<anyhow::Result<Vec<_>>>()?;
    for subject in sessions..sessions + options.others {
        connections.push(server.open(Who { tenant: subject, subject, role: &roles[0] })?);
    }
    let mut load = Load::new(connections)?;
    let mut source = Source::new(bootstrap, &server.topics, LINGER)?;
    let readers = options.readers.unwrap_or(sessions / tenants);
    let mut spent = Spent::default();
    for burst in 0..=bursts {
        if burst == 1 {
            spent = Spent::default();
        }
        load.run_for(REST)?;
        server.freeze(true)?;
        for event in 0..events {
            source.send(event, event % tenants, event % sessions)?;
        }
        source.finish()?;
        let (before, frames) = (load.received.entries, load.received.frames);
        let (server_us, own_us, began) = (process::cpu_us(server.pid)?, process::own_cpu_us()?, Instant::now());
        server.freeze(false)?;
        let last = load.receive(before + (events * readers) as u64, QUIET)?;
        spent.time += last.duration_since(began);
        spent.own_us += process::own_cpu_us()? - own_us;
        // What was received is also to be reported, and the reports are to be read.
        load.report_all()?;
        load.run_for(REST)?;
        spent.server_us += process::cpu_us(server.pid)? - server_us;
        spent.entries += load.received.entries - before;
        spent.frames += load.received.frames - frames;
    }
    let count = (events * bursts) as f64;
    let measured = json!({
        "cpu_us_per_delivery": spent.server_us as f64 / spent.entries as f64,
        "cpu_us_per_event": spent.server_us as f64 / count,
        "entries_per_frame": spent.entries as f64 / spent.frames as f64,
        "deliveries_per_cpu_s": spent.entries as f64 * 1e6 / spent.server_us as f64,
        "deliveries_per_s": spent.entries as f64 / spent.time.as_secs_f64(),
        "events_per_s": count / spent.time.as_secs_f64(),
        "cpu_s": spent.server_us as f64 / 1e6,
        "loader_core": spent.own_us as f64 / 1e6 / spent.time.as_secs_f64(),
    });
    println!("{measured}");
    Ok(())
}

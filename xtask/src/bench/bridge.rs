//! The servers that are measured: the shipped bridge before a real Kafka, and the bare loop.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};

use super::backlog::Backlog;
use super::kafka::Kafka;
use super::{Cores, LOADER, on_cores, on_server_core};
use crate::process;

/// What signs the tokens of all sessions.
pub(super) const SECRET: &str = "the bench signs its tokens with this secret";

/// How tokens are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tokens {
    /// HS256, with [`SECRET`].
    Secret,
    /// ES256, with the key pair in the directory.
    KeyPair,
}

/// How a bridge is set up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setup {
    pub(super) tokens: Tokens,
    pub(super) tls: bool,
    pub(super) shards: usize,
    /// Where it runs.
    pub(super) cores: Cores,
    /// Topics `many.0`, `many.1` and so on.
    pub(super) topics: usize,
    /// Seconds between two heartbeats of a session.
    pub(super) heartbeat: u32,
}

/// As most scenarios have it.
pub(super) const PLAIN: Setup =
    Setup { tokens: Tokens::Secret, tls: false, shards: 1, cores: Cores::Server, topics: 0, heartbeat: 25 };

/// A server's process, ended when dropped.
pub(super) struct Server {
    process: Child,
    pub(super) address: SocketAddr,
    /// How the load gets in, beside address and process.
    entry: Vec<String>,
}

impl Server {
    /// The shipped bridge: tokens, grants, ledger, heartbeats, cursors, all as it comes.
    pub(super) fn bridge(kafka: &Kafka, directory: &Path, setup: Setup) -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = directory.join("tidegate.toml");
        fs::write(&config, configuration(address, &kafka.bootstrap(), setup))?;
        let log = directory.join("tidegate.log");
        let program = "target/release/tidegate";
        let mut command = on_cores(setup.cores, program);
        command.args(["serve", "--config"]).arg(&config);
        let assets = directory.join("assets");
        command.args(assets.is_dir().then(|| format!("--assets={}", assets.display())));
        command.stdout(Stdio::null()).stderr(File::create(&log)?);
        let file = |name: &str| directory.join(name).display().to_string();
        let mut entry = match setup.tokens {
            Tokens::Secret => vec!["--secret".to_owned(), SECRET.to_owned()],
            Tokens::KeyPair => vec!["--key".to_owned(), file("private.pem")],
        };
        if setup.tls {
            entry.extend(["--ca".to_owned(), file("certificate.pem")]);
        }
        let server = Self { process: spawn(&mut command)?, address, entry };
        let mut ready = Command::new(LOADER);
        ready.args(["ready", "--address", &address.to_string()]);
        if setup.tls {
            ready.args(["--ca", &file("certificate.pem")]);
        }
        process::run(&mut ready).with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
        Ok(server)
    }

    /// The bare loop; `each`: an event goes to one socket, in turn.
    pub(super) fn write_loop(sessions: usize, rate: f64, each: bool) -> anyhow::Result<Self> {
        let mut command = on_server_core(LOADER);
        command.args(["write-loop", "--sessions", &sessions.to_string(), "--rate", &rate.to_string()]);
        command.args(each.then_some("--each"));
        let mut process = spawn(command.stdout(Stdio::piped()))?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("piped")?).read_line(&mut line)?;
        let address = line.trim().parse().context("the bare loop says where it listens")?;
        Ok(Self { process, address, entry: Vec::new() })
    }

    /// librdkafka alone, reading the newest events of a backlog on the core of servers: what it measured.
    pub(super) fn bare_reader(kafka: &Kafka, backlog: &Backlog<'_>) -> anyhow::Result<serde_json::Value> {
        let (events, topics) = (backlog.events.to_string(), backlog.topics.to_string());
        let mut command = on_server_core(LOADER);
        command.args(["reader", "--bootstrap", &kafka.bootstrap(), "--events", &events]);
        command.args(["--topic", backlog.topic, "--topics", &topics]);
        let output = command.stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "the bare reader ended with {}", output.status);
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// librdkafka alone, reading what is produced at that pace meanwhile: what it measured.
    pub(super) fn bare_reader_live(kafka: &Kafka, rate: f64, window: f64) -> anyhow::Result<serde_json::Value> {
        let mut command = on_server_core(LOADER);
        command.args(["reader", "--bootstrap", &kafka.bootstrap(), "--window", &window.to_string()]);
        let mut reader = spawn(command.stdout(Stdio::piped()))?;
        let mut lines = BufReader::new(reader.stdout.take().context("piped")?);
        let mut line = String::new();
        lines.read_line(&mut line)?;
        ensure!(line.trim() == "ready", "the bare reader said {line:?}");
        let seconds = (window + 2.5).to_string();
        let arguments =
            ["produce", "--bootstrap", &kafka.bootstrap(), "--rate", &rate.to_string(), "--seconds", &seconds];
        let produced = Command::new(LOADER).args(arguments).stdin(Stdio::null()).status()?;
        line.clear();
        lines.read_line(&mut line)?;
        ensure!(reader.wait()?.success() && produced.success(), "the bare reader or its producer failed");
        Ok(serde_json::from_str(&line)?)
    }

    /// What the load must know of it.
    pub(super) fn arguments(&self) -> Vec<String> {
        let pid = self.process.id().to_string();
        let mut all = ["--address", &self.address.to_string(), "--pid", &pid].map(str::to_owned).to_vec();
        all.extend_from_slice(&self.entry);
        all
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(command: &mut Command) -> anyhow::Result<Child> {
    command.stdin(Stdio::null()).spawn().context("a server could not be started")
}

/// Makes the topics: `orders` for what backends write, `desks` for what pages publish.
pub(super) fn make_topics(kafka: &Kafka) -> anyhow::Result<()> {
    for topic in ["orders", "desks"] {
        make(kafka, &["--topic", topic, "--partitions", "4"])?;
    }
    Ok(())
}

/// Makes the topics `many.0`, `many.1` and so on, of one partition each.
pub(super) fn make_many(kafka: &Kafka, topics: usize) -> anyhow::Result<()> {
    make(kafka, &["--topic", "many", "--topics", &topics.to_string()])
}

fn make(kafka: &Kafka, what: &[&str]) -> anyhow::Result<()> {
    process::run(Command::new(LOADER).args(["topics", "--bootstrap", &kafka.bootstrap()]).args(what))
}

/// Roles of which each has a condition of its own that holds for every event of the load.
pub(super) const CONDITIONS: usize = 10;

fn configuration(address: SocketAddr, bootstrap: &str, setup: Setup) -> String {
    let Setup { shards, heartbeat, .. } = setup;
    let tls = if setup.tls {
        "\n[server.tls]\ncertificate_file = \"certificate.pem\"\nkey_file = \"certificate_key.pem\"\n"
    } else {
        ""
    };
    let tokens = match setup.tokens {
        Tokens::Secret => format!("algorithms = [\"HS256\"]\nsecret = \"{SECRET}\""),
        Tokens::KeyPair => "algorithms = [\"ES256\"]\nkey_file = \"public.pem\"".to_owned(),
    };
    let mut text = format!(
        "[server]
listen = \"{address}\"
shards = {shards}
heartbeat_interval = \"{heartbeat}s\"
{tls}
[limits]
publish_events_per_s = 10000
publish_bytes_per_s = \"100MiB\"

[log.kafka]
bootstrap.servers = \"{bootstrap}\"

[tokens]
{tokens}

[topics.orders]
tenant.from = \"envelope\"

[topics.desks]
tenant.from = \"envelope\"
key = \"tenant/key\"

[[grants]]
role = \"clerk\"
allow = [\"subscribe\"]
topics = [\"orders\"]

[[grants]]
role = \"clerk\"
allow = [\"subscribe\", \"publish\"]
topics = [\"desks\"]

[[grants]]
role = \"own\"
allow = [\"subscribe\"]
topics = [\"orders\"]
where = \"event.data.user == claims.sub\"
"
    );
    for number in 0..setup.topics {
        let _ = write!(text, "\n[topics.\"many.{number}\"]\ntenant.from = \"envelope\"\n");
    }
    if setup.topics > 0 {
        text.push_str("\n[[grants]]\nrole = \"clerk\"\nallow = [\"subscribe\"]\ntopics = [\"many.*\"]\n");
    }
    for number in 0..CONDITIONS {
        let _ = write!(
            text,
            "
[[grants]]
role = \"over-{number}\"
allow = [\"subscribe\"]
topics = [\"orders\"]
where = \"event.data.order >= {number}\"
"
        );
    }
    text
}

//! The servers that are measured: the shipped bridge before a real Kafka, and the bare loop.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use super::kafka::Kafka;
use super::{LOADER, on_server_core};

/// What signs the tokens of all sessions.
pub(super) const SECRET: &str = "the bench signs its tokens with this secret";

/// How long a server may take to be ready.
const READY: Duration = Duration::from_secs(20);

/// How tokens are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tokens {
    /// HS256, with [`SECRET`].
    Secret,
    /// ES256, with the key pair in the directory.
    KeyPair,
}

/// A server's process, ended when dropped.
pub(super) struct Server {
    process: Child,
    pub(super) address: SocketAddr,
}

impl Server {
    /// The shipped bridge: tokens, grants, ledger, heartbeats, cursors, all as it comes.
    pub(super) fn bridge(kafka: &Kafka, directory: &Path, tokens: Tokens) -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = directory.join("tidegate.toml");
        fs::write(&config, configuration(address, &kafka.bootstrap(), tokens))?;
        let log = directory.join("tidegate.log");
        let mut command = on_server_core("target/release/tidegate");
        command.args(["serve", "--config"]).arg(&config);
        command.stdout(Stdio::null()).stderr(File::create(&log)?);
        let server = Self { process: spawn(&mut command)?, address };
        server.await_ready().with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
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
        Ok(Self { process, address })
    }

    /// librdkafka alone, reading about so many of the newest events on the core of servers: what it measured.
    pub(super) fn bare_reader(kafka: &Kafka, events: usize) -> anyhow::Result<serde_json::Value> {
        let mut command = on_server_core(LOADER);
        command.args(["reader", "--bootstrap", &kafka.bootstrap(), "--events", &events.to_string()]);
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
        ["--address", &self.address.to_string(), "--pid", &pid, "--secret", SECRET].map(str::to_owned).to_vec()
    }

    /// Until it takes sessions: it listens before it knows what was revoked.
    fn await_ready(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY;
        while !self.is_ready() {
            ensure!(Instant::now() < deadline, "the bridge did not become ready on {}", self.address);
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        let ask = || {
            let mut socket = TcpStream::connect(self.address)?;
            socket.write_all(b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            socket.read_to_string(&mut answer)?;
            std::io::Result::Ok(answer.starts_with("HTTP/1.1 200"))
        };
        ask().unwrap_or(false)
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
        let mut command = kafka.tool("org.apache.kafka.tools.TopicCommand");
        command.args(["--bootstrap-server", &kafka.bootstrap(), "--create", "--topic", topic, "--partitions", "4"]);
        let output = command.output()?;
        if !output.status.success() {
            bail!("the topic {topic} could not be made: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    Ok(())
}

/// Roles of which each has a condition of its own that holds for every event of the load.
pub(super) const CONDITIONS: usize = 10;

fn configuration(address: SocketAddr, bootstrap: &str, tokens: Tokens) -> String {
    let tokens = match tokens {
        Tokens::Secret => format!("algorithms = [\"HS256\"]\nsecret = \"{SECRET}\""),
        Tokens::KeyPair => "algorithms = [\"ES256\"]\nkey_file = \"public.pem\"".to_owned(),
    };
    let mut text = format!(
        "[server]
listen = \"{address}\"
shards = 1

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

//! Servers that the bridge is compared with and that read no log: nats-server, installed with Go where there is one,
//! and the naive server on tokio-tungstenite.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::{LOADER, on_server_core};
use crate::process;
use crate::tools;

/// What is installed.
const MODULE: &str = "github.com/nats-io/nats-server/v2@v2.15.2";

/// How long it may take to listen.
const READY: Duration = Duration::from_secs(10);

/// Which server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Nats,
    Naive,
}

impl Kind {
    /// Its name in the summary.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nats => "nats",
            Self::Naive => "naive",
        }
    }
}

/// Its process, ended when dropped.
pub(super) struct Peer {
    kind: Kind,
    process: Child,
    address: SocketAddr,
    publish: SocketAddr,
}

impl Peer {
    /// Starts it; `None` where it can not be had.
    pub(super) fn start(kind: Kind, directory: &Path) -> anyhow::Result<Option<Self>> {
        match kind {
            Kind::Nats => Self::nats(directory),
            Kind::Naive => Self::naive().map(Some),
        }
    }

    fn naive() -> anyhow::Result<Self> {
        let mut command = on_server_core(LOADER);
        command.arg("naive").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().context("the naive server could not be started")?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("piped")?).read_line(&mut line)?;
        let (address, publish) = line.trim().split_once(' ').context("the naive server says where it listens")?;
        Ok(Self { kind: Kind::Naive, process, address: address.parse()?, publish: publish.parse()? })
    }

    fn nats(directory: &Path) -> anyhow::Result<Option<Self>> {
        let Some(program) = program()? else {
            println!("   no Go here, so no nats-server to compare with");
            return Ok(None);
        };
        let free = || anyhow::Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?);
        let (address, publish) = (free()?, free()?);
        let config = directory.join("nats.conf");
        let text = format!(
            "listen: \"{publish}\"\nwebsocket {{ listen: \"{address}\", no_tls: true }}\nmax_pending: 268435456\n"
        );
        fs::write(&config, text)?;
        let mut command = on_server_core(&program.to_string_lossy());
        // One core, as the others have.
        command.env("GOMAXPROCS", "1").arg("-c").arg(&config);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(directory.join("nats.log"))?);
        let nats = Self {
            kind: Kind::Nats,
            process: command.spawn().context("nats-server could not be started")?,
            address,
            publish,
        };
        let deadline = Instant::now() + READY;
        while TcpStream::connect(address).is_err() {
            ensure!(Instant::now() < deadline, "nats-server did not listen on {address}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Some(nats))
    }

    /// What the load must know of it.
    pub(super) fn arguments(&self) -> Vec<String> {
        let pid = self.process.id().to_string();
        let (address, publish) = (self.address.to_string(), self.publish.to_string());
        let all = ["--kind", self.kind.name(), "--address", &address, "--publish", &publish, "--pid", &pid];
        all.map(str::to_owned).to_vec()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> anyhow::Result<Option<PathBuf>> {
    let directory = std::path::absolute("target/tools/go")?;
    let program = directory.join("nats-server");
    if !program.is_file() {
        if tools::find("go").is_none() {
            return Ok(None);
        }
        println!("   installing {MODULE}");
        process::run(Command::new("go").env("GOBIN", &directory).args(["install", MODULE]))?;
    }
    Ok(Some(program))
}

//! A running bridge, and ways to reach it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use tidegate_client::native::{Client, Options};

use crate::LONG;
use crate::process::Process;
use crate::stage::Stage;

/// `tidegate serve` on a port of its own, ready.
#[derive(Debug)]
pub struct Bridge {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process.
    pub process: Process,
    observer: String,
}

impl Bridge {
    /// Starts one and waits until it is ready.
    #[must_use]
    pub fn start(stage: &Stage, environment: &[(&str, &str)]) -> Self {
        Self::serve(&stage.configuration(), stage.token("operations", "observer", "operator"), environment)
    }

    /// Starts one with this configuration and waits until it is ready. `observer` is a token that sees all of the ledger.
    ///
    /// # Panics
    ///
    /// If it does not get ready.
    #[must_use]
    pub fn serve(configuration: &Path, observer: String, environment: &[(&str, &str)]) -> Self {
        let arguments = ["serve", "--config", configuration.to_str().expect("a path in UTF-8")];
        let process = Process::start(&arguments, environment);
        let address = process.word_after("serving address=").parse().expect("an address");
        let bridge = Self { address, process, observer };
        // It serves at once, and takes sessions when it has reached its log.
        let deadline = Instant::now() + LONG;
        while bridge.get("/readyz").0 != 200 {
            assert!(Instant::now() < deadline, "the bridge never got ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        bridge
    }

    /// The address of its socket.
    pub fn url(&self) -> String {
        url(self.address)
    }

    /// A token that sees all of the ledger.
    pub fn observer(&self) -> &str {
        &self.observer
    }

    /// Status and body of an HTTP resource.
    pub fn get(&self, path: &str) -> (u16, String) {
        get(self.address, path)
    }

    /// The value of a metric, by its name and labels as they are written; 0 when it is not there.
    ///
    /// # Panics
    ///
    /// If it is no whole number.
    pub fn metric(&self, name: &str) -> u64 {
        let (_, text) = self.get("/metrics");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().expect("what is counted is a whole number"))
    }

    /// A client with this token.
    ///
    /// # Panics
    ///
    /// If it can not connect.
    pub async fn client(&self, token: &str) -> Client {
        connect(self.address, token).await
    }
}

/// A client of whatever listens there.
///
/// # Panics
///
/// If it can not connect.
pub async fn connect(address: SocketAddr, token: &str) -> Client {
    Client::connect(url(address), Options::new(token)).await.expect("the bridge takes the client")
}

/// The address of a bridge's socket.
pub fn url(address: SocketAddr) -> String {
    format!("ws://{address}/v1/ws")
}

/// Status and body of an HTTP resource.
///
/// # Panics
///
/// If there is no answer.
pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(LONG))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    let answer = ask().expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, body.to_owned())
}

//! A real Kafka: one KRaft node on free ports of 127.0.0.1, in a directory of its own, gone with its test.
//!
//! Names no other crate of ours, for `tidegate-log` includes this file in its own tests.

use std::fs::{self, File};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where `cargo xtask test` puts Kafka's jars, seen from the workspace.
const LIBS: &str = "target/tools/kafka-4.1.0/libs";

/// 16 bytes, as Kafka wants them: base64url without padding.
const CLUSTER: &str = "dGlkZWdhdGUtdGVzdHMtMA";

/// How long a broker may take to become ready. It takes 3 s on a quiet machine.
const READY: Duration = Duration::from_mins(3);

/// The request `ApiVersions` 0, with correlation id 7 and no client id.
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];

/// A running broker, killed when dropped or when the test's process ends.
#[derive(Debug)]
pub struct Kafka {
    libs: PathBuf,
    directory: tempfile::TempDir,
    port: u16,
    process: Mutex<Option<Broker>>,
}

impl Kafka {
    /// The broker that all tests of a run share: the one whose address `TIDEGATE_KAFKA` says, else one that is started now.
    /// Names on it are to be the test's own, and it is never stopped.
    #[must_use]
    pub fn shared() -> Self {
        let named = std::env::var("TIDEGATE_KAFKA").ok();
        let port = named.as_deref().and_then(|address| address.strip_prefix("127.0.0.1:")?.parse().ok());
        port.map_or_else(Self::start, |port| Self {
            libs: libs(),
            directory: tempfile::tempdir().expect("a temporary directory"),
            port,
            process: Mutex::new(None),
        })
    }

    /// Starts a broker and waits until it answers.
    ///
    /// # Panics
    ///
    /// If it can not be started, saying how to get what is missing.
    #[must_use]
    pub fn start() -> Self {
        let libs = libs();
        // Another process may take a port in between: then once more, with others.
        (0..3).find_map(|_| Self::try_start(&libs).map_err(|reason| eprintln!("{reason}")).ok()).expect("Kafka starts")
    }

    fn try_start(libs: &Path) -> Result<Self, String> {
        let directory = tempfile::Builder::new().prefix("tidegate-kafka-").tempdir().expect("a temporary directory");
        let (port, controller) = free_ports();
        fs::write(directory.path().join("server.properties"), properties(directory.path(), port, controller))
            .expect("server.properties is written");
        let kafka = Self { libs: libs.to_owned(), directory, port, process: Mutex::new(None) };
        kafka.format();
        kafka.launch()?;
        Ok(kafka)
    }

    /// `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends the broker at once, as a crash would. Clients see closed connections, then refused ones.
    ///
    /// # Panics
    ///
    /// If others use it too.
    pub fn stop(&self) {
        let broker = self.process.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(broker.expect("a broker of one's own: see `Kafka::start`"));
    }

    /// Starts a stopped broker on the same ports and data, and waits until it answers.
    pub fn restart(&self) {
        self.launch().expect("Kafka starts again");
    }

    /// Makes the broker stand still without closing a connection, or go on: an outage that only time shows.
    ///
    /// # Panics
    ///
    /// If others use it too.
    pub fn freeze(&self, still: bool) {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let broker = process.as_ref().expect("a broker of one's own: see `Kafka::start`");
        assert!(broker.signal(if still { "-STOP" } else { "-CONT" }), "the broker takes signals");
    }

    /// The arguments of `java` that run one of Kafka's own tools, such as `org.apache.kafka.tools.ConsoleProducer`.
    pub fn tool(&self, class: &str) -> Command {
        let mut command = Command::new("java");
        command.args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp"]).arg(self.libs.join("*")).arg(class);
        command
    }

    fn format(&self) {
        let log = self.log("format.log");
        let status = self
            .tool("kafka.tools.StorageTool")
            .args(["format", "-t", CLUSTER, "-c"])
            .arg(self.directory.path().join("server.properties"))
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .status();
        assert!(
            status.as_ref().is_ok_and(ExitStatus::success),
            "Kafka's storage could not be formatted (is a JDK 17 or later there? `cargo xtask test` sets all up): {status:?}\n{}",
            self.tail_of("format.log")
        );
    }

    fn launch(&self) -> Result<(), String> {
        let mut command = Command::new("sh");
        command
            .args(["-c", SUPERVISE])
            .arg(self.directory.path())
            .args(["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
            .arg(self.libs.join("*"))
            .arg("kafka.Kafka")
            .arg("server.properties")
            .current_dir(self.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let broker = Broker::spawn(command);
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let broker = process.insert(broker);
        let deadline = Instant::now() + READY;
        while !self.answers() {
            if !broker.runs() || Instant::now() > deadline {
                return Err(format!("Kafka did not become ready:\n{}", self.tail_of("kafka.log")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Whether the broker answers requests: its port is open, and takes them, before it works them off.
    fn answers(&self) -> bool {
        let ask = || {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(200))?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(&API_VERSIONS)?;
            let mut answer = [0; 10];
            stream.read_exact(&mut answer)?;
            // After length and correlation id: no error.
            io::Result::Ok(answer[8..] == [0, 0])
        };
        ask().unwrap_or(false)
    }

    /// A file for what a process says, empty.
    fn log(&self, name: &str) -> File {
        File::create(self.directory.path().join(name)).expect("a log file")
    }

    fn tail_of(&self, name: &str) -> String {
        let text = fs::read(self.directory.path().join(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

/// Runs the broker (`$@`) in its directory (`$0`) for as long as standard input stays open: then kills it, and
/// removes the directory unless told to keep it. So nothing is left of a broker in a `static`, which is never
/// dropped, nor of one whose test was killed.
const SUPERVISE: &str = r#"trap '' INT
java "$@" >kafka.log 2>&1 & pid=$!
echo $pid
read -r word
kill -9 $pid
wait
[ "$word" = keep ] || rm -rf "$0""#;

/// A broker's process and the shell that ends it.
#[derive(Debug)]
struct Broker {
    shell: Child,
    pid: u32,
}

impl Broker {
    fn spawn(mut command: Command) -> Self {
        let mut shell = command.spawn().expect("a shell starts");
        let mut line = String::new();
        let output = shell.stdout.take().expect("its output is piped");
        io::BufReader::new(output).read_line(&mut line).expect("the shell says the broker's process id");
        Self { shell, pid: line.trim().parse().expect("a process id") }
    }

    fn runs(&self) -> bool {
        // The shell collects its child only at the end: until then a broker that ended by itself is a zombie. (An
        // empty command line tells nothing: it is empty for a moment while the program is being started, too.)
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
        state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
    }

    fn signal(&self, signal: &str) -> bool {
        let sent = Command::new("kill").args([signal, &self.pid.to_string()]).stderr(Stdio::null()).status();
        sent.is_ok_and(|status| status.success())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut input) = self.shell.stdin.take() {
            let _ = input.write_all(b"keep\n");
        }
        let _ = self.shell.wait();
    }
}

/// The directory of Kafka's jars.
fn libs() -> PathBuf {
    let libs = std::env::var_os("TIDEGATE_KAFKA_LIBS").map_or_else(
        || {
            // This file is compiled into crates of the workspace, one level below its root.
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).join(LIBS)
        },
        PathBuf::from,
    );
    let found = fs::read_dir(&libs).is_ok_and(|mut files| {
        files.any(|file| file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with("kafka_2.13-")))
    });
    assert!(found, "no Kafka in {}: run `cargo xtask test`, which gets it", libs.display());
    libs
}

/// Two ports that are free, now. Not of those that systems give to outgoing connections, which could take one
/// before the broker does, or while it is stopped.
fn free_ports() -> (u16, u16) {
    let random = || RandomState::new().build_hasher().finish();
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let mut ports = (0..1000).map(|_| 20_000 + (random() % 12_000) as u16).filter(free);
    let first = ports.next().expect("a free port on 127.0.0.1");
    (first, ports.find(|port| *port != first).expect("another free port on 127.0.0.1"))
}

fn properties(directory: &Path, port: u16, controller: u16) -> String {
    let logs = directory.join("data");
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         inter.broker.listener.name=PLAINTEXT\n\
         controller.listener.names=CONTROLLER\n\
         log.dirs={}\n\
         broker.heartbeat.interval.ms=500\n\
         broker.session.timeout.ms=2000\n\
         num.partitions=1\n\
         num.network.threads=2\n\
         num.io.threads=4\n\
         auto.create.topics.enable=false\n\
         delete.topic.enable=true\n\
         default.replication.factor=1\n\
         min.insync.replicas=1\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.num.partitions=1\n\
         transaction.state.log.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n\
         log.retention.ms=-1\n\
         log.retention.check.interval.ms=1000\n\
         log.segment.delete.delay.ms=100\n\
         log.cleaner.dedupe.buffer.size=16777216\n",
        logs.display()
    )
}

//! The shipped binary as a process that ends with its test, however that ends.

use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::LONG;

/// How long it may take to end once it was asked to.
const ENDING: Duration = LONG;

/// Asks the program to end when standard input closes, which it does with the test's process too.
const SUPERVISE: &str = r#"trap '' INT
"$0" "$@" & pid=$!
echo $pid
read -r word
kill -TERM $pid 2>/dev/null
wait $pid"#;

/// The path of `tidegate`.
///
/// # Panics
///
/// If it is not built.
pub fn binary() -> PathBuf {
    let built =
        || Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).join("target/debug/tidegate");
    let path = std::env::var_os("TIDEGATE_BIN").map_or_else(built, PathBuf::from);
    assert!(path.is_file(), "no {}: run `cargo xtask test`, which builds it", path.display());
    path
}

/// A command of `tidegate` that finds no configuration in the environment but what it is given.
pub fn tidegate(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments);
    clean(&mut command);
    command
}

fn clean(command: &mut Command) {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TIDEGATE_")) {
        command.env_remove(name);
    }
}

/// A running `tidegate`. Asked to end when dropped; then it must end well.
#[derive(Debug)]
pub struct Process {
    shell: Child,
    pid: u32,
    said: Arc<Said>,
    ended: bool,
}

/// What it has said so far.
#[derive(Debug, Default)]
struct Said {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Process {
    /// Starts it.
    ///
    /// # Panics
    ///
    /// If it can not be started.
    #[must_use]
    pub fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new("sh");
        clean(&mut command);
        command.args(["-c", SUPERVISE]).arg(binary()).args(arguments).envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut shell = command.spawn().expect("a shell starts");
        let mut output = BufReader::new(shell.stdout.take().expect("its output is piped"));
        let mut pid = String::new();
        output.read_line(&mut pid).expect("the shell says the process id");
        let pid = pid.trim().parse().expect("a process id");
        let said = Arc::<Said>::default();
        listen(output, &said);
        listen(BufReader::new(shell.stderr.take().expect("its errors are piped")), &said);
        Self { shell, pid, said, ended: false }
    }

    /// What follows `mark` in the first line that has it, up to a blank; waits for that line.
    ///
    /// # Panics
    ///
    /// If it is never said.
    pub fn word_after(&self, mark: &str) -> String {
        let line = self.line_with(&[mark]);
        let rest = line.split_once(mark).map_or("", |(_, rest)| rest);
        rest.split_whitespace().next().unwrap_or_default().to_owned()
    }

    /// The first line that has all of these; waits for it: what was said is heard a little later.
    ///
    /// # Panics
    ///
    /// If it is never said.
    pub fn line_with(&self, marks: &[&str]) -> String {
        let deadline = Instant::now() + LONG;
        let mut lines = self.said.lines.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(line) = lines.iter().find(|line| marks.iter().all(|mark| line.contains(mark))) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{marks:?} was never said, but this:\n{}", lines.join("\n"));
            lines = self.said.more.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Resident memory, in bytes.
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
        1024 * line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB")
    }

    /// Sends SIGHUP: reads its configuration again.
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn hang_up(&self) {
        let sent = Command::new("kill").args(["-HUP", &self.pid.to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the process runs");
    }

    /// Sends SIGTERM, as a service manager does.
    pub fn ask_to_end(&mut self) {
        drop(self.shell.stdin.take());
    }

    /// Waits until it has ended after [`Process::ask_to_end`].
    ///
    /// # Panics
    ///
    /// If it does not end in time.
    pub fn wait(&mut self) -> ExitStatus {
        self.ended = true;
        let deadline = Instant::now() + ENDING;
        loop {
            if let Some(status) = self.shell.try_wait().expect("the shell is ours") {
                return status;
            }
            if Instant::now() > deadline {
                let _ = Command::new("kill").args(["-9", &self.pid.to_string()]).status();
                panic!("the bridge did not end:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// All that it has said.
    pub fn log(&self) -> String {
        self.said.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if std::thread::panicking() {
            eprintln!("-- the bridge said:\n{}", self.log());
        }
        self.ask_to_end();
        let status = self.wait();
        if !std::thread::panicking() {
            assert!(status.success(), "the bridge ended with {status}:\n{}", self.log());
        }
    }
}

/// Collects what is said, line by line.
fn listen(output: impl Read + Send + 'static, said: &Arc<Said>) {
    let said = Arc::clone(said);
    let collect = move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            said.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            said.more.notify_all();
        }
    };
    std::thread::Builder::new().name("listen".into()).spawn(collect).expect("a thread starts");
}

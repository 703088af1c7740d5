//! Running other programs: what they print is seen at once, and can be read afterwards too.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};

/// The cargo that runs us. Its directory is always `target`, whatever the environment says: the tests and the
/// bridge are told paths in there.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.env("CARGO_TARGET_DIR", "target");
    command
}

/// A command in a shell's words, for messages.
pub(crate) fn shown(command: &Command) -> String {
    let mut text = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    if let Some(directory) = command.get_current_dir() {
        text = format!("(cd {} && {text})", directory.display());
    }
    text
}

/// Runs it with our own output and without input; an error unless it succeeds.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("can't start {}", shown(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

/// What it printed, on its error output if only there; `None` if it could not be started or failed.
pub(crate) fn output(program: impl AsRef<OsStr>, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| {
        let printed = if output.stdout.is_empty() { output.stderr } else { output.stdout };
        String::from_utf8_lossy(&printed).into_owned()
    })
}

/// Runs it, passes on each line as it comes and hands all of them back, without colours.
pub(crate) fn watch(command: &mut Command) -> anyhow::Result<(ExitStatus, String)> {
    if std::io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("can't start {}", shown(command)))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let text = thread::scope(|scope| {
        let out = scope.spawn(|| relay(out, &mut std::io::stdout()));
        let err = scope.spawn(|| relay(err, &mut std::io::stderr()));
        out.join().unwrap_or_default() + &err.join().unwrap_or_default()
    });
    Ok((child.wait()?, text))
}

/// Runs it and hands back all that it printed, without colours; nothing is shown meanwhile.
pub(crate) fn collect(command: &mut Command) -> anyhow::Result<(ExitStatus, String)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("can't start {}", shown(command)))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let text = thread::scope(|scope| {
        let out = scope.spawn(|| relay(out, &mut std::io::sink()));
        let err = scope.spawn(|| relay(err, &mut std::io::sink()));
        err.join().unwrap_or_default() + &out.join().unwrap_or_default()
    });
    Ok((child.wait()?, text))
}

/// CPU time of all processes that were started from here and have ended, theirs included. Zero where the system does not
/// tell.
pub(crate) fn work_of_children() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name: user and system time of children are the 14th and 15th, in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = [13, 14].iter().filter_map(|&at| fields.get(at)?.parse::<u64>().ok()).sum::<u64>();
    Duration::from_millis(10 * ticks)
}

fn relay(from: Option<impl Read>, to: &mut impl Write) -> String {
    let mut text = String::new();
    let Some(from) = from else { return text };
    for line in BufReader::new(from).split(b'\n') {
        // A pipe that breaks ends the relay; the exit status tells the rest.
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line);
        let _ = writeln!(to, "{line}");
        text.push_str(&without_colours(&line));
        text.push('\n');
    }
    text
}

fn without_colours(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, escape)) = rest.split_once("\u{1b}[") {
        text.push_str(before);
        rest = escape.trim_start_matches(|c: char| !c.is_ascii_alphabetic()).get(1..).unwrap_or("");
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_taken_out() {
        assert_eq!(without_colours("\u{1b}[1m\u{1b}[32m   Compiling\u{1b}[0m xtask"), "   Compiling xtask");
        assert_eq!(without_colours("plain"), "plain");
        assert_eq!(without_colours("cut \u{1b}[3"), "cut ");
    }

    #[test]
    fn both_outputs_are_kept_and_the_status_told() {
        let (status, text) = watch(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"])).expect("a shell");
        assert_eq!(status.code(), Some(3));
        assert!(text.contains("out\n") && text.contains("err\n"), "{text}");
    }
}

//! What the kernel knows of a process: the CPU it used, and the memory it holds.

use std::fs;

use anyhow::Context;

/// The kernel's unit of CPU time in `/proc`: 1/100 s on every Linux that we know.
const TICK_US: u64 = 10_000;

/// CPU of a whole process so far, all its threads, in µs.
pub(crate) fn cpu_us(pid: u32) -> anyhow::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))?;
    // The name in parentheses may hold anything; user and system time are the 12th and 13th words after it.
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let mut words = after.split_whitespace().skip(11).map_while(|word| word.parse::<u64>().ok());
    let (user, system) = (words.next().unwrap_or(0), words.next().unwrap_or(0));
    Ok((user + system) * TICK_US)
}

/// Memory of a process that nobody else has, in bytes: what it read of files is the kernel's to drop.
pub(crate) fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid} is gone"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("no RssAnon")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse().context("RssAnon is no number")?;
    Ok(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_measured() {
        let own = std::process::id();
        assert!(resident(own).expect("ours") > 100_000);
        let before = cpu_us(own).expect("ours");
        while cpu_us(own).expect("ours") < before + 20_000 {
            std::hint::black_box((0..10_000).sum::<u64>());
        }
    }
}

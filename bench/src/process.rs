//! What the kernel knows of a process: the CPU it used, and the memory it holds.

use std::fs;

use anyhow::{Context, ensure};

/// CPU of a whole process so far, all its threads, in µs. Threads are not to end meanwhile.
pub(crate) fn cpu_us(pid: u32) -> anyhow::Result<u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid} is gone"))?;
    let mut total = 0;
    for thread in threads {
        // Nanoseconds on a CPU come first: finer than the ticks of `stat`.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        total += text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
    }
    ensure!(total > 0, "the kernel does not say how long process {pid} ran: it has no schedstat");
    Ok(total / 1000)
}

/// CPU of this process so far, in µs.
pub(crate) fn own_cpu_us() -> anyhow::Result<u64> {
    cpu_us(std::process::id())
}

/// How often this process slept and was woken so far. Whoever wakes it pays for that: a server that is slower than the load
/// wakes it more often.
pub(crate) fn own_wakeups() -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.context("no voluntary_ctxt_switches")?.trim().parse().context("voluntary_ctxt_switches is no number")
}

/// Memory of a process, in bytes.
pub(crate) fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid} is gone"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse().context("VmRSS is no number")?;
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

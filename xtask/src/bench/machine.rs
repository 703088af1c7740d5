//! The machine, as far as figures depend on it.

use std::fmt;
use std::fs;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::process;

/// What it is.
#[derive(Debug)]
pub(super) struct Machine {
    cpu: String,
    cores: usize,
    memory_gib: u64,
    kernel: String,
    is_virtual: bool,
    /// Processes that wanted to run, over the last minute before the measurement.
    load: String,
}

impl Machine {
    /// Looks at it.
    pub(super) fn look() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let meminfo = read("/proc/meminfo");
        let memory = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next());
        Self {
            cpu: cpu.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: memory.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) >> 20,
            kernel: process::output("uname", &["-r"]).unwrap_or_default().trim().to_owned(),
            is_virtual: cpuinfo.contains(" hypervisor"),
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        }
    }

    /// Whether it can keep server and load apart.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        ensure!(self.cores >= 2, "the bench needs 2 cores: one for the server, one for the load and Kafka");
        Ok(())
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "cpu": self.cpu,
            "cores": self.cores,
            "memory_gib": self.memory_gib,
            "kernel": self.kernel,
            "virtual_machine": self.is_virtual,
            "load_before": self.load,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, cores, memory_gib, kernel, load, .. } = self;
        let kind = if self.is_virtual { "a virtual machine" } else { "bare metal" };
        write!(f, "{cpu}, {cores} cores, {memory_gib} GiB, Linux {kernel}, {kind}; load before {load}")
    }
}

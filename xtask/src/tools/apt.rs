//! Debian and Ubuntu: which packages hold what is missing, installed if we may.

use std::process::Command;

use anyhow::{Context, bail};

use super::{Tool, chromium, find, node};
use crate::process;

/// A package that is missing: any one of these names will do, the first that the distribution has.
pub(super) type Package = &'static [&'static str];

/// The oldest Java that Kafka 4 runs on.
const JAVA: u32 = 17;

/// The packages that hold what a tool lacks on this machine.
pub(super) fn missing(tool: Tool) -> Vec<Package> {
    let mut packages: Vec<Package> = Vec::new();
    let mut need = |present: bool, package: Package| {
        if !present {
            packages.push(package);
        }
    };
    match tool {
        Tool::Compiler => {
            need(["cc", "c++", "make"].iter().all(|program| find(program).is_some()), &["build-essential"]);
            need(find("perl").is_some(), &["perl"]);
        }
        Tool::Kafka => {
            let java = process::output("java", &["-version"]).and_then(|text| java_version(&text));
            need(java >= Some(JAVA), &["openjdk-21-jre-headless", "openjdk-17-jre-headless"]);
            need(find("mvn").is_some(), &["maven"]);
        }
        Tool::Node => {
            need(node::present(), &["nodejs"]);
            need(node::present() || find("npm").is_some(), &["npm"]);
        }
        // Ubuntu's package of this name only points to a snap, which does not run everywhere.
        Tool::Chromium => need(chromium::present() || !is_debian(), &["chromium"]),
        Tool::Valgrind => need(find("valgrind").is_some(), &["valgrind"]),
        Tool::Kcat => need(find("kcat").is_some(), &["kcat"]),
        Tool::Python => {
            need(find("python3").is_some(), &["python3"]);
            // Debian's own has no pip to put into an environment.
            need(process::output("python3", &["-c", "import ensurepip"]).is_some(), &["python3-venv"]);
        }
        Tool::Wasm => {}
    }
    packages
}

/// Installs the packages, if there are any.
pub(super) fn install(packages: &[Package]) -> anyhow::Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = packages.iter().filter_map(|names| names.first().copied()).collect();
    if find("apt-get").is_none() {
        bail!("missing on this machine: install what Debian calls {} with its own package manager", names.join(" "));
    }
    if process::output("id", &["-u"]).is_none_or(|id| id.trim() != "0") {
        bail!("missing on this machine: run `sudo apt-get update && sudo apt-get install -y {}`", names.join(" "));
    }
    println!("installing {}", names.join(" "));
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "-y"]);
        command
    };
    process::run(apt().arg("update"))?;
    let names: Vec<&str> = packages.iter().map(|names| available(names)).collect();
    process::run(apt().args(["install", "--no-install-recommends"]).args(&names))
        .with_context(|| format!("missing on this machine: {}", names.join(" ")))
}

/// The first of the names that the package lists know, else the last.
fn available(names: Package) -> &'static str {
    // A name that is only referred to is known as well, but has nothing to show.
    let known = |name: &&&str| {
        process::output("apt-cache", &["show", "--no-all-versions", **name])
            .is_some_and(|text| text.contains("Package: "))
    };
    names.iter().find(known).or(names.last()).copied().unwrap_or_default()
}

fn is_debian() -> bool {
    std::fs::read_to_string("/etc/os-release").is_ok_and(|text| text.lines().any(|line| line == "ID=debian"))
}

/// The major version in what `java -version` says.
fn java_version(text: &str) -> Option<u32> {
    let version = text.split('"').nth(1)?;
    version.split(['.', '-', '+']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_versions_are_read() {
        assert_eq!(java_version("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK"), Some(17));
        assert_eq!(java_version("openjdk version \"25-ea\" 2025-09-16"), Some(25));
        assert_eq!(java_version("java version \"1.8.0_452\""), Some(1));
        assert_eq!(java_version("nothing"), None);
        assert!(None < Some(JAVA));
    }
}

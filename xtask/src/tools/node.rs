//! Node.js: the machine's own if it is new enough, else the one that npm itself packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::{fetched, find};
use crate::process;

/// The oldest that the bundlers under test run on.
const OLDEST: (u32, u32) = (20, 19);

/// Whether the machine's own will do.
pub(super) fn present() -> bool {
    find("npm").is_some() && version("node".as_ref()) >= Some(OLDEST)
}

/// Finds or fetches one; the directory to put before `PATH`, if any.
pub(super) fn ensure() -> anyhow::Result<Option<PathBuf>> {
    if present() {
        return Ok(None);
    }
    let home = fetched().join("node");
    let programs = std::path::absolute(home.join("node_modules/.bin"))?;
    if version(&programs.join("node")) < Some(OLDEST) {
        println!("fetching a newer Node.js from npm");
        std::fs::create_dir_all(&home)?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-save", "--no-audit", "--no-fund", "--prefix"]).arg(&home);
        let (major, minor) = OLDEST;
        process::run(npm.args(["node@22", "npm@10"]))
            .with_context(|| format!("install Node.js {major}.{minor} or newer, with npm"))?;
    }
    if version(&programs.join("node")) < Some(OLDEST) {
        bail!("install Node.js {}.{} or newer, with npm: the one fetched does not run", OLDEST.0, OLDEST.1);
    }
    Ok(Some(programs))
}

fn version(node: &Path) -> Option<(u32, u32)> {
    parse(&process::output(node, &["--version"])?)
}

fn parse(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().strip_prefix('v')?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared() {
        assert_eq!(parse("v20.20.2\n"), Some((20, 20)));
        assert!(parse("v18.20.4") < Some(OLDEST) && parse("not node") < Some(OLDEST));
        assert!(parse("v22.1.0") > Some(OLDEST));
    }
}

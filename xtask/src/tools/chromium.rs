//! A Chromium: the machine's own, else the one that Playwright brings.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::{Tools, fetched, find};
use crate::process;

/// Whether there is one already.
pub(super) fn present() -> bool {
    installed().is_some()
}

/// Finds or fetches one.
pub(super) fn ensure(tools: &Tools) -> anyhow::Result<PathBuf> {
    if let Some(found) = installed() {
        return Ok(found);
    }
    println!("fetching a Chromium with Playwright");
    let mut command = Command::new("npx");
    tools.apply(&mut command);
    command.args(["--yes", "playwright@1.56.1", "install", "--with-deps", "chromium"]);
    process::run(command.env("PLAYWRIGHT_BROWSERS_PATH", std::path::absolute(playwright())?))
        .ok()
        .and_then(|()| fetched_by_playwright())
        .context("no Chromium: run `apt-get install -y chromium`, or set CHROMIUM to one")
}

fn installed() -> Option<PathBuf> {
    let chosen = std::env::var_os("CHROMIUM").map(PathBuf::from).filter(|path| path.is_file());
    // On Ubuntu a program of this name may only say that it wants to be a snap.
    let works = |path: &PathBuf| process::output(path, &["--version"]).is_some();
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    chosen.or_else(|| names.iter().filter_map(|name| find(name)).find(works)).or_else(fetched_by_playwright)
}

fn playwright() -> PathBuf {
    fetched().join("playwright")
}

fn fetched_by_playwright() -> Option<PathBuf> {
    let directories = std::fs::read_dir(playwright()).ok()?.filter_map(Result::ok);
    let program = |directory: &Path| {
        let places = ["chrome-linux/chrome", "chrome-linux64/chrome"];
        places.iter().map(|place| directory.join(place)).find(|path| path.is_file())
    };
    std::path::absolute(directories.map(|entry| entry.path()).find_map(|directory| program(&directory))?).ok()
}

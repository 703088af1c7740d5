//! What the bridge serves to browsers: built into one directory, and only when something it is made of changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::checksum::Checksum;
use crate::{package, process};

/// The directory that `tidegate` is given: `client/`, `dashboard/`, `demo/` and `plain-page/`.
const ASSETS: &str = "target/assets";

/// What the client is made of.
const CLIENT: &[&str] =
    &["Cargo.lock", "Cargo.toml", "protocol/Cargo.toml", "protocol/src", "wasm-client", "xtask/src/package"];

/// The bridge by itself, for people to try; tests build their own beside them (`test::end_to_end`).
pub(crate) fn bridge() -> anyhow::Result<PathBuf> {
    // No `--package`: see `test::steps` on which packages cargo is asked for.
    process::run(process::cargo().args(["build", "--locked", "--bin", "tidegate"]))?;
    Ok(std::path::absolute("target/debug/tidegate")?)
}

/// Builds the assets that are not as new as their sources.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    let root = std::env::current_dir()?;
    client()?;
    fresh("dashboard", &[CLIENT, &["dashboard"]].concat(), |out| {
        package::wasm(&root, "tidegate-dashboard", &[], out)?;
        copy(Path::new("dashboard/static"), out)
    })?;
    fresh("demo", &["examples/demo"], |out| copy(Path::new("examples/demo"), out))?;
    fresh("plain-page", &["examples/plain-page"], |out| copy(Path::new("examples/plain-page"), out))?;
    Ok(root.join(ASSETS))
}

/// The client alone, as new as its sources.
pub(crate) fn client() -> anyhow::Result<PathBuf> {
    let root = std::env::current_dir()?;
    fresh("client", CLIENT, |out| package::files(&root, out))?;
    Ok(root.join(ASSETS).join("client"))
}

/// The npm package as it is published, made anew only when something it is made of changed.
pub(crate) fn tarball() -> anyhow::Result<()> {
    let root = std::env::current_dir()?;
    let stamp = PathBuf::from("target/npm/stamp");
    let sources = fingerprint(CLIENT)?;
    if !package::tarball(&root).is_file() || fs::read_to_string(&stamp).ok().as_deref() != Some(&sources) {
        package::package(&root)?;
        fs::write(stamp, sources)?;
    }
    Ok(())
}

/// What the lock file of a directory's npm package names, installed unless it is already.
pub(crate) fn node_modules(directory: &str, mut npm: Command) -> anyhow::Result<()> {
    let stamp = Path::new(directory).join("node_modules/.stamp");
    let locked = fingerprint(&[&format!("{directory}/package-lock.json")])?;
    if fs::read_to_string(&stamp).ok().as_deref() != Some(&locked) {
        process::run(npm.args(["ci", "--no-audit", "--no-fund"]))?;
        fs::write(stamp, locked)?;
    }
    Ok(())
}

/// Makes one directory of the assets, unless what it was made of is as it was.
fn fresh(name: &str, sources: &[&str], make: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let out = std::path::absolute(Path::new(ASSETS).join(name))?;
    let stamp = out.with_extension("stamp");
    let sources = fingerprint(sources)?;
    if fs::read_to_string(&stamp).ok().as_deref() == Some(&sources) {
        println!("      {name} is up to date");
        return Ok(());
    }
    println!("      {name}");
    if out.is_dir() {
        fs::remove_dir_all(&out)?;
    }
    fs::create_dir_all(&out)?;
    make(&out).with_context(|| format!("the browser's {name}"))?;
    compress(&out)?;
    // Written last: what was begun and not finished is made again.
    Ok(fs::write(stamp, sources)?)
}

/// Puts a brotli form beside each file that is worth it; the bridge sends that to browsers that take it.
fn compress(directory: &Path) -> anyhow::Result<()> {
    for path in children(directory)? {
        let text = path.extension().is_some_and(|kind| ["css", "html", "js", "svg", "wasm"].iter().any(|k| kind == *k));
        if path.is_dir() {
            compress(&path)?;
        } else if text && fs::metadata(&path)?.len() > 2048 {
            let mut compressed = Vec::new();
            // 9 of 11: nearly as small, in a tenth of the time.
            let parameters = brotli::enc::BrotliEncoderParams { quality: 9, ..Default::default() };
            brotli::BrotliCompress(&mut fs::read(&path)?.as_slice(), &mut compressed, &parameters)?;
            fs::write(format!("{}.br", path.display()), compressed)?;
        }
    }
    Ok(())
}

/// A checksum of the names and contents of all files below some paths.
fn fingerprint(paths: &[&str]) -> anyhow::Result<String> {
    let mut checksum = Checksum::default();
    for path in paths {
        add(&mut checksum, Path::new(path))?;
    }
    Ok(checksum.finish())
}

fn add(checksum: &mut Checksum, path: &Path) -> anyhow::Result<()> {
    if path.is_dir() {
        for entry in children(path)? {
            add(checksum, &entry)?;
        }
        return Ok(());
    }
    let content = fs::read(path).with_context(|| format!("{} is missing", path.display()))?;
    checksum.add(path.as_os_str().as_encoded_bytes());
    checksum.add((content.len() as u64).to_le_bytes());
    checksum.add(content);
    Ok(())
}

/// What a directory holds, in order; not what npm put there, nor the tests.
fn children(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut children = fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.path()))
        .filter(|path| path.as_ref().is_ok_and(|path| !path.ends_with("node_modules") && !path.ends_with("npm/test")))
        .collect::<Result<Vec<_>, _>>()?;
    children.sort_unstable();
    Ok(children)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for path in children(from)? {
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, target)?;
        }
    }
    Ok(())
}

//! The npm package: the client's wasm, its glue, and the hand-written JavaScript and types around them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use anyhow::{Context, ensure};
use wasm_bindgen_cli_support::Bindgen;

/// Writes `target/npm/tidegate-client/` and the tarball beside it.
pub(crate) fn package(root: &Path) -> anyhow::Result<()> {
    let out = root.join("target/npm/tidegate-client");
    match fs::remove_dir_all(&out) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => fs::create_dir_all(&out)?,
    }
    files(root, &out)?;
    run(Command::new("npm").args(["pack", "--silent", "--pack-destination", ".."]).current_dir(&out))
        .context("npm pack (npm comes with Node.js)")?;
    println!("{}: {} bytes in all, brotli 11", out.display(), size(&out)?);
    Ok(())
}

/// Writes the package's files into `out`; needs no Node.js.
pub(crate) fn files(root: &Path, out: &Path) -> anyhow::Result<()> {
    let sources = root.join("wasm-client/npm");
    wasm(root, "tidegate-client", &["bus"], out)?;
    for entry in fs::read_dir(sources.join("src"))? {
        let entry = entry?;
        fs::copy(entry.path(), out.join(entry.file_name()))?;
    }
    for entry in fs::read_dir(out)? {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind == "js") {
            fs::write(&path, without_comments(&fs::read_to_string(&path)?))?;
        }
    }
    fs::copy(sources.join("README.md"), out.join("README.md"))?;
    if root.join("LICENSE").exists() {
        fs::copy(root.join("LICENSE"), out.join("LICENSE"))?;
    }
    let manifest = fs::read_to_string(sources.join("package.json"))?;
    fs::write(out.join("package.json"), manifest.replace("0.0.0", env!("CARGO_PKG_VERSION")))?;
    Ok(())
}

/// A script without the lines that are comments: a fifth of what a browser would load. Names and lines stay readable.
fn without_comments(script: &str) -> String {
    let mut in_comment = false;
    let mut kept = String::with_capacity(script.len());
    for line in script.lines() {
        let text = line.trim();
        let begins = text.starts_with("/*");
        let comment = in_comment || begins || text.starts_with("//");
        in_comment = (in_comment || begins) && !text.ends_with("*/");
        if !comment && !text.is_empty() {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// The tarball that [`package`] writes.
pub(crate) fn tarball(root: &Path) -> PathBuf {
    root.join(format!("target/npm/tidegate-client-{}.tgz", env!("CARGO_PKG_VERSION")))
}

/// Bytes of what a browser loads of the package in `dir`: each script and module, brotli 11.
pub(crate) fn size(dir: &Path) -> anyhow::Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if !path.extension().is_some_and(|kind| kind == "js" || kind == "wasm") {
            continue;
        }
        let mut packed = Vec::new();
        let parameters = brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 22, ..Default::default() };
        brotli::BrotliCompress(&mut fs::File::open(&path)?, &mut packed, &parameters)?;
        total += packed.len() as u64;
    }
    Ok(total)
}

/// Builds a crate for the browser and writes `<crate_name>.js` and `<crate_name>_bg.wasm` into `out`.
pub(crate) fn wasm(root: &Path, package: &str, features: &[&str], out: &Path) -> anyhow::Result<()> {
    const TARGET: &str = "wasm32-unknown-unknown";
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.env("CARGO_TARGET_DIR", root.join("target"));
    build.args(["build", "--locked", "--profile", "wasm", "--target", TARGET, "--package", package]);
    if !features.is_empty() {
        build.arg("--features").arg(features.join(","));
    }
    run(build.current_dir(root))?;
    // A library's file has underscores, a program's the package's own name.
    let directory = root.join("target").join(TARGET).join("wasm");
    let name = package.replace('-', "_");
    let module = [directory.join(format!("{package}.wasm")), directory.join(format!("{name}.wasm"))]
        .into_iter()
        .find(|path| path.exists())
        .with_context(|| format!("cargo built no module of {package} in {}", directory.display()))?;
    Bindgen::new()
        .input_path(module)
        .web(true)?
        .typescript(false)
        .omit_default_module_path(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .out_name(&name)
        .generate(out)
        .with_context(|| format!("wasm-bindgen of {package}"))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("{command:?} can not be started"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

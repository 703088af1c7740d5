//! The npm package: the client's wasm, its glue, and the hand-written JavaScript and types around them.

mod traps;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use anyhow::{Context, ensure};
use wasm_bindgen_cli_support::Bindgen;

use crate::{assets, tools};

/// The modules of the package that a browser asks for by name; the first loads all else that a page needs to begin with,
/// the others only when it comes to that.
const MODULES: [&str; 2] = ["index.js", "stream.js"];

/// What wasm-bindgen exports to its own script, of which the package has no use: its module keeps no objects of JavaScript's.
const UNUSED: [&str; 4] = ["__abort_handler", "__instance_terminated", "__wbindgen_externrefs", "__wbindgen_start"];

/// Writes `target/npm/tidegate-client/` and the tarball beside it.
pub(crate) fn package(root: &Path) -> anyhow::Result<()> {
    let out = root.join("target/npm/tidegate-client");
    empty(&out)?;
    files(root, &out)?;
    run(Command::new("npm").args(["pack", "--silent", "--pack-destination", ".."]).current_dir(&out))
        .context("npm pack (npm comes with Node.js)")?;
    let Size { entry, all } = size(&out)?;
    println!("{}: brotli 11, {entry} bytes to begin with, {all} in all", out.display());
    Ok(())
}

/// Writes the package's files into `out`. Without npm they are whole, but larger than they need be.
pub(crate) fn files(root: &Path, out: &Path) -> anyhow::Result<()> {
    let sources = root.join("wasm-client/npm");
    let scripts = root.join("target/npm/scripts");
    empty(&scripts)?;
    fs::create_dir_all(out)?;
    let module = wasm(root, "tidegate-client", &["bus"], &scripts)?;
    let mut small = walrus::ModuleConfig::new()
        .generate_name_section(false)
        .generate_producers_section(false)
        .parse_file(&module)?;
    for name in UNUSED {
        small.exports.remove(name)?;
    }
    traps::bare(&mut small);
    small.customs.remove_raw("target_features");
    small.emit_wasm_file(out.join(module.file_name().context("a module's file")?))?;
    fs::remove_file(module)?;
    fs::remove_file(scripts.join("tidegate_client.js"))?;
    copy(&sources.join("src"), &scripts, "js")?;
    copy(&sources.join("src"), out, "ts")?;
    bundle(root, &scripts, out)?;
    fs::copy(sources.join("README.md"), out.join("README.md"))?;
    if root.join("LICENSE").exists() {
        fs::copy(root.join("LICENSE"), out.join("LICENSE"))?;
    }
    let manifest = fs::read_to_string(sources.join("package.json"))?;
    fs::write(out.join("package.json"), manifest.replace("0.0.0", env!("CARGO_PKG_VERSION")))?;
    Ok(())
}

/// Makes one small script of each of [`MODULES`] and what it imports.
fn bundle(root: &Path, scripts: &Path, out: &Path) -> anyhow::Result<()> {
    if tools::find("npm").is_none() {
        println!("npm is not there: the scripts are not made small; install Node.js with npm for that");
        return copy(scripts, out, "js");
    }
    let build = root.join("wasm-client/npm/build");
    let mut npm = Command::new("npm");
    npm.current_dir(&build);
    assets::node_modules(&build.to_string_lossy(), npm)?;
    let mut esbuild = Command::new(build.join("node_modules/.bin/esbuild"));
    esbuild.args(MODULES).current_dir(scripts);
    esbuild.args(MODULES[1..].iter().map(|later| format!("--external:./{later}")));
    esbuild.args(["--bundle", "--minify", "--format=esm", "--target=es2022", "--log-level=warning"]);
    run(esbuild.arg(format!("--outdir={}", std::path::absolute(out)?.display()))).context("making the scripts small")
}

/// Makes a directory anew.
fn empty(directory: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(fs::create_dir_all(directory)?),
    }
}

/// Copies the files of a kind.
fn copy(from: &Path, into: &Path, kind: &str) -> anyhow::Result<()> {
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        if let Some(name) = path.file_name()
            && path.extension().is_some_and(|extension| extension == kind)
        {
            fs::copy(&path, into.join(name))?;
        }
    }
    Ok(())
}

/// The tarball that [`package`] writes.
pub(crate) fn tarball(root: &Path) -> PathBuf {
    root.join(format!("target/npm/tidegate-client-{}.tgz", env!("CARGO_PKG_VERSION")))
}

/// Bytes that a browser loads, brotli 11.
pub(crate) struct Size {
    /// All that comes with the import of the package and `init`.
    pub(crate) entry: u64,
    /// All that may ever be loaded.
    pub(crate) all: u64,
}

/// What a browser loads of the package in `dir`: its scripts and the module, each by itself.
pub(crate) fn size(dir: &Path) -> anyhow::Result<Size> {
    let mut size = Size { entry: 0, all: 0 };
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if !path.extension().is_some_and(|kind| kind == "js" || kind == "wasm") {
            continue;
        }
        let mut packed = Vec::new();
        let parameters = brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 22, ..Default::default() };
        brotli::BrotliCompress(&mut fs::File::open(&path)?, &mut packed, &parameters)?;
        size.all += packed.len() as u64;
        if !MODULES[1..].iter().any(|later| path.ends_with(later)) {
            size.entry += packed.len() as u64;
        }
    }
    Ok(size)
}

/// Builds a crate for the browser and writes `<crate_name>.js` and `<crate_name>_bg.wasm` into `out`; answers with the
/// latter's path.
pub(crate) fn wasm(root: &Path, package: &str, features: &[&str], out: &Path) -> anyhow::Result<PathBuf> {
    const TARGET: &str = "wasm32-unknown-unknown";
    let is_client = features.contains(&"bus");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.env("CARGO_TARGET_DIR", root.join("target"));
    build.args([if is_client { "rustc" } else { "build" }, "--locked", "--profile", "wasm", "--target", TARGET]);
    build.args(["--package", package]);
    if is_client {
        // A library that is built for other crates as well is not optimised as a whole.
        build.args(["--crate-type", "cdylib", "--features", &features.join(",")]);
    }
    run(build.current_dir(root))?;
    // A library's file has underscores, a program's the package's own name.
    let directory = root.join("target").join(TARGET).join("wasm");
    let name = package.replace('-', "_");
    let module = [directory.join(format!("{package}.wasm")), directory.join(format!("{name}.wasm"))]
        .into_iter()
        .find(|path| path.exists())
        .with_context(|| format!("cargo built no module of {package} in {}", directory.display()))?;
    let mut bindgen = Bindgen::new();
    // The npm package makes its module itself, in fewer words.
    if is_client {
        bindgen.bundler(true)?
    } else {
        bindgen.web(true)?
    };
    bindgen
        .input_path(module)
        .typescript(false)
        .omit_default_module_path(false)
        .remove_name_section(!is_client)
        .remove_producers_section(true)
        .out_name(&name)
        .generate(out)
        .with_context(|| format!("wasm-bindgen of {package}"))?;
    Ok(out.join(format!("{name}_bg.wasm")))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("{command:?} can not be started"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

//! The configurations that the documents show are valid, and give nothing to warn of.

use std::fs;
use std::path::{Path, PathBuf};

use tidegate::config;

#[test]
fn the_readme_s() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let (_, from) = readme.split_once("```toml\n").expect("a TOML block");
    let (block, _) = from.split_once("```").expect("its end");
    check(block, "README.md");
}

#[test]
fn the_one_for_compose() {
    let text = fs::read_to_string(root().join("deploy/compose/tidegate.toml")).expect("the file");
    let text = text.replace("/run/secrets/token_secret", "secret").replace("/run/secrets/cursor_key", "cursor_key");
    check(&text, "deploy/compose/tidegate.toml");
}

/// Loads the text from a folder that has the secret it names.
fn check(text: &str, name: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    for secret in ["secret", "cursor_key"] {
        // What `openssl rand -base64 32` writes.
        fs::write(folder.path().join(secret), "bm90IGEgc2VjcmV0LCBidXQgMzIgYnl0ZXMgb2YgaXQ=\n").expect("written");
    }
    let file = folder.path().join("tidegate.toml");
    fs::write(&file, text).expect("written");
    match config::load(Some(&file), std::iter::empty()) {
        Ok(loaded) => assert!(loaded.warnings.is_empty(), "{name}: {}", loaded.warnings[0]),
        Err(problems) => panic!("{name}: {problems}"),
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

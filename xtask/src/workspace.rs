//! The workspace as cargo reads it.

use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use crate::process;

/// A crate of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    /// Its directory from the root.
    pub(crate) directory: String,
    /// What it depends on, by the names its manifest gives them.
    pub(crate) dependencies: Vec<String>,
    /// Its integration tests.
    pub(crate) tests: Vec<String>,
}

/// All crates.
pub(crate) fn packages() -> anyhow::Result<Vec<Package>> {
    let metadata = process::cargo().args(["metadata", "--no-deps", "--format-version", "1"]).output()?;
    let metadata: Value = serde_json::from_slice(&metadata.stdout).context("cargo metadata failed")?;
    let root = Path::new(metadata["workspace_root"].as_str().unwrap_or_default());
    Ok(list(&metadata["packages"]).filter_map(|package| read(package, root)).collect())
}

fn read(package: &Value, root: &Path) -> Option<Package> {
    let manifest = Path::new(package["manifest_path"].as_str()?);
    let directory = manifest.parent()?.strip_prefix(root).ok()?.to_str()?.to_owned();
    let dependency = |value: &Value| Some(value["rename"].as_str().or(value["name"].as_str())?.to_owned());
    let test = |value: &Value| {
        let is_test = list(&value["kind"]).any(|kind| kind == "test");
        is_test.then(|| value["name"].as_str().map(str::to_owned))?
    };
    Some(Package {
        directory,
        dependencies: list(&package["dependencies"]).filter_map(dependency).collect(),
        tests: list(&package["targets"]).filter_map(test).collect(),
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

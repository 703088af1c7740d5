//! Dependencies: what a crate asks for, its code names.

use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use super::code::{code, has_name};
use super::{File, Problem};
use crate::process;

/// Dependencies that are never named, and why they are there.
const UNNAMED: &[(&str, &str, &str)] = &[];

/// A crate of the workspace.
#[derive(Debug)]
pub(super) struct Package {
    /// Its directory from the root.
    pub(super) directory: String,
    /// What it depends on, by the names its manifest gives them.
    pub(super) dependencies: Vec<String>,
}

/// All crates of the workspace, as cargo reads them.
pub(super) fn packages() -> anyhow::Result<Vec<Package>> {
    let metadata = process::cargo().args(["metadata", "--no-deps", "--format-version", "1"]).output()?;
    let metadata: Value = serde_json::from_slice(&metadata.stdout).context("cargo metadata failed")?;
    let root = Path::new(metadata["workspace_root"].as_str().unwrap_or_default());
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let package = |package: &Value| {
        let manifest = Path::new(package["manifest_path"].as_str()?);
        let directory = manifest.parent()?.strip_prefix(root).ok()?.to_str()?.to_owned();
        let name = |dependency: &Value| Some(dependency["rename"].as_str().or(dependency["name"].as_str())?.to_owned());
        let dependencies = list(&package["dependencies"]).iter().filter_map(name).collect();
        Some(Package { directory, dependencies })
    };
    Ok(list(&metadata["packages"]).iter().filter_map(package).collect())
}

/// Looks for dependencies that no code of their crate names.
pub(super) fn check(files: &[File], packages: &[Package]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in packages {
        let sources: Vec<String> = files
            .iter()
            .filter(|file| file.is_rust() && Path::new(&file.path).starts_with(&package.directory))
            .map(|file| code(&file.text))
            .collect();
        for dependency in &package.dependencies {
            let name = dependency.replace('-', "_");
            let excused = UNNAMED.iter().any(|(crate_, name, _)| *crate_ == package.directory && name == dependency);
            if !excused && !sources.iter().any(|source| has_name(source, &name)) {
                let message = format!("depends on `{dependency}` and never names it: take it out");
                problems.push(Problem::new(format!("{}/Cargo.toml", package.directory), message));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    #[test]
    fn unused_dependencies_are_found() {
        let package = Package { directory: "log".into(), dependencies: vec!["hyper-util".into(), "bytes".into()] };
        let files =
            [file("log/src/lib.rs", "use hyper_util::rt; // bytes"), file("logs/src/lib.rs", "use bytes::Bytes;")];
        let problems = check(&files, &[package]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].message.contains("`bytes`"));
    }
}

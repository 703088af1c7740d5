//! Dependencies: what a crate asks for, its code names.

use std::path::Path;

use super::code::{code, has_name};
use super::{File, Problem};
use crate::workspace::Package;

/// Dependencies that are never named, and why they are there.
const UNNAMED: &[(&str, &str, &str)] = &[];

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
        let package =
            Package { directory: "log".into(), dependencies: vec!["hyper-util".into(), "bytes".into()], tests: vec![] };
        let files =
            [file("log/src/lib.rs", "use hyper_util::rt; // bytes"), file("logs/src/lib.rs", "use bytes::Bytes;")];
        let problems = check(&files, &[package]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].message.contains("`bytes`"));
    }
}

//! Documents that name what the code has: the protocol's specification and the map of the tree.

use super::code::has_name;
use super::{File, Problem};
use crate::workspace::Package;

const SPEC: &str = "protocol/SPEC.md";
const MAP: &str = "ARCHITECTURE.md";

/// Where the protocol's names stand in its sources: the file, and what reads a name from a line of it.
type Source = (&'static str, fn(&str) -> Option<&str>);

const NAMES: &[Source] =
    &[("protocol/src/frame/client.rs", frame), ("protocol/src/frame/server.rs", frame), ("protocol/src/code.rs", code)];

/// Looks for what the documents leave out.
pub(super) fn check(files: &[File], packages: &[Package]) -> Vec<Problem> {
    let mut problems = specification(files);
    problems.extend(map(files, packages));
    problems
}

fn specification(files: &[File]) -> Vec<Problem> {
    let Some(spec) = text(files, SPEC) else { return vec![Problem::new(SPEC, "is missing")] };
    let mut problems = Vec::new();
    for (path, name) in NAMES {
        let names: Vec<_> = text(files, path).unwrap_or_default().lines().filter_map(name).collect();
        if names.is_empty() {
            problems.push(Problem::new(*path, "no names of frames or codes found: tell tidy where they went"));
        }
        let missing = names.into_iter().filter(|name| !named(spec, name));
        problems.extend(missing.map(|name| Problem::new(SPEC, format!("does not name `{name}` of {path}"))));
    }
    for file in files {
        if let Some(vector) = file.path.strip_prefix("protocol/vectors/").filter(|name| !spec.contains(*name)) {
            problems.push(Problem::new(SPEC, format!("does not name the vectors in {vector}")));
        }
    }
    problems
}

fn map(files: &[File], packages: &[Package]) -> Vec<Problem> {
    let Some(map) = text(files, MAP) else { return vec![Problem::new(MAP, "is missing")] };
    let missing = packages.iter().filter(|package| !map.contains(&format!("{}/", package.directory)));
    missing.map(|package| Problem::new(MAP, format!("does not name {}/", package.directory))).collect()
}

/// A name in backticks, or a number.
fn named(text: &str, name: &str) -> bool {
    text.contains(&format!("`{name}`")) || (name.parse::<u16>().is_ok() && has_name(text, name))
}

fn text<'a>(files: &'a [File], path: &str) -> Option<&'a str> {
    files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
}

/// `"hello" => Self::Hello(…`: a decoder's arm.
fn frame(line: &str) -> Option<&str> {
    let (name, arm) = line.trim_start().strip_prefix('"')?.split_once('"')?;
    arm.starts_with(" => Self::").then_some(name)
}

/// `Denied = "denied", …` or `REVOKED = 3503, "revoked"`: a row of a table of codes.
fn code(line: &str) -> Option<&str> {
    let (name, row) = line.trim().strip_suffix(';')?.split_once(" = ")?;
    if let Some((code, _)) = row.strip_prefix('"').and_then(|row| row.split_once("\", retryable: ")) {
        return Some(code);
    }
    let (number, reason) = row.split_once(", \"")?;
    let is_row = name.chars().all(|c| c.is_ascii_uppercase() || c == '_') && reason.ends_with('"');
    (is_row && number.parse::<u16>().is_ok()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    fn protocol(spec: &str) -> Vec<String> {
        let files = [
            file(SPEC, spec),
            file("protocol/src/frame/client.rs", "    \"hello\" => Self::Hello(Hello {\n Self::A => \"no\",\n"),
            file("protocol/src/frame/server.rs", "\"welcome\" => Self::Welcome(x),"),
            file("protocol/src/code.rs", "A = \"denied\", retryable: false;\nREVOKED = 3503, \"revoked\";\nlet x = 3;"),
            file("protocol/vectors/frames.json", "[]"),
        ];
        specification(&files).into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn the_specification_names_everything() {
        assert!(protocol("`hello` `welcome` `denied` 3503 frames.json").is_empty());
        assert_eq!(protocol("`hello` `welcome` `denied` `3503`"), ["does not name the vectors in frames.json"]);
        assert_eq!(protocol("hello `welcome` `3503` frames.json").len(), 2);
    }

    #[test]
    fn names_are_not_lost_when_the_code_moves() {
        let problems = specification(&[file(SPEC, "")]);
        assert_eq!(problems.len(), 3, "{problems:?}");
    }

    #[test]
    fn the_map_names_every_crate() {
        let packages = [Package { directory: "log".into(), dependencies: vec![], tests: vec![] }];
        assert!(map(&[file(MAP, "- `log/`: where events are durable")], &packages).is_empty());
        assert_eq!(map(&[file(MAP, "a catalogue")], &packages).len(), 1);
    }
}

//! Files: each says what it is for, is not long, and has a name of its own.

use super::{File, Problem};

/// Lines of a Rust file.
const LIMIT: usize = 500;

/// Files that may be longer, and why.
pub(super) const LONG: &[(&str, &str)] =
    &[("protocol/src/frame/server.rs", "every frame of the bridge beside its codec: one table, read top to bottom")];

/// Names that say nothing of what is inside.
const VAGUE: &[&str] = &["common", "helper", "helpers", "manager", "misc", "util", "utils"];

/// Looks at heads, lengths and names.
pub(super) fn check(files: &[File], long: &[(&str, &str)]) -> Vec<Problem> {
    let mut problems: Vec<Problem> =
        files.iter().filter(|file| file.is_rust()).flat_map(head_and_length(long)).collect();
    problems.extend(files.iter().filter_map(vague));
    problems.extend(long.iter().filter_map(|(path, _)| {
        let needed = files.iter().any(|file| file.path == *path && lines(file) > LIMIT);
        (!needed).then(|| Problem::new(*path, "is allowed to be long and is not: take it off the list"))
    }));
    problems
}

fn head_and_length<'a>(long: &'a [(&str, &str)]) -> impl Fn(&'a File) -> Vec<Problem> {
    |file| {
        let mut problems = Vec::new();
        let first = file.text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!["));
        let said = first.and_then(|line| line.strip_prefix("//!")).unwrap_or_default();
        if said.trim().is_empty() {
            problems.push(Problem::new(&file.path, "must begin with `//!` and what it is for"));
        }
        if lines(file) > LIMIT && !long.iter().any(|(path, _)| *path == file.path) {
            let message = format!("has {} lines, {LIMIT} are allowed: split it by ideas", lines(file));
            problems.push(Problem::new(&file.path, message));
        }
        problems
    }
}

fn vague(file: &File) -> Option<Problem> {
    let named = |part: &&str| VAGUE.contains(&part.split('.').next().unwrap_or_default());
    let part = file.path.split('/').find(named)?;
    Some(Problem::new(&file.path, format!("`{part}` says nothing of what is inside: name it after its idea")))
}

fn lines(file: &File) -> usize {
    file.text.lines().count()
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    fn messages(files: &[File], long: &[(&str, &str)]) -> Vec<String> {
        check(files, long).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_head_is_asked_for() {
        assert!(messages(&[file("a.rs", "//! What it is.\n")], &[]).is_empty());
        assert!(messages(&[file("a.rs", "#![no_std]\n\n//! What it is.\n")], &[]).is_empty());
        assert!(messages(&[file("a.md", "text")], &[]).is_empty());
        assert_eq!(messages(&[file("a.rs", "//!\nuse x;\n")], &[]).len(), 1);
        assert_eq!(messages(&[file("a.rs", "use x;\n")], &[]).len(), 1);
    }

    #[test]
    fn length_is_limited() {
        let lines = |count: usize| format!("//! x\n{}", "\n".repeat(count - 1));
        assert!(messages(&[file("a.rs", &lines(500))], &[]).is_empty());
        assert!(messages(&[file("a.rs", &lines(501))], &[]).iter().any(|message| message.contains("501 lines")));
        assert!(messages(&[file("a.rs", &lines(501))], &[("a.rs", "why")]).is_empty());
        assert_eq!(messages(&[file("a.rs", &lines(500))], &[("a.rs", "why")]).len(), 1);
        assert_eq!(messages(&[], &[("gone.rs", "why")]).len(), 1);
    }

    #[test]
    fn vague_names_are_refused() {
        assert_eq!(messages(&[file("a/utils.rs", "//! x")], &[]).len(), 1);
        assert_eq!(messages(&[file("a/common/mod.rs", "//! x")], &[]).len(), 1);
        assert_eq!(messages(&[file("a/helpers.js", "")], &[]).len(), 1);
        assert!(messages(&[file("a/commons_law.rs", "//! x")], &[]).is_empty());
    }
}

//! The rules of this tree that no compiler checks. They are run as a test too.
//!
//! Each rule is a function of files to [`Problem`]s, so that it can be tried on files that only a test has.

mod code;
mod dependencies;
mod documents;
mod files;
mod walls;
mod words;

use std::fmt;

use anyhow::{Context, bail};

use crate::{process, workspace};

/// A file of the tree.
#[derive(Debug)]
struct File {
    /// Its path from the root, with `/`.
    path: String,
    /// What is in it.
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, extension)| extension == "rs")
    }
}

/// Something that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    /// The file, with the line where there is one.
    place: String,
    /// What is wrong and what would be right.
    message: String,
}

impl Problem {
    fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Checks the tree that the current directory is the root of.
pub(crate) fn run() -> anyhow::Result<()> {
    let files = tree()?;
    let problems = problems(&files)?;
    for problem in &problems {
        println!("{problem}");
    }
    if !problems.is_empty() {
        bail!("{} breaches of the tree's rules", problems.len());
    }
    println!("{} files are tidy", files.len());
    Ok(())
}

fn problems(files: &[File]) -> anyhow::Result<Vec<Problem>> {
    let packages = workspace::packages()?;
    let mut problems = walls::check(files);
    problems.extend(files::check(files, files::LONG));
    problems.extend(words::check(files));
    problems.extend(documents::check(files, &packages));
    problems.extend(dependencies::check(files, &packages));
    Ok(problems)
}

/// Every text file that is committed or would be.
fn tree() -> anyhow::Result<Vec<File>> {
    let listed = process::output("git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .context("`git ls-files` failed: tidy reads what git knows of the tree")?;
    let mut files = Vec::new();
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        // Deleted and not yet committed, or no text.
        let Ok(bytes) = std::fs::read(path) else { continue };
        let Ok(text) = String::from_utf8(bytes) else { continue };
        files.push(File { path: path.to_owned(), text });
    }
    Ok(files)
}

#[cfg(test)]
fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_tree_is_tidy() {
        std::env::set_current_dir(crate::root()).expect("the root");
        let problems = problems(&tree().expect("the tree's files")).expect("rules");
        let listed: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert!(listed.is_empty(), "\n{}", listed.join("\n"));
    }
}

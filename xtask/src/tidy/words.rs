//! Words that no committed text should hold.

use super::code::{code, has_name};
use super::{File, Problem};

/// Pieces of text, each written in two halves so that this file does not break its own rule.
const PIECES: &[(&str, &str, &str)] = &[
    ("/ho", "me/", "an absolute path of one machine"),
    ("/Us", "ers/", "an absolute path of one machine"),
    ("/ro", "ot/", "an absolute path of one machine"),
    ("/wo", "rk/", "an absolute path of one machine"),
    ("registry.np", "mjs.org", "the name of a registry's host: builds use the one that is configured"),
    ("repo.maven.ap", "ache.org", "the name of a registry's host: builds use the one that is configured"),
    ("repo1.mav", "en.org", "the name of a registry's host: builds use the one that is configured"),
    ("index.crat", "es.io", "the name of a registry's host: builds use the one that is configured"),
    ("static.crat", "es.io", "the name of a registry's host: builds use the one that is configured"),
];

/// Whole words.
const WORDS: &[(&str, &str, &str)] =
    &[("TO", "DO", "do it, or open an issue"), ("FIX", "ME", "do it, or open an issue")];

/// Macros that are for the desk only.
const MACROS: &[&str] = &["dbg", "todo", "unimplemented"];

/// Looks for them.
pub(super) fn check(files: &[File]) -> Vec<Problem> {
    files.iter().flat_map(check_file).collect()
}

fn check_file(file: &File) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let mut report = |what: &str, why: &str| {
            problems.push(Problem::new(format!("{}:{}", file.path, index + 1), format!("`{what}`: {why}")));
        };
        for (one, two, why) in PIECES {
            let piece = format!("{one}{two}");
            if line.contains(&piece) {
                report(&piece, why);
            }
        }
        for (one, two, why) in WORDS {
            let word = format!("{one}{two}");
            if has_name(line, &word) {
                report(&word, why);
            }
        }
    }
    if file.is_rust() {
        for (index, line) in code(&file.text).lines().enumerate() {
            for name in MACROS.iter().filter(|name| has_name(line, name) && line.contains(&format!("{name}!"))) {
                let place = format!("{}:{}", file.path, index + 1);
                problems.push(Problem::new(place, format!("`{name}!` is for the desk, not for what is committed")));
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
    fn unwanted_words_are_found() {
        let unwanted = |path: &str, text: &str| check(&[file(path, text)]).len();
        assert_eq!(unwanted("a.md", &format!("see /ho{}someone/x", "me/")), 1);
        assert_eq!(unwanted("package-lock.json", &format!("\"https://registry.np{}/x\"", "mjs.org")), 1);
        assert_eq!(unwanted("a.rs", &format!("// TO{}: later", "DO")), 1);
        assert_eq!(unwanted("a.rs", "fn f() { dbg!(1); }"), 1);
        assert_eq!(unwanted("a.rs", "// not dbg!(1)\nfn dbg() {}"), 0);
        assert_eq!(unwanted("a.md", "https://example.com/ homework at work/ TODOS"), 0);
    }
}

//! Rust source as its compiler sees it: without comments, and without what stands in strings.

/// The code with comments and the contents of literals blanked out; lines stay where they are.
pub(super) fn code(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(next) = rest.chars().next() {
        let skipped = comment(rest).or_else(|| literal(rest));
        if let Some(length) = skipped {
            let (blank, after) = rest.split_at(length);
            out.extend(blank.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = after;
            continue;
        }
        // A name is taken whole: the `r` of `for` begins no raw string.
        let length = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len()).max(next.len_utf8());
        let (kept, after) = rest.split_at(length);
        out.push_str(kept);
        rest = after;
    }
    out
}

/// The lines of some code (from 1) that have a name in them, as a whole word or path of words.
pub(super) fn lines_with(code: &str, name: &str) -> Vec<usize> {
    code.lines().enumerate().filter(|(_, line)| has_name(line, name)).map(|(index, _)| index + 1).collect()
}

/// Whether a name stands in a text as a whole word.
pub(super) fn has_name(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + name.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Length of the comment that a text begins with.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    let mut at = text.strip_prefix("/*").map(|_| 2)?;
    let mut depth = 1;
    while depth > 0 {
        let rest = &text[at..];
        at += match (rest.find("*/"), rest.find("/*")) {
            (Some(end), Some(inner)) if inner < end => {
                depth += 1;
                inner + 2
            }
            (Some(end), _) => {
                depth -= 1;
                end + 2
            }
            (None, _) => return Some(text.len()),
        };
    }
    Some(at)
}

/// Length of the string or character literal that a text begins with.
fn literal(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c", ""].into_iter().find(|prefix| {
        text.strip_prefix(prefix).is_some_and(|rest| {
            let raw = prefix.ends_with('r');
            let quote = if raw { rest.trim_start_matches('#') } else { rest };
            quote.starts_with('"') || (!raw && *prefix != "c" && quote.starts_with('\''))
        })
    })?;
    let rest = &text[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let body = prefix.len() + hashes + 1;
        return Some(text[body..].find(&end).map_or(text.len(), |at| body + at + end.len()));
    }
    let quote = rest.chars().next()?;
    if quote == '\'' && is_lifetime(&rest[1..]) {
        return None;
    }
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(prefix.len() + at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

/// Whether what follows a `'` is a lifetime's name, not a character.
fn is_lifetime(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(is_word) && chars.next() != Some('\'')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked() {
        let kept = |source: &str| code(source).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(kept("a // rdkafka\nb"), "a b");
        assert_eq!(kept("a /* x /* y */ rdkafka */ b"), "a b");
        assert_eq!(kept("a \"rd \\\" kafka\" b"), "a b");
        assert_eq!(kept("a r#\"rd \" kafka\"# b"), "a b");
        assert_eq!(kept("a br\"x\\\" b b\"y\" c"), "a b c");
        assert_eq!(kept("x = '\"'; y"), "x = ; y");
        assert_eq!(kept("x = '\\''; y"), "x = ; y");
        assert_eq!(kept("fn f<'a>(x: &'a str)"), "fn f<'a>(x: &'a str)");
        assert_eq!(kept("for c\"s\" in é"), "for in é");
        assert_eq!(kept("r#type"), "r#type");
    }

    #[test]
    fn lines_stay() {
        assert_eq!(lines_with(&code("/* a\n b */\nuse a;\n\"\na\"; a"), "a"), [3, 5]);
    }

    #[test]
    fn names_are_whole() {
        assert!(has_name("use hyper::body", "hyper") && has_name("hyper", "hyper"));
        assert!(!has_name("use hyper_util::x; superhyper", "hyper"));
    }
}

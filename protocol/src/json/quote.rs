//! Quoting what somebody else wrote: little of it, so that an answer is never longer than what it answers.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;

/// Bytes of a text that are quoted.
const QUOTED: usize = 64;

/// The beginning of a text; all of it, if it is short.
pub fn quoted(text: &str) -> Cow<'_, str> {
    let (beginning, rest) = text.split_at(text.floor_char_boundary(QUOTED));
    if rest.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut quoted = String::with_capacity(QUOTED + 3);
    quoted.push_str(beginning);
    quoted.push('…');
    Cow::Owned(quoted)
}

/// A JSON pointer (RFC 6901) to a member of what `pointer` points to.
pub fn pointer_to(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", quoted(name).replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_quoted() {
        assert_eq!(quoted("short"), "short");
        assert_eq!(quoted(&"x".repeat(64)), "x".repeat(64));
        let long = "é".repeat(1000);
        assert_eq!(quoted(&long), format!("{}…", "é".repeat(32)));
    }

    #[test]
    fn pointers_are_escaped() {
        assert_eq!(pointer_to("", "a/b~c"), "/a~1b~0c");
        assert_eq!(pointer_to("/action", "x"), "/action/x");
    }
}

//! A JSON value, followed along pointers without building a tree.

use std::borrow::Cow;

use tidegate_protocol::json::{self, Member};

use super::Reason;
use crate::json_pointer::JsonPointer;

/// A validated JSON value whose outermost members were found once, for several pointers.
pub(super) struct Document<'a> {
    text: &'a str,
    members: Vec<Member<'a>>,
}

impl<'a> Document<'a> {
    /// Validates `text`, which is to lie `outer` levels deep in other JSON.
    pub(super) fn read(text: &'a str, outer: u32) -> Result<Self, Reason> {
        let mut members = Vec::new();
        let root = text.trim_ascii_start();
        let read = if root.starts_with('{') {
            json::members_within(text, outer, &mut members)
        } else {
            json::validate_within(text, outer)
        };
        read.map_err(|bad| Reason::invalid(format_args!("not JSON: {bad}")))?;
        Ok(Self { text: root, members })
    }

    /// The text of what `pointer` points to; `None` if there is none or it is null.
    pub(super) fn at(&self, pointer: &JsonPointer) -> Result<Option<&'a str>, Reason> {
        let Some((first, rest)) = pointer.path().split_first() else { return Ok(None) };
        let repeated = || Reason::invalid(format_args!("{pointer}: a member on its path is repeated"));
        let mut found = if self.text.starts_with('{') {
            only(&self.members, first).map_err(|Repeated| repeated())?
        } else {
            child(self.text, first).map_err(|Repeated| repeated())?
        };
        for name in rest {
            let Some(value) = found else { return Ok(None) };
            found = child(value, name).map_err(|Repeated| repeated())?;
        }
        Ok(found.filter(|value| *value != "null"))
    }

    /// The string that `pointer` points to, unescaped.
    pub(super) fn text(&self, pointer: &JsonPointer) -> Result<Option<Cow<'a, str>>, Reason> {
        let Some(value) = self.at(pointer)? else { return Ok(None) };
        string(value).map(Some).ok_or_else(|| Reason::invalid(format_args!("{pointer}: must be a string")))
    }

    /// The string or number that `pointer` points to, as text.
    pub(super) fn scalar(&self, pointer: &JsonPointer) -> Result<Option<Cow<'a, str>>, Reason> {
        match self.at(pointer)? {
            Some(number) if number.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
                Ok(Some(Cow::Borrowed(number)))
            }
            Some(value) => string(value)
                .map(Some)
                .ok_or_else(|| Reason::invalid(format_args!("{pointer}: must be a string or a number"))),
            None => Ok(None),
        }
    }
}

/// The inner text of a JSON string, unescaped.
pub(super) fn string(value: &str) -> Option<Cow<'_, str>> {
    Some(json::unescape(value.strip_prefix('"')?.strip_suffix('"')?))
}

/// A member that two readers could read differently.
struct Repeated;

fn child<'a>(value: &'a str, name: &str) -> Result<Option<&'a str>, Repeated> {
    // All of it was validated before: what does not parse here is no object or no array.
    match value.as_bytes().first() {
        Some(b'{') => {
            let mut members = Vec::new();
            let _ = json::members(value, &mut members);
            only(&members, name)
        }
        Some(b'[') => {
            let canonical = name == "0" || name.starts_with(|c: char| ('1'..='9').contains(&c));
            let index: Option<usize> = name.parse().ok().filter(|_| canonical);
            let mut elements = Vec::new();
            let _ = json::elements(value, &mut elements);
            Ok(index.and_then(|index| elements.get(index).copied()))
        }
        _ => Ok(None),
    }
}

fn only<'a>(members: &[Member<'a>], name: &str) -> Result<Option<&'a str>, Repeated> {
    let mut named = members.iter().filter(|member| member.name == name).map(|member| member.value);
    match (named.next(), named.next()) {
        (_, Some(_)) => Err(Repeated),
        (found, None) => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'a>(text: &'a str, pointer: &str) -> Result<Option<&'a str>, Reason> {
        Document::read(text, 0)?.at(&pointer.parse().unwrap())
    }

    #[test]
    fn follows_objects_arrays_and_escapes() {
        let text = r#" {"a":{"b":[10,{"c":"x"}]},"m~n/o":1,"":2,"nil":null,"us\u0065r":3} "#;
        for (pointer, found) in [
            ("/a/b/0", Some("10")),
            ("/a/b/1/c", Some("\"x\"")),
            ("/a/b/01", None),
            ("/a/b/+1", None),
            ("/a/b/9", None),
            ("/a/x/y", None),
            ("/m~0n~1o", Some("1")),
            ("/", Some("2")),
            ("/nil", None),
            ("/user", Some("3")),
        ] {
            assert_eq!(at(text, pointer), Ok(found), "{pointer}");
        }
        assert_eq!(at(" [7]", "/0"), Ok(Some("7")));
        assert_eq!(at("7", "/0"), Ok(None));
    }

    #[test]
    fn a_repeated_member_on_the_path_is_no_answer() {
        assert!(at(r#"{"a":{"b":1,"\u0062":2}}"#, "/a/b").is_err());
        assert!(at(r#"{"a":1,"a":2}"#, "/a/b").is_err());
        assert_eq!(at(r#"{"a":{"b":1},"c":2,"c":3}"#, "/a/b"), Ok(Some("1")));
    }
}

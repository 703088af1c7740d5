//! Reading an envelope's own members out of its text, and judging them.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::field::{Field, Places};
use crate::frame::Entry;
use crate::ids;
use crate::json::{self, Member};
use crate::timestamp;

/// Why text is no valid event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {what}")]
pub struct Invalid {
    /// JSON pointer to what is wrong; empty for the whole.
    pub pointer: String,
    /// What is wrong.
    pub what: Cow<'static, str>,
}

impl Invalid {
    pub(super) fn new(pointer: impl Into<String>, what: impl Into<Cow<'static, str>>) -> Self {
        Self { pointer: pointer.into(), what: what.into() }
    }
}

/// An event's text and where its top-level members lie in it.
///
/// Making one checks that the text is one JSON object that repeats no top-level member and is not nested too
/// deeply for the frame that will carry it;
/// [`Head::check`] judges the members.
#[derive(Debug, Clone)]
pub struct Head<'a> {
    pub(super) text: &'a str,
    pub(super) members: Vec<Member<'a>>,
    fields: Places,
}

impl<'a> Head<'a> {
    /// Reads the members of `text`.
    pub fn read(text: &'a str) -> Result<Self, Invalid> {
        let mut members = Vec::with_capacity(16);
        json::members_within(text, Entry::DEPTH, &mut members)
            .map_err(|bad| Invalid::new("", format!("not a JSON object: {bad}")))?;
        let fields = Places::find(&members).map_err(|name| Invalid::new(json::pointer_to("", name), "is repeated"))?;
        Ok(Self { text, members, fields })
    }

    /// The text of a member, `None` when absent or null.
    #[inline]
    pub fn member(&self, name: &str) -> Option<&'a str> {
        self.found(name).map(|member| member.value)
    }

    /// The text of a member, also of one that is null.
    #[inline]
    pub fn json(&self, name: &str) -> Option<&'a str> {
        self.place(name).map(|member| member.value)
    }

    /// A string member; an error when it is there but no string.
    #[inline]
    pub fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, Invalid> {
        self.found(name).map(text).transpose()
    }

    #[inline]
    fn found(&self, name: &str) -> Option<&Member<'a>> {
        self.place(name).filter(|member| member.value != "null")
    }

    #[inline]
    fn place(&self, name: &str) -> Option<&Member<'a>> {
        match Field::of(name) {
            Some(field) => self.fields.get(&self.members, field),
            None => self.members.iter().find(|member| member.name == name),
        }
    }

    /// `action.command`, when there is an action with one.
    pub fn command(&self) -> Option<Cow<'a, str>> {
        nested(self.member("action")?, "command")
    }

    /// `action.target`.
    pub fn target(&self) -> Option<Cow<'a, str>> {
        nested(self.member("action")?, "target")
    }

    /// `response.command`.
    pub fn response_command(&self) -> Option<Cow<'a, str>> {
        nested(self.member("response")?, "command")
    }

    /// The whole text.
    pub fn source(&self) -> &'a str {
        self.text
    }

    /// Its members.
    pub fn into_members(self) -> Vec<Member<'a>> {
        self.members
    }

    /// Judges every member the envelope defines, as far as it is there. `now` and `skew` are in
    /// milliseconds: a timestamp further in the future is refused.
    pub fn check(&self, now: timestamp::Millis, skew: i64) -> Result<(), Invalid> {
        for field in Field::ALL {
            let Some(member) = self.fields.get(&self.members, field).filter(|member| member.value != "null") else {
                continue;
            };
            let fault = match field {
                Field::Version => {
                    let version = text(member)?;
                    let minor = version
                        .strip_prefix("1.")
                        .filter(|minor| minor.starts_with(|digit: char| digit.is_ascii_digit()));
                    (version != "1" && minor.is_none()).then_some("must be \"1.x\"")
                }
                Field::Id | Field::CorrelationId | Field::CausationId => {
                    (!ids::is_uuid(&text(member)?)).then_some("must be a UUID")
                }
                Field::Type => (!ids::is_event_type(&text(member)?))
                    .then_some("must be words of [A-Za-z0-9_-] joined by dots, at least two"),
                Field::TenantId => (!ids::is_tenant(&text(member)?)).then_some("must be 1 to 64 of [A-Za-z0-9_-]"),
                Field::Timestamp => match timestamp::parse(&text(member)?) {
                    Some(at) => (at > now.saturating_add(skew)).then_some("is in the future"),
                    None => Some("must be an RFC 3339 time"),
                },
                Field::Requester | Field::Responder | Field::Traceparent | Field::Tracestate => {
                    text(member)?;
                    None
                }
                // Looked into below.
                Field::Action | Field::Response => None,
            };
            if let Some(what) = fault {
                return Err(wrong(member, what));
            }
        }
        self.check_work("action", &["command"], &["command", "target"])?;
        self.check_work("response", &["command", "result"], &["command", "target", "error"])?;
        let result = self.member("response").and_then(|response| raw_nested(response, "result"));
        if result.is_some_and(|result| !result.parse().is_ok_and(|code: u16| (100..=599).contains(&code))) {
            return Err(Invalid::new("/response/result", "must be an HTTP status code, 100 to 599"));
        }
        Ok(())
    }

    fn check_work(&self, name: &str, required: &[&str], texts: &[&str]) -> Result<(), Invalid> {
        let Some(value) = self.member(name) else { return Ok(()) };
        let mut members = Vec::new();
        json::members(value, &mut members).map_err(|_| Invalid::new(format!("/{name}"), "must be an object"))?;
        if let Err(repeat) = Places::find(&members) {
            return Err(Invalid::new(json::pointer_to(&format!("/{name}"), repeat), "is repeated"));
        }
        for member in &members {
            if texts.contains(&&*member.name) && member.value != "null" && !member.value.starts_with('"') {
                return Err(Invalid::new(format!("/{name}/{}", member.name), "must be a string"));
            }
        }
        for &field in required {
            if !members.iter().any(|m| m.name == field && m.value != "null") {
                return Err(Invalid::new(format!("/{name}/{field}"), "is missing"));
            }
        }
        if nested(value, "command").is_some_and(|command| command.is_empty()) {
            return Err(Invalid::new(format!("/{name}/command"), "must not be empty"));
        }
        Ok(())
    }
}

fn text<'a>(member: &Member<'a>) -> Result<Cow<'a, str>, Invalid> {
    member.text().ok_or_else(|| wrong(member, "must be a string"))
}

fn wrong(member: &Member<'_>, what: &'static str) -> Invalid {
    Invalid::new(format!("/{}", member.name), what)
}

fn string(value: &str) -> Option<Cow<'_, str>> {
    Some(json::unescape(value.strip_prefix('"')?.strip_suffix('"')?))
}

fn raw_nested<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    let mut members = Vec::new();
    json::members(object, &mut members).ok()?;
    members.iter().find(|m| m.name == name).map(|m| m.value)
}

fn nested<'a>(object: &'a str, name: &str) -> Option<Cow<'a, str>> {
    string(raw_nested(object, name)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str) -> Result<(), String> {
        Head::read(text).and_then(|head| head.check(1_000_000_000_000, 5_000)).map_err(|bad| bad.to_string())
    }

    #[test]
    fn judges_each_member() {
        assert_eq!(check(r#"{"type":"order.created","data":{"x":[1]},"extra":null}"#), Ok(()));
        for (text, error) in [
            ("[]", ": not a JSON object: an object must begin with '{' at byte 0"),
            (r#"{"id":"7"}"#, "/id: must be a UUID"),
            (r#"{"type":"open"}"#, "/type: must be words of [A-Za-z0-9_-] joined by dots, at least two"),
            (r#"{"type":7}"#, "/type: must be a string"),
            (r#"{"tenant_id":"a b"}"#, "/tenant_id: must be 1 to 64 of [A-Za-z0-9_-]"),
            (r#"{"timestamp":"yesterday"}"#, "/timestamp: must be an RFC 3339 time"),
            (r#"{"timestamp":"2001-09-09T01:46:45.001Z"}"#, "/timestamp: is in the future"),
            (r#"{"version":"2.0"}"#, "/version: must be \"1.x\""),
            (r#"{"version":"1."}"#, "/version: must be \"1.x\""),
            (r#"{"us\u0065r":1,"user":2}"#, "/user: is repeated"),
            (r#"{"action":{"target":"x"}}"#, "/action/command: is missing"),
            (r#"{"action":"x"}"#, "/action: must be an object"),
            (
                r#"{"response":{"command":"x","result":999}}"#,
                "/response/result: must be an HTTP status code, 100 to 599",
            ),
            (
                r#"{"response":{"command":"x","result":"200"}}"#,
                "/response/result: must be an HTTP status code, 100 to 599",
            ),
            (r#"{"action":{"command":"x","command":"y"}}"#, "/action/command: is repeated"),
        ] {
            assert_eq!(check(text), Err(error.to_owned()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in r#"\{("(id|type|action|response|timestamp)":("[^"]*"|\{\}|[0-9]+|null),?)*\}?"#) {
            let _ = check(&text);
        }
    }
}

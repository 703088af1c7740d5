//! One pass over JSON text: is it valid, and where do the members of the outermost object lie?
//!
//! It is stricter than RFC 8259 in one point: nesting beyond [`MAX_DEPTH`] is refused, because a
//! frame carries the events of many publishers and one of them must not overflow a reader's stack.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use super::plain::plain;

/// Deepest nesting of arrays and objects that is accepted.
pub const MAX_DEPTH: u32 = 128;

/// Text that is not JSON, or not the JSON that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct Malformed {
    /// Byte offset into the text.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// One member of an object, borrowed from the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member<'a> {
    /// The name, unescaped: `"us\u0065r"` is `user`.
    pub name: Cow<'a, str>,
    /// The value's text, without surrounding space.
    pub value: &'a str,
    /// Byte offset of `value` in the scanned text.
    pub at: usize,
    /// Whether the value is a string with escapes in it.
    pub escaped: bool,
}

impl<'a> Member<'a> {
    /// The value, unescaped, if it is a string.
    #[inline]
    pub fn text(&self) -> Option<Cow<'a, str>> {
        let inner = self.value.strip_prefix('"')?.strip_suffix('"')?;
        Some(if self.escaped { unescape(inner) } else { Cow::Borrowed(inner) })
    }
}

/// Validates `text` as one JSON value.
pub fn validate(text: &str) -> Result<(), Malformed> {
    validate_within(text, 0)
}

/// Like [`validate`], for text that is to lie `outer` levels deep in other JSON.
pub fn validate_within(text: &str, outer: u32) -> Result<(), Malformed> {
    let mut scan = Scan::new(text);
    scan.at = scan.value(outer)?;
    scan.end()
}

/// Validates `text` as one JSON object and appends its members to `into`, in order, repeats included.
pub fn members<'a>(text: &'a str, into: &mut Vec<Member<'a>>) -> Result<(), Malformed> {
    members_within(text, 0, into)
}

/// Like [`members`], for text that is to lie `outer` levels deep in other JSON.
pub fn members_within<'a>(text: &'a str, outer: u32, into: &mut Vec<Member<'a>>) -> Result<(), Malformed> {
    let mut scan = Scan::new(text);
    scan.space();
    scan.expect(b'{', "an object must begin with '{'")?;
    scan.space();
    if scan.take(b'}') {
        return scan.end();
    }
    loop {
        scan.space();
        let from = scan.at + 1;
        let escaped = scan.string()?;
        let name = &text[from..scan.at - 1];
        let name = if escaped { unescape(name) } else { Cow::Borrowed(name) };
        scan.space();
        scan.expect(b':', "expected ':'")?;
        scan.space();
        let at = scan.at;
        let escaped = if scan.peek() == b'"' {
            scan.string()?
        } else {
            scan.at = scan.value(outer + 1)?;
            false
        };
        into.push(Member { name, value: &text[at..scan.at], at, escaped });
        scan.space();
        if scan.take(b',') {
            continue;
        }
        scan.expect(b'}', "expected ',' or '}'")?;
        return scan.end();
    }
}

/// Validates `text` as one JSON array and appends the text of its elements to `into`.
pub fn elements<'a>(text: &'a str, into: &mut Vec<&'a str>) -> Result<(), Malformed> {
    let mut scan = Scan::new(text);
    scan.space();
    scan.expect(b'[', "an array must begin with '['")?;
    scan.space();
    if scan.take(b']') {
        return scan.end();
    }
    loop {
        scan.space();
        let at = scan.at;
        scan.at = scan.value(1)?;
        into.push(&text[at..scan.at]);
        scan.space();
        if scan.take(b',') {
            continue;
        }
        scan.expect(b']', "expected ',' or ']'")?;
        return scan.end();
    }
}

/// Resolves the escapes of a string's inner text. A lone surrogate becomes U+FFFD.
pub fn unescape(inner: &str) -> Cow<'_, str> {
    // Most strings are short, and nearly all have none: a plain loop beats a search set up for long ones.
    if !inner.bytes().any(|byte| byte == b'\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(slash) = rest.find('\\') {
        out.push_str(&rest[..slash]);
        let kind = rest.as_bytes().get(slash + 1).copied().unwrap_or(b'\\');
        rest = rest.get(slash + 2..).unwrap_or("");
        match kind {
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let high = hex4(rest);
                rest = rest.get(4..).unwrap_or("");
                let low = rest.strip_prefix("\\u").map(hex4);
                match (high, low) {
                    (0xD800..=0xDBFF, Some(low @ 0xDC00..=0xDFFF)) => {
                        let point = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                        out.push(char::from_u32(point).unwrap_or('\u{FFFD}'));
                        rest = rest.get(6..).unwrap_or("");
                    }
                    _ => out.push(char::from_u32(high).unwrap_or('\u{FFFD}')),
                }
            }
            other => out.push(char::from(other)),
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn hex4(text: &str) -> u32 {
    text.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0xFFFD)
}

/// A place in a text. What is not inlined takes it by value, so that it stays in registers.
#[derive(Clone, Copy)]
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        Self { bytes: text.as_bytes(), at: 0 }
    }

    fn fail<T>(&self, what: &'static str) -> Result<T, Malformed> {
        Err(Malformed { at: self.at, what })
    }

    #[inline]
    fn peek(&self) -> u8 {
        // 0 never begins or continues a token, so it stands for the end.
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    #[inline]
    fn space(&mut self) {
        // Most texts have none: told by one comparison.
        while self.peek() <= b' ' && matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    #[inline]
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    #[inline]
    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Malformed> {
        if self.take(byte) { Ok(()) } else { self.fail(what) }
    }

    #[inline]
    fn end(&mut self) -> Result<(), Malformed> {
        self.space();
        if self.at == self.bytes.len() { Ok(()) } else { self.fail("text after the value") }
    }

    /// The end of one value that lies `outer` levels deep. Iterative: bit `n` of `objects` says
    /// whether level `n` is an object.
    fn value(mut self, outer: u32) -> Result<usize, Malformed> {
        let mut objects: u128 = 0;
        let mut depth: u32 = 0;
        loop {
            self.space();
            match self.peek() {
                open @ (b'{' | b'[') => {
                    if depth + outer >= MAX_DEPTH {
                        return self.fail("nested too deeply");
                    }
                    let object = open == b'{';
                    self.at += 1;
                    self.space();
                    if !self.take(if object { b'}' } else { b']' }) {
                        objects = objects << 1 | u128::from(object);
                        depth += 1;
                        if object {
                            self.key()?;
                        }
                        continue;
                    }
                }
                b'"' => {
                    self.string()?;
                }
                b't' => self.literal("true")?,
                b'f' => self.literal("false")?,
                b'n' => self.literal("null")?,
                b'-' | b'0'..=b'9' => self.number()?,
                _ => return self.fail("expected a value"),
            }
            loop {
                if depth == 0 {
                    return Ok(self.at);
                }
                self.space();
                let object = objects & 1 == 1;
                if self.take(b',') {
                    if object {
                        self.space();
                        self.key()?;
                    }
                    break;
                }
                if !self.take(if object { b'}' } else { b']' }) {
                    return self.fail("expected ',' or the end of the array or object");
                }
                objects >>= 1;
                depth -= 1;
            }
        }
    }

    #[inline]
    fn key(&mut self) -> Result<(), Malformed> {
        self.string()?;
        self.space();
        self.expect(b':', "expected ':'")
    }

    #[inline]
    fn literal(&mut self, word: &'static str) -> Result<(), Malformed> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(())
        } else {
            self.fail("expected a value")
        }
    }

    #[inline]
    fn number(&mut self) -> Result<(), Malformed> {
        self.take(b'-');
        if !self.take(b'0') && self.digits() == 0 {
            return self.fail("expected a digit");
        }
        if self.take(b'.') && self.digits() == 0 {
            return self.fail("expected a digit after '.'");
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            if self.digits() == 0 {
                return self.fail("expected a digit in the exponent");
            }
        }
        Ok(())
    }

    #[inline]
    fn digits(&mut self) -> usize {
        let found = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += found;
        found
    }

    /// Passes over a string, and says whether there are escapes in it.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a third of what reading an event takes, most of it calls and returns")]
    fn string(&mut self) -> Result<bool, Malformed> {
        self.expect(b'"', "expected a string")?;
        self.at += plain(&self.bytes[self.at..]);
        if self.take(b'"') {
            return Ok(false);
        }
        self.at = self.escaped()?;
        Ok(true)
    }

    /// The end of a string, from its first escape on.
    #[cold]
    fn escaped(mut self) -> Result<usize, Malformed> {
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => return Ok(self.at + 1),
                Some(b'\\') => self.escape()?,
                Some(0..=0x1f) => return self.fail("a control character must be escaped"),
                Some(_) => self.at += plain(&self.bytes[self.at..]),
                None => return self.fail("a string without end"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let digits = self.bytes.get(self.at + 2..self.at + 6).unwrap_or_default();
                if digits.len() < 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
                    return self.fail("expected four hexadecimal digits");
                }
                self.at += 6;
            }
            _ => return self.fail("an unknown escape"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            // Quarters: serde_json reads other fractions back inexactly unless asked not to.
            any::<i32>().prop_map(|quarters| (f64::from(quarters) / 4.0).into()),
            ".*".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 48, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::vec((".*", inner), 0..6)
                    .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn accepts_what_serde_writes(value in json()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                prop_assert_eq!(validate(&text), Ok(()));
                if let Some(object) = value.as_object() {
                    let mut found = Vec::new();
                    members(&text, &mut found).unwrap();
                    prop_assert_eq!(found.len(), object.len());
                    for member in found {
                        let again: serde_json::Value = serde_json::from_str(member.value).unwrap();
                        prop_assert_eq!(Some(&again), object.get(member.name.as_ref()));
                    }
                }
            }
        }

        #[test]
        fn agrees_with_serde_on_near_misses(value in json(), cut in any::<prop::sample::Index>(), byte in "[\\x20-\\x7e]") {
            let mut text: Vec<char> = value.to_string().chars().collect();
            let at = cut.index(text.len());
            text[at] = byte.chars().next().unwrap();
            let text: String = text.into_iter().collect();
            // Parsed without building numbers: serde_json refuses 1e999, which is valid JSON.
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(validate(&text).is_ok(), theirs, "{}", text);
        }

        #[test]
        fn never_panics(text in ".*") {
            let _ = validate(&text);
            let _ = members(&text, &mut Vec::new());
            let _ = elements(&text, &mut Vec::new());
            let _ = unescape(&text);
        }
    }

    #[test]
    fn refuses_deep_nesting() {
        let nest = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(validate_within(&nest(MAX_DEPTH as usize - 4), 4), Ok(()));
        assert!(validate_within(&nest(MAX_DEPTH as usize - 3), 4).is_err());
        let object = |depth: usize| format!("{{\"a\":{}}}", nest(depth - 1));
        assert_eq!(members_within(&object(MAX_DEPTH as usize - 4), 4, &mut Vec::new()), Ok(()));
        assert!(members_within(&object(MAX_DEPTH as usize - 3), 4, &mut Vec::new()).is_err());
        assert_eq!(validate(&nest(MAX_DEPTH as usize)), Ok(()));
        assert_eq!(validate(&nest(MAX_DEPTH as usize + 1)).unwrap_err().what, "nested too deeply");
        assert!(validate(&nest(100_000)).is_err());
    }

    #[test]
    fn names_are_unescaped_and_repeats_kept() {
        let mut found = Vec::new();
        members(r#"{"us\u0065r": 1, "user":2 , "\ud83d\ude00":[ ]}"#, &mut found).unwrap();
        let names: Vec<_> = found.iter().map(|m| (m.name.as_ref(), m.value)).collect();
        assert_eq!(names, [("user", "1"), ("user", "2"), ("😀", "[ ]")]);
    }
}

//! Writing JSON text by hand: frames are few and flat, and a browser's module must stay small.

use alloc::string::String;

use super::plain::plain;

/// Appends `text` as a JSON string, quotes included.
pub fn string(out: &mut String, text: &str) {
    // Nearly all strings need no escapes, and are copied at once.
    out.reserve(text.len() + 2);
    out.push('"');
    let mut rest = text;
    loop {
        let (before, after) = rest.split_at(plain(rest.as_bytes()));
        out.push_str(before);
        let Some(&byte) = after.as_bytes().first() else { break };
        escape(out, byte);
        rest = &after[1..];
    }
    out.push('"');
}

fn escape(out: &mut String, byte: u8) {
    out.push('\\');
    let short = match byte {
        b'\n' => 'n',
        b'\r' => 'r',
        b'\t' => 't',
        0..=0x1f => {
            out.push_str(if byte < 16 { "u000" } else { "u001" });
            char::from(b"0123456789abcdef"[usize::from(byte & 15)])
        }
        _ => char::from(byte),
    };
    out.push(short);
}

/// Appends an integer.
pub fn integer(out: &mut String, number: impl Into<i128>) {
    let number = number.into();
    // Whatever is counted here fits 64 bits, which all machines divide fast.
    decimal(out, number < 0, u64::try_from(number.unsigned_abs()).unwrap_or(u64::MAX));
}

/// By hand, because the general formatter is both slower and most of a small module's size.
fn decimal(out: &mut String, negative: bool, mut rest: u64) {
    if negative {
        out.push('-');
    }
    let mut digits = [0; 20];
    let mut length = 0;
    while let Some(digit) = digits.get_mut(length) {
        *digit = (rest % 10) as u8;
        rest /= 10;
        length += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend(digits.iter().take(length).rev().map(|digit| char::from(b'0' + digit)));
}

/// Writes the members of one object: `{"name":{` … `}}` for frames, or nested objects within.
pub struct Object<'a> {
    out: &'a mut String,
    empty: bool,
}

impl<'a> Object<'a> {
    /// Begins an object.
    pub fn begin(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, empty: true }
    }

    /// Ends it.
    pub fn end(self) {
        self.out.push('}');
    }

    /// Writes `"name":` and hands out the place for the value.
    pub fn name(&mut self, name: &str) -> &mut String {
        if !self.empty {
            self.out.push(',');
        }
        self.empty = false;
        string(self.out, name);
        self.out.push(':');
        self.out
    }

    /// A string member.
    pub fn text(&mut self, name: &str, value: &str) {
        string(self.name(name), value);
    }

    /// A string member, left out when there is none.
    pub fn optional_text(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// An integer member.
    pub fn integer(&mut self, name: &str, value: impl Into<i128>) {
        integer(self.name(name), value);
    }

    /// An integer member, left out when there is none.
    pub fn optional_integer(&mut self, name: &str, value: Option<impl Into<i128>>) {
        if let Some(value) = value {
            self.integer(name, value);
        }
    }

    /// A boolean member.
    pub fn flag(&mut self, name: &str, value: bool) {
        self.name(name).push_str(if value { "true" } else { "false" });
    }

    /// A member whose value is already JSON.
    pub fn raw(&mut self, name: &str, value: &str) {
        self.name(name).push_str(value);
    }

    /// An object member.
    pub fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
        let mut inner = Object::begin(self.name(name));
        fill(&mut inner);
        inner.end();
    }

    /// An array of strings.
    pub fn texts(&mut self, name: &str, texts: &[String]) {
        self.array(name, texts, |out, text| string(out, text));
    }

    /// An array member, each element written by `each`.
    pub fn array<T>(&mut self, name: &str, items: impl IntoIterator<Item = T>, each: impl FnMut(&mut String, T)) {
        array(self.name(name), items, each);
    }
}

/// Writes an array, each element by `each`.
pub fn array<T>(out: &mut String, items: impl IntoIterator<Item = T>, mut each: impl FnMut(&mut String, T)) {
    out.push('[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        each(out, item);
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn strings_read_back(text in any::<String>()) {
            let mut out = String::new();
            super::string(&mut out, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }

        #[test]
        fn integers_read_back(small in any::<i64>(), large in any::<u64>()) {
            for number in [i128::from(small), i128::from(large), 0, u64::MAX.into(), i64::MIN.into()] {
                let mut out = String::new();
                super::integer(&mut out, number);
                prop_assert_eq!(out, number.to_string());
            }
        }
    }
}

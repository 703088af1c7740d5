//! What the fuzz targets share: other readers of the same text, to hold ours against.
//!
//! `cargo xtask soak --only fuzz` runs the targets; see `fuzz/README.md`.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};

/// Whether `serde_json` takes the text for one JSON value, of any depth.
pub fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// How deep arrays and objects lie in each other, in text that is JSON.
pub fn depth(json: &str) -> u32 {
    let (mut depth, mut deepest) = (0, 0);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_string(&mut bytes),
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth -= 1,
            _ => {}
        }
    }
    deepest
}

fn skip_string(bytes: &mut impl Iterator<Item = u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
}

/// Whether some escape stands for half a character, which readers treat differently.
pub fn has_surrogates(json: &str) -> bool {
    json.to_ascii_lowercase().contains("\\ud")
}

/// The names of an object's members in order, as `serde_json` reads them; `None` for what is no object.
pub fn names(json: &str) -> Option<Vec<String>> {
    struct Names;

    impl<'de> Visitor<'de> for Names {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<String>, A::Error> {
            let mut names = Vec::new();
            while let Some((name, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                names.push(name);
            }
            Ok(names)
        }
    }

    let mut reader = serde_json::Deserializer::from_str(json);
    let names = (&mut reader).deserialize_map(Names).ok()?;
    reader.end().ok().map(|()| names)
}

/// The first line, and what follows it.
pub fn first_line(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}

//! JSON that keeps what a map would lose: repeated members. Read by `serde_json`, written here, oddly where asked.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Int(i128),
    Double(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Stands for an id that no reader can foretell; alike to any UUID.
pub const ANY_ID: &str = "any id";

impl Json {
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// The first member of that name.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is an object with two members of one name.
    pub fn repeats(&self) -> bool {
        let Self::Object(members) = self else { return false };
        (1..members.len()).any(|at| members[..at].iter().any(|(name, _)| *name == members[at].0))
    }

    /// Whether it or anything in it repeats a member.
    pub fn repeats_within(&self) -> bool {
        self.repeats()
            || match self {
                Self::List(items) => items.iter().any(Self::repeats_within),
                Self::Object(members) => members.iter().any(|(_, value)| value.repeats_within()),
                _ => false,
            }
    }

    /// Whether they say the same, in whatever order members stand.
    pub fn alike(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(any), Self::Text(id)) | (Self::Text(id), Self::Text(any)) if any == ANY_ID => id.len() == 36,
            (Self::List(one), Self::List(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.alike(other))
            }
            (Self::Object(one), Self::Object(other)) => {
                let sorted = |members: &[(String, Self)]| {
                    let mut at: Vec<usize> = (0..members.len()).collect();
                    at.sort_by(|a, b| members[*a].0.cmp(&members[*b].0));
                    at
                };
                let same = |(a, b): (usize, usize)| one[a].0 == other[b].0 && one[a].1.alike(&other[b].1);
                one.len() == other.len() && sorted(one).into_iter().zip(sorted(other)).all(same)
            }
            _ => self == other,
        }
    }

    /// As text; `odd` says now and then that something may be written unusually.
    pub fn write(&self, out: &mut String, odd: &mut dyn FnMut() -> bool) {
        use std::fmt::Write as _;
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Self::Int(number) => drop(write!(out, "{number}")),
            Self::Double(number) => drop(write!(out, "{number:?}")),
            Self::Text(text) => write_text(text, out, odd),
            Self::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    item.write(out, odd);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (at, (name, value)) in members.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    out.push_str(if odd() { "\n " } else { "" });
                    write_text(name, out, odd);
                    out.push_str(if odd() { " : " } else { ":" });
                    value.write(out, odd);
                }
                out.push('}');
            }
        }
    }
}

/// Texts that begin with `#` are marks, and stay as they are.
fn write_text(text: &str, out: &mut String, odd: &mut dyn FnMut() -> bool) {
    use std::fmt::Write as _;
    out.push('"');
    let escaped = !text.starts_with('#') && odd();
    for c in text.chars() {
        if matches!(c, '"' | '\\') || c < ' ' || (escaped && c.is_ascii() && odd()) {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out.push('"');
}

/// Plainly written.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.write(&mut out, &mut || false);
        f.write_str(&out)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Json, E> {
        Ok(Json::Bool(flag))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Int(number.into()))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Int(number.into()))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Json, E> {
        Ok(Json::Double(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::text(text))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Json, E> {
        Ok(Json::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Json::Object(object))
    }
}

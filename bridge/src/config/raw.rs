//! The raw configuration: what the file and the environment say, each value with its place, nothing understood yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::problem::{Place, Problem};

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// A raw value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    /// Text of the environment, which has no other types: may be read as a number, a flag or a list.
    Word(String),
    Integer(i64),
    Float(f64),
    Flag(bool),
    Time(String),
    List(Vec<Node>),
    Table(Table),
}

/// Members by name.
pub(super) type Table = BTreeMap<String, Node>;

impl Value {
    /// Its kind, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Word(_) => "text",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number with a fraction",
            Self::Flag(_) => "true or false",
            Self::Time(_) => "a time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// Turns byte positions of a text into lines.
pub(super) struct Lines {
    name: Arc<str>,
    starts: Vec<usize>,
}

impl Lines {
    pub(super) fn new(name: &str, text: &str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { name: name.into(), starts: std::iter::once(0).chain(breaks).collect() }
    }

    fn at(&self, position: usize) -> Place {
        Place::Line(self.name.clone(), self.starts.partition_point(|&start| start <= position))
    }
}

/// Reads a TOML text: what could be read of it, and what could not.
pub(super) fn document(name: &str, text: &str) -> (Table, Vec<Problem>) {
    let lines = Lines::new(name, text);
    let (document, errors) = DeTable::parse_recoverable(text);
    let problem = |error: &toml::de::Error| Problem {
        place: lines.at(error.span().map_or(0, |span| span.start)),
        key: String::new(),
        text: format!("not TOML: {}", error.message().trim_end()),
    };
    let problems: Vec<_> = errors.iter().map(problem).collect();
    (table(document.get_ref(), &|position| lines.at(position)), problems)
}

/// Reads a TOML value that stands in one place.
pub(super) fn value(text: &str, place: &Place) -> Result<Node, String> {
    let parsed = DeValue::parse(text).map_err(|error| error.message().trim_end().to_owned())?;
    Ok(node(&parsed, &|_| place.clone()))
}

fn table(members: &DeTable<'_>, place: &dyn Fn(usize) -> Place) -> Table {
    let member = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let key: &Spanned<std::borrow::Cow<'_, str>> = key;
        let mut node = node(value, place);
        // The key's line, so that a value over several lines is named by its first.
        node.place = place(key.span().start);
        (key.get_ref().to_string(), node)
    };
    members.iter().map(member).collect()
}

fn node(value: &Spanned<DeValue<'_>>, place: &dyn Fn(usize) -> Place) -> Node {
    let read = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => integer(number).map_or_else(|| Value::Float(f64::INFINITY), Value::Integer),
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(time) => Value::Time(time.to_string()),
        DeValue::Array(items) => Value::List(items.iter().map(|item| node(item, place)).collect()),
        DeValue::Table(members) => Value::Table(table(members, place)),
    };
    Node { place: place(value.span().start), value: read }
}

fn integer(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

//! Reading a table of the raw configuration key by key: what is read is known, what is left over is reported.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::problem::{Place, Report};
use super::raw::{Node, Table, Value};
use super::units;

/// A table that is being read. Getters give `None` both for what is absent and for what is wrong: the latter is
/// reported, so the value that a caller falls back to is never used.
pub(super) struct Section<'a> {
    path: String,
    place: Place,
    table: &'a Table,
    known: Vec<&'static str>,
    report: &'a Report,
}

impl<'a> Section<'a> {
    pub(super) fn new(path: impl Into<String>, place: Place, table: &'a Table, report: &'a Report) -> Self {
        Self { path: path.into(), place, table, known: Vec::new(), report }
    }

    /// Where the section stands.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Where a key stands; if it is absent, where its section does.
    pub(super) fn place_of(&self, key: &str) -> &Place {
        self.table.get(key).map_or(&self.place, |node| &node.place)
    }

    /// The whole name of a key.
    pub(super) fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Whether a key is there. Does not make it known.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Says that a key is wrong.
    pub(super) fn problem(&self, key: &str, text: impl Into<String>) {
        self.report.problem(self.place_of(key), self.name(key), text);
    }

    /// Says that the section itself is wrong.
    pub(super) fn problem_here(&self, text: impl Into<String>) {
        self.report.problem(&self.place, self.path.clone(), text);
    }

    /// Whether a key is absent or an empty list.
    pub(super) fn list_is_empty(&self, key: &str) -> bool {
        self.table.get(key).is_none_or(|node| match &node.value {
            Value::List(items) => items.is_empty(),
            Value::Word(words) => words.trim().is_empty(),
            _ => false,
        })
    }

    /// Warns of a key.
    pub(super) fn warning(&self, key: &str, text: impl Into<String>) {
        self.report.warning(self.place_of(key), self.name(key), text);
    }

    /// The node of a key, which is known from now on.
    pub(super) fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.push(key);
        self.table.get(key)
    }

    /// Reads a key's value.
    pub(super) fn read<T>(&mut self, key: &'static str, read: impl FnOnce(&Value) -> Result<T, String>) -> Option<T> {
        let node = self.node(key)?;
        read(&node.value).map_err(|text| self.problem(key, text)).ok()
    }

    /// A text.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        self.read(key, |value| text(value).map(str::to_owned))
    }

    /// A text that is read further.
    pub(super) fn parsed<T>(&mut self, key: &'static str) -> Option<T>
    where
        T: FromStr<Err: std::fmt::Display>,
    {
        self.read(key, |value| parsed(text(value)?))
    }

    /// Whether a key is that word; then it is known from now on.
    pub(super) fn says(&mut self, key: &'static str, word: &str) -> bool {
        let says = self.table.get(key).is_some_and(|node| text(&node.value).is_ok_and(|text| text.trim() == word));
        if says {
            self.known.push(key);
        }
        says
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        self.read(key, |value| choice(text(value)?, choices))
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        self.read(key, |value| match value {
            Value::Flag(flag) => Ok(*flag),
            Value::Word(word) => word.trim().parse().map_err(|_| format!("{word:?} is neither true nor false")),
            other => Err(format!("must be true or false, not {}", other.kind())),
        })
    }

    /// A whole number within bounds.
    pub(super) fn count(&mut self, key: &'static str, bounds: RangeInclusive<u64>) -> Option<u64> {
        self.read(key, |value| {
            let number = match value {
                Value::Integer(number) => u64::try_from(*number).ok(),
                Value::Word(word) => word.trim().parse().ok(),
                other => return Err(format!("must be an integer, not {}", other.kind())),
            };
            let inside = number.filter(|number| bounds.contains(number));
            inside.ok_or_else(|| format!("must be from {} to {}", bounds.start(), bounds.end()))
        })
    }

    /// A size within bounds.
    pub(super) fn size(&mut self, key: &'static str, bounds: RangeInclusive<u64>) -> Option<u64> {
        self.read(key, |value| {
            let bytes = match value {
                Value::Integer(number) => u64::try_from(*number).map_err(|_| "must not be negative".to_owned())?,
                Value::Text(text) | Value::Word(text) => units::size(text)?,
                other => return Err(format!("must be a size such as \"64KiB\", not {}", other.kind())),
            };
            let show = units::show_size;
            let outside = || format!("must be from {} to {}", show(*bounds.start()), show(*bounds.end()));
            if bounds.contains(&bytes) { Ok(bytes) } else { Err(outside()) }
        })
    }

    /// A duration within bounds.
    pub(super) fn duration(&mut self, key: &'static str, bounds: RangeInclusive<Duration>) -> Option<Duration> {
        self.read(key, |value| {
            let duration = match value {
                Value::Text(text) | Value::Word(text) => units::duration(text)?,
                other => return Err(format!("must be a duration such as \"25s\", not {}", other.kind())),
            };
            let show = units::show_duration;
            let outside = || format!("must be from {} to {}", show(*bounds.start()), show(*bounds.end()));
            if bounds.contains(&duration) { Ok(duration) } else { Err(outside()) }
        })
    }

    /// A list of texts, each read further; every bad one is reported. One text is a list of one.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        mut item: impl FnMut(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let node = self.node(key)?;
        let bad = |place: &Place, text: String| self.report.problem(place, self.name(key), text);
        let mut read = |place: &Place, text: &str| item(text).map_err(|problem| bad(place, problem)).ok();
        match &node.value {
            Value::List(items) => Some(
                items
                    .iter()
                    .filter_map(|inner| match text(&inner.value) {
                        Ok(text) => read(&inner.place, text),
                        Err(problem) => {
                            self.report.problem(&inner.place, self.name(key), problem);
                            None
                        }
                    })
                    .collect(),
            ),
            Value::Text(text) => Some(read(&node.place, text).into_iter().collect()),
            Value::Word(words) => {
                let words = words.split(',').map(str::trim).filter(|word| !word.is_empty());
                Some(words.filter_map(|word| read(&node.place, word)).collect())
            }
            other => {
                self.problem(key, format!("must be a list, not {}", other.kind()));
                None
            }
        }
    }

    /// A table within this one.
    pub(super) fn section(&mut self, key: &'static str) -> Option<Section<'a>> {
        let node = self.node(key)?;
        match &node.value {
            Value::Table(table) => Some(Section::new(self.name(key), node.place.clone(), table, self.report)),
            other => {
                self.problem(key, format!("must be a table ([{}]), not {}", self.name(key), other.kind()));
                None
            }
        }
    }

    /// A table within this one; if it is absent, an empty one in its place.
    pub(super) fn section_or_empty(&mut self, key: &'static str) -> Section<'a> {
        static EMPTY: Table = Table::new();
        let empty = Section::new(self.name(key), self.place.clone(), &EMPTY, self.report);
        self.section(key).unwrap_or(empty)
    }

    /// All tables within this one, by names that are not fixed.
    pub(super) fn sections(&self) -> Vec<(&'a str, Section<'a>)> {
        let mut sections = Vec::new();
        for (key, node) in self.table {
            match &node.value {
                Value::Table(table) => {
                    sections.push((&**key, Section::new(self.name(key), node.place.clone(), table, self.report)));
                }
                other => self.problem(key, format!("must be a table ([{}]), not {}", self.name(key), other.kind())),
            }
        }
        sections
    }

    /// All members, by names that are not fixed, each with its place.
    pub(super) fn members(&self) -> impl Iterator<Item = (&'a str, &'a Place, &'a Value)> + use<'a> {
        self.table.iter().map(|(key, node)| (&**key, &node.place, &node.value))
    }

    /// Reports what was not read.
    pub(super) fn finish(self) {
        for (key, node) in self.table {
            if !self.known.contains(&&**key) {
                let meant = suggestion(key, self.known.iter().copied());
                let hint = meant.map(|meant| format!("; did you mean {}?", self.name(meant))).unwrap_or_default();
                self.report.problem(&node.place, self.name(key), format!("unknown key{hint}"));
            }
        }
    }
}

/// The text of a value.
pub(super) fn text(value: &Value) -> Result<&str, String> {
    match value {
        Value::Text(text) | Value::Word(text) => Ok(text),
        other => Err(format!("must be text, not {}", other.kind())),
    }
}

/// Reads a text further; what is wrong is said of the text.
pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("{text:?} {error}"))
}

/// One of several words.
pub(super) fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names: Vec<String> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
    let meant = suggestion(text, choices.iter().map(|(name, _)| *name));
    let hint = meant.map(|meant| format!("; did you mean {meant:?}?")).unwrap_or_default();
    Err(format!("{text:?} must be {}{hint}", names.join(" or ")))
}

/// What one who wrote `text` may have meant.
pub(super) fn suggestion<'n>(text: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let text = text.to_ascii_lowercase();
    // A slip of one letter or of two that changed places is near however short the word is.
    let near = |name: &'n str| {
        let slip = strsim::osa_distance(&text, name) <= 1;
        (if slip { 1.0 } else { strsim::jaro_winkler(&text, &name.to_ascii_lowercase()) }, name)
    };
    let best = names.map(near).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.8).then_some(best.1)
}

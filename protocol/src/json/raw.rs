//! JSON text that was validated, looked into without building a tree.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::OnceCell;

use super::scan::{self, Malformed, Member};
use super::value::Value;

/// A validated JSON value, borrowed as text. An object's members are found once, when first asked for.
#[derive(Debug, Clone)]
pub struct Raw<'a> {
    text: &'a str,
    members: OnceCell<Vec<Member<'a>>>,
}

impl<'a> Raw<'a> {
    /// Validates `text`.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        scan::validate(text)?;
        Ok(Self::trusted(text.trim_matches([' ', '\t', '\n', '\r'])))
    }

    /// Takes text that the scanner has already passed.
    fn trusted(text: &'a str) -> Self {
        Self { text, members: OnceCell::new() }
    }

    /// The text, without surrounding space.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    fn members(&self) -> &[Member<'a>] {
        self.members.get_or_init(|| {
            let mut found = Vec::new();
            if self.text.starts_with('{') {
                // Validated before: it can not fail, and if it did there would be no members.
                let _ = scan::members(self.text, &mut found);
            }
            found
        })
    }
}

impl Value for Raw<'_> {
    fn member(&self, name: &str) -> Option<Self> {
        // The last one wins, as in JSON.parse.
        let found = self.members().iter().rev().find(|m| m.name == name)?;
        (found.value != "null").then(|| Self::trusted(found.value))
    }

    fn names(&self) -> Vec<String> {
        self.members().iter().map(|m| m.name.clone().into_owned()).collect()
    }

    fn items(&self) -> Option<Vec<Self>> {
        if !self.text.starts_with('[') {
            return None;
        }
        let mut found = Vec::new();
        scan::elements(self.text, &mut found).ok()?;
        Some(found.into_iter().map(Self::trusted).collect())
    }

    fn text(&self) -> Option<String> {
        let inner = self.text.strip_prefix('"')?.strip_suffix('"')?;
        Some(scan::unescape(inner).into_owned())
    }

    fn number(&self) -> Option<f64> {
        self.text.starts_with(|c: char| c == '-' || c.is_ascii_digit()).then(|| self.text.parse().ok())?
    }

    fn flag(&self) -> Option<bool> {
        match self.text {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    fn json(&self) -> String {
        self.text.to_owned()
    }
}

//! What JavaScript holds, a frame's body or options, as the protocol's decoders want to look at it: member by member, by
//! its path, so that nothing else of it is ever copied into wasm memory.

use tidegate_protocol::json::{Value, write};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(raw_module = "./looked.js")]
extern "C" {
    /// What there is at a path; the numbers are those of `looked.js`.
    fn kind(path: &str) -> u8;
    /// A number as it is, a boolean as 0 or 1, the length of a list.
    fn number(path: &str) -> f64;
    fn text(path: &str) -> String;
}

const TEXT: u8 = 1;
const NUMBER: u8 = 2;
const FLAG: u8 = 3;
const LIST: u8 = 4;

/// A value within what is looked at, by its path from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Looked(String);

impl Looked {
    /// What is looked at.
    pub(super) fn root() -> Self {
        Self(String::new())
    }

    /// A member that is a number.
    pub(super) fn double(&self, name: &str) -> f64 {
        number(&self.at(name).0)
    }

    /// A member that is an unsigned integer.
    pub(super) fn count(&self, name: &str) -> u64 {
        self.double(name) as u64
    }

    /// A member as text.
    pub(super) fn string(&self, name: &str) -> String {
        text(&self.at(name).0)
    }

    /// The elements, as text, of a member that is a list.
    pub(super) fn strings(&self, name: &str) -> Vec<String> {
        let mut strings = Vec::new();
        for item in self.at(name).items().unwrap_or_default() {
            strings.push(text(&item.0));
        }
        strings
    }

    fn at(&self, name: &str) -> Self {
        let mut path = String::with_capacity(self.0.len() + 1 + name.len());
        path.push_str(&self.0);
        path.push('/');
        path.push_str(name);
        Self(path)
    }

    fn is(&self, wanted: u8) -> Option<()> {
        (kind(&self.0) == wanted).then_some(())
    }
}

impl Value for Looked {
    // JavaScript is given the frame itself; to read it here as well is 2 KiB more of a page's download.
    const READS_TOTALS: bool = false;

    fn member(&self, name: &str) -> Option<Self> {
        let member = self.at(name);
        (kind(&member.0) != 0).then_some(member)
    }

    fn names(&self) -> Vec<String> {
        // JavaScript itself sees which kind of frame one is.
        Vec::new()
    }

    fn items(&self) -> Option<Vec<Self>> {
        self.is(LIST)?;
        let mut items = Vec::new();
        for index in 0..number(&self.0) as u32 {
            let mut at = String::new();
            write::integer(&mut at, index);
            items.push(self.at(&at));
        }
        Some(items)
    }

    fn text(&self) -> Option<String> {
        self.is(TEXT).map(|()| text(&self.0))
    }

    fn number(&self) -> Option<f64> {
        self.is(NUMBER).map(|()| number(&self.0))
    }

    fn flag(&self) -> Option<bool> {
        self.is(FLAG).map(|()| number(&self.0) != 0.0)
    }

    fn json(&self) -> String {
        String::new()
    }
}

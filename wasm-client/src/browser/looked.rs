//! What JavaScript holds, a frame's body or the details of what happened, as the protocol's decoders want to look at it:
//! value by value, so that nothing else of it is ever copied into wasm memory.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use tidegate_protocol::json::Value;
use wasm_bindgen::prelude::*;

#[wasm_bindgen(raw_module = "./looked.js")]
extern "C" {
    /// Where a member was put, 0 for nothing. Its name lies at an address.
    fn member(of: i32, name: i32, length: i32) -> i32;
    /// Where an element was put, 0 for nothing.
    fn element(of: i32, at: i32) -> i32;
    /// A value of that kind as a number, NaN for one of another kind.
    fn number(of: i32, kind: u8) -> f64;
    /// Puts the UTF-8 of the text that was asked about last at an address.
    fn copy(to: i32);
}

// The kinds, as `looked.js` knows them.
const NUMBER: u8 = 0;
/// 0 or 1.
const FLAG: u8 = 1;
/// How many elements it has.
const LIST: u8 = 2;
/// How many bytes of UTF-8 it takes.
const TEXT: u8 = 3;

/// A value, by the place where `looked.js` has put it while the core is told of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Looked(i32);

impl Looked {
    /// What is looked at.
    pub(super) const ROOT: Self = Self(1);

    /// An element, or nothing.
    pub(super) fn at(self, at: u32) -> Self {
        Self(element(self.0, at.cast_signed()))
    }

    /// How many elements there are.
    pub(super) fn length(self) -> u32 {
        number(self.0, LIST) as u32
    }

    /// An element that is a number.
    pub(super) fn double(self, at: u32) -> f64 {
        number(self.at(at).0, NUMBER)
    }

    /// An element that is an unsigned integer.
    pub(super) fn count(self, at: u32) -> u64 {
        self.double(at) as u64
    }

    /// An element as text, empty for nothing.
    pub(super) fn string(self, at: u32) -> String {
        self.at(at).text().unwrap_or_default()
    }

    /// The texts in an element that is a list.
    pub(super) fn strings(self, at: u32) -> Vec<String> {
        let list = self.at(at);
        let mut strings = Vec::new();
        for at in 0..list.length() {
            strings.push(list.string(at));
        }
        strings
    }

    fn of_kind(self, kind: u8) -> Option<f64> {
        let number = number(self.0, kind);
        (!number.is_nan()).then_some(number)
    }
}

impl Value for Looked {
    // JavaScript is given the ledger's frame itself; to read it here as well is 2 KiB more of a page's download.
    const READS_ALL: bool = false;

    fn member(&self, name: &str) -> Option<Self> {
        let place = member(self.0, name.as_ptr() as i32, name.len() as i32);
        (place != 0).then_some(Self(place))
    }

    fn names(&self) -> Vec<String> {
        // JavaScript itself sees which kind of frame one is.
        Vec::new()
    }

    fn items(&self) -> Option<Vec<Self>> {
        let length = self.of_kind(LIST)?;
        let mut items = Vec::new();
        for at in 0..length as u32 {
            items.push(self.at(at));
        }
        Some(items)
    }

    fn text(&self) -> Option<String> {
        let mut bytes = vec![0; self.of_kind(TEXT)? as usize];
        copy(bytes.as_mut_ptr() as i32);
        String::from_utf8(bytes).ok()
    }

    fn number(&self) -> Option<f64> {
        self.of_kind(NUMBER)
    }

    fn flag(&self) -> Option<bool> {
        self.of_kind(FLAG).map(|flag| flag != 0.0)
    }

    fn json(&self) -> String {
        String::new()
    }
}

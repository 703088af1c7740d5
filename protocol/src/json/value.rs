//! What a frame decoder asks of decoded JSON, whoever decoded it: the scanner here, or a browser's
//! `JSON.parse`. One decoder then serves both sides.

use alloc::borrow::{Cow, ToOwned};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::write;

/// A JSON value that can be looked into.
pub trait Value: Sized {
    /// Whether all of a frame is read: not by who hands a decoded `ledger` frame on as it is, and has no use for a
    /// bridge's name.
    const READS_ALL: bool = true;

    /// The member of that name, if this is an object that has one. `null` counts as absent.
    fn member(&self, name: &str) -> Option<Self>;
    /// The names of an object's members; empty for what is no object.
    fn names(&self) -> Vec<String>;
    /// The elements, if this is an array.
    fn items(&self) -> Option<Vec<Self>>;
    /// The text, if this is a string.
    fn text(&self) -> Option<String>;
    /// The number, if this is one.
    fn number(&self) -> Option<f64>;
    /// The truth, if this is a boolean.
    fn flag(&self) -> Option<bool>;
    /// The value as JSON text.
    fn json(&self) -> String;
}

/// A member that is missing or of the wrong kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", .0.0, .0.1)]
// Boxed: it is passed on after every member that is read, which is much of a decoder's code.
pub struct BadField(Box<(String, Cow<'static, str>)>);

impl BadField {
    /// The member at `pointer` is not what it must be.
    pub fn new(pointer: String, what: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new((pointer, what.into())))
    }

    /// What it is not.
    pub fn what(&self) -> &str {
        &self.0.1
    }

    /// JSON pointer to the member, from the frame's root.
    pub fn pointer(&self) -> &str {
        &self.0.0
    }
}

/// Reads the members of one object and names what is wrong by JSON pointer.
pub struct Fields<'v, V> {
    value: &'v V,
    pointer: String,
}

impl<'v, V: Value> Fields<'v, V> {
    /// Reads `value`, which lies at `pointer`.
    pub fn new(value: &'v V, pointer: impl Into<String>) -> Self {
        Self { value, pointer: pointer.into() }
    }

    /// An error about the member `name`.
    pub fn bad(&self, name: &str, what: impl Into<Cow<'static, str>>) -> BadField {
        BadField::new(within(&self.pointer, name), what)
    }

    /// The member as it is.
    pub fn get(&self, name: &str) -> Option<V> {
        self.value.member(name)
    }

    /// A member that must be there.
    pub fn require(&self, name: &str) -> Result<V, BadField> {
        self.get(name).ok_or_else(|| self.bad(name, "is missing"))
    }

    /// A string that must be there.
    pub fn text(&self, name: &str) -> Result<String, BadField> {
        self.require(name)?.text().ok_or_else(|| self.bad(name, "must be a string"))
    }

    /// A string, if there.
    pub fn optional_text(&self, name: &str) -> Result<Option<String>, BadField> {
        self.get(name).map(|v| v.text().ok_or_else(|| self.bad(name, "must be a string"))).transpose()
    }

    /// An unsigned integer below 2^53 that fits `N` and must be there.
    pub fn integer<N: TryFrom<u64>>(&self, name: &str) -> Result<N, BadField> {
        let value = self.require(name)?;
        integer(&value).ok_or_else(|| self.bad(name, "must be an unsigned integer"))
    }

    /// An unsigned integer, if there.
    pub fn optional_integer<N: TryFrom<u64>>(&self, name: &str) -> Result<Option<N>, BadField> {
        let Some(value) = self.get(name) else { return Ok(None) };
        integer(&value).map(Some).ok_or_else(|| self.bad(name, "must be an unsigned integer"))
    }

    /// A boolean, `false` when absent.
    pub fn flag(&self, name: &str) -> Result<bool, BadField> {
        self.get(name).map_or(Ok(false), |v| v.flag().ok_or_else(|| self.bad(name, "must be true or false")))
    }

    /// A list, empty when absent, each element read by `each`.
    pub fn list<T>(&self, name: &str, each: impl Fn(&V, &str) -> Result<T, BadField>) -> Result<Vec<T>, BadField> {
        let Some(value) = self.get(name) else { return Ok(Vec::new()) };
        let items = value.items().ok_or_else(|| self.bad(name, "must be a list"))?;
        let (mut read, mut pointer) = (Vec::with_capacity(items.len()), within(&self.pointer, name));
        pointer.push('/');
        let length = pointer.len();
        for item in &items {
            pointer.truncate(length);
            write::integer(&mut pointer, read.len() as u64);
            read.push(each(item, &pointer)?);
        }
        Ok(read)
    }

    /// A list of strings, empty when absent.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, BadField> {
        self.list(name, |item, pointer| {
            item.text().ok_or_else(|| BadField::new(pointer.to_owned(), "must be a string"))
        })
    }
}

/// The JSON pointer to a member. Put together by hand: the general formatter, or `concat`, is more code than this module.
pub(crate) fn within(pointer: &str, name: &str) -> String {
    let mut whole = String::with_capacity(pointer.len() + 1 + name.len());
    whole.push_str(pointer);
    whole.push('/');
    whole.push_str(name);
    whole
}

/// The value as an unsigned integer that a double holds exactly.
pub fn integer<N: TryFrom<u64>>(value: &impl Value) -> Option<N> {
    let number = value.number()?;
    // What is negative or no number comes to 0, and so is another.
    let whole = number as u64;
    if number - whole as f64 != 0.0 || whole >= 1 << 53 {
        return None;
    }
    N::try_from(whole).ok()
}

//! JSON as the protocol needs it: a validating scanner that borrows, and a writer.
//!
//! The bridge relays the bytes of an event as it read them, so it needs to know where members begin
//! and end rather than a tree of values; and the browser decodes with its own `JSON.parse`. [`Value`]
//! is what a frame decoder asks of either.

mod plain;
mod quote;
mod raw;
mod scan;
mod value;
pub mod write;

pub use quote::{pointer_to, quoted};
pub use raw::Raw;
pub use scan::{MAX_DEPTH, Malformed, Member, elements, members, members_within, unescape, validate, validate_within};
pub(crate) use value::within;
pub use value::{BadField, Fields, Value, integer};

//! The event envelope: which members it has, whether they are valid, and what the bridge stamps.

mod field;
mod stamp;
mod validate;

pub use stamp::{Stamp, Stamped};
pub use validate::{Head, Invalid};

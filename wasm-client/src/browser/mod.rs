//! The browser's side: a socket adapter around the machine, and what JavaScript sees of it.
//!
//! Works in pages and workers alike: only globals that both have are used.

#[cfg(feature = "bus")]
mod bus;
mod connection;
mod platform;
mod socket;
mod value;

pub use connection::{Application, Connection};
pub use value::Json;

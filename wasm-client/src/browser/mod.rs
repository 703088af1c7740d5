//! The browser's side: a socket adapter around the machine for Rust programs such as the dashboard, and, with the
//! feature `bus`, the core of the npm package, whose adapter is JavaScript.
//!
//! Works in pages and workers alike: only globals that both have are used.

#[cfg(feature = "bus")]
mod bus;
#[cfg(not(feature = "bus"))]
mod connection;
#[cfg(feature = "bus")]
mod looked;
#[cfg(not(feature = "bus"))]
mod platform;
#[cfg(not(feature = "bus"))]
mod socket;
#[cfg(feature = "bus")]
mod told;
#[cfg(not(feature = "bus"))]
mod value;

#[cfg(not(feature = "bus"))]
pub use connection::{Application, Connection};
#[cfg(not(feature = "bus"))]
pub use value::Json;

//! The bridge: federates the topics of a log out to browsers, and their events back in.
//!
//! Down: `log → feed → gate → fanout → session → transport`. Up: `transport → session → fanout → log`. To the
//! side: everyone → `ledger`. `ARCHITECTURE.md` at the root is the map.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod cursor;
pub mod fanout;
pub mod feed;
pub mod json_pointer;
pub mod ledger;
pub mod reload;
pub mod revocation;
pub mod session;
pub mod telemetry;
pub mod transport;
mod turns;

//! The words and frames of Tidegate, shared by the bridge, the client and the dashboard.
//!
//! Nothing here knows a socket, a clock or a runtime: text goes in, values come out, and back.
//! `SPEC.md` beside this crate is the protocol in prose; `vectors/` holds the examples that every
//! encoder and decoder runs.

#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod backoff;
pub mod code;
pub mod cursor;
pub mod envelope;
pub mod frame;
pub mod headers;
pub mod ids;
pub mod json;
pub mod ledger;
pub mod timestamp;

/// The WebSocket subprotocol that both sides name in the upgrade.
pub const SUBPROTOCOL: &str = "tidegate.v1";

/// The envelope schema version written by this build. Readers take any `1.x`.
pub const ENVELOPE_VERSION: &str = "1.0";

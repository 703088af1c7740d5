//! The ledger: the running account of what became of every delivery.
//!
//! Each shard counts its own ([`Counts`]) and hands out a snapshot between two inputs; [`Hub`] adds the
//! snapshots of a node up. Nothing reads back from here.

mod counts;
mod hub;

pub use counts::{Counts, RowId, RowKey, ShardSnapshot};
pub use hub::{Hub, NodeSnapshot};

//! Sockets: HTTP, the WebSocket upgrade, and each connection's bytes in and out. Decides nothing.

mod api;
mod assets;
mod connection;
mod http;
mod pipe;
mod server;
mod shard_thread;
mod socket;
mod upgrade;

pub use assets::{Assets, AssetsError};
pub use http::{DevToken, Status};
pub use server::{Server, ServerHandle};
pub use shard_thread::{Directory, ShardHandle, ShardThread};

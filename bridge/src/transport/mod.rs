//! Sockets: HTTP, the WebSocket upgrade, and each connection's bytes in and out. Decides nothing.

mod admin;
mod admin_client;
mod api;
mod assets;
mod connection;
mod directory;
mod http;
mod intake;
mod pipe;
mod server;
mod shard_handle;
mod shard_thread;
mod socket;
mod tls;
mod unwritten;
mod upgrade;

pub use admin::Admin;
pub use admin_client::{AdminClient, AdminError};
pub use assets::{Assets, AssetsError};
pub use axum::http::Method;
pub use directory::Directory;
pub use http::{DevToken, Status};
pub use server::{Server, ServerHandle};
pub use shard_handle::{ShardHandle, ShardInbox};
pub use shard_thread::ShardThread;
pub use tls::{CertificateError, check as check_certificate};

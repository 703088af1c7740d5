//! Configuration: a TOML file and the environment, read into raw values that remember where they stand, then
//! validated into typed settings. Every problem is reported, by key and line, before anything starts.
//!
//! # Environment
//!
//! `TIDEGATE_<PATH>` overrides a setting, or stands for one that the file does not have. Levels are set apart by two
//! underscores: `TIDEGATE_SERVER__LISTEN` is `server.listen`. Case does not matter. Below `log.kafka` one underscore
//! stands for a dot: `TIDEGATE_LOG__KAFKA__BOOTSTRAP_SERVERS` is `bootstrap.servers`. A list is written with commas,
//! or as TOML if it begins with `[` (`TIDEGATE_GRANTS='[{ role = "clerk", allow = ["subscribe"], topics = ["*"] }]'`).
//!
//! # Paths
//!
//! Paths are taken from the folder of the file that names them; those from the environment, from the working folder.

mod admin;
mod cursors;
mod environment;
mod feed;
mod grants;
mod limits;
mod load;
mod log;
mod problem;
mod raw;
mod revocation;
mod section;
mod server;
mod tenant;
#[cfg(test)]
mod tests;
mod tokens;
mod topics;
mod units;
mod validate;

use std::sync::Arc;

pub use admin::{Admin, AdminKey};
pub use cursors::{CursorKey, Cursors};
pub use feed::{CatchUp, Window};
pub use limits::Limits;
pub use load::{Loaded, Source, load, parse};
pub use log::{KafkaSettings, Log, SqliteSettings};
pub use problem::{Place, Problem, Problems};
pub use revocation::Revocation;
pub use server::{Origins, Server, Tls};
pub use tenant::TenantFrom;
pub use topics::{Format, JsonFormat, KeyForm, Topic, Topics, TypeFrom};

use tidegate_gate::{Grant, Policy, TokenOptions};

/// The validated configuration. A clone costs nothing; each part can be handed to whom it concerns.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[server]`
    pub server: Arc<Server>,
    /// `[limits]`
    pub limits: Arc<Limits>,
    /// `[log]`
    pub log: Arc<Log>,
    /// `[tokens]`
    pub tokens: Arc<TokenOptions>,
    /// `[topics]`
    pub topics: Arc<Topics>,
    /// `[[grants]]`
    pub grants: Arc<[Grant]>,
    /// `[cursors]`
    pub cursors: Arc<Cursors>,
    /// `[window]`
    pub window: Window,
    /// `[catch_up]`
    pub catch_up: CatchUp,
    /// `[revocation]`
    pub revocation: Revocation,
    /// `[admin]`; without it there is no admin API.
    pub admin: Option<Arc<Admin>>,
}

impl Config {
    /// The policy of the configured topics and grants.
    pub fn policy(&self) -> Policy {
        Policy::new(self.topics.iter().map(Topic::rule), self.grants.iter().cloned())
    }
}

//! Tests of the shard as a whole: inputs in, frames out.

mod client;
mod model;
mod properties;
mod world;

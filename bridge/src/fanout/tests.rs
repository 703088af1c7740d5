//! Tests of the shard as a whole: inputs in, frames out.

mod client;
mod clock;
mod conditions;
mod fairness;
mod fixture;
mod limits;
mod live;
mod model;
mod properties;
mod publishing;
mod renewal;
mod reports;
mod requests;
mod revoke;
mod shard;
mod streams;
mod subscribing;
mod together;
mod variants;
mod world;

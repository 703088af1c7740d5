//! Tests of the shard as a whole: inputs in, frames out.

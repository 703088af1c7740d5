//! stub

pub mod kafka;

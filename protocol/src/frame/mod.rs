//! Frames: each WebSocket text message is one JSON object with one member, whose name says what it is.
//!
//! A name that begins with `?` marks a frame that a receiver may pass over when it does not know it.

mod batch;
mod client;
mod plain_report;
mod report;
mod server;

pub use batch::{BatchWriter, Entry};
pub use client::{ClientFrame, From, Hello, Publish, Refresh, Subscribe, Unsubscribe};
pub use report::{Failure, FailureKind, Position, Report, Span, ViewReport};
pub use server::{
    Batch, Failed, Joined, LedgerReport, Limits, LogState, Moved, MovedReason, Ping, Published, Reconnect, Refreshed,
    ServerFrame, Subscribed, TopicReading, Unsubscribed, Welcome,
};

use alloc::string::String;

use crate::code::ErrorCode;
use crate::json::{BadField, Malformed, Value, quoted};

/// A message that is no frame this side can act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// Not JSON at all.
    #[error("not a JSON object: {0}")]
    Json(#[from] Malformed),
    /// Not an object with exactly one member.
    #[error("{}", Self::SHAPE)]
    Shape,
    /// A kind this side does not know and that is not marked optional.
    #[error("unknown frame \"{0}\"")]
    Unknown(String),
    /// A member that is missing or of the wrong kind.
    #[error(transparent)]
    Field(#[from] BadField),
}

impl BadFrame {
    const SHAPE: &str = "a frame is a JSON object with exactly one member, its kind";

    /// The same as its `Display`, for a page: where the general formatter would be a tenth of what it downloads.
    pub fn message(&self) -> String {
        let mut text = String::new();
        match self {
            Self::Json(_) => text.push_str("not a JSON object"),
            Self::Shape => text.push_str(Self::SHAPE),
            Self::Unknown(name) => {
                text.push_str("unknown frame \"");
                text.push_str(name);
                text.push('"');
            }
            Self::Field(bad) => {
                text.push_str(bad.pointer());
                text.push_str(": ");
                text.push_str(bad.what());
            }
        }
        text
    }

    /// The code to answer with.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Unknown(_) => ErrorCode::UnknownFrame,
            _ => ErrorCode::MalformedFrame,
        }
    }

    /// JSON pointer to what is wrong, where there is one.
    pub fn pointer(&self) -> Option<&str> {
        match self {
            Self::Field(bad) => Some(bad.pointer()),
            _ => None,
        }
    }
}

/// Splits a frame into its kind and body. `None`: optional and without a body this side could know.
fn split<V: Value>(frame: &V) -> Result<(String, V), BadFrame> {
    let names = frame.names();
    let [name] = names.as_slice() else { return Err(BadFrame::Shape) };
    let body = frame.member(name).ok_or(BadFrame::Shape)?;
    Ok((name.clone(), body))
}

/// An unknown kind is passed over if marked optional, else an error.
fn unknown<T>(name: &str) -> Result<Option<T>, BadFrame> {
    if name.starts_with('?') { Ok(None) } else { Err(BadFrame::Unknown(quoted(name).into_owned())) }
}

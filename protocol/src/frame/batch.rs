//! Batches: many events in one message, the same bytes for every session at the same place of a view.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use crate::json::{Raw, Value, write};

/// One event of a batch, as a native client reads it.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// The record's key, if it is text.
    pub key: Option<Cow<'a, str>>,
    /// The envelope's text.
    pub event: &'a str,
}

impl<'a> Entry<'a> {
    /// How many arrays and objects of a `batch` frame lie around an event.
    pub const DEPTH: u32 = 4;

    /// Reads one element of a batch's `entries`.
    pub fn read(entry: &Raw<'a>) -> Option<Self> {
        let key = entry.member("key").and_then(|key| key.text()).map(Cow::Owned);
        Some(Self { key, event: entry.member("event")?.as_str() })
    }

    /// Writes an entry. `filled` names the members the bridge filled in for delivery.
    pub fn write(out: &mut String, key: Option<&str>, filled: &[&str], event: &str) {
        Self::write_with(out, key, filled, |out| out.push_str(event));
    }

    /// Writes an entry whose event is written by `event`.
    pub fn write_with(out: &mut String, key: Option<&str>, filled: &[&str], event: impl FnOnce(&mut String)) {
        // For each event there is: by words that need no look, rather than as an object.
        out.push('{');
        if let Some(key) = key {
            out.push_str(r#""key":"#);
            write::string(out, key);
            out.push(',');
        }
        if !filled.is_empty() {
            out.push_str(r#""filled":"#);
            write::array(out, filled, |out, name| write::string(out, name));
            out.push(',');
        }
        out.push_str(r#""event":"#);
        event(out);
        out.push('}');
    }
}

/// Writes a `batch` frame around entries that are already encoded: the head, the entries joined by
/// commas, the tail. The cursor comes last, because it is known last.
#[derive(Debug)]
pub struct BatchWriter;

impl BatchWriter {
    /// Everything before the entries.
    pub fn head(out: &mut Vec<u8>, view: u32, seq: u64) {
        let mut text = String::with_capacity(64);
        text.push_str(r#"{"batch":{"view":"#);
        write::integer(&mut text, view);
        text.push_str(r#","seq":"#);
        write::integer(&mut text, seq);
        text.push_str(r#","entries":["#);
        out.extend_from_slice(text.as_bytes());
    }

    /// Everything after the entries. `cursor` is base64url, which needs no escapes; `full` says that it is no delta.
    pub fn tail(out: &mut Vec<u8>, cursor: &str, full: bool) {
        out.extend_from_slice(br#"],"cursor":""#);
        out.extend_from_slice(cursor.as_bytes());
        out.extend_from_slice(if full { br#"","full":true}}"# } else { br#""}}"# });
    }
}

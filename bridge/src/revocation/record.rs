//! A revocation as a record: the key is its target, the value says the rest, null lifts it.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use tidegate_gate::{Revocation, Target};
use tidegate_log::{NewRecord, Record};
use tidegate_protocol::timestamp::Millis;

use super::TOPIC;

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Revoked(Revocation),
    Lifted(Target),
    /// The value can't be read: everything issued before the record counts as revoked, which is safe whatever it said.
    Unclear(Revocation, String),
    /// Nobody can say whom it is about.
    Unreadable(String),
}

#[derive(Serialize, Deserialize)]
struct Value {
    issued_before: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Millis>,
}

pub(super) fn encode(revocation: &Revocation) -> NewRecord {
    let Revocation { target, issued_before, reason, until } = revocation;
    let value = Value { issued_before: *issued_before, reason: reason.clone(), until: *until };
    // Text and numbers always are JSON.
    let value = serde_json::to_vec(&value).unwrap_or_default();
    NewRecord { value: Some(value), ..lift(target) }
}

pub(super) fn lift(target: &Target) -> NewRecord {
    NewRecord { topic: TOPIC.into(), key: Some(target.to_string().into()), ..NewRecord::default() }
}

pub(super) fn decode(record: &Record<'_>, now: Millis) -> Said {
    let key = record.key.and_then(|key| std::str::from_utf8(key).ok());
    let target = match key.map(str::parse::<Target>) {
        Some(Ok(target)) => target,
        Some(Err(bad)) => return Said::Unreadable(format!("its key names no target: {bad}")),
        None => return Said::Unreadable("it has no key of text".into()),
    };
    let Some(value) = record.value else { return Said::Lifted(target) };
    match serde_json::from_slice(value) {
        Ok(Value { issued_before, reason, until }) => {
            Said::Revoked(Revocation { target, issued_before, reason, until })
        }
        Err(error) => {
            let issued_before = record.timestamp.unwrap_or(now);
            let reason = Some("its record could not be read".into());
            Said::Unclear(Revocation { target, issued_before, reason, until: None }, error.to_string())
        }
    }
}

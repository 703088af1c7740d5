//! Reading a record as an event: by its topic's format, with the one tenant it belongs to.
//!
//! A record that can not be read is quarantined with its reason: never skipped in silence, never a stall.
//! Two rules hold for every format. What an event lacks and may lack is filled in and named in the entry's
//! `filled`; what it has and is wrong makes it no event.

mod cloudevents;
mod document;
mod envelope;
#[cfg(test)]
mod fixture;
mod identity;
mod json;
#[cfg(test)]
mod properties;
mod tenant;

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::Arc;

use tidegate_gate::{Content, Extractor, Path, Reads};
use tidegate_log::{Record, TopicKey};
use tidegate_protocol::envelope::{Head, Invalid};
use tidegate_protocol::frame::Entry;
use tidegate_protocol::json::write;
use tidegate_protocol::timestamp;

use super::round::{KeptHeaders, Round};
pub use json::{JsonFormat, TypeSource};

const NOT_A_TYPE: &str = "must be words of [A-Za-z0-9_-] joined by dots, at least two";

/// How the records of one physical topic are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Name in grants and clients.
    pub logical: Arc<str>,
    /// Name on the log.
    pub physical: Arc<str>,
    /// The tenant that the physical name contains, if it contains one.
    pub named_tenant: Option<Arc<str>>,
    /// Where the tenant of a record comes from.
    pub tenant: TenantSource,
    /// Whether keys are `tenant/key`.
    pub tenant_key: bool,
    /// How values are read.
    pub format: Format,
    /// What conditions read of its events; `None` if it has no conditions.
    pub reads: Option<Arc<Reads>>,
    /// Largest record, in bytes of what is read of it: key, value and the headers that become members.
    pub max_event: usize,
}

impl TopicSpec {
    /// Whether what was read by this can be decided about by rules that ask for the other.
    pub fn serves(&self, other: &Self) -> bool {
        let kept = match (&self.reads, &other.reads) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(ours), Some(theirs)) => ours.serve(theirs),
        };
        kept && self.max_event == other.max_event && self.same_events(other)
    }

    /// Whether a record is the same event under both, and lies at the same place. What is kept of it for conditions, and
    /// how large it may be, can differ.
    pub fn same_events(&self, other: &Self) -> bool {
        let bare = |spec: &Self| Self { reads: None, max_event: 0, ..spec.clone() };
        bare(self) == bare(other)
    }
}

/// The one place that says whose a record is; all other places must agree with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantSource {
    /// The physical topic's name.
    Name,
    /// A header.
    Header(String),
    /// The key: all of it, or what is before the first `/` where keys are `tenant/key`.
    Key,
    /// The envelope's `tenant_id` (of a `CloudEvent`, the extension `tenantid`; of other JSON, where
    /// [`JsonFormat::tenant`] points).
    Envelope,
    /// Nothing: the topic is public, its events are nobody's, and their tenant in the round is empty. What else
    /// names a tenant says who published, and settles nothing.
    Nobody,
}

/// How a topic's values are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// The Tidegate envelope.
    Envelope,
    /// Any JSON.
    Json(JsonFormat),
    /// `CloudEvents` 1.0, binary or structured mode.
    CloudEvents,
}

/// What a record turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// An event; it is in the round.
    Event,
    /// A null value.
    Tombstone,
    /// No valid event.
    Quarantined(Reason),
}

/// Why a record is no valid event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Larger than the topic allows.
    #[error("too_large: {0} bytes")]
    TooLarge(usize),
    /// Not UTF-8.
    #[error("not_utf8: at byte {0}")]
    NotUtf8(usize),
    /// Not JSON, or not what its format asks for.
    #[error("invalid: {0}")]
    Invalid(String),
    /// Its tenant's place is empty or holds no valid tenant.
    #[error("tenant_missing: {0}")]
    TenantMissing(&'static str),
    /// Two places name different tenants.
    #[error("tenant_mismatch: {0}")]
    TenantMismatch(&'static str),
}

impl Reason {
    /// The reason's stable name, for metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "too_large",
            Self::NotUtf8(_) => "not_utf8",
            Self::Invalid(_) => "invalid",
            Self::TenantMissing(_) => "tenant_missing",
            Self::TenantMismatch(_) => "tenant_mismatch",
        }
    }

    fn invalid(what: impl Display) -> Self {
        let mut text = what.to_string();
        // It may quote a member's name, which may be as long as the record.
        text.truncate(text.floor_char_boundary(240));
        Self::Invalid(text)
    }
}

impl From<Invalid> for Reason {
    fn from(bad: Invalid) -> Self {
        Self::invalid(bad)
    }
}

/// An event as its format read it, before its tenant is settled.
struct Draft<'a> {
    event_type: Cow<'a, str>,
    /// The tenant that the event itself names.
    tenant: Option<Cow<'a, str>>,
    /// The key that readers see, where the format reads one from the value; else it is the record's.
    key: Option<Cow<'a, str>>,
    /// Members to fill in for delivery.
    missing: Vec<(&'static str, Cow<'a, str>)>,
    body: Body<'a>,
}

enum Body<'a> {
    /// The bytes as they are on the log.
    Relayed(Head<'a>),
    /// The members, but `tenant_id`, of an envelope made from something else.
    Made(Vec<(Cow<'a, str>, Value<'a>)>),
}

/// The value of a member.
enum Value<'a> {
    Text(Cow<'a, str>),
    Json(&'a str),
}

/// Reads one record into the round.
pub fn decode(spec: &TopicSpec, topic: TopicKey, record: &Record<'_>, round: &mut Round) -> Outcome {
    let Some(value) = record.value else { return Outcome::Tombstone };
    match read(spec, topic, record, value, round) {
        Ok(()) => Outcome::Event,
        Err(reason) => Outcome::Quarantined(reason),
    }
}

fn read(spec: &TopicSpec, topic: TopicKey, record: &Record<'_>, value: &[u8], round: &mut Round) -> Result<(), Reason> {
    let size = value.len() + record.key.map_or(0, <[u8]>::len);
    if size > spec.max_event {
        return Err(Reason::TooLarge(size));
    }
    let mut draft = match &spec.format {
        Format::Envelope => envelope::read(utf8(value)?, record)?,
        Format::Json(format) => json::read(spec, format, utf8(value)?, record)?,
        Format::CloudEvents => cloudevents::read(spec.max_event - size, value, record)?,
    };
    let named = draft.tenant.take();
    let (tenant, record_key) = tenant::settle(spec, record, named.as_deref())?;
    let shown = if spec.tenant == TenantSource::Nobody { named.as_deref() } else { Some(tenant) };
    if named.is_none() && shown.is_some() && matches!(draft.body, Body::Relayed(_)) {
        draft.missing.push(("tenant_id", Cow::Borrowed(tenant)));
    }
    let key = draft.key.as_deref().or_else(|| record_key.and_then(|key| std::str::from_utf8(key).ok()));
    let place = (topic, record.partition, record.offset);
    round
        .push(place, (tenant, &draft.event_type), key, |out| write_entry(out, key, shown, &draft.missing, &draft.body));
    if let Some(reads) = &spec.reads {
        look(reads, key, record, &draft, round);
    }
    Ok(())
}

/// Keeps what conditions of the topic read beside the event that was just added: the headers that they name, and what
/// lies where indexes look.
fn look(reads: &Arc<Reads>, key: Option<&str>, record: &Record<'_>, draft: &Draft<'_>, round: &mut Round) {
    let headers = kept_headers(reads, record);
    let content = |event| Content::new(event, key, &headers, 0);
    // What lies in a member that is relayed as it is, its decoder has found already.
    let as_is = |path: &Path| {
        let first = path.members().and_then(<[_]>::first);
        first.is_none_or(|first| !draft.missing.iter().any(|(name, _)| **name == **first))
    };
    match &draft.body {
        Body::Relayed(head) if reads.paths.iter().all(as_is) => {
            let (beside, mut inside) = (content(""), Extractor::new(head));
            round.detail_last(
                reads,
                reads.paths.iter().map(|path| match path.members() {
                    Some(_) => inside.extract(path),
                    None => beside.extract(path),
                }),
            );
        }
        _ => {
            let event = content(round.entries.last().map_or("", |entry| round.event(entry)));
            let found: Vec<_> = reads.paths.iter().map(|path| event.extract(path).into_owned()).collect();
            round.detail_last(reads, found);
        }
    }
    round.keep_headers(headers);
}

fn kept_headers(reads: &Reads, record: &Record<'_>) -> KeptHeaders {
    let mut kept = KeptHeaders::default();
    if !reads.headers.is_empty() {
        record.headers.visit(&mut |name, value| {
            if reads.headers.iter().any(|wanted| **wanted == *name) {
                kept.0.push((name.into(), value.map(Into::into)));
            }
            true
        });
    }
    kept
}

fn write_entry(
    out: &mut String,
    key: Option<&str>,
    tenant: Option<&str>,
    missing: &[(&str, Cow<'_, str>)],
    body: &Body<'_>,
) -> std::ops::Range<usize> {
    let mut event_at = 0..0;
    let filled: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    Entry::write_with(out, key, &filled, |out| {
        let from = out.len();
        match body {
            Body::Relayed(head) if filled.is_empty() => out.push_str(head.source()),
            Body::Relayed(head) => head.splice_into(out, missing),
            Body::Made(members) => {
                let mut event = write::Object::begin(out);
                event.optional_text("tenant_id", tenant);
                for (name, value) in missing {
                    event.text(name, value);
                }
                for (name, value) in members {
                    match value {
                        Value::Text(text) => event.text(name, text),
                        Value::Json(json) => event.raw(name, json),
                    }
                }
                event.end();
            }
        }
        event_at = from..out.len();
    });
    event_at
}

fn utf8(value: &[u8]) -> Result<&str, Reason> {
    std::str::from_utf8(value).map_err(|bad| Reason::NotUtf8(bad.valid_up_to()))
}

/// The log's own time of a record, for events that name none.
fn time_of(record: &Record<'_>) -> String {
    timestamp::format(record.timestamp.unwrap_or_default())
}

/// An RFC 3339 time in UTC, as it was written where it was written so.
fn utc(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    let at = timestamp::parse(&text)?;
    let as_is = text.ends_with('Z') && text.as_bytes()[10] == b'T';
    Some(if as_is { text } else { Cow::Owned(timestamp::format(at)) })
}

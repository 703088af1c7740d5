//! Publishing: what becomes of an event that somebody offers, whichever way it came. Validate, entitle, limit, stamp:
//! what is refused is named by JSON pointer, what is not is a record.

use std::sync::Arc;

use tidegate_gate::{Account, Content, Facts, Header, Positions, Principal, PublishAccess, PublishLimit, Unanswered};
use tidegate_log::NewRecord;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::envelope::{Head, Invalid, Stamp, Stamped};
use tidegate_protocol::frame::Failed;
use tidegate_protocol::timestamp::{self, Millis};
use tidegate_protocol::{headers, ids};

use super::{Moment, Options, Rules};
use crate::feed::PublishForm;

/// Publishes of one publisher that the log has not answered.
pub const MAX_UNANSWERED: u32 = 256;

/// Said of an event that no grant's condition allows.
const NOT_THIS_EVENT: &str = "this event may not be published here";

/// What publishing depends on, at one moment.
pub struct Desk<'a> {
    /// Who may do what, and how records are written.
    pub rules: &'a Rules,
    /// What events must stay within.
    pub options: &'a Options,
    /// When.
    pub moment: Moment,
    /// Whether the log can be reached.
    pub log_available: bool,
}

/// Who publishes: what it may still, and what it waits for.
#[derive(Debug)]
pub struct Publisher {
    account: Arc<Account>,
    limit: PublishLimit,
    unanswered: u32,
}

/// Who offers an event.
#[derive(Debug, Clone, Copy)]
pub struct Author<'a> {
    /// Who it is.
    pub principal: &'a Principal,
    /// The client's own name for itself.
    pub client: Option<&'a str>,
}

/// An event that is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offering {
    /// Logical topic.
    pub topic: Arc<str>,
    /// What must stay in order, unless the envelope's own default will do.
    pub key: Option<String>,
    /// The event's JSON text.
    pub event: String,
    /// The id that it must have, given beside it.
    pub id: Option<String>,
}

/// An event that goes onto the log, and what its publisher is told then.
#[derive(Debug)]
pub struct Accepted {
    /// What goes onto the log.
    pub record: NewRecord,
    /// What is told.
    pub receipt: Receipt,
    /// Its room among those that wait for the log, to be held until it has answered.
    pub unanswered: Unanswered,
}

/// What the publisher of an event is told when the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The event's id.
    pub id: String,
    /// Its correlation id.
    pub correlation_id: String,
    /// Whether the publisher is shown the position.
    pub raw: bool,
}

impl Publisher {
    /// One that has published nothing yet.
    pub fn new(account: Arc<Account>, options: &Options, now: Millis) -> Self {
        let limit = PublishLimit::new(options.publish_events, options.publish_bytes, now);
        Self { account, limit, unanswered: 0 }
    }

    /// The log has answered one of its publishes.
    pub fn answered(&mut self) {
        self.unanswered = self.unanswered.saturating_sub(1);
    }

    /// Whether it may be forgotten: a new one could do no more.
    pub fn is_fresh(&mut self, now: Millis) -> bool {
        self.unanswered == 0 && self.limit.is_full(now)
    }
}

fn invalid(bad: Invalid) -> Failed {
    let text = if bad.pointer.is_empty() { bad.what.to_string() } else { bad.to_string() };
    Failed { pointer: Some(bad.pointer), ..Failed::new(ErrorCode::InvalidEvent, text) }
}

impl Desk<'_> {
    /// Decides about an event; the one that is accepted is counted as unanswered. A pointer is from the event's own root.
    pub fn accept(
        &self,
        author: Author<'_>,
        publisher: &mut Publisher,
        offering: Offering,
    ) -> Result<Accepted, Failed> {
        let Offering { topic, key: given, event, id: demanded } = offering;
        let now = self.moment.now;
        let limit = self.options.limits.event_bytes;
        if event.len() as u64 > limit {
            let text = format!("the event has {} bytes; at most {limit} are allowed", event.len());
            return Err(Failed::new(ErrorCode::EventTooLarge, text));
        }
        let policy = &self.rules.policy;
        let denied = |error: tidegate_gate::Denied| Failed::new(ErrorCode::Denied, error.to_string());
        let offer = policy.offer(author.principal, &topic).map_err(denied)?;
        let Some(form) = self.rules.topics.form(offer.topic()) else {
            return Err(Failed::new(ErrorCode::Unsupported, "only topics of the envelope format can be published to"));
        };
        publisher.account.publish(&mut publisher.limit, event.len() as u64, now).map_err(|after| Failed {
            retry_after_ms: Some(after.0),
            ..Failed::new(ErrorCode::RateLimited, after.to_string())
        })?;
        if publisher.unanswered >= MAX_UNANSWERED || publisher.account.may_wait(now).is_err() {
            let text = "too many publishes are unanswered; wait for their answers";
            return Err(Failed::new(ErrorCode::RateLimited, text));
        }
        if !self.log_available {
            return Err(Failed::new(ErrorCode::LogUnavailable, "the log can not be reached right now"));
        }
        let head = Head::read(&event).map_err(invalid)?;
        head.check(now, self.options.skew).map_err(invalid)?;
        let fresh = || ids::uuid_v7(now.cast_unsigned(), self.moment.entropy);
        let id = demanded.clone().unwrap_or_else(fresh);
        let stamp =
            Stamp { tenant: offer.tenant(), subject: offer.subject(), id: &id, timestamp: &timestamp::format(now) };
        let stamped = head.stamp(&stamp).map_err(invalid)?;
        if demanded.is_some_and(|id| !id.eq_ignore_ascii_case(&stamped.id)) {
            let text = "/id: is another than the one that was given beside the event";
            return Err(Failed { pointer: Some("/id".into()), ..Failed::new(ErrorCode::InvalidEvent, text) });
        }
        let raw = policy.positions(author.principal, &topic) == Positions::Raw;
        let receipt = Receipt { id: stamped.id.clone(), correlation_id: stamped.correlation_id.clone(), raw };
        let key = match form {
            // What is decided about is what readers will see.
            PublishForm::KeyIsTenant => offer.tenant().to_string(),
            _ => given.unwrap_or_else(|| stamped.key.clone()),
        };
        let headers = headers(form, offer.tenant(), author.client, &stamped);
        let offered =
            Offered { tenant: offer.tenant().clone(), content: Content::new(&stamped.text, Some(&key), &headers, now) };
        // No word on which condition: what a page may find out is that it may not.
        let access = offer.admit(&offered).map_err(|_| Failed::new(ErrorCode::Denied, NOT_THIS_EVENT))?;
        let Headers(headers) = headers;
        publisher.unanswered += 1;
        let record = record(form, &access, &key, stamped.text, headers);
        Ok(Accepted { record, receipt, unanswered: publisher.account.unanswered() })
    }
}

/// An event that is offered, as conditions look at it.
struct Offered<'a> {
    tenant: Arc<str>,
    content: Content<'a>,
}

impl Facts for Offered<'_> {
    fn topic(&self) -> &'static str {
        // Leave to publish is bound to its topic already.
        ""
    }

    fn tenant(&self) -> &str {
        &self.tenant
    }

    fn content(&self) -> Option<&Content<'_>> {
        Some(&self.content)
    }
}

/// The headers of a record that is made here.
struct Headers(Vec<(String, Option<Vec<u8>>)>);

impl tidegate_gate::Headers for Headers {
    fn last(&self, name: &str) -> Header<'_> {
        match self.0.iter().rev().find(|(known, _)| known == name) {
            None => Header::Missing,
            Some((_, None)) => Header::Null,
            Some((_, Some(value))) => Header::Value(value),
        }
    }
}

/// Headers for others to read.
fn headers(form: &PublishForm, tenant: &str, client: Option<&str>, event: &Stamped) -> Headers {
    let text = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
    let mut all = vec![
        text(headers::ID, &event.id),
        text(headers::TYPE, &event.event_type),
        text(headers::TENANT, tenant),
        text(headers::CORRELATION_ID, &event.correlation_id),
    ];
    if let Some(client) = client {
        all.push(text(headers::CLIENT, client));
    }
    all.push(text(headers::CONTENT_TYPE, headers::JSON));
    if let Some(traceparent) = &event.traceparent {
        all.push(text(headers::TRACEPARENT, traceparent));
    }
    if let PublishForm::Plain { tenant_header: Some(name) } | PublishForm::TenantKey { tenant_header: Some(name) } =
        form
        && name != headers::TENANT
    {
        all.push(text(name, tenant));
    }
    Headers(all)
}

/// The record of an event that may be published; `key` is the one that readers see.
fn record(
    form: &PublishForm,
    access: &PublishAccess,
    key: &str,
    value: String,
    headers: Vec<(String, Option<Vec<u8>>)>,
) -> NewRecord {
    let tenant = access.tenant();
    let key = match form {
        PublishForm::TenantKey { .. } => format!("{tenant}/{key}"),
        PublishForm::Plain { .. } | PublishForm::KeyIsTenant => key.to_owned(),
    };
    NewRecord {
        topic: access.physical().to_string(),
        key: Some(key.into_bytes()),
        value: Some(value.into_bytes()),
        headers,
    }
}

//! Publishing: validate, entitle, limit, stamp, append. What is refused is named by JSON pointer.

use std::sync::Arc;

use tidegate_gate::{Content, Facts, Header, Positions, PublishAccess};
use tidegate_log::{AppendError, Appended, NewRecord};
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::envelope::{Head, Stamp, Stamped};
use tidegate_protocol::frame::{Failed, Publish, Published, ServerFrame};
use tidegate_protocol::{headers, ids, timestamp};

use super::shard::Shard;
use super::{Effect, PublishKey, SessionKey};
use crate::feed::PublishForm;

/// Publishes of one session that the log has not answered.
const MAX_PUBLISHING: u32 = 256;

/// Said of an event that no grant's condition allows.
const NOT_THIS_EVENT: &str = "this event may not be published here";

impl Shard {
    pub(super) fn publish(&mut self, key: SessionKey, publish: Publish) {
        let request = publish.id;
        match self.prepare(key, publish) {
            Ok((publish_key, record)) => {
                if let Some(session) = self.sessions.get_mut(key) {
                    session.publishing += 1;
                }
                self.effects.push(Effect::Append(publish_key, record));
            }
            Err(failed) => self.refuse(key, failed.answering(request)),
        }
    }

    fn prepare(&mut self, key: SessionKey, publish: Publish) -> Result<(PublishKey, NewRecord), Failed> {
        let Publish { id: request, topic, key: given, event, again } = publish;
        let now = self.moment.now;
        let Some(session) = self.sessions.get_mut(key) else {
            return Err(Failed::new(ErrorCode::Internal, "the session is over"));
        };
        if again {
            return Err(Failed::new(ErrorCode::Unsupported, "publishing again is not served by this bridge yet"));
        }
        let limit = self.options.limits.event_bytes;
        if event.len() as u64 > limit {
            let text = format!("the event has {} bytes; at most {limit} are allowed", event.len());
            return Err(Failed::new(ErrorCode::EventTooLarge, text));
        }
        let denied = |error: tidegate_gate::Denied| Failed::new(ErrorCode::Denied, error.to_string());
        let offer = self.rules.policy.offer(&session.principal, &topic).map_err(denied)?;
        let Some(form) = self.rules.forms.get(offer.topic()) else {
            return Err(Failed::new(ErrorCode::Unsupported, "only topics of the envelope format can be published to"));
        };
        let slow = |after: tidegate_gate::RetryAfter| Failed::new(ErrorCode::RateLimited, after.to_string());
        session.publish_limit.take(event.len() as u64, now).map_err(slow)?;
        if session.publishing >= MAX_PUBLISHING {
            return Err(Failed::new(
                ErrorCode::RateLimited,
                "too many publishes are unanswered; wait for their answers",
            ));
        }
        if !self.log_available {
            return Err(Failed::new(ErrorCode::LogUnavailable, "the log can not be reached right now"));
        }
        let invalid = |bad: tidegate_protocol::envelope::Invalid| Failed {
            pointer: Some(format!("/publish/event{}", bad.pointer)),
            ..Failed::new(ErrorCode::InvalidEvent, bad.to_string())
        };
        let head = Head::read(&event).map_err(invalid)?;
        head.check(now, self.options.skew).map_err(invalid)?;
        let id = ids::uuid_v7(now.cast_unsigned(), self.moment.entropy);
        let stamp =
            Stamp { tenant: offer.tenant(), subject: offer.subject(), id: &id, timestamp: &timestamp::format(now) };
        let stamped = head.stamp(&stamp).map_err(invalid)?;
        let raw = self.rules.policy.positions(&session.principal, &topic) == Positions::Raw;
        let publish_key = PublishKey {
            session: key,
            request,
            event_id: stamped.id.clone(),
            correlation_id: stamped.correlation_id.clone(),
            raw,
        };
        let key = given.unwrap_or_else(|| stamped.key.clone());
        let headers = headers(form, offer.tenant(), &session.client, &stamped);
        let offered =
            Offered { tenant: offer.tenant().clone(), content: Content::new(&stamped.text, Some(&key), &headers, now) };
        // No word on which condition: what a page may find out is that it may not.
        let access = offer.admit(&offered).map_err(|_| Failed::new(ErrorCode::Denied, NOT_THIS_EVENT))?;
        let Headers(headers) = headers;
        Ok((publish_key, record(form, &access, &key, stamped.text, headers)))
    }

    /// The log has answered a publish.
    pub(super) fn appended(&mut self, key: &PublishKey, outcome: Result<Appended, AppendError>) {
        let Some(session) = self.sessions.get_mut(key.session) else { return };
        session.publishing = session.publishing.saturating_sub(1);
        match outcome {
            Ok(at) => {
                let position = key.raw.then(|| (at.partition.cast_unsigned(), at.offset.cast_unsigned()));
                let published = Published {
                    id: key.request,
                    event_id: key.event_id.clone(),
                    correlation_id: key.correlation_id.clone(),
                    position,
                };
                self.say(key.session, &ServerFrame::Published(published));
            }
            Err(error) => {
                let code = match error {
                    AppendError::Full | AppendError::Unavailable(_) => ErrorCode::LogUnavailable,
                    AppendError::Rejected(_) => ErrorCode::LogRejected,
                };
                self.refuse(key.session, Failed::new(code, error.to_string()).answering(key.request));
            }
        }
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
fn headers(form: &PublishForm, tenant: &str, client: &str, event: &Stamped) -> Headers {
    let text = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
    let mut all = vec![
        text(headers::ID, &event.id),
        text(headers::TYPE, &event.event_type),
        text(headers::TENANT, tenant),
        text(headers::CORRELATION_ID, &event.correlation_id),
        text(headers::CLIENT, client),
        text(headers::CONTENT_TYPE, headers::JSON),
    ];
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
        PublishForm::KeyIsTenant => tenant.to_string(),
        PublishForm::TenantKey { .. } => format!("{tenant}/{key}"),
        PublishForm::Plain { .. } => key.to_owned(),
    };
    NewRecord {
        topic: access.physical().to_string(),
        key: Some(key.into_bytes()),
        value: Some(value.into_bytes()),
        headers,
    }
}

//! Publishing: validate, entitle, limit, stamp, append. What is refused is named by JSON pointer.

use tidegate_gate::{Positions, PublishAccess};
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
        let access = self.rules.policy.publish(&session.principal, &topic).map_err(denied)?;
        let Some(form) = self.rules.forms.get(access.topic()) else {
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
            Stamp { tenant: access.tenant(), subject: access.subject(), id: &id, timestamp: &timestamp::format(now) };
        let stamped = head.stamp(&stamp).map_err(invalid)?;
        let raw = self.rules.policy.positions(&session.principal, &topic) == Positions::Raw;
        let publish_key = PublishKey {
            session: key,
            request,
            event_id: stamped.id.clone(),
            correlation_id: stamped.correlation_id.clone(),
            raw,
        };
        Ok((publish_key, record(form, &access, &session.client, given, stamped)))
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

/// The record of a stamped event: value, key, and headers for others to read.
fn record(
    form: &PublishForm,
    access: &PublishAccess,
    client: &str,
    given: Option<String>,
    event: Stamped,
) -> NewRecord {
    let tenant = access.tenant();
    let key = match form {
        PublishForm::KeyIsTenant => tenant.to_string(),
        PublishForm::TenantKey { .. } => format!("{tenant}/{}", given.unwrap_or(event.key)),
        PublishForm::Plain { .. } => given.unwrap_or(event.key),
    };
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
    NewRecord {
        topic: access.physical().to_string(),
        key: Some(key.into_bytes()),
        value: Some(event.text.into_bytes()),
        headers: all,
    }
}

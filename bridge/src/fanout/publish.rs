//! Publishes of sessions, and the log's answers to whoever published.

use std::sync::Arc;

use tidegate_log::{AppendError, Appended};
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::frame::{Failed, Publish, Published, ServerFrame};

use super::publishing::{Accepted, Author, Desk, Offering, Receipt};
use super::shard::Shard;
use super::{Effect, Origin, PublishKey, SessionKey};

impl Shard {
    pub(super) fn publish(&mut self, key: SessionKey, publish: Publish) {
        let request = publish.id;
        match self.accept_publish(key, publish) {
            Ok(Accepted { record, receipt, unanswered }) => {
                let origin = Origin::Session { session: key, request };
                self.effects.push(Effect::Append(PublishKey { origin, receipt }, record, unanswered));
            }
            Err(mut failed) => {
                failed.pointer = failed.pointer.map(|pointer| format!("/publish/event{pointer}"));
                self.refuse(key, failed.answering(request));
            }
        }
    }

    fn accept_publish(&mut self, key: SessionKey, publish: Publish) -> Result<Accepted, Failed> {
        let Publish { topic, key: given, event, again, .. } = publish;
        let Some(session) = self.sessions.get_mut(key) else {
            return Err(Failed::new(ErrorCode::Internal, "the session is over"));
        };
        if again {
            return Err(Failed::new(ErrorCode::Unsupported, "publishing again is not served by this bridge yet"));
        }
        let desk =
            Desk { rules: &self.rules, options: &self.options, moment: self.moment, log_available: self.log_available };
        let author = Author { principal: &session.principal, client: Some(&session.client) };
        let offering = Offering { topic: Arc::from(topic), key: given, event, id: None };
        desk.accept(author, &mut session.publisher, offering)
    }

    /// The log has answered a publish.
    pub(super) fn appended(&mut self, key: PublishKey, outcome: Result<Appended, AppendError>) {
        let PublishKey { origin, receipt } = key;
        let outcome = outcome.map_err(|error| {
            let code = match error {
                AppendError::Full | AppendError::Unavailable(_) => ErrorCode::LogUnavailable,
                AppendError::Rejected(_) => ErrorCode::LogRejected,
            };
            Failed::new(code, error.to_string())
        });
        match origin {
            Origin::Session { session: key, request } => {
                let Some(session) = self.sessions.get_mut(key) else { return };
                session.publisher.answered();
                match outcome {
                    Ok(at) => {
                        let Receipt { id: event_id, correlation_id, raw } = receipt;
                        let position = raw.then(|| (at.partition.cast_unsigned(), at.offset.cast_unsigned()));
                        let published = Published { id: request, event_id, correlation_id, position };
                        self.say(key, &ServerFrame::Published(published));
                    }
                    Err(failed) => self.refuse(key, failed.answering(request)),
                }
            }
            Origin::Request { ticket, item } => self.item_appended(ticket, item, receipt, outcome),
        }
    }
}

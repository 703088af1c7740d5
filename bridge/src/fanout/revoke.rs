//! Revocation: sessions end at once, and what waits for their sockets is taken back.

use tidegate_gate::Revocation;
use tidegate_protocol::code::{self, CloseCode, ErrorCode};
use tidegate_protocol::frame::Failed;

use super::SessionKey;
use super::shard::Shard;

impl Shard {
    /// Ends every session that the revocation speaks of.
    pub(super) fn revoke(&mut self, revocation: &Revocation) {
        let ends = self.sessions.iter().filter(|(_, session)| revocation.ends(&session.principal, &session.id));
        let ended: Vec<SessionKey> = ends.map(|(key, _)| key).collect();
        for key in ended {
            self.end_revoked(key);
        }
    }

    /// Ends a session whose token, good when it was verified, has been revoked since: that revocation came before the
    /// session was there to be found, or before it had this token.
    pub(super) fn check_revoked(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get(key) else { return };
        if self.options.revocations.ends(&session.principal, &session.id) {
            self.end_revoked(key);
        }
    }

    fn end_revoked(&mut self, key: SessionKey) {
        self.cut(key, Failed::new(ErrorCode::Revoked, "the token or the session was revoked"), code::REVOKED);
    }

    /// Ends a session that may not be told anything more: only why is still written.
    pub(super) fn cut(&mut self, key: SessionKey, why: Failed, code: CloseCode) {
        let Some(session) = self.sessions.get(key) else { return };
        session.outbox.borrow_mut().cut();
        self.refuse(key, why);
        self.end(key, code);
    }
}

//! The one place where tokens are taken: they verify, and they are not revoked.

use std::sync::Arc;

use tidegate_protocol::timestamp::Millis;

use crate::{KeyError, Principal, Revocations, TokenError, Tokens};

/// Verifies tokens and asks what was revoked. Every way in (a handshake, a token renewed in place, a request) asks here.
#[derive(Debug)]
pub struct Verifier {
    tokens: Tokens,
    revocations: Arc<Revocations>,
}

impl Verifier {
    /// Of these tokens, as far as they are not revoked.
    pub fn new(tokens: Tokens, revocations: Arc<Revocations>) -> Self {
        Self { tokens, revocations }
    }

    /// Who the token speaks for, if it is good at `now`.
    ///
    /// A revocation may come right afterwards: whoever opens a session asks [`Revocations::ends`] once more when
    /// later ones would find it.
    pub async fn verify(&self, token: &str, now: Millis) -> Result<Principal, TokenError> {
        // Without knowing what was revoked nothing can be said, and no key need be fetched.
        self.revocations.known().map_err(TokenError::RevocationsUnknown)?;
        let principal = self.tokens.verify(token, now).await?;
        self.revocations.check(&principal)?;
        Ok(principal)
    }

    /// What was revoked.
    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// What tokens must be like, to be exchanged.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// See [`Tokens::refresh`].
    pub async fn refresh(&self, now: Millis) -> Result<(), KeyError> {
        self.tokens.refresh(now).await
    }
}

//! Why a token or a key was refused: in full for the operator, in a few fixed words for the page.

use std::path::PathBuf;
use std::sync::Arc;

use tidegate_protocol::code::ErrorCode;

use crate::{Algorithm, Target};

/// A token that was refused. [`Display`](std::fmt::Display) is for the operator's log;
/// the page is told [`code`](Self::code) and [`public`](Self::public), which name nothing of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than `max_bytes`; not looked into.
    #[error("the token has {bytes} bytes, more than the {limit} allowed")]
    Oversize {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// Not a signed JWT.
    #[error("not a signed JWT: {0}")]
    Malformed(&'static str),
    /// Signed with an algorithm that is not allowed here.
    #[error("the token's algorithm {0:?} is not among tokens.algorithms")]
    Algorithm(String),
    /// No key here is the one it names, for its algorithm.
    #[error("no {algorithm} key with kid {kid:?} is known")]
    UnknownKey {
        /// The token's algorithm.
        algorithm: Algorithm,
        /// The key that it names.
        kid: Option<String>,
    },
    /// The signature does not fit.
    #[error("the {algorithm} signature does not verify (kid {kid:?})")]
    Signature {
        /// The token's algorithm.
        algorithm: Algorithm,
        /// The key that it names.
        kid: Option<String>,
    },
    /// `exp` has passed.
    #[error("the token expired {0} ms ago, beyond the allowed skew")]
    Expired(i64),
    /// `nbf` or `iat` lies in the future.
    #[error("the token's {claim} lies {ahead_ms} ms in the future, beyond the allowed skew")]
    NotYet {
        /// Which claim.
        claim: &'static str,
        /// By how much.
        ahead_ms: i64,
    },
    /// `iss` is not `tokens.issuer`.
    #[error("the token's issuer {0:?} is not tokens.issuer")]
    Issuer(Option<String>),
    /// `aud` does not name `tokens.audience`.
    #[error("the token's audience is not tokens.audience")]
    Audience,
    /// `aud` is there, and nothing says who we are.
    #[error("the token is meant for an audience, but tokens.audience is not set")]
    AudienceNotSet,
    /// A claim that is missing or of no use.
    #[error("claim {claim:?} {problem}")]
    Claim {
        /// Which claim, as configured.
        claim: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// It is good, but was revoked.
    #[error("the token is revoked: {0}")]
    Revoked(Target),
    /// What has been revoked is not known, yet or any more.
    #[error("what has been revoked is not known: {0}")]
    RevocationsUnknown(Arc<str>),
    /// There are no keys to verify with, yet or at all.
    #[error("keys can not be had: {0}")]
    KeysUnavailable(String),
}

impl TokenError {
    /// The code that the page is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Expired(_) => ErrorCode::TokenExpired,
            Self::KeysUnavailable(_) => ErrorCode::KeysUnavailable,
            Self::Revoked(_) => ErrorCode::Revoked,
            Self::RevocationsUnknown(_) => ErrorCode::NotReady,
            _ => ErrorCode::InvalidToken,
        }
    }

    /// The text that the page is told.
    pub fn public(&self) -> &'static str {
        match self.code() {
            ErrorCode::TokenExpired => "the token has expired",
            ErrorCode::KeysUnavailable => "tokens can not be verified right now",
            ErrorCode::Revoked => "the token was revoked",
            ErrorCode::NotReady => "this node takes no sessions right now; come back, perhaps to another",
            _ => "the token is not valid here",
        }
    }
}

/// Keys that can not be used or had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The file can not be read.
    #[error("{}: {problem}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// A shared secret that is too weak or no secret.
    #[error("{0}")]
    Secret(&'static str),
    /// A key that is not of use.
    #[error("{0}")]
    Key(String),
    /// A key that none of the allowed algorithms uses.
    #[error("the key is for {found}, which is not among tokens.algorithms")]
    Algorithm {
        /// What it is for.
        found: Algorithm,
    },
    /// No key in a set that could ever verify a token here.
    #[error("no usable key for any of tokens.algorithms")]
    Empty,
    /// The set of keys could not be fetched.
    #[error("{url}: {problem}")]
    Fetch {
        /// From where.
        url: String,
        /// Why.
        problem: String,
    },
}

//! Revocations on the log: every node reads them from the beginning before it takes sessions, then follows them.
//!
//! ```text
//!  admin API ── revoke, lift ──► log: _tidegate.revocations ──► follow (a thread) ──► the set, then every shard
//! ```
//!
//! The topic is compacted: the key is the target (`subject/acme/ada`), the value says since when, null lifts. Nobody's
//! memory but the log's has to be trusted: whoever restarts reads it again.

mod follow;
mod record;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tidegate_gate::{Revocation, Revocations, Target};
use tidegate_log::{AppendError, Appended, Log, NewRecord, Offsets};
use tidegate_protocol::timestamp::Millis;
use tokio::sync::{oneshot, watch};

pub use follow::{Follower, FollowerHandle, Tell};

/// Where revocations lie.
pub const TOPIC: &str = "_tidegate.revocations";

/// Revocations that may be held; those on the log are, however many they are.
const MOST: usize = 100_000;

/// How far in the future `issued_before` may lie, for issuers whose clocks are ahead.
const AHEAD: Millis = 300_000;

/// How long a session's revocation is remembered: longer than any node may lie behind and still serve.
const SESSION: Millis = 24 * 3_600_000;

/// How long this node may take to read what it wrote.
const READ_BACK: Duration = Duration::from_secs(5);

/// Writes revocations to the log.
pub struct Revoker {
    /// The log.
    pub log: Arc<dyn Log>,
    /// What this node has read.
    pub revocations: Arc<Revocations>,
    /// How far it has read; `None`: it reads none.
    pub position: Option<watch::Receiver<Offsets>>,
    /// How long after now a token that there is can be good, in milliseconds.
    pub token_life: TokenLife,
}

/// Says how long tokens live: a reload may change it.
pub type TokenLife = Box<dyn Fn() -> Option<Millis> + Send + Sync>;

/// What is to be revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Whose tokens, or which session.
    pub target: Target,
    /// Issued before then; without, now.
    pub issued_before: Option<Millis>,
    /// Why.
    pub reason: Option<Arc<str>>,
    /// When it may be forgotten, if the caller knows how long tokens live.
    pub until: Option<Millis>,
}

/// A change that is on the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// What holds now; `None`: it was lifted.
    pub revocation: Option<Arc<Revocation>>,
    /// Where it lies.
    pub at: Appended,
    /// This node has read it, and acted.
    pub applied: bool,
}

/// A change that can not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RevokeError {
    /// The configuration says that this bridge reads none.
    #[error("revocation.enabled is false in this bridge's configuration: it neither writes nor heeds revocations")]
    Disabled,
    /// It is not known what holds already.
    #[error("this node does not know what has been revoked ({0}); try another, or again")]
    NotReady(Arc<str>),
    /// There is nothing to lift.
    #[error("{0} is not revoked")]
    NotRevoked(Target),
    /// There are too many.
    #[error(
        "{MOST} revocations are held: revoke whole tenants, lift what is over, or set tokens.max_life so that they are \
         forgotten when no token they speak of can be good"
    )]
    Full,
    /// It speaks of tokens of the future.
    #[error("issued_before lies more than {} s in the future", AHEAD / 1000)]
    Ahead,
    /// It would be forgotten at once.
    #[error("until lies in the past")]
    Over,
    /// The log did not take it.
    #[error(transparent)]
    Log(#[from] AppendError),
}

impl Revoker {
    /// Puts a revocation on the log, and waits until it lies there and this node has acted. What was said of the target
    /// before is never weakened.
    pub async fn revoke(&self, wanted: Wanted, now: Millis) -> Result<Written, RevokeError> {
        self.ready()?;
        let Wanted { target, issued_before, reason, until } = wanted;
        let issued_before = issued_before.unwrap_or(now);
        if issued_before > now + AHEAD {
            return Err(RevokeError::Ahead);
        }
        if until.is_some_and(|until| until <= now) {
            return Err(RevokeError::Over);
        }
        let before = self.revocations.get(&target);
        if before.is_none() && self.revocations.len() >= MOST {
            return Err(RevokeError::Full);
        }
        let until = until.or_else(|| self.until(&target, issued_before.max(now)));
        let revocation = Arc::new(match before {
            None => Revocation { target, issued_before, reason, until },
            Some(before) => Revocation {
                target,
                issued_before: issued_before.max(before.issued_before),
                reason: reason.or_else(|| before.reason.clone()),
                until: until.zip(before.until).map(|(new, old)| new.max(old)),
            },
        });
        self.write(record::encode(&revocation), Some(revocation)).await
    }

    /// Lifts what was said of a target: its tokens are good again, as far as they have not expired.
    pub async fn lift(&self, target: &Target) -> Result<Written, RevokeError> {
        self.ready()?;
        if self.revocations.get(target).is_none() {
            return Err(RevokeError::NotRevoked(target.clone()));
        }
        self.write(record::lift(target), None).await
    }

    fn ready(&self) -> Result<(), RevokeError> {
        if self.position.is_none() {
            return Err(RevokeError::Disabled);
        }
        self.revocations.known().map_err(RevokeError::NotReady)
    }

    /// When no token that the target speaks of can be good any more.
    fn until(&self, target: &Target, from: Millis) -> Option<Millis> {
        match target {
            Target::Session(_) => Some(from + SESSION),
            // The second in which it may have been issued counts as a whole.
            _ => (self.token_life)().map(|life| from.saturating_add(life).saturating_add(1000)),
        }
    }

    async fn write(&self, record: NewRecord, revocation: Option<Arc<Revocation>>) -> Result<Written, RevokeError> {
        let (done, outcome) = oneshot::channel();
        self.log.append(record, Box::new(move |outcome| drop(done.send(outcome))));
        let gone = || AppendError::Unavailable("it went away".into());
        let at = outcome.await.map_err(|_| gone())??;
        let applied = match self.position.clone() {
            None => false,
            Some(mut position) => {
                let read = position.wait_for(|read| read.get(&at.partition).is_some_and(|next| *next > at.offset));
                matches!(tokio::time::timeout(READ_BACK, read).await, Ok(Ok(_)))
            }
        };
        Ok(Written { revocation, at, applied })
    }
}

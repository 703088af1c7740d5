//! Revocation: tokens that are refused before they expire, and sessions that end.
//!
//! A revocation is (target, `issued_before`). A token is refused if its id was revoked, or if its subject or tenant was
//! and it was issued before that; newer ones pass. `iat` has whole seconds, so a token of the very second counts as
//! issued before, and one without `iat` as issued at the beginning of time.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tidegate_protocol::ids;
use tidegate_protocol::timestamp::Millis;

use crate::{Principal, TokenError};

/// What is refused, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Whose tokens.
    pub target: Target,
    /// Tokens issued in the second of this time or earlier. Of no meaning for a token's id and for a session.
    pub issued_before: Millis,
    /// Why, for those who look later.
    pub reason: Option<Arc<str>>,
    /// From then on no token that it speaks of can be good: it may be forgotten. `None`: it never may.
    pub until: Option<Millis>,
}

/// Whom a revocation speaks of. As text it is the record's key on the log: `subject/acme/ada`.
///
/// ```
/// # use tidegate_gate::Target;
/// let ada: Target = "subject/acme/ada".parse().unwrap();
/// assert_eq!(ada, Target::new("subject", Some("acme"), Some("ada")).unwrap());
/// assert_eq!(ada.to_string(), "subject/acme/ada");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// All of a tenant.
    Tenant(Arc<str>),
    /// One subject of a tenant; a subject of that name of another tenant is somebody else.
    Subject(Arc<str>, Arc<str>),
    /// One token of a tenant, by its `jti`.
    Token(Arc<str>, Arc<str>),
    /// One session, by its id. It ends; its token stays good for another one.
    Session(Arc<str>),
}

/// A target that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadTarget(&'static str);

/// Longest subject, token id or session id that can be revoked.
const MAX_VALUE: usize = 1024;

impl Target {
    /// The target of that kind (`tenant`, `subject`, `token`, `session`); `value` is what the kind names.
    pub fn new(kind: &str, tenant: Option<&str>, value: Option<&str>) -> Result<Self, BadTarget> {
        let tenant = tenant.filter(|tenant| !tenant.is_empty());
        if tenant.is_some_and(|tenant| !ids::is_tenant(tenant)) {
            return Err(BadTarget("tenant must be 1 to 64 letters, digits, '_' or '-'"));
        }
        let of_tenant = || tenant.map(Arc::from).ok_or(BadTarget("tenant is missing: say whose"));
        let value = || match value {
            None | Some("") => Err(BadTarget("value is missing: the subject, the token's id or the session's id")),
            Some(value) if value.len() > MAX_VALUE || value.chars().any(char::is_control) => {
                Err(BadTarget("value must be at most 1024 bytes without control characters"))
            }
            Some(value) => Ok(Arc::from(value)),
        };
        match kind {
            "tenant" => of_tenant().map(Self::Tenant),
            "subject" => Ok(Self::Subject(of_tenant()?, value()?)),
            "token" => Ok(Self::Token(of_tenant()?, value()?)),
            "session" => value().map(Self::Session),
            _ => Err(BadTarget("kind must be tenant, subject, token or session")),
        }
    }

    /// Its kind, as [`Target::new`] takes it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Tenant(_) => "tenant",
            Self::Subject(..) => "subject",
            Self::Token(..) => "token",
            Self::Session(_) => "session",
        }
    }

    /// The tenant, unless it is a session.
    pub fn tenant(&self) -> Option<&str> {
        match self {
            Self::Tenant(tenant) | Self::Subject(tenant, _) | Self::Token(tenant, _) => Some(tenant),
            Self::Session(_) => None,
        }
    }

    /// The subject, the token's id or the session's id.
    pub fn value(&self) -> Option<&str> {
        match self {
            Self::Tenant(_) => None,
            Self::Subject(_, value) | Self::Token(_, value) | Self::Session(value) => Some(value),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        let parts = [self.tenant(), self.value()];
        parts.into_iter().flatten().try_for_each(|part| write!(f, "/{part}"))
    }
}

impl FromStr for Target {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Self, BadTarget> {
        let (kind, rest) = text.split_once('/').ok_or(BadTarget("must be a kind and whom, with slashes between"))?;
        match kind {
            "tenant" => Self::new(kind, Some(rest), None),
            "session" => Self::new(kind, None, Some(rest)),
            // No tenant has a slash, so what follows the first is the value, whatever it holds.
            _ => {
                let (tenant, value) = rest.split_once('/').unwrap_or((rest, ""));
                Self::new(kind, Some(tenant), Some(value))
            }
        }
    }
}

impl Revocation {
    /// Whether it refuses the principal's token.
    pub fn refuses(&self, principal: &Principal) -> bool {
        match &self.target {
            Target::Tenant(tenant) => *tenant == principal.tenant && self.covers(principal.issued_at),
            Target::Subject(tenant, subject) => {
                *tenant == principal.tenant && *subject == principal.subject && self.covers(principal.issued_at)
            }
            Target::Token(tenant, id) => {
                *tenant == principal.tenant && principal.token_id.as_deref().is_some_and(|token| token == &**id)
            }
            Target::Session(_) => false,
        }
    }

    /// Whether it ends a session.
    pub fn ends(&self, principal: &Principal, session: &str) -> bool {
        matches!(&self.target, Target::Session(id) if &**id == session) || self.refuses(principal)
    }

    /// Whether a token issued then is one of those it speaks of.
    fn covers(&self, issued_at: Option<Millis>) -> bool {
        // Which of two moments within a second was first can't be told: refusing is safe, and the next second passes.
        issued_at.is_none_or(|at| at.div_euclid(1000) <= self.issued_before.div_euclid(1000))
    }

    fn is_over(&self, now: Millis) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// Everything that is revoked, shared by all who ask. Nobody waits for I/O here.
#[derive(Debug, Default)]
pub struct Revocations {
    entries: RwLock<HashMap<Target, Arc<Revocation>>>,
    /// Why it is not known what has been revoked; then no token is good.
    unknown: RwLock<Option<Arc<str>>>,
}

impl Revocations {
    /// Nothing is known yet, for this reason.
    pub fn unread(reason: &str) -> Self {
        Self { unknown: RwLock::new(Some(reason.into())), ..Self::default() }
    }

    /// Whether a token may be taken.
    pub fn check(&self, principal: &Principal) -> Result<(), TokenError> {
        self.known().map_err(TokenError::RevocationsUnknown)?;
        match self.refusing(principal) {
            Some(target) => Err(TokenError::Revoked(target)),
            None => Ok(()),
        }
    }

    /// What refuses the principal's token.
    pub fn refusing(&self, principal: &Principal) -> Option<Target> {
        let entries = self.read();
        if entries.is_empty() {
            return None;
        }
        let (tenant, subject) = (&principal.tenant, &principal.subject);
        let token = principal.token_id.as_deref().map(|id| Target::Token(Arc::clone(tenant), id.into()));
        let targets = [
            Some(Target::Tenant(Arc::clone(tenant))),
            Some(Target::Subject(Arc::clone(tenant), Arc::clone(subject))),
            token,
        ];
        let refuses = |target: &Target| entries.get(target).is_some_and(|entry| entry.refuses(principal));
        targets.into_iter().flatten().find(refuses)
    }

    /// Whether a session of that principal may not be, or not go on.
    pub fn ends(&self, principal: &Principal, session: &Arc<str>) -> bool {
        self.refusing(principal).is_some() || self.read().contains_key(&Target::Session(Arc::clone(session)))
    }

    /// What was revoked of a target.
    pub fn get(&self, target: &Target) -> Option<Arc<Revocation>> {
        self.read().get(target).cloned()
    }

    /// Takes one in, in place of what was said of its target before. Whether anything changed.
    pub fn put(&self, revocation: &Arc<Revocation>) -> bool {
        let before = self.write().insert(revocation.target.clone(), Arc::clone(revocation));
        before.is_none_or(|before| before != *revocation)
    }

    /// Lifts what was said of a target. Whether there was anything.
    pub fn lift(&self, target: &Target) -> bool {
        self.write().remove(target).is_some()
    }

    /// Forgets those that speak of no token any more.
    pub fn forget(&self, now: Millis) {
        let mut entries = self.write();
        if entries.values().any(|entry| entry.is_over(now)) {
            entries.retain(|_, entry| !entry.is_over(now));
        }
    }

    /// All of them, in the order of their targets.
    pub fn list(&self) -> Vec<Arc<Revocation>> {
        let mut list: Vec<_> = self.read().values().cloned().collect();
        list.sort_by(|a, b| a.target.cmp(&b.target));
        list
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is known what has been revoked; else, why not.
    pub fn known(&self) -> Result<(), Arc<str>> {
        self.unknown.read().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }

    /// Says whether it is known. `Err`: why not.
    pub fn set_known(&self, known: Result<(), Arc<str>>) {
        *self.unknown.write().unwrap_or_else(PoisonError::into_inner) = known.err();
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<Target, Arc<Revocation>>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Target, Arc<Revocation>>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Claims;

    const T: Millis = 1_800_000_000_500;

    fn principal(tenant: &str, subject: &str, issued_at: Option<Millis>, token_id: Option<&str>) -> Principal {
        Principal {
            tenant: tenant.into(),
            subject: subject.into(),
            roles: Arc::new([]),
            issued_at,
            expires: T + 3_600_000,
            ends: T + 3_600_000,
            token_id: token_id.map(str::to_owned),
            claims: Claims::default(),
        }
    }

    fn of(target: &str) -> Arc<Revocation> {
        Arc::new(Revocation { target: target.parse().unwrap(), issued_before: T, reason: None, until: None })
    }

    fn revoked(targets: &[&str]) -> Revocations {
        let revocations = Revocations::default();
        for target in targets {
            assert!(revocations.put(&of(target)));
        }
        revocations
    }

    #[test]
    fn a_subject_is_of_its_tenant() {
        let revocations = revoked(&["subject/acme/ada"]);
        let old = Some(T - 10_000);
        assert!(revocations.check(&principal("acme", "ada", old, None)).is_err());
        assert!(revocations.check(&principal("globex", "ada", old, None)).is_ok());
        assert!(revocations.check(&principal("acme", "bob", old, None)).is_ok());
    }

    #[test]
    fn newer_tokens_pass_from_the_next_second_on() {
        for target in ["subject/acme/ada", "tenant/acme"] {
            let revocations = revoked(&[target]);
            let refused = |issued_at| revocations.refusing(&principal("acme", "ada", issued_at, None)).is_some();
            // 500 ms into its second: all of it counts as before.
            assert!(refused(Some(T - 1)) && refused(Some(T - 500)) && refused(Some(T)) && refused(Some(T + 499)));
            assert!(!refused(Some(T + 500)) && !refused(Some(T + 60_000)));
            assert!(refused(None), "a token that does not say is as old as can be");
        }
    }

    #[test]
    fn a_token_id_is_refused_however_new() {
        let revocations = revoked(&["token/acme/j/1"]);
        let refused = |tenant, id| revocations.refusing(&principal(tenant, "ada", Some(T + 99_000), id)).is_some();
        assert!(refused("acme", Some("j/1")));
        assert!(!refused("acme", Some("j/2")) && !refused("acme", None) && !refused("globex", Some("j/1")));
    }

    #[test]
    fn a_session_ends_and_its_token_stays_good() {
        let revocations = revoked(&["session/s-1"]);
        let ada = principal("acme", "ada", Some(T), None);
        assert!(revocations.ends(&ada, &"s-1".into()) && !revocations.ends(&ada, &"s-2".into()));
        assert!(revocations.check(&ada).is_ok());
        assert!(of("session/s-1").ends(&ada, "s-1") && !of("session/s-1").refuses(&ada));
    }

    #[test]
    fn lifted_and_forgotten() {
        let revocations = revoked(&["tenant/acme"]);
        let ada = principal("acme", "ada", Some(T), None);
        revocations.forget(Millis::MAX);
        assert!(revocations.refusing(&ada).is_some(), "without an end it is remembered");
        assert!(revocations.lift(&Target::Tenant("acme".into())) && revocations.refusing(&ada).is_none());
        assert!(!revocations.lift(&Target::Tenant("acme".into())));
        let ending = Revocation { until: Some(T + 10), ..(*of("tenant/acme")).clone() };
        revocations.put(&Arc::new(ending.clone()));
        assert!(!revocations.put(&Arc::new(ending)), "the same once more changes nothing");
        revocations.forget(T + 9);
        assert_eq!(revocations.len(), 1);
        revocations.forget(T + 10);
        assert!(revocations.is_empty());
    }

    #[test]
    fn nothing_is_good_while_it_is_not_known_what_was_revoked() {
        let revocations = Revocations::unread("not read yet");
        let ada = principal("acme", "ada", Some(T), None);
        assert_eq!(revocations.check(&ada), Err(TokenError::RevocationsUnknown("not read yet".into())));
        revocations.set_known(Ok(()));
        assert_eq!(revocations.check(&ada), Ok(()));
        revocations.set_known(Err("lost".into()));
        assert_eq!(revocations.known(), Err("lost".into()));
    }

    #[test]
    fn targets_as_text() {
        for text in ["tenant/acme", "subject/acme/ada/of/x", "token/acme/a b", "session/0199"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        for bad in
            ["", "tenant", "tenant/", "tenant/a/b", "subject/acme", "subject/acme/", "subject//ada", "role/acme/x"]
        {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
        assert!(Target::new("subject", Some("acme"), Some("a\nb")).is_err());
        assert!(Target::new("token", None, Some("j")).is_err() && Target::new("session", None, None).is_err());
    }
}

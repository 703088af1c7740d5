//! The keys that tokens are verified with: where they come from, and how they are kept fresh.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use jsonwebtoken::DecodingKey;
use tidegate_protocol::timestamp::Millis;

use crate::{Algorithm, KeyError, TokenError, jwks};

/// Where keys come from.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// An HMAC secret itself.
    Secret(Vec<u8>),
    /// A file whose bytes are the HMAC secret; one line break at the end is not part of it.
    SecretFile(PathBuf),
    /// A file of one or more public keys in PEM.
    PemFile(PathBuf),
    /// A JWKS file; read again when it changes.
    JwksFile(PathBuf),
    /// A JWKS at a URL; fetched again when old and when a token names a key that is not in it.
    JwksUrl(String),
}

impl std::fmt::Debug for KeySource {
    /// Never shows a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Secret(_) => f.write_str("Secret(…)"),
            Self::SecretFile(path) => f.debug_tuple("SecretFile").field(path).finish(),
            Self::PemFile(path) => f.debug_tuple("PemFile").field(path).finish(),
            Self::JwksFile(path) => f.debug_tuple("JwksFile").field(path).finish(),
            Self::JwksUrl(url) => f.debug_tuple("JwksUrl").field(url).finish(),
        }
    }
}

impl KeySource {
    /// The HMAC secret that tokens are verified with, where there is one: a signer of the same tokens needs these bytes.
    pub fn secret(&self) -> Result<Option<Vec<u8>>, KeyError> {
        match self {
            Self::Secret(secret) => Ok(Some(secret.clone())),
            Self::SecretFile(path) => read_secret(path).map(Some),
            Self::PemFile(_) | Self::JwksFile(_) | Self::JwksUrl(_) => Ok(None),
        }
    }
}

/// A key and the one algorithm it may be used with.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// `None` is found under every kid: it is the only key there is, or its file can not name it.
    pub(crate) kid: Option<Arc<str>>,
    pub(crate) algorithm: Algorithm,
    pub(crate) verifier: DecodingKey,
}

/// The keys there are now, and how to come to newer ones.
#[derive(Debug)]
pub(crate) struct Keys {
    allowed: Vec<Algorithm>,
    source: Source,
    set: ArcSwap<Vec<Key>>,
    schedule: Mutex<Schedule>,
    /// One at a time asks the source.
    flight: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
enum Source {
    Fixed,
    File(PathBuf, Mutex<Option<SystemTime>>),
    Url(jwks::Fetcher),
}

impl Keys {
    /// Files are read at once; a URL is first asked by [`refresh`](Self::refresh).
    pub(crate) fn open(source: &KeySource, allowed: &[Algorithm]) -> Result<Self, KeyError> {
        let (source, set, timing) = match source {
            KeySource::Secret(secret) => (Source::Fixed, vec![secret_key(secret)?], Timing::FILE),
            KeySource::SecretFile(path) => {
                let key = secret_key(&read_secret(path)?).map_err(|error| in_file(path, &error))?;
                (Source::Fixed, vec![key], Timing::FILE)
            }
            KeySource::PemFile(path) => {
                let keys = pem_keys(&read_file(path)?).map_err(|error| in_file(path, &error))?;
                (Source::Fixed, keys, Timing::FILE)
            }
            KeySource::JwksFile(path) => {
                let modified = modified(path);
                let keys = jwks::read(&read_file(path)?, allowed, true).map_err(|error| in_file(path, &error))?;
                (Source::File(path.clone(), Mutex::new(modified)), keys, Timing::FILE)
            }
            KeySource::JwksUrl(url) => (Source::Url(jwks::Fetcher::new(url)?), Vec::new(), Timing::URL),
        };
        if let Some(key) = set.iter().find(|key| !allowed.contains(&key.algorithm)) {
            return Err(KeyError::Algorithm { found: key.algorithm });
        }
        Ok(Self {
            allowed: allowed.to_vec(),
            source,
            set: ArcSwap::from_pointee(set),
            schedule: Mutex::new(Schedule::new(timing)),
            flight: tokio::sync::Mutex::new(()),
        })
    }

    /// The keys that may have signed a token with this header.
    pub(crate) async fn find(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
        now: Millis,
    ) -> Result<Vec<Key>, TokenError> {
        if let Err(error) = self.refresh(now).await {
            tracing::warn!(%error, "keys could not be refreshed");
        }
        let mut found = select(&self.set.load(), algorithm, kid);
        if found.is_empty() && self.schedule().may_ask_for_unknown(now) {
            if let Err(error) = self.load(now, |schedule| schedule.may_ask_for_unknown(now)).await {
                tracing::warn!(%error, ?kid, "keys could not be refreshed for a kid that is not known");
            }
            found = select(&self.set.load(), algorithm, kid);
        }
        if !found.is_empty() {
            return Ok(found);
        }
        if self.set.load().is_empty() {
            return Err(TokenError::KeysUnavailable("the key set has not been fetched yet".into()));
        }
        // "No such key" is final for a client, so it is said of a key set that was read just now only: issuers
        // rotate keys, and the source may not be asked again yet.
        if !matches!(self.source, Source::Fixed) && !self.schedule().is_fresh(now) {
            return Err(TokenError::KeysUnavailable(format!(
                "kid {kid:?} is not known, and it is too early to ask again"
            )));
        }
        let kid = kid.map(|kid| kid.chars().take(64).collect());
        Err(TokenError::UnknownKey { algorithm, kid })
    }

    /// Asks the source if that is due. Failing, the keys there are stay.
    pub(crate) async fn refresh(&self, now: Millis) -> Result<(), KeyError> {
        if matches!(self.source, Source::Fixed) || !self.schedule().is_due(now) {
            return Ok(());
        }
        // Whoever finds keys here need not wait while another asks.
        if !self.set.load().is_empty() && self.flight.try_lock().is_err() {
            return Ok(());
        }
        self.load(now, |schedule| schedule.is_due(now)).await
    }

    async fn load(&self, now: Millis, still_due: impl FnOnce(&Schedule) -> bool) -> Result<(), KeyError> {
        let _flight = self.flight.lock().await;
        if !still_due(&self.schedule()) {
            return Ok(());
        }
        let answer = match &self.source {
            Source::Fixed => return Ok(()),
            Source::File(path, seen) => self.reload(path, seen),
            Source::Url(fetcher) => match fetcher.fetch().await {
                Ok(text) => jwks::read(&text, &self.allowed, false).map(Some),
                Err(error) => Err(error),
            },
        };
        self.schedule().asked(now, answer.is_ok());
        if let Some(keys) = answer? {
            self.set.store(Arc::new(keys));
        }
        Ok(())
    }

    /// `None`: the file is as it was.
    fn reload(&self, path: &Path, seen: &Mutex<Option<SystemTime>>) -> Result<Option<Vec<Key>>, KeyError> {
        let now_modified = modified(path);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if now_modified.is_some() && now_modified == *seen {
            return Ok(None);
        }
        let keys = jwks::read(&read_file(path)?, &self.allowed, true).map_err(|error| in_file(path, &error))?;
        *seen = now_modified;
        Ok(Some(keys))
    }

    fn schedule(&self) -> std::sync::MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token that names a key gets that one (or those without a name); one that names none gets the only one
/// of its algorithm, or all those that have no name to be told apart by.
fn select(set: &[Key], algorithm: Algorithm, kid: Option<&str>) -> Vec<Key> {
    let of_algorithm: Vec<&Key> = set.iter().filter(|key| key.algorithm == algorithm).collect();
    if kid.is_none() && of_algorithm.len() == 1 {
        return vec![of_algorithm[0].clone()];
    }
    let fits = |key: &&&Key| key.kid.is_none() || key.kid.as_deref() == kid;
    of_algorithm.iter().filter(fits).map(|&key| key.clone()).collect()
}

/// How often a source is asked.
#[derive(Debug, Clone, Copy)]
struct Timing {
    /// Keys older than this are fetched anew.
    max_age: Millis,
    /// A kid that is not known asks at most this often.
    min_interval: Millis,
    /// First wait after a failure; doubled with each further one.
    back_off: Millis,
    /// Longest wait after failures.
    back_off_max: Millis,
}

impl Timing {
    const URL: Self = Self { max_age: 600_000, min_interval: 30_000, back_off: 1_000, back_off_max: 60_000 };
    const FILE: Self = Self { max_age: 2_000, min_interval: 2_000, back_off: 2_000, back_off_max: 10_000 };
}

/// When a source is to be asked. Pure.
#[derive(Debug)]
struct Schedule {
    timing: Timing,
    last_asked: Option<Millis>,
    failures: u32,
}

impl Schedule {
    fn new(timing: Timing) -> Self {
        Self { timing, last_asked: None, failures: 0 }
    }

    fn is_due(&self, now: Millis) -> bool {
        self.since_asked(now) >= if self.failures == 0 { self.timing.max_age } else { self.back_off() }
    }

    fn may_ask_for_unknown(&self, now: Millis) -> bool {
        self.since_asked(now) >= if self.failures == 0 { self.timing.min_interval } else { self.back_off() }
    }

    /// Whether the source answered at `now` or, to another token, later.
    fn is_fresh(&self, now: Millis) -> bool {
        self.failures == 0 && self.last_asked.is_some_and(|asked| asked >= now)
    }

    fn asked(&mut self, now: Millis, answered: bool) {
        self.last_asked = Some(now);
        self.failures = if answered { 0 } else { self.failures.saturating_add(1) };
    }

    fn since_asked(&self, now: Millis) -> Millis {
        match self.last_asked {
            // A clock that went back must not put the next refresh off for as long.
            Some(asked) if asked <= now => now - asked,
            _ => Millis::MAX,
        }
    }

    fn back_off(&self) -> Millis {
        let doubled = self.timing.back_off.saturating_mul(1 << self.failures.saturating_sub(1).min(20));
        doubled.min(self.timing.back_off_max)
    }
}

/// Refuses what is no secret: RFC 7518 §3.2 asks for as many bits as the hash has.
pub(crate) fn check_secret(secret: &[u8]) -> Result<(), KeyError> {
    if secret.starts_with(b"-----BEGIN") {
        return Err(KeyError::Secret("holds a PEM key, which everybody may know; a secret must be secret"));
    }
    if secret.len() < 32 {
        return Err(KeyError::Secret("an HS256 secret needs at least 32 bytes"));
    }
    Ok(())
}

fn secret_key(secret: &[u8]) -> Result<Key, KeyError> {
    check_secret(secret)?;
    Ok(Key { kid: None, algorithm: Algorithm::Hs256, verifier: DecodingKey::from_secret(secret) })
}

/// Public keys of a PEM file, each bound to the algorithm of its kind.
fn pem_keys(text: &[u8]) -> Result<Vec<Key>, KeyError> {
    const BEGIN: &str = "-----BEGIN ";
    let text = std::str::from_utf8(text).map_err(|_| KeyError::Key("not a PEM file".into()))?;
    let blocks: Vec<&str> = text.match_indices(BEGIN).map(|(at, _)| block(&text[at..], BEGIN)).collect();
    if blocks.is_empty() {
        return Err(KeyError::Key("not a PEM file".into()));
    }
    blocks.into_iter().map(pem_key).collect()
}

fn block<'a>(text: &'a str, begin: &str) -> &'a str {
    let end = text[begin.len()..].find(begin).map_or(text.len(), |at| at + begin.len());
    &text[..end]
}

fn pem_key(block: &str) -> Result<Key, KeyError> {
    let bytes = block.as_bytes();
    let title = block.lines().next().unwrap_or_default();
    if title.contains("PRIVATE KEY") {
        return Err(KeyError::Key(
            "holds a private key; the bridge only needs (and should only have) the public".into(),
        ));
    }
    if title.contains("CERTIFICATE") {
        let hint = "holds a certificate; take its public key out with `openssl x509 -pubkey -noout`";
        return Err(KeyError::Key(hint.into()));
    }
    let (algorithm, key) = if let Ok(key) = DecodingKey::from_rsa_pem(bytes) {
        (Algorithm::Rs256, key)
    } else if let Ok(key) = DecodingKey::from_ec_pem(bytes) {
        // An uncompressed point of P-256 has 65 bytes; other curves belong to other algorithms.
        if key.try_get_as_bytes().map_or(0, <[u8]>::len) != 65 {
            return Err(KeyError::Key("holds an EC key of another curve than P-256".into()));
        }
        (Algorithm::Es256, key)
    } else if let Ok(key) = DecodingKey::from_ed_pem(bytes) {
        (Algorithm::EdDsa, key)
    } else {
        return Err(KeyError::Key("holds no RSA, P-256 or Ed25519 public key".into()));
    };
    Ok(Key { kid: None, algorithm, verifier: key })
}

/// A secret's file, without the line break that editors and `openssl rand -base64` leave at its end.
fn read_secret(path: &Path) -> Result<Vec<u8>, KeyError> {
    let mut bytes = read_file(path)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    Ok(bytes)
}

fn read_file(path: &Path) -> Result<Vec<u8>, KeyError> {
    std::fs::read(path).map_err(|error| in_file(path, &error))
}

fn in_file(path: &Path, problem: &dyn std::fmt::Display) -> KeyError {
    KeyError::File { path: path.to_owned(), problem: problem.to_string() }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

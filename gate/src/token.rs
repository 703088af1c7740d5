//! Verifying tokens: from a JWT to a [`Principal`], or why not.

use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};
use tidegate_protocol::timestamp::Millis;

use crate::keys::{Key, Keys};
use crate::unique::Unique;
use crate::{Algorithm, ClaimMapping, Claims, KeyError, KeySource, Principal, TokenError};

/// What tokens must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenOptions {
    /// The algorithms that are taken, and no others.
    pub algorithms: Vec<Algorithm>,
    /// What they are verified with.
    pub keys: KeySource,
    /// What `iss` must be.
    pub issuer: Option<String>,
    /// One of these must be in `aud`. Empty: the token must not have an `aud`.
    pub audience: Vec<String>,
    /// By how much the clocks of issuer and bridge may differ, in milliseconds.
    pub skew_ms: i64,
    /// How long a token may be good, from `iat` to `exp`, in milliseconds; then `iat` is needed.
    pub max_life_ms: Option<i64>,
    /// Longer tokens are not looked into.
    pub max_bytes: usize,
    /// Which claims say what.
    pub claims: ClaimMapping,
}

impl TokenOptions {
    /// Usual values around the two things that have none.
    pub fn new(algorithms: impl Into<Vec<Algorithm>>, keys: KeySource) -> Self {
        Self {
            algorithms: algorithms.into(),
            keys,
            issuer: None,
            audience: Vec::new(),
            skew_ms: 30_000,
            max_life_ms: None,
            max_bytes: 16 * 1024,
            claims: ClaimMapping::default(),
        }
    }
}

/// Verifies tokens. What they must be like can be exchanged while it does.
#[derive(Debug)]
pub struct Tokens {
    terms: ArcSwap<Terms>,
}

/// What tokens must be like, with the keys at hand. [`Tokens::renew`] makes new ones, [`Tokens::install`] lets them
/// apply.
#[derive(Debug)]
pub struct Terms {
    options: TokenOptions,
    keys: Arc<Keys>,
}

impl Tokens {
    /// Reads the keys. Those at a URL are fetched with the first token, or by [`refresh`](Self::refresh).
    pub fn new(options: TokenOptions) -> Result<Self, KeyError> {
        let keys = Arc::new(Keys::open(&options.keys, &options.algorithms)?);
        Ok(Self { terms: ArcSwap::from_pointee(Terms { options, keys }) })
    }

    /// New terms, with the keys that they need: those of files read again, those at a URL that is new fetched. What
    /// is verified meanwhile, and if this fails, is verified under the old ones.
    pub async fn renew(&self, options: TokenOptions, now: Millis) -> Result<Terms, KeyError> {
        let old = self.terms.load_full();
        let by_url = matches!(options.keys, KeySource::JwksUrl(_));
        if by_url && (&options.keys, &options.algorithms) == (&old.options.keys, &old.options.algorithms) {
            return Ok(Terms { options, keys: Arc::clone(&old.keys) });
        }
        let keys = Arc::new(Keys::open(&options.keys, &options.algorithms)?);
        if by_url {
            keys.refresh(now).await?;
        }
        Ok(Terms { options, keys })
    }

    /// How long after a moment a token that is issued by then can be good, in milliseconds; `None`: for ever.
    pub fn longest_life(&self) -> Option<Millis> {
        let terms = self.terms.load();
        // The issuer's clock may be ahead of ours, and a token is good that long after it expired.
        terms.options.max_life_ms.map(|life| life.saturating_add(2 * terms.options.skew_ms))
    }

    /// Lets new terms apply to all that is verified from now on.
    pub fn install(&self, terms: Terms) {
        self.terms.store(Arc::new(terms));
    }

    /// Asks the source of the keys for newer ones, if that is due. To be called at the start and now and then,
    /// so that no session has to wait for it. Failing, the last good keys stay in use.
    pub async fn refresh(&self, now: Millis) -> Result<(), KeyError> {
        self.terms.load_full().keys.refresh(now).await
    }

    /// Who the token speaks for, if it is good at `now`.
    pub async fn verify(&self, token: &str, now: Millis) -> Result<Principal, TokenError> {
        let terms = self.terms.load_full();
        terms.verify(token, now).await
    }
}

impl Terms {
    async fn verify(&self, token: &str, now: Millis) -> Result<Principal, TokenError> {
        let limit = self.options.max_bytes;
        if token.len() > limit {
            return Err(TokenError::Oversize { bytes: token.len(), limit });
        }
        let parts = Parts::split(token)?;
        let header = parts.header()?;
        let algorithm = header.alg.parse().ok().filter(|algorithm| self.options.algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or_else(|| TokenError::Algorithm(header.alg.chars().take(16).collect()))?;
        let keys = self.keys.find(algorithm, header.kid.as_deref(), now).await?;
        if !keys.iter().any(|key| parts.signed_by(key, algorithm)) {
            let kid = header.kid.map(|kid| kid.chars().take(64).collect());
            return Err(TokenError::Signature { algorithm, kid });
        }
        let text = parts.claims_text()?;
        self.principal(&text, &parsed_claims(&text)?, now)
    }

    fn principal(&self, text: &str, claims: &Map<String, Value>, now: Millis) -> Result<Principal, TokenError> {
        let skew = self.options.skew_ms;
        let expires = time(claims, "exp")?
            .ok_or_else(|| TokenError::Claim { claim: "exp".into(), problem: "is missing: tokens must expire" })?;
        let ends = expires.saturating_add(skew);
        if now >= ends {
            return Err(TokenError::Expired(now.saturating_sub(expires)));
        }
        let issued_at = time(claims, "iat")?;
        for (claim, at) in [("nbf", time(claims, "nbf")?), ("iat", issued_at)] {
            let ahead_ms = at.unwrap_or(Millis::MIN).saturating_sub(now);
            if ahead_ms > skew {
                return Err(TokenError::NotYet { claim, ahead_ms });
            }
        }
        if let Some(life) = self.options.max_life_ms {
            let bad = |claim: &str, problem| TokenError::Claim { claim: claim.into(), problem };
            let issued = issued_at.ok_or_else(|| bad("iat", "is missing: tokens.max_life needs it"))?;
            if expires.saturating_sub(issued) > life {
                return Err(bad("exp", "is longer after iat than tokens.max_life allows"));
            }
        }
        self.check_issuer(claims)?;
        self.check_audience(claims)?;
        let mapping = &self.options.claims;
        Ok(Principal {
            tenant: mapping.tenant(claims)?,
            subject: mapping.subject(claims)?,
            roles: mapping.roles(claims)?,
            issued_at,
            expires,
            ends,
            token_id: claims.get("jti").and_then(Value::as_str).map(str::to_owned),
            claims: Claims::as_said(text),
        })
    }

    fn check_issuer(&self, claims: &Map<String, Value>) -> Result<(), TokenError> {
        let Some(expected) = &self.options.issuer else { return Ok(()) };
        match claims.get("iss").and_then(Value::as_str) {
            Some(issuer) if issuer == expected => Ok(()),
            other => Err(TokenError::Issuer(other.map(|issuer| issuer.chars().take(128).collect()))),
        }
    }

    /// RFC 7519 §4.1.3: who is not named in an audience that is there must refuse the token.
    fn check_audience(&self, claims: &Map<String, Value>) -> Result<(), TokenError> {
        let ours =
            |value: &Value| value.as_str().is_some_and(|name| self.options.audience.iter().any(|our| our == name));
        match claims.get("aud") {
            None if self.options.audience.is_empty() => Ok(()),
            Some(_) if self.options.audience.is_empty() => Err(TokenError::AudienceNotSet),
            Some(Value::Array(names)) if names.iter().any(ours) => Ok(()),
            Some(name) if ours(name) => Ok(()),
            _ => Err(TokenError::Audience),
        }
    }
}

/// The furthest time that frames can say: what lies beyond is as good as this.
const FURTHEST: Millis = (1 << 53) - 1;

/// A `NumericDate` in milliseconds; it may have a fraction.
fn time(claims: &Map<String, Value>, claim: &'static str) -> Result<Option<Millis>, TokenError> {
    let bad = || TokenError::Claim { claim: claim.into(), problem: "must be a number of seconds" };
    let Some(value) = claims.get(claim) else { return Ok(None) };
    if let Some(seconds) = value.as_i64() {
        return Ok(Some(seconds.saturating_mul(1000).clamp(-FURTHEST, FURTHEST)));
    }
    let seconds = value.as_f64().filter(|seconds| seconds.is_finite()).ok_or_else(bad)?;
    Ok(Some(((seconds * 1000.0) as Millis).clamp(-FURTHEST, FURTHEST)))
}

/// The parts of a compact JWS, still encoded.
struct Parts<'a> {
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
    /// Header and payload with the dot between: what is signed.
    signed: &'a str,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

impl<'a> Parts<'a> {
    fn split(token: &'a str) -> Result<Self, TokenError> {
        let malformed = || TokenError::Malformed("it must have three parts with dots between");
        let (signed, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
        let (header, payload) = signed.split_once('.').ok_or_else(malformed)?;
        if payload.contains('.') {
            return Err(malformed());
        }
        Ok(Self { header, payload, signature, signed })
    }

    /// Keys that a header brings or points to (`jwk`, `jku`, `x5c`, `x5u`) are never looked at.
    fn header(&self) -> Result<Header, TokenError> {
        let problem = "its header is not base64url of a JSON object with \"alg\", or repeats a member";
        let Unique(header) = decode(self.header, problem)?;
        let header: Header = serde_json::from_value(header).map_err(|_| TokenError::Malformed(problem))?;
        if header.crit.is_some() {
            return Err(TokenError::Malformed("it demands extensions (\"crit\") that are not known here"));
        }
        Ok(header)
    }

    fn claims_text(&self) -> Result<String, TokenError> {
        let bytes = URL_SAFE_NO_PAD.decode(self.payload).map_err(|_| TokenError::Malformed(NO_CLAIMS))?;
        String::from_utf8(bytes).map_err(|_| TokenError::Malformed(NO_CLAIMS))
    }

    fn signed_by(&self, key: &Key, algorithm: Algorithm) -> bool {
        debug_assert_eq!(key.algorithm, algorithm, "keys are chosen by algorithm");
        let verified = jsonwebtoken::crypto::verify(
            self.signature,
            self.signed.as_bytes(),
            &key.verifier,
            key.algorithm.library(),
        );
        key.algorithm == algorithm && verified.unwrap_or(false)
    }
}

/// What is said of claims that are none.
const NO_CLAIMS: &str = "its claims are not base64url of a JSON object, or repeat a member";

fn parsed_claims(text: &str) -> Result<Map<String, Value>, TokenError> {
    match serde_json::from_str(text) {
        Ok(Unique(Value::Object(claims))) => Ok(claims),
        _ => Err(TokenError::Malformed(NO_CLAIMS)),
    }
}

fn decode<T: for<'de> Deserialize<'de>>(part: &str, problem: &'static str) -> Result<T, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed(problem))?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed(problem))
}

//! Making tokens: for `tidegate token`, for `tidegate dev` and for tests. The bridge never signs for a page.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::EncodingKey;
use serde_json::{Map, Value, json};
use tidegate_protocol::timestamp::Millis;

use crate::{Algorithm, ClaimMapping};

/// A key that signs tokens.
#[derive(Clone)]
pub struct Signer {
    algorithm: Algorithm,
    kid: Option<String>,
    key: EncodingKey,
    /// Its public half as a JWK; the secret itself for HS256.
    jwk: Map<String, Value>,
    /// Its public half in PEM; HS256 has none.
    public_pem: Option<String>,
}

/// What a token is to say.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenRequest {
    /// Whose it is.
    pub tenant: String,
    /// Who it is for.
    pub subject: String,
    /// What they may do, by way of grants.
    pub roles: Vec<String>,
    /// `iat`, and what `exp` is counted from.
    pub issued_at: Millis,
    /// How long it is good, in seconds.
    pub lifetime_s: i64,
    /// `iss`.
    pub issuer: Option<String>,
    /// `aud`.
    pub audience: Option<String>,
    /// Further claims.
    pub claims: Map<String, Value>,
}

/// A key that can not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The key is not a private key of the algorithm.
    #[error("not a private key for {0} (PKCS #8 PEM)")]
    Key(Algorithm),
    /// The cryptographic library failed.
    #[error("signing failed: {0}")]
    Failed(String),
    /// A mapped claim is a path through what is no object.
    #[error("claim {0:?} can not be set: something else is in its way")]
    Claim(String),
}

impl fmt::Debug for Signer {
    /// Never shows the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("algorithm", &self.algorithm).field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl Signer {
    /// Signs with a shared secret.
    pub fn hs256(secret: &[u8]) -> Self {
        let jwk = object(json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(secret)}));
        Self { algorithm: Algorithm::Hs256, kid: None, key: EncodingKey::from_secret(secret), jwk, public_pem: None }
    }

    /// Signs with a private key in PEM (PKCS #8).
    pub fn from_pem(algorithm: Algorithm, pem: &[u8]) -> Result<Self, SignError> {
        let bad = || SignError::Key(algorithm);
        let key = match algorithm {
            Algorithm::Hs256 => return Err(bad()),
            Algorithm::Rs256 => EncodingKey::from_rsa_pem(pem),
            Algorithm::Es256 => EncodingKey::from_ec_pem(pem),
            Algorithm::EdDsa => EncodingKey::from_ed_pem(pem),
        }
        .map_err(|_| bad())?;
        let (jwk, der) = public(algorithm, key.as_bytes()).ok_or_else(bad)?;
        Ok(Self { algorithm, kid: None, key, jwk, public_pem: Some(encode_pem("PUBLIC KEY", &der)) })
    }

    /// Makes a new key, and gives its private half in PEM for keeping (for HS256 the secret as base64).
    pub fn generate(algorithm: Algorithm) -> Result<(Self, String), SignError> {
        let failed = |_| SignError::Failed("no key could be made".into());
        let pkcs8 = match algorithm {
            Algorithm::Hs256 => {
                let mut secret = [0; 32];
                aws_lc_rs::rand::fill(&mut secret).map_err(failed)?;
                // The text is the secret, so that it can be put into a file as it is.
                let text = STANDARD.encode(secret);
                return Ok((Self::hs256(text.as_bytes()), text));
            }
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
                AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(failed)?.as_ref().to_vec()
            }
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
                pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec()
            }
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::generate().map_err(failed)?;
                pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec()
            }
        };
        let pem = encode_pem("PRIVATE KEY", &pkcs8);
        Ok((Self::from_pem(algorithm, pem.as_bytes())?, pem))
    }

    /// Names the key in the tokens it signs.
    #[must_use]
    pub fn with_kid(self, kid: impl Into<String>) -> Self {
        Self { kid: Some(kid.into()), ..self }
    }

    /// What it signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key as a member of a JWKS. For HS256 this is the secret itself.
    pub fn jwk(&self) -> Value {
        let mut jwk = self.jwk.clone();
        jwk.insert("alg".into(), self.algorithm.name().into());
        jwk.insert("use".into(), "sig".into());
        if let Some(kid) = &self.kid {
            jwk.insert("kid".into(), kid.as_str().into());
        }
        Value::Object(jwk)
    }

    /// The public half in PEM, as `tokens.key_file` reads it; HS256 has none.
    pub fn public_pem(&self) -> Option<&str> {
        self.public_pem.as_deref()
    }

    /// A token that says what is asked, in the claims that the mapping names.
    pub fn token(&self, request: &TokenRequest, mapping: &ClaimMapping) -> Result<String, SignError> {
        let mut claims = request.claims.clone();
        let issued_at = request.issued_at.div_euclid(1000);
        claims.insert("iat".into(), issued_at.into());
        claims.insert("exp".into(), issued_at.saturating_add(request.lifetime_s).into());
        for (name, value) in [("iss", &request.issuer), ("aud", &request.audience)] {
            if let Some(value) = value {
                claims.insert(name.into(), value.as_str().into());
            }
        }
        let prefixed = |prefix: &Option<String>, text: &str| format!("{}{text}", prefix.as_deref().unwrap_or(""));
        let roles: Vec<String> = request.roles.iter().map(|role| prefixed(&mapping.role_prefix, role)).collect();
        set(&mut claims, &mapping.tenant, prefixed(&mapping.tenant_prefix, &request.tenant).into())?;
        set(&mut claims, &mapping.subject, request.subject.as_str().into())?;
        set(&mut claims, &mapping.roles, roles.into())?;
        self.sign(&claims)
    }

    /// A token with exactly these claims.
    pub fn sign(&self, claims: &Map<String, Value>) -> Result<String, SignError> {
        let mut header = jsonwebtoken::Header::new(self.algorithm.library());
        header.kid.clone_from(&self.kid);
        jsonwebtoken::encode(&header, claims, &self.key).map_err(|error| SignError::Failed(error.to_string()))
    }
}

/// Sets a claim where [`ClaimMapping`] would look for it. What looks like a URL is a name, not a path.
fn set(claims: &mut Map<String, Value>, name: &str, value: Value) -> Result<(), SignError> {
    let words: Vec<&str> = if name.contains('/') { vec![name] } else { name.split('.').collect() };
    let Some((last, path)) = words.split_last() else { return Ok(()) };
    let mut inner = claims;
    for word in path {
        let next = inner.entry(*word).or_insert_with(|| Value::Object(Map::new()));
        inner = next.as_object_mut().ok_or_else(|| SignError::Claim(name.to_owned()))?;
    }
    inner.insert((*last).to_owned(), value);
    Ok(())
}

/// The public half of a private key: as a JWK and as DER.
fn public(algorithm: Algorithm, private: &[u8]) -> Option<(Map<String, Value>, Vec<u8>)> {
    fn der(key: &impl AsDer<PublicKeyX509Der<'static>>) -> Option<Vec<u8>> {
        Some(key.as_der().ok()?.as_ref().to_vec())
    }
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (jwk, der) = match algorithm {
        Algorithm::Hs256 => return None,
        Algorithm::Rs256 => {
            let pair = RsaKeyPair::from_pkcs8(private).or_else(|_| RsaKeyPair::from_der(private)).ok()?;
            let public = signature::RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
            (json!({"kty": "RSA", "n": text(&public.n), "e": text(&public.e)}), der(pair.public_key())?)
        }
        Algorithm::Es256 => {
            let pair = EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, private).ok()?;
            let (x, y) = pair.public_key().as_ref().get(1..65)?.split_at(32);
            (json!({"kty": "EC", "crv": "P-256", "x": text(x), "y": text(y)}), der(pair.public_key())?)
        }
        Algorithm::EdDsa => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(private).ok()?;
            let x = text(pair.public_key().as_ref());
            (json!({"kty": "OKP", "crv": "Ed25519", "x": x}), der(pair.public_key())?)
        }
    };
    Some((object(jwk), der))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn encode_pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = &*text;
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out + "-----END " + label + "-----\n"
}

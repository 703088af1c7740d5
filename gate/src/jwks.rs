//! JSON Web Key Sets (RFC 7517): read with tolerance for keys of no use here, fetched with bounds.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::Uri;
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use serde::Deserialize;
use serde_json::Value;

use crate::keys::{Key, check_secret};
use crate::{Algorithm, KeyError};

/// A key set larger than this is none.
const MAX_BYTES: usize = 1 << 20;
/// More keys than this are not looked at.
const MAX_KEYS: usize = 256;
const TIMEOUT: Duration = Duration::from_secs(5);

/// Reads a key set. Keys that are not for signatures, of other algorithms or broken are passed over: one odd key
/// must not take the others away. `shared`: whether secrets may be in it, which is never so of what a URL gives.
pub(crate) fn read(text: &[u8], allowed: &[Algorithm], shared: bool) -> Result<Vec<Key>, KeyError> {
    let document: Value = serde_json::from_slice(text).map_err(|error| KeyError::Key(format!("no JSON: {error}")))?;
    let members = document.get("keys").and_then(Value::as_array);
    let members = members.ok_or_else(|| KeyError::Key("no key set: it has no array \"keys\"".into()))?;
    let mut keys = Vec::new();
    for member in members.iter().take(MAX_KEYS) {
        let kid = member.get("kid").and_then(Value::as_str).unwrap_or("");
        match key(member) {
            Ok(key) if key.algorithm.symmetric() && !shared => {
                tracing::warn!(kid, "a shared secret in a public key set is passed over");
            }
            Ok(key) if allowed.contains(&key.algorithm) => keys.push(key),
            Ok(key) => tracing::debug!(kid, algorithm = %key.algorithm, "a key of an algorithm that is not allowed"),
            Err(reason) => tracing::debug!(kid, reason, "a key of no use here is passed over"),
        }
    }
    if keys.is_empty() { Err(KeyError::Empty) } else { Ok(keys) }
}

fn key(member: &Value) -> Result<Key, &'static str> {
    let jwk = Jwk::deserialize(member).map_err(|_| "not a JWK")?;
    if matches!(&jwk.common.public_key_use, Some(other) if *other != PublicKeyUse::Signature) {
        return Err("not for signatures");
    }
    if matches!(&jwk.common.key_operations, Some(operations) if !operations.contains(&KeyOperations::Verify)) {
        return Err("not for verifying");
    }
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) => {
            // 2048 bits are 342 letters of base64; a leading zero byte makes it one or two more.
            if rsa.n.len() < 340 {
                return Err("an RSA key shorter than 2048 bits");
            }
            (Algorithm::Rs256, KeyAlgorithm::RS256)
        }
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
            (Algorithm::Es256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDsa, KeyAlgorithm::EdDSA)
        }
        AlgorithmParameters::OctetKey(_) => (Algorithm::Hs256, KeyAlgorithm::HS256),
        _ => return Err("another kind or curve"),
    };
    if jwk.common.key_algorithm.is_some_and(|algorithm| algorithm != named) {
        return Err("for another algorithm");
    }
    let verifier = DecodingKey::from_jwk(&jwk).map_err(|_| "its parameters can not be read")?;
    if algorithm == Algorithm::Hs256 {
        check_secret(verifier.try_get_as_bytes().unwrap_or_default()).map_err(|_| "a secret that is too short")?;
    }
    Ok(Key { kid: jwk.common.key_id.map(Into::into), algorithm, verifier })
}

/// Fetches a key set from a URL.
#[derive(Debug)]
pub(crate) struct Fetcher {
    uri: Uri,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

impl Fetcher {
    pub(crate) fn new(url: &str) -> Result<Self, KeyError> {
        let fail = |problem: String| KeyError::Fetch { url: url.to_owned(), problem };
        let uri: Uri = url.parse().map_err(|error| fail(format!("not a URL: {error}")))?;
        if !matches!(uri.scheme_str(), Some("https" | "http")) || uri.host().is_none() {
            return Err(fail("must be an http:// or https:// URL".into()));
        }
        let roots = HttpsConnectorBuilder::new()
            .with_native_roots()
            .map_err(|error| fail(format!("the system's certificates can not be read: {error}")))?;
        let connector = roots.https_or_http().enable_http1().build();
        Ok(Self { uri, client: Client::builder(TokioExecutor::new()).build(connector) })
    }

    pub(crate) async fn fetch(&self) -> Result<Bytes, KeyError> {
        let fail = |problem: String| KeyError::Fetch { url: self.uri.to_string(), problem };
        let exchange = async {
            let response = self.client.get(self.uri.clone()).await.map_err(|error| with_sources(&error))?;
            // Redirects are not followed: keys come from where the operator said, or not at all.
            if response.status() != hyper::StatusCode::OK {
                return Err(format!("answered {}", response.status()));
            }
            let body = Limited::new(response.into_body(), MAX_BYTES).collect().await;
            body.map(http_body_util::Collected::to_bytes).map_err(|error| format!("the answer broke off: {error}"))
        };
        match tokio::time::timeout(TIMEOUT, exchange).await {
            Ok(answer) => answer.map_err(fail),
            Err(_) => Err(fail(format!("no answer within {} s", TIMEOUT.as_secs()))),
        }
    }
}

/// An error with what lies beneath it: "client error (Connect)" alone helps nobody.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

//! Keys from a URL: fetched once, again for a key that is not known but not too often, kept while the source is away.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Map, json};
use tidegate_gate::{Algorithm, ClaimMapping, KeySource, Signer, TokenError, TokenOptions, TokenRequest, Tokens};
use tidegate_protocol::code::ErrorCode;

const NOW: i64 = 1_800_000_000_000;

/// An identity provider.
struct Issuer {
    url: String,
    asked: Arc<AtomicUsize>,
    answer: Arc<Mutex<(StatusCode, String)>>,
}

impl Issuer {
    async fn start(keys: &[&Signer]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let issuer = Self { url, asked: Arc::default(), answer: Arc::new(Mutex::new((StatusCode::OK, set(keys)))) };
        let (asked, answer) = (issuer.asked.clone(), issuer.answer.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (asked, answer) = (asked.clone(), answer.clone());
                let service = service_fn(move |_| {
                    asked.fetch_add(1, Ordering::SeqCst);
                    let (status, text) = answer.lock().unwrap().clone();
                    async move { Response::builder().status(status).body(Full::new(Bytes::from(text))) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        issuer
    }

    fn answers(&self, status: StatusCode, text: impl Into<String>) {
        *self.answer.lock().unwrap() = (status, text.into());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn tokens(&self) -> Tokens {
        let all = Algorithm::ALL;
        Tokens::new(TokenOptions::new(all, KeySource::JwksUrl(self.url.clone()))).unwrap()
    }
}

fn set(keys: &[&Signer]) -> String {
    json!({"keys": keys.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()}).to_string()
}

fn signer(kid: &str) -> Signer {
    Signer::generate(Algorithm::EdDsa).unwrap().0.with_kid(kid)
}

fn token(signer: &Signer) -> String {
    let request = TokenRequest {
        tenant: "acme".into(),
        subject: "ada".into(),
        roles: Vec::new(),
        issued_at: NOW,
        lifetime_s: 86_400,
        issuer: None,
        audience: None,
        claims: Map::new(),
    };
    signer.token(&request, &ClaimMapping::default()).unwrap()
}

#[tokio::test]
async fn fetched_once_for_many_tokens_and_again_when_old() {
    let one = signer("one");
    let issuer = Issuer::start(&[&one]).await;
    let tokens = issuer.tokens();
    for _ in 0..20 {
        tokens.verify(&token(&one), NOW).await.unwrap();
    }
    assert_eq!(issuer.asked(), 1);
    tokens.verify(&token(&one), NOW + 599_999).await.unwrap();
    assert_eq!(issuer.asked(), 1);
    tokens.verify(&token(&one), NOW + 600_000).await.unwrap();
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn many_first_tokens_at_once_ask_once() {
    let one = signer("one");
    let issuer = Issuer::start(&[&one]).await;
    let tokens = Arc::new(issuer.tokens());
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (tokens, token) = (tokens.clone(), token(&one));
            tokio::spawn(async move { tokens.verify(&token, NOW).await.is_ok() })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn a_rotated_key_is_found_and_made_up_kids_do_not_flood_the_issuer() {
    let (one, two) = (signer("one"), signer("two"));
    let issuer = Issuer::start(&[&one]).await;
    let tokens = issuer.tokens();
    tokens.verify(&token(&one), NOW).await.unwrap();
    issuer.answers(StatusCode::OK, set(&[&one, &two]));
    // Too early to ask again: not final, since the key may well be there.
    let early = tokens.verify(&token(&two), NOW + 1000).await.unwrap_err();
    assert_eq!((early.code(), issuer.asked()), (ErrorCode::KeysUnavailable, 1));
    tokens.verify(&token(&two), NOW + 30_000).await.unwrap();
    assert_eq!(issuer.asked(), 2);
    for at in 0..1000 {
        assert!(
            tokens.verify(&token(&one.clone().with_kid(format!("made up {at}"))), NOW + 30_000 + at).await.is_err()
        );
    }
    assert_eq!(issuer.asked(), 2);
    let known_not_to_be = tokens.verify(&token(&signer("three")), NOW + 90_000).await;
    assert!(matches!(known_not_to_be, Err(TokenError::UnknownKey { .. })), "{known_not_to_be:?}");
}

#[tokio::test]
async fn the_last_good_keys_stay_while_the_issuer_is_away() {
    let one = signer("one");
    let issuer = Issuer::start(&[&one]).await;
    let tokens = issuer.tokens();
    tokens.verify(&token(&one), NOW).await.unwrap();
    for (status, text) in [
        (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
        (StatusCode::OK, "<html>".to_owned()),
        (StatusCode::OK, json!({"keys": []}).to_string()),
        (StatusCode::FOUND, String::new()),
        (StatusCode::OK, "x".repeat(2 << 20)),
    ] {
        issuer.answers(status, text);
        tokens.verify(&token(&one), NOW + 700_000).await.unwrap();
    }
    // Asked once, then kept off by the back-off.
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn an_issuer_that_was_never_there_is_asked_with_back_off() {
    let one = signer("one");
    let issuer = Issuer::start(&[&one]).await;
    issuer.answers(StatusCode::SERVICE_UNAVAILABLE, "");
    let tokens = issuer.tokens();
    for at in 0..100 {
        let away = tokens.verify(&token(&one), NOW + at).await.unwrap_err();
        assert_eq!(away.code(), ErrorCode::KeysUnavailable);
    }
    assert_eq!(issuer.asked(), 1);
    assert!(tokens.refresh(NOW + 1000).await.is_err());
    assert!(tokens.refresh(NOW + 2999).await.is_ok(), "not due, so not asked");
    assert_eq!(issuer.asked(), 2);
    issuer.answers(StatusCode::OK, set(&[&one]));
    tokens.verify(&token(&one), NOW + 3000).await.unwrap();
}

#[tokio::test]
async fn a_secret_in_a_public_key_set_is_not_taken() {
    let secret = Signer::hs256(b"a secret of at least thirty-two bytes").with_kid("s");
    let issuer = Issuer::start(&[&secret]).await;
    let refused = issuer.tokens().verify(&token(&secret), NOW).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::KeysUnavailable);
}

#[tokio::test]
async fn new_terms_apply_once_they_are_installed() {
    let (key, other) = (signer("a"), signer("b"));
    let (issuer, newer) = (Issuer::start(&[&key]).await, Issuer::start(&[&other]).await);
    let tokens = issuer.tokens();
    tokens.verify(&token(&key), NOW).await.unwrap();

    // Another mapping of claims: the keys that are at hand are kept, so nobody waits for the issuer.
    let mut options = TokenOptions::new(Algorithm::ALL, KeySource::JwksUrl(issuer.url.clone()));
    options.claims.roles = "groups".into();
    issuer.answers(StatusCode::SERVICE_UNAVAILABLE, "");
    let terms = tokens.renew(options, NOW).await.unwrap();
    tokens.install(terms);
    tokens.verify(&token(&key), NOW).await.unwrap();
    assert_eq!(issuer.asked(), 1);

    // Another issuer: asked before it counts; if it does not answer, nothing changes.
    let options = TokenOptions::new(Algorithm::ALL, KeySource::JwksUrl(newer.url.clone()));
    newer.answers(StatusCode::SERVICE_UNAVAILABLE, "");
    assert!(tokens.renew(options.clone(), NOW).await.is_err());
    tokens.verify(&token(&key), NOW).await.unwrap();
    newer.answers(StatusCode::OK, set(&[&other]));
    let terms = tokens.renew(options, NOW).await.unwrap();
    assert!(tokens.verify(&token(&other), NOW).await.is_err(), "not before it is installed");
    tokens.install(terms);
    tokens.verify(&token(&other), NOW).await.unwrap();
    assert!(tokens.verify(&token(&key), NOW).await.is_err(), "the older keys count no more");
}

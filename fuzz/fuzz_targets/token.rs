#![no_main]
//! Tokens: no text is one by accident, and of those that are signed only what the rules say is let in.
//!
//! An input is a token as it is; and, with its first line as header and the rest as claims, one that is signed
//! with the right key.

use std::cell::LazyCell;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tidegate_fuzz::first_line;
use tidegate_gate::{Algorithm, KeySource, Principal, TokenOptions, Tokens};

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
const NOW: i64 = 1_800_000_000_000;
const SKEW: i64 = 30_000;

thread_local! {
    static TOKENS: LazyCell<Tokens> = const { LazyCell::new(|| {
        let options = TokenOptions {
            issuer: Some("https://id.example/".into()),
            audience: vec!["tidegate".into()],
            ..TokenOptions::new([Algorithm::Hs256], KeySource::Secret(SECRET.to_vec()))
        };
        Tokens::new(options).expect("a secret")
    }) };
}

fuzz_target!(|text: &str| {
    assert!(verify(text).is_none(), "let in without a signature: {text:?}");
    let (header, claims) = first_line(text);
    let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET);
    let signature = BASE64.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes()));
    let Some(principal) = verify(&format!("{signed}.{signature}")) else { return };

    let header: Value = serde_json::from_str(header).expect("a header is JSON");
    assert_eq!(header["alg"], "HS256");
    assert!(header["crit"].is_null());
    let claims: Value = serde_json::from_str(claims).expect("claims are JSON");
    assert_eq!(claims["iss"], "https://id.example/");
    assert!(names(&claims["aud"]).any(|name| name == "tidegate"));
    assert_eq!(claims["tenant"], *principal.tenant);
    assert!(tidegate_protocol::ids::is_tenant(&principal.tenant));
    assert_eq!(claims["sub"], *principal.subject);
    let seconds = |claim: &str| claims[claim].as_f64().map(|seconds| seconds * 1000.0);
    assert!(seconds("exp").expect("it expires") + SKEW as f64 > NOW as f64);
    for claim in ["nbf", "iat"] {
        assert!(seconds(claim).unwrap_or_default() <= (NOW + SKEW) as f64, "{claim}");
    }
});

/// Who a token speaks for; keys that are at hand are not waited for.
fn verify(token: &str) -> Option<Principal> {
    TOKENS.with(|tokens| {
        let verdict = pin!(tokens.verify(token, NOW));
        match verdict.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(verdict) => verdict.ok(),
            Poll::Pending => panic!("it waits for a key that is there"),
        }
    })
}

/// A name, or the names of a list.
fn names(value: &Value) -> impl Iterator<Item = &str> {
    value.as_str().into_iter().chain(value.as_array().into_iter().flatten().filter_map(Value::as_str))
}

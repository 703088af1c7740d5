//! Tokens, good and hostile.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tidegate_gate::{
    Algorithm, ClaimMapping, KeyError, KeySource, Principal, Signer, TokenError, TokenOptions, TokenRequest, Tokens,
};
use tidegate_protocol::code::ErrorCode;

const NOW: i64 = 1_800_000_000_000;
const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

fn request() -> TokenRequest {
    TokenRequest {
        tenant: "acme".into(),
        subject: "ada".into(),
        roles: vec!["clerk".into()],
        issued_at: NOW,
        lifetime_s: 600,
        issuer: None,
        audience: None,
        claims: Map::new(),
    }
}

fn hs256() -> TokenOptions {
    TokenOptions::new([Algorithm::Hs256], KeySource::Secret(SECRET.to_vec()))
}

/// A token of these claims on top of good ones; `null` takes one away.
fn signed(changes: &Value) -> String {
    let mut claims = json!({"tenant": "acme", "sub": "ada", "exp": NOW / 1000 + 600}).as_object().unwrap().clone();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.remove(name),
            value => claims.insert(name.clone(), value.clone()),
        };
    }
    Signer::hs256(SECRET).sign(&claims).unwrap()
}

/// A token of any header, with a signature that is given.
fn forged(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}

async fn verify(options: TokenOptions, token: &str) -> Result<Principal, TokenError> {
    Tokens::new(options).unwrap().verify(token, NOW).await
}

fn file(folder: &tempfile::TempDir, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// A signer and the options that trust it, by way of a JWKS file.
fn pair(folder: &tempfile::TempDir, algorithm: Algorithm) -> (Signer, TokenOptions) {
    let signer = Signer::generate(algorithm).unwrap().0.with_kid("k1");
    let path = file(folder, "jwks.json", json!({"keys": [signer.jwk()]}).to_string());
    (signer, TokenOptions::new([algorithm], KeySource::JwksFile(path)))
}

#[tokio::test]
async fn each_algorithm_there_and_back() {
    for algorithm in Algorithm::ALL {
        let folder = tempfile::tempdir().unwrap();
        let (signer, options) = pair(&folder, algorithm);
        let token = signer.token(&request(), &ClaimMapping::default()).unwrap();
        let principal = verify(options, &token).await.unwrap();
        assert_eq!((&*principal.tenant, &*principal.subject), ("acme", "ada"), "{algorithm}");
        assert_eq!(&*principal.roles, ["clerk".into()]);
        assert_eq!((principal.issued_at, principal.expires), (Some(NOW), NOW + 600_000));
        assert_eq!(principal.ends, NOW + 630_000);
    }
}

#[tokio::test]
async fn claims_are_found_where_the_mapping_puts_them() {
    let mapping = ClaimMapping {
        tenant: "app.org.id".into(),
        tenant_prefix: Some("org:".into()),
        subject: "uid".into(),
        roles: "https://tide.example/roles".into(),
        role_prefix: Some("tide:".into()),
    };
    let token = Signer::hs256(SECRET).token(&request(), &mapping).unwrap();
    let principal = verify(TokenOptions { claims: mapping, ..hs256() }, &token).await.unwrap();
    assert_eq!((&*principal.tenant, &*principal.subject, &*principal.roles[0]), ("acme", "ada", "clerk"));
    assert_eq!(principal.claims.read()["app"]["org"]["id"], "org:acme");
}

#[tokio::test]
async fn alg_none_is_refused_in_every_spelling() {
    let claims = json!({"tenant": "acme", "sub": "ada", "exp": NOW / 1000 + 600});
    for name in ["none", "None", "NONE", "nOnE", "", "hs256", "HS256 ", "HS384", "PS256"] {
        let token = forged(&json!({"alg": name}), &claims, "");
        assert!(matches!(verify(hs256(), &token).await, Err(TokenError::Algorithm(_))), "{name}");
    }
    let stripped = forged(&json!({"alg": "HS256"}), &claims, "");
    assert!(matches!(verify(hs256(), &stripped).await, Err(TokenError::Signature { .. })));
}

#[tokio::test]
async fn a_public_key_is_no_hmac_secret() {
    let folder = tempfile::tempdir().unwrap();
    let jwk = Signer::generate(Algorithm::Rs256).unwrap().0.with_kid("k1").jwk();
    let set = json!({"keys": [jwk]}).to_string();
    let path = file(&folder, "jwks.json", &set);
    // Both families are allowed, and still a key only verifies with its own.
    let options = TokenOptions::new([Algorithm::Rs256, Algorithm::Hs256], KeySource::JwksFile(path));
    let modulus = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    for secret in [&*modulus, jwk["n"].as_str().unwrap().as_bytes(), set.as_bytes()] {
        let token = Signer::hs256(secret).with_kid("k1").token(&request(), &ClaimMapping::default()).unwrap();
        let refused = verify(options.clone(), &token).await.unwrap_err();
        assert!(matches!(refused, TokenError::UnknownKey { .. }), "no key was even tried: {refused}");
    }
}

#[tokio::test]
async fn who_signs_with_a_secrets_file_leaves_out_its_line_break_too() {
    let folder = tempfile::tempdir().unwrap();
    for end in ["", "\n", "\r\n"] {
        let source = KeySource::SecretFile(file(&folder, "secret", [SECRET, end.as_bytes()].concat()));
        assert_eq!(source.secret().unwrap().as_deref(), Some(SECRET), "{end:?}");
        let token = Signer::hs256(SECRET).token(&request(), &ClaimMapping::default()).unwrap();
        verify(TokenOptions::new([Algorithm::Hs256], source), &token).await.unwrap();
    }
}

#[test]
fn a_pem_is_refused_as_a_secret_and_a_secret_as_a_pem() {
    let folder = tempfile::tempdir().unwrap();
    let (_, private) = Signer::generate(Algorithm::Es256).unwrap();
    let pem = file(&folder, "key.pem", &private);
    let secret = file(&folder, "secret", SECRET);
    let short = file(&folder, "short", "too short\n");
    let all = Algorithm::ALL;
    for (source, expected) in [
        (KeySource::SecretFile(pem.clone()), "PEM"),
        (KeySource::PemFile(pem), "private key"),
        (KeySource::PemFile(secret), "not a PEM file"),
        (KeySource::SecretFile(short), "32 bytes"),
        (KeySource::Secret(b"short".to_vec()), "32 bytes"),
        (KeySource::SecretFile(folder.path().join("absent")), "absent"),
        (KeySource::JwksUrl("ftp://x".into()), "http"),
    ] {
        let error = Tokens::new(TokenOptions::new(all, source)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let misfit = Tokens::new(TokenOptions::new([Algorithm::Rs256], KeySource::Secret(SECRET.to_vec())));
    assert_eq!(misfit.unwrap_err(), KeyError::Algorithm { found: Algorithm::Hs256 });
}

#[tokio::test]
async fn public_keys_in_pem() {
    let folder = tempfile::tempdir().unwrap();
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let (old, new) = (Signer::generate(algorithm).unwrap().0, Signer::generate(algorithm).unwrap().0);
        let other = Signer::generate(algorithm).unwrap().0;
        let text = [old.public_pem().unwrap(), new.public_pem().unwrap()].concat();
        let options = TokenOptions::new([algorithm], KeySource::PemFile(file(&folder, "keys.pem", text)));
        // Two of a kind, as when keys are rotated: either may have signed.
        for signer in [&old, &new, &new.clone().with_kid("any")] {
            let token = signer.token(&request(), &ClaimMapping::default()).unwrap();
            assert!(verify(options.clone(), &token).await.is_ok(), "{algorithm}");
        }
        let token = other.token(&request(), &ClaimMapping::default()).unwrap();
        assert!(matches!(verify(options, &token).await, Err(TokenError::Signature { .. })), "{algorithm}");
    }
}

#[test]
fn keys_of_other_curves_and_forms_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let p384 = "-----BEGIN PUBLIC KEY-----\n\
        MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEqofKIr6LBTeOscce8yCtdG4dO2KLp5uY\n\
        WfdB4IJUKjhVAvJdv1UpbDpUXjhydgq3NhfeSpYmLG9dnpi/kpLcKfj0Hb0omhR8\n\
        6doxE7XwuMAKYLHOHX6BnXpDHXyQ6g5f\n-----END PUBLIC KEY-----\n";
    for (text, expected) in [
        (p384, "another curve than P-256"),
        ("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", "openssl x509 -pubkey"),
        ("-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n", "no RSA, P-256 or Ed25519"),
    ] {
        let source = KeySource::PemFile(file(&folder, "key.pem", text));
        let error = Tokens::new(TokenOptions::new(Algorithm::ALL, source)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_line_break_at_the_end_of_a_secret_file_is_not_part_of_it() {
    let folder = tempfile::tempdir().unwrap();
    for end in ["", "\n", "\r\n"] {
        let path = file(&folder, "secret", [SECRET, end.as_bytes()].concat());
        let options = TokenOptions::new([Algorithm::Hs256], KeySource::SecretFile(path));
        assert!(verify(options, &signed(&json!({}))).await.is_ok(), "{end:?}");
    }
}

#[tokio::test]
async fn a_token_that_never_ends_ends_at_the_last_time_that_frames_can_say() {
    for never in [json!(i64::MAX), json!(u64::MAX), json!(1e300), json!(9_999_999_999_999_i64)] {
        let principal = verify(hs256(), &signed(&json!({"exp": never}))).await.unwrap();
        assert_eq!(principal.expires, (1 << 53) - 1, "{never}");
    }
}

#[tokio::test]
async fn times_are_checked_with_the_skew_and_not_beyond() {
    let seconds = NOW / 1000;
    for (changes, good) in [
        (json!({"exp": seconds}), true),
        (json!({"exp": seconds - 29}), true),
        (json!({"exp": seconds as f64 - 29.5}), true),
        (json!({"exp": seconds - 30}), false),
        (json!({"exp": 0}), false),
        (json!({"exp": -1}), false),
        (json!({"nbf": seconds + 30}), true),
        (json!({"nbf": seconds + 31}), false),
        (json!({"iat": seconds + 30}), true),
        (json!({"iat": seconds + 31}), false),
        (json!({"exp": i64::MAX}), true),
        (json!({"nbf": i64::MAX}), false),
        (json!({"exp": null}), false),
        (json!({"exp": "soon"}), false),
        (json!({"exp": [seconds + 9]}), false),
        (json!({"nbf": "x"}), false),
    ] {
        assert_eq!(verify(hs256(), &signed(&changes)).await.is_ok(), good, "{changes}");
    }
    let expired = verify(hs256(), &signed(&json!({"exp": seconds - 60}))).await.unwrap_err();
    assert_eq!((expired.code(), &expired), (ErrorCode::TokenExpired, &TokenError::Expired(60_000)));
}

#[tokio::test]
async fn a_token_may_be_good_for_so_long_and_no_longer() {
    let seconds = NOW / 1000;
    for (changes, good) in [
        (json!({"iat": seconds - 100, "exp": seconds + 500}), true),
        (json!({"iat": seconds - 100, "exp": seconds + 501}), false),
        (json!({"exp": seconds + 1}), false),
        (json!({"iat": -1, "exp": i64::MAX}), false),
    ] {
        let options = TokenOptions { max_life_ms: Some(600_000), ..hs256() };
        assert_eq!(verify(options, &signed(&changes)).await.is_ok(), good, "{changes}");
        assert!(verify(hs256(), &signed(&changes)).await.is_ok(), "without the bound all of them are: {changes}");
    }
}

#[tokio::test]
async fn issuer_and_audience_are_compared_whole() {
    let options = TokenOptions { issuer: Some("https://id.example/".into()), ..hs256() };
    for (changes, good) in [
        (json!({"iss": "https://id.example/"}), true),
        (json!({"iss": "https://id.example"}), false),
        (json!({"iss": ["https://id.example/"]}), false),
        (json!({}), false),
    ] {
        assert_eq!(verify(options.clone(), &signed(&changes)).await.is_ok(), good, "{changes}");
    }
    let options = TokenOptions { audience: vec!["tidegate".into(), "tide".into()], ..hs256() };
    for (changes, good) in [
        (json!({"aud": "tidegate"}), true),
        (json!({"aud": ["other", "tide"]}), true),
        (json!({"aud": "other"}), false),
        (json!({"aud": []}), false),
        (json!({"aud": {"tide": true}}), false),
        (json!({}), false),
    ] {
        assert_eq!(verify(options.clone(), &signed(&changes)).await.is_ok(), good, "{changes}");
    }
    let refused = verify(hs256(), &signed(&json!({"aud": "somebody else"}))).await;
    assert_eq!(refused, Err(TokenError::AudienceNotSet));
}

#[tokio::test]
async fn the_tenant_must_be_one() {
    for tenant in
        [json!(null), json!(["acme"]), json!(["acme", "globex"]), json!(""), json!("*"), json!("a.b"), json!("a/b")]
    {
        let refused = verify(hs256(), &signed(&json!({"tenant": tenant}))).await.unwrap_err();
        assert!(matches!(&refused, TokenError::Claim { claim, .. } if claim == "tenant"), "{tenant}: {refused}");
        assert_eq!((refused.code(), refused.public()), (ErrorCode::InvalidToken, "the token is not valid here"));
    }
}

#[tokio::test]
async fn claims_that_repeat_a_member_say_two_things() {
    let signed = |claims: &str| {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(claims));
        let key = jsonwebtoken::EncodingKey::from_secret(SECRET);
        let sign = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).unwrap();
        format!("{signed}.{sign}")
    };
    let claims =
        r#"{"tenant":"acme","sub":"ada","exp":1800000600,"app":{"org":{"id":[1,{"x":1.5,"y":-1}]}},"n":null,"f":true}"#;
    let principal = verify(hs256(), &signed(claims)).await.unwrap();
    assert_eq!(Value::Object(principal.claims.read()), serde_json::from_str::<Value>(claims).unwrap());
    for (once, twice) in [
        (r#""sub""#, r#""tenant":"globex","sub""#),
        (r#""sub""#, r#""t\u0065nant":"globex","sub""#),
        (r#""exp""#, r#""\u0073ub":"eve","exp""#),
        (r#""x":1.5"#, r#""x":1.5,"x":2"#),
        (r#""n":null"#, r#""n":null,"n":null"#),
    ] {
        let refused = verify(hs256(), &signed(&claims.replacen(once, twice, 1))).await;
        assert!(matches!(refused, Err(TokenError::Malformed(_))), "{twice}: {refused:?}");
    }
    let twice = forged(&json!({"alg": "HS256"}), &json!({"sub": "ada"}), "AAAA");
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT","t\u0079p":"x"}"#);
    let twice = twice.replacen(twice.split('.').next().unwrap(), &header, 1);
    assert!(matches!(verify(hs256(), &twice).await, Err(TokenError::Malformed(_))));
    for no_claims in ["[]", "null", "\"x\"", "", "{}{}"] {
        assert!(matches!(verify(hs256(), &signed(no_claims)).await, Err(TokenError::Malformed(_))), "{no_claims}");
    }
}

#[tokio::test]
async fn a_token_too_long_is_not_looked_into() {
    let long = signed(&json!({"pad": "x".repeat(16 * 1024)}));
    assert!(matches!(verify(hs256(), &long).await, Err(TokenError::Oversize { .. })));
}

#[tokio::test]
async fn extensions_and_keys_in_the_header_change_nothing() {
    let claims = json!({"tenant": "acme", "sub": "ada", "exp": NOW / 1000 + 600});
    let critical = forged(&json!({"alg": "HS256", "crit": ["b64"], "b64": false}), &claims, "AAAA");
    assert!(matches!(verify(hs256(), &critical).await, Err(TokenError::Malformed(_))));
    // A key that the token brings along is not a key.
    let folder = tempfile::tempdir().unwrap();
    let (_, options) = pair(&folder, Algorithm::EdDsa);
    let (evil, pem) = Signer::generate(Algorithm::EdDsa).unwrap();
    let header = json!({"alg": "EdDSA", "kid": "k1", "jwk": evil.jwk(), "jku": "http://127.0.0.1:1/"});
    let unsigned = forged(&header, &claims, "");
    let message = unsigned.trim_end_matches('.');
    let key = jsonwebtoken::EncodingKey::from_ed_pem(pem.as_bytes()).unwrap();
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::EdDSA).unwrap();
    let refused = verify(options, &format!("{message}.{signature}")).await;
    assert!(matches!(refused, Err(TokenError::Signature { .. })), "{refused:?}");
}

#[tokio::test]
async fn kid_selects_and_an_unknown_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let one = Signer::generate(Algorithm::Es256).unwrap().0.with_kid("one");
    let two = Signer::generate(Algorithm::Es256).unwrap().0.with_kid("two");
    let path = file(&folder, "jwks.json", json!({"keys": [one.jwk(), two.jwk()]}).to_string());
    let tokens = Tokens::new(TokenOptions::new([Algorithm::Es256], KeySource::JwksFile(path.clone()))).unwrap();
    let token = |signer: &Signer| signer.token(&request(), &ClaimMapping::default()).unwrap();
    assert!(tokens.verify(&token(&one), NOW).await.is_ok() && tokens.verify(&token(&two), NOW).await.is_ok());
    let swapped = tokens.verify(&token(&two.clone().with_kid("one")), NOW).await;
    assert!(matches!(swapped, Err(TokenError::Signature { .. })), "{swapped:?}");
    let three = Signer::generate(Algorithm::Es256).unwrap().0.with_kid("three");
    // The file is asked again first, so that this is known for sure; then it is final.
    let unknown = tokens.verify(&token(&three), NOW + 10_000).await;
    assert!(matches!(unknown, Err(TokenError::UnknownKey { .. })), "{unknown:?}");
    // A file that has changed is read again.
    std::fs::write(&path, json!({"keys": [three.jwk()]}).to_string()).unwrap();
    assert!(tokens.verify(&token(&three), NOW + 20_000).await.is_ok());
    // One that has become worthless leaves the last good keys.
    std::fs::write(&path, "{").unwrap();
    assert!(tokens.verify(&token(&three), NOW + 30_000).await.is_ok());
}

#[tokio::test]
async fn a_key_set_is_read_with_tolerance_for_others_keys() {
    let folder = tempfile::tempdir().unwrap();
    let good = Signer::generate(Algorithm::Es256).unwrap().0.with_kid("good");
    let set = json!({"keys": [
        {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}, {"kty": "quantum"}, 7, {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "OKP", "crv": "X25519", "x": "AA"}, {"kty": "oct", "k": "c2hvcnQ"}, good.jwk(),
    ]});
    let path = file(&folder, "jwks.json", set.to_string());
    let options = TokenOptions::new(Algorithm::ALL, KeySource::JwksFile(path));
    assert!(verify(options, &good.token(&request(), &ClaimMapping::default()).unwrap()).await.is_ok());
    for useless in [json!({}), json!({"keys": []}), json!({"keys": [{"kty": "quantum"}]}), json!([])] {
        let path = file(&folder, "useless.json", useless.to_string());
        assert!(Tokens::new(TokenOptions::new(Algorithm::ALL, KeySource::JwksFile(path))).is_err(), "{useless}");
    }
    let mut for_encryption = good.jwk();
    for_encryption["use"] = "enc".into();
    let path = file(&folder, "enc.json", json!({"keys": [for_encryption]}).to_string());
    assert!(Tokens::new(TokenOptions::new(Algorithm::ALL, KeySource::JwksFile(path))).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_text_is_a_token_by_accident(text in "\\PC{0,200}|[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,80}") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        prop_assert!(runtime.block_on(verify(hs256(), &text)).is_err());
    }

    #[test]
    fn any_change_of_a_byte_is_noticed(at in 0usize..1000, flip in 1u8..128) {
        let token = signed(&json!({}));
        let mut bytes = token.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        let Ok(changed) = String::from_utf8(bytes) else { return Ok(()) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        prop_assert!(runtime.block_on(verify(hs256(), &changed)).is_err(), "{changed}");
    }
}

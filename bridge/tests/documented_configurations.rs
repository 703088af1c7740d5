//! The configurations that the documents show are valid, and give nothing to warn of.

use std::fs;
use std::path::{Path, PathBuf};

use tidegate::config;
use tidegate_gate::{Content, Facts, Principal};

#[test]
fn the_readme_s() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let (_, from) = readme.split_once("```toml\n").expect("a TOML block");
    let (block, _) = from.split_once("```").expect("its end");
    check(block, "README.md");
}

#[test]
fn the_one_for_compose() {
    let text = fs::read_to_string(root().join("deploy/compose/tidegate.toml")).expect("the file");
    let text = text.replace("/run/secrets/token_secret", "secret").replace("/run/secrets/cursor_key", "cursor_key");
    check(&text, "deploy/compose/tidegate.toml");
}

/// The three usual cases: valid, and they let through what the document says of them.
#[test]
fn those_of_the_policy() {
    let document = fs::read_to_string(root().join("docs/policy.md")).expect("docs/policy.md");
    let blocks = document.split("```toml\n").skip(1).filter_map(|rest| rest.split_once("```"));
    let configs: Vec<_> = blocks.map(|(block, _)| check(block, "docs/policy.md")).collect();
    let [per_tenant, shared, rows] = configs.try_into().expect("three cases");

    let clerk = principal(&["clerk"], "{}");
    let access = per_tenant.policy().subscribe(&clerk, "orders").expect("granted");
    assert_eq!(&**access.physical(), "acme.orders");

    let access = shared.policy().subscribe(&clerk, "carts").expect("granted");
    let cart = |tenant| Event { topic: "shop.carts", tenant, content: Content::new("{}", None, &(), 0) };
    assert!(access.admit(&cart("acme")).is_ok() && access.admit(&cart("globex")).is_err());
    assert!(shared.policy().offer(&clerk, "shipments").is_err(), "what a service writes is read only");

    let sees = |roles: &[&str], claims: &str, event: &str| {
        let access = rows.policy().subscribe(&principal(roles, claims), "orders").expect("granted");
        let content = Content::new(event, None, &(), 0);
        access.admit(&Event { topic: "acme.orders", tenant: "acme", content }).is_ok()
    };
    let (own, other) = (r#"{"data":{"customer":"ada","depot":"d1"}}"#, r#"{"data":{"customer":"bob","depot":"d1"}}"#);
    assert!(sees(&["customer"], "{}", own) && !sees(&["customer"], "{}", other));
    assert!(sees(&["staff"], "{}", own) && sees(&["staff"], "{}", other));
    let depots = r#"{"depots":["d1","d2"]}"#;
    let created = r#"{"type":"order.created","data":{"depot":"d2"}}"#;
    assert!(sees(&["driver"], depots, created) && !sees(&["driver"], r#"{"depots":["d9"]}"#, created));
    assert!(!sees(&["driver"], depots, r#"{"type":"order.priced","data":{"depot":"d2"}}"#));
}

struct Event<'a> {
    topic: &'a str,
    tenant: &'a str,
    content: Content<'a>,
}

impl Facts for Event<'_> {
    fn topic(&self) -> &str {
        self.topic
    }

    fn tenant(&self) -> &str {
        self.tenant
    }

    fn content(&self) -> Option<&Content<'_>> {
        Some(&self.content)
    }
}

/// `ada` of `acme`.
fn principal(roles: &[&str], claims: &str) -> Principal {
    let mut claims: serde_json::Map<String, serde_json::Value> = serde_json::from_str(claims).expect("claims");
    claims.insert("sub".into(), "ada".into());
    Principal {
        tenant: "acme".into(),
        subject: "ada".into(),
        roles: roles.iter().map(|&role| role.into()).collect(),
        issued_at: None,
        expires: i64::MAX,
        ends: i64::MAX,
        token_id: None,
        claims: claims.into(),
    }
}

/// Loads the text from a folder that has the secret it names.
fn check(text: &str, name: &str) -> config::Config {
    let folder = tempfile::tempdir().expect("a folder");
    for secret in ["secret", "cursor_key"] {
        // What `openssl rand -base64 32` writes.
        fs::write(folder.path().join(secret), "bm90IGEgc2VjcmV0LCBidXQgMzIgYnl0ZXMgb2YgaXQ=\n").expect("written");
    }
    let file = folder.path().join("tidegate.toml");
    fs::write(&file, text).expect("written");
    match config::load(Some(&file), std::iter::empty()) {
        Ok(loaded) => {
            assert!(loaded.warnings.is_empty(), "{name}: {}", loaded.warnings[0]);
            loaded.config
        }
        Err(problems) => panic!("{name}: {problems}"),
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

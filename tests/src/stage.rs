//! A stage: topics, keys and configuration of one test, on a Kafka that it shares with others or has for itself.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use tidegate_gate::{Algorithm, ClaimMapping, Signer, TokenRequest};

use crate::bridge::Bridge;
use crate::kafka::Kafka;

/// The broker that all tests share.
static SHARED: LazyLock<Arc<Kafka>> = LazyLock::new(|| Arc::new(Kafka::shared()));

/// The broker that the tests of one program share.
static OF_PROGRAM: LazyLock<Arc<Kafka>> = LazyLock::new(|| Arc::new(Kafka::start()));

/// What one test's bridges have in common. Names on Kafka are its own.
#[derive(Debug)]
pub struct Stage {
    /// The broker.
    pub kafka: Arc<Kafka>,
    run: String,
    directory: tempfile::TempDir,
    signers: [Signer; 2],
}

impl Stage {
    /// A stage on the shared broker.
    #[must_use]
    pub fn new() -> Self {
        Self::on(Arc::clone(&SHARED))
    }

    /// A stage on a broker that other programs don't use: for revocations, whose topic is everybody's.
    #[must_use]
    pub fn apart() -> Self {
        Self::on(Arc::clone(&OF_PROGRAM))
    }

    /// A stage on a broker of one's own.
    ///
    /// # Panics
    ///
    /// If its files can not be written.
    #[must_use]
    pub fn on(kafka: Arc<Kafka>) -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let run = id[..8].to_owned();
        let directory = tempfile::Builder::new().prefix("tidegate-stage-").tempdir().expect("a temporary directory");
        let signers = [(Algorithm::Hs256, "shared"), (Algorithm::Es256, "pair")]
            .map(|(algorithm, kid)| Signer::generate(algorithm).expect("a key is made").0.with_kid(kid));
        let keys: Vec<Value> = signers.iter().map(Signer::jwk).collect();
        let write = |name: &str, text: String| fs::write(directory.path().join(name), text).expect("a file is written");
        write("jwks.json", json!({ "keys": keys }).to_string());
        write("tidegate.toml", configuration(&kafka.bootstrap(), &run));
        Self { kafka, run, directory, signers }
    }

    /// The physical name of a tenant's topic `orders`.
    pub fn orders(&self, tenant: &str) -> String {
        format!("{tenant}.{}.orders", self.run)
    }

    /// The physical name of the topic `carts`, which tenants share.
    pub fn carts(&self) -> String {
        format!("{}.carts", self.run)
    }

    /// The configuration's file.
    pub fn configuration(&self) -> PathBuf {
        self.directory.path().join("tidegate.toml")
    }

    /// Starts a bridge, with settings changed by variables such as `TIDEGATE_WINDOW__BYTES`.
    pub fn bridge(&self, environment: &[(&str, &str)]) -> Bridge {
        Bridge::start(self, environment)
    }

    /// A token of an hour.
    pub fn token(&self, tenant: &str, subject: &str, role: &str) -> String {
        self.token_for(tenant, subject, role, 3600)
    }

    /// A token that expires after so many seconds, counted from the last full one.
    ///
    /// # Panics
    ///
    /// If it can not be signed.
    pub fn token_for(&self, tenant: &str, subject: &str, role: &str, seconds: i64) -> String {
        self.sign(tenant, subject, role, seconds, Map::new())
    }

    /// A member's token of an hour, with further claims (an object).
    pub fn token_with(&self, tenant: &str, subject: &str, claims: &Value) -> String {
        self.sign(tenant, subject, "member", 3600, claims.as_object().cloned().unwrap_or_default())
    }

    fn sign(&self, tenant: &str, subject: &str, role: &str, seconds: i64, claims: Map<String, Value>) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        let request = TokenRequest {
            tenant: tenant.into(),
            subject: subject.into(),
            roles: vec![role.into()],
            issued_at: now.as_millis() as i64,
            lifetime_s: seconds,
            issuer: None,
            audience: None,
            claims,
        };
        // Both kinds of key take turns, by subject.
        let signer = &self.signers[subject.len() % 2];
        signer.token(&request, &ClaimMapping::default()).expect("a token is signed")
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

fn configuration(bootstrap: &str, run: &str) -> String {
    format!(
        r#"
[server]
listen = "127.0.0.1:0"
node = "node-{run}"
drain_timeout = "1s"
[log.kafka]
bootstrap.servers = "{bootstrap}"
[tokens]
algorithms = ["HS256", "ES256"]
jwks_file = "jwks.json"
skew = "0s"
[cursors]
keys = ["{CURSOR_KEY}"]
[topics.orders]
physical = "{{tenant}}.{run}.orders"
tenant.from = "name"
[topics.carts]
physical = "{run}.carts"
tenant.from = "envelope"
key = "tenant/key"
[[grants]]
role = "member"
allow = ["subscribe", "publish", "replay"]
topics = ["*"]
[[grants]]
role = "viewer"
allow = ["subscribe"]
topics = ["*"]
[[grants]]
role = "operator"
allow = ["observe"]
topics = ["*"]
tenants = "*"
"#
    )
}

/// 32 bytes that every bridge of every test knows.
const CURSOR_KEY: &str = "dGlkZWdhdGUgdGVzdHMgY3Vyc29yIGtleSAzMiBieXQ=";

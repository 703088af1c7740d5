//! A stage without Kafka: the shipped bridge on its embedded log.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, json};
use tidegate_gate::{Algorithm, ClaimMapping, Signer, TokenRequest};

use crate::bridge::Bridge;

/// Keys, configuration and the embedded log of one test's bridge.
#[derive(Debug)]
pub struct Embedded {
    directory: tempfile::TempDir,
    signer: Signer,
}

impl Embedded {
    /// A stage of one's own.
    ///
    /// # Panics
    ///
    /// If its files can not be written.
    #[must_use]
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("tidegate-embedded-").tempdir().expect("a directory");
        let signer = Signer::generate(Algorithm::Hs256).expect("a key is made").0.with_kid("embedded");
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("it is written");
        write("jwks.json", &json!({ "keys": [signer.jwk()] }).to_string());
        write("tidegate.toml", CONFIGURATION);
        Self { directory, signer }
    }

    /// The configuration's file.
    pub fn configuration(&self) -> PathBuf {
        self.directory.path().join("tidegate.toml")
    }

    /// Starts the bridge, with settings changed by variables such as `TIDEGATE_WINDOW__BYTES`.
    pub fn bridge(&self, environment: &[(&str, &str)]) -> Bridge {
        Bridge::serve(&self.configuration(), self.token("operations", "observer", "operator"), environment)
    }

    /// A token of an hour.
    ///
    /// # Panics
    ///
    /// If it can not be signed.
    pub fn token(&self, tenant: &str, subject: &str, role: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        let request = TokenRequest {
            tenant: tenant.into(),
            subject: subject.into(),
            roles: vec![role.into()],
            issued_at: now.as_millis() as i64,
            lifetime_s: 3600,
            issuer: None,
            audience: None,
            claims: Map::new(),
        };
        self.signer.token(&request, &ClaimMapping::default()).expect("a token is signed")
    }
}

impl Default for Embedded {
    fn default() -> Self {
        Self::new()
    }
}

const CONFIGURATION: &str = r#"
[server]
listen = "127.0.0.1:0"
node = "embedded"
drain_timeout = "1s"
[log.sqlite]
path = "log.db"
partitions = 1
[tokens]
algorithms = ["HS256"]
jwks_file = "jwks.json"
skew = "0s"
[cursors]
keys = ["dGlkZWdhdGUgdGVzdHMgY3Vyc29yIGtleSAzMiBieXQ="]
[topics.orders]
physical = "{tenant}.orders"
tenant.from = "name"
[topics.carts]
physical = "carts"
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
"#;

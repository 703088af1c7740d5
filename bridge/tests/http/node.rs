//! A whole node in the test's process, on the embedded log.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tidegate::app::{Extras, Node, open_log};
use tidegate::clock::Clock;
use tidegate::config;
use tidegate_client::native::{Client, Options};
use tidegate_gate::{ClaimMapping, Signer, TokenRequest};

use crate::http::{Answer, Events, Request};

const SECRET: &str = "a secret of some length, for tests only";

/// A node with a log of its own.
pub struct Bridge {
    pub node: Node,
    pub at: SocketAddr,
    _folder: TempDir,
}

impl Bridge {
    pub async fn start(server: &str, limits: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            r#"
[server]
listen = "127.0.0.1:0"
shards = 2
drain_timeout = "1s"
{server}
[log.sqlite]
path = '{}'
partitions = 2
[tokens]
algorithms = ["HS256"]
secret = "{SECRET}"
skew = "0s"
[limits]
{limits}
[topics.orders]
tenant.from = "envelope"
key = "tenant/key"
[topics.audit]
physical = "{{tenant}}.audit"
tenant.from = "name"
[[grants]]
role = "member"
allow = ["subscribe", "publish", "replay"]
topics = ["*"]
[[grants]]
role = "viewer"
allow = ["subscribe"]
topics = ["orders"]
[[grants]]
role = "clerk"
allow = ["publish", "subscribe", "replay"]
topics = ["orders"]
where = "event.data.user == claims.sub"
[[grants]]
role = "raw"
allow = ["publish"]
topics = ["orders"]
positions = "raw"
"#,
            folder.path().join("log.sqlite").display()
        );
        let config = config::parse(&text, "the test's configuration", std::iter::empty());
        let config = config.unwrap_or_else(|problems| panic!("{problems}")).config;
        let log = open_log(&config.log).unwrap();
        let node = Node::start(&config, Arc::clone(&log), Extras::default()).await.unwrap();
        let at = node.server.address;
        let bridge = Self { node, at, _folder: folder };
        bridge.until("it is ready", async || bridge.get("/readyz").await.status == 200).await;
        bridge
    }

    pub async fn get(&self, path: &str) -> Answer {
        Request::new("GET", path).ask(self.at).await
    }

    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !holds().await {
            assert!(Instant::now() < deadline, "waited in vain until {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The value of a metric, by its name and labels as they are written; 0 when it is not there.
    pub async fn metric(&self, name: &str) -> u64 {
        let text = self.get("/metrics").await.body;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }

    pub async fn publish(&self, token: &str, body: impl Into<String>) -> Answer {
        Request::publish("orders", token, body).ask(self.at).await
    }

    pub async fn publish_numbers(&self, token: &str, numbers: std::ops::Range<i64>) {
        let events: Vec<String> = numbers.map(|n| format!(r#"{{"key":"k","event":{}}}"#, event(n))).collect();
        let answer = self.publish(token, format!("[{}]", events.join(","))).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    pub async fn client(&self, token: &str) -> Client {
        Client::connect(format!("ws://{}/v1/ws", self.at), Options::new(token)).await.unwrap()
    }
}

pub fn token_for(tenant: &str, subject: &str, role: &str, seconds: i64) -> String {
    let request = TokenRequest {
        tenant: tenant.into(),
        subject: subject.into(),
        roles: vec![role.into()],
        issued_at: Clock.now(),
        lifetime_s: seconds,
        issuer: None,
        audience: None,
        claims: Map::new(),
    };
    Signer::hs256(SECRET.as_bytes()).token(&request, &ClaimMapping::default()).unwrap()
}

pub fn token(tenant: &str, role: &str) -> String {
    token_for(tenant, "ada", role, 3600)
}

pub fn event(n: i64) -> String {
    json!({"type": "order.created", "data": {"n": n}}).to_string()
}

pub fn number(data: &str) -> i64 {
    serde_json::from_str::<Value>(data).unwrap()["data"]["n"].as_i64().unwrap()
}

pub async fn numbers(events: &mut Events, count: usize) -> Vec<i64> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        numbers.push(number(&events.named("order.created").await.data));
    }
    numbers
}

pub fn hello(token: &str) -> Value {
    json!({"hello": {"token": token, "client": "tab"}})
}

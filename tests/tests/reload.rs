//! Other rules while sessions are open: `SIGHUP` reads the file again, and only whom it concerns is told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use tidegate_client::native::Client;
use tidegate_gate::{ClaimMapping, Signer, TokenRequest};
use tidegate_tests::bridge::{connect, get};
use tidegate_tests::process::{Process, tidegate};
use tidegate_tests::raw::{Said, Session};
use tidegate_tests::until;

const SECRET: &str = "a secret of these tests, of 32 bytes or more";

/// What every configuration here begins with. A session that hears nothing hears no heartbeat either.
const HEAD: &str = r#"[server]
listen = "127.0.0.1:0"
node = "reloaded"
heartbeat_interval = "300s"
drain_timeout = "0s"
[log.sqlite]
path = "log.sqlite"
partitions = 1
[tokens]
algorithms = ["HS256"]
secret = "a secret of these tests, of 32 bytes or more"
[topics.orders]
physical = "{tenant}.orders"
[[grants]]
role = "writer"
allow = ["publish"]
topics = ["*"]
"#;

/// A bridge on the embedded log, and its configuration.
struct Reloaded {
    process: Process,
    address: SocketAddr,
    directory: tempfile::TempDir,
}

impl Reloaded {
    async fn start(grants: &str) -> Self {
        Self::start_with(&format!("{HEAD}{grants}")).await
    }

    async fn start_with(text: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = write(&directory, text);
        let process = Process::start(&["serve", "--config", file.to_str().expect("a path in UTF-8")], &[]);
        let address = process.word_after("serving address=").parse().expect("an address");
        until("it is ready", async || get(address, "/readyz").0 == 200).await;
        Self { process, address, directory }
    }

    /// Reads another file, and waits until that is over.
    async fn reload(&self, text: &str, outcome: &str) {
        write(&self.directory, text);
        let name = format!(r#"tidegate_policy_reloads_total{{outcome="{outcome}"}}"#);
        let before = self.metric(&name);
        self.process.hang_up();
        until("the file was read again", async || self.metric(&name) > before).await;
    }

    fn metric(&self, name: &str) -> i64 {
        let (_, text) = get(self.address, "/metrics");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().expect("a whole number"))
    }

    /// A session that is subscribed to the orders, live.
    async fn subscribed(&self, subject: &str, role: &str) -> Session {
        let mut session = Session::open(self.address, &token(subject, role)).await;
        session.say(&json!({"subscribe": {"id": 1, "topic": "orders"}})).await;
        session.answer("subscribed").await;
        session
    }

    /// Who publishes. The topic is there from then on.
    async fn writer(&self) -> Client {
        let writer = connect(self.address, &token("backend", "writer")).await;
        publish(&writer, "ada", 0).await;
        writer
    }
}

fn write(directory: &tempfile::TempDir, text: &str) -> PathBuf {
    let file = directory.path().join("tidegate.toml");
    std::fs::write(&file, text).expect("a file is written");
    file
}

fn token(subject: &str, role: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let request = TokenRequest {
        tenant: "acme".into(),
        subject: subject.into(),
        roles: vec![role.into()],
        issued_at: now.as_millis() as i64,
        lifetime_s: 3600,
        issuer: None,
        audience: None,
        claims: Map::new(),
    };
    Signer::hs256(SECRET.as_bytes()).token(&request, &ClaimMapping::default()).expect("a token is signed")
}

fn grant(role: &str, condition: &str) -> String {
    let condition = if condition.is_empty() { String::new() } else { format!("where = \"{condition}\"\n") };
    format!("[[grants]]\nrole = \"{role}\"\nallow = [\"subscribe\", \"replay\"]\ntopics = [\"*\"]\n{condition}")
}

async fn publish(writer: &Client, user: &str, n: u32) {
    let event = json!({"type": "order.created", "data": {"user": user, "n": n}}).to_string();
    writer.publish("orders", None, &event).await.expect("it is published");
}

/// The next frame.
async fn frame(session: &mut Session) -> Value {
    match session.next().await {
        Said::Frame(frame) => frame,
        Said::Close(code) => panic!("closed with {code}"),
    }
}

/// View and number of a batch, and what its events say.
fn batch(frame: &Value) -> (u64, u64, Vec<u64>) {
    let batch = frame.get("batch").unwrap_or_else(|| panic!("a batch, not {frame}"));
    let numbers =
        batch["entries"].as_array().expect("entries").iter().map(|entry| entry["event"]["data"]["n"].as_u64());
    let place = |name: &str| batch[name].as_u64().expect("a number");
    (place("view"), place("seq"), numbers.map(|n| n.expect("a number")).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_lost_ends_what_changed_moves_and_the_rest_does_not_notice() {
    let own = "event.data.user == claims.sub";
    let grants = [grant("keeps", ""), grant("loses", ""), grant("changes", own)].concat();
    let bridge = Reloaded::start(&grants).await;
    let writer = bridge.writer().await;
    let mut keeps = bridge.subscribed("kim", "keeps").await;
    let mut loses = bridge.subscribed("lou", "loses").await;
    let mut changes = bridge.subscribed("ada", "changes").await;
    publish(&writer, "ada", 1).await;
    let (view, seq, numbers) = batch(&frame(&mut keeps).await);
    assert_eq!((seq, numbers), (0, vec![1]));
    assert_eq!(batch(&frame(&mut loses).await).2, [1]);
    let (older, ..) = batch(&frame(&mut changes).await);

    // The one grant is gone, the other lets through something else; what stays is written elsewhere in the file.
    let amount = "event.data.user == 'eve'";
    bridge.reload(&format!("{HEAD}\n# Changed.\n{}{}", grant("changes", amount), grant("keeps", "")), "applied").await;
    for (user, n) in [("ada", 2), ("eve", 3), ("bob", 4), ("eve", 5)] {
        publish(&writer, user, n).await;
    }
    let error = frame(&mut loses).await;
    assert_eq!((&error["error"]["code"], &error["error"]["subscription"]), (&json!("denied"), &json!(1)), "{error}");
    let moved = frame(&mut changes).await;
    assert_eq!((&moved["moved"]["reason"], &moved["moved"]["recovered"]), (&json!("policy"), &json!(true)), "{moved}");
    assert_ne!(moved["moved"]["view"], json!(older));
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let next = frame(&mut changes).await;
        if next.get("ping").is_none() {
            let (newer, _, numbers) = batch(&next);
            assert_eq!(json!(newer), moved["moved"]["view"]);
            seen.extend(numbers);
        }
    }
    assert_eq!(seen, [3, 5]);
    // No frame but the next batches of the same view.
    let (mut next, mut seen) = (1, Vec::new());
    while seen.len() < 4 {
        let (same, seq, numbers) = batch(&frame(&mut keeps).await);
        assert_eq!((same, seq), (view, next));
        (next, seen) = (next + 1, [seen, numbers].concat());
    }
    assert_eq!(seen, [2, 3, 4, 5]);
    // Not one event more, and no way back in.
    loses.say(&json!({"subscribe": {"id": 2, "topic": "orders"}})).await;
    let error = frame(&mut loses).await;
    assert_eq!((&error["error"]["code"], &error["error"]["id"]), (&json!("denied"), &json!(2)), "{error}");
    assert_eq!(bridge.process.word_after("subscriptions_moved="), "1");
    assert_eq!(bridge.process.word_after("subscriptions_ended="), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_with_a_problem_changes_nothing() {
    let bridge = Reloaded::start(&grant("keeps", "")).await;
    let writer = bridge.writer().await;
    let mut keeps = bridge.subscribed("kim", "keeps").await;
    let loaded = bridge.metric("tidegate_policy_loaded_timestamp_seconds");
    assert!(loaded > 1_700_000_000);
    let line = HEAD.lines().count();
    // One grant is gone, and two things are wrong: a condition, and a topic that there is not.
    let wrong = format!("{HEAD}{}{}", grant("others", "evnt.x == 1"), grant("more", "").replace("\"*\"", "\"ordres\""));
    bridge.reload(&wrong, "refused").await;
    for (line, what) in [(line + 5, "evnt"), (line + 6, "did you mean \"orders\"?")] {
        bridge.process.line_with(&[&format!("tidegate.toml:{line}: grants"), what]);
    }
    assert_eq!(bridge.metric("tidegate_policy_reload_failed"), 1);
    assert_eq!(get(bridge.address, "/readyz").0, 200);
    publish(&writer, "ada", 1).await;
    assert_eq!(batch(&frame(&mut keeps).await).2, [1], "what was granted still is");

    // A topic comes, with a grant of its own; what can not be applied is named.
    let topic = "[topics.invoices]\nphysical = \"{tenant}.invoices\"\n";
    let head = HEAD.replace("node = \"reloaded\"", "node = \"renamed\"");
    bridge.reload(&format!("{head}{topic}{}", grant("keeps", "")), "applied").await;
    assert_eq!(bridge.metric("tidegate_policy_reload_failed"), 0);
    bridge.process.line_with(&["server.node"]);
    keeps.say(&json!({"subscribe": {"id": 2, "topic": "invoices", "from": "earliest"}})).await;
    writer.publish("invoices", None, r#"{"type":"invoice.ready","data":{"n":7}}"#).await.expect("it is published");
    assert!(frame(&mut keeps).await.get("subscribed").is_some());
    assert_eq!(batch(&until_batch(&mut keeps).await).2, [7]);
}

/// The next batch.
async fn until_batch(session: &mut Session) -> Value {
    loop {
        let frame = frame(session).await;
        if frame.get("batch").is_some() {
            return frame;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_lies_elsewhere_is_subscribed_to_anew_by_the_client() {
    let bridge = Reloaded::start(&grant("keeps", "")).await;
    let writer = bridge.writer().await;
    let client = connect(bridge.address, &token("kim", "keeps")).await;
    let mut orders = client.subscribe(tidegate_client::native::Subscribe::to("orders")).await.expect("it is granted");
    publish(&writer, "ada", 1).await;
    assert_eq!(tidegate_tests::next(&mut orders).await.n(), 1);
    let elsewhere = HEAD.replace("{tenant}.orders", "{tenant}.v2.orders");
    bridge.reload(&format!("{elsewhere}{}", grant("keeps", "")), "applied").await;
    // The library comes back to the new one by itself; when it has, is seen by what it gets.
    let mut n = 1;
    let seen = loop {
        n += 1;
        publish(&writer, "ada", n).await;
        let soon = std::time::Duration::from_millis(300);
        if let Ok(seen) = tokio::time::timeout(soon, tidegate_tests::next(&mut orders)).await {
            break seen.n();
        }
        assert!(n < 200, "it never came back");
    };
    assert!(seen > 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_api_says_what_changed_or_every_problem() {
    const KEY: &str = "bm90IGEgc2VjcmV0LCBidXQgMzIgYnl0ZXMgb2YgaXQ=";
    let head = format!("{HEAD}[admin]\nlisten = \"127.0.0.1:0\"\n[admin.keys]\nalice = \"{KEY}\"\n");
    let grants = |more: &str| format!("{}{}", grant("keeps", ""), more);
    let bridge = Reloaded::start_with(&format!("{head}{}", grants(&grant("loses", "")))).await;
    bridge.writer().await;
    let admin = bridge.process.word_after("admin API listening address=");
    let reload = |key: &str| {
        let mut command = tidegate(&["reload", "--json"]);
        command.env("TIDEGATE_ADMIN", format!("http://{admin}")).env("TIDEGATE_ADMIN_KEY", key);
        let output = command.output().expect("it starts");
        let texts = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("it writes UTF-8"));
        (output.status.success(), texts)
    };
    let mut loses = bridge.subscribed("lou", "loses").await;
    let topic = "[topics.invoices]\nphysical = \"{tenant}.invoices\"\n";
    write(&bridge.directory, &format!("{head}{topic}[window]\nbytes = \"2MiB\"\n{}", grants("")));
    let (done, [answer, _]) = reload(KEY);
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert!(done);
    assert_eq!(
        (&answer["grants"], &answer["topics"]["added"]),
        (&json!({"added": 0, "removed": 1}), &json!(["invoices"]))
    );
    assert_eq!((&answer["sessions_told"], &answer["subscriptions_ended"]), (&json!(1), &json!(1)), "{answer}");
    assert_eq!(answer["not_applied_until_restart"], json!(["window"]));
    // The answer comes when it is done.
    assert_eq!(frame(&mut loses).await["error"]["code"], "denied");
    assert!(!reload("bm90IGEgc2VjcmV0LCBidXQgYW5vdGhlciBvbmUuLi4=").0);

    let line = head.lines().count() + 7;
    write(&bridge.directory, &format!("{head}{}{}", grants(""), grant("more", "").replace("replay", "reply")));
    let (done, [_, said]) = reload(KEY);
    assert!(!done && said.contains("nothing was changed"), "{said}");
    let found = said.lines().find(|said| said.contains("\"reply\"")).expect("the problem");
    assert!(found.contains(&format!("tidegate.toml:{line}: grants[2].allow")), "{found}, not {line}");
}

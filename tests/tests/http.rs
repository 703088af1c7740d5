//! The bus over HTTP, on real Kafka: what is published arrives as from a session, and who reads goes on at any node. The
//! rest is told on the embedded log, by `bridge/tests/http_api.rs`.

use std::ops::Range;
use std::process::Stdio;

use serde_json::{Value, json};
use tidegate_tests::account::Account;
use tidegate_tests::foreign::Producer;
use tidegate_tests::http::Request;
use tidegate_tests::notice;
use tidegate_tests::process::tidegate;
use tidegate_tests::stage::Stage;

const KEY: &str = "bm90IGEgc2VjcmV0LCBidXQgMzIgYnl0ZXMgb2YgaXQ=";

fn number(data: &str) -> i64 {
    serde_json::from_str::<Value>(data).expect("an event is JSON")["data"]["n"].as_i64().expect("a number")
}

/// Puts events that say these numbers, over three partitions by turns.
fn put(producer: &Producer, topic: &str, numbers: Range<i64>) {
    numbers.for_each(|n| producer.event_at(topic, (n % 3) as i32, &notice("acme", n)));
    producer.flush();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_goes_on_at_another_node() {
    const EVENTS: i64 = 3_000;
    let stage = Stage::new();
    let topic = stage.orders("acme");
    stage.create(&topic, 3).await;
    let nodes = [stage.bridge(&[]), stage.bridge(&[])];
    let producer = stage.producer(&[]);
    put(&producer, &topic, 0..EVENTS / 2);
    let token = stage.token("acme", "ada", "member");
    let mut seen: [Vec<i64>; 3] = Default::default();
    let (mut last, mut visits) = (String::new(), 0);
    while seen.iter().map(Vec::len).sum::<usize>() < EVENTS as usize {
        let read = Request::read("orders", "?from=earliest", &token).header("last-event-id", &last);
        let mut events = read.events(nodes[visits % 2].address).await;
        if visits == 2 {
            put(&producer, &topic, EVENTS / 2..EVENTS);
        }
        // It breaks off anywhere, also within a batch.
        for _ in 0..200 + visits * 61 {
            let n = number(&events.named("order.created").await.data);
            let of = &mut seen[(n % 3) as usize];
            // What was seen since the last id comes again, and nothing is left out.
            let next = of.last().map_or(n % 3, |last| last + 3);
            assert!(n <= next, "{n} came, {next} did not");
            if n == next {
                of.push(n);
            }
            if seen.iter().map(Vec::len).sum::<usize>() == EVENTS as usize {
                break;
            }
        }
        last = events.last_id.clone();
        visits += 1;
    }
    assert!(visits >= 4, "{visits}");
    for node in &nodes {
        let mut account = Account::of(node).await;
        let totals = account.at_rest(|totals| totals.of("acme", "orders").consumed > 0).await;
        let counts = totals.of("acme", "orders");
        assert_eq!((counts.received, counts.unreported), (counts.consumed, counts.consumed));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_by_request_is_on_kafka_as_from_a_session() {
    let stage = Stage::new();
    let topic = stage.carts();
    stage.create(&topic, 2).await;
    let bridge = stage.bridge(&[]);
    let (ada, bob) = (stage.token("acme", "ada", "member"), stage.token("globex", "bob", "member"));
    let mut foreign = Request::read("carts", "", &bob).events(bridge.address).await;
    let id = uuid::Uuid::new_v4().to_string();
    let event = json!({"type": "cart.added", "action": {"command": "add", "target": "cart/42"}, "requester": "eve"});
    let publish = Request::publish("carts", &ada, event.to_string()).header("idempotency-key", &id);
    let answer = publish.header("tidegate-client", "till-7").ask(bridge.address).await;
    assert_eq!((answer.status, answer.json()["id"].as_str()), (200, Some(&*id)), "{}", answer.body);
    let batch = json!([{"key": "k", "event": event}, {"type": "cart.added"}, {"type": "x"}]);
    let answer = Request::publish("carts", &ada, batch.to_string()).ask(bridge.address).await;
    assert_eq!((answer.status, answer.json()["published"].as_u64()), (207, Some(2)), "{}", answer.body);

    let records = stage.kcat_read(&topic);
    assert_eq!(records.len(), 3);
    let keys: Vec<&str> = records.iter().map(|record| record["key"].as_str().expect("a key")).collect();
    assert!(keys.contains(&"acme/cart/42") && keys.contains(&"acme/k"), "{keys:?}");
    let first = records.iter().find(|record| record["key"] == "acme/cart/42").expect("the first");
    let payload: Value = serde_json::from_str(first["payload"].as_str().expect("a value")).expect("JSON");
    assert_eq!(
        (&payload["id"], &payload["tenant_id"], &payload["requester"]),
        (&json!(id), &json!("acme"), &json!("ada"))
    );
    let headers = first["headers"].as_array().expect("headers");
    let after = |name: &str| headers.iter().position(|text| text == name).map(|at| headers[at + 1].clone());
    assert_eq!((after("tg_client"), after("tg_tenant")), (Some(json!("till-7")), Some(json!("acme"))));

    let own = json!({"type": "cart.added", "data": {"own": true}});
    assert_eq!(Request::publish("carts", &bob, own.to_string()).ask(bridge.address).await.status, 200);
    let seen = foreign.next().await.expect("an event");
    assert!(seen.data.contains(r#""own":true"#), "another tenant's: {}", seen.data);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_revoked_is_out_over_http_too() {
    let stage = Stage::new();
    // Revocations are on the broker, which tests share: nobody else is of this tenant.
    let tenant = format!("initech-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
    stage.create(&stage.orders(&tenant), 1).await;
    let bridge = stage.bridge(&[("TIDEGATE_ADMIN__LISTEN", "127.0.0.1:0"), ("TIDEGATE_ADMIN__KEYS__ALICE", KEY)]);
    let admin = bridge.process.word_after("admin API listening address=");
    let token = stage.token(&tenant, "ada", "member");
    let mut events = Request::read("orders", "", &token).events(bridge.address).await;
    let mut stream =
        Request::stream(&[json!({"hello": {"token": token, "client": "tab"}})]).events(bridge.address).await;
    stream.frame("welcome").await;
    let mut revoke = tidegate(&["revoke", "--tenant", &tenant, "--subject", "ada"]);
    revoke.env("TIDEGATE_ADMIN", format!("http://{admin}")).env("TIDEGATE_ADMIN_KEY", KEY).stdout(Stdio::null());
    assert!(revoke.status().expect("it runs").success());
    let last = events.last().await.expect("a last message");
    assert!(last.name == "error" && last.data.contains(r#""code":"revoked""#), "{last:?}");
    let last = stream.last().await.expect("a last message");
    assert_eq!((last.name.as_str(), last.data.as_str()), ("close", r#"{"code":3503,"reason":"revoked"}"#));
    for request in [Request::read("orders", "", &token), Request::publish("orders", &token, "{}")] {
        assert_eq!(request.ask(bridge.address).await.refusal(), (401, "revoked".into(), None));
    }
}

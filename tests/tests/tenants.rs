//! What a tenant may take of a node: the same by however many sessions, requests and shards it comes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;
use tidegate_client::native::Subscribe;
use tidegate_protocol::code;
use tidegate_protocol::frame::From as Begin;
use tidegate_tests::raw::{Said, Session};
use tidegate_tests::stage::Stage;
use tidegate_tests::{LONG, next, notice, until};

const SHARDS: (&str, &str) = ("TIDEGATE_SERVER__SHARDS", "2");

/// The head of the answer to a request, in lower case.
fn head(address: SocketAddr, request: &str, token: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let length = body.len();
    write!(
        stream,
        "{request} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        answer.push(byte[0]);
    }
    String::from_utf8(answer).unwrap().to_lowercase()
}

async fn hello(address: SocketAddr, token: &str, client: &str) -> Session {
    let mut session = Session::silent(address).await;
    session.say(&json!({ "hello": { "token": token, "client": client } })).await;
    session
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_counted_over_all_shards_and_ways() {
    let stage = Stage::new();
    stage.create(&stage.orders("acme"), 1).await;
    let bridge = stage.bridge(&[SHARDS, ("TIDEGATE_LIMITS__TENANT__SESSIONS", "3")]);
    let at = bridge.address;
    let token = |tenant: &str, n: usize| stage.token(tenant, &format!("user-{n}"), "member");
    let mut open = Vec::new();
    for n in 0..3 {
        let mut session = hello(at, &token("acme", n), &format!("tab-{n}")).await;
        session.answer("welcome").await;
        open.push(session);
    }
    for n in 3..6 {
        let refused = hello(at, &token("acme", n), "tab").await.end().await;
        assert_eq!(refused, (Some("too_many_sessions".into()), code::TOO_MANY_SESSIONS.code));
    }
    let read = head(at, "GET /v1/topics/orders/events", &token("acme", 9), "");
    assert!(read.starts_with("http/1.1 429"), "{read}");
    drop(Session::open(at, &token("globex", 0)).await);

    // Whoever comes back takes the place of its older session, which ends.
    let mut again = hello(at, &token("acme", 1), "tab-1").await;
    again.answer("welcome").await;
    assert_eq!(open.remove(1).end().await.1, code::REPLACED.code);
    assert_eq!(hello(at, &token("acme", 7), "tab").await.end().await.1, code::TOO_MANY_SESSIONS.code);

    drop(open.remove(0));
    until("there is room again", async || {
        let mut session = hello(at, &token("acme", 8), "tab-8").await;
        matches!(session.next().await, Said::Frame(frame) if frame.get("welcome").is_some())
    })
    .await;
    assert!(bridge.metric("tidegate_tenant_limited_total{limit=\"sessions\"}") >= 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sessions_and_requests_publish_no_more_than_one_tenant_may() {
    // So slow that a busy machine asks faster.
    const PER_SECOND: u64 = 1;
    const BURST: u64 = 40;
    let stage = Stage::new();
    stage.create(&stage.orders("acme"), 1).await;
    stage.create(&stage.orders("globex"), 1).await;
    let rate = ("TIDEGATE_LIMITS__TENANT__PUBLISH_EVENTS_PER_S", "1");
    let bridge = stage.bridge(&[SHARDS, rate, ("TIDEGATE_LIMITS__TENANT__PUBLISH_EVENTS_BURST", "40")]);
    let mut sessions = Vec::new();
    for n in 0..10 {
        sessions.push(Session::open(bridge.address, &stage.token("acme", &format!("user-{n}"), "member")).await);
    }
    let event = json!({"type": "order.paid", "action": {"command": "pay", "target": "order/1"}});
    let begun = Instant::now();
    for id in 0..10 {
        for session in &mut sessions {
            session.say(&json!({"publish": {"id": id, "topic": "orders", "event": event}})).await;
        }
    }
    let (mut published, mut refused) = (0, 0);
    for session in &mut sessions {
        for _ in 0..10 {
            let Said::Frame(frame) = session.next().await else { panic!("it stays open") };
            if frame.get("published").is_some() {
                published += 1;
                continue;
            }
            let error = &frame["error"];
            assert_eq!(error["code"], "rate_limited", "{frame}");
            assert!(error["retry_after_ms"].as_u64().is_some_and(|wait| wait <= 1001), "{frame}");
            refused += 1;
        }
    }
    let most = BURST + PER_SECOND * begun.elapsed().as_secs_f64().ceil() as u64;
    assert!((BURST..=most).contains(&published) && published + refused == 100, "{published} and {refused}");
    // By request it gets no more either.
    let post = |tenant: &str| {
        let token = stage.token(tenant, "backend", "member");
        head(bridge.address, "POST /v1/topics/orders/events", &token, &event.to_string())
    };
    let answers: Vec<String> = (0..BURST + 10).map(|_| post("acme")).collect();
    let limited = answers.iter().find(|answer| answer.starts_with("http/1.1 429")).expect("at some point it is enough");
    assert!(limited.contains("retry-after:"), "{limited}");
    assert!(post("globex").starts_with("http/1.1 200"), "another tenant has its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_replays_waits_alone() {
    const EVENTS: i64 = 2_000;
    let stage = Stage::new();
    let pad = "x".repeat(1_000);
    let producer = stage.producer(&[]);
    for tenant in ["acme", "globex"] {
        let topic = stage.orders(tenant);
        stage.create(&topic, 1).await;
        for n in 0..EVENTS {
            let event = notice(tenant, n).replacen('{', &format!("{{\"pad\":\"{pad}\","), 1);
            producer.event_at(&topic, 0, &event);
        }
    }
    producer.flush();
    let slow = ("TIDEGATE_LIMITS__TENANTS__ACME__REPLAY_BYTES_PER_S", "64KiB");
    let bridge = stage.bridge(&[SHARDS, ("TIDEGATE_WINDOW__BYTES", "1MiB"), slow]);
    let mut waiting = Vec::new();
    for n in 0..5 {
        let client = bridge.client(&stage.token("acme", &format!("user-{n}"), "member")).await;
        waiting.push((client.subscribe(Subscribe::to("orders").from(Begin::Earliest)).await.unwrap(), client));
    }
    let client = bridge.client(&stage.token("globex", "ada", "member")).await;
    let mut reader = client.subscribe(Subscribe::to("orders").from(Begin::Earliest)).await.unwrap();
    let begun = Instant::now();
    for n in 0..EVENTS {
        assert_eq!(next(&mut reader).await.n(), n);
    }
    assert!(begun.elapsed() < LONG, "it was not held up by the other");
    // The first part of each is owed from then on; all of it would be 2 MB for each of five.
    let mut read = 0;
    for (subscription, _) in &mut waiting {
        while tokio::time::timeout(Duration::from_millis(100), next(subscription)).await.is_ok() {
            read += 1;
        }
    }
    let parts = 2 + 64 * 1024 * begun.elapsed().as_secs() / (512 * 1024);
    assert!(read > 0 && read <= i64::try_from(parts + 2).unwrap() * 600, "{read} in {:?}", begun.elapsed());
    assert!(bridge.metric("tidegate_tenant_limited_total{limit=\"replay\"}") > 0);
}

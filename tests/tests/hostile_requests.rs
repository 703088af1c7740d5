//! Whatever may come as an HTTP request: it is answered with a clear status, within bounds, and nobody else notices.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_client::native::Subscribe;
use tidegate_protocol::frame::From as Begin;
use tidegate_tests::bridge::Bridge;
use tidegate_tests::embedded::Embedded;
use tidegate_tests::wire::Wire;
use tidegate_tests::{next, until};

const JSON: &str = "Content-Type: application/json";
const LINES: &str = "Content-Type: application/x-ndjson";
const EVENT: &str = r#"{"type":"order.created"}"#;

/// The head of a request; what a bridge reads it as is the bridge's own affair.
fn head(bridge: &Bridge, line: &str, headers: &[&str]) -> String {
    let headers: Vec<String> = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!("{line} HTTP/1.1\r\nHost: {}\r\n{}\r\n", bridge.address, headers.concat())
}

/// Status of the answer to a request with a body.
async fn answer(bridge: &Bridge, line: &str, headers: &[&str], body: impl AsRef<[u8]>) -> (u16, String) {
    let body = body.as_ref();
    let length = format!("Content-Length: {}", body.len());
    let mut wire = Wire::connect(bridge.address).await;
    let request = head(bridge, line, &[headers, &["Connection: close", &length]].concat());
    wire.send(request.as_bytes()).await;
    wire.send(body).await;
    said(&mut wire).await
}

/// Status and body of an answer that ends its connection.
async fn said(wire: &mut Wire) -> (u16, String) {
    let head = wire.head().await;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    (status, wire.rest().await)
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

const PUBLISH: &str = "POST /v1/topics/orders/events";
const READ: &str = "GET /v1/topics/orders/events";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_does_anything_without_a_token_in_its_place() {
    let stage = Embedded::new();
    let bridge = stage.bridge(&[]);
    let token = stage.token("acme", "ada", "member");
    let stranger = Embedded::new().token("acme", "ada", "member");
    let by = bearer(&token);
    for line in [PUBLISH, READ] {
        let with = async |headers: &[&str]| answer(&bridge, line, &[&[JSON], headers].concat(), EVENT).await.0;
        assert_eq!(with(&[]).await, 401, "{line}");
        for no_token in
            ["", "Bearer", "Bearer ", "Bearer x.y.z", "Basic YWRhOmFkYQ==", &token, &format!("Token {token}")]
        {
            assert_eq!(with(&[&format!("Authorization: {no_token}")]).await, 401, "{line} {no_token}");
        }
        assert_eq!(with(&[&bearer(&stranger)]).await, 401, "signed by another");
        assert_eq!(with(&[&bearer(&format!("{token}x"))]).await, 401);
        assert_eq!(with(&[&bearer(&"x".repeat(15 << 10))]).await, 401);
        assert_eq!(with(&[&by, &bearer(&stranger)]).await, 401, "of two tokens neither counts");
        assert_eq!(with(&[&format!("Cookie: token={token}"), &format!("X-Token: {token}")]).await, 401);
        for query in ["token", "access_token"] {
            let line = format!("{line}?{query}={token}");
            assert_eq!(answer(&bridge, &line, &[JSON], EVENT).await.0, 401, "{query}");
        }
    }
    let hello = |token: &str| json!({"hello": {"token": token, "client": "c"}}).to_string();
    for body in [String::new(), EVENT.into(), hello("x.y.z"), hello(&stranger), hello("")] {
        let (status, _) = answer(&bridge, "POST /v1/stream", &[&by], &body).await;
        assert!([400, 401].contains(&status), "{status}: {body}");
    }
    assert!(!bridge.process.log().contains(&token), "a token is never written to the log");
    // And with it everything is as it should be.
    assert_eq!(answer(&bridge, PUBLISH, &[JSON, &by], EVENT).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_origins_get_nothing() {
    let stage = Embedded::new();
    let bridge = stage.bridge(&[("TIDEGATE_SERVER__ALLOWED_ORIGINS", "https://app.example")]);
    let by = bearer(&stage.token("acme", "ada", "member"));
    for origin in ["https://evil.example", "null", "https://app.example.evil.example", "\u{e4}", ""] {
        let origin = format!("Origin: {origin}");
        for line in [PUBLISH, READ, "POST /v1/stream", "OPTIONS /v1/topics/orders/events", "OPTIONS /v1/stream"] {
            let (status, _) = answer(&bridge, line, &[JSON, &by, &origin], EVENT).await;
            assert_eq!(status, 403, "{line} {origin}");
        }
        let two = [JSON, &by, "Origin: https://app.example", &origin];
        assert_eq!(answer(&bridge, PUBLISH, &two, EVENT).await.0, 403, "two origins");
    }
    assert_eq!(answer(&bridge, PUBLISH, &[JSON, &by, "Origin: https://app.example"], EVENT).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_publishes_over_http_is_who_the_token_says() {
    let stage = Embedded::new();
    let bridge = stage.bridge(&[]);
    let by = bearer(&stage.token("acme", "eve", "member"));
    let forged = ["tg_tenant: globex", "X-Tenant: globex", "Tidegate-Client: globex", &by];
    let carts = "POST /v1/topics/carts/events";
    let event = r#"{"action":{"command":"pay"},"tenant_id":"globex","requester":"bob","responder":"bob"}"#;
    let keyed = format!(r#"[{{"key":"globex/1","event":{event}}},{event}]"#);
    assert_eq!(answer(&bridge, carts, &[&[JSON], &forged[..]].concat(), event).await.0, 200);
    assert_eq!(answer(&bridge, carts, &[&[JSON], &forged[..]].concat(), keyed).await.0, 200);
    assert_eq!(answer(&bridge, carts, &[&[LINES], &forged[..]].concat(), format!("{event}\n{event}\n")).await.0, 200);
    assert_eq!(answer(&bridge, &format!("{carts}?key=globex/1"), &[JSON, &by], event).await.0, 200);
    assert_eq!(answer(&bridge, &format!("{carts}?tenant=globex"), &[JSON, &by], event).await.0, 400);
    let acme = bridge.client(&stage.token("acme", "ada", "member")).await;
    let mut seen = acme.subscribe(Subscribe::to("carts").from(Begin::Earliest)).await.unwrap();
    for _ in 0..6 {
        let event = next(&mut seen).await.event;
        assert_eq!((&event["tenant_id"], &event["requester"]), (&json!("acme"), &json!("eve")));
        assert_ne!(event["responder"], "bob");
    }
    let twice = [r#"{"type":"a.b","tenant_id":"acme","tenant\u005fid":"globex"}"#, r#"{"type":"a.b","x":1,"x":2}"#];
    for event in twice {
        assert_eq!(answer(&bridge, carts, &[JSON, &by], event).await.0, 400, "{event}");
    }
    for topic in [
        "acme.orders",
        "orders%2F..",
        "..%2Forders",
        "orders%00",
        "%2e%2e",
        "%ff",
        "*",
        "$ledger",
        "_tidegate.revocations",
    ] {
        let (status, _) = answer(&bridge, &format!("POST /v1/topics/{topic}/events"), &[JSON, &by], event).await;
        assert!([400, 403, 404].contains(&status), "{topic}: {status}");
        let (status, _) = answer(&bridge, &format!("GET /v1/topics/{topic}/events"), &[&by], "").await;
        assert!([400, 403, 404].contains(&status), "{topic}: {status}");
    }
    for id in ["", "1", "../../x", "0199f3a0-4b1c-7d2e-8f00-aabbccddeef\u{e9}"] {
        let header = format!("Idempotency-Key: {id}");
        assert_eq!(answer(&bridge, carts, &[JSON, &by, &header], event).await.0, 400, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_bounded_in_bytes_time_and_number() {
    let stage = Embedded::new();
    let bridge = stage.bridge(&[]);
    let by = bearer(&stage.token("acme", "eve", "member"));
    let before = bridge.process.memory();
    // A length that is too large is refused before anything of it comes.
    for line in [PUBLISH, "POST /v1/stream"] {
        let mut wire = Wire::connect(bridge.address).await;
        wire.send(head(&bridge, line, &[JSON, &by, "Content-Length: 10000000000"]).as_bytes()).await;
        assert_eq!(said(&mut wire).await.0, 413, "{line}");
    }
    // One that is not said is refused when there is too much.
    for line in [PUBLISH, "POST /v1/stream"] {
        let mut wire = Wire::connect(bridge.address).await;
        wire.send(head(&bridge, line, &[JSON, &by, "Transfer-Encoding: chunked"]).as_bytes()).await;
        let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
        let mut sent = 0;
        while sent < 1000 && wire.send(chunk.as_bytes()).await {
            sent += 1;
        }
        assert!(sent < 1000, "{line}: 64 MiB were taken");
        // The refusal may be lost with the connection, for we were still sending.
        let (status, _) = said(&mut wire).await;
        assert!([413, 0].contains(&status), "{line}: {status}");
    }
    // A byte now and then takes as long as nothing.
    let elsewhere = Embedded::new();
    let hasty = elsewhere.bridge(&[("TIDEGATE_SERVER__HANDSHAKE_TIMEOUT", "1s")]);
    let by_eve = bearer(&elsewhere.token("acme", "eve", "member"));
    let slow = async |line: &str, body: &'static [u8]| {
        let mut wire = Wire::connect(hasty.address).await;
        wire.send(head(&hasty, line, &[JSON, &by_eve, "Content-Length: 1000"]).as_bytes()).await;
        wire.trickle(body, Duration::from_millis(150)).await;
        said(&mut wire).await.0
    };
    let spaces = &[b' '; 20];
    let (silent, publish, stream) =
        tokio::join!(slow(PUBLISH, b""), slow(PUBLISH, spaces), slow("POST /v1/stream", spaces));
    assert_eq!([silent, publish, stream].map(|status| [408, 0].contains(&status)), [true; 3]);
    drop(hasty);

    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let deep = format!(r#"{{"type":"a.b","data":{}}}"#, nested(100_000));
    let wide: Vec<String> = (0..50_000).map(|n| format!("\"m{n}\":{n}")).collect();
    for (what, media_type, body, expected) in [
        ("lines without end", LINES, "{}\n".repeat(1_000_000), 413),
        ("blank lines", LINES, "\n".repeat(4 << 20), 200),
        ("a line of arrays", LINES, "[[[[".repeat(200) + "\n", 207),
        ("an array of a million", JSON, format!("[{}1]", "1,".repeat(1_000_000)), 413),
        ("arrays in arrays", JSON, nested(1_000_000), 400),
        ("arrays without end", JSON, "[".repeat(1_000_000), 400),
        ("deep JSON", JSON, deep, 400),
        ("an event too large", JSON, format!("{{\"type\":\"a.b\",\"x\":\"{}\"}}", "x".repeat(2 << 20)), 413),
        ("many members", JSON, format!("{{{}}}", wide.join(",")), 400),
        ("no media type", "X: y", EVENT.into(), 415),
        ("another media type", "Content-Type: text/html", EVENT.into(), 415),
        ("nothing", JSON, String::new(), 400),
        ("a NUL", JSON, "\0".into(), 400),
    ] {
        let (status, said) = answer(&bridge, PUBLISH, &[media_type, &by], body).await;
        assert_eq!(status, expected, "{what}: {said:.300}");
        assert!(said.len() < 64 << 10, "{what}: {} bytes", said.len());
    }
    for body in [&b"\xff\xfe"[..], b"{\"type\":\"a.b\",\"x\":\"\xc3\"}", b"\x1f\x8b\x08\x00\x00"] {
        assert_eq!(answer(&bridge, PUBLISH, &[JSON, &by], body).await.0, 400, "{body:?}");
    }
    let lines = format!("{}\n", json!({"hello": {"token": stage.token("acme", "eve", "member"), "client": "c"}}));
    for (what, body) in [
        ("frames to pass over", "{\"?x\":{}}\n".repeat(90_000)),
        ("deep JSON", "[".repeat(500_000)),
        ("a second hello", lines.repeat(2)),
        ("a publish", format!("{lines}{}", json!({"publish": {"id": 1, "topic": "orders", "event": {}}}))),
        ("a client without a name", lines.replace("\"c\"", "\"\\u0000\"")),
    ] {
        let (status, said) = answer(&bridge, "POST /v1/stream", &[], body).await;
        assert!([400, 413].contains(&status), "{what}: {status} {said:.300}");
    }
    let more = bridge.process.memory().saturating_sub(before);
    assert!(more < 64 << 20, "{} MiB more", more >> 20);
    assert_eq!(answer(&bridge, PUBLISH, &[JSON, &by], EVENT).await.0, 200);
    assert_eq!(bridge.metric(r#"tidegate_sessions{kind="open"}"#), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_over_http_is_what_may_be_read() {
    let stage = Embedded::new();
    let bridge = stage.bridge(&[]);
    let (ada, bob) = (bearer(&stage.token("acme", "ada", "member")), bearer(&stage.token("globex", "bob", "member")));
    // Line ends of every kind, where JSON has room for them, are no ends of messages.
    let event = "{\"type\":\"a.b\",\n\n\"data\"\r:\r\n\r\n{\"n\":1}}";
    assert_eq!(answer(&bridge, "POST /v1/topics/carts/events", &[JSON, &ada], event).await.0, 200);
    let read = async |by: &str, topic: &str, last: &str| {
        let mut wire = Wire::connect(bridge.address).await;
        let line = format!("GET /v1/topics/{topic}/events?from=earliest");
        wire.send(head(&bridge, &line, &[by, &format!("Last-Event-ID: {last}")]).as_bytes()).await;
        let status: u16 = wire.head().await.split(' ').nth(1).unwrap_or_default().parse().unwrap_or_default();
        (status, wire)
    };
    let (status, mut wire) = read(&ada, "carts", "").await;
    assert_eq!(status, 200);
    let (id, data) = loop {
        let message = wire.chunked_until("\n\n").await;
        let fields = |name: &str| -> Vec<String> {
            message.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned)).collect()
        };
        if !fields("data").is_empty() && !fields("id").is_empty() {
            break (fields("id")[0].clone(), fields("data").join("\n"));
        }
    };
    let seen: Value = serde_json::from_str(&data).unwrap_or_else(|bad| panic!("{bad}: {data}"));
    assert_eq!(seen["data"]["n"], 1);
    let mut flipped = id.clone().into_bytes();
    flipped[20] = if flipped[20] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    for (by, topic, last, expected, why) in [
        (&ada, "carts", &*id, 200, "its own"),
        (&ada, "carts", &*flipped, 400, "a bit was changed"),
        (&ada, "carts", &id[..id.len() - 4], 400, "cut off"),
        (&ada, "carts", "1", 400, "made up"),
        (&ada, "carts", "\u{e9}", 400, "not ASCII"),
        (&ada, "orders", &*id, 400, "of another topic"),
        (&bob, "carts", &*id, 400, "of another tenant"),
    ] {
        assert_eq!(read(by, topic, last).await.0, expected, "{why}");
    }
    drop(wire);
    until("its readers are gone", async || bridge.metric(r#"tidegate_sessions{kind="open"}"#) == 0).await;
}

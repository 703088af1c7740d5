//! Whatever a client may send: it is answered or ended with a clear code, within bounds, and nobody else notices.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate_client::native::{Subscribe, Subscription};
use tidegate_protocol::frame::From as Begin;
use tidegate_protocol::{SUBPROTOCOL, code};
use tidegate_tests::bridge::Bridge;
use tidegate_tests::embedded::Embedded;
use tidegate_tests::wire::{End, Wire, frame, header, text, upgrade};
use tidegate_tests::{next, until};

const FIN: u8 = 0x80;
const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// What a flood ends with: a reset may overtake the close frame while we still send.
fn flooded(end: &End) -> bool {
    [End::Code(code::FLOODED.code), End::Cut].contains(end)
}

/// Somebody who publishes and reads, beside whom all of this happens.
struct Honest {
    client: tidegate_client::native::Client,
    subscription: Subscription,
    sent: i64,
}

impl Honest {
    async fn of(stage: &Embedded, bridge: &Bridge) -> Self {
        let client = bridge.client(&stage.token("acme", "ada", "member")).await;
        let subscription = client.subscribe(Subscribe::to("orders").from(Begin::Earliest)).await.unwrap();
        Self { client, subscription, sent: 0 }
    }

    /// Publishes the next event, and receives it.
    async fn goes_on(&mut self) {
        self.sent += 1;
        let event = json!({"type": "order.created", "data": {"n": self.sent}}).to_string();
        self.client.publish("orders", None, &event).await.unwrap();
        assert_eq!(next(&mut self.subscription).await.n(), self.sent);
    }
}

async fn all_gone_but(bridge: &Bridge, count: u64) {
    until("the others' connections are gone", async || bridge.metric("tidegate_connections") <= count).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_websocket_itself_ends_the_connection() {
    let stage = Embedded::new();
    let bridge = stage.bridge(&[]);
    let mut honest = Honest::of(&stage, &bridge).await;
    let token = stage.token("acme", "eve", "member");
    let pong = b"{\"pong\":{}}";
    let unmasked = [header(FIN | TEXT, 0, pong.len() as u64), pong.to_vec()].concat();
    let broken = End::Code(code::PROTOCOL_ERROR.code);
    for (what, bytes, end) in [
        ("not masked", unmasked, &broken),
        ("said to be compressed", frame(FIN | 0x40 | TEXT, pong), &broken),
        ("reserved bits", frame(FIN | 0x10 | TEXT, pong), &broken),
        ("a reserved kind of data", frame(FIN | 0x3, pong), &broken),
        ("a reserved kind of control", frame(FIN | 0xB, b""), &broken),
        ("a ping in fragments", frame(PING, b"x"), &broken),
        ("a ping too long", frame(FIN | PING, &[b'x'; 126]), &broken),
        ("a continuation of nothing", frame(FIN, pong), &broken),
        ("a text within a text", [frame(TEXT, b"{"), frame(FIN | TEXT, pong)].concat(), &broken),
        ("no UTF-8", frame(FIN | TEXT, b"{\"pong\":\"\xff\"}"), &broken),
        ("half a character at the end", frame(FIN | TEXT, b"\"\xc3"), &broken),
        ("binary", frame(FIN | 0x2, pong), &broken),
        ("a close of one byte", frame(FIN | CLOSE, b"x"), &broken),
        ("a close that is no UTF-8", frame(FIN | CLOSE, b"\x03\xe8\xff"), &broken),
        (
            "longer than is allowed",
            [header(FIN | TEXT, FIN, 1 << 40), vec![0; 4]].concat(),
            &End::Code(code::FRAME_TOO_LARGE.code),
        ),
        (
            "a length without sense",
            [header(FIN | TEXT, FIN, u64::MAX), vec![0; 4]].concat(),
            &End::Code(code::FRAME_TOO_LARGE.code),
        ),
    ] {
        let mut before = Wire::upgraded(bridge.address).await;
        before.send(&bytes).await;
        assert_eq!(before.end().await, *end, "{what}, before hello");
        let mut after = Wire::welcomed(bridge.address, &token).await;
        after.send(&bytes).await;
        assert_eq!(after.end().await, *end, "{what}");
    }
    honest.goes_on().await;
    drop(honest);
    all_gone_but(&bridge, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_goes_in_the_middle_of_something_is_gone() {
    let stage = Embedded::new();
    let bridge = stage.bridge(&[]);
    let token = stage.token("acme", "eve", "member");
    let whole = frame(FIN | TEXT, json!({"publish": {"id": 1, "topic": "orders", "event": {}}}).to_string().as_bytes());
    for cut in [1, 2, 4, 7, whole.len() - 1] {
        let mut wire = Wire::welcomed(bridge.address, &token).await;
        wire.send(&whole[..cut]).await;
        drop(wire);
    }
    let mut wire = Wire::upgraded(bridge.address).await;
    wire.send(&whole[..9]).await;
    drop(wire);
    all_gone_but(&bridge, 0).await;
    assert_eq!(bridge.metric(r#"tidegate_sessions{kind="open"}"#), 0);
    // A text in thousands of fragments is a text.
    let mut wire = Wire::welcomed(bridge.address, &token).await;
    let publish = json!({"publish": {"id": 7, "topic": "orders", "event": {"type": "a.b", "x": "é".repeat(2_000)}}});
    let publish = publish.to_string().into_bytes();
    let mut fragments = frame(TEXT, &publish[..1]);
    publish[1..].iter().for_each(|byte| fragments.extend(frame(0, &[*byte])));
    fragments.extend(frame(FIN, b""));
    wire.send(&fragments).await;
    let (_, answer) = wire.frame().await.expect("an answer");
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["published"]["id"], 7, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_tiny_frames_end_their_session_whatever_they_are() {
    const FRAMES: usize = 1_000_000;
    let stage = Embedded::new();
    let bridge = stage.bridge(&[]);
    let mut honest = Honest::of(&stage, &bridge).await;
    honest.goes_on().await;
    let token = stage.token("acme", "eve", "member");
    let before = bridge.process.memory();
    for (what, first, each) in [
        ("texts of nothing", vec![], frame(FIN | TEXT, b"")),
        ("pings", vec![], frame(FIN | PING, b"")),
        ("long pings", vec![], frame(FIN | PING, &[b'x'; 125])),
        ("pongs", vec![], frame(FIN | PONG, b"")),
        ("empty fragments", frame(TEXT, b"{"), frame(0, b"")),
        ("fragments of a byte", frame(TEXT, b"{"), frame(0, b" ")),
        ("frames to pass over", vec![], text(r#"{"?x":{}}"#)),
    ] {
        for hello in [false, true] {
            let mut wire =
                if hello { Wire::welcomed(bridge.address, &token).await } else { Wire::upgraded(bridge.address).await };
            wire.send(&first).await;
            let many = each.repeat(1_000);
            let mut sent = 0;
            while sent < FRAMES && wire.send(&many).await {
                sent += 1_000;
            }
            assert!(sent < FRAMES, "{what}: all of them were taken");
            let end = wire.end().await;
            // Some of them are no frames either, or no hello.
            let refused = [code::PROTOCOL_ERROR, code::FRAME_TOO_LARGE].map(|code| End::Code(code.code));
            assert!(flooded(&end) || refused.contains(&end), "{what}: {end:?}");
        }
    }
    honest.goes_on().await;
    all_gone_but(&bridge, 1).await;
    let more = bridge.process.memory().saturating_sub(before);
    assert!(more < 32 << 20, "{} MiB more", more >> 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_is_slow_or_silent_is_ended_wherever_it_is() {
    let stage = Embedded::new();
    let bridge = stage.bridge(&[("TIDEGATE_SERVER__HANDSHAKE_TIMEOUT", "3s")]);
    let at = bridge.address;
    let hello = text(&json!({"hello": {"token": stage.token("acme", "eve", "member"), "client": "slow"}}).to_string());
    let began = Instant::now();
    let pause = Duration::from_millis(150);
    let slow_head = async {
        let mut wire = Wire::connect(at).await;
        wire.trickle(upgrade(at).as_bytes(), pause).await;
        wire.head().await
    };
    let silent = async { Wire::connect(at).await.head().await };
    let idle = async {
        let mut wire = Wire::connect(at).await;
        wire.send(format!("GET /livez HTTP/1.1\r\nHost: {at}\r\n\r\n").as_bytes()).await;
        assert!(wire.head().await.starts_with("HTTP/1.1 200 "));
        wire.end().await
    };
    let slow_hello = async {
        let mut wire = Wire::upgraded(at).await;
        wire.trickle(&hello, pause).await;
        wire.end().await
    };
    let pings = async {
        let mut wire = Wire::upgraded(at).await;
        wire.trickle(&frame(FIN | PING, b"").repeat(60), pause / 6).await;
        wire.end().await
    };
    let (slow_head, silent, idle, slow_hello, pings) = tokio::join!(slow_head, silent, idle, slow_hello, pings);
    assert!(slow_head.is_empty() || slow_head.starts_with("HTTP/1.1 408 "), "{slow_head}");
    assert_eq!((&*silent, idle), ("", End::Cut));
    let timed_out = End::Code(code::HANDSHAKE_TIMEOUT.code);
    for end in [slow_hello, pings] {
        assert!(end == timed_out || end == End::Cut, "{end:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(30));
    assert_eq!(bridge.metric(r#"tidegate_handshakes_total{outcome="handshake_timeout"}"#), 2);
    all_gone_but(&bridge, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_not_said_who_it_is_holds_little_memory() {
    const EACH: usize = 900 << 10;
    const CONNECTIONS: usize = 100;
    let stage = Embedded::new();
    let bridge = stage.bridge(&[]);
    let before = bridge.process.memory();
    let mut wires = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut wire = Wire::upgraded(bridge.address).await;
        let mut hello = header(FIN | TEXT, FIN, 1 << 20);
        hello.extend_from_slice(&vec![b' '; EACH]);
        // It may have had enough before all of it is sent.
        wire.send(&hello).await;
        wires.push(wire);
    }
    let more = bridge.process.memory().saturating_sub(before);
    assert!(more < 24 << 20, "{} MiB for {CONNECTIONS} connections that said nothing yet", more >> 20);
    // Nor do answers pile up that it does not take.
    let mut wire = Wire::welcomed(bridge.address, &stage.token("acme", "eve", "member")).await;
    let pings = frame(FIN | PING, &[b'x'; 125]).repeat(9_000);
    wire.send(&pings).await;
    let mut answered = 0;
    while let Some((opcode, _)) = wire.frame().await {
        answered += usize::from(opcode == PONG);
        if answered == 1 {
            break;
        }
    }
    assert_eq!(answered, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_in_the_address_is_none() {
    let stage = Embedded::new();
    let bridge = stage.bridge(&[]);
    let at = bridge.address;
    let token = stage.token("acme", "ada", "member");
    for query in ["token", "access_token", "jwt"] {
        let mut wire = Wire::connect(at).await;
        let request = upgrade(at).replacen("/v1/ws", &format!("/v1/ws?{query}={token}"), 1);
        let request = request.replacen("\r\n\r\n", &format!("\r\nAuthorization: Bearer {token}\r\n\r\n"), 1);
        wire.send(request.as_bytes()).await;
        assert!(wire.head().await.starts_with("HTTP/1.1 101 "));
        wire.send(&text(r#"{"subscribe":{"id":1,"topic":"orders"}}"#)).await;
        assert_eq!(wire.end().await, End::Code(code::PROTOCOL_ERROR.code), "hello comes first");
    }
    assert_eq!(bridge.metric(r#"tidegate_handshakes_total{outcome="ok"}"#), 0);
    assert!(!bridge.process.log().contains(&token), "a token is never written to the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_origins_are_refused() {
    let stage = Embedded::new();
    let bridge = stage.bridge(&[("TIDEGATE_SERVER__ALLOWED_ORIGINS", "https://app.example")]);
    let at = bridge.address;
    let status = async |origins: &[&[u8]]| {
        let mut request = upgrade(at).trim_end().as_bytes().to_vec();
        for origin in origins {
            request.extend_from_slice(b"\r\nOrigin: ");
            request.extend_from_slice(origin);
        }
        request.extend_from_slice(b"\r\n\r\n");
        let mut wire = Wire::connect(at).await;
        wire.send(&request).await;
        wire.head().await.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    for origin in [&b"https://app.example"[..], format!("http://{at}").as_bytes()] {
        assert_eq!(status(&[origin]).await, "101", "{}", String::from_utf8_lossy(origin));
    }
    // A program sends none: its token decides.
    assert_eq!(status(&[]).await, "101");
    let other_port = format!("http://127.0.0.1:{}", at.port() - 1);
    for origin in [
        &b"https://evil.example"[..],
        b"null",
        b"",
        b"http://app.example",
        b"https://app.example:8443",
        b"https://app.example.evil.example",
        b"https://evil.example/https://app.example",
        b"https://APP.example",
        b"https://app.example, https://evil.example",
        b"https://\xc3\xa4pp.example",
        b"\xff",
        b"file://",
        other_port.as_bytes(),
    ] {
        assert_eq!(status(&[origin]).await, "403", "{}", String::from_utf8_lossy(origin));
    }
    assert_eq!(status(&[b"https://app.example", b"https://evil.example"]).await, "403", "two origins");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_two_readers_could_read_differently_are_refused() {
    let stage = Embedded::new();
    let bridge = stage.bridge(&[]);
    let at = bridge.address;
    let answers = async |request: &str| {
        let mut wire = Wire::connect(at).await;
        wire.send(request.replace("HOST", &format!("Host: {at}")).as_bytes()).await;
        wire.head().await.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    for (what, request) in [
        ("two lengths", "POST /livez HTTP/1.1\r\nHOST\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"),
        ("a length that is none", "POST /livez HTTP/1.1\r\nHOST\r\nContent-Length: +5\r\n\r\nabcde"),
        ("an unknown coding", "POST /livez HTTP/1.1\r\nHOST\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ("a blank before the colon", "GET /livez HTTP/1.1\r\nHOST\r\nTransfer-Encoding : chunked\r\n\r\n"),
        ("a folded header", "GET /livez HTTP/1.1\r\nHOST\r\nX: a\r\n b\r\n\r\n"),
        ("a NUL in a header", "GET /livez HTTP/1.1\r\nHOST\r\nX: a\0b\r\n\r\n"),
        ("no version", "GET /livez\r\n\r\n"),
        ("not HTTP", "\u{16}\u{3}\u{1}\u{2}\u{0}\r\n\r\n"),
    ] {
        assert_eq!(answers(request).await, "400", "{what}");
    }
    // Of both, the chunks count and the connection ends: nothing behind it is taken for a request.
    let mut wire = Wire::connect(at).await;
    let both = format!(
        "GET /livez HTTP/1.1\r\nHost: {at}\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
         GET /metrics HTTP/1.1\r\nHost: {at}\r\n\r\n"
    );
    wire.send(both.as_bytes()).await;
    let first = wire.head().await;
    assert!(first.starts_with("HTTP/1.1 400 ") || first.to_ascii_lowercase().contains("connection: close"), "{first}");
    // What would become a WebSocket has no body that could pass for its first frames.
    for body in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        let request = upgrade(at).replacen("\r\n\r\n", &format!("\r\n{body}\r\n\r\n"), 1);
        assert_eq!(answers(&request).await, "400", "{body}");
    }
    let long = "x".repeat(20 << 10);
    assert_eq!(answers(&format!("GET /livez HTTP/1.1\r\nHOST\r\nX: {long}\r\n\r\n")).await, "431");
    let many = "X: y\r\n".repeat(200);
    assert_eq!(answers(&format!("GET /livez HTTP/1.1\r\nHOST\r\n{many}\r\n")).await, "431");
    let status = answers(&format!("GET /{long} HTTP/1.1\r\nHOST\r\n\r\n")).await;
    assert!(["414", "431"].contains(&&*status), "{status}");
    assert_eq!(bridge.get("/livez").0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_connections_than_are_allowed_are_refused() {
    let stage = Embedded::new();
    let bridge = stage.bridge(&[("TIDEGATE_SERVER__MAX_CONNECTIONS", "5")]);
    let token = stage.token("acme", "ada", "member");
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(Wire::welcomed(bridge.address, &token).await);
    }
    let ours = [("sec-websocket-protocol", SUBPROTOCOL)];
    let refused = tidegate_tests::raw::upgrade(bridge.address, &ours).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("503")));
    // Those that never get so far are bounded too, and leave room when they go.
    open.clear();
    all_gone_but(&bridge, 0).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(Wire::connect(bridge.address).await);
    }
    let mut cut = 0;
    for wire in &mut silent[5..] {
        let ended = tokio::time::timeout(Duration::from_secs(5), wire.head()).await;
        cut += usize::from(ended.is_ok_and(|head| head.is_empty()));
    }
    assert!(cut >= 10, "{cut} of 20 were let go");
    drop(silent);
    until("there is room again", async || {
        let mut wire = Wire::connect(bridge.address).await;
        wire.send(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
        wire.head().await.starts_with("HTTP/1.1 200 ")
    })
    .await;
}

//! What a session may do, and what becomes of one that does more: it ends with a clear code, and nobody else notices.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_client::native::{Client, Options, State, Subscribe, Subscription, Token};
use tidegate_protocol::SUBPROTOCOL;
use tidegate_protocol::code;
use tidegate_tests::account::Account;
use tidegate_tests::bridge::Bridge;
use tidegate_tests::raw::{Said, Session, upgrade};
use tidegate_tests::stage::Stage;
use tidegate_tests::{LONG, next, notice, numbers, until, within};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::{Error, Message};

/// Why a handshake was refused: the HTTP status.
async fn refused(address: SocketAddr, headers: &[(&'static str, &str)]) -> Option<u16> {
    match upgrade(address, headers).await {
        Ok(_) => None,
        Err(Error::Http(response)) => Some(response.status().as_u16()),
        Err(error) => panic!("neither an upgrade nor a refusal: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_read_nothing_cost_their_bound_and_others_do_not_notice() {
    const EVENTS: i64 = 200_000;
    const DEAF: u64 = 100;
    let stage = Stage::new();
    let topic = stage.orders("acme");
    stage.create(&topic, 1).await;
    // Nobody is asked whether it is still there, for as long as this may take.
    let patient = ("TIDEGATE_SERVER__HEARTBEAT_INTERVAL", "300s");
    let bridge = stage.bridge(&[("TIDEGATE_WINDOW__BYTES", "4MiB"), patient]);
    let client = bridge.client(&stage.token("acme", "ada", "member")).await;
    let mut subscription = client.subscribe(Subscribe::to("orders")).await.unwrap();
    // What the flow itself takes: the window, what Kafka's client has fetched ahead, rounds on their way.
    let alone = flow(&stage, &bridge, &mut subscription, 0..EVENTS / 2).await;
    let mut deaf = Vec::new();
    for n in 0..DEAF {
        let mut session = Session::open(bridge.address, &stage.token("acme", &format!("deaf-{n}"), "viewer")).await;
        session.say(&json!({"subscribe": {"id": 1, "topic": "orders"}})).await;
        session.answer("subscribed").await;
        deaf.push(session);
    }
    let beside = flow(&stage, &bridge, &mut subscription, EVENTS / 2..EVENTS).await;
    // Each its credit and the batch that went beyond it; without a bound each would hold all of 30 MB.
    let (cost, bound) = (beside.saturating_sub(alone), DEAF * (256 + 64) * 1024 + (32 << 20));
    assert!(cost < bound, "{} MiB more, not {}", cost >> 20, bound >> 20);

    let mut account = Account::of(&bridge).await;
    let totals = account.at_rest(|totals| totals.of("acme", "orders").consumed == EVENTS as u64).await;
    assert_eq!(totals.0.sessions.paused, DEAF);
    // They are not lost either: whoever begins to read and to report gets on where it stands.
    let mut session = deaf.pop().unwrap();
    let batch = session.answer("batch").await;
    assert_eq!(batch["seq"], 0);
    drop(deaf);
    let totals = account.at_rest(|totals| totals.0.sessions.paused <= 1).await;
    assert_eq!(totals.of("acme", "orders").consumed, EVENTS as u64);
}

/// Events flow to a subscription, which gets all of them in order: the most memory that the bridge took meanwhile.
async fn flow(stage: &Stage, bridge: &Bridge, subscription: &mut Subscription, numbers: Range<i64>) -> u64 {
    let (topic, count) = (stage.orders("acme"), numbers.clone());
    let producer = stage.producer(&[("compression.codec", "lz4"), ("linger.ms", "20")]);
    let write = move || {
        count.for_each(|n| producer.event_at(&topic, 0, &notice("acme", n)));
        producer.flush();
    };
    let writing = std::thread::Builder::new().name("writing".into()).spawn(write).expect("a thread starts");
    let mut most = 0;
    for n in numbers {
        assert_eq!(next(subscription).await.n(), n);
        if n % 10_000 == 9_999 {
            most = most.max(bridge.process.memory());
        }
    }
    writing.join().expect("all is written");
    most
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_must_be_one() {
    let stage = Stage::new();
    let bridge = stage.bridge(&[("TIDEGATE_SERVER__ALLOWED_ORIGINS", "https://app.example")]);
    let at = bridge.address;

    let ours = ("sec-websocket-protocol", SUBPROTOCOL);
    assert_eq!(refused(at, &[ours, ("origin", "https://evil.example")]).await, Some(403));
    assert_eq!(refused(at, &[ours, ("origin", "null")]).await, Some(403));
    assert_eq!(refused(at, &[ours, ("origin", "https://app.example")]).await, None);
    let own = format!("http://{at}");
    assert_eq!(refused(at, &[ours, ("origin", &own)]).await, None);
    assert_eq!(refused(at, &[("sec-websocket-protocol", "mqtt")]).await, Some(400));
    assert_eq!(refused(at, &[]).await, Some(400));
    assert_eq!(bridge.get("/v1/ws").0, 426);
    assert_eq!(bridge.get("/v1/nothing").0, 404);

    let hello = |token: &str| json!({"hello": {"token": token, "client": "tab"}});
    for (first, error, close) in [
        (json!({"pong": {}}), "malformed_frame", code::PROTOCOL_ERROR),
        (json!({"?new": {}}), "malformed_frame", code::PROTOCOL_ERROR),
        (json!(["hello"]), "malformed_frame", code::PROTOCOL_ERROR),
        (json!({"hello": {"token": "x"}}), "malformed_frame", code::PROTOCOL_ERROR),
        (hello("not.a.token"), "invalid_token", code::INVALID_TOKEN),
        (hello(&Stage::new().token("acme", "ada", "member")), "invalid_token", code::INVALID_TOKEN),
        (hello(&stage.token_for("acme", "ada", "member", -5)), "token_expired", code::TOKEN_EXPIRED),
    ] {
        let mut session = Session::silent(at).await;
        session.say(&first).await;
        assert_eq!(session.end().await, (Some(error.into()), close.code), "{first}");
    }
    assert_eq!(bridge.metric(r#"tidegate_connections_refused_total{outcome="origin"}"#), 2);

    let hasty = stage.bridge(&[("TIDEGATE_SERVER__HANDSHAKE_TIMEOUT", "1s")]);
    let mut silent = Session::silent(hasty.address).await;
    assert_eq!(silent.end().await, (Some("handshake_timeout".into()), code::HANDSHAKE_TIMEOUT.code));
    assert_eq!(hasty.metric(r#"tidegate_handshakes_total{outcome="handshake_timeout"}"#), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_break_the_protocol_end_the_session() {
    let stage = Stage::new();
    let bridge = stage.bridge(&[]);
    let token = stage.token("acme", "ada", "member");
    let large = json!({"publish": {"id": 1, "topic": "orders", "event": {"x": "x".repeat(1200 << 10)}}}).to_string();
    let of_nothing = json!({"report": {"views": [{"view": 9, "dispatched": 3}]}}).to_string();
    for (message, error, close) in [
        (Message::binary(vec![1, 2, 3]), "malformed_frame", code::PROTOCOL_ERROR),
        (Message::text("{"), "malformed_frame", code::PROTOCOL_ERROR),
        (Message::text("{}"), "malformed_frame", code::PROTOCOL_ERROR),
        (Message::text(r#"{"newer":{}}"#), "unknown_frame", code::PROTOCOL_ERROR),
        (Message::text(r#"{"hello":{"token":"x","client":"y"}}"#), "malformed_frame", code::PROTOCOL_ERROR),
        (Message::text(of_nothing), "invalid_report", code::PROTOCOL_ERROR),
        (Message::text(large), "frame_too_large", code::FRAME_TOO_LARGE),
    ] {
        let shown = message.to_string().chars().take(40).collect::<String>();
        let mut session = Session::open(bridge.address, &token).await;
        session.send(message).await;
        assert_eq!(session.end().await, (Some(error.into()), close.code), "{shown}");
    }
    // What is marked as optional is passed over.
    let mut session = Session::open(bridge.address, &token).await;
    session.say(&json!({"?newer": {}})).await;
    session.say(&json!({"unsubscribe": {"id": 5, "subscription": 1}})).await;
    assert_eq!(session.answer("error").await["code"], "unknown_subscription");
    until("all sessions are gone but one", async || bridge.metric(r#"tidegate_sessions{kind="open"}"#) <= 1).await;
}

/// Sends this until the bridge has had enough: the code that it closes with.
async fn flood(session: &mut Session, message: &Message) -> u16 {
    let flood = async {
        loop {
            // Well above the burst. On a machine so slow that the rate pays all of it back, once more.
            for _ in 0..60_000 {
                session.send(message.clone()).await;
            }
            if let Ok((_, code)) = timeout(Duration::from_secs(1), session.end()).await {
                return code;
            }
        }
    };
    timeout(LONG, flood).await.expect("it has had enough")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_frames_ends_its_session_and_no_other() {
    let stage = Stage::new();
    let topic = stage.orders("acme");
    stage.create(&topic, 1).await;
    let bridge = stage.bridge(&[]);
    let client = bridge.client(&stage.token("acme", "ada", "member")).await;
    let mut subscription = client.subscribe(Subscribe::to("orders")).await.unwrap();
    let mut session = Session::open(bridge.address, &stage.token("acme", "eve", "member")).await;
    let code = flood(&mut session, &Message::text(r#"{"pong":{}}"#)).await;
    // A reset may overtake the close frame while we still send.
    assert!([code::FLOODED.code, 1006].contains(&code), "{code}");
    let producer = stage.producer(&[]);
    producer.event(&topic, "k", &notice("acme", 1));
    producer.flush();
    assert_eq!(next(&mut subscription).await.n(), 1);
    Account::of(&bridge).await.at_rest(|totals| totals.of("acme", "orders").consumed == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_pings_ends_its_session_too() {
    let stage = Stage::new();
    let bridge = stage.bridge(&[]);
    let mut session = Session::open(bridge.address, &stage.token("acme", "eve", "member")).await;
    let code = flood(&mut session, &Message::Ping(vec![7; 100].into())).await;
    assert!([code::FLOODED.code, 1006].contains(&code), "{code}");
    until("it is gone", async || bridge.metric("tidegate_connections") == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_neither_reads_nor_goes_is_let_go() {
    let stage = Stage::new();
    let topic = stage.orders("acme");
    stage.create(&topic, 1).await;
    let impatient = [("TIDEGATE_SERVER__HEARTBEAT_INTERVAL", "1s"), ("TIDEGATE_SERVER__HEARTBEAT_TIMEOUT", "1s")];
    let large = ("TIDEGATE_LIMITS__CREDIT_BYTES", "64MiB");
    let bridge = stage.bridge(&[impatient[0], impatient[1], large]);
    let mut session = Session::open(bridge.address, &stage.token("acme", "deaf", "member")).await;
    session.say(&json!({"subscribe": {"id": 1, "topic": "orders"}})).await;
    session.answer("subscribed").await;
    until("its session is counted", async || bridge.metric(r#"tidegate_sessions{kind="open"}"#) == 1).await;
    // More than the kernel takes for a socket that is not read.
    let producer = stage.producer(&[]);
    let event = notice("acme", 1).replacen("\"data\"", &format!(r#""x":"{}","data""#, "x".repeat(500 << 10)), 1);
    (0..40).for_each(|_| producer.event(&topic, "k", &event));
    producer.flush();
    until("its session is over", async || bridge.metric(r#"tidegate_sessions{kind="open"}"#) == 0).await;
    until("its socket is closed", async || bridge.metric("tidegate_connections") == 0).await;
    drop(session);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_ends_though_somebody_does_not_take_the_answer() {
    let stage = Stage::new();
    let assets = tempfile::tempdir().unwrap();
    std::fs::write(assets.path().join("large.txt"), vec![b'x'; 32 << 20]).unwrap();
    let mut bridge = stage.bridge(&[("TIDEGATE_ASSETS", assets.path().to_str().unwrap())]);
    let mut deaf = std::net::TcpStream::connect(bridge.address).unwrap();
    write!(deaf, "GET /large.txt HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut first = [0];
    deaf.read_exact(&mut first).unwrap();
    bridge.process.ask_to_end();
    assert!(bridge.process.wait().success(), "{}", bridge.process.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_and_publishes_are_limited() {
    let stage = Stage::new();
    stage.create(&stage.orders("acme"), 1).await;
    stage.create(&stage.carts(), 1).await;
    let limits = [
        ("TIDEGATE_LIMITS__SUBSCRIPTIONS", "2"),
        ("TIDEGATE_LIMITS__PUBLISH_EVENTS_PER_S", "5"),
        ("TIDEGATE_LIMITS__EVENT_BYTES", "4KiB"),
    ];
    let bridge = stage.bridge(&limits);
    let mut session = Session::open(bridge.address, &stage.token("acme", "ada", "member")).await;
    let subscribe = |id: u32, topic: &str| json!({"subscribe": {"id": id, "topic": topic}});
    let code_of = |error: &Value| (error["id"].as_u64(), error["code"].as_str().map(str::to_owned));
    session.say(&subscribe(1, "orders")).await;
    let first = session.answer("subscribed").await;
    session.say(&subscribe(2, "orders")).await;
    assert_eq!(code_of(&session.answer("error").await), (Some(2), Some("already_subscribed".into())));
    session.say(&subscribe(3, "unheard-of")).await;
    assert_eq!(code_of(&session.answer("error").await), (Some(3), Some("denied".into())));
    session.say(&subscribe(4, "carts")).await;
    session.answer("subscribed").await;
    session.say(&subscribe(5, "$ledger")).await;
    assert_eq!(code_of(&session.answer("error").await), (Some(5), Some("too_many_subscriptions".into())));
    session.say(&json!({"unsubscribe": {"id": 6, "subscription": first["subscription"]}})).await;
    session.answer("unsubscribed").await;
    session.say(&subscribe(7, "orders")).await;
    session.answer("subscribed").await;
    session.say(&json!({"subscribe": {"id": 8, "topic": "carts", "consumer": "printer"}})).await;
    assert_eq!(session.answer("error").await["id"], 8);

    let publish = |id: u32, event: Value| json!({"publish": {"id": id, "topic": "orders", "event": event}});
    session.say(&publish(20, json!({"type": "a.b", "x": "x".repeat(5000)}))).await;
    assert_eq!(code_of(&session.answer("error").await), (Some(20), Some("event_too_large".into())));
    session.say(&publish(21, json!({"type": "nodot"}))).await;
    let invalid = session.answer("error").await;
    assert_eq!((&invalid["code"], &invalid["pointer"]), (&"invalid_event".into(), &"/publish/event/type".into()));
    let (mut taken, mut limited) = (0, 0);
    for id in 100..130 {
        session.say(&publish(id, json!({"type": "order.created", "data": {"n": id}}))).await;
    }
    while taken + limited < 30 {
        match session.next().await {
            Said::Frame(frame) if frame.get("published").is_some() => taken += 1,
            Said::Frame(frame) if frame["error"]["code"] == "rate_limited" => {
                assert_eq!(frame["error"]["retryable"], true);
                limited += 1;
            }
            Said::Frame(frame) => assert!(frame.get("error").is_none(), "{frame}"),
            Said::Close(code) => panic!("closed with {code}"),
        }
    }
    // Twice the rate at once, and what is added while they come.
    assert!((8..=20).contains(&taken), "{taken} of 30");
    assert_eq!(stage.kcat_read(&stage.orders("acme")).len(), taken);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_expires_ends_the_session_within_a_second() {
    let stage = Stage::new();
    let bridge = stage.bridge(&[]);
    within(Duration::from_secs(1), async || {
        let token = stage.token_for("acme", "ada", "member", 5);
        let mut session = Session::silent(bridge.address).await;
        session.say(&json!({"hello": {"token": token, "client": "tab"}})).await;
        let welcome = session.answer("welcome").await;
        let expires = welcome["expires"].as_i64().expect("it says when");
        assert_eq!(session.end().await, (Some("token_expired".into()), code::TOKEN_EXPIRED.code));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
        Duration::from_millis(u64::try_from(now - expires).expect("not before it expired"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_renewed_in_place() {
    let stage = Stage::new();
    let topic = stage.orders("acme");
    stage.create(&topic, 1).await;
    let bridge = stage.bridge(&[]);
    let mut session = Session::open(bridge.address, &stage.token_for("acme", "ada", "member", 60)).await;
    session.say(&json!({"subscribe": {"id": 1, "topic": "orders"}})).await;
    session.answer("subscribed").await;
    session.say(&json!({"refresh": {"id": 2, "token": "no.such.token"}})).await;
    assert_eq!(session.answer("error").await["code"], "invalid_token");
    session.say(&json!({"refresh": {"id": 3, "token": stage.token("acme", "ada", "viewer")}})).await;
    assert_eq!(session.answer("refreshed").await["id"], 3);
    // The rights are those of the new token.
    let publish = json!({"publish": {"id": 4, "topic": "orders", "event": {"type": "order.created"}}});
    session.say(&publish).await;
    assert_eq!(session.answer("error").await["code"], "denied");
    // Nobody else's.
    let mut stranger = Session::open(bridge.address, &stage.token("acme", "eve", "viewer")).await;
    stranger.say(&json!({"refresh": {"id": 1, "token": stage.token("globex", "eve", "viewer")}})).await;
    assert_eq!(stranger.end().await, (Some("invalid_token".into()), code::INVALID_TOKEN.code));
    // Lost grants end their subscriptions.
    session.say(&json!({"refresh": {"id": 5, "token": stage.token("acme", "ada", "nobody")}})).await;
    let (mut refreshed, mut ended) = (false, false);
    while !(refreshed && ended) {
        let Said::Frame(frame) = session.next().await else { panic!("the session goes on") };
        refreshed |= frame["refreshed"]["id"] == 5;
        ended |= frame["error"]["code"] == "denied" && frame["error"]["subscription"].is_u64();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_a_source_of_tokens_outlives_each_of_them() {
    let stage = std::sync::Arc::new(Stage::new());
    let topic = stage.orders("acme");
    stage.create(&topic, 1).await;
    // What clocks may differ by is room for a busy machine, too.
    let bridge = stage.bridge(&[("TIDEGATE_TOKENS__SKEW", "3s")]);
    let source = {
        let stage = std::sync::Arc::clone(&stage);
        Token::source(move || std::future::ready(Ok(stage.token_for("acme", "ada", "member", 7))))
    };
    let client = Client::connect(bridge.url(), Options::new(source)).await.unwrap();
    let mut subscription = client.subscribe(Subscribe::to("orders")).await.unwrap();
    let producer = stage.producer(&[]);
    let began = Instant::now();
    let mut seen = Vec::new();
    // Until a second one would have run out.
    while began.elapsed() < Duration::from_secs(17) {
        producer.event(&topic, "k", &notice("acme", seen.len()));
        producer.flush();
        seen.extend(numbers(&mut subscription, 1).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(seen.iter().enumerate().all(|(n, seen)| n as i64 == *seen), "{seen:?}");
    assert!(matches!(&*client.state().borrow(), State::Open(_)));
    assert_eq!(subscription.gaps(), 0);
}

//! The bus over HTTP, on the embedded log: a whole node in this process, and a client that knows nothing but HTTP.

#[path = "../../tests/src/http.rs"]
#[allow(dead_code, reason = "shared with the tests on Kafka")]
mod http;
#[path = "http/node.rs"]
mod node;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate_client::native::Subscribe;

use http::Request;
use node::{Bridge, event, hello, number, numbers, token, token_for};

const ID: &str = "0199f3a0-4b1c-7d2e-8f00-aabbccddeeff";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_published_as_from_a_session() {
    let bridge = Bridge::start("", "").await;
    let ada = token("acme", "member");
    let client = bridge.client(&ada).await;
    let mut subscription = client.subscribe(Subscribe::to("orders")).await.unwrap();
    let body = r#"{"type":"order.paid","tenant_id":"globex","action":{"command":"pay"},"requester":"eve"}"#;
    let answer = bridge.publish(&ada, body).await;
    assert_eq!((answer.status, answer.headers["content-type"].as_str()), (200, "application/json"));
    let told = answer.json();
    let delivery = subscription.next().await.unwrap();
    let seen: Value = serde_json::from_str(&delivery.event).unwrap();
    assert_eq!((&seen["id"], &seen["correlation_id"]), (&told["id"], &told["correlation_id"]));
    assert_eq!((seen["tenant_id"].as_str(), seen["requester"].as_str()), (Some("acme"), Some("ada")));
    assert!(told.get("offset").is_none());
    delivery.consumed();

    let idempotent = |key: &str, body: &str| Request::publish("orders", &ada, body).header("idempotency-key", key);
    let answer = idempotent(&format!("\"{ID}\""), &event(1)).ask(bridge.at).await;
    assert_eq!((answer.status, answer.json()["id"].as_str()), (200, Some(ID)));
    let answer = Request::new("POST", "/v1/topics/orders/events?key=order%2F42")
        .token(&token("acme", "raw"))
        .header("content-type", "application/json; charset=utf-8")
        .body(event(2))
        .ask(bridge.at)
        .await;
    assert!(answer.json()["partition"].is_u64() && answer.json()["offset"].is_u64(), "{}", answer.body);
    let mut keys = Vec::new();
    for _ in 0..2 {
        let delivery = subscription.next().await.unwrap();
        keys.push(delivery.key.clone().unwrap());
        delivery.consumed();
    }
    keys.sort_unstable();
    assert_eq!(keys, [ID, "order/42"]);
    bridge.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_says_by_status_code_and_pointer_why() {
    let bridge = Bridge::start("", "event_bytes = \"4KiB\"").await;
    let ada = token("acme", "member");
    let publish = |body: &str| Request::publish("orders", &ada, body);
    let keyed = |key: &str, body: &str| publish(body).header("idempotency-key", key);
    let large = format!(r#"{{"type":"a.b","data":"{}"}}"#, "x".repeat(5000));
    let many = format!("[{}1]", "1,".repeat(256));
    let huge = "x".repeat(5 << 20);
    let expired = token_for("acme", "ada", "member", -5);
    for (request, status, code, pointer) in [
        (publish(r#"{"type":"x"}"#), 400, "invalid_event", Some("/type")),
        (publish(r#"{"type":"a.b","id":"x"}"#), 400, "invalid_event", Some("/id")),
        (publish(r#"{"type":"a.b","type":"a.b"}"#), 400, "invalid_event", Some("/type")),
        (publish("nonsense"), 400, "invalid_event", Some("")),
        (publish(""), 400, "invalid_event", Some("")),
        (publish("[1,"), 400, "malformed_frame", Some("")),
        (publish(&large), 413, "event_too_large", None),
        (publish(&many), 413, "frame_too_large", None),
        (publish(&huge), 413, "frame_too_large", None),
        (publish("{}").header("content-type", "application/xml"), 415, "malformed_frame", None),
        (publish("{}").header("tidegate-client", &"x".repeat(129)), 400, "malformed_frame", None),
        (keyed("no-uuid", &event(1)), 400, "malformed_frame", None),
        (keyed(ID, r#"{"type":"a.b","id":"0199f3a0-4b1c-7d2e-8f00-aabbccddee00"}"#), 400, "invalid_event", Some("/id")),
        (keyed(ID, "[]"), 400, "malformed_frame", None),
        (Request::publish("nowhere", &ada, "{}"), 403, "denied", None),
        (Request::publish("orders", &token("acme", "viewer"), "{}"), 403, "denied", None),
        (Request::publish("orders", &token("acme", "viewer"), "[{},{}]"), 403, "denied", None),
        (Request::publish("orders", "not.a.token", "{}"), 401, "invalid_token", None),
        (Request::publish("orders", &expired, "{}"), 401, "token_expired", None),
        (Request::new("POST", "/v1/topics/orders/events").body("{}"), 401, "invalid_token", None),
        (Request::new("GET", "/v1/topics/orders/events"), 401, "invalid_token", None),
        (Request::read("orders", "", &expired), 401, "token_expired", None),
        (Request::read("nowhere", "", &ada), 403, "denied", None),
        (Request::read("audit", "", &token("acme", "viewer")), 403, "denied", None),
        (Request::read("orders", "?from=earliest", &token("acme", "viewer")), 403, "denied", None),
        (Request::read("orders", "?from=now", &ada), 400, "malformed_frame", None),
        (Request::read("orders", "?form=earliest", &ada), 400, "malformed_frame", None),
        (Request::read("orders", "?types=nodot", &ada), 400, "malformed_frame", None),
        (Request::read("orders", "?cursor=forged", &ada), 400, "invalid_cursor", None),
        (Request::read("$ledger", "", &ada), 400, "unsupported", None),
        (Request::stream(&[]), 400, "malformed_frame", None),
        (Request::stream(&[hello("not.a.token")]), 401, "invalid_token", None),
        (Request::stream(&[hello(&expired)]), 401, "token_expired", None),
        (Request::stream(&[hello(&ada), json!({"pong": {}})]), 400, "malformed_frame", None),
    ] {
        let answer = request.ask(bridge.at).await;
        let shown = format!("{request:.300?}");
        assert_eq!(answer.refusal(), (status, code.into(), pointer.map(str::to_owned)), "{shown}");
        assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401, "{shown}");
        assert!(answer.json()["error"].get("id").is_none(), "{shown}");
    }
    // Who has not shown who it is can not say much.
    let long = format!("{}\n{}", hello("not.a.token"), " ".repeat(900_000));
    assert_eq!(Request::new("POST", "/v1/stream").body(long).ask(bridge.at).await.refusal().0, 401);
    let long = format!("{}{}", " ".repeat(70_000), hello(&ada));
    assert_eq!(Request::new("POST", "/v1/stream").body(long).ask(bridge.at).await.refusal().0, 413);
    let long = format!("{}\n{}", hello(&ada), " \n".repeat(300_000));
    assert_eq!(Request::new("POST", "/v1/stream").body(long).ask_status(bridge.at).await, 200);
    assert_eq!(Request::new("PUT", "/v1/stream").ask(bridge.at).await.status, 405);
    bridge.until("nobody is left", async || bridge.metric("tidegate_connections").await == 0).await;
    bridge.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_batch_every_event_has_its_outcome() {
    let bridge = Bridge::start("", "").await;
    let ada = token("acme", "member");
    let mut events = Request::read("orders", "", &ada).events(bridge.at).await;
    let body = format!(r#"[{},{{"type":"x"}},{{"key":"k","event":{}}},{{"event":{{}}}}]"#, event(1), event(2));
    let answer = bridge.publish(&ada, body).await;
    assert_eq!(answer.status, 207);
    let told = answer.json();
    assert_eq!(told["published"], 2);
    let outcomes = told["outcomes"].as_array().unwrap();
    let ids: Vec<bool> = outcomes.iter().map(|outcome| outcome["id"].is_string()).collect();
    assert_eq!(ids, [true, false, true, false]);
    assert_eq!(outcomes[1]["error"]["pointer"], "/type");
    assert_eq!(outcomes[3]["error"]["pointer"], "/event/type");
    let lines = format!("{}\n\n{}\r\n", event(3), event(4));
    let answer = Request::publish("orders", &ada, lines).header("content-type", "application/x-ndjson");
    let answer = answer.ask(bridge.at).await;
    assert_eq!((answer.status, answer.json()["published"].as_u64()), (200, Some(2)));
    let answer = bridge.publish(&ada, "[]").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"published":0,"outcomes":[]}"#));
    let mut seen = numbers(&mut events, 4).await;
    seen.sort_unstable();
    assert_eq!(seen, [1, 2, 3, 4]);

    // What a condition says is decided for each.
    let clerk = token("acme", "clerk");
    let of = |user: &str| json!({"type": "order.created", "data": {"user": user, "n": 5}}).to_string();
    let answer = bridge.publish(&clerk, format!("[{},{}]", of("bob"), of("ada"))).await;
    assert_eq!((answer.status, answer.json()["outcomes"][0]["error"]["code"].as_str()), (207, Some("denied")));
    bridge.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_rate_for_all_requests_of_a_subject() {
    // So slow that a busy machine asks faster.
    let bridge = Bridge::start("", "publish_events_per_s = 2").await;
    let ada = token("acme", "member");
    let (began, mut published) = (Instant::now(), 0);
    let refused = loop {
        let answer = bridge.publish(&ada, event(published)).await;
        if answer.status != 200 {
            break answer;
        }
        published += 1;
    };
    let most = 6 + 2 * began.elapsed().as_secs().cast_signed();
    assert!((4..=most).contains(&published), "{published} of {most}");
    assert_eq!(refused.refusal(), (429, "rate_limited".into(), None));
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(bridge.publish(&token_for("acme", "bob", "member", 60), event(0)).await.status, 200);
    let many = vec![event(0); 20].join(",");
    let answer = bridge.publish(&token_for("acme", "eve", "member", 60), format!("[{many}]")).await;
    let told = answer.json();
    let outcomes = told["outcomes"].as_array().unwrap();
    let first = outcomes.iter().position(|outcome| outcome.get("error").is_some()).unwrap();
    assert_eq!((answer.status, first), (207, told["published"].as_u64().unwrap() as usize));
    assert!(outcomes[first..].iter().all(|outcome| outcome["error"]["code"] == "rate_limited"));
    bridge.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_goes_on_where_it_was() {
    const EVENTS: i64 = 2_000;
    let limits = "publish_events_per_s = 100000\npublish_bytes_per_s = \"100MiB\"";
    let bridge = Arc::new(Bridge::start("", limits).await);
    let (ada, bob) = (token("acme", "member"), token("globex", "member"));
    let writing = {
        let (bridge, ada, bob) = (Arc::clone(&bridge), ada.clone(), bob.clone());
        tokio::spawn(async move {
            for from in (0..EVENTS).step_by(100) {
                bridge.publish_numbers(&ada, from..from + 100).await;
                bridge.publish_numbers(&bob, -from - 1..-from).await;
            }
        })
    };
    let (mut seen, mut last, mut visits) = (Vec::new(), String::new(), 0);
    while seen.last() != Some(&(EVENTS - 1)) {
        let read = Request::read("orders", "?from=earliest", &ada).header("last-event-id", &last);
        let mut events = read.events(bridge.at).await;
        assert_eq!((&*events.headers["cache-control"], &*events.headers["x-accel-buffering"]), ("no-store", "no"));
        // It breaks off within a batch, after one that was whole: whoever sees no id never gets on.
        let (mut count, mut began) = (0, None);
        while count < 100 {
            let message = events.named("order.created").await;
            count += usize::from(*began.get_or_insert_with(|| message.id.clone()) != message.id);
            let n = number(&message.data);
            // What was seen since the last id comes again, and nothing is left out.
            let at = seen.iter().position(|known| *known == n).unwrap_or(seen.len());
            assert!(at == seen.len() || n < *seen.last().unwrap() + 1, "{n}");
            if at == seen.len() {
                assert_eq!(n, seen.last().map_or(0, |last| last + 1));
                seen.push(n);
            }
            if n == EVENTS - 1 {
                break;
            }
        }
        last = events.last_id.clone();
        visits += 1;
    }
    assert!(visits >= 3, "{visits}");
    writing.await.unwrap();
    let foreign = Request::read("orders", "", &bob).header("last-event-id", &last).ask(bridge.at).await;
    assert_eq!(foreign.refusal(), (400, "invalid_cursor".into(), None));
    let other = Request::read("audit", &format!("?cursor={last}"), &ada).ask(bridge.at).await;
    assert_eq!(other.refusal().1, "invalid_cursor");
    bridge.until("all are gone", async || bridge.metric("tidegate_connections").await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_sees_its_tenant_s_rows_and_what_it_wants_of_them() {
    let bridge = Bridge::start("", "").await;
    let (ada, clerk) = (token("acme", "member"), token("acme", "clerk"));
    let mut all = Request::read("orders", "", &ada).events(bridge.at).await;
    let mut paid = Request::read("orders", "?types=order.paid,order.s*", &ada);
    let refused = paid.ask(bridge.at).await;
    assert_eq!(refused.status, 400, "a wildcard stands for words");
    paid = Request::read("orders", "?types=order.paid,ship.*", &ada);
    let mut paid = paid.events(bridge.at).await;
    let mut own = Request::read("orders", "", &clerk).events(bridge.at).await;
    let mut keyed = Request::read("orders", "?keys=k2", &ada).events(bridge.at).await;
    let of = |kind: &str, user: &str, key: &str| {
        json!({"key": key, "event": {"type": kind, "data": {"user": user}}}).to_string()
    };
    let body =
        [of("order.created", "bob", "k1"), of("order.paid", "ada", "k1"), of("ship.sent", "bob", "k2")].join(",");
    assert_eq!(bridge.publish(&token("globex", "member"), format!("[{body}]")).await.status, 200);
    assert_eq!(bridge.publish(&ada, format!("[{body}]")).await.status, 200);
    let mut first = Vec::new();
    for _ in 0..3 {
        let message = all.next().await.unwrap();
        assert!(message.data.contains(r#""tenant_id":"acme""#), "{}", message.data);
        first.push(message.name);
    }
    first.sort_unstable();
    assert_eq!(first, ["order.created", "order.paid", "ship.sent"]);
    let mut wanted = [paid.next().await.unwrap().name, paid.next().await.unwrap().name];
    wanted.sort_unstable();
    assert_eq!(wanted, ["order.paid", "ship.sent"]);
    assert_eq!(own.next().await.unwrap().name, "order.paid");
    assert_eq!(keyed.next().await.unwrap().name, "ship.sent");
    let ledger = async || {
        let name = |kind| format!(r#"tidegate_deliveries_total{{topic="orders",kind="{kind}"}}"#);
        [
            bridge.metric(&name("received")).await,
            bridge.metric(&name("consumed")).await,
            bridge.metric(&name("unreported")).await,
        ]
    };
    bridge.until("the ledger has all of it", async || ledger().await == [7, 7, 7]).await;
    assert_eq!(bridge.metric("tidegate_ledger_imbalance").await, 0);
    bridge.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_speaks_the_protocol_one_way() {
    let bridge = Bridge::start("heartbeat_interval = \"1s\"", "").await;
    let ada = token("acme", "member");
    let subscribe = |id: u32, topic: &str| json!({"subscribe": {"id": id, "topic": topic, "from": "earliest"}});
    let named = json!({"subscribe": {"id": 3, "topic": "audit", "consumer": "printer"}});
    let request = Request::stream(&[hello(&ada), subscribe(1, "orders"), subscribe(2, "nowhere"), named]);
    let mut stream = request.events(bridge.at).await;
    assert_eq!(stream.frame("welcome").await["tenant"], "acme");
    let mut refused = [stream.frame("error").await, stream.frame("error").await];
    refused.sort_by_key(|error| error["id"].as_u64());
    assert_eq!((&refused[0]["code"], &refused[1]["code"]), (&json!("denied"), &json!("unsupported")));
    let subscribed = stream.frame("subscribed").await;
    assert_eq!(subscribed["id"], 1);
    // Written over several lines, and so it arrives.
    assert_eq!(bridge.publish(&ada, "{\n \"type\": \"order.created\",\r\n \"data\": {\"n\":\r1}\n}").await.status, 200);
    let batch = stream.frame("batch").await;
    assert_eq!(batch["entries"][0]["event"]["data"]["n"], 1);
    let ping = stream.frame("ping").await;
    let cursor = ping["cursors"][0]["cursor"].clone();
    assert!(cursor.is_string(), "{ping}");
    bridge.publish_numbers(&ada, 2..4).await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let batch = stream.frame("batch").await;
        seen.extend(batch["entries"].as_array().unwrap().iter().map(|e| e["event"]["data"]["n"].as_i64().unwrap()));
    }
    // It comes again, from an older cursor, with a token that soon runs out: the first one's place is taken.
    let from = json!({"subscribe": {"id": 1, "topic": "orders", "from": {"cursor": [cursor]}}});
    let again = Request::stream(&[hello(&token_for("acme", "ada", "member", 6)), from]);
    let mut again = again.events(bridge.at).await;
    let last = stream.last().await.unwrap();
    assert_eq!((last.name.as_str(), last.data.as_str()), ("close", r#"{"code":3504,"reason":"replaced"}"#));
    let batch = again.frame("batch").await;
    assert_eq!(batch["entries"][0]["event"]["data"]["n"], 2);
    let last = again.last().await.unwrap();
    assert_eq!((last.name.as_str(), last.data.as_str()), ("close", r#"{"code":3002,"reason":"token_expired"}"#));
    bridge.until("both are gone", async || bridge.metric("tidegate_connections").await == 0).await;
    assert_eq!(bridge.metric("tidegate_ledger_imbalance").await, 0);
    bridge.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_runs_out_ends_the_stream() {
    const LIFETIME: Duration = Duration::from_secs(5);
    let bridge = Bridge::start("", "").await;
    // A busy machine stands still for a moment now and then: of three, one ends in time.
    let (mut late, mut best) = (0, Duration::MAX);
    while late < 3 && best >= Duration::from_secs(1) {
        let (began, short) = (Instant::now(), token_for("acme", "ada", "member", LIFETIME.as_secs().cast_signed()));
        let mut events = Request::read("orders", "", &short).events(bridge.at).await;
        let last = events.last().await.unwrap();
        (late, best) = (late + 1, best.min(began.elapsed().saturating_sub(LIFETIME)));
        let said: Value = serde_json::from_str(&last.data).unwrap();
        assert_eq!(
            (last.name.as_str(), &said["code"], &said["retryable"]),
            ("error", &json!("token_expired"), &json!(true))
        );
        let again = Request::read("orders", "", &short).header("last-event-id", &events.last_id).ask(bridge.at).await;
        assert_eq!(again.refusal().0, 401);
    }
    assert!(best < Duration::from_secs(1), "{best:?} after it ran out");
    bridge.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_takes_nothing_is_ended_and_nobody_else_notices() {
    const EVENTS: i64 = 400;
    let limits = "publish_events_per_s = 100000\npublish_bytes_per_s = \"1GiB\"";
    let bridge = Bridge::start("heartbeat_interval = \"1s\"", limits).await;
    let ada = token("acme", "member");
    // More than its credit, and than what the kernel takes of a socket that nobody reads.
    let deaf = Request::read("orders", "", &ada).events(bridge.at).await;
    let mut reads = Request::read("orders", "", &ada).events(bridge.at).await;
    for n in 0..EVENTS {
        let large = json!({"type": "order.created", "data": {"n": n, "pad": "x".repeat(60_000)}});
        let answer = bridge.publish(&ada, json!([{"key": "k", "event": large}]).to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(numbers(&mut reads, 1).await, [n]);
    }
    bridge.until("the deaf one is gone", async || bridge.metric("tidegate_connections").await == 1).await;
    let name = r#"tidegate_deliveries_total{topic="orders",kind="unreported"}"#;
    let enough = async || bridge.metric(name).await >= EVENTS as u64;
    bridge.until("the other has all of it", enough).await;
    let unreported = bridge.metric(name).await;
    assert!(unreported < 2 * EVENTS as u64, "{unreported}");
    bridge.publish_numbers(&ada, EVENTS..EVENTS + 1).await;
    assert_eq!(numbers(&mut reads, 1).await, [EVENTS]);
    drop(deaf);
    bridge.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_allowed_origins_only() {
    let bridge = Bridge::start("allowed_origins = [\"https://app.example\"]", "").await;
    let ada = token("acme", "member");
    let app = "https://app.example";
    for path in ["/v1/stream", "/v1/topics/orders/events"] {
        let preflight = |origin: &str| {
            let request = Request::new("OPTIONS", path).header("origin", origin);
            request.header("access-control-request-method", "POST")
        };
        let answer = preflight(app).ask(bridge.at).await;
        assert_eq!((answer.status, &*answer.headers["access-control-allow-origin"]), (204, app));
        let headers = &answer.headers["access-control-allow-headers"];
        assert!(["authorization", "content-type", "idempotency-key"].iter().all(|name| headers.contains(name)));
        assert!(!answer.headers.contains_key("access-control-allow-credentials"));
        for foreign in ["https://evil.example", "null", "http://app.example"] {
            let answer = preflight(foreign).ask(bridge.at).await;
            assert_eq!(answer.refusal().0, 403, "{foreign}");
            assert!(!answer.headers.contains_key("access-control-allow-origin"), "{foreign}");
        }
    }
    let publish = |token: &str, origin: &str| Request::publish("orders", token, event(1)).header("origin", origin);
    let answer = publish(&ada, app).ask(bridge.at).await;
    assert_eq!((answer.status, &*answer.headers["access-control-allow-origin"]), (200, app));
    // A page has to see why.
    let answer = publish("no", app).ask(bridge.at).await;
    assert_eq!((answer.status, &*answer.headers["access-control-allow-origin"]), (401, app));
    assert_eq!(publish(&ada, "https://evil.example").ask(bridge.at).await.status, 403);
    let stream = Request::stream(&[hello(&ada)]);
    assert_eq!(stream.clone().header("origin", "https://evil.example").ask(bridge.at).await.status, 403);
    let mut stream = stream.header("origin", app).events(bridge.at).await;
    assert_eq!(stream.headers["access-control-allow-origin"], app);
    stream.frame("welcome").await;
    let own = format!("http://{}", bridge.at);
    assert_eq!(publish(&ada, &own).ask(bridge.at).await.status, 200);
    bridge.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_goes_says_so() {
    let bridge = Bridge::start("", "").await;
    let ada = token("acme", "member");
    let mut events = Request::read("orders", "", &ada).events(bridge.at).await;
    let mut stream = Request::stream(&[hello(&ada)]).events(bridge.at).await;
    let stop = tokio::spawn(bridge.node.stop());
    assert!(events.named("reconnect").await.data.starts_with(r#"{"delay_ms":"#));
    stream.frame("reconnect").await;
    let last = events.last().await.unwrap();
    assert!(last.name == "error" && last.data.contains("going_away"), "{last:?}");
    let last = stream.last().await.unwrap();
    assert_eq!((last.name.as_str(), last.data.as_str()), ("close", r#"{"code":3001,"reason":"going_away"}"#));
    stop.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_connections_than_may_be() {
    let bridge = Bridge::start("max_connections = 4", "").await;
    let ada = token("acme", "member");
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(Request::read("orders", "", &ada).events(bridge.at).await);
    }
    let mut events = Request::read("orders", "", &ada).events(bridge.at).await;
    let refused = Request::read("orders", "", &ada).ask(bridge.at).await;
    assert_eq!((refused.status, &*refused.headers["retry-after"]), (503, "1"));
    assert_eq!(bridge.publish(&ada, event(1)).await.status, 200);
    assert_eq!(numbers(&mut events, 1).await, [1]);
    drop(others);
    bridge
        .until("its place is free", async || Request::read("orders", "", &ada).ask_status(bridge.at).await == 200)
        .await;
    bridge.node.stop().await;
}

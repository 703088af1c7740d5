//! Revocation: what is taken back is taken back at once, on every node, and stays so.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_client::native::{Client, Options, State};
use tidegate_protocol::code;
use tidegate_tests::bridge::{Bridge, get, url};
use tidegate_tests::process::{Process, tidegate};
use tidegate_tests::proxy::Proxy;
use tidegate_tests::raw::{Said, Session};
use tidegate_tests::stage::Stage;
use tidegate_tests::{LONG, notice, until};
use tokio::time::{Instant, timeout};

const KEY: &str = "bm90IGEgc2VjcmV0LCBidXQgMzIgYnl0ZXMgb2YgaXQ=";

/// With an admin API on a port of its own.
const ADMIN: [(&str, &str); 2] = [("TIDEGATE_ADMIN__LISTEN", "127.0.0.1:0"), ("TIDEGATE_ADMIN__KEYS__ALICE", KEY)];

fn admin_of(bridge: &Bridge) -> SocketAddr {
    bridge.process.word_after("admin API listening address=").parse().expect("an address")
}

/// `tidegate revoke` with these arguments.
fn revoke(admin: SocketAddr, arguments: &[&str]) -> Output {
    let mut command = tidegate(&["revoke"]);
    command.args(arguments).env("TIDEGATE_ADMIN", format!("http://{admin}")).env("TIDEGATE_ADMIN_KEY", KEY);
    command.output().expect("it starts")
}

fn done(admin: SocketAddr, arguments: &[&str]) -> String {
    let output = revoke(admin, arguments);
    let (said, wrong) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && wrong.is_empty(), "{arguments:?}: {wrong}");
    said
}

/// Status, head and body of a call of the admin API.
fn call(admin: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> (u16, String, Value) {
    let ask = || {
        let mut stream = TcpStream::connect(admin)?;
        stream.set_read_timeout(Some(LONG))?;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = ask().expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, head.to_ascii_lowercase(), serde_json::from_str(body).unwrap_or_default())
}

/// An event stream of `orders` that has begun.
fn listening(at: SocketAddr, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(at).expect("a connection");
    stream.set_read_timeout(Some(LONG)).expect("a time");
    let head = format!(
        "GET /v1/topics/orders/events HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("it is sent");
    let mut begun = Vec::new();
    while !begun.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        begun.push(byte[0]);
    }
    assert!(begun.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&begun));
    stream
}

/// Opens a session that is subscribed to `orders`; and its id.
async fn subscribed(at: SocketAddr, token: &str) -> (Session, String) {
    let mut session = Session::silent(at).await;
    session.say(&json!({"hello": {"token": token, "client": uuid::Uuid::new_v4().to_string()}})).await;
    let id = session.answer("welcome").await["session"].as_str().expect("an id").to_owned();
    session.say(&json!({"subscribe": {"id": 1, "topic": "orders"}})).await;
    session.answer("subscribed").await;
    (session, id)
}

/// How a handshake with this token ends; `None`: it is welcomed.
async fn refused(at: SocketAddr, token: &str) -> Option<(String, u16)> {
    let mut session = Session::silent(at).await;
    session.say(&json!({"hello": {"token": token, "client": "tab"}})).await;
    match session.next().await {
        Said::Frame(frame) if frame.get("welcome").is_some() => None,
        Said::Frame(frame) => {
            let code = frame["error"]["code"].as_str().expect("an error").to_owned();
            Some((code, session.end().await.1))
        }
        Said::Close(close) => panic!("closed with {close} without a word"),
    }
}

/// A token that is newer than what was revoked just now.
async fn newer(stage: &Stage, at: SocketAddr, tenant: &str, subject: &str) -> String {
    let token = std::cell::RefCell::new(String::new());
    until("a new token passes", async || {
        let fresh = stage.token(tenant, subject, "member");
        let passes = refused(at, &fresh).await.is_none();
        token.replace(fresh);
        passes
    })
    .await;
    token.into_inner()
}

fn ended() -> (Option<String>, u16) {
    (Some("revoked".into()), code::REVOKED.code)
}

fn revoked() -> (String, u16) {
    ("revoked".into(), code::REVOKED.code)
}

/// It goes on: the next event comes.
async fn goes_on(session: &mut Session) {
    session.answer("batch").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subject_is_revoked_on_every_node_and_for_those_that_start_later() {
    let stage = Stage::apart();
    for tenant in ["acme", "globex"] {
        stage.create(&stage.orders(tenant), 1).await;
    }
    let (one, two) = (stage.bridge(&ADMIN), stage.bridge(&ADMIN));
    let old = stage.token("acme", "ada", "member");
    let (mut here, _) = subscribed(one.address, &old).await;
    let (mut there, _) = subscribed(two.address, &old).await;
    let (mut colleague, _) = subscribed(one.address, &stage.token("acme", "bob", "member")).await;
    let (mut namesake, _) = subscribed(two.address, &stage.token("globex", "ada", "member")).await;

    // The shipped client has nothing to come back with, and does not try.
    let client = one.client(&old).await;
    let admin = admin_of(&one);
    let said = done(admin, &["--tenant", "acme", "--subject", "ada", "--reason", "left the company"]);
    assert!(said.starts_with("revoked subject/acme/ada (_tidegate.revocations[0] at "), "{said}");
    assert_eq!((here.end().await, there.end().await), (ended(), ended()));
    let why = client.state().wait_for(|state| matches!(state, State::Closed(_))).await.expect("it says").clone();
    assert!(matches!(&why, State::Closed(Some(problem)) if problem.code == "revoked"), "{why:?}");
    for node in [&one, &two] {
        assert_eq!(refused(node.address, &old).await, Some(revoked()));
    }
    let producer = stage.producer(&[]);
    for tenant in ["acme", "globex"] {
        producer.event(&stage.orders(tenant), "k", &notice(tenant, 1));
    }
    producer.flush();
    goes_on(&mut colleague).await;
    goes_on(&mut namesake).await;
    let new = newer(&stage, two.address, "acme", "ada").await;
    assert_eq!(refused(one.address, &new).await, None);
    assert_eq!(one.metric("tidegate_sessions_revoked_total"), 2);
    assert!(done(admin, &["--list"]).contains("subject/acme/ada  left the company"));

    // Whoever begins now knows.
    drop((one, two));
    let three = stage.bridge(&ADMIN);
    assert_eq!(refused(three.address, &old).await, Some(revoked()));
    assert_eq!(refused(three.address, &new).await, None);
    let four = stage.bridge(&ADMIN);
    let admin = admin_of(&three);
    assert!(done(admin, &["--tenant", "acme", "--subject", "ada", "--lift"]).starts_with("lifted subject/acme/ada"));
    for node in [&three, &four] {
        until("it is lifted", async || refused(node.address, &old).await.is_none()).await;
    }
    let again = revoke(admin, &["--tenant", "acme", "--subject", "ada", "--lift"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("subject/acme/ada is not revoked"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_tokens_and_sessions_are_revoked_too() {
    let stage = Stage::apart();
    for tenant in ["initech", "umbrella"] {
        stage.create(&stage.orders(tenant), 1).await;
    }
    let bridge = stage.bridge(&ADMIN);
    let (at, admin) = (bridge.address, admin_of(&bridge));
    // One session of two.
    let token = stage.token("initech", "ada", "member");
    let (mut first, id) = subscribed(at, &token).await;
    let (mut second, _) = subscribed(at, &token).await;
    done(admin, &["--session", &id]);
    assert_eq!(first.end().await, ended());
    assert_eq!(refused(at, &token).await, None, "its token stays good");
    // One token, however new.
    let named = stage.token_with("initech", "ada", &json!({"jti": "t/1 ü"}));
    let (mut of_token, _) = subscribed(at, &named).await;
    done(admin, &["--tenant", "initech", "--token-id", "t/1 ü"]);
    assert_eq!(of_token.end().await, ended());
    assert_eq!(refused(at, &named).await, Some(revoked()));
    assert_eq!(refused(at, &stage.token_with("initech", "ada", &json!({"jti": "t/2"}))).await, None);
    // A refresh with it ends the session.
    let (mut renewed, _) = subscribed(at, &token).await;
    renewed.say(&json!({"refresh": {"id": 9, "token": named}})).await;
    assert_eq!(renewed.end().await, ended());
    // Over HTTP it is the same.
    let reader = stage.token_with("initech", "reader", &json!({"jti": "t/3"}));
    let mut stream = listening(at, &reader);
    done(admin, &["--tenant", "initech", "--token-id", "t/3", "--reason", "lost"]);
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("it ends");
    assert!(rest.contains("\"revoked\""), "{rest}");
    let bearer = format!("Authorization: Bearer {reader}\r\n");
    for (method, body) in [("GET", ""), ("POST", r#"{"type":"order.created"}"#)] {
        let (status, _, answer) = call(at, method, "/v1/topics/orders/events", &bearer, body);
        assert_eq!((status, answer["error"]["code"].as_str()), (401, Some("revoked")), "{method}");
    }
    // Everybody of the tenant.
    let (mut other, _) = subscribed(at, &stage.token("umbrella", "ada", "member")).await;
    done(admin, &["--tenant", "initech"]);
    assert_eq!(second.end().await, ended());
    assert_eq!(refused(at, &token).await, Some(revoked()));
    let producer = stage.producer(&[]);
    producer.event(&stage.orders("umbrella"), "k", &notice("umbrella", 1));
    producer.flush();
    goes_on(&mut other).await;
    newer(&stage, at, "initech", "ada").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_is_taken_before_revocations_are_read() {
    let stage = Stage::apart();
    stage.create(&stage.orders("piper"), 1).await;
    let old = stage.token("hooli", "ada", "member");
    let bridge = stage.bridge(&ADMIN);
    done(admin_of(&bridge), &["--tenant", "hooli"]);
    drop(bridge);

    let kafka: SocketAddr = stage.kafka.bootstrap().parse().expect("an address");
    let nobody = Proxy::to(kafka).await;
    nobody.cut();
    let configuration = stage.configuration();
    let arguments = ["serve", "--config", configuration.to_str().expect("a path in UTF-8")];
    let away = nobody.address.to_string();
    let early = Process::start(&arguments, &[("TIDEGATE_LOG__KAFKA__BOOTSTRAP_SERVERS", &away), ADMIN[0], ADMIN[1]]);
    let address = early.word_after("serving address=").parse().expect("an address");
    let good = stage.token("piper", "ada", "member");
    let not_ready = Some(("not_ready".to_owned(), code::NOT_READY.code));
    assert!(get(address, "/readyz").0 == 503 && get(address, "/healthz").0 == 200);
    assert_eq!(refused(address, &good).await, not_ready);
    assert_eq!(refused(address, &old).await, not_ready);
    let admin: SocketAddr = early.word_after("admin API listening address=").parse().expect("an address");
    let output = revoke(admin, &["--tenant", "piper"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("does not know what has been revoked"), "{output:?}");
    // The shipped client keeps trying.
    let patient = tokio::spawn({
        let options = Options { patient: true, ..Options::new(stage.token("piper", "bob", "member")) };
        async move { Client::connect(url(address), options).await.map(drop) }
    });
    nobody.lead_to(kafka);
    until("it is ready", async || get(address, "/readyz").0 == 200).await;
    timeout(LONG, patient).await.expect("it gets through").expect("it goes on trying").expect("it is let in");
    assert_eq!(refused(address, &good).await, None);
    assert_eq!(refused(address, &old).await, Some(revoked()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_api_is_for_those_with_a_key() {
    let stage = Stage::apart();
    let bridge = stage.bridge(&ADMIN);
    let admin = admin_of(&bridge);
    let path = "/v1/admin/revocations";
    let body = json!({"kind": "tenant", "tenant": "vandelay"}).to_string();
    let bearer = format!("Authorization: Bearer {KEY}\r\n");
    for headers in [
        "",
        "Authorization: Bearer\r\n",
        "Authorization: Bearer \r\n",
        "Authorization: Basic bm90Og==\r\n",
        &format!("Authorization: {KEY}\r\n"),
        &format!("Authorization: Bearer {}\r\n", &KEY[1..]),
        &format!("Authorization: Bearer {KEY}x\r\n"),
        &format!("X-Api-Key: {KEY}\r\n"),
    ] {
        for (method, path) in [("POST", path), ("GET", path), ("DELETE", path), ("GET", "/"), ("OPTIONS", path)] {
            let (status, head, answer) = call(admin, method, path, headers, &body);
            assert_eq!((status, answer["error"]["code"].as_str()), (401, Some("unauthorized")), "{method} {headers:?}");
            assert!(head.contains("www-authenticate: bearer") && !head.contains("access-control"), "{head}");
        }
    }
    // Nothing was done, nor is any of it on the public address.
    assert_eq!(
        call(admin, "GET", path, &bearer, "").2["revocations"]
            .as_array()
            .map(|all| { all.iter().filter(|one| one["tenant"] == "vandelay").count() }),
        Some(0)
    );
    assert_eq!(get(bridge.address, path).0, 404);

    let post = |body: &str| call(admin, "POST", path, &bearer, body);
    for (body, status, says) in [
        ("", 400, "the body"),
        ("[", 400, "the body"),
        (r#"{"kind":"tenant"}"#, 400, "tenant is missing"),
        (r#"{"kind":"tenant","tenant":"*"}"#, 400, "tenant must be"),
        (r#"{"kind":"subject","tenant":"acme"}"#, 400, "value is missing"),
        (r#"{"kind":"everyone"}"#, 400, "kind must be"),
        (r#"{"kind":"tenant","tenant":"acme","value":"ada"}"#, 400, "subject"),
        (r#"{"kind":"tenant","tenant":"acme","reson":"x"}"#, 400, "unknown field `reson`"),
        (r#"{"kind":"tenant","tenant":"acme","issued_before":"yesterday"}"#, 400, "issued_before"),
        (r#"{"kind":"tenant","tenant":"acme","issued_before":4102444800000}"#, 400, "in the future"),
        (r#"{"kind":"tenant","tenant":"acme","until":1000}"#, 400, "until"),
        (&format!(r#"{{"kind":"tenant","tenant":"acme","reason":"{}"}}"#, "x".repeat(600)), 400, "reason"),
        (&format!(r#"{{"kind":"tenant","tenant":"acme","reason":"{}"}}"#, "x".repeat(20_000)), 413, "the body"),
    ] {
        let (found, _, answer) = post(body);
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(found == status && message.contains(says), "{body:.80}: {found} {answer}");
    }
    assert_eq!(call(admin, "PUT", path, &bearer, "").0, 405);
    assert_eq!(call(admin, "GET", "/v1/admin/nothing", &bearer, "").0, 404);
    assert_eq!(call(admin, "DELETE", &format!("{path}?kind=tenant"), &bearer, "").0, 400);
    assert_eq!(call(admin, "DELETE", &format!("{path}?kind=tenant&tenant=vandelay"), &bearer, "").0, 404);

    let (status, head, answer) =
        post(&json!({"kind": "tenant", "tenant": "vandelay", "reason": "a \"test\""}).to_string());
    assert_eq!(
        (status, &answer["applied"], &answer["position"]["topic"]),
        (200, &json!(true), &json!("_tidegate.revocations"))
    );
    assert!(head.contains("cache-control: no-store") && !head.contains("access-control"));
    assert_eq!(answer["revocation"]["tenant"], "vandelay");
    let (status, _, answer) = call(admin, "DELETE", &format!("{path}?kind=tenant&tenant=vandelay"), &bearer, "");
    assert_eq!((status, &answer["revocation"]), (200, &Value::Null));
    // Each call is in the log, with whose key it was; no key is.
    for said in ["alice", "revoke tenant/vandelay because", "refused, no known key"] {
        bridge.process.line_with(&[said]);
    }
    assert!(!bridge.process.log().contains(KEY), "{}", bridge.process.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes more than a minute"]
async fn a_node_that_lost_its_log_for_a_minute_takes_no_sessions() {
    let stage = Stage::on(Arc::new(tidegate_tests::kafka::Kafka::start()));
    stage.create(&stage.orders("acme"), 1).await;
    let bridge = stage.bridge(&ADMIN);
    let token = stage.token("acme", "ada", "member");
    let (open, _) = subscribed(bridge.address, &token).await;
    let open = tokio::spawn(hear(open));
    stage.kafka.freeze(true);
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(refused(bridge.address, &token).await, None, "for a while it is trusted");
    until("it is lost", async || refused(bridge.address, &token).await.is_some()).await;
    assert_eq!(refused(bridge.address, &token).await, Some(("not_ready".into(), code::NOT_READY.code)));
    stage.kafka.freeze(false);
    until("it is found again", async || refused(bridge.address, &token).await.is_none()).await;
    let producer = stage.producer(&[]);
    producer.event(&stage.orders("acme"), "k", &notice("acme", 1));
    producer.flush();
    until("it is sent", async || bridge.metric(r#"tidegate_deliveries_total{topic="orders",kind="sent"}"#) == 1).await;
    done(admin_of(&bridge), &["--tenant", "acme"]);
    // It was open all the time.
    let (batches, _, close) = open.await.expect("it is heard");
    assert_eq!((batches, close), (1, code::REVOKED.code));
}

/// From the call to the last that a revoked session hears, over many and under load.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: `cargo test -p tidegate-tests --test revoke -- --ignored --nocapture at_once`"]
async fn a_revoked_session_hears_nothing_more_at_once() {
    const SESSIONS: usize = 1_000;
    const TENANTS: usize = 500;
    const EVENTS_PER_S: u64 = 5_000;
    let stage = Stage::apart();
    stage.create(&stage.carts(), 4).await;
    let bridge = stage.bridge(&ADMIN);
    let mut ends = Vec::new();
    for n in 0..SESSIONS {
        let token = stage.token(&format!("tenant-{}", n % TENANTS), &format!("subject-{n}"), "member");
        let mut session = Session::open(bridge.address, &token).await;
        session.say(&json!({"subscribe": {"id": 1, "topic": "carts"}})).await;
        session.answer("subscribed").await;
        ends.push(tokio::spawn(hear(session)));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let load = {
        let (topic, producer, stop) = (stage.carts(), stage.producer(&[]), Arc::clone(&stop));
        let write = move || {
            let began = std::time::Instant::now();
            let mut written = 0;
            while !stop.load(Ordering::Relaxed) {
                while written < began.elapsed().as_millis() as u64 * EVENTS_PER_S / 1000 {
                    let tenant = format!("tenant-{}", written as usize % TENANTS);
                    producer.event(&topic, &format!("{tenant}/cart"), &notice(&tenant, written));
                    written += 1;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            producer.flush();
            written as f64 / began.elapsed().as_secs_f64()
        };
        std::thread::Builder::new().name("load".into()).spawn(write).expect("a thread starts")
    };
    tokio::time::sleep(Duration::from_secs(2)).await;
    let admin = admin_of(&bridge);
    let (mut took, mut answered, mut heard) = (Vec::new(), Vec::new(), 0);
    for (n, end) in ends.into_iter().enumerate() {
        let body =
            json!({"kind": "subject", "tenant": format!("tenant-{}", n % TENANTS), "value": format!("subject-{n}")});
        let bearer = format!("Authorization: Bearer {KEY}\r\n");
        let began = Instant::now();
        let post = move || call(admin, "POST", "/v1/admin/revocations", &bearer, &body.to_string()).0;
        let status = tokio::task::spawn_blocking(post).await.expect("a call");
        answered.push(began.elapsed());
        assert_eq!(status, 200);
        let (batches, last, close) = timeout(LONG, end).await.expect("it ends").expect("it is heard");
        assert_eq!(close, code::REVOKED.code);
        heard += batches;
        took.push(last.duration_since(began));
    }
    stop.store(true, Ordering::Relaxed);
    let rate = load.join().expect("all is written");
    let of = |times: &mut Vec<Duration>| {
        times.sort();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        (at(0.5), at(0.99), at(1.0))
    };
    let last = of(&mut took);
    println!("{SESSIONS} revocations under {rate:.0} ev/s, {heard} batches heard before");
    println!("last byte after the call: p50 {:?}, p99 {:?}, max {:?}", last.0, last.1, last.2);
    let answer = of(&mut answered);
    println!("answer of the call:       p50 {:?}, p99 {:?}, max {:?}", answer.0, answer.1, answer.2);
    assert!(rate > 0.9 * EVENTS_PER_S as f64, "only {rate} ev/s");
    assert!(last.1 < Duration::from_millis(250), "{:?}", last.1);
}

/// Hears a session to its end: batches, when the last was said, and the close code.
async fn hear(mut session: Session) -> (usize, Instant, u16) {
    let mut batches = 0;
    loop {
        match session.next().await {
            Said::Frame(frame) => {
                batches += usize::from(frame.get("batch").is_some());
                if frame.get("ping").is_some() {
                    session.say(&json!({"pong": {}})).await;
                }
            }
            Said::Close(code) => return (batches, Instant::now(), code),
        }
    }
}

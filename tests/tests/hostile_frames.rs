//! Whatever may stand in a frame: names, keys, identities, cursors, deep and wide JSON. It is answered or ends its session,
//! and nothing of it is taken for what it is not.

use serde_json::json;
use tidegate_client::native::Subscribe;
use tidegate_protocol::code;
use tidegate_protocol::frame::From as Begin;
use tidegate_tests::embedded::Embedded;
use tidegate_tests::next;
use tidegate_tests::raw::{Said, Session};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_with_anything_in_them() {
    let stage = Embedded::new();
    let bridge = stage.bridge(&[]);
    let token = stage.token("acme", "eve", "member");
    for client in ["", "\0", "a\nb", "\u{1b}[2J", "\u{85}", &"x".repeat(129)] {
        let mut session = Session::silent(bridge.address).await;
        session.say(&json!({"hello": {"token": token, "client": client}})).await;
        let refused = (Some("malformed_frame".into()), code::PROTOCOL_ERROR.code);
        assert_eq!(session.end().await, refused, "{client:?}");
    }
    let mut session = Session::open(bridge.address, &token).await;
    let long = "x".repeat(900 << 10);
    for (id, topic) in (1..).zip(["", "\0", "orders\0", "acme.orders", "{tenant}.orders", "../orders", "*", &long]) {
        session.say(&json!({"subscribe": {"id": id, "topic": topic}})).await;
        assert_eq!(session.answer("error").await["id"], id);
        session.say(&json!({"publish": {"id": id, "topic": topic, "event": {"type": "a.b"}}})).await;
        let error = session.answer("error").await;
        assert_eq!(error["code"], "denied");
        assert!(error.to_string().len() < 1_000, "{} bytes are said of it", error.to_string().len());
    }
    for (id, event_type) in (20..).zip(["a.\0", "a.b\n", "a..b", "a.é", ".", &long]) {
        session.say(&json!({"publish": {"id": id, "topic": "orders", "event": {"type": event_type}}})).await;
        let error = session.answer("error").await;
        assert_eq!((&error["id"], &error["code"]), (&json!(id), &json!("invalid_event")), "{event_type:.20?}");
        assert!(error.to_string().len() < 1_000);
    }
    // What is quoted in an answer is cut off.
    session.say(&json!({"publish": {"id": 30, "topic": "orders", "event": {"action": {"command": long}}}})).await;
    assert!(session.answer("error").await.to_string().len() < 1_000);
    let twice =
        format!(r#"{{"publish":{{"id":31,"topic":"orders","event":{{"{0}":1,"{0}":2}}}}}}"#, "\\u0000".repeat(9_000));
    session.send(Message::text(twice)).await;
    assert!(session.answer("error").await.to_string().len() < 1_000);
    // A key may be any text.
    for (id, key) in (40..).zip(["", "\0", "globex/1", "a\nb", "é"]) {
        session.say(&json!({"publish": {"id": id, "topic": "carts", "key": key, "event": {"type": "a.b"}}})).await;
        assert_eq!(session.answer("published").await["id"], id, "{key:?}");
    }
    let mut unknown = Session::open(bridge.address, &token).await;
    unknown.say(&json!({ long.clone(): {} })).await;
    let Said::Frame(error) = unknown.next().await else { panic!("an error") };
    assert!(error.to_string().len() < 1_000);
    // All of these keys are acme's own.
    let client = bridge.client(&stage.token("acme", "ada", "member")).await;
    let mut carts = client.subscribe(Subscribe::to("carts").from(Begin::Earliest)).await.unwrap();
    for key in ["", "\0", "globex/1", "a\nb", "é"] {
        assert_eq!(next(&mut carts).await.key.as_deref(), Some(key));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_publishes_is_who_the_token_says() {
    let stage = Embedded::new();
    let bridge = stage.bridge(&[]);
    let acme = bridge.client(&stage.token("acme", "ada", "member")).await;
    let globex = bridge.client(&stage.token("globex", "bob", "member")).await;
    let mut of_acme = acme.subscribe(Subscribe::to("carts").from(Begin::Earliest)).await.unwrap();
    let mut of_globex = globex.subscribe(Subscribe::to("carts").from(Begin::Earliest)).await.unwrap();
    let mut eve = Session::open(bridge.address, &stage.token("acme", "eve", "member")).await;
    let events = [
        r#"{"type":"a.b","tenant_id":"globex"}"#,
        r#"{"type":"a.b","tenant\u005fid":"globex","data":{"tenant_id":"globex"}}"#,
        r#"{"action":{"command":"pay"},"requester":"bob","tenant_id":"globex"}"#,
        r#"{"action":{"command":"pay"},"r\u0065quester":"bob"}"#,
        r#"{"response":{"command":"pay","result":200},"responder":"bob"}"#,
        r#"{"type":"a.b","requester":"bob","responder":"bob"}"#,
    ];
    for (id, event) in (1..).zip(events) {
        // Members of the frame that are not the protocol's change nothing.
        let frame = format!(
            r#"{{"publish":{{"id":{id},"topic":"carts","tenant":"globex","tenant_id":"globex","requester":"bob","subject":"bob","headers":{{"tg_tenant":"globex"}},"event":{event}}}}}"#
        );
        eve.send(Message::text(frame)).await;
        assert_eq!(eve.answer("published").await["id"], id, "{event}");
    }
    for event in events {
        let seen = next(&mut of_acme).await.event;
        assert_eq!(seen["tenant_id"], "acme", "{event}");
        for who in ["requester", "responder"] {
            assert!(seen.get(who).is_none_or(|who| who == "eve"), "{event}: {seen}");
        }
    }
    // Repeated members are no event: readers could choose differently.
    for (id, event) in (20..).zip([
        r#"{"type":"a.b","tenant_id":"acme","tenant_id":"globex"}"#,
        r#"{"type":"a.b","tenant_id":"acme","tenant\u005fid":"globex"}"#,
        r#"{"action":{"command":"pay","c\u006fmmand":"steal"}}"#,
        r#"{"type":"a.b","id":"globex"}"#,
    ]) {
        let frame = format!(r#"{{"publish":{{"id":{id},"topic":"carts","event":{event}}}}}"#);
        eve.send(Message::text(frame)).await;
        assert_eq!(eve.answer("error").await["code"], "invalid_event", "{event}");
    }
    // Nothing of it was the other's.
    globex.publish("carts", None, r#"{"type":"a.b","data":{"n":1}}"#).await.unwrap();
    assert_eq!(next(&mut of_globex).await.n(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursors_are_of_one_reader_one_topic_and_one_key() {
    let stage = Embedded::new();
    let bridge = stage.bridge(&[]);
    let subscribe = async |session: &mut Session, topic: &str, cursor: &str| {
        session.say(&json!({"subscribe": {"id": 1, "topic": topic, "from": {"cursor": [cursor]}}})).await;
        loop {
            let Said::Frame(frame) = session.next().await else { panic!("the session goes on") };
            if let Some(code) = frame["error"]["code"].as_str() {
                return code.to_owned();
            }
            if let Some(subscribed) = frame.get("subscribed") {
                let id = &subscribed["subscription"];
                session.say(&json!({"unsubscribe": {"id": 2, "subscription": id}})).await;
                session.answer("unsubscribed").await;
                return "subscribed".to_owned();
            }
        }
    };
    let mut session = Session::open(bridge.address, &stage.token("acme", "ada", "member")).await;
    session.say(&json!({"publish": {"id": 1, "topic": "carts", "event": {"type": "a.b"}}})).await;
    session.answer("published").await;
    session.say(&json!({"subscribe": {"id": 1, "topic": "carts", "from": "earliest"}})).await;
    let told = session.answer("subscribed").await;
    let cursor = told["cursor"].as_str().unwrap().to_owned();
    session.say(&json!({"unsubscribe": {"id": 2, "subscription": told["subscription"]}})).await;
    session.answer("unsubscribed").await;

    assert_eq!(subscribe(&mut session, "carts", &cursor).await, "subscribed");
    assert_eq!(subscribe(&mut session, "orders", &cursor).await, "invalid_cursor", "another topic's");
    let mut flipped = cursor.clone().into_bytes();
    for at in [0, 10, 30, flipped.len() - 1] {
        let was = flipped[at];
        flipped[at] = if was == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(flipped.clone()).unwrap();
        assert_eq!(subscribe(&mut session, "carts", &forged).await, "invalid_cursor", "byte {at}");
        flipped[at] = was;
    }
    for forged in [&cursor[..cursor.len() - 4], &cursor[..8], "", "-", "AAAA", "ünicode", &format!("{cursor}AAAA")] {
        assert_eq!(subscribe(&mut session, "carts", forged).await, "invalid_cursor", "{forged}");
    }
    let mut other = Session::open(bridge.address, &stage.token("globex", "bob", "member")).await;
    assert_eq!(subscribe(&mut other, "carts", &cursor).await, "invalid_cursor", "another tenant's");
    // Another subject of the same tenant may use it: it is a position, and no permission.
    let mut colleague = Session::open(bridge.address, &stage.token("acme", "eve", "viewer")).await;
    assert_eq!(subscribe(&mut colleague, "carts", &cursor).await, "subscribed");
    // A node with another key opens nothing.
    drop((session, other, colleague, bridge));
    let key = "TIDEGATE_CURSORS__KEYS";
    let elsewhere = stage.bridge(&[(key, "YW5vdGhlciBjdXJzb3Iga2V5IG9mIDMyIGJ5dGVzISE=")]);
    let mut session = Session::open(elsewhere.address, &stage.token("acme", "ada", "member")).await;
    assert_eq!(subscribe(&mut session, "carts", &cursor).await, "invalid_cursor", "another key's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deep_and_wide_json_costs_its_bytes_only() {
    let stage = Embedded::new();
    let bridge = stage.bridge(&[]);
    let token = stage.token("acme", "eve", "member");
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let publish = |event: String| format!(r#"{{"publish":{{"id":1,"topic":"orders","event":{event}}}}}"#);
    let before = bridge.process.memory();
    for (what, message, ends) in [
        ("a frame too deep", "[".repeat(500_000), true),
        ("a frame of objects too deep", r#"{"a":"#.repeat(100_000), true),
        ("an event too deep", publish(format!(r#"{{"type":"a.b","data":{}}}"#, nested(10_000))), true),
        ("an event deeper than a batch", publish(format!(r#"{{"type":"a.b","data":{}}}"#, nested(124))), false),
        ("an event of many members", publish(wide(60_000)), false),
        ("an event of one member often", publish(format!("{{{}\"x\":1}}", r#""x":1,"#.repeat(60_000))), false),
        ("a report of many views", format!(r#"{{"report":{{"views":[{}]}}}}"#, views(40_000)), true),
        ("a frame of many members", wide(60_000), true),
        (
            "many types",
            json!({"subscribe": {"id": 1, "topic": "orders", "types": vec!["a.b"; 90_000]}}).to_string(),
            false,
        ),
        (
            "many cursors",
            json!({"subscribe": {"id": 1, "topic": "orders", "from": {"cursor": vec!["AAAA"; 90_000]}}}).to_string(),
            false,
        ),
    ] {
        let mut session = Session::open(bridge.address, &token).await;
        session.send(Message::text(message)).await;
        if ends {
            let (error, close) = session.end().await;
            assert!(error.is_some() && close == code::PROTOCOL_ERROR.code, "{what}: {error:?} {close}");
        } else {
            assert_eq!(session.answer("error").await["id"], 1, "{what}");
        }
    }
    // Nobody else noticed.
    let client = bridge.client(&stage.token("acme", "ada", "member")).await;
    client.publish("orders", None, r#"{"type":"a.b"}"#).await.unwrap();
    let more = bridge.process.memory().saturating_sub(before);
    assert!(more < 64 << 20, "{} MiB more", more >> 20);
}

/// An object of many members.
fn wide(members: usize) -> String {
    let members: Vec<String> = (0..members).map(|n| format!("\"m{n}\":{n}")).collect();
    format!("{{{}}}", members.join(","))
}

fn views(count: usize) -> String {
    (0..count).map(|n| format!("{{\"view\":{n}}}")).collect::<Vec<_>>().join(",")
}

//! The native client against a small bridge in the same process, over a real socket.

use futures_util::{SinkExt, StreamExt};
use tidegate_protocol::SUBPROTOCOL;
use tidegate_protocol::code;
use tidegate_protocol::frame::{
    BatchWriter, ClientFrame, Entry, Failed, FailureKind, Joined, LedgerReport, Limits, LogState, Ping, Position,
    Published, Report, ServerFrame, Span, Subscribed, Welcome,
};
use tidegate_protocol::json::Raw;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::*;

struct Bridge(TcpListener);

impl Bridge {
    async fn bind() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/v1/ws", listener.local_addr().unwrap());
        (Self(listener), url)
    }

    /// Takes a connection up to its `hello`.
    async fn hello(&self) -> (Peer, String) {
        let (stream, _) = self.0.accept().await.unwrap();
        #[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
        let choose = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            assert_eq!(request.uri().path(), "/v1/ws");
            response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
            Ok(response)
        };
        let mut peer = Peer(tokio_tungstenite::accept_hdr_async(stream, choose).await.unwrap());
        match peer.next().await {
            ClientFrame::Hello(hello) => (peer, hello.token),
            other => panic!("{other:?}"),
        }
    }

    /// Takes a connection into a session.
    async fn session(&self) -> Peer {
        let (mut peer, _) = self.hello().await;
        peer.send(ServerFrame::Welcome(Welcome {
            session: "s".into(),
            node: "n".into(),
            tenant: "acme".into(),
            subject: "ann".into(),
            expires: None,
            heartbeat_ms: 25_000,
            limits: Limits {
                credit: 262_144,
                unsettled: 10_000,
                frame_bytes: 1 << 20,
                event_bytes: 1 << 20,
                subscriptions: 9,
            },
            features: vec![],
        }))
        .await;
        peer
    }
}

struct Peer(WebSocketStream<TcpStream>);

impl Peer {
    async fn next(&mut self) -> ClientFrame {
        loop {
            match self.0.next().await.unwrap().unwrap() {
                Message::Text(text) => return ClientFrame::decode(&text).unwrap().unwrap(),
                other => assert!(!matches!(other, Message::Close(_)), "closed"),
            }
        }
    }

    async fn report(&mut self) -> Report {
        match self.next().await {
            ClientFrame::Report(report) => report,
            other => panic!("{other:?}"),
        }
    }

    async fn send(&mut self, frame: ServerFrame<Raw<'_>>) {
        self.0.send(Message::text(frame.encode())).await.unwrap();
    }

    /// Accepts the subscription that is asked for next, and says where it begins.
    async fn accept(&mut self, view: u32, seq: u64) -> Begin {
        let ClientFrame::Subscribe(asked) = self.next().await else { panic!() };
        let (id, at, cursor) = (asked.id, Joined { view, seq }, "full".to_owned());
        self.send(ServerFrame::Subscribed(Subscribed { id, subscription: 7, at, cursor, recovered: true })).await;
        asked.from
    }

    async fn batch(&mut self, view: u32, seq: u64, events: &[&str]) {
        let mut entries = String::new();
        for (at, event) in events.iter().enumerate() {
            entries.push_str(if at > 0 { "," } else { "" });
            Entry::write(&mut entries, Some("k"), &[], event);
        }
        let mut frame = Vec::new();
        BatchWriter::head(&mut frame, view, seq);
        frame.extend_from_slice(entries.as_bytes());
        BatchWriter::tail(&mut frame, &format!("d{seq}"), false);
        self.0.send(Message::text(String::from_utf8(frame).unwrap())).await.unwrap();
    }
}

/// A client in session, subscribed to `orders` in view 1 from batch 0.
async fn subscribed() -> (Bridge, Peer, Client, Subscription) {
    let (bridge, url) = Bridge::bind().await;
    let (mut peer, client) = tokio::join!(bridge.session(), Client::connect(url, Options::new("jwt")));
    let client = client.unwrap();
    let (begin, subscription) = tokio::join!(peer.accept(1, 0), client.subscribe(Subscribe::to("orders")));
    assert_eq!(begin, Begin::Latest);
    (bridge, peer, client, subscription.unwrap())
}

fn span(s1: u64, o1: u32, s2: u64, o2: u32) -> Span {
    Span { first: Position { seq: s1, ordinal: o1 }, last: Position { seq: s2, ordinal: o2 } }
}

#[tokio::test]
async fn deliveries_come_in_order_and_are_reported() {
    let (_bridge, mut peer, client, mut subscription) = subscribed().await;
    peer.batch(1, 0, &[r#"{"id":"a"}"#, r#"{"id":"b"}"#]).await;
    peer.batch(1, 1, &[r#"{"id":"c","type":"order.paid"}"#]).await;
    let first = subscription.next().await.unwrap();
    assert_eq!((&*first.topic, first.key.as_deref(), &*first.event), ("orders", Some("k"), r#"{"id":"a"}"#));
    first.consumed();
    subscription.next().await.unwrap().failed(FailureKind::Threw, "boom");
    let held = subscription.next().await.unwrap();
    assert_eq!(held.text("type").as_deref(), Some("order.paid"));
    let report = peer.report().await;
    let view = &report.views[0];
    assert_eq!((view.dispatched, &view.settled[..]), (Some(1), &[span(0, 0, 0, 1)][..]));
    assert_eq!((view.failed[0].at, &*view.failed[0].reason), (Position { seq: 0, ordinal: 1 }, "boom"));
    held.consumed();
    client.close().await;
    assert_eq!(peer.report().await.views[0].settled, [span(1, 0, 1, 0)]);
}

#[tokio::test]
async fn what_the_application_does_not_take_is_not_reported() {
    let (_bridge, mut peer, _client, mut subscription) = subscribed().await;
    // More than half the credit: dispatched, it is reported at once.
    let large = format!(r#"{{"data":"{}"}}"#, "x".repeat(140_000));
    peer.batch(1, 0, &[&large, "{}"]).await;
    subscription.next().await.unwrap().consumed();
    peer.send(ServerFrame::Ping(Ping::default())).await;
    assert_eq!(peer.next().await, ClientFrame::Pong);
    let _held = subscription.next().await.unwrap();
    assert_eq!(peer.report().await.views[0].dispatched, Some(0));
}

#[tokio::test]
async fn a_publish_gets_an_id_and_its_answer() {
    let (_bridge, mut peer, client, _subscription) = subscribed().await;
    let (published, answer) = tokio::join!(
        async {
            let ClientFrame::Publish(publish) = peer.next().await else { panic!() };
            assert!(publish.event.starts_with(r#"{"id":""#) && publish.event.ends_with(r#"","type":"a.b"}"#));
            let (event_id, correlation_id) = ("e".to_owned(), "c".to_owned());
            let published = Published { id: publish.id, event_id, correlation_id, position: None };
            peer.send(ServerFrame::Published(published.clone())).await;
            published
        },
        client.publish("orders", Some("k"), r#"{"type":"a.b"}"#)
    );
    assert_eq!(answer.unwrap(), published);
    assert_eq!(client.publish("orders", None, "no event").await.unwrap_err().code, "invalid_event");
}

#[tokio::test]
async fn whether_the_log_is_there_is_told() {
    let (bridge, mut peer, client, _subscription) = subscribed().await;
    let mut available = client.log_available();
    peer.send(ServerFrame::State(LogState { log_available: false })).await;
    available.wait_for(|available| !available).await.unwrap();
    drop(peer);
    let _peer = bridge.session().await;
    available.wait_for(|available| *available).await.unwrap();
}

#[tokio::test]
async fn a_dropped_subscription_leaves_its_rest_unhandled() {
    let (_bridge, mut peer, client, mut subscription) = subscribed().await;
    peer.batch(1, 0, &["{}", "{}", "{}"]).await;
    subscription.next().await.unwrap().consumed();
    drop(subscription);
    assert!(matches!(peer.next().await, ClientFrame::Unsubscribe(_)));
    client.close().await;
    let view = peer.report().await.views.remove(0);
    assert_eq!(view.settled, [span(0, 0, 0, 2)]);
    assert_eq!(view.unhandled, [1, 2].map(|ordinal| Position { seq: 0, ordinal }));
}

#[tokio::test]
async fn a_broken_socket_resumes_from_the_cursor() {
    let (bridge, mut peer, _client, mut subscription) = subscribed().await;
    peer.batch(1, 0, &[r#"{"n":0}"#]).await;
    assert_eq!(subscription.next().await.unwrap().event, r#"{"n":0}"#);
    peer.send(ServerFrame::Ping(Ping { cursors: vec![(7, "newer".into())] })).await;
    assert!(matches!(peer.next().await, ClientFrame::Pong));
    peer.batch(1, 1, &[r#"{"n":1}"#]).await;
    assert_eq!(subscription.next().await.unwrap().event, r#"{"n":1}"#);
    drop(peer);
    let mut peer = bridge.session().await;
    assert_eq!(peer.accept(4, 9).await, Begin::Cursor(vec!["newer".into(), "d1".into()]));
    peer.batch(4, 9, &[r#"{"n":2}"#]).await;
    let delivery = subscription.next().await.unwrap();
    assert_eq!((&*delivery.event, delivery.view, subscription.gaps()), (r#"{"n":2}"#, 4, 0));
}

#[tokio::test]
async fn events_published_here_can_be_left_out() {
    let (bridge, url) = Bridge::bind().await;
    let (mut peer, client) = tokio::join!(bridge.session(), Client::connect(url, Options::new("jwt")));
    let client = client.unwrap();
    let quiet = Subscribe { echo: false, types: vec!["a.b".into()], ..Subscribe::to("orders") };
    let (_, subscription) = tokio::join!(peer.accept(1, 0), client.subscribe(quiet));
    let mut subscription = subscription.unwrap();
    let mine = r#"{"id":"00000000-0000-7000-8000-000000000001","type":"a.b"}"#;
    let other = r#"{"id":"00000000-0000-7000-8000-000000000002","type":"a.b"}"#;
    let publishing = tokio::spawn({
        let client = client.clone();
        async move { client.publish("orders", None, mine).await }
    });
    assert!(matches!(peer.next().await, ClientFrame::Publish(_)));
    peer.batch(1, 0, &[mine, other]).await;
    assert_eq!(subscription.next().await.unwrap().event, other);
    let view = peer.report().await.views.remove(0);
    assert_eq!((&view.settled[..], &view.unhandled[..]), (&[span(0, 0, 0, 1)][..], &[][..]));
    client.close().await;
    assert_eq!(publishing.await.unwrap().unwrap_err().code, "outcome_unknown");
}

#[tokio::test]
async fn refusals_reach_the_caller_and_ends_the_reader() {
    let (_bridge, mut peer, client, mut subscription) = subscribed().await;
    let ((), refused) = tokio::join!(
        async {
            let ClientFrame::Subscribe(asked) = peer.next().await else { panic!() };
            let failed = Failed::new(code::ErrorCode::Denied, "no grant").answering(asked.id);
            peer.send(ServerFrame::Error(failed)).await;
        },
        client.subscribe(Subscribe::to("secrets"))
    );
    assert_eq!(refused.unwrap_err().code, "denied");
    let ended = Failed { subscription: Some(7), ..Failed::new(code::ErrorCode::Denied, "lost") };
    peer.send(ServerFrame::Error(ended)).await;
    assert!(subscription.next().await.is_none());
    assert_eq!(subscription.problem().unwrap().message, "lost");
}

#[tokio::test]
async fn the_ledger_is_read() {
    let (bridge, url) = Bridge::bind().await;
    let (mut peer, client) = tokio::join!(bridge.session(), Client::connect(url, Options::new("jwt")));
    let client = client.unwrap();
    let (_, ledger) = tokio::join!(peer.accept(1, 0), client.ledger(&[Column::Topic]));
    let report = LedgerReport { subscription: 7, node: "n".into(), ..LedgerReport::default() };
    peer.send(ServerFrame::Ledger(report.clone())).await;
    assert_eq!(ledger.unwrap().next().await, Some(report));
}

#[tokio::test]
async fn a_token_that_is_not_valid_fails_the_connect() {
    let (bridge, url) = Bridge::bind().await;
    let ((), connected) = tokio::join!(
        async {
            let (mut peer, token) = bridge.hello().await;
            assert_eq!(token, "from a source");
            peer.send(ServerFrame::Error(Failed::new(code::ErrorCode::InvalidToken, "bad signature"))).await;
            let close = CloseFrame { code: code::INVALID_TOKEN.code.into(), reason: "invalid_token".into() };
            let _ = peer.0.close(Some(close)).await;
        },
        Client::connect(url, Options::new(Token::source(|| async { Ok("from a source".to_owned()) })))
    );
    let problem = connected.unwrap_err().problem;
    assert_eq!((&*problem.code, &*problem.message, problem.retryable), ("invalid_token", "bad signature", false));
}

#[tokio::test]
async fn nobody_there_fails_the_connect_unless_patient() {
    let (bridge, url) = Bridge::bind().await;
    let address = bridge.0.local_addr().unwrap();
    drop(bridge);
    let refused = Client::connect(url.clone(), Options::new("jwt")).await.unwrap_err();
    assert_eq!(refused.problem.code, "socket_closed");
    let patient = tokio::spawn(Client::connect(url, Options { patient: true, ..Options::new("jwt") }));
    let bridge = Bridge(TcpListener::bind(address).await.unwrap());
    let _peer = bridge.session().await;
    patient.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_last_handle_closes_the_socket() {
    let (_bridge, mut peer, client, subscription) = subscribed().await;
    drop(client);
    peer.batch(1, 0, &["{}"]).await;
    drop(subscription);
    assert!(matches!(peer.next().await, ClientFrame::Unsubscribe(_)));
    loop {
        match peer.0.next().await {
            Some(Ok(Message::Close(_))) | None => return,
            Some(message) => drop(message.unwrap()),
        }
    }
}

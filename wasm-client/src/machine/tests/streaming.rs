//! Streams, where WebSockets do not pass: chosen, asked with all subscriptions, replaced without gap, left again.

use tidegate_protocol::code;
use tidegate_protocol::frame::{From, Ping};

use super::*;

const AUTO: Transports = Transports::Auto;

fn options(transports: Transports) -> Options {
    Options { transports, ..Options::new("tab") }
}

impl Bench {
    /// Answers the newest question for a token.
    fn give_token(&mut self, token: &str) {
        let ask = self.last_ask().expect("a token was asked for");
        self.effects.clear();
        self.with(|machine, now| machine.token(now, ask, Ok(token.into())));
    }

    /// Does what an adapter does when a stream is to be opened: the frames of its request.
    fn requested(&mut self) -> Vec<ClientFrame> {
        let at =
            self.effects.iter().position(|effect| *effect == Effect::OpenStream).expect("a stream is to be opened");
        self.effects.remove(at);
        assert!(!self.effects.contains(&Effect::OpenStream), "one is enough");
        let now = self.now;
        let body = self.machine.stream_request(now);
        self.drain();
        body.lines().map(|line| ClientFrame::decode(line).unwrap().unwrap()).collect()
    }

    /// The subscriptions that a stream is asked for, which it welcomes.
    fn streamed(&mut self, token: &str) -> Vec<Subscribe> {
        let mut frames = self.requested().into_iter();
        assert!(
            matches!(frames.next(), Some(ClientFrame::Hello(hello)) if hello.token == token && hello.client == "tab")
        );
        let asked = frames.map(|frame| match frame {
            ClientFrame::Subscribe(subscribe) => subscribe,
            other => panic!("{other:?} in a stream's request"),
        });
        let asked = asked.collect();
        self.frame(ServerFrame::Welcome(welcome()));
        asked
    }

    fn accepted(&mut self, asked: &Subscribe, view: u32, cursor: &str) {
        let at = Joined { view, seq: 0 };
        let (id, cursor) = (asked.id, cursor.to_owned());
        self.frame(ServerFrame::Subscribed(Subscribed { id, subscription: view + 100, at, cursor, recovered: true }));
    }

    fn opens(&self) -> bool {
        self.effects.iter().any(|effect| matches!(effect, Effect::State(State::Open(_))))
    }
}

/// In session over a stream, without a subscription.
fn streaming() -> Bench {
    let mut bench = Bench::new(options(Transports::Stream));
    bench.give_token("jwt");
    assert_eq!(bench.streamed("jwt"), []);
    assert!(bench.opens());
    bench.clear();
    bench
}

fn cursor(tokens: &[&str]) -> From {
    From::Cursor(tokens.iter().map(ToString::to_string).collect())
}

#[test]
fn a_stream_is_tried_at_once_when_websockets_fail_twice() {
    let mut bench = Bench::new(options(AUTO));
    for attempt in 0..2 {
        assert_eq!(bench.machine.transport(), Transport::WebSocket, "attempt {attempt}");
        bench.give_token("jwt");
        assert!(bench.effects.contains(&Effect::Connect));
        bench.closed(1006);
        bench.pass(500);
    }
    bench.give_token("third");
    assert_eq!(bench.streamed("third"), []);
    assert_eq!(bench.machine.transport(), Transport::Stream);
    // A stream that breaks is tried again as a stream, if it had lasted a while.
    bench.pass(10_000);
    bench.closed(1006);
    bench.pass(500);
    bench.give_token("fourth");
    bench.streamed("fourth");
}

#[test]
fn a_websocket_that_opens_and_is_cut_at_once_or_hangs_has_failed() {
    let mut cut = Bench::new(options(AUTO));
    for _ in 0..2 {
        cut.give_token("jwt");
        cut.with(Machine::socket_opened);
        cut.closed(1006);
        cut.pass(500);
    }
    assert_eq!(cut.machine.transport(), Transport::Stream);
    let mut after_welcome = Bench::new(options(AUTO));
    for _ in 0..2 {
        after_welcome.handshake(welcome());
        after_welcome.closed(1006);
        after_welcome.pass(500);
    }
    assert_eq!(after_welcome.machine.transport(), Transport::Stream);
    let mut hangs = Bench::new(options(AUTO));
    hangs.give_token("jwt");
    hangs.pass(4999);
    assert!(hangs.effects.contains(&Effect::Connect) && hangs.machine.transport() == Transport::WebSocket);
    hangs.pass(1);
    assert_eq!(hangs.machine.transport(), Transport::Stream);
    hangs.give_token("jwt");
    hangs.streamed("jwt");
    let mut swallows = Bench::new(options(AUTO));
    swallows.handshake(welcome());
    swallows.pass(33_000);
    assert_eq!(swallows.machine.transport(), Transport::Stream);
}

#[test]
fn a_bridges_own_word_is_no_failure_of_the_transport() {
    for known in code::CLOSE_CODES.iter().filter(|known| !code::is_terminal(known.code)) {
        let mut bench = Bench::new(options(AUTO));
        for _ in 0..10 {
            bench.give_token("jwt");
            bench.with(Machine::socket_opened);
            bench.closed(known.code);
            bench.pass(20_000);
            assert_eq!(bench.machine.transport(), Transport::WebSocket, "{}", known.reason);
        }
    }
}

#[test]
fn waking_tries_a_websocket_and_only_once() {
    let mut bench = Bench::new(options(AUTO));
    for _ in 0..2 {
        bench.give_token("jwt");
        bench.closed(1006);
        bench.pass(500);
    }
    bench.give_token("jwt");
    bench.streamed("jwt");
    bench.pass(10_000);
    bench.closed(1006);
    bench.with(Machine::wake);
    bench.give_token("jwt");
    assert!(bench.effects.contains(&Effect::Connect));
    bench.closed(1006);
    bench.pass(0);
    bench.give_token("jwt");
    bench.streamed("jwt");
}

#[test]
fn subscriptions_of_one_turn_go_into_one_request() {
    let mut bench = streaming();
    bench.want("orders", &["order.*"]);
    bench.want("carts", &[]);
    let asked = bench.streamed("jwt");
    assert_eq!(asked.iter().map(|one| &*one.topic).collect::<Vec<_>>(), ["orders", "carts"]);
    assert_eq!(bench.sent, []);
    // One stream in another is nothing that the application has to know.
    assert!(!bench.opens());
    bench.accepted(&asked[0], 1, "o");
    assert!(matches!(bench.effects[..], [Effect::Subscribed { .. }]));
}

#[test]
fn growth_begins_anew_from_the_cursors() {
    let mut bench = streaming();
    let orders = bench.want("orders", &["order.created"]);
    let asked = bench.streamed("jwt");
    bench.accepted(&asked[0], 1, "full");
    bench.batch(1, 0, "d0", 10).unwrap();
    bench.clear();
    let paid = bench.want("orders", &["order.paid"]);
    // Not accepted before the bridge knows of the new type.
    assert!(!bench.effects.iter().any(|effect| matches!(effect, Effect::Subscribed { .. })));
    let asked = bench.streamed("jwt");
    assert_eq!(asked[0].types, ["order.created", "order.paid"]);
    assert_eq!(asked[0].from, cursor(&["full", "d0"]));
    bench.accepted(&asked[0], 9, "full2");
    let handles = vec![orders, paid];
    assert_eq!(bench.effects, [Effect::Subscribed { handles, recovered: true }]);
    assert!(bench.batch(9, 0, "d1", 10).is_some());
}

#[test]
fn what_is_closed_is_left_out_of_the_next_stream() {
    let mut bench = streaming();
    let (orders, carts) = (bench.want("orders", &[]), bench.want("carts", &[]));
    let asked = bench.streamed("jwt");
    bench.accepted(&asked[0], 1, "o");
    bench.accepted(&asked[1], 2, "c");
    bench.with(|machine, now| machine.unsubscribe(now, orders));
    let asked = bench.streamed("jwt");
    assert_eq!(asked.iter().map(|one| (&*one.topic, &one.from)).collect::<Vec<_>>(), [("carts", &cursor(&["c"]))]);
    bench.accepted(&asked[0], 2, "c");
    bench.with(|machine, now| machine.unsubscribe(now, carts));
    bench.want("carts", &[]);
    let asked = bench.streamed("jwt");
    assert_eq!(asked.iter().map(|one| (&*one.topic, &one.from)).collect::<Vec<_>>(), [("carts", &From::Latest)]);
}

#[test]
fn nothing_is_sent_over_a_stream() {
    let mut bench = streaming();
    let handle = bench.want("orders", &[]);
    let asked = bench.streamed("jwt");
    bench.accepted(&asked[0], 1, "full");
    let arrival = bench.batch(1, 0, "d0", 1_000_000).unwrap().arrival;
    bench.with(|machine, now| machine.dispatched(now, arrival, 3, vec![(1, Outcome::Pending)]));
    bench.with(|machine, now| machine.settle(now, arrival, 1, Outcome::Consumed));
    bench.frame(ServerFrame::Ping(Ping { cursors: vec![(101, "newer".into())] }));
    bench.pass(30_000);
    assert_eq!(bench.machine.cursor(handle), Some(vec!["newer".to_owned()]));
    bench.with(Machine::close);
    assert_eq!(bench.sent, []);
}

#[test]
fn a_refusal_for_now_is_asked_again_in_another_stream() {
    let mut bench = streaming();
    bench.want("orders", &[]);
    let asked = bench.streamed("jwt");
    bench.refuse(Some(asked[0].id), None, ErrorCode::LogUnavailable);
    assert_eq!(bench.effects, []);
    bench.pass(1000);
    assert_eq!(bench.streamed("jwt").len(), 1);
}

#[test]
fn a_new_token_makes_another_stream_in_time() {
    let mut bench = Bench::new(options(Transports::Stream));
    bench.give_token("jwt");
    bench.requested();
    let expires = Some((START + 100_000).cast_signed());
    bench.frame(ServerFrame::Welcome(Welcome { expires, heartbeat_ms: 1_000_000, ..welcome() }));
    bench.want("orders", &[]);
    bench.requested();
    bench.frame(ServerFrame::Welcome(Welcome { expires, heartbeat_ms: 1_000_000, ..welcome() }));
    bench.pass(90_000);
    bench.give_token("newer");
    assert_eq!(bench.streamed("newer").len(), 1);
    assert_eq!((bench.machine.stream_token(), bench.sent.len()), ("newer", 0));
}

#[test]
fn publishes_are_posted_and_wait_while_one_stream_follows_another() {
    let mut bench = streaming();
    let publish = |bench: &mut Bench| bench.with(|machine, now| machine.publish(now, "orders", Some("k"), "id", "{}"));
    let posted = |bench: &Bench| {
        let posts = bench.effects.iter().filter_map(|effect| match effect {
            Effect::Post(publish) => Some((publish.id, publish.key.clone())),
            _ => None,
        });
        posts.collect::<Vec<_>>()
    };
    let call = publish(&mut bench);
    assert_eq!(posted(&bench), [(call.0, Some("k".to_owned()))]);
    bench.clear();
    bench.want("orders", &[]);
    let call = publish(&mut bench);
    assert_eq!(posted(&bench), []);
    bench.streamed("jwt");
    assert_eq!(posted(&bench), [(call.0, Some("k".to_owned()))]);
    // What was posted has an answer of its own, whatever becomes of the stream.
    bench.clear();
    bench.closed(1006);
    bench.pass(60_000);
    assert!(!bench.effects.iter().any(|effect| matches!(effect, Effect::Published { .. })));
}

#[test]
fn what_a_stream_says_of_its_end_counts_as_a_sockets_close() {
    let mut bench = streaming();
    bench.closed(code::REVOKED.code);
    assert!(matches!(bench.machine.state(), State::Closed(Some(problem)) if problem.code == "revoked"));
    let mut bench = streaming();
    bench.closed(code::TOKEN_EXPIRED.code);
    assert!(matches!(bench.machine.state(), State::Waiting { .. }));
}

#[test]
fn a_request_that_is_refused_for_good_ends_and_others_come_back() {
    for (refused, ends) in [(ErrorCode::InvalidToken, true), (ErrorCode::Denied, true), (ErrorCode::GoingAway, false)] {
        let mut bench = Bench::new(options(Transports::Stream));
        bench.give_token("jwt");
        bench.requested();
        bench.refuse(None, None, refused);
        bench.closed(1006);
        assert_eq!(matches!(bench.machine.state(), State::Closed(Some(_))), ends, "{refused:?}");
    }
}

#[test]
fn what_a_stream_was_asked_for_in_vain_a_socket_is_asked_for() {
    let mut bench = Bench::new(options(AUTO));
    bench.want("orders", &[]);
    for _ in 0..2 {
        bench.give_token("jwt");
        bench.closed(1006);
        bench.pass(500);
    }
    bench.give_token("jwt");
    assert_eq!(bench.requested().len(), 2);
    bench.closed(1006);
    bench.pass(20_000);
    bench.handshake(welcome());
    assert_eq!(bench.asked().topic, "orders");
}

#[test]
fn a_stream_that_does_not_begin_is_given_up() {
    let mut bench = Bench::new(options(Transports::Stream));
    bench.give_token("jwt");
    bench.requested();
    bench.pass(15_000);
    assert!(bench.effects.iter().any(|effect| matches!(effect, Effect::Disconnect { .. })));
}

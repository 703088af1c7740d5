//! Connecting, waiting, staying alive, ending.

use tidegate_protocol::code;
use tidegate_protocol::frame::{Ping, Reconnect, Refreshed};

use super::*;

fn waits(bench: &Bench) -> Option<u64> {
    match bench.machine.state() {
        State::Waiting { until, .. } => Some(until - bench.now),
        _ => None,
    }
}

fn ended(bench: &Bench) -> Option<&str> {
    match bench.machine.state() {
        State::Closed(Some(problem)) => Some(&problem.code),
        _ => None,
    }
}

#[test]
fn a_token_then_a_socket_then_a_session() {
    let mut bench = Bench::new(Options::new("tab"));
    assert_eq!(bench.effects, [Effect::FetchToken { ask: 1 }]);
    bench.handshake(welcome());
    assert_eq!(bench.effects[1..], [Effect::Connect, Effect::State(State::Open(welcome().into()))]);
}

#[test]
fn waits_grow_with_full_jitter_until_a_session_was_stable() {
    let mut bench = Bench::new(Options::new("tab"));
    for attempt in 0..12 {
        let ask = bench.last_ask().unwrap();
        bench.with(|machine, now| machine.token(now, ask, Ok("jwt".into())));
        bench.closed(1006);
        let bound = (500u64 << attempt.min(6)).min(20_000);
        assert!(waits(&bench).unwrap() <= bound, "attempt {attempt}");
        bench.pass(bound);
    }
    bench.handshake(welcome());
    bench.pass(10_000);
    bench.closed(1006);
    assert!(waits(&bench).unwrap() <= 500);
}

#[test]
fn a_session_that_breaks_at_once_does_not_reset_the_waits() {
    let mut bench = Bench::new(Options::new("tab"));
    let mut longest = 0;
    for _ in 0..10 {
        bench.handshake(welcome());
        bench.closed(1006);
        longest = longest.max(waits(&bench).unwrap());
        bench.pass(20_000);
    }
    assert!(longest > 5000, "{longest}");
}

#[test]
fn terminal_codes_end_and_others_come_back() {
    for known in code::CLOSE_CODES {
        let mut bench = Bench::open();
        bench.closed(known.code);
        if code::is_terminal(known.code) {
            assert_eq!(ended(&bench), Some(known.reason));
            assert_eq!(bench.machine.deadline(), None);
        } else {
            assert!(waits(&bench).is_some(), "{}", known.reason);
        }
    }
}

#[test]
fn the_error_before_a_close_is_the_reason() {
    let mut bench = Bench::open();
    bench.refuse(None, None, ErrorCode::InvalidToken);
    bench.closed(code::INVALID_TOKEN.code);
    assert_eq!(ended(&bench), Some("invalid_token"));
}

#[test]
fn silence_beyond_the_heartbeat_reconnects() {
    let mut bench = Bench::open();
    bench.pass(32_000);
    bench.frame(ServerFrame::Ping(Ping::default()));
    assert_eq!(bench.sent, [ClientFrame::Pong]);
    bench.pass(32_999);
    assert!(matches!(bench.machine.state(), State::Open(_)));
    bench.pass(1);
    assert!(matches!(bench.machine.state(), State::Waiting { problem, .. } if problem.code == "heartbeat_missed"));
    assert!(bench.effects.iter().any(|effect| matches!(effect, Effect::Disconnect { .. })));
}

#[test]
fn a_handshake_that_hangs_is_given_up() {
    let mut bench = Bench::new(Options::new("tab"));
    bench.with(|machine, now| machine.token(now, 1, Ok("jwt".into())));
    bench.with(Machine::socket_opened);
    bench.pass(15_000);
    assert!(bench.effects.iter().any(|effect| matches!(effect, Effect::Disconnect { .. })));
}

#[test]
fn a_token_source_that_fails_is_asked_again_and_late_answers_do_not_count() {
    let mut bench = Bench::new(Options::new("tab"));
    bench.with(|machine, now| machine.token(now, 1, Err("offline".into())));
    bench.pass(500);
    assert_eq!(bench.last_ask(), Some(2));
    bench.with(|machine, now| machine.token(now, 1, Ok("old".into())));
    assert!(!bench.effects.contains(&Effect::Connect));
}

#[test]
fn tokens_are_renewed_in_place_before_they_expire() {
    let mut bench = Bench::new(Options::new("tab"));
    let expires = Some((START + 100_000).cast_signed());
    bench.handshake(Welcome { expires, heartbeat_ms: 1_000_000, ..welcome() });
    bench.pass(74_999);
    assert_eq!(bench.last_ask(), Some(1));
    bench.pass(15_001);
    let ask = bench.last_ask().unwrap();
    assert_ne!(ask, 1);
    bench.with(|machine, now| machine.token(now, ask, Ok("newer".into())));
    let Some(ClientFrame::Refresh(refresh)) = bench.sent.last() else { panic!("{:?}", bench.sent) };
    assert_eq!(refresh.token, "newer");
    let id = refresh.id;
    let expires = Some((bench.now + 100_000).cast_signed());
    bench.frame(ServerFrame::Refreshed(Refreshed { id, expires }));
    bench.pass(74_999);
    assert_eq!(bench.last_ask(), Some(ask));
    bench.pass(15_001);
    assert_eq!(bench.last_ask(), Some(ask + 1));
}

#[test]
fn a_refresh_refused_for_good_ends() {
    let mut bench = Bench::new(Options::new("tab"));
    bench.handshake(Welcome { expires: Some((START + 10_000).cast_signed()), ..welcome() });
    bench.pass(9000);
    let ask = bench.last_ask().unwrap();
    bench.with(|machine, now| machine.token(now, ask, Ok("another's".into())));
    let Some(ClientFrame::Refresh(refresh)) = bench.sent.last() else { panic!() };
    let id = refresh.id;
    bench.refuse(Some(id), None, ErrorCode::InvalidToken);
    assert_eq!(ended(&bench), Some("invalid_token"));
}

#[test]
fn an_expired_token_is_replaced_and_a_fixed_one_is_the_end() {
    let mut bench = Bench::open();
    bench.closed(code::TOKEN_EXPIRED.code);
    bench.pass(500);
    assert!(bench.last_ask().is_some());
    let mut bench = Bench::new(Options { renewable: false, ..Options::new("cli") });
    bench.handshake(Welcome { expires: Some((START + 10_000).cast_signed()), ..welcome() });
    bench.pass(10_000);
    assert_eq!(bench.last_ask(), Some(1));
    bench.closed(code::TOKEN_EXPIRED.code);
    assert_eq!(ended(&bench), Some("token_expired"));
}

#[test]
fn a_draining_node_says_when_to_come_back() {
    let mut bench = Bench::open();
    bench.frame(ServerFrame::Reconnect(Reconnect { delay_ms: 7000 }));
    bench.pass(1000);
    bench.closed(code::GOING_AWAY.code);
    assert_eq!(waits(&bench), Some(6000));
    let mut bench = Bench::open();
    bench.frame(ServerFrame::Reconnect(Reconnect { delay_ms: 7000 }));
    bench.pass(6999);
    assert!(matches!(bench.machine.state(), State::Open(_)));
    bench.pass(1);
    assert!(bench.last_ask().is_some());
}

#[test]
fn another_identity_is_refused() {
    let mut bench = Bench::open();
    bench.closed(1006);
    bench.pass(500);
    bench.handshake(Welcome { subject: "bob".into(), ..welcome() });
    assert_eq!(ended(&bench), Some("identity_changed"));
}

#[test]
fn waking_ends_the_wait() {
    let mut bench = Bench::open();
    bench.closed(1006);
    bench.clear();
    bench.with(Machine::wake);
    assert!(bench.last_ask().is_some());
}

//! Publishes: answered, refused, unanswered, too early.

use tidegate_protocol::frame::Published;

use super::*;

fn publish(bench: &mut Bench, event: &str) -> Call {
    bench.with(|machine, now| machine.publish(now, "orders", None, "00000000-0000-7000-8000-000000000001", event))
}

fn outcome(bench: &Bench, call: Call) -> Option<Result<Published, String>> {
    bench.effects.iter().find_map(|effect| match effect {
        Effect::Published { call: of, result } if *of == call => {
            Some(result.clone().map_err(|problem| problem.code.into_owned()))
        }
        _ => None,
    })
}

#[test]
fn answers_find_their_call() {
    let mut bench = Bench::open();
    let (first, second) = (publish(&mut bench, "{}"), publish(&mut bench, "{}"));
    let published = Published { id: second.0, event_id: "e".into(), correlation_id: "c".into(), position: None };
    bench.frame(ServerFrame::Published(published.clone()));
    bench.refuse(Some(first.0), None, ErrorCode::Denied);
    assert_eq!(outcome(&bench, second), Some(Ok(published)));
    assert_eq!(outcome(&bench, first), Some(Err("denied".into())));
    assert!(bench.machine.is_echo("00000000-0000-7000-8000-000000000001"));
}

#[test]
fn an_unanswered_one_is_unknown_and_not_sent_again() {
    let mut bench = Bench::open();
    let call = publish(&mut bench, "{}");
    bench.reconnect();
    assert_eq!(outcome(&bench, call), Some(Err("outcome_unknown".into())));
    assert!(!bench.sent.iter().any(|frame| matches!(frame, ClientFrame::Publish(_))));
    let call = publish(&mut bench, "{}");
    bench.frame(ServerFrame::Ping(tidegate_protocol::frame::Ping::default()));
    bench.pass(30_000);
    assert_eq!(outcome(&bench, call), Some(Err("outcome_unknown".into())));
}

#[test]
fn one_that_was_never_sent_waits_a_while() {
    let mut bench = Bench::new(Options::new("tab"));
    let early = publish(&mut bench, "{}");
    bench.pass(9999);
    bench.handshake(welcome());
    assert!(matches!(bench.sent.last(), Some(ClientFrame::Publish(publish)) if publish.id == early.0));
    let mut bench = Bench::new(Options::new("tab"));
    let early = publish(&mut bench, "{}");
    bench.pass(10_000);
    assert_eq!(outcome(&bench, early), Some(Err("not_connected".into())));
}

#[test]
fn what_is_too_large_never_reaches_the_bridge() {
    let mut bench = Bench::open();
    let call = publish(&mut bench, &format!(r#"{{"data":"{}"}}"#, "x".repeat(1000)));
    assert_eq!(outcome(&bench, call), Some(Err("event_too_large".into())));
    assert_eq!(bench.sent, []);
}

#[test]
fn waiting_ones_are_bounded() {
    let mut bench = Bench::new(Options::new("tab"));
    let calls: Vec<Call> = (0..257).map(|_| publish(&mut bench, "{}")).collect();
    assert_eq!(outcome(&bench, calls[255]), None);
    assert_eq!(outcome(&bench, calls[256]), Some(Err("not_connected".into())));
    bench.with(Machine::close);
    assert_eq!(outcome(&bench, calls[0]), Some(Err("not_connected".into())));
    let late = publish(&mut bench, "{}");
    assert_eq!(outcome(&bench, late), Some(Err("closed".into())));
}

#[test]
fn what_is_wrong_is_pointed_to_in_the_event() {
    let mut bench = Bench::open();
    let call = publish(&mut bench, "{}");
    let pointer = Some("/publish/event/type".into());
    let failed = Failed { id: Some(call.0), pointer, ..Failed::new(ErrorCode::InvalidEvent, "no") };
    bench.frame(ServerFrame::Error(failed));
    let pointer = bench.effects.iter().find_map(|effect| match effect {
        Effect::Published { result: Err(problem), .. } => problem.pointer.as_deref(),
        _ => None,
    });
    assert_eq!(pointer, Some("/type"));
}

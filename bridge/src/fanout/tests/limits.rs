//! Limits of a tenant: by however many sessions and requests it comes, and given back when they go.

use tidegate_gate::{Accounts, Rate, TenantLimitTable, TenantLimits};
use tidegate_protocol::frame::{ClientFrame, From};

use super::fixture::{options, principal};
use super::shard::{Bench, publish, subscribe, unsubscribe};
use crate::fanout::{Effect, Input, Offering, Options, Request, SessionKey};

const EVENT: &str = r#"{"type":"order.paid","data":{"a": 1}}"#;

fn bench(usual: TenantLimits) -> Bench {
    let table = TenantLimitTable { usual, ..TenantLimitTable::default() };
    Bench::with(Options { accounts: Accounts::new(table, |_, _, _| {}), ..options(1) })
}

fn code(bench: &mut Bench, key: SessionKey, frame: ClientFrame) -> Option<String> {
    bench.told(key);
    bench.frame(key, frame);
    let told = bench.told(key);
    (told.kinds() == ["error"]).then(|| told.error().code)
}

#[test]
fn subscriptions_count_over_all_sessions_and_are_given_back() {
    let mut bench = bench(TenantLimits { subscriptions: Some(2), ..TenantLimits::default() });
    let roles = ["reader", "observer"];
    let (one, two, other) = (bench.open("acme", &roles), bench.open("acme", &roles), bench.open("globex", &roles));
    // What waits for the feed counts, and what is refused does not.
    assert_eq!(code(&mut bench, one, subscribe(1, "orders", From::Latest)), None);
    bench.follow("orders", 1, &[(0, 10)]);
    assert_eq!(code(&mut bench, one, subscribe(2, "orders", From::Latest)).as_deref(), Some("already_subscribed"));
    assert_eq!(code(&mut bench, two, subscribe(1, "nowhere", From::Latest)).as_deref(), Some("denied"));
    assert_eq!(code(&mut bench, two, subscribe(2, "$ledger", From::Latest)), None);
    for topic in ["news", "$ledger"] {
        let refused = code(&mut bench, two, subscribe(3, topic, From::Latest));
        assert_eq!(refused.as_deref(), Some("too_many_subscriptions"), "{topic}");
    }
    assert_eq!(code(&mut bench, other, subscribe(1, "orders", From::Latest)), None, "another tenant has its own");
    assert_eq!(code(&mut bench, one, unsubscribe(9, 1)), None);
    assert_eq!(code(&mut bench, two, subscribe(4, "orders", From::Latest)), None);
    bench.input(Input::Gone(two));
    assert_eq!(code(&mut bench, one, subscribe(5, "news", From::Latest)), None, "the session took two with it");
    assert_eq!(code(&mut bench, one, subscribe(6, "orders", From::Latest)), None);
}

#[test]
fn what_sessions_and_requests_publish_counts_together() {
    let publish_events = Some(Rate { per_second: 10, burst: 5 });
    let mut bench = bench(TenantLimits { publish_events, ..TenantLimits::default() });
    let sessions = [bench.open("acme", &["writer"]), bench.open("acme", &["writer"])];
    for n in 0..3 {
        bench.frame(sessions[n % 2], ClientFrame::Publish(publish("orders", EVENT)));
    }
    let offering = || Offering { topic: "orders".into(), key: None, event: EVENT.into(), id: None };
    let items = (0..4).map(|_| Ok(offering())).collect();
    let ticket = bench.request(Request { principal: principal("acme", "ada", &["writer"]), client: None, items });
    let appends = bench.effects.iter().filter(|effect| matches!(effect, Effect::Append(..))).count();
    assert_eq!(appends, 5, "three of the sessions, two of the request");
    assert!(!bench.effects.iter().any(|effect| matches!(effect, Effect::Published(of, _) if *of == ticket)));
    for key in sessions {
        bench.frame(key, ClientFrame::Publish(publish("orders", EVENT)));
        let error = bench.told(key).error();
        assert_eq!((error.code.as_str(), error.retryable), ("rate_limited", true));
        assert!(error.retry_after_ms.is_some_and(|wait| (100..=101).contains(&wait)), "{error:?}");
    }
    let other = bench.open("globex", &["writer"]);
    assert_eq!(code(&mut bench, other, ClientFrame::Publish(publish("orders", EVENT))), None);
    bench.now += 101;
    assert_eq!(code(&mut bench, sessions[0], ClientFrame::Publish(publish("orders", EVENT))), None);
}

#[test]
fn what_waits_for_the_log_counts_until_it_has_answered_whoever_is_gone() {
    let fast = Rate { per_second: 1 << 20, burst: 1 << 20 };
    let mut bench = Bench::with(Options { publish_events: fast, ..options(1) });
    let mut answered = None;
    loop {
        let key = bench.open("acme", &["writer"]);
        let taken =
            (0..200).take_while(|_| code(&mut bench, key, ClientFrame::Publish(publish("orders", EVENT))).is_none());
        let taken = taken.count();
        bench.input(Input::Gone(key));
        answered = answered.or_else(|| bench.effects.pop());
        if taken < 200 {
            break;
        }
    }
    let appends = bench.effects.iter().filter(|effect| matches!(effect, Effect::Append(..))).count();
    assert_eq!(appends + 1, 16_384, "sessions that went took none of it with them");
    let key = bench.open("acme", &["writer"]);
    let error = code(&mut bench, key, ClientFrame::Publish(publish("orders", EVENT)));
    assert_eq!(error.as_deref(), Some("rate_limited"));
    let other = bench.open("globex", &["writer"]);
    assert_eq!(code(&mut bench, other, ClientFrame::Publish(publish("orders", EVENT))), None, "another has its own");
    drop(answered);
    assert_eq!(code(&mut bench, key, ClientFrame::Publish(publish("orders", EVENT))), None);
}

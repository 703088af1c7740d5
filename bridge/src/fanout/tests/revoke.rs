//! Revocation: who ends, who does not, and what is still written.

use std::sync::Arc;

use tidegate_gate::{Principal, Revocation, TokenError};
use tidegate_protocol::frame::From;

use super::fixture::{NOW, options, principal};
use super::shard::{Bench, refresh};
use crate::fanout::{Effect, Input, SessionKey};

fn of(target: &str) -> Arc<Revocation> {
    Arc::new(Revocation { target: target.parse().unwrap(), issued_before: NOW, reason: None, until: None })
}

fn token(tenant: &str, subject: &str, issued_at: i64) -> Principal {
    Principal {
        issued_at: Some(issued_at),
        token_id: Some(format!("{subject}-{issued_at}")),
        ..principal(tenant, subject, &["reader", "writer"])
    }
}

fn closed(bench: &mut Bench, key: SessionKey) -> Option<u16> {
    bench.told(key).closed
}

#[test]
fn what_a_revocation_speaks_of_ends_and_nothing_else() {
    let (old, new) = (NOW - 60_000, NOW + 60_000);
    let ended = |target: &str| {
        let mut bench = Bench::new();
        let sessions = [("acme", "ada", old), ("acme", "ada", new), ("acme", "bob", old), ("globex", "ada", old)];
        let keys = sessions.map(|(tenant, subject, at)| bench.open_as(token(tenant, subject, at)));
        bench.input(Input::Revoked(of(target)));
        keys.map(|key| closed(&mut bench, key) == Some(3503))
    };
    assert_eq!(ended("subject/acme/ada"), [true, false, false, false]);
    assert_eq!(ended("tenant/acme"), [true, false, true, false]);
    assert_eq!(ended(&format!("token/acme/ada-{new}")), [false, true, false, false]);
    assert_eq!(ended(&format!("token/acme/ada-{old}")), [true, false, false, false]);
    // All sessions of the bench have this id.
    assert_eq!(ended("session/s"), [true; 4]);
    assert_eq!(ended("session/other"), [false; 4]);
}

#[test]
fn nothing_that_waited_is_written_any_more() {
    let mut bench = Bench::new();
    let (ada, bob) = (bench.live("acme"), bench.live("globex"));
    bench.round(1, "acme", 10..14, 100);
    bench.round(1, "globex", 14..18, 100);
    bench.input(Input::Revoked(of("tenant/acme")));
    bench.round(1, "acme", 18..20, 100);
    let told = bench.told(ada);
    assert_eq!(told.kinds(), ["error"], "only why it ends");
    assert_eq!((told.error().code.as_str(), told.error().retryable, told.closed), ("revoked", false, Some(3503)));
    assert!(bench.effects.iter().any(|effect| matches!(effect, Effect::Close(key) if *key == ada)));
    let told = bench.told(bob);
    assert_eq!((told.kinds(), told.closed), (vec!["batch"], None));
    // It is gone: what it still says is not heard.
    bench.frame(ada, super::shard::subscribe(2, "audit", From::Latest));
    assert!(bench.told(ada).texts.is_empty());
}

#[test]
fn a_revocation_between_verification_and_opening_is_not_missed() {
    let options = options(1);
    let revocations = Arc::clone(&options.revocations);
    let mut bench = Bench::with(options);
    let revocation = of("subject/acme/ada");
    revocations.put(&revocation);
    bench.input(Input::Revoked(revocation));
    let late = bench.open_unwelcome(token("acme", "ada", NOW - 60_000));
    let told = bench.told(late);
    assert_eq!((told.kinds(), told.closed), (vec!["error"], Some(3503)));
    let newer = bench.open_as(token("acme", "ada", NOW + 60_000));
    assert_eq!(closed(&mut bench, newer), None);
}

#[test]
fn a_refresh_with_a_revoked_token_ends_the_session() {
    let options = options(1);
    let revocations = Arc::clone(&options.revocations);
    let mut bench = Bench::with(options);
    let key = bench.open_as(token("acme", "ada", NOW - 60_000));
    bench.frame(key, refresh());
    let refused = TokenError::Revoked("tenant/acme".parse().unwrap());
    bench.input(Input::Verified(key, 3, Err(refused)));
    let told = bench.told(key);
    assert_eq!((told.error().id, told.error().code.as_str(), told.closed), (Some(3), "revoked", Some(3503)));

    // The token was good when it was verified.
    let key = bench.open_as(token("acme", "bob", NOW + 60_000));
    bench.frame(key, refresh());
    revocations.put(&of("subject/acme/bob"));
    bench.input(Input::Verified(key, 3, Ok(token("acme", "bob", NOW - 1000))));
    let told = bench.told(key);
    assert_eq!((told.kinds(), told.closed), (vec!["error"], Some(3503)));
}

#[test]
fn a_newer_token_keeps_a_session_that_has_it_already() {
    let mut bench = Bench::new();
    let key = bench.open_as(token("acme", "ada", NOW - 60_000));
    bench.frame(key, refresh());
    bench.input(Input::Verified(key, 3, Ok(token("acme", "ada", NOW + 60_000))));
    bench.input(Input::Revoked(of("subject/acme/ada")));
    assert_eq!(bench.told(key).closed, None);
}

#[test]
fn what_waited_when_a_token_expired_is_not_written_either() {
    let mut bench = Bench::new();
    let mut ada = token("acme", "ada", NOW - 60_000);
    ada.expires = NOW + 1000;
    let key = bench.open_as(ada);
    bench.subscribe(key, "orders", From::Latest);
    bench.follow("orders", 1, &[(0, 10)]);
    bench.told(key);
    bench.round(1, "acme", 10..14, 100);
    bench.tick(1000);
    let told = bench.told(key);
    assert_eq!((told.kinds(), told.closed), (vec!["error"], Some(3002)));
}

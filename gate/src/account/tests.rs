//! Whatever a tenant does, by however many sessions and threads: never more than its limits.

use proptest::prelude::*;

use super::*;

fn rate(per_second: u64, burst: u64) -> Rate {
    Rate { per_second, burst }
}

fn wide(now: Millis) -> PublishLimit {
    PublishLimit::new(rate(1 << 40, 1 << 40), rate(1 << 40, 1 << 40), now)
}

fn accounts(usual: TenantLimits) -> Arc<Accounts> {
    Accounts::new(TenantLimitTable { usual, of: BTreeMap::new() }, |_, _, _| {})
}

#[test]
fn sessions_are_counted_while_they_are_there() {
    let accounts = accounts(TenantLimits { sessions: Some(2), ..TenantLimits::default() });
    let seat = |tenant: &str, replaces| accounts.of(&tenant.into(), 0).seat(replaces, 0);
    let (first, _second) = (seat("acme", false).unwrap(), seat("acme", false).unwrap());
    assert_eq!(seat("acme", false).unwrap_err(), Full(2));
    assert!(seat("globex", false).is_ok(), "another tenant has room of its own");
    let third = seat("acme", true).expect("the older one is about to end");
    assert!(seat("acme", true).is_err(), "but not one more for each");
    drop((first, third));
    assert!(seat("acme", false).is_ok());
}

#[test]
fn a_tenant_may_have_limits_of_its_own() {
    let own = TenantLimits { subscriptions: Some(1), ..TenantLimits::default() };
    let table = TenantLimitTable { usual: TenantLimits::default(), of: [("small".into(), own)].into() };
    let accounts = Accounts::new(table, |_, _, _| {});
    let places = |tenant: &str, count| -> Vec<_> {
        let account = accounts.of(&tenant.into(), 0);
        (0..count).map(|_| account.place(0)).collect::<Vec<_>>()
    };
    assert!(places("large", 1000).iter().all(Result::is_ok));
    let small = places("small", 2);
    assert!(small[0].is_ok() && small[1].is_err());
}

#[test]
fn a_publish_takes_of_both_or_of_neither() {
    let accounts = accounts(TenantLimits { publish_events: Some(rate(1, 3)), ..TenantLimits::default() });
    let account = accounts.of(&"acme".into(), 0);
    let mut own = PublishLimit::new(rate(1, 2), rate(1000, 1000), 0);
    assert_eq!((account.publish(&mut own, 1, 0), account.publish(&mut own, 1, 0)), (Ok(()), Ok(())));
    assert!(account.publish(&mut own, 1, 0).is_err(), "the session's own");
    let mut other = wide(0);
    assert_eq!(account.publish(&mut other, 1, 0), Ok(()), "the refused one took nothing of the tenant's");
    let RetryAfter(wait) = account.publish(&mut other, 1, 0).unwrap_err();
    assert!((1000..=1001).contains(&wait));
    assert_eq!(account.publish(&mut other, 1, wait as i64), Ok(()));
}

#[test]
fn who_leaves_and_comes_back_has_no_more_for_it() {
    let accounts = accounts(TenantLimits { publish_events: Some(rate(1, 5)), ..TenantLimits::default() });
    let mut taken = 0;
    for n in 0..500 {
        // Others come and go meanwhile, so that accounts are cleaned up.
        drop(accounts.of(&format!("other-{n}").into(), 0));
        let account = accounts.of(&"acme".into(), 0);
        taken += u32::from(account.publish(&mut wide(0), 1, 0).is_ok());
    }
    assert_eq!(taken, 5);
}

#[test]
fn accounts_that_nobody_needs_are_forgotten() {
    let accounts = accounts(TenantLimits { publish_events: Some(rate(10, 10)), ..TenantLimits::default() });
    let _kept = accounts.of(&"kept".into(), 0).seat(false, 0).unwrap();
    for n in 0..10_000_i64 {
        let account = accounts.of(&format!("tenant-{n}").into(), n * 10);
        account.publish(&mut wide(0), 1, n * 10).unwrap();
    }
    let open = lock(&accounts.open);
    assert!(open.accounts.len() < 300 && open.accounts.contains_key("kept"), "{}", open.accounts.len());
}

#[test]
fn replay_waits_until_what_was_read_is_paid() {
    let accounts = accounts(TenantLimits { replay_bytes: Some(rate(1000, 1000)), ..TenantLimits::default() });
    let account = accounts.of(&"acme".into(), 0);
    assert_eq!(account.may_replay(0), Ok(()));
    account.replayed(5000, 0);
    let RetryAfter(wait) = account.may_replay(0).unwrap_err();
    assert!((4000..=4002).contains(&wait), "{wait}");
    assert_eq!(account.may_replay(wait as i64), Ok(()));
}

#[test]
fn what_waits_for_the_log_is_bounded() {
    let account = accounts(TenantLimits::default()).of(&"acme".into(), 0);
    let mut waiting: Vec<Unanswered> = (0..UNANSWERED).map(|_| account.unanswered()).collect();
    assert_eq!(account.may_wait(0), Err(Full(UNANSWERED)));
    waiting.pop();
    assert_eq!(account.may_wait(0), Ok(()));
}

#[test]
fn each_time_is_counted_and_said_once_a_minute() {
    let heard: Arc<Mutex<Vec<(String, Bound, bool)>>> = Arc::default();
    let ears = Arc::clone(&heard);
    let usual = TenantLimits { sessions: Some(0), ..TenantLimits::default() };
    let table = TenantLimitTable { usual, of: BTreeMap::new() };
    let accounts = Accounts::new(table, move |tenant, bound, loud| lock(&ears).push((tenant.to_owned(), bound, loud)));
    let account = accounts.of(&"acme".into(), 0);
    for now in [0, 10, 59_999, 60_000, 60_001] {
        account.seat(false, now).unwrap_err();
    }
    assert_eq!(lock(&heard).iter().map(|(.., loud)| *loud).collect::<Vec<_>>(), [true, false, false, true, false]);
    assert!(lock(&heard).iter().all(|(tenant, bound, _)| tenant == "acme" && *bound == Bound::Sessions));
}

#[test]
fn limits_that_change_apply_at_once_to_who_is_there() {
    let accounts = Accounts::unlimited();
    let account = accounts.of(&"acme".into(), 0);
    let seats: Vec<Seat> = (0..5).map(|_| account.seat(false, 0).unwrap()).collect();
    account.publish(&mut wide(0), 1, 0).unwrap();
    let limits = |sessions| TenantLimits {
        sessions,
        publish_events: Some(rate(1, 2)),
        replay_bytes: Some(rate(10, 10)),
        ..TenantLimits::default()
    };
    let table = |sessions| TenantLimitTable { usual: limits(sessions), ..TenantLimitTable::default() };
    accounts.change(table(Some(3)), 1);
    assert_eq!(account.seat(false, 1).unwrap_err(), Full(3), "who is there stays, and nobody else comes");
    drop(seats);
    assert!(account.seat(false, 1).is_ok());
    let published = (0..10).filter(|_| account.publish(&mut wide(1), 1, 1).is_ok()).count();
    assert_eq!(published, 2, "a bucket that was full is full of what there is now");
    account.replayed(1_000, 1);
    accounts.change(table(None), 2);
    assert!(account.may_replay(50_000).is_err(), "what is owed stays owed");
    assert_eq!(accounts.of(&"later".into(), 0).publish(&mut wide(0), 1, 0), Ok(()));
}

#[test]
fn threads_together_get_no_more_than_one() {
    let usual = TenantLimits { sessions: Some(7), publish_events: Some(rate(1, 100)), ..TenantLimits::default() };
    let accounts = accounts(usual);
    let (seats, published) = (AtomicU64::new(0), AtomicU64::new(0));
    let all = std::sync::Barrier::new(4);
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                let account = accounts.of(&"acme".into(), 0);
                let held: Vec<Seat> = (0..50).filter_map(|_| account.seat(false, 0).ok()).collect();
                seats.fetch_add(held.len() as u64, Ordering::Relaxed);
                let mut own = wide(0);
                for _ in 0..200 {
                    published.fetch_add(u64::from(account.publish(&mut own, 10, 0).is_ok()), Ordering::Relaxed);
                }
                all.wait();
            });
        }
    });
    assert_eq!((seats.into_inner(), published.into_inner()), (7, 100));
}

proptest! {
    #[test]
    fn many_sessions_publish_no_more_than_one_would(
        per_second in 1u64..500, burst in 1u64..100,
        steps in prop::collection::vec((0usize..20, 0i64..30, 0i64..5), 1..300),
    ) {
        let usual = TenantLimits { publish_events: Some(rate(per_second, burst)), ..TenantLimits::default() };
        let accounts = accounts(usual);
        let mut sessions: Vec<PublishLimit> = (0..20).map(|_| wide(1_000)).collect();
        let (mut now, mut taken) = (1_000, 0);
        for (session, pause, late) in steps {
            now += pause;
            let account = accounts.of(&"acme".into(), now);
            taken += u64::from(account.publish(&mut sessions[session], 1, now - late).is_ok());
            prop_assert!(taken * 1000 <= burst * 1000 + per_second * (now - 1_000) as u64);
        }
    }
}

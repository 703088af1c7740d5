//! What the end-to-end tests stand on: a real Kafka, clients of it that are not ours, the shipped bridge as a process,
//! and clients of the bridge.
//!
//! Conditions are awaited, never slept for. Whoever moves events asks an [`Account`](account::Account) at the end,
//! which checks the ledger's laws in every snapshot on its way.

pub mod account;
pub mod bridge;
pub mod embedded;
pub mod foreign;
pub mod http;
pub mod kafka;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod stage;
pub mod wire;

use std::fmt::Display;
use std::time::Duration;

use serde_json::Value;
use tidegate_client::native::Subscription;
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take on a machine that does much else.
pub const LONG: Duration = Duration::from_mins(1);

/// Waits until a condition holds.
///
/// # Panics
///
/// If it does not hold in time.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Holds something to a bound of time: in one of three attempts, for a busy machine stands still for a moment now and then.
///
/// # Panics
///
/// If all of them took longer.
pub async fn within(bound: Duration, mut attempt: impl AsyncFnMut() -> Duration) {
    let mut took = Vec::new();
    while took.len() < 3 {
        took.push(attempt().await);
        if took.last() < Some(&bound) {
            return;
        }
    }
    panic!("it took {took:?} each time, not {bound:?}");
}

/// An event that says `n`, as a backend would put it onto a topic.
pub fn notice(tenant: &str, n: impl Display) -> String {
    let id = uuid::Uuid::now_v7();
    format!(
        r#"{{"version":"1.0","id":"{id}","type":"order.created","correlation_id":"{id}","timestamp":"2026-11-21T10:00:00.000Z","tenant_id":"{tenant}","data":{{"n":{n}}}}}"#
    )
}

/// An event as page code has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The record's key.
    pub key: Option<String>,
    /// The envelope.
    pub event: Value,
}

impl Seen {
    /// What [`notice`] was told to say.
    pub fn n(&self) -> i64 {
        self.event["data"]["n"].as_i64().expect("an event made by `notice`")
    }
}

/// The next event of a subscription, consumed.
///
/// # Panics
///
/// If none comes in time, or the subscription ends.
pub async fn next(subscription: &mut Subscription) -> Seen {
    let delivery = timeout(LONG, subscription.next()).await.expect("an event comes in time");
    let delivery = delivery.unwrap_or_else(|| panic!("the subscription ended: {:?}", subscription.problem()));
    let event = serde_json::from_str(&delivery.event).expect("an event is JSON");
    let seen = Seen { key: delivery.key.clone(), event };
    delivery.consumed();
    seen
}

/// The next events of a subscription, consumed: what they say.
pub async fn numbers(subscription: &mut Subscription, count: usize) -> Vec<i64> {
    let mut numbers = Vec::with_capacity(count);
    while numbers.len() < count {
        numbers.push(next(subscription).await.n());
    }
    numbers
}

//! On real Kafka, by the shipped binary, over real sockets: each session gets exactly what the plain reference of
//! `bridge/tests/entitled` says over the same log. `TIDEGATE_KAFKA_CASES` says how many cases; `cargo xtask soak --only
//! entitlement` asks for 200.
//!
//! Twenty cases share a setting, its bridge and its topics: what one left on the log is history for the next.

#![allow(dead_code, reason = "the reference is made for another test, which uses all of it")]

#[path = "../../bridge/tests/entitled/chance.rs"]
mod chance;
#[path = "../../bridge/tests/entitled/condition.rs"]
mod condition;
#[path = "../../bridge/tests/entitled/json.rs"]
mod json;
#[path = "../../bridge/tests/entitled/judge.rs"]
mod judge;
#[path = "../../bridge/tests/entitled/reading.rs"]
mod reading;
#[path = "../../bridge/tests/entitled/records.rs"]
mod records;
#[path = "../../bridge/tests/entitled/reference.rs"]
mod reference;
#[path = "../../bridge/tests/entitled/setting.rs"]
mod setting;

mod entitlement_world;

// The reference reads JSON by it.
use serde as _;

use chance::Chance;
use entitlement_world::World;

/// Cases that share a bridge.
const OF_A_BRIDGE: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_session_gets_exactly_its_own() {
    let cases = std::env::var("TIDEGATE_KAFKA_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let (mut delivered, mut published) = (0, 0);
    for batch in 0..usize::div_ceil(cases, OF_A_BRIDGE) {
        let mut world = World::start(Chance::new(batch as u64 + 7_000_000)).await;
        for case in batch * OF_A_BRIDGE..cases.min((batch + 1) * OF_A_BRIDGE) {
            world.case(case).await;
        }
        (delivered, published) = (delivered + world.delivered, published + world.published);
    }
    println!("{cases} cases on Kafka: {delivered} events delivered, {published} published");
    assert!(delivered > cases, "{delivered} events in {cases} cases prove nothing");
}

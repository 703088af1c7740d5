//! A tenant that storms takes its own turns, not another's.

use tidegate_protocol::frame::From;

use super::shard::Bench;
use crate::fanout::{Input, SessionKey};

/// Sessions of the tenant that storms.
const STORM: usize = 200;

fn behind(bench: &mut Bench, tenant: &str) -> SessionKey {
    let key = bench.open(tenant, &["reader", "replayer"]);
    bench.subscribe(key, "orders", From::Time(0));
    bench.input(Input::OffsetsAt(key, 1, Ok([(0, 0)].into())));
    bench.told(key);
    key
}

#[test]
fn one_that_is_behind_is_fed_within_a_turn_of_each_other_tenant() {
    let mut bench = Bench::new();
    let first = bench.open("storm", &["reader"]);
    bench.subscribe(first, "orders", From::Latest);
    bench.follow("orders", 1, &[(0, 0)]);
    // Each of the many has many batches to be fed.
    bench.round(1, "storm", 0..300, 1_000);
    bench.round(1, "quiet", 300..301, 10);
    let storm: Vec<SessionKey> = (0..STORM).map(|_| behind(&mut bench, "storm")).collect();
    let quiet = behind(&mut bench, "quiet");
    let mut turns = 0;
    while !bench.told(quiet).kinds().contains(&"batch") {
        assert!(turns < 8, "not fed in {turns} turns");
        bench.shard.feed(1);
        turns += 1;
    }
    let fed = storm.iter().filter(|key| bench.told(**key).kinds().contains(&"batch")).count();
    assert!(fed <= turns, "{fed} in {turns} turns");
}

//! Live: what comes together goes out together.

use std::sync::Arc;

use super::shard::Bench;
use crate::fanout::Input;

#[test]
fn rounds_that_wait_go_out_together() {
    let mut bench = Bench::new();
    let key = bench.live("acme");
    let rounds = [10..12, 12..13, 13..15].map(|offsets| Arc::new(Bench::events(1, "acme", offsets, 10)));
    bench.input(Input::Rounds(rounds.to_vec()));
    let told = bench.told(key);
    assert_eq!(told.kinds(), ["batch"]);
    assert_eq!(told.texts[0].matches(r#""id""#).count(), 5);
}

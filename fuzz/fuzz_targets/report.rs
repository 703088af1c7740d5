#![no_main]
//! Reports, one a line, against a table of deliveries: each applies whole or changes nothing, and the ledger balances.

use std::rc::Rc;

use libfuzzer_sys::fuzz_target;
use tidegate::ledger::{Counts, RowKey};
use tidegate::session::{BatchRows, InFlight};
use tidegate_protocol::frame::ClientFrame;

/// Deliveries of each batch, in each of the two views.
const BATCHES: [usize; 4] = [1, 3, 1, 5];

fuzz_target!(|text: &str| {
    let mut counts = Counts::default();
    let rows = ["order.created", "order.paid"].map(|event_type| {
        counts.row(RowKey {
            tenant: "acme".into(),
            topic: "orders".into(),
            event_type: event_type.into(),
            consumer: "".into(),
        })
    });
    let mut in_flight = InFlight::default();
    let (mut sent, mut bytes) = (0, 0);
    for view in [1, 7] {
        for (seq, length) in (0..).zip(BATCHES) {
            let batch = BatchRows::new((0..length).map(|n| rows[n % 2]).collect());
            in_flight.sent(view, seq, 100, bytes, &Rc::new(batch));
            sent += length as u64;
            bytes += 100;
        }
    }
    let mut returned = 0;
    for line in text.lines() {
        let Ok(Some(ClientFrame::Report(report))) = ClientFrame::decode(line) else { continue };
        let before = (in_flight.unsettled(), totals(&counts, &in_flight));
        match in_flight.apply(&report, &mut counts) {
            Ok(back) => returned += back.credit,
            Err(_) => assert_eq!(before, (in_flight.unsettled(), totals(&counts, &in_flight)), "{line:?}"),
        }
        let [received, settled, open] = totals(&counts, &in_flight);
        assert_eq!(received, settled + open, "the ledger balances: {text:?}");
        assert!(received <= sent && returned <= bytes, "{text:?}");
        assert_eq!(in_flight.unsettled(), sent - settled, "{text:?}");
    }
    in_flight.abandon(&mut counts);
    let [received, settled, open] = totals(&counts, &in_flight);
    assert_eq!((received, open), (settled, 0), "{text:?}");
});

/// Received, settled and in flight, of all rows.
fn totals(counts: &Counts, in_flight: &InFlight) -> [u64; 3] {
    let rows = counts.snapshot(|each| in_flight.count_in_flight(each));
    rows.iter().fold([0; 3], |[received, settled, open], (_, row)| {
        [received + row.received, settled + row.consumed + row.given_up + row.abandoned, open + row.in_flight]
    })
}

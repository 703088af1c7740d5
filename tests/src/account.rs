//! The ledger as an observer sees it: both laws that hold within a node are checked in every snapshot that comes.

use tidegate_client::native::{Client, Ledger};
use tidegate_protocol::frame::LedgerReport;
use tidegate_protocol::ledger::{Column, Counts, Reading};
use tokio::time::{Instant, timeout_at};

use crate::LONG;
use crate::bridge::Bridge;

/// An open `$ledger` subscription of one node, grouped by everything.
#[derive(Debug)]
pub struct Account {
    ledger: Ledger,
    _client: Client,
}

impl Account {
    /// Opens it.
    ///
    /// # Panics
    ///
    /// If the bridge refuses.
    pub async fn of(bridge: &Bridge) -> Self {
        let client = bridge.client(bridge.observer()).await;
        let ledger = client.ledger(&Column::ALL).await.expect("the observer may observe");
        Self { ledger, _client: client }
    }

    /// Waits until the totals are as they should be and nothing is in flight; laws 1 and 3 hold all the way.
    ///
    /// # Panics
    ///
    /// If a law is broken, or the totals never are as they should be.
    pub async fn at_rest(&mut self, holds: impl Fn(&Totals) -> bool) -> Totals {
        let deadline = Instant::now() + LONG;
        let mut last = None;
        let mut held = false;
        loop {
            let Ok(report) = timeout_at(deadline, self.ledger.next()).await else {
                panic!("the ledger never came to what it should; it last was {last:#?}");
            };
            let totals = Totals(report.unwrap_or_else(|| panic!("the ledger ended: {:?}", self.ledger.problem())));
            totals.assert_laws();
            let holds = totals.0.rows.iter().all(|row| row.counts.in_flight == 0) && holds(&totals);
            // Feed and shards tell their totals once a second, not in the same moment: what holds twice is of both.
            if holds && held {
                return totals;
            }
            held = holds;
            last = Some(totals);
        }
    }
}

/// A node's totals at one moment.
#[derive(Debug, Clone)]
pub struct Totals(pub LedgerReport);

impl Totals {
    /// The counts of a tenant's deliveries of a logical topic.
    pub fn of(&self, tenant: &str, topic: &str) -> Counts {
        let mut sum = Counts::default();
        let [tenant, topic] = [tenant, topic].map(|name| Some(name.to_owned()));
        let rows = self.0.rows.iter().filter(|row| row.of[0] == tenant && row.of[1] == topic);
        rows.for_each(|row| sum.add(&row.counts));
        sum
    }

    /// What the feed read of a logical topic.
    pub fn reading(&self, topic: &str) -> Reading {
        let mut sum = Reading::default();
        self.0.topics.iter().filter(|of| of.topic == topic).for_each(|of| sum.add(&of.reading));
        sum
    }

    fn assert_laws(&self) {
        for row in &self.0.rows {
            assert_eq!(row.counts.law_1(), Ok(()), "law 1 of {:?}: {:?}", row.of, row.counts);
            assert!(row.counts.received <= row.counts.sent, "{:?}: {:?}", row.of, row.counts);
        }
        assert_eq!(self.0.other.law_1(), Ok(()), "law 1 of the rest");
        for topic in &self.0.topics {
            assert_eq!(topic.reading.law_3(), Ok(()), "law 3 of {}: {:?}", topic.topic, topic.reading);
        }
    }
}

//! A subscription's receiving end.

use std::sync::Arc;

use tidegate_protocol::frame::LedgerReport;

use super::delivery::Delivery;
use super::driver::Command;
use super::{Items, Lifeline};
use crate::machine::{Handle, Problem};

/// What the driver sends to a subscription.
#[derive(Debug)]
pub(super) enum Item {
    Delivery(Delivery),
    Ledger(Box<LedgerReport>),
    /// Something was missed before what follows.
    Gap,
    Ended(Problem),
}

/// Deliveries of one subscription. Dropping it ends it; what it had not taken counts as unhandled.
#[derive(Debug)]
pub struct Subscription {
    handle: Handle,
    items: Items,
    lifeline: Arc<Lifeline>,
    gaps: u32,
    problem: Option<Problem>,
}

impl Subscription {
    pub(super) fn new(handle: Handle, items: Items, lifeline: Arc<Lifeline>) -> Self {
        Self { handle, items, lifeline, gaps: 0, problem: None }
    }

    /// The next delivery; `None` when the subscription is over ([`Subscription::problem`] says why).
    ///
    /// Safe to cancel.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            match self.item().await? {
                Item::Delivery(mut delivery) => {
                    delivery.take();
                    return Some(delivery);
                }
                Item::Ledger(_) | Item::Gap | Item::Ended(_) => {}
            }
        }
    }

    /// How often so far events were missed: retention overtook the reader, the topic was made anew, or its cursor
    /// was no longer accepted.
    pub fn gaps(&self) -> u32 {
        self.gaps
    }

    /// Why it is over, if it ended by itself.
    pub fn problem(&self) -> Option<&Problem> {
        self.problem.as_ref()
    }

    async fn item(&mut self) -> Option<Item> {
        let item = self.items.recv().await?;
        match &item {
            Item::Gap => self.gaps += 1,
            Item::Ended(problem) => self.problem = Some(problem.clone()),
            Item::Delivery(_) | Item::Ledger(_) => {}
        }
        Some(item)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let _ = self.lifeline.commands.send(Command::Unsubscribe(self.handle));
    }
}

/// The ledger's totals as they come.
#[derive(Debug)]
pub struct Ledger(pub(super) Subscription);

impl Ledger {
    /// The next totals of some node; `None` when the subscription is over.
    pub async fn next(&mut self) -> Option<LedgerReport> {
        loop {
            if let Item::Ledger(report) = self.0.item().await? {
                return Some(*report);
            }
        }
    }

    /// Why it is over, if it ended by itself.
    pub fn problem(&self) -> Option<&Problem> {
        self.0.problem()
    }
}

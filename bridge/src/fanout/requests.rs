//! Publishes that come by requests instead of sessions: one event or many at once, answered together.

use std::collections::HashMap;
use std::sync::Arc;

use slotmap::SlotMap;
use tidegate_gate::Principal;
use tidegate_log::Appended;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::frame::Failed;
use tidegate_protocol::timestamp::Millis;

use super::publishing::{Accepted, Author, Desk, Offering, Publisher, Receipt};
use super::shard::Shard;
use super::{Effect, Origin, PublishKey, Ticket};

/// Publishers that a shard keeps in mind. Who comes when there are as many has to wait for one to be forgotten.
const MAX_PUBLISHERS: usize = 100_000;

/// How often a shard looks whom it can forget.
const FORGET_EVERY: Millis = 5_000;

/// Events to be published, by somebody who has no session.
#[derive(Debug)]
pub struct Request {
    /// Who it is.
    pub principal: Principal,
    /// The client's own name for itself.
    pub client: Option<Arc<str>>,
    /// The events, or why one could not be read.
    pub items: Vec<Result<Offering, Failed>>,
}

/// What became of each event of a request, in order.
pub type Outcomes = Vec<Outcome>;

/// What became of one event: what its publisher is told, and where it lies; or why it was refused.
type Outcome = Result<(Receipt, Appended), Failed>;

/// The requests that are under way, and those who made any.
#[derive(Debug, Default)]
pub struct Requests {
    open: SlotMap<Ticket, Open>,
    /// What each (tenant, subject) may still publish: one account, however many requests it comes by.
    publishers: HashMap<(Arc<str>, Arc<str>), Publisher>,
    forgotten: Millis,
}

/// A request that is under way.
#[derive(Debug)]
struct Open {
    publisher: (Arc<str>, Arc<str>),
    outcomes: Vec<Option<Outcome>>,
    unanswered: usize,
}

impl Requests {
    /// Forgets whoever could publish no less if it were new.
    pub fn forget(&mut self, now: Millis) {
        if (self.forgotten..self.forgotten + FORGET_EVERY).contains(&now) {
            return;
        }
        self.forgotten = now;
        self.publishers.retain(|_, publisher| !publisher.is_fresh(now));
    }
}

impl Shard {
    /// Takes a request, to be answered by [`Effect::Published`] with the ticket that it is given.
    pub fn request(&mut self, moment: super::Moment, request: Request) -> Ticket {
        self.moment = moment;
        self.changed = true;
        let Request { principal, client, items } = request;
        let of = (Arc::clone(&principal.tenant), Arc::clone(&principal.subject));
        let outcomes = items.iter().map(|_| None).collect();
        let open = Open { publisher: of.clone(), outcomes, unanswered: items.len() };
        let empty = items.is_empty();
        let ticket = self.requests.open.insert(open);
        if empty {
            self.answer(ticket);
        }
        if let Err(error) = self.options.revocations.check(&principal) {
            // Since its token was verified.
            for item in 0..items.len() {
                self.item_done(ticket, item, Err(Failed::new(error.code(), error.public())));
            }
            return ticket;
        }
        let crowded = self.requests.publishers.len() >= MAX_PUBLISHERS;
        if crowded && !self.requests.publishers.contains_key(&of) {
            for item in 0..items.len() {
                let text = "too many publish to this node; try again later";
                self.item_done(ticket, item, Err(Failed::new(ErrorCode::RateLimited, text)));
            }
            return ticket;
        }
        let (options, accounts) = (&self.options, &self.options.accounts);
        let fresh = || Publisher::new(accounts.of(&of.0, moment.now), options, moment.now);
        self.requests.publishers.entry(of.clone()).or_insert_with(fresh);
        let author = Author { principal: &principal, client: client.as_deref() };
        // What was refused for now is to be sent again, and the rest after it: else they would change places.
        let mut refused_for_now: Option<Failed> = None;
        for (item, offering) in items.into_iter().enumerate() {
            let outcome = match (&refused_for_now, offering) {
                (_, Err(failed)) => Err(failed),
                (Some(failed), Ok(_)) => Err(failed.clone()),
                (None, Ok(offering)) => {
                    let desk = Desk {
                        rules: &self.rules,
                        options: &self.options,
                        moment: moment.nth(item),
                        log_available: self.log_available,
                    };
                    let Some(publisher) = self.requests.publishers.get_mut(&of) else { continue };
                    desk.accept(author, publisher, offering)
                }
            };
            match outcome {
                Ok(Accepted { record, receipt, unanswered }) => {
                    let origin = Origin::Request { ticket, item };
                    self.effects.push(Effect::Append(PublishKey { origin, receipt }, record, unanswered));
                }
                Err(failed) => {
                    if failed.retryable {
                        refused_for_now.get_or_insert_with(|| failed.clone());
                    }
                    self.item_done(ticket, item, Err(failed));
                }
            }
        }
        ticket
    }

    /// The log has answered one event of a request.
    pub(super) fn item_appended(
        &mut self,
        ticket: Ticket,
        item: usize,
        receipt: Receipt,
        outcome: Result<Appended, Failed>,
    ) {
        if let Some(open) = self.requests.open.get(ticket)
            && let Some(publisher) = self.requests.publishers.get_mut(&open.publisher)
        {
            publisher.answered();
        }
        self.item_done(ticket, item, outcome.map(|at| (receipt, at)));
    }

    fn item_done(&mut self, ticket: Ticket, item: usize, outcome: Outcome) {
        let Some(open) = self.requests.open.get_mut(ticket) else { return };
        let Some(slot @ None) = open.outcomes.get_mut(item) else { return };
        *slot = Some(outcome);
        open.unanswered -= 1;
        if open.unanswered == 0 {
            self.answer(ticket);
        }
    }

    fn answer(&mut self, ticket: Ticket) {
        if let Some(open) = self.requests.open.remove(ticket) {
            let outcomes = open.outcomes.into_iter().flatten().collect();
            self.effects.push(Effect::Published(ticket, outcomes));
        }
    }
}

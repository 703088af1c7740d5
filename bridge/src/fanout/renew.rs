//! Other grants by a renewed token, or other rules by a reload of the configuration: what sessions lost ends with an
//! error frame, what changed goes on in another view (`moved policy`), and the rest does not notice.
//!
//! New rules come through the feed's own channel, at their place among the rounds: each round is decided about under the
//! rules it was read by.

use std::collections::HashMap;
use std::sync::Arc;

use tidegate_gate::{Access, Denied};
use tidegate_log::TopicKey;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::frame::{Failed, Joined, Moved, MovedReason, ServerFrame};

use super::shard::Shard;
use super::subscribe::Following;
use super::{Applied, Moment, Options, Renewal, Rules, SessionKey};
use crate::session::{Reading, SubscriptionState};

/// Why grants are looked at again.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cause {
    /// The session's token was renewed.
    Token,
    /// The bridge's rules are others.
    Rules,
}

impl Cause {
    fn denial(self) -> Failed {
        let text = match self {
            Self::Token => "the new token does not allow it",
            Self::Rules => "the bridge's grants do not allow it any more",
        };
        Failed::new(ErrorCode::Denied, text)
    }
}

/// Said to whoever reads a topic whose records are read otherwise now.
fn topic_changed() -> Failed {
    Failed::new(ErrorCode::TopicChanged, "the topic is configured otherwise now; subscribe anew")
}

impl Shard {
    /// Applies new rules to all that is open.
    pub fn renew(&mut self, moment: Moment, renewal: &Renewal) -> Applied {
        self.moment = moment;
        self.changed = true;
        self.options.renew(&renewal.options);
        let older = std::mem::replace(&mut self.rules, renewal.rules.clone());
        let mut told: HashMap<SessionKey, Applied> = HashMap::new();
        for topic in self.read_otherwise() {
            self.end_topic(topic, &mut told);
        }
        self.renew_waiting(&older, &mut told);
        let keys: Vec<SessionKey> = self.sessions.keys().collect();
        for key in keys {
            let applied = self.check_grants(key, Cause::Rules);
            if applied != Applied::default() {
                told.entry(key).or_default().add(applied);
            }
        }
        let mut sum = Applied::default();
        for applied in told.values() {
            sum.add(*applied);
        }
        Applied { sessions: told.len(), ..sum }
    }

    /// Takes over how topics are read. What is held of a topic of which other things are to be kept is forgotten, to be
    /// read again from the log. The topics whose records are other events now are given back.
    fn read_otherwise(&mut self) -> Vec<TopicKey> {
        let (mut again, mut changed) = (Vec::new(), Vec::new());
        for (key, topic) in self.topics.iter_mut() {
            match self.rules.topics.spec(&topic.physical) {
                Some(spec) if topic.spec.serves(&spec) => topic.spec = Arc::new(spec),
                Some(spec) if spec.same_events(&topic.spec) => {
                    topic.spec = Arc::new(spec);
                    again.push((key, topic.tail.clone()));
                }
                _ => changed.push(key),
            }
        }
        for (key, tail) in again {
            self.window.close(key);
            self.window.open(key, &tail);
            for (session, state) in &mut self.sessions {
                for subscription in state.subscriptions.iter_mut().filter(|s| s.wants.topic == key) {
                    if let SubscriptionState::Behind(behind) = &mut subscription.state {
                        behind.reading = Reading::Undecided;
                        self.hungry.push(&state.principal.tenant, (session, subscription.id));
                    }
                }
            }
        }
        changed
    }

    /// Ends a topic that the feed, under the new rules, follows no more.
    fn end_topic(&mut self, key: TopicKey, told: &mut HashMap<SessionKey, Applied>) {
        let of = |(session, state): (SessionKey, &crate::session::Session)| {
            let ids = state.subscriptions.iter().filter(|s| s.wants.topic == key).map(move |s| (session, s.id));
            ids.collect::<Vec<_>>()
        };
        let subscriptions: Vec<(SessionKey, u32)> = self.sessions.iter().flat_map(of).collect();
        for (session, id) in subscriptions {
            let Some(state) = self.sessions.get_mut(session) else { continue };
            let Some(at) = state.position_of(id) else { continue };
            let logical = state.subscriptions[at].wants.access.topic();
            // Who would be refused need not be asked to come again.
            let granted = self.rules.policy.subscribe(&state.principal, logical).is_ok();
            let failed = if granted { topic_changed() } else { Cause::Rules.denial() };
            self.end_subscription(session, id, failed);
            told.entry(session).or_default().ended += 1;
        }
        self.topics.remove(key);
        self.window.close(key);
    }

    /// Looks again at the subscriptions that wait for the feed's answer.
    fn renew_waiting(&mut self, older: &Rules, told: &mut HashMap<SessionKey, Applied>) {
        let mut refused = Vec::new();
        let Self { following, rules, sessions, .. } = self;
        following.retain(|physical, Following { waiting, .. }| {
            let (then, now) = (older.topics.spec(physical), rules.topics.spec(physical));
            let still_read = then.zip(now).is_some_and(|(then, now)| now.same_events(&then));
            let checked = waiting.extract_if(.., |waiting| {
                let Some(session) = sessions.get(waiting.session) else { return true };
                let failed = match rules.allowed(&session.principal, waiting.access.topic(), &waiting.from) {
                    Ok(access) if still_read => {
                        waiting.access = access;
                        return false;
                    }
                    Ok(_) => topic_changed(),
                    Err(failed) => failed,
                };
                refused.push((waiting.session, failed.answering(waiting.request)));
                true
            });
            checked.for_each(drop);
            // The feed may have forgotten that it was asked: who comes now asks again.
            still_read
        });
        for (session, failed) in refused {
            self.refuse(session, failed);
            told.entry(session).or_default().ended += 1;
        }
    }

    /// Ends the subscriptions that the session's grants no longer allow, and switches those to which they give other
    /// events.
    pub(super) fn check_grants(&mut self, key: SessionKey, cause: Cause) -> Applied {
        let Some(session) = self.sessions.get_mut(key) else { return Applied::default() };
        let (rules, principal) = (&self.rules, &session.principal);
        let (mut lost, mut changed) = (Vec::new(), Vec::new());
        for subscription in &session.subscriptions {
            let topic = subscription.wants.access.topic();
            let access = match &subscription.state {
                // Where it begins is not decided yet.
                SubscriptionState::Opening(from, _) => rules.allowed(principal, topic, from).map_err(|_| Denied),
                _ => rules.policy.subscribe(principal, topic),
            };
            match access {
                Ok(access) if access == subscription.wants.access => {}
                Ok(access) => changed.push((subscription.id, access)),
                Err(Denied) => lost.push(subscription.id),
            }
        }
        match rules.policy.observe(principal) {
            // Each report stands for itself: the next one has other rows.
            Some(observe) => session.ledgers.iter_mut().for_each(|ledger| ledger.observe = observe.clone()),
            None => lost.extend(session.ledgers.iter().map(|ledger| ledger.id)),
        }
        let applied = Applied { sessions: 0, moved: changed.len(), ended: lost.len() };
        for (id, access) in changed {
            self.switch(key, id, access);
        }
        for id in lost {
            self.end_subscription(key, id, cause.denial());
        }
        applied
    }

    /// Lets a subscription go on from where it stands in a view of what it may see now. What was sent stays sent.
    fn switch(&mut self, key: SessionKey, id: u32, access: Access) {
        let private = self.view_id();
        let Some(subscription) = self.sessions.get_mut(key).and_then(|s| s.subscription(id)) else { return };
        subscription.wants.access = access;
        let at = match &mut subscription.state {
            SubscriptionState::Opening(..) => return,
            SubscriptionState::Behind(behind) => {
                (behind.view, behind.seq, behind.announced) = (private, 0, true);
                Joined { view: private, seq: 0 }
            }
            SubscriptionState::Live(older) => {
                // Between two inputs all members of live views stand at the tail.
                let (older, wants) = (*older, subscription.wants.clone());
                self.leave(older, key, id);
                let (newer, at) = self.join(wants, key, id);
                if let Some(subscription) = self.sessions.get_mut(key).and_then(|s| s.subscription(id)) {
                    subscription.state = SubscriptionState::Live(newer);
                }
                at
            }
        };
        let moved = Moved { subscription: id, at, recovered: true, reason: MovedReason::Policy, gap: None };
        self.say(key, &ServerFrame::Moved(moved));
        // Views number their batches each for itself: who goes to and fro must not gather deltas without end.
        self.tell(key, &[id]);
    }

    /// Ends a subscription with an error frame; one that was not answered yet is answered by it.
    fn end_subscription(&mut self, key: SessionKey, id: u32, failed: Failed) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.ledgers.retain(|ledger| ledger.id != id);
        let opening = session.subscription(id).filter(|s| matches!(s.state, SubscriptionState::Opening(..)));
        let failed = match opening {
            Some(subscription) => failed.answering(subscription.request),
            None => Failed { subscription: Some(id), ..failed },
        };
        self.drop_subscription(key, id);
        self.refuse(key, failed);
    }
}

impl Options {
    /// Takes over what may change while the shard runs. Sessions that are open keep what they were told.
    fn renew(&mut self, newer: &Self) {
        self.limits = newer.limits;
        self.outbox_bytes = newer.outbox_bytes;
        self.skew = newer.skew;
        self.publish_events = newer.publish_events;
        self.publish_bytes = newer.publish_bytes;
    }
}

impl Applied {
    /// Adds what came of it elsewhere.
    pub fn add(&mut self, other: Self) {
        self.sessions += other.sessions;
        self.moved += other.moved;
        self.ended += other.ended;
    }
}

//! Subscribing: from the frame to the first view, and back.

use std::sync::Arc;

use tidegate_gate::{Access, Action, Filter, Place, Principal, TokenError};
use tidegate_log::{LogError, Offsets, TopicId, TopicKey};
use tidegate_protocol::code::{self, ErrorCode};
use tidegate_protocol::frame::{
    Failed, From, Joined, Moved, MovedReason, Refreshed, ServerFrame, Subscribe, Subscribed, Unsubscribe, Unsubscribed,
};
use tidegate_protocol::timestamp::Millis;

use super::index::Topic;
use super::live::tenant_name;
use super::renew::Cause;
use super::shard::Shard;
use super::view::ViewKey;
use super::{Effect, Rules, SessionKey};
use crate::session::{Behind, LedgerSubscription, Reading, Session, Subscription, SubscriptionState};

/// The bus's own topic of totals.
const LEDGER: &str = "$ledger";

/// How long the log may take to say what a topic is.
const PATIENCE: Millis = 10_000;

/// Most cursors that a subscription may begin with: a full one and the deltas since.
const MAX_CURSORS: usize = 129;

/// A topic that the feed was asked to follow and has not answered for. It is asked once, also when everyone has lost
/// patience meanwhile: so its answer is never an older one.
#[derive(Debug, Default)]
pub struct Following {
    pub(super) waiting: Vec<Waiting>,
}

/// A subscription to such a topic.
#[derive(Debug)]
pub struct Waiting {
    pub(super) session: SessionKey,
    pub(super) place: Arc<Place>,
    pub(super) request: u32,
    pub(super) access: Access,
    filter: Filter,
    pub(super) from: From,
    since: Millis,
}

impl Rules {
    /// Leave to subscribe to a topic and to begin there.
    pub(super) fn allowed(&self, principal: &Principal, topic: &str, from: &From) -> Result<Access, Failed> {
        let denied = |error: tidegate_gate::Denied| Failed::new(ErrorCode::Denied, error.to_string());
        let access = self.policy.subscribe(principal, topic).map_err(denied)?;
        let replays = matches!(from, From::Earliest | From::Time(_));
        if replays && !self.policy.may(principal, Action::Replay, topic) {
            return Err(Failed::new(ErrorCode::Denied, "to begin at the earliest or at a time needs the grant replay"));
        }
        Ok(access)
    }
}

impl Shard {
    pub(super) fn subscribe(&mut self, key: SessionKey, subscribe: Subscribe) {
        let request = subscribe.id;
        if let Err(failed) = self.begin_subscription(key, subscribe) {
            self.refuse(key, failed.answering(request));
        }
    }

    fn begin_subscription(&mut self, key: SessionKey, subscribe: Subscribe) -> Result<(), Failed> {
        let Subscribe { id: request, topic, types, keys, consumer, from, group_by } = subscribe;
        let Some(session) = self.sessions.get_mut(key) else { return Ok(()) };
        if consumer.is_some() {
            return Err(Failed::new(ErrorCode::Unsupported, "named consumers are not served by this bridge yet"));
        }
        let waiting = self.following.values().flat_map(|f| &f.waiting).filter(|w| w.session == key).count();
        if (session.subscriptions.len() + session.ledgers.len() + waiting) as u64 >= self.options.limits.subscriptions {
            return Err(Failed::new(ErrorCode::TooManySubscriptions, "unsubscribe from another topic first"));
        }
        // Given back by whatever refuses it below.
        let place = session.seat.account().place(self.moment.now).map(Arc::new).map_err(|full| {
            let text = format!("{full}; unsubscribe elsewhere first (limits.tenant.subscriptions, of this node)");
            Failed::new(ErrorCode::TooManySubscriptions, text)
        })?;
        if topic == LEDGER {
            let observe = self.rules.policy.observe(&session.principal);
            let observe = observe.ok_or_else(|| Failed::new(ErrorCode::Denied, "observing is not allowed"))?;
            let id = session.subscription_id();
            session.ledgers.push(LedgerSubscription { id, place, observe, group_by });
            self.observers.insert(key);
            let at = Joined { view: self.view_id(), seq: 0 };
            let subscribed = Subscribed { id: request, subscription: id, at, cursor: String::new(), recovered: true };
            self.say(key, &ServerFrame::Subscribed(subscribed));
            return Ok(());
        }
        let access = self.rules.allowed(&session.principal, &topic, &from)?;
        let malformed = |pointer: String, what: String| Failed {
            pointer: Some(format!("/subscribe{pointer}")),
            ..Failed::new(ErrorCode::MalformedFrame, format!("/subscribe{pointer}: {what}"))
        };
        let filter = Filter::new(&types, &keys).map_err(|bad| malformed(bad.pointer(), bad.to_string()))?;
        if matches!(&from, From::Cursor(tokens) if tokens.len() > MAX_CURSORS) {
            return Err(malformed("/from/cursor".into(), format!("names more than {MAX_CURSORS} cursors")));
        }
        let physical = Arc::clone(access.physical());
        let known = session.subscriptions.iter().any(|s| s.wants.access == access);
        if known || self.following.get(&physical).is_some_and(|f| f.waiting.iter().any(|w| w.session == key)) {
            return Err(Failed::new(ErrorCode::AlreadySubscribed, "one subscription a topic; let components share it"));
        }
        let since = self.moment.now;
        let waiting = Waiting { session: key, place, request, access, filter, from, since };
        match self.topics.key(&physical) {
            Some(topic) => self.admit(topic, waiting),
            None => {
                let following = self.following.entry(Arc::clone(&physical)).or_insert_with(|| {
                    self.effects.push(Effect::Follow(physical));
                    Following::default()
                });
                following.waiting.push(waiting);
            }
        }
        Ok(())
    }

    /// The feed follows a topic: whoever waited for it can begin.
    pub(super) fn followed(&mut self, physical: &Arc<str>, key: TopicKey, id: Option<TopicId>, offsets: Offsets) {
        let Some(Following { waiting }) = self.following.remove(physical) else {
            if self.topics.get(key).is_none() {
                // It was asked for under older rules, and nobody waits for it any more.
                self.effects.push(Effect::Unfollow(key));
            }
            return;
        };
        if self.topics.get(key).is_none() {
            // The feed answers only for what is configured, and by the rules that hold here too.
            let Some(spec) = self.rules.topics.spec(physical) else { return };
            let mut topic = Topic::new(spec);
            topic.id = id;
            topic.idle_since = Some(self.moment.now);
            self.window.open(key, &offsets);
            topic.tail = offsets;
            self.topics.insert(key, topic);
        }
        for waiting in waiting {
            self.admit(key, waiting);
        }
    }

    /// A subscription to a topic that is known.
    fn admit(&mut self, topic: TopicKey, waiting: Waiting) {
        let Waiting { session: key, place, request, access, filter, from, .. } = waiting;
        let Some(session) = self.sessions.get_mut(key) else { return };
        // The token may have been renewed meanwhile.
        let access = match self.rules.allowed(&session.principal, access.topic(), &from) {
            Ok(access) => access,
            Err(failed) => return self.refuse(key, failed.answering(request)),
        };
        let id = session.subscription_id();
        let wants = ViewKey { topic, access, filter, format: session.format };
        let state = SubscriptionState::Opening(from.clone(), self.moment.now);
        // Most sessions have one.
        session.subscriptions.reserve_exact(1);
        session.subscriptions.push(Subscription { id, request, place, wants, state, told: 0 });
        if let Some(topic) = self.topics.get_mut(topic) {
            topic.subscriptions += 1;
            topic.idle_since = None;
        }
        self.begin(key, id, from);
    }

    /// Finds out where a subscription begins, and begins.
    fn begin(&mut self, key: SessionKey, id: u32, from: From) {
        let Some(subscription) = self.sessions.get_mut(key).and_then(|s| s.subscription(id)) else { return };
        let (request, wants) = (subscription.request, subscription.wants.clone());
        let Some(topic) = self.topics.get(wants.topic) else { return };
        match from {
            // What does not exist yet is read from its beginning, whatever the time.
            From::Time(_) if topic.id.is_none() => self.place(key, id, Offsets::new(), Vec::new(), None),
            From::Latest => {
                let tail = topic.tail.clone();
                self.place(key, id, tail, Vec::new(), None);
            }
            From::Earliest => {
                let unread: Vec<i32> = topic.tail.keys().copied().collect();
                let position = unread.iter().map(|&partition| (partition, 0)).collect();
                self.place(key, id, position, unread, None);
            }
            From::Time(at) => {
                let physical = Arc::clone(&topic.physical);
                self.effects.push(Effect::FindTime(key, id, physical, at));
            }
            From::Cursor(tokens) => {
                let whose = tenant_name(wants.access.scope());
                let cursor = self.sealer.open_all(&tokens).ok();
                let cursor = cursor.filter(|c| c.full && c.tenant == *whose && c.topic == *topic.physical);
                let Some(cursor) = cursor else {
                    self.drop_subscription(key, id);
                    let failed =
                        Failed::new(ErrorCode::InvalidCursor, "the cursor is not one of this topic and tenant");
                    return self.refuse(key, failed.answering(request));
                };
                if cursor.topic_id == TopicId::default() {
                    // Sealed before there was such a topic: nothing of it was missed.
                    let unread: Vec<i32> = topic.tail.keys().copied().collect();
                    let position = unread.iter().map(|&partition| (partition, 0)).collect();
                    return self.place(key, id, position, unread, Some(true));
                }
                if topic.id != Some(cursor.topic_id) {
                    // Another topic under the same name: all of it is new.
                    let unread: Vec<i32> = topic.tail.keys().copied().collect();
                    let position = unread.iter().map(|&partition| (partition, 0)).collect();
                    return self.place(key, id, position, unread, Some(false));
                }
                let position: Offsets = cursor.offsets;
                self.place(key, id, position, Vec::new(), Some(true));
            }
        }
    }

    pub(super) fn time_found(&mut self, key: SessionKey, id: u32, outcome: Result<Offsets, LogError>) {
        let Some(subscription) = self.sessions.get_mut(key).and_then(|s| s.subscription(id)) else { return };
        let request = subscription.request;
        if !matches!(subscription.state, SubscriptionState::Opening(..)) {
            return;
        }
        // Of a topic that was deleted meanwhile the answer says nothing.
        let exists = self.topics.get(subscription.wants.topic).is_some_and(|topic| topic.id.is_some());
        if !exists {
            return self.place(key, id, Offsets::new(), Vec::new(), None);
        }
        match outcome {
            Ok(position) => self.place(key, id, position, Vec::new(), None),
            Err(error) => {
                self.drop_subscription(key, id);
                self.refuse(key, Failed::new(ErrorCode::LogUnavailable, error.to_string()).answering(request));
            }
        }
    }

    /// Begins at a position: live if it is the tail, else behind. `recovered` is `None` where there was no cursor.
    fn place(&mut self, key: SessionKey, id: u32, position: Offsets, unread: Vec<i32>, recovered: Option<bool>) {
        let private = self.view_id();
        let Some(session) = self.sessions.get_mut(key) else { return };
        let live = session.may_receive();
        let Some(subscription) = session.subscription(id) else { return };
        let (request, wants) = (subscription.request, subscription.wants.clone());
        let Some(topic) = self.topics.get(wants.topic) else { return };
        let (at_tail, version) = (topic.tail == position, topic.version);
        let cursor = self.seal(wants.topic, wants.access.scope(), &position);
        let (state, at) = if at_tail && live {
            let (view, at) = self.join(wants, key, id);
            (SubscriptionState::Live(view), at)
        } else {
            let reading = Reading::Undecided;
            let checked = Vec::new();
            let behind = Behind { view: private, seq: 0, announced: true, position, unread, checked, reading };
            self.hunger(key, id);
            (SubscriptionState::Behind(Box::new(behind)), Joined { view: private, seq: 0 })
        };
        if let Some(subscription) = self.sessions.get_mut(key).and_then(|s| s.subscription(id)) {
            subscription.state = state;
            subscription.told = version;
        }
        let subscribed = Subscribed { id: request, subscription: id, at, cursor, recovered: recovered.unwrap_or(true) };
        self.accept(key);
        self.say(key, &ServerFrame::Subscribed(subscribed));
        if recovered == Some(false) {
            let reason = MovedReason::LogChanged;
            self.say(key, &ServerFrame::Moved(Moved { subscription: id, at, recovered: false, reason, gap: None }));
        }
    }

    pub(super) fn unsubscribe(&mut self, key: SessionKey, unsubscribe: &Unsubscribe) {
        let &Unsubscribe { id: request, subscription } = unsubscribe;
        let Some(session) = self.sessions.get_mut(key) else { return };
        let ledgers = session.ledgers.len();
        session.ledgers.retain(|ledger| ledger.id != subscription);
        let was_ledger = session.ledgers.len() < ledgers;
        if was_ledger || self.drop_subscription(key, subscription) {
            self.say(key, &ServerFrame::Unsubscribed(Unsubscribed { id: request, subscription }));
        } else {
            let failed = Failed::new(ErrorCode::UnknownSubscription, "this session has no such subscription");
            self.refuse(key, failed.answering(request));
        }
    }

    /// Ends a subscription. What it was sent stays reportable. Says whether there was one.
    pub(super) fn drop_subscription(&mut self, key: SessionKey, id: u32) -> bool {
        let Some(session) = self.sessions.get_mut(key) else { return false };
        let Some(at) = session.position_of(id) else { return false };
        let subscription = session.subscriptions.remove(at);
        self.release(key, &subscription);
        true
    }

    /// Takes a subscription that has left its session out of its view and topic.
    pub(super) fn release(&mut self, key: SessionKey, subscription: &Subscription) {
        if let SubscriptionState::Live(view) = subscription.state {
            self.leave(view, key, subscription.id);
        }
        if let Some(topic) = self.topics.get_mut(subscription.wants.topic) {
            topic.subscriptions -= 1;
            if topic.subscriptions == 0 {
                topic.idle_since = Some(self.moment.now);
            }
        }
    }

    /// Refuses whoever waited too long for the log.
    pub(super) fn lose_patience(&mut self) {
        let now = self.moment.now;
        let mut refused = Vec::new();
        for following in self.following.values_mut() {
            let lost = following.waiting.extract_if(.., |w| now - w.since > PATIENCE);
            refused.extend(lost.map(|w| (w.session, w.request)));
        }
        for (key, request) in refused {
            let failed = Failed::new(ErrorCode::LogUnavailable, "the log did not answer in time; try again");
            self.refuse(key, failed.answering(request));
        }
    }

    /// A token that was to be renewed in place was verified.
    pub(super) fn verified(&mut self, key: SessionKey, request: u32, outcome: Result<Principal, TokenError>) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let principal = match outcome {
            Ok(principal) => principal,
            Err(error) => {
                let failed = Failed::new(error.code(), error.public()).answering(request);
                if matches!(error, TokenError::Revoked(_)) {
                    return self.cut(key, failed, code::REVOKED);
                }
                return self.refuse(key, failed);
            }
        };
        if (&principal.tenant, &principal.subject) != (&session.principal.tenant, &session.principal.subject) {
            let failed =
                Failed::new(ErrorCode::InvalidToken, "a session is renewed for its own tenant and subject only");
            self.refuse(key, failed.answering(request));
            return self.end(key, code::INVALID_TOKEN);
        }
        let expires = principal.expires;
        let now = self.moment.now;
        self.reschedule(key, |session| {
            session.ends = Session::end_of(&principal, now);
            session.principal = principal;
        });
        self.check_revoked(key);
        self.say(key, &ServerFrame::Refreshed(Refreshed { id: request, expires: Some(expires) }));
        self.check_grants(key, Cause::Token);
    }
}

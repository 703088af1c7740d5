//! What happens by the clock: heartbeats with full cursors, expiry, topics that nobody wants any more, drain.

use tidegate_log::{Offsets, TopicKey};
use tidegate_protocol::code;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::frame::{Failed, Ping, Reconnect, ServerFrame};
use tidegate_protocol::timestamp::Millis;

use super::shard::Shard;
use super::{Effect, Moment, Options, SessionKey};
use crate::session::{Format, Session, SubscriptionState};

/// How long a topic is still read after its last subscription ended, so that a reload finds its window.
const LINGER: Millis = 60_000;

impl Shard {
    /// Does what is due. To be called about once a second.
    pub fn tick(&mut self, moment: Moment) {
        self.moment = moment;
        while let Some(&(at, key)) = self.deadlines.first() {
            if at > moment.now {
                break;
            }
            self.deadlines.pop_first();
            self.due(key);
        }
        self.lose_patience();
        self.requests.forget(moment.now);
        for (key, id) in std::mem::take(&mut self.retry) {
            self.hunger(key, id);
        }
        self.window.stretches.forget_unused();
        let idle = |(key, topic): (TopicKey, &mut super::index::Topic)| {
            let over = topic.subscriptions == 0 && topic.idle_since.is_some_and(|since| moment.now - since > LINGER);
            over.then_some(key)
        };
        let idle: Vec<TopicKey> = self.topics.iter_mut().filter_map(idle).collect();
        for topic in idle {
            self.topics.remove(topic);
            self.window.close(topic);
            self.effects.push(Effect::Unfollow(topic));
        }
    }

    fn due(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let now = self.moment.now;
        if session.ends <= now {
            let failed = Failed::new(ErrorCode::TokenExpired, "the token has expired; come back with a new one");
            return self.cut(key, failed, code::TOKEN_EXPIRED);
        }
        if session.pinged.is_some_and(|at| now - at >= self.options.heartbeat_timeout) {
            return self.end(key, code::HEARTBEAT_MISSED);
        }
        if session.leaves.is_some_and(|at| at <= now) {
            return self.end(key, code::GOING_AWAY);
        }
        if session.pinged.is_none() && session.next_ping <= now {
            if session.format.reports() {
                session.pinged = Some(now);
            } else if session.is_stalled() {
                return self.end(key, code::SLOW_CONSUMER);
            }
            session.next_ping = now + self.options.heartbeat_interval;
            let moved: Vec<u32> = session.subscriptions.iter().map(|s| s.id).collect();
            let cursors = self.cursors(key, &moved, false);
            self.say(key, &ServerFrame::Ping(Ping { cursors }));
        }
        self.schedule(key);
    }

    pub(super) fn pong(&mut self, key: SessionKey) {
        self.reschedule(key, |session| session.pinged = None);
    }

    /// When something is due for a session.
    pub(super) fn deadline(options: &Options, session: &Session) -> Millis {
        let heartbeat = session.pinged.map_or(session.next_ping, |at| at + options.heartbeat_timeout);
        heartbeat.min(session.ends).min(session.leaves.unwrap_or(Millis::MAX))
    }

    pub(super) fn schedule(&mut self, key: SessionKey) {
        if let Some(session) = self.sessions.get(key) {
            self.deadlines.insert((Self::deadline(&self.options, session), key));
        }
    }

    /// Changes what a session's deadline depends on.
    pub(super) fn reschedule(&mut self, key: SessionKey, change: impl FnOnce(&mut Session)) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        self.deadlines.remove(&(Self::deadline(&self.options, session), key));
        change(session);
        self.schedule(key);
    }

    /// Tells the client full cursors of some of its subscriptions, in a `ping` of their own.
    pub(super) fn tell(&mut self, key: SessionKey, subscriptions: &[u32]) {
        let cursors = self.cursors(key, subscriptions, true);
        if !cursors.is_empty() {
            self.say(key, &ServerFrame::Ping(Ping { cursors }));
        }
    }

    /// Full cursors of those subscriptions whose position moved since the client was last told, or of all.
    fn cursors(&mut self, key: SessionKey, subscriptions: &[u32], all: bool) -> Vec<(u32, String)> {
        let mut positions: Vec<(u32, Offsets)> = Vec::new();
        let Some(session) = self.sessions.get_mut(key) else { return Vec::new() };
        for subscription in session.subscriptions.iter_mut().filter(|s| subscriptions.contains(&s.id)) {
            let version = self.topics.get(subscription.wants.topic).map_or(0, |topic| topic.version);
            match &subscription.state {
                SubscriptionState::Live(view) if all || subscription.told != version => {
                    positions.push((subscription.id, Self::live_position(&self.views, &self.topics, *view)));
                    subscription.told = version;
                }
                SubscriptionState::Behind(behind) => positions.push((subscription.id, behind.position.clone())),
                _ => {}
            }
        }
        let Some(session) = self.sessions.get(key) else { return Vec::new() };
        let sealed = |(id, position): (u32, Offsets)| {
            let wants = &session.subscriptions.iter().find(|s| s.id == id)?.wants;
            Some((id, self.seal(wants.topic, wants.access.scope(), &position)))
        };
        positions.into_iter().filter_map(sealed).collect()
    }

    /// Tells everyone to come back, spread over `spread` milliseconds.
    pub(super) fn drain(&mut self, spread: u64) {
        let keys: Vec<SessionKey> = self.sessions.keys().collect();
        let count = keys.len().max(1) as u64;
        for (index, key) in keys.into_iter().enumerate() {
            let delay_ms = spread * index as u64 / count;
            self.say(key, &ServerFrame::Reconnect(Reconnect { delay_ms }));
            // Readers of events know nothing of frames: they are ended when it is their turn.
            if self.sessions.get(key).is_some_and(|session| session.format == Format::Events) {
                let at = self.moment.now + delay_ms.cast_signed();
                self.reschedule(key, |session| session.leaves = Some(at));
            }
        }
    }
}

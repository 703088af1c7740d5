//! Behind: a subscription that is fed alone, from the window or the log, until it joins its live view.

use std::cell::RefMut;
use std::rc::Rc;
use std::sync::Arc;

use tidegate_gate::{Decided, Withheld};
use tidegate_log::{Offsets, ReadError};
use tidegate_protocol::frame::{Joined, Moved, MovedReason, ServerFrame};

use super::batch::{Body, Pending};
use super::live::tenant_name;
use super::shard::Shard;
use super::stretch::{Place, Stretch};
use super::view::{Event, ViewKey};
use super::window::Kept;
use super::{Effect, HistoryKey, SessionKey};
use crate::feed::catch_up::{History, Part};
use crate::session::{Behind, Reading, SubscriptionState};

/// Entries of the window that one step looks at, so that live rounds need not wait for a long one.
const SCANNED: u64 = 4_096;

/// What a step of feeding came to.
enum Step {
    /// There may be more to do at once.
    More,
    /// Nothing until something happens.
    Wait,
    /// Nothing until the clock ticks.
    Later,
}

impl Shard {
    /// Feeds subscriptions that are behind, at most `turns` batches: in turn by tenant, so that one with very many has
    /// no more turns than another. Says whether there is more to do.
    pub fn feed(&mut self, turns: usize) -> bool {
        self.changed = true;
        for _ in 0..turns {
            let Some((key, id)) = self.hungry.pop() else { return false };
            match self.step(key, id) {
                Step::More => self.hunger(key, id),
                Step::Later => self.retry.push((key, id)),
                Step::Wait => {}
            }
        }
        !self.hungry.is_empty()
    }

    /// A subscription that is behind waits to be fed.
    pub(super) fn hunger(&mut self, key: SessionKey, id: u32) {
        if let Some(session) = self.sessions.get(key) {
            self.hungry.push(&session.principal.tenant, (key, id));
        }
    }

    fn step(&mut self, key: SessionKey, id: u32) -> Step {
        let Some(session) = self.sessions.get_mut(key).filter(|session| session.may_receive()) else {
            return Step::Wait;
        };
        let Some(subscription) = session.subscription(id) else { return Step::Wait };
        let SubscriptionState::Behind(behind) = &subscription.state else { return Step::Wait };
        match behind.reading {
            Reading::Undecided => self.decide(key, id),
            Reading::Window(_) => self.feed_from_window(key, id),
            Reading::Chunk { .. } => self.feed_from_chunk(key, id),
            Reading::Awaiting => Step::Wait,
        }
    }

    /// Where the next events come from: the live view, the window, or the log.
    fn decide(&mut self, key: SessionKey, id: u32) -> Step {
        let Some((wants, _)) = self.behind(key, id) else { return Step::Wait };
        let topic_key = wants.topic;
        let Some(topic) = self.topics.get(topic_key) else { return Step::Wait };
        let (spec, topic_id, tail) = (Arc::clone(&topic.spec), topic.id, topic.tail.clone());
        let Some((_, behind)) = self.behind(key, id) else { return Step::Wait };
        for &partition in tail.keys() {
            // A partition that the reader does not know begins at its earliest.
            if let std::collections::btree_map::Entry::Vacant(slot) = behind.position.entry(partition) {
                slot.insert(0);
                behind.unread.push(partition);
            }
        }
        let position = behind.position.clone();
        let ahead = |(p, at): &(&i32, &i64)| tail.get(p).is_none_or(|end| *at > end) && !behind.checked.contains(p);
        let unchecked = position.iter().find(ahead).map(|(&p, &at)| (p, at));
        if position == tail {
            return self.go_live(key, id);
        }
        let wanted = match (unchecked, self.window.gap(topic_key, &position)) {
            (Some((partition, at)), _) => Some((partition, at, at)),
            (None, Some((partition, start))) => Some((partition, position[&partition], start)),
            (None, None) => None,
        };
        let start = self.window.seek(topic_key, &position);
        let Some((_, behind)) = self.behind(key, id) else { return Step::Wait };
        let Some((partition, from, until)) = wanted else {
            behind.reading = Reading::Window(start);
            return Step::More;
        };
        behind.reading = Reading::Awaiting;
        let part = Part { spec, topic: topic_key, partition, from, until };
        self.effects.push(Effect::Read(HistoryKey { session: key, subscription: id, topic: topic_id, part }));
        Step::Wait
    }

    fn feed_from_window(&mut self, key: SessionKey, id: u32) -> Step {
        let Some(view) = self.behind(key, id).map(|(wants, _)| wants.clone()) else { return Step::Wait };
        let range = self.window.range(view.topic);
        let Some(physical) = self.topics.get(view.topic).map(|topic| Arc::clone(&topic.physical)) else {
            return Step::Wait;
        };
        let Some((_, behind)) = self.behind(key, id) else { return Step::Wait };
        let Reading::Window(number) = behind.reading else { return Step::Wait };
        if number < range.start {
            // Overtaken: what is missing is on the log.
            behind.reading = Reading::Undecided;
            return Step::More;
        }
        let position = std::mem::take(&mut behind.position);
        let topic_key = view.topic;
        let stretch = self.stretch(view, &physical, (number, position));
        let (number, position) = stretch.to.clone();
        let done = number >= range.end;
        let tail = self.topics.get(topic_key).map(|topic| topic.tail.clone()).unwrap_or_default();
        let ahead = position.iter().any(|(p, at)| tail.get(p).is_none_or(|end| at > end));
        if let Some((_, behind)) = self.behind(key, id) {
            behind.reading = Reading::Window(number);
            behind.position = if done && !ahead { tail } else { position };
        }
        let sent = self.send_private(key, id, stretch.body.as_ref());
        match (done, ahead) {
            (false, _) => Step::More,
            (true, true) => Step::Later,
            // A batch that used up the credit leaves it behind, at the end, until there is credit again.
            (true, false) if sent && !self.sessions.get(key).is_some_and(crate::session::Session::may_receive) => {
                Step::Wait
            }
            (true, false) => self.go_live(key, id),
        }
    }

    /// What a reader who wants this gets of the window from there: what others got who stood there, else what is read now.
    fn stretch(&mut self, wants: ViewKey, physical: &str, from: Place) -> Rc<Stretch> {
        if let Some(known) = self.window.stretches.find(&wants, &from) {
            return known;
        }
        let mut pending = Pending::new(wants.format);
        let mut to = from.clone();
        let mut window = std::mem::replace(&mut self.window, super::window::Window::new(0));
        let until = window.range(wants.topic).end.min(from.0 + SCANNED);
        let mut at_hand: Option<(&Kept, Option<RefMut<'_, Decided>>)> = None;
        while to.0 < until
            && let Some((kept, at)) = window.entry(wants.topic, to.0)
            && let Some(entry) = kept.round.entries.get(at)
        {
            if at_hand.as_ref().is_none_or(|(of, _)| !std::ptr::eq(*of, kept)) {
                at_hand = Some((kept, kept.decided_under(&wants.access)));
            }
            let decided = at_hand.as_mut().and_then(|(_, decided)| decided.as_deref_mut());
            let event = Event::new(physical, &kept.round, entry, self.moment.now);
            if !self.take(&wants, &event, decided.map(|decided| (decided, at)), &mut to.1, &mut pending) {
                break;
            }
            to.0 += 1;
        }
        drop(at_hand);
        let body = pending.into_body();
        let stretch = Rc::new(Stretch { wants, from, to, body });
        // At the end of the window there is nothing yet: who waits there must find what comes.
        let leads_on = stretch.to.0 > stretch.from.0;
        if leads_on && !stretch.wants.access.reads_now() {
            window.stretches.keep(&stretch);
        }
        self.window = window;
        stretch
    }

    fn feed_from_chunk(&mut self, key: SessionKey, id: u32) -> Step {
        let Some(view) = self.behind(key, id).map(|(wants, _)| wants.clone()) else { return Step::Wait };
        let Some(physical) = self.topics.get(view.topic).map(|topic| Arc::clone(&topic.physical)) else {
            return Step::Wait;
        };
        let Some((_, behind)) = self.behind(key, id) else { return Step::Wait };
        let reading = std::mem::replace(&mut behind.reading, Reading::Undecided);
        let Reading::Chunk { round, mut at, partition, next } = reading else { return Step::Wait };
        let mut position = std::mem::take(&mut behind.position);
        let events = Arc::clone(&round);
        let mut pending = Pending::new(view.format);
        while let Some(entry) = events.entries.get(at) {
            let event = Event::new(&physical, &events, entry, self.moment.now);
            if !self.take(&view, &event, None, &mut position, &mut pending) {
                break;
            }
            at += 1;
        }
        let Some((_, behind)) = self.behind(key, id) else { return Step::Wait };
        if at < round.entries.len() {
            behind.reading = Reading::Chunk { round, at, partition, next };
        } else {
            let at = position.entry(partition).or_insert(next);
            *at = (*at).max(next);
        }
        behind.position = position;
        self.send_private(key, id, pending.into_body().as_ref());
        Step::More
    }

    /// Takes one event into a private batch if the reader may and wants to see it, and moves on. What was `decided` before
    /// about the event at its place is not decided again. `false`: the batch is full.
    fn take<'r>(
        &mut self,
        view: &ViewKey,
        event: &Event<'r>,
        decided: Option<(&mut Decided, usize)>,
        position: &mut Offsets,
        pending: &mut Pending<'r>,
    ) -> bool {
        let (round, entry) = (event.round, event.entry);
        if position.get(&entry.partition).is_some_and(|at| entry.offset < *at) {
            return true;
        }
        let Some(topic) = self.topics.get_mut(view.topic) else { return true };
        if event.is_wanted_by(&view.filter) {
            let verdict = match decided {
                Some((decided, at)) => decided.admit(at, event),
                None => view.access.admit(event),
            };
            match verdict {
                Ok(_) if pending.is_full_for(event) => return false,
                Ok(permitted) => {
                    let tenant = topic.tenant(&tenant_name(view.access.scope()));
                    let (event_type, _) = tenant.event_type(entry.type_hash, round.event_type(entry), &mut self.counts);
                    pending.push(permitted, event_type.row);
                }
                Err(Withheld::Failed) => self.undecided.note(&view.access, event),
                Err(_) => {}
            }
        }
        position.insert(entry.partition, entry.offset + 1);
        true
    }

    /// Puts a private batch into the session's outbox, if there is anything in it. Says whether there was.
    fn send_private(&mut self, key: SessionKey, id: u32, body: Option<&Body>) -> bool {
        let Some((body, (wants, behind))) = body.zip(self.behind(key, id)) else { return false };
        let (wants, position, view, seq) = (wants.clone(), behind.position.clone(), behind.view, behind.seq);
        self.announce(key, id);
        let cursor = self.batch_cursor(&wants, seq, &body.reached, || position, None);
        let framed = body.frame(view, seq, &cursor);
        let Some((_, behind)) = self.behind(key, id) else { return false };
        behind.seq += 1;
        for &(row, count) in &framed.rows.totals {
            self.counts.of(row).sent += u64::from(count);
        }
        let Some(session) = self.sessions.get_mut(key) else { return false };
        if session.send(view, seq, &framed.parts, &framed.rows) {
            self.effects.push(Effect::Flush(key));
        }
        if session.is_exhausted() {
            self.pause(key);
        }
        true
    }

    /// Tells the client of the private view, once.
    fn announce(&mut self, key: SessionKey, id: u32) {
        let Some((_, behind)) = self.behind(key, id) else { return };
        if !std::mem::replace(&mut behind.announced, true) {
            let at = Joined { view: behind.view, seq: behind.seq };
            let moved = Moved { subscription: id, at, recovered: true, reason: MovedReason::Behind, gap: None };
            self.say(key, &ServerFrame::Moved(moved));
        }
    }

    /// Everything up to the tail was sent: join the others.
    fn go_live(&mut self, key: SessionKey, id: u32) -> Step {
        let Some(wants) = self.behind(key, id).map(|(wants, _)| wants.clone()) else { return Step::Wait };
        let (view, at) = self.join(wants, key, id);
        if let Some(subscription) = self.sessions.get_mut(key).and_then(|s| s.subscription(id)) {
            subscription.state = SubscriptionState::Live(view);
        }
        let moved = Moved { subscription: id, at, recovered: true, reason: MovedReason::Live, gap: None };
        self.say(key, &ServerFrame::Moved(moved));
        // Views number their batches each for itself: who goes to and fro must not gather deltas without end.
        self.tell(key, &[id]);
        Step::Wait
    }

    /// A part of history has come, or can not be had.
    pub(super) fn history(&mut self, asked: &HistoryKey, outcome: Result<History, ReadError>) {
        let (key, id) = (asked.session, asked.subscription);
        let (asked_of, asked) = (asked.topic, &asked.part);
        if self.topics.get(asked.topic).is_none_or(|topic| topic.id != asked_of || !asked.spec.serves(&topic.spec)) {
            // Of the topic that had this name before, or without what conditions read now: it was asked for anew.
            return;
        }
        let Some((wants, behind)) = self.behind(key, id) else { return };
        let expected = behind.position.get(&asked.partition) == Some(&asked.from);
        if !matches!(behind.reading, Reading::Awaiting) || wants.topic != asked.topic || !expected {
            return;
        }
        behind.reading = Reading::Undecided;
        match outcome {
            Ok(History { round, next, .. }) => {
                behind.unread.retain(|p| *p != asked.partition);
                if asked.until <= asked.from {
                    behind.checked.push(asked.partition);
                } else {
                    behind.reading = Reading::Chunk { round, at: 0, partition: asked.partition, next };
                }
                self.hunger(key, id);
            }
            Err(ReadError::OutOfRange(bounds)) => {
                // Events of the window may have moved it on since it was said to begin at 0.
                let never_stood_there = asked.from == 0 && behind.unread.contains(&asked.partition);
                behind.unread.retain(|p| *p != asked.partition);
                let before = behind.position.clone();
                behind.position.insert(asked.partition, bounds.earliest);
                let after = behind.position.clone();
                if !never_stood_there {
                    let reason = if asked.from > bounds.end { MovedReason::LogChanged } else { MovedReason::Expired };
                    self.gap(key, id, reason, &before, &after);
                }
                self.hunger(key, id);
            }
            Err(ReadError::Unknown | ReadError::Log(_)) => self.retry.push((key, id)),
        }
    }

    /// Tells the client that something was missed, and between which positions.
    fn gap(&mut self, key: SessionKey, id: u32, reason: MovedReason, before: &Offsets, after: &Offsets) {
        let Some((wants, behind)) = self.behind(key, id) else { return };
        let (topic, access) = (wants.topic, wants.access.clone());
        behind.announced = true;
        let at = Joined { view: behind.view, seq: behind.seq };
        let sealed = |offsets: &Offsets| self.seal(topic, access.scope(), offsets);
        let gap = (reason == MovedReason::Expired).then(|| (sealed(before), sealed(after)));
        self.say(key, &ServerFrame::Moved(Moved { subscription: id, at, recovered: false, reason, gap }));
    }

    /// A subscription that is behind.
    pub(super) fn behind(&mut self, key: SessionKey, id: u32) -> Option<(&ViewKey, &mut Behind)> {
        let subscription = self.sessions.get_mut(key)?.subscription(id)?;
        match &mut subscription.state {
            SubscriptionState::Behind(behind) => Some((&subscription.wants, behind)),
            _ => None,
        }
    }
}

//! Live: a round of events goes to the views that want it, and each view's batches to its members.

use std::sync::Arc;

use slotmap::SlotMap;
use tidegate_gate::{Scope, Withheld};
use tidegate_log::{Offsets, TopicId, TopicKey};
use tidegate_protocol::frame::{Joined, Moved, MovedReason, ServerFrame};

use super::batch::Pending;
use super::by_tenant::ByTenant;
use super::keyed::Met;
use super::position::Ends;
use super::shard::Shard;
use super::undecided::UndecidedList;
use super::view::{Event, View, ViewKey, ViewRef};
use super::{Effect, SessionKey};
use crate::feed::Round;
use crate::ledger::RowId;
use crate::session::{Behind, Format, Reading, SubscriptionState};

/// Events of a line that are fetched from memory together: they lie all over their rounds, and to wait for one after the
/// other would take longer than all else that is done for them.
const TOGETHER: usize = 16;

impl Shard {
    /// Rounds that have come, in their order: what a view gets of all of them goes out together.
    pub(super) fn rounds(&mut self, rounds: Vec<Arc<Round>>) {
        let mut ends = Ends::of(&rounds);
        let mut touched: Vec<ViewRef> = Vec::new();
        let by_tenant = ByTenant::of(&rounds, &self.topics);
        let mut filling = Filling::default();
        for (physical, events) in by_tenant.lines() {
            for some in events.chunks(TOGETHER) {
                for (round, entry) in some {
                    round.touch(entry);
                }
                for (round, entry) in some {
                    self.offer(&Event::new(physical, round, entry, self.moment.now), &mut filling);
                }
            }
            for at in 0..filling.views.len() {
                self.close_batch(&mut filling, at, Some(&mut ends));
            }
            touched.append(&mut filling.views);
        }
        for (key, partition, next) in ends.iter() {
            if let Some(topic) = self.topics.get_mut(key) {
                let at = topic.tail.entry(partition).or_insert(next);
                *at = (*at).max(next);
                topic.version += 1;
            }
        }
        for view in touched {
            if let Some(view) = self.views.get_mut(view) {
                view.reached.clear();
            }
        }
        for round in rounds {
            self.window.keep(round);
        }
    }

    /// Offers an event to the views that want it.
    fn offer<'r>(&mut self, event: &Event<'r>, filling: &mut Filling<'r>) {
        let (round, entry) = (event.round, event.entry);
        let Some(topic) = self.topics.get_mut(entry.topic) else { return };
        let Some(tenant) = topic.find_tenant(entry.tenant_hash, round.tenant(entry)) else { return };
        let (event_type, keyed) = tenant.event_type(entry.type_hash, round.event_type(entry), &mut self.counts);
        if event_type.views.is_empty() && keyed.is_empty() {
            return;
        }
        self.offered += 1;
        let (row, number) = (event_type.row, self.offered);
        let mut offer = Offer { views: &mut self.views, undecided: &mut self.undecided, filling, event, row };
        event_type.views.iter().for_each(|&view| offer.to(view));
        keyed.meet(round, entry, |met| match met {
            Met::Views(views) => views.iter().for_each(|&view| offer.by_key(view, number)),
            Met::Undecidable(access) => offer.undecided.note(access, event),
        });
        for (view, at) in std::mem::take(&mut filling.full) {
            self.close_batch(filling, at, None);
            Offer { views: &mut self.views, undecided: &mut self.undecided, filling, event, row }.to(view);
        }
    }

    /// Closes the batch at this place and puts it into the outbox of every member of its view. `ends` is there when all of
    /// the rounds was offered to it: then it reached the end of each partition that it touched.
    fn close_batch(&mut self, filling: &mut Filling<'_>, at: usize, ends: Option<&mut Ends>) {
        let (view_ref, batch) = (filling.views[at], &mut filling.batches[at]);
        let Some(view) = self.views.get_mut(view_ref).filter(|_| !batch.is_empty()) else { return batch.clear() };
        let (id, seq) = (view.id, view.seq);
        view.seq += 1;
        if let Some(ends) = &ends {
            ends.complete(view.key.topic, batch.reached());
        }
        batch.reached().iter().for_each(|(partition, next)| view.reached.insert(partition, next));
        let members = std::mem::take(&mut view.members);
        let position = || Self::live_position(&self.views, &self.topics, view_ref);
        let cursor = self.batch_cursor(&self.views[view_ref].key, seq, batch.reached(), position, ends);
        let framed = batch.frame(id, seq, &cursor);
        for &(row, count) in &framed.rows.totals {
            self.counts.of(row).sent += u64::from(count) * members.len() as u64;
        }
        let tenant = tenant_of(self.views[view_ref].key.access.scope());
        let mut exhausted: Vec<SessionKey> = Vec::new();
        for &(key, _) in &members {
            let Some(session) = self.sessions.get_mut(key) else { continue };
            if session.send(id, seq, &framed.parts, &framed.rows) {
                deliver(&mut self.effects, tenant.as_ref().unwrap_or(&session.principal.tenant), key);
            }
            if session.is_exhausted() {
                exhausted.push(key);
            }
        }
        if let Some(view) = self.views.get_mut(view_ref) {
            view.members = members;
        }
        for key in exhausted {
            self.pause(key);
        }
    }

    /// A session is out of credit or room: its live subscriptions fall behind, where they stand.
    pub(super) fn pause(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.paused = true;
        let live = session.subscriptions.iter().filter(|s| matches!(s.state, SubscriptionState::Live(_)));
        let live: Vec<u32> = live.map(|s| s.id).collect();
        for subscription in live {
            self.fall_behind(key, subscription);
        }
    }

    /// A live subscription leaves its view, at the position it reached.
    pub(super) fn fall_behind(&mut self, key: SessionKey, id: u32) {
        let private = self.view_id();
        let Some(subscription) = self.sessions.get_mut(key).and_then(|s| s.subscription(id)) else { return };
        let SubscriptionState::Live(view) = subscription.state else { return };
        let position = Self::live_position(&self.views, &self.topics, view);
        let behind = Behind {
            view: private,
            seq: 0,
            announced: false,
            position,
            unread: Vec::new(),
            checked: Vec::new(),
            // All that the window holds now was for its live view.
            reading: Reading::Window(self.window.range(subscription.wants.topic).end),
        };
        subscription.state = SubscriptionState::Behind(Box::new(behind));
        self.leave(view, key, id);
    }

    /// The view of that key, made when new.
    pub(super) fn join(&mut self, key: ViewKey, session: SessionKey, subscription: u32) -> (ViewRef, Joined) {
        let view_ref = match self.view_of.get(&key) {
            Some(&view) => view,
            None => {
                let id = self.view_id();
                let view = self.views.insert(View::new(id, key.clone()));
                if let Some(topic) = self.topics.get_mut(key.topic) {
                    topic.tenant(&tenant_name(key.access.scope())).add(view, &key);
                }
                self.view_of.insert(key, view);
                view
            }
        };
        let view = &mut self.views[view_ref];
        view.members.push((session, subscription));
        (view_ref, Joined { view: view.id, seq: view.seq })
    }

    /// A member leaves; a view without members ends.
    pub(super) fn leave(&mut self, view_ref: ViewRef, session: SessionKey, subscription: u32) {
        let Some(view) = self.views.get_mut(view_ref) else { return };
        if let Some(at) = view.members.iter().position(|member| *member == (session, subscription)) {
            view.members.swap_remove(at);
        }
        if view.members.is_empty() {
            let Some(view) = self.views.remove(view_ref) else { return };
            if let Some(topic) = self.topics.get_mut(view.key.topic) {
                topic.tenant(&tenant_name(view.key.access.scope())).remove(view_ref, &view.key);
            }
            self.view_of.remove(&view.key);
        }
    }

    /// New partitions of a topic, or the topic itself, are read from here on.
    pub(super) fn topic_opened(&mut self, key: TopicKey, id: TopicId, offsets: &Offsets) {
        let Some(topic) = self.topics.get_mut(key) else { return };
        let first = topic.id.replace(id).is_none();
        topic.tail.extend(offsets);
        topic.version += 1;
        self.window.open(key, offsets);
        let mut readers = Vec::new();
        for (session, state) in &mut self.sessions {
            for subscription in state.subscriptions.iter_mut().filter(|s| s.wants.topic == key) {
                if let SubscriptionState::Behind(behind) = &mut subscription.state {
                    // Whoever is behind must not take a new partition for one that it has read.
                    for (&partition, &offset) in offsets {
                        behind.position.entry(partition).or_insert(offset);
                    }
                    // The window may begin after where it stands.
                    if matches!(behind.reading, Reading::Window(_)) {
                        behind.reading = Reading::Undecided;
                    }
                    self.hungry.push(&state.principal.tenant, (session, subscription.id));
                }
                readers.push((session, subscription.id));
            }
        }
        if first {
            // Deltas are of the topic's own id: what they are added to must be of the same.
            for (session, subscription) in readers {
                self.tell(session, &[subscription]);
            }
        }
    }

    /// A topic was deleted: whoever reads it goes on with the one that may be made anew.
    pub(super) fn topic_closed(&mut self, key: TopicKey) {
        let Some(topic) = self.topics.get_mut(key) else { return };
        topic.id = None;
        topic.tail.clear();
        topic.version += 1;
        self.window.close(key);
        let mut moved = Vec::new();
        for (session, state) in &mut self.sessions {
            for subscription in state.subscriptions.iter_mut().filter(|s| s.wants.topic == key) {
                match &mut subscription.state {
                    SubscriptionState::Behind(behind) => {
                        behind.position.clear();
                        behind.reading = Reading::Undecided;
                        behind.unread.clear();
                        behind.checked.clear();
                        behind.announced = true;
                        moved.push((session, subscription.id, Joined { view: behind.view, seq: behind.seq }));
                    }
                    SubscriptionState::Live(view) => {
                        if let Some(view) = self.views.get(*view) {
                            moved.push((session, subscription.id, Joined { view: view.id, seq: view.seq }));
                        }
                    }
                    SubscriptionState::Opening(..) => {}
                }
            }
        }
        for (session, subscription, at) in moved {
            let moved = Moved { subscription, at, recovered: false, reason: MovedReason::LogChanged, gap: None };
            self.say(session, &ServerFrame::Moved(moved));
        }
    }
}

/// The batches that are being filled, of one tenant's views. They are used again for the next tenant's.
#[derive(Default)]
struct Filling<'r> {
    /// Whose batches they are, each at its place.
    views: Vec<ViewRef>,
    batches: Vec<Pending<'r>>,
    /// The views that have no room for an event before their batch is closed, with its place.
    full: Vec<(ViewRef, usize)>,
}

impl Filling<'_> {
    /// Begins the batch of a view: its place.
    fn begin(&mut self, view: ViewRef, format: Format) -> usize {
        let at = self.views.len();
        self.views.push(view);
        match self.batches.get_mut(at) {
            Some(batch) => batch.begin(format),
            None => self.batches.push(Pending::new(format)),
        }
        at
    }
}

/// One event, offered to views.
struct Offer<'a, 'r> {
    views: &'a mut SlotMap<ViewRef, View>,
    undecided: &'a mut UndecidedList,
    filling: &'a mut Filling<'r>,
    event: &'a Event<'r>,
    row: RowId,
}

impl Offer<'_, '_> {
    /// To a view that wants its type.
    fn to(&mut self, view_ref: ViewRef) {
        let Some(view) = self.views.get_mut(view_ref) else { return };
        match view.key.access.admit(self.event) {
            Ok(permitted) => {
                if self.filling.views.get(view.filling) != Some(&view_ref) {
                    view.filling = self.filling.begin(view_ref, view.key.format);
                }
                let at = view.filling;
                let batch = &mut self.filling.batches[at];
                if batch.is_full_for(self.event) {
                    self.filling.full.push((view_ref, at));
                } else {
                    batch.push(permitted, self.row);
                }
            }
            Err(Withheld::Failed) => self.undecided.note(&view.key.access, self.event),
            Err(_) => {}
        }
    }

    /// To a view that was found by key, once, as the event of this number.
    fn by_key(&mut self, view_ref: ViewRef, number: u64) {
        let Some(view) = self.views.get_mut(view_ref) else { return };
        if std::mem::replace(&mut view.offered, number) != number && self.event.is_wanted_by(&view.key.filter) {
            self.to(view_ref);
        }
    }
}

/// A batch has entered this session's outbox. Those of one tenant that follow each other are written to together.
fn deliver(effects: &mut Vec<Effect>, tenant: &Arc<str>, key: SessionKey) {
    match effects.last_mut() {
        Some(Effect::Deliver(of, sessions)) if Arc::ptr_eq(of, tenant) || *of == *tenant => sessions.push(key),
        _ => effects.push(Effect::Deliver(Arc::clone(tenant), vec![key])),
    }
}

/// Whose sessions all members of a scope's views are, where they are of one tenant.
fn tenant_of(scope: &Scope) -> Option<Arc<str>> {
    match scope {
        Scope::Tenant(tenant) => Some(Arc::clone(tenant)),
        Scope::Public => None,
    }
}

/// The tenant under which the index holds a scope's views: no tenant has the empty name, so public ones have it.
pub(super) fn tenant_name(scope: &Scope) -> Arc<str> {
    tenant_of(scope).unwrap_or_default()
}

//! The shard itself: its state, and which file answers which input.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use slotmap::SlotMap;
use tidegate_protocol::code::{self, CloseCode, ErrorCode};
use tidegate_protocol::frame::{BadFrame, ClientFrame, Failed, LogState, ServerFrame, Welcome};
use tidegate_protocol::json::Raw;
use tidegate_protocol::ledger::Sessions;
use tidegate_protocol::timestamp::Millis;

use super::index::Topics;
use super::publishing::Publisher;
use super::requests::Requests;
use super::undecided::UndecidedList;
use super::view::{View, ViewKey, ViewRef};
use super::window::Window;
use super::{Effect, Input, Moment, Newcomer, Options, Rules, SessionKey};
use crate::cursor::Sealer;
use crate::ledger::{Counts, ShardSnapshot};
use crate::session::{Format, Session, SubscriptionState, failed};
use crate::turns::Turns;
use tidegate_gate::{Place, Principal};

/// Sessions of one thread, and all that is done for them.
pub struct Shard {
    pub(super) options: Options,
    pub(super) rules: Rules,
    pub(super) sealer: Sealer,
    pub(super) sessions: SlotMap<SessionKey, Session>,
    pub(super) views: SlotMap<ViewRef, View>,
    pub(super) view_of: HashMap<ViewKey, ViewRef>,
    pub(super) topics: Topics,
    /// Topics that the feed has not answered for yet, by physical name.
    pub(super) following: HashMap<Arc<str>, super::subscribe::Following>,
    pub(super) window: Window,
    pub(super) counts: Counts,
    pub(super) deadlines: BTreeSet<(Millis, SessionKey)>,
    /// Sessions that subscribe to `$ledger`, and some that did.
    pub(super) observers: BTreeSet<SessionKey>,
    /// Subscriptions that are behind and have something to be fed, by tenant.
    pub(super) hungry: Turns<Arc<str>, (SessionKey, u32)>,
    /// The same, for whom there is nothing to do before the next tick.
    pub(super) retry: Vec<(SessionKey, u32)>,
    pub(super) requests: Requests,
    pub(super) log_available: bool,
    pub(super) effects: Vec<Effect>,
    pub(super) undecided: UndecidedList,
    /// Events that were offered to views.
    pub(super) offered: u64,
    /// The snapshot may be another than the last that was taken.
    pub(super) changed: bool,
    next_view: u32,
    pub(super) moment: Moment,
}

impl Shard {
    /// A shard without sessions.
    pub fn new(options: Options, rules: Rules, sealer: Sealer) -> Self {
        let window = Window::new(options.window_bytes);
        Self {
            next_view: options.shard.0,
            options,
            rules,
            sealer,
            sessions: SlotMap::with_key(),
            views: SlotMap::with_key(),
            view_of: HashMap::new(),
            topics: Topics::default(),
            following: HashMap::new(),
            window,
            counts: Counts::default(),
            deadlines: BTreeSet::new(),
            observers: BTreeSet::new(),
            hungry: Turns::default(),
            retry: Vec::new(),
            requests: Requests::default(),
            log_available: true,
            effects: Vec::new(),
            undecided: UndecidedList::default(),
            offered: 0,
            changed: true,
            moment: Moment { now: 0, random: 0.0, entropy: [0; 10] },
        }
    }

    /// Opens a session: its key, and its `welcome` in the outbox.
    pub fn open(&mut self, moment: Moment, newcomer: Newcomer) -> SessionKey {
        self.moment = moment;
        let Newcomer { id, principal, client, format, outbox, seat } = newcomer;
        let options = &self.options;
        let next_ping = moment.now + (options.heartbeat_interval as f64 * (0.5 + moment.random / 2.0)) as i64;
        let welcome = Welcome {
            session: id.to_string(),
            node: options.node.to_string(),
            tenant: principal.tenant.to_string(),
            subject: principal.subject.to_string(),
            expires: Some(principal.expires),
            heartbeat_ms: options.heartbeat_interval.cast_unsigned(),
            limits: options.limits,
            features: Vec::new(),
        };
        let session = Session {
            id,
            client,
            format,
            outbox,
            limits: options.limits,
            outbox_bytes: options.outbox_bytes + options.limits.credit as usize,
            credit: options.limits.credit.cast_signed(),
            paused: false,
            in_flight: crate::session::InFlight::default(),
            subscriptions: Vec::new(),
            ledgers: Vec::new(),
            next_subscription: 0,
            publisher: Publisher::new(Arc::clone(seat.account()), options, moment.now),
            seat,
            pinged: None,
            next_ping,
            left_by_ping: 0,
            leaves: None,
            unanswered: format == Format::Events,
            closing: false,
            ends: Session::end_of(&principal, moment.now),
            principal,
        };
        let key = self.sessions.insert(session);
        self.changed = true;
        self.schedule(key);
        self.say(key, &ServerFrame::Welcome(welcome));
        if !self.log_available {
            self.say(key, &ServerFrame::State(LogState { log_available: false }));
        }
        self.check_revoked(key);
        key
    }

    /// Handles one input.
    pub fn handle(&mut self, moment: Moment, input: Input) {
        self.moment = moment;
        self.changed |= !matches!(input, Input::Frame(_, ClientFrame::Pong) | Input::Ledger(_));
        match input {
            Input::Frame(session, frame) => self.frame(session, frame),
            Input::Broken(session, bad) => self.broken(session, &bad),
            Input::Refuse(session, failed, code) => {
                self.refuse(session, failed);
                self.end(session, code);
            }
            Input::Gone(session) => self.gone(session),
            Input::Taken(session, upto) => self.taken(session, upto),
            Input::End(session, code) => self.end(session, code),
            Input::Followed { physical, topic, id, offsets } => self.followed(&physical, topic, id, offsets),
            Input::TopicOpened { topic, id, offsets } => self.topic_opened(topic, id, &offsets),
            Input::TopicClosed(topic) => self.topic_closed(topic),
            Input::Rounds(rounds) => self.rounds(rounds),
            Input::History(key, outcome) => self.history(&key, outcome),
            Input::OffsetsAt(session, subscription, outcome) => self.time_found(session, subscription, outcome),
            Input::Appended(key, outcome) => self.appended(key, outcome),
            Input::Verified(session, request, outcome) => self.verified(session, request, outcome),
            Input::Revoked(revocation) => self.revoke(&revocation),
            Input::LogAvailable(available) => self.log_state(available),
            Input::Ledger(snapshot) => self.ledger(&snapshot),
            Input::Drain(spread) => self.drain(spread),
            Input::EndAll(code) => {
                let keys: Vec<SessionKey> = self.sessions.keys().collect();
                for key in keys {
                    self.end(key, code);
                }
            }
        }
    }

    /// Whether [`Shard::feed`] has something to do.
    pub fn is_hungry(&self) -> bool {
        !self.hungry.is_empty()
    }

    /// What is to be done now.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        self.effects.extend(self.undecided.take().map(Effect::Undecided));
        std::mem::take(&mut self.effects)
    }

    /// The shard's rows and sessions, between two inputs; `None` where they are the same as the last time: a node whose
    /// sessions do nothing but answer pings does not look at each of them every second.
    pub fn changed_snapshot(&mut self) -> Option<ShardSnapshot> {
        std::mem::take(&mut self.changed).then(|| self.snapshot())
    }

    /// The shard's rows and sessions, between two inputs.
    pub fn snapshot(&self) -> ShardSnapshot {
        let rows = self.counts.snapshot(|add| {
            for session in self.sessions.values() {
                session.in_flight.count_in_flight(&mut *add);
            }
        });
        let mut sessions: HashMap<Arc<str>, Sessions> = HashMap::new();
        for session in self.sessions.values() {
            let of = sessions.entry(Arc::clone(&session.principal.tenant)).or_default();
            let behind = |s: &crate::session::Subscription| matches!(s.state, SubscriptionState::Behind(_));
            of.open += 1;
            of.paused += u64::from(session.paused);
            of.behind += u64::from(session.subscriptions.iter().any(behind));
        }
        ShardSnapshot { rows, sessions }
    }

    /// Bytes of recent rounds that are held.
    pub fn window_bytes(&self) -> usize {
        self.window.bytes()
    }

    /// Sessions that are open.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// A subscription's room on its tenant's account, while it is there.
    pub fn room(&self, session: SessionKey, subscription: u32) -> Option<&Arc<Place>> {
        let of = |s: &&crate::session::Subscription| s.id == subscription;
        Some(&self.sessions.get(session)?.subscriptions.iter().find(of)?.place)
    }

    /// Who a session is, while it is there.
    pub fn principal(&self, session: SessionKey) -> Option<&Principal> {
        self.sessions.get(session).map(|session| &session.principal)
    }

    fn frame(&mut self, key: SessionKey, frame: ClientFrame) {
        if self.sessions.get(key).is_none_or(|session| session.closing) {
            return;
        }
        match frame {
            ClientFrame::Hello(_) => {
                self.refuse(key, Failed::new(ErrorCode::MalformedFrame, "hello comes once, as the first frame"));
                self.end(key, code::PROTOCOL_ERROR);
            }
            ClientFrame::Subscribe(subscribe) => self.subscribe(key, subscribe),
            ClientFrame::Unsubscribe(unsubscribe) => self.unsubscribe(key, &unsubscribe),
            ClientFrame::Publish(publish) => self.publish(key, publish),
            ClientFrame::Report(report) => self.report(key, &report),
            ClientFrame::Refresh(refresh) => self.effects.push(Effect::Verify(key, refresh.id, refresh.token)),
            ClientFrame::Pong => self.pong(key),
        }
    }

    fn broken(&mut self, key: SessionKey, bad: &BadFrame) {
        let failed = Failed { pointer: bad.pointer().map(str::to_owned), ..Failed::new(bad.code(), bad.to_string()) };
        self.refuse(key, failed);
        self.end(key, code::PROTOCOL_ERROR);
    }

    fn report(&mut self, key: SessionKey, report: &tidegate_protocol::frame::Report) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        match session.in_flight.apply(report, &mut self.counts) {
            Ok(returned) => self.give_back(key, returned.credit),
            Err(invalid) => {
                self.refuse(key, Failed::new(ErrorCode::InvalidReport, invalid.to_string()));
                self.end(key, code::PROTOCOL_ERROR);
            }
        }
    }

    /// The connection of a session that does not report took so many bytes of its outbox.
    fn taken(&mut self, key: SessionKey, upto: u64) {
        let Some(session) = self.sessions.get_mut(key).filter(|session| !session.format.reports()) else { return };
        let returned = session.in_flight.taken(upto, &mut self.counts);
        self.give_back(key, returned.credit);
    }

    /// Credit comes back: a session that waited for it goes on.
    fn give_back(&mut self, key: SessionKey, credit: u64) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.credit += credit.cast_signed();
        if session.paused && !session.is_exhausted() {
            session.paused = false;
            for subscription in &session.subscriptions {
                self.hungry.push(&session.principal.tenant, (key, subscription.id));
            }
        }
    }

    /// Ends a session from this side: what waits is written, then the close frame.
    pub(super) fn end(&mut self, key: SessionKey, code: CloseCode) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if std::mem::replace(&mut session.closing, true) {
            return;
        }
        if session.unanswered {
            self.effects.push(Effect::Refused(key, failed(code)));
        } else {
            session.outbox.borrow_mut().push(session.format.close(code));
        }
        self.gone(key);
        self.effects.push(Effect::Close(key));
    }

    /// What a reader of one topic asked for is granted: from here on it is spoken to.
    pub(super) fn accept(&mut self, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(key)
            && std::mem::take(&mut session.unanswered)
        {
            self.effects.push(Effect::Accepted(key));
        }
    }

    /// A reader of one topic has no more than that: what is refused to it ends it, and is the last that it is told.
    fn end_reader(&mut self, key: SessionKey, failed: Failed) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.closing = true;
        if session.unanswered {
            self.effects.push(Effect::Refused(key, failed));
        } else if let Some(last) = session.format.control(&ServerFrame::Error(failed)) {
            session.outbox.borrow_mut().push(last);
        }
        self.gone(key);
        self.effects.push(Effect::Close(key));
    }

    /// The session is over: what it had received and not settled is abandoned.
    fn gone(&mut self, key: SessionKey) {
        let Some(mut session) = self.sessions.remove(key) else { return };
        self.changed = true;
        self.deadlines.remove(&(Self::deadline(&self.options, &session), key));
        session.in_flight.abandon(&mut self.counts);
        for subscription in std::mem::take(&mut session.subscriptions) {
            self.release(key, &subscription);
        }
    }

    fn log_state(&mut self, available: bool) {
        if self.log_available == available {
            return;
        }
        self.log_available = available;
        let keys: Vec<SessionKey> = self.sessions.keys().collect();
        for key in keys {
            self.say(key, &ServerFrame::State(LogState { log_available: available }));
        }
    }

    /// Puts a control frame into the outbox.
    pub(super) fn say(&mut self, key: SessionKey, frame: &ServerFrame<Raw<'_>>) {
        let Some(session) = self.sessions.get(key).filter(|session| !session.unanswered) else { return };
        if let Some(said) = session.format.control(frame) {
            self.put(key, said);
        }
    }

    /// Puts a control frame that is already framed into the outbox.
    pub(super) fn put(&mut self, key: SessionKey, frame: Bytes) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.closing {
            return;
        }
        session.outbox.borrow_mut().push(frame);
        if session.outbox.borrow_mut().announce() {
            self.effects.push(Effect::Flush(key));
        }
        self.check_outbox(key);
    }

    /// Puts an error frame into the outbox.
    pub(super) fn refuse(&mut self, key: SessionKey, failed: Failed) {
        if self.sessions.get(key).is_some_and(|session| session.format == Format::Events) {
            return self.end_reader(key, failed);
        }
        self.say(key, &ServerFrame::Error(failed));
    }

    fn check_outbox(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get(key) else { return };
        if session.outbox.borrow().is_over(session.outbox_bytes) {
            self.end(key, code::SLOW_CONSUMER);
        }
    }

    /// A view id that no other view of this node has.
    pub(super) fn view_id(&mut self) -> u32 {
        self.next_view = self.next_view.wrapping_add(self.options.shard.1);
        self.next_view
    }
}

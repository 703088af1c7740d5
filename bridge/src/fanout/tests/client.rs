//! A client to compare with: reads what stands in its session's outbox, knows its views, dispatches, reports.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use tidegate_log::Offsets;
use tidegate_protocol::frame::{
    Failure, FailureKind, MovedReason as Reason, Position, Report, ServerFrame, Span, ViewReport,
};
use tidegate_protocol::json::{Raw, Value};
use tidegate_protocol::ledger::Counts;

use super::model::{Chance, Log};
use super::world::Want;
use crate::fanout::SessionKey;
use crate::session::Outbox;

/// (tenant, topic, type): what a row of the ledger is about.
pub type Row = (String, String, String);

/// A frame as it came, and what it cost.
pub struct Incoming {
    pub text: String,
    pub bytes: usize,
}

/// What arrived on a socket.
#[derive(Default)]
pub struct Wire {
    pub frames: VecDeque<Incoming>,
    pub closed: Option<u16>,
}

/// Splits what a server wrote into frames.
pub fn take_frames(outbox: &Rc<RefCell<Outbox>>, wire: &mut Wire) {
    let mut bytes = Vec::new();
    let _ = outbox.borrow_mut().flush(|slices| {
        for slice in slices {
            bytes.extend_from_slice(slice);
        }
        Ok(slices.iter().map(|slice| slice.len()).sum())
    });
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        assert!(wire.closed.is_none(), "bytes after the close frame");
        let (head, length) = match rest[1] {
            126 => (4, usize::from(u16::from_be_bytes([rest[2], rest[3]]))),
            127 => (10, u64::from_be_bytes(rest[2..10].try_into().unwrap()) as usize),
            short => (2, usize::from(short)),
        };
        let payload = &rest[head..head + length];
        match rest[0] {
            0x81 => wire
                .frames
                .push_back(Incoming { text: String::from_utf8(payload.to_vec()).unwrap(), bytes: head + length }),
            0x88 => wire.closed = Some(u16::from_be_bytes([payload[0], payload[1]])),
            other => panic!("opcode {other:#x}"),
        }
        rest = &rest[head + length..];
    }
}

/// What a client wants of a topic, and how far it came.
#[derive(Debug, Default)]
pub struct Reader {
    pub topic: String,
    pub types: Vec<String>,
    pub keys: Vec<String>,
    /// Who reads: a role, and a subject.
    pub who: (&'static str, String),
    /// The subscription, once told.
    pub id: Option<u32>,
    pub request: u32,
    pub view: u32,
    pub seq: u64,
    /// The newest full cursor and the deltas since, of what was dispatched.
    pub cursors: Vec<String>,
    /// The next offset of each partition, by what was dispatched; absent: it has not stood there yet.
    pub position: Offsets,
    /// The life of the topic that its events are of.
    pub life: Option<u32>,
    /// It began, or begins again, with cursors.
    pub resuming: bool,
    pub earliest: bool,
    /// The log did not answer in time.
    pub refused: bool,
    pub received: u64,
}

/// A batch that was sent to the client.
#[derive(Debug)]
pub struct Batch {
    pub seq: u64,
    pub bytes: usize,
    pub rows: Vec<Row>,
    pub read: bool,
    pub dispatched: bool,
    pub settled: Vec<bool>,
}

/// One client.
pub struct Client {
    pub tenant: &'static str,
    pub role: &'static str,
    pub node: usize,
    pub key: Option<SessionKey>,
    pub outbox: Rc<RefCell<Outbox>>,
    pub wire: Wire,
    pub readers: Vec<Reader>,
    pub views: BTreeMap<u32, Vec<Batch>>,
    pub outstanding: usize,
    pub unsettled: usize,
    pub next_request: u32,
}

impl Client {
    pub fn new(number: usize, (tenant, role, wants): &(&'static str, &'static str, &[Want])) -> Self {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let reader = |(topic, types, keys): &Want| Reader {
            topic: (*topic).to_owned(),
            types: owned(types),
            keys: owned(keys),
            who: (role, format!("user-{number}")),
            ..Reader::default()
        };
        Self {
            tenant,
            role,
            node: 0,
            key: None,
            outbox: Rc::default(),
            wire: Wire::default(),
            readers: wants.iter().map(reader).collect(),
            views: BTreeMap::new(),
            outstanding: 0,
            unsettled: 0,
            next_request: 0,
        }
    }

    pub fn physical(&self, topic: &str) -> String {
        if topic == "audit" { format!("{}.audit", self.tenant) } else { topic.to_owned() }
    }

    /// A batch entered the outbox: it counts as sent whether the client ever reads it or not.
    pub fn note_sent(
        &mut self,
        log: &Log,
        topic_of: &str,
        text: &str,
        bytes: usize,
        limits: (usize, usize),
    ) -> Vec<Row> {
        assert!(self.outstanding < limits.0, "a batch without credit: {} are outstanding", self.outstanding);
        assert!(self.unsettled < limits.1, "a batch beyond the limit of unsettled deliveries");
        let frame = Raw::parse(text).unwrap();
        let Ok(Some(ServerFrame::Batch(batch))) = ServerFrame::decode(&frame) else { panic!("no batch") };
        let rows: Vec<Row> = numbers(&batch.entries)
            .iter()
            .map(|number| {
                let event = &log.events[number];
                (event.tenant.to_owned(), topic_of.to_owned(), event.kind.clone())
            })
            .collect();
        assert!(!rows.is_empty(), "an empty batch");
        assert!(bytes <= 66_000 || rows.len() == 1, "{bytes} bytes of {} events in one batch", rows.len());
        self.outstanding += bytes;
        self.unsettled += rows.len();
        let settled = vec![false; rows.len()];
        let sent = Batch { seq: batch.seq, bytes, rows: rows.clone(), read: false, dispatched: false, settled };
        self.views.entry(batch.view).or_default().push(sent);
        rows
    }

    /// Reads one frame. Says whether a pong is due.
    pub fn read(&mut self, log: &Log) -> Option<bool> {
        let incoming = self.wire.frames.pop_front()?;
        let foreign = ["acme", "globex"].into_iter().filter(|tenant| *tenant != self.tenant);
        for tenant in foreign {
            assert!(!incoming.text.contains(&format!("!{tenant}!")), "{tenant}'s event at {}", self.tenant);
        }
        let raw = Raw::parse(&incoming.text).unwrap();
        let frame = ServerFrame::decode(&raw).unwrap().unwrap();
        if super::world::LOUD.get() {
            println!("{} reads {:.200}", self.tenant, incoming.text);
        }
        match frame {
            ServerFrame::Batch(batch) => {
                let at = self.readers.iter().position(|r| r.id.is_some() && r.view == batch.view);
                let reader = &mut self.readers[at.unwrap_or_else(|| panic!("a batch of view {}", batch.view))];
                assert_eq!(batch.seq, reader.seq, "view {}", batch.view);
                reader.seq += 1;
                if batch.full {
                    reader.cursors.clear();
                }
                reader.cursors.push(batch.cursor.clone());
                assert!(reader.cursors.len() <= 129, "{} cursors", reader.cursors.len());
                for number in numbers(&batch.entries) {
                    reader.take(log, self.tenant, number);
                }
                let known = self.views.get_mut(&batch.view).unwrap().iter_mut().find(|b| b.seq == batch.seq);
                known.unwrap().read = true;
            }
            ServerFrame::Subscribed(subscribed) => {
                let reader = self.readers.iter_mut().find(|r| r.request == subscribed.id && r.id.is_none()).unwrap();
                reader.id = Some(subscribed.subscription);
                (reader.view, reader.seq) = (subscribed.at.view, subscribed.at.seq);
                if !reader.resuming {
                    // What a cursor does not name, and what `earliest` names, begins at its earliest.
                    let at = super::fixture::open(&subscribed.cursor);
                    reader.position = if reader.earliest { Offsets::new() } else { at };
                }
                reader.cursors = vec![subscribed.cursor];
            }
            ServerFrame::Moved(moved) => {
                let reader = self.readers.iter_mut().find(|r| r.id == Some(moved.subscription)).unwrap();
                (reader.view, reader.seq) = (moved.at.view, moved.at.seq);
                match moved.reason {
                    Reason::Live | Reason::Behind | Reason::Policy => assert!(moved.recovered),
                    Reason::LogChanged => {
                        reader.position.clear();
                        reader.life = None;
                    }
                    Reason::Expired => {
                        let (from, to) = moved.gap.expect("expired names the gap");
                        reader.skip(log, self.tenant, &super::fixture::open(&from), &super::fixture::open(&to));
                        reader.cursors = vec![to];
                    }
                }
            }
            ServerFrame::Ping(ping) => {
                for (id, cursor) in ping.cursors {
                    let reader = self.readers.iter_mut().find(|r| r.id == Some(id)).unwrap();
                    reader.cursors = vec![cursor];
                }
                return Some(true);
            }
            ServerFrame::Welcome(_) | ServerFrame::Unsubscribed(_) => {}
            ServerFrame::Error(failed) if ["log_unavailable", "denied", "topic_changed"].contains(&&*failed.code) => {
                let of = |r: &&mut Reader| match failed.id {
                    Some(id) => r.request == id,
                    None => r.id.is_some() && r.id == failed.subscription,
                };
                let reader = self.readers.iter_mut().find(of).unwrap();
                (reader.id, reader.refused) = (None, true);
            }
            ServerFrame::Error(failed) => panic!("{failed:?}"),
            _ => panic!("unexpected: {}", incoming.text),
        }
        Some(false)
    }

    /// A valid report about some of what was read, or about all of it.
    pub fn report(&mut self, chance: &mut Chance, whole: bool, counts: &mut BTreeMap<Row, Counts>) -> Option<Report> {
        let mut report = Report::default();
        for (&view, batches) in &mut self.views {
            let mut of = ViewReport { view, ..ViewReport::default() };
            let reads = batches.iter().filter(|b| b.read).count();
            let dispatch = if whole { reads } else { chance.below(reads + 1) };
            for batch in batches.iter_mut().take(dispatch) {
                of.dispatched = Some(batch.seq);
                if !std::mem::replace(&mut batch.dispatched, true) {
                    self.outstanding -= batch.bytes;
                    batch.rows.iter().for_each(|row| counts.entry(row.clone()).or_default().received += 1);
                }
            }
            if of.dispatched.is_none() && batches.iter().all(|b| !b.dispatched) {
                continue;
            }
            let mut chosen: Vec<Position> = Vec::new();
            for batch in batches.iter_mut().filter(|b| b.dispatched) {
                for ordinal in 0..batch.rows.len() {
                    let at = Position { seq: batch.seq, ordinal: ordinal as u32 };
                    let row = counts.entry(batch.rows[ordinal].clone()).or_default();
                    let failure = |last| Failure { at, kind: FailureKind::Threw, reason: String::new(), last };
                    if batch.settled[ordinal] {
                        continue;
                    }
                    if !whole && chance.once_in(3) {
                        for _ in 0..chance.below(3) {
                            of.failed.push(failure(false));
                            row.failed += 1;
                        }
                        continue;
                    }
                    batch.settled[ordinal] = true;
                    self.unsettled -= 1;
                    chosen.push(at);
                    if chance.once_in(5) {
                        of.failed.push(failure(true));
                        row.failed += 1;
                        row.given_up += 1;
                    } else {
                        row.consumed += 1;
                        if chance.once_in(4) {
                            of.unhandled.push(at);
                            row.unhandled += 1;
                        }
                    }
                }
            }
            of.settled = spans(&chosen, batches, chance.once_in(2));
            batches.retain(|batch| batch.settled.contains(&false));
            report.views.push(of);
        }
        self.views.retain(|_, batches| !batches.is_empty());
        if chance.once_in(2) {
            report.views.reverse();
        }
        (!report.views.is_empty()).then_some(report)
    }

    /// The session is over: what was received and is not settled is abandoned.
    pub fn end(&mut self, counts: &mut BTreeMap<Row, Counts>) {
        for batch in std::mem::take(&mut self.views).into_values().flatten().filter(|b| b.dispatched) {
            for (row, _) in batch.rows.iter().zip(&batch.settled).filter(|(_, settled)| !**settled) {
                counts.entry(row.clone()).or_default().abandoned += 1;
            }
        }
        self.key = None;
        self.wire = Wire::default();
        self.outbox = Rc::default();
        (self.outstanding, self.unsettled) = (0, 0);
        self.readers.iter_mut().for_each(|reader| reader.id = None);
    }

    /// Received and not settled, by row.
    pub fn in_flight(&self, counts: &mut BTreeMap<Row, Counts>) {
        for batch in self.views.values().flatten().filter(|b| b.dispatched) {
            for (row, _) in batch.rows.iter().zip(&batch.settled).filter(|(_, settled)| !**settled) {
                counts.entry(row.clone()).or_default().in_flight += 1;
            }
        }
    }
}

impl Reader {
    fn wants(&self, tenant: &str, event: &super::model::Event) -> bool {
        let fits = |wanted: &String| match wanted.strip_suffix('*') {
            Some(prefix) => event.kind.starts_with(prefix),
            None => *wanted == event.kind,
        };
        (self.topic == "news" || event.tenant == tenant)
            && (self.types.is_empty() || self.types.iter().any(fits))
            && (self.keys.is_empty() || self.keys.iter().any(|key| key == event.body.key))
    }

    /// The first event at or after a position that the reader should get.
    fn next<'a>(&self, log: &'a Log, physical: &str, tenant: &str, partition: i32) -> Option<&'a super::model::Event> {
        let at = log.partition(physical, partition)?;
        // A partition at which it never stood begins at its earliest.
        let from = self.position.get(&partition).copied().unwrap_or(at.earliest);
        let who = (self.who.0, &*self.who.1);
        at.events.iter().find(|event| event.offset >= from && self.wants(tenant, event) && event.is_granted(log, who))
    }

    fn take(&mut self, log: &Log, tenant: &str, number: u64) {
        let event = &log.events[&number];
        assert!(self.wants(tenant, event), "{event:?} was not for {tenant} {:?}", self.types);
        let life = *self.life.get_or_insert(event.life);
        assert_eq!(life, event.life, "an event of another life of the topic");
        if let Some(position) = self.position.get(&event.partition) {
            assert!(event.offset >= *position, "{event:?} again; it stood at {position}");
        }
        if log.topics[&event.topic].life == life
            && let Some(next) = self.next(log, &event.topic, tenant, event.partition)
            // Where it never stood, what was the earliest may be gone by now.
            && next.offset < event.offset
        {
            panic!("left out {next:?} before {event:?}");
        }
        self.position.insert(event.partition, event.offset + 1);
        self.received += 1;
    }

    /// Retention took what lay between.
    fn skip(&mut self, log: &Log, tenant: &str, from: &Offsets, to: &Offsets) {
        let physical = if self.topic == "audit" { format!("{tenant}.audit") } else { self.topic.clone() };
        let mut moved = 0;
        for (&partition, &to) in to {
            let from = from.get(&partition).copied().unwrap_or(0);
            if from == to {
                continue;
            }
            moved += 1;
            // Of a topic that was made anew since, the log no longer tells what the older one held.
            let life = log.topics[&physical].life;
            if life != 1 && self.life != Some(life) {
                self.position.insert(partition, to);
                continue;
            }
            let earliest = log.partition(&physical, partition).map_or(i64::MAX, |p| p.earliest);
            assert!(from < to && to <= earliest, "a gap from {from} to {to}, but the earliest is {earliest}");
            if let Some(next) = self.next(log, &physical, tenant, partition)
                && self.position.contains_key(&partition)
            {
                assert!(next.offset >= from, "left out {next:?} before the gap from {from}");
            }
            self.position.insert(partition, to);
        }
        assert_eq!(moved, 1, "one partition's gap at a time");
    }

    /// At rest nothing is left that it should have got.
    pub fn check_complete(&self, log: &Log, physical: &str, tenant: &str) {
        let Some(topic) = log.topics.get(physical) else { return };
        for partition in 0..topic.partitions.len() as i32 {
            let left = self.next(log, physical, tenant, partition);
            assert!(
                left.is_none(),
                "{tenant} {:?} {:?} never got {left:?}; it stands at {:?}",
                self.topic,
                self.types,
                self.position
            );
        }
    }
}

/// Neighbouring positions as ranges.
fn spans(chosen: &[Position], batches: &[Batch], merge: bool) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for &at in chosen {
        if let Some(last) = spans.last_mut()
            && (merge || last.last.seq == at.seq)
        {
            let batch = batches.iter().position(|b| b.seq == last.last.seq).unwrap();
            let same = last.last.seq == at.seq && last.last.ordinal + 1 == at.ordinal;
            let wraps = last.last.ordinal as usize + 1 == batches[batch].rows.len()
                && last.last.seq + 1 == at.seq
                && at.ordinal == 0;
            if same || wraps {
                last.last = at;
                continue;
            }
        }
        spans.push(Span { first: at, last: at });
    }
    spans
}

/// The numbers of the events of a batch frame.
pub fn numbers_of(text: &str) -> Vec<u64> {
    let frame = Raw::parse(text).unwrap();
    let Ok(Some(ServerFrame::Batch(batch))) = ServerFrame::decode(&frame) else { panic!("no batch") };
    numbers(&batch.entries)
}

/// The numbers of a batch's events.
pub fn numbers(entries: &Raw<'_>) -> Vec<u64> {
    let number =
        |entry: &Raw<'_>| entry.member("event").unwrap().member("id").unwrap().text().unwrap()[24..].parse().unwrap();
    entries.items().unwrap().iter().map(number).collect()
}

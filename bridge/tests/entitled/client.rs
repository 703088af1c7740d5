//! Clients of a case: what each has asked for, what it got, and what it should have got.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use tidegate::fanout::SessionKey;
use tidegate::session::{Format, Outbox};
use tidegate_log::Offsets;

use super::json::Json;
use super::log::Log;
use super::node::{Built, sealer};
use super::reference::{Filter, Verdict, may_see};

/// Under what an event was decided about: whose token, and when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct State {
    pub setting: usize,
    pub token: usize,
    pub now: i64,
}

/// One subscription.
#[derive(Debug, Clone, Default)]
pub struct Reader {
    pub topic: String,
    pub physical: String,
    pub filter: Filter,
    pub subscription: u32,
    pub view: u64,
    pub seq: u64,
    /// Up to here all is as it should be.
    pub settled: Offsets,
    /// What came since.
    pub got: BTreeSet<(i32, i64)>,
    /// What may have been decided under since.
    pub states: Vec<State>,
    pub cursors: Vec<String>,
    pub live: bool,
}

/// Cursors that somebody holds: whose they are, of which topic on the log.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Empty for public topics.
    pub tenant: String,
    pub physical: String,
    pub cursors: Vec<String>,
}

/// Where a subscription was asked to begin.
#[derive(Debug, Clone)]
pub enum From {
    Latest,
    Earliest,
    Time,
    Cursor(Offsets),
}

/// What an answer is awaited for.
#[derive(Debug)]
pub enum Pending {
    /// The codes that it may be refused with; whether it may be let in.
    Subscribe {
        reader: Box<Reader>,
        from: From,
        refusals: Vec<&'static str>,
        open: bool,
    },
    Ledger {
        columns: Vec<&'static str>,
        open: bool,
    },
    Unsubscribe(u32),
    Publish(Verdict),
    Refresh,
}

#[derive(Debug)]
pub struct Client {
    pub name: String,
    pub token: usize,
    pub node: usize,
    pub key: Option<SessionKey>,
    pub outbox: Rc<RefCell<Outbox>>,
    pub readers: Vec<Reader>,
    /// Subscriptions to `$ledger`, and by what they are grouped.
    pub ledgers: Vec<(u32, Vec<&'static str>)>,
    pub pending: BTreeMap<u32, Pending>,
    pub next: u32,
    /// Batches that were not reported yet: view, seq and how many events.
    pub unreported: Vec<(u64, u64, usize)>,
    /// Frames that it is about to send.
    pub outgoing: Vec<Say>,
    pub format: Format,
    pub session: String,
    /// What its connection was last said to have taken.
    pub taken: u64,
    /// It has just shown a token that was revoked.
    pub accused: bool,
    /// It reports only when it must.
    pub lazy: bool,
}

impl Reader {
    /// What came of all up to some offsets is exactly what should have.
    pub fn settle(&mut self, builts: &[Built], log: &Log, up_to: &Offsets) {
        let Some(topic) = log.topics.get(&self.physical) else { return };
        for (number, partition) in (0..).zip(&topic.partitions) {
            let from = self.settled.get(&number).copied().unwrap_or(0);
            let end = up_to.get(&number).copied().unwrap_or(0);
            for entry in partition.entries.iter().filter(|entry| (from..end).contains(&entry.raw.offset)) {
                let got = self.got.remove(&(number, entry.raw.offset));
                let wanted = entry.event.as_ref().filter(|event| self.filter.wants(event));
                let verdict = |state: &State| {
                    let setting = &builts[state.setting].setting;
                    let token = &setting.tokens[state.token];
                    wanted.is_some_and(|event| may_see(setting, token, &topic.topic, event, &entry.raw, state.now))
                };
                let said: Vec<bool> = self.states.iter().map(verdict).collect();
                // Where it changed meanwhile, either is right.
                if !said.contains(&!got) || said.contains(&got) {
                    continue;
                }
                let what = if got { "should not have got" } else { "should have got" };
                panic!("{what} {entry:?} at {number} of {self:?}; {:?}", self.describe(builts));
            }
            let settled = self.settled.entry(number).or_insert(end);
            *settled = (*settled).max(end);
        }
        assert!(self.got.is_empty(), "{:?} lie beyond {up_to:?} in {self:?}", self.got);
    }

    /// Nobody in that state may see anything of the topic.
    pub fn is_dead(&self, builts: &[Built], log: &Log, state: State) -> bool {
        let setting = &builts[state.setting].setting;
        let Some(topic) = log.topics.get(&self.physical) else { return true };
        let token = &setting.tokens[state.token];
        let mut entries = topic.partitions.iter().flat_map(|partition| &partition.entries);
        !entries.any(|entry| {
            let seen = |event| may_see(setting, token, &topic.topic, event, &entry.raw, state.now);
            entry.event.as_ref().is_some_and(seen)
        })
    }

    pub fn describe(&self, builts: &[Built]) -> String {
        let of = |state: &State| &builts[state.setting].setting;
        let tokens: Vec<_> = self.states.iter().map(|s| of(s).tokens[s.token].claims.to_string()).collect();
        let now = self.states.last().map(|state| of(state).configuration()).unwrap_or_default();
        format!("tokens {tokens:?} under\n{now}")
    }

    /// Where its cursors stand.
    pub fn position(&self) -> Offsets {
        sealer(99).open_all(&self.cursors).expect("its own cursors").offsets
    }
}

impl Client {
    pub fn new(number: usize, token: usize, lazy: bool, format: Format) -> Self {
        Self {
            name: format!("client-{number}"),
            token,
            node: 0,
            key: None,
            outbox: Rc::default(),
            readers: Vec::new(),
            ledgers: Vec::new(),
            pending: BTreeMap::new(),
            next: 0,
            unreported: Vec::new(),
            outgoing: Vec::new(),
            format,
            session: String::new(),
            taken: 0,
            accused: false,
            lazy,
        }
    }

    /// Awaits an answer, under the request's id.
    pub fn ask(&mut self, pending: Pending) -> u32 {
        self.next += 1;
        self.pending.insert(self.next, pending);
        self.next
    }

    /// Says of all that came that it is done.
    pub fn report(&mut self) {
        if self.format != Format::WebSocket {
            let left = self.outbox.borrow().left();
            if std::mem::replace(&mut self.taken, left) != left {
                self.outgoing.push(Say::Taken(left));
            }
            return self.unreported.clear();
        }
        let mut views: BTreeMap<u64, Vec<(u64, usize)>> = BTreeMap::new();
        for (view, seq, count) in std::mem::take(&mut self.unreported) {
            views.entry(view).or_default().push((seq, count));
        }
        let view = |(view, batches): (u64, Vec<(u64, usize)>)| {
            let settled: Vec<String> =
                batches.iter().map(|(seq, count)| format!("[{seq},0,{seq},{}]", count - 1)).collect();
            let last = batches[batches.len() - 1].0;
            format!(r#"{{"view":{view},"dispatched":{last},"settled":[{}]}}"#, settled.join(","))
        };
        let views: Vec<String> = views.into_iter().map(view).collect();
        if !views.is_empty() {
            self.outgoing.push(Say::Frame(format!(r#"{{"report":{{"views":[{}]}}}}"#, views.join(","))));
        }
    }

    /// The whole messages in its outbox: what a socket would carry.
    pub fn drain(&self) -> Vec<Message> {
        let mut bytes = Vec::new();
        let taken = self.outbox.borrow_mut().flush(|slices| {
            for slice in slices {
                bytes.extend_from_slice(slice);
            }
            Ok(slices.iter().map(|slice| slice.len()).sum())
        });
        taken.expect("memory takes all");
        if self.format != Format::WebSocket {
            return super::stream::messages(self.format, std::str::from_utf8(&bytes).expect("text"));
        }
        let (mut messages, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let (length, head) = match bytes[at + 1] {
                126 => (usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]])), 4),
                127 => (u64::from_be_bytes(bytes[at + 2..at + 10].try_into().expect("eight bytes")) as usize, 10),
                short => (usize::from(short), 2),
            };
            let body = &bytes[at + head..at + head + length];
            messages.push(match bytes[at] {
                0x81 => Message::Frame(Json::parse(body).expect("a frame")),
                0x88 => Message::Close(u16::from_be_bytes([body[0], body[1]])),
                other => panic!("a message that begins with {other:x}"),
            });
            at += head + length;
        }
        messages
    }
}

pub enum Message {
    Frame(Json),
    /// Of a reader of one topic: an event, or a word about it.
    Event(super::stream::Message),
    Close(u16),
}

/// What a client, or its connection, says.
#[derive(Debug)]
pub enum Say {
    Frame(String),
    /// So many bytes were taken, in all.
    Taken(u64),
}

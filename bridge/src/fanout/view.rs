//! Views: sessions that want the same of a topic share the same bytes.
//!
//! A live view frames each batch once and hands it to all its members. What goes into a batch must be
//! [`Permitted`] for the view's own access: a path that forgets the gate does not compile.

use std::cell::OnceCell;
use std::rc::Rc;

use bytes::Bytes;
use slotmap::new_key_type;
use tidegate_gate::{Access, Content, Extracted, Facts, Filter, Path, Permitted};
use tidegate_log::TopicKey;
use tidegate_protocol::frame::BatchWriter;
use tidegate_protocol::timestamp::Millis;

use super::SessionKey;
use super::reached::Reached;
use crate::feed::{Entry, Round};
use crate::ledger::RowId;
use crate::session::{BatchRows, Format, event_stream, websocket_frame};

/// Payload bytes after which a batch is closed: 64 KiB, or one event.
pub const BATCH_BYTES: usize = 64 * 1024;

/// Room that a batch's head, cursor and tail take.
const AROUND: usize = 512;

new_key_type! {
    /// Names a live view of one shard.
    pub struct ViewRef;
}

/// What makes two subscriptions share a view.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ViewKey {
    /// Which topic of the feed.
    pub topic: TopicKey,
    /// What the gate granted.
    pub access: Access,
    /// What the subscriber wants of it.
    pub filter: Filter,
    /// How its members are spoken to.
    pub format: Format,
}

/// A live view.
#[derive(Debug)]
pub struct View {
    /// Its id on the wire.
    pub id: u32,
    /// What it shows.
    pub key: ViewKey,
    /// The next batch's number.
    pub seq: u64,
    /// Who gets it: a session, and its subscription.
    pub members: Vec<(SessionKey, u32)>,
    /// The batch that is being filled.
    pub pending: Pending,
    /// How far the batches of the round that is being handled came.
    pub round_reached: Reached,
    /// The last event that was offered to it by key, by its number in this shard: it may lie under several keys.
    pub offered: u64,
}

impl View {
    /// A view without members.
    pub fn new(id: u32, key: ViewKey) -> Self {
        let (members, pending, round_reached) = (Vec::new(), Pending::new(key.format, (id, 0)), Reached::default());
        Self { id, key, seq: 0, members, pending, round_reached, offered: 0 }
    }
}

/// An event as the gate looks at it.
#[derive(Debug)]
pub struct Event<'a> {
    /// The physical topic.
    pub physical: &'a str,
    /// The round it came in.
    pub round: &'a Round,
    /// Where it lies in it.
    pub entry: &'a Entry,
    /// When it is decided about.
    pub now: Millis,
    content: OnceCell<Option<Content<'a>>>,
}

impl<'a> Event<'a> {
    /// An event of a round.
    pub fn new(physical: &'a str, round: &'a Round, entry: &'a Entry, now: Millis) -> Self {
        Self { physical, round, entry, now, content: OnceCell::new() }
    }

    /// Whether a subscriber asks for it.
    pub fn is_wanted_by(&self, filter: &Filter) -> bool {
        filter.wants_type(self.round.event_type(self.entry)) && filter.wants_key(self.round.key(self.entry))
    }
}

impl Facts for Event<'_> {
    fn topic(&self) -> &str {
        self.physical
    }

    fn tenant(&self) -> &str {
        self.round.tenant(self.entry)
    }

    fn extracted(&self, path: &Path) -> Option<Extracted<'_>> {
        self.round.extracted(self.entry, path)
    }

    fn content(&self) -> Option<&Content<'_>> {
        let make = || {
            let headers = self.round.headers(self.entry)?;
            Some(Content::new(self.round.event(self.entry), self.round.key(self.entry), headers, self.now))
        };
        self.content.get_or_init(make).as_ref()
    }
}

/// A batch that is being filled. Only what the gate let through goes into it:
///
/// ```
/// # use tidegate::{fanout::{Event, Pending}, ledger::RowId};
/// fn asks_the_gate<'a>(batch: &mut Pending, event: &'a Event<'a>, access: &'a tidegate_gate::Access, row: RowId) {
///     if let Ok(permitted) = access.admit(event) {
///         batch.push(permitted, row);
///     }
/// }
/// ```
///
/// and a way that forgets to ask does not compile:
///
/// ```compile_fail,E0308
/// # use tidegate::{fanout::{Event, Pending}, ledger::RowId};
/// fn forgets_the_gate<'a>(batch: &mut Pending, event: &'a Event<'a>, access: &'a tidegate_gate::Access, row: RowId) {
///     batch.push(event, row);
/// }
/// ```
#[derive(Debug, Default)]
pub struct Pending {
    format: Format,
    /// The view, and the batch's number in it.
    at: (u32, u64),
    /// The entries; for WebSockets the whole frame as far as it came, so that it need not be copied.
    bytes: Vec<u8>,
    rows: Vec<RowId>,
    reached: Reached,
}

/// Of so many batches of a view one carries a full cursor, so that no client has to keep more deltas. (Tests see to it
/// that it happens often.)
const FULL_CURSOR_EVERY: u64 = if cfg!(test) { 4 } else { 64 };

/// Whether the batch of this number carries a full cursor.
pub fn is_full(format: Format, seq: u64) -> bool {
    format.full_cursors() || seq % FULL_CURSOR_EVERY == FULL_CURSOR_EVERY - 1
}

/// The cursor of a batch.
#[derive(Debug)]
pub struct Sealed {
    /// As it goes over the wire.
    pub cursor: String,
    /// Whether it says where the view stands in every partition, and not only in those of the batch.
    pub full: bool,
}

/// A batch that is framed.
#[derive(Debug)]
pub struct Framed {
    /// The frame, or the messages.
    pub bytes: Rc<Bytes>,
    /// What the ledger and the in-flight tables keep of it.
    pub rows: Rc<BatchRows>,
    /// How far it came, in each partition it touched.
    pub reached: Reached,
}

impl Pending {
    /// Nothing yet, for readers of this format: the batch of this view and number.
    pub fn new(format: Format, at: (u32, u64)) -> Self {
        Self { format, at, ..Self::default() }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether one more event would make the batch longer than it may be.
    pub fn is_full_for(&self, event: &Event<'_>) -> bool {
        !self.is_empty() && self.bytes.len() + event.round.wire(event.entry).len() + AROUND > BATCH_BYTES
    }

    /// Adds an event that the gate let through.
    pub fn push(&mut self, permitted: Permitted<'_, Event<'_>>, row: RowId) {
        let event = permitted.event();
        let (round, entry) = (event.round, event.entry);
        match self.format {
            Format::Events => {
                let event_type = Some(round.event_type(entry));
                event_stream::message(&mut self.bytes, event_type, round.event(entry).as_bytes(), None);
            }
            Format::WebSocket | Format::Stream => {
                let wire = round.wire(entry);
                if !self.is_empty() {
                    self.bytes.push(b',');
                } else if self.format == Format::WebSocket {
                    self.bytes = websocket_frame::begin(wire.len() + AROUND);
                    BatchWriter::head(&mut self.bytes, self.at.0, self.at.1);
                }
                self.bytes.extend_from_slice(wire);
            }
        }
        self.rows.push(row);
        self.reached.insert(event.entry.partition, event.entry.offset + 1);
    }

    /// How far it came.
    pub fn reached(&mut self) -> &mut Reached {
        &mut self.reached
    }

    /// Closes the batch, with the cursor that goes with it. The next one follows.
    pub fn frame(&mut self, Sealed { cursor, full }: &Sealed) -> Framed {
        let (view, seq) = self.at;
        self.at.1 += 1;
        let entries = std::mem::take(&mut self.bytes);
        let length = entries.len() + AROUND;
        let bytes = match self.format {
            Format::WebSocket => {
                let mut frame = entries;
                BatchWriter::tail(&mut frame, cursor, *full);
                websocket_frame::finish(frame)
            }
            Format::Stream => {
                let mut message = Vec::with_capacity(length);
                message.extend_from_slice(b"data: ");
                BatchWriter::head(&mut message, view, seq);
                event_stream::lines(&mut message, &entries);
                BatchWriter::tail(&mut message, cursor, *full);
                message.extend_from_slice(b"\n\n");
                message.into()
            }
            Format::Events => {
                let mut messages = entries;
                event_stream::identify(&mut messages, cursor);
                messages.into()
            }
        };
        let rows = Rc::new(BatchRows::new(std::mem::take(&mut self.rows)));
        Framed { bytes: Rc::new(bytes), rows, reached: std::mem::take(&mut self.reached) }
    }
}

//! Batches: the events of a view that one message carries.
//!
//! What goes into a batch must be [`Permitted`] for the view's own access: a path that forgets the gate does not
//! compile.

use std::rc::Rc;

use bytes::Bytes;
use tidegate_gate::Permitted;
use tidegate_protocol::frame::BatchWriter;

use super::position::Sealed;
use super::reached::Reached;
use super::view::Event;
use crate::feed::{Entry, Round};
use crate::ledger::RowId;
use crate::session::{BatchRows, Format, event_stream, websocket_frame};

/// Payload bytes after which a batch is closed: 64 KiB, or one event.
pub const BATCH_BYTES: usize = 64 * 1024;

/// Room that a batch's head, cursor and tail may take of that.
const AROUND: usize = 512;

/// What the head and the tail take, but for the cursor.
const HEAD_AND_TAIL: usize = 96;

/// A batch that is being filled. It holds on to where its events lie, and copies them when it is framed: then it is known
/// how many bytes that takes. Only what the gate let through goes into it:
///
/// ```
/// # use tidegate::{fanout::{Event, Pending}, ledger::RowId};
/// fn asks_the_gate<'r>(batch: &mut Pending<'r>, event: &Event<'r>, access: &tidegate_gate::Access, row: RowId) {
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
/// fn forgets_the_gate<'r>(batch: &mut Pending<'r>, event: &Event<'r>, access: &tidegate_gate::Access, row: RowId) {
///     batch.push(event, row);
/// }
/// ```
#[derive(Debug, Default)]
pub struct Pending<'r> {
    format: Format,
    events: Vec<(&'r Round, &'r Entry, RowId)>,
    /// Bytes that the events will take.
    bytes: usize,
    reached: Reached,
}

/// A batch that is framed, in so many parts.
#[derive(Debug)]
pub struct Framed<const PARTS: usize> {
    /// The frame, or the messages.
    pub parts: [Rc<Bytes>; PARTS],
    /// What the ledger and the in-flight tables keep of it.
    pub rows: Rc<BatchRows>,
}

/// The entries of a batch as they stand in it, for all who get the same in batches of their own.
#[derive(Debug)]
pub struct Body {
    format: Format,
    bytes: Rc<Bytes>,
    rows: Rc<BatchRows>,
    /// How far it comes.
    pub reached: Reached,
}

impl<'r> Pending<'r> {
    /// Nothing yet, for readers of this format.
    pub fn new(format: Format) -> Self {
        Self { format, ..Self::default() }
    }

    /// Begins anew, for readers of this format.
    pub fn begin(&mut self, format: Format) {
        self.clear();
        self.format = format;
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Whether one more event would make the batch longer than it may be.
    pub fn is_full_for(&self, event: &Event<'_>) -> bool {
        !self.is_empty() && self.bytes + self.length(event.round, event.entry) + AROUND > BATCH_BYTES
    }

    /// Adds an event that the gate let through.
    pub fn push(&mut self, permitted: Permitted<'_, Event<'r>>, row: RowId) {
        let &Event { round, entry, .. } = permitted.event();
        self.bytes += self.length(round, entry);
        self.events.push((round, entry, row));
        self.reached.insert(entry.partition, entry.offset + 1);
    }

    /// Bytes that an event takes in a batch.
    fn length(&self, round: &Round, entry: &Entry) -> usize {
        match self.format {
            Format::WebSocket => round.wire(entry).len() + 1,
            Format::Stream => event_stream::lines_length(round.wire(entry)) + 1,
            Format::Events => {
                event_stream::message_length(Some(round.event_type(entry)), round.event(entry).as_bytes())
            }
        }
    }

    /// How far it came.
    pub fn reached(&mut self) -> &mut Reached {
        &mut self.reached
    }

    /// Closes the batch as this one of a view, with the cursor that goes with it. Nothing waits then.
    pub fn frame(&mut self, view: u32, seq: u64, sealed: &Sealed) -> Framed<1> {
        let mut frame = head(self.format, view, seq, self.bytes + sealed.cursor.len() + HEAD_AND_TAIL);
        self.write_entries(&mut frame);
        tail(self.format, &mut frame, sealed);
        let framed = Framed { parts: [Rc::new(finish(self.format, frame, 0))], rows: self.rows() };
        self.clear();
        framed
    }

    /// Closes the batch, to be framed for one reader after the other. Nothing waits then; nothing did where there is none.
    pub fn into_body(mut self) -> Option<Body> {
        if self.is_empty() {
            return None;
        }
        let mut entries = Vec::with_capacity(self.bytes);
        self.write_entries(&mut entries);
        let (rows, reached) = (self.rows(), std::mem::take(&mut self.reached));
        Some(Body { format: self.format, bytes: Rc::new(entries.into()), rows, reached })
    }

    fn rows(&self) -> Rc<BatchRows> {
        Rc::new(BatchRows::new(self.events.iter().map(|(_, _, row)| *row).collect()))
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        self.events.clear();
        self.bytes = 0;
        self.reached.clear();
    }

    /// Writes the entries as they stand in a batch: in a frame with commas between them.
    fn write_entries(&self, out: &mut Vec<u8>) {
        for (at, (round, entry, _)) in self.events.iter().enumerate() {
            if at > 0 && self.format != Format::Events {
                out.push(b',');
            }
            match self.format {
                Format::WebSocket => out.extend_from_slice(round.wire(entry)),
                Format::Stream => event_stream::lines(out, round.wire(entry)),
                Format::Events => {
                    let event_type = Some(round.event_type(entry));
                    event_stream::message(out, event_type, round.event(entry).as_bytes(), None);
                }
            }
        }
        if self.format == Format::Events {
            event_stream::leave_open(out);
        }
    }
}

impl Body {
    /// Frames it as this batch of a view, with the cursor that goes with it: only what stands around it is written.
    pub fn frame(&self, view: u32, seq: u64, sealed: &Sealed) -> Framed<3> {
        let mut after = Vec::with_capacity(sealed.cursor.len() + HEAD_AND_TAIL);
        tail(self.format, &mut after, sealed);
        let before = finish(self.format, head(self.format, view, seq, HEAD_AND_TAIL), self.bytes.len() + after.len());
        let parts = [Rc::new(before), Rc::clone(&self.bytes), Rc::new(after.into())];
        Framed { parts, rows: Rc::clone(&self.rows) }
    }

    /// Bytes of its entries.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// Begins a batch of about that length: all that stands before its entries.
fn head(format: Format, view: u32, seq: u64, length: usize) -> Vec<u8> {
    match format {
        Format::WebSocket => {
            let mut frame = websocket_frame::begin(length);
            BatchWriter::head(&mut frame, view, seq);
            frame
        }
        Format::Stream => {
            let mut message = Vec::with_capacity(length);
            message.extend_from_slice(b"data: ");
            BatchWriter::head(&mut message, view, seq);
            message
        }
        Format::Events => Vec::with_capacity(length),
    }
}

/// All that stands behind the entries.
fn tail(format: Format, out: &mut Vec<u8>, Sealed { cursor, full }: &Sealed) {
    match format {
        Format::WebSocket => BatchWriter::tail(out, cursor, *full),
        Format::Stream => {
            BatchWriter::tail(out, cursor, *full);
            out.extend_from_slice(b"\n\n");
        }
        Format::Events => event_stream::identify(out, cursor),
    }
}

/// What was begun with a head, and of which so many bytes are to follow.
fn finish(format: Format, frame: Vec<u8>, follow: usize) -> Bytes {
    match format {
        Format::WebSocket => websocket_frame::finish(frame, follow),
        Format::Stream | Format::Events => frame.into(),
    }
}

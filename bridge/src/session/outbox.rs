//! A session's outbox: all bytes on their way to its socket, and the only writer to it.
//!
//! It is bounded in bytes by the session's credit: batches stop when credit is spent. What is not bounded by
//! credit (answers, pings, pongs) is bounded by [`Outbox::is_over`], beyond which the session is closed.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::rc::Rc;

use bytes::Bytes;

/// Most slices handed to one `writev`.
const SLICES: usize = 16;

/// Bytes waiting for one socket, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Frames, shared with whoever else gets them. Nothing of a shard leaves its thread, so they are not counted
    /// atomically: with a thousand members that would be a thousand times to wait for memory, one after the other.
    queue: VecDeque<Part>,
    bytes: usize,
    pushed: u64,
    /// How much of the first in the queue is written.
    begun: usize,
    /// Whether parts of the first frame have left the queue: without its rest nothing after it could be read.
    within: bool,
    /// Whoever writes knows that something waits, and has not come for it yet.
    announced: bool,
    cut: bool,
}

/// A frame, or a part of one.
#[derive(Debug)]
struct Part {
    bytes: Rc<Bytes>,
    /// Whether the frame ends with it.
    last: bool,
}

impl Outbox {
    /// Appends a whole WebSocket frame, or raw bytes of one.
    pub fn push(&mut self, bytes: impl Into<Rc<Bytes>>) {
        self.push_parts(&[bytes.into()]);
    }

    /// Appends a frame that is made of these parts.
    pub fn push_parts(&mut self, parts: &[Rc<Bytes>]) {
        for (at, bytes) in parts.iter().enumerate() {
            self.bytes += bytes.len();
            self.pushed += bytes.len() as u64;
            self.queue.push_back(Part { bytes: Rc::clone(bytes), last: at + 1 == parts.len() });
        }
    }

    /// Whether whoever writes has still to be told that something waits: from here on it counts as told, until it comes.
    pub fn announce(&mut self) -> bool {
        !std::mem::replace(&mut self.announced, true)
    }

    /// Bytes that ever entered.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Bytes that ever left.
    pub fn left(&self) -> u64 {
        self.pushed - self.bytes as u64
    }

    /// Takes the next bytes out: whole frames, at least about `enough` if there is so much.
    pub fn take(&mut self, enough: usize) -> Bytes {
        self.announced = false;
        let Some(first) = self.queue.pop_front() else { return Bytes::new() };
        let mut taken = first.bytes.slice(std::mem::take(&mut self.begun)..);
        let mut whole = first.last;
        let enough_of = |taken: usize, whole: bool| whole && taken >= enough;
        if !self.queue.is_empty() && !enough_of(taken.len(), whole) {
            let mut many = Vec::with_capacity(enough.max(taken.len()).min(self.bytes));
            many.extend_from_slice(&taken);
            while !enough_of(many.len(), whole)
                && let Some(next) = self.queue.pop_front()
            {
                many.extend_from_slice(&next.bytes);
                whole = next.last;
            }
            taken = many.into();
        }
        self.within = false;
        self.bytes -= taken.len();
        taken
    }

    /// Takes back what waits, but for the rest of a frame that is being written: none of it may be read any more.
    pub fn cut(&mut self) {
        let first_frame = || self.queue.iter().position(|part| part.last).map_or(0, |last| last + 1);
        let parts = if self.begun > 0 || self.within { first_frame() } else { 0 };
        self.queue.truncate(parts);
        let kept = self.queue.iter().map(|part| part.bytes.len()).sum::<usize>() - self.begun;
        // What is taken back never left.
        self.pushed -= (self.bytes - kept) as u64;
        self.bytes = kept;
        self.cut = true;
    }

    /// Whether what waited was taken back: what waits since has little time.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Forgets all that waits.
    pub fn clear(&mut self) {
        self.queue.clear();
        self.pushed -= self.bytes as u64;
        self.bytes = 0;
        self.begun = 0;
        self.within = false;
    }

    /// Bytes waiting.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Whether more waits than `bound`.
    pub fn is_over(&self, bound: usize) -> bool {
        self.bytes > bound
    }

    /// Writes with `write` (one `writev`) until everything is taken or it says [`std::io::ErrorKind::WouldBlock`].
    pub fn flush(&mut self, mut write: impl FnMut(&[IoSlice<'_>]) -> std::io::Result<usize>) -> std::io::Result<()> {
        self.announced = false;
        while self.bytes > 0
            && let Some(first) = self.queue.front()
        {
            let first = IoSlice::new(&first.bytes[self.begun..]);
            let taken = if self.queue.len() == 1 {
                write(&[first])?
            } else {
                let mut slices = [first; SLICES];
                let rest = slices[1..].iter_mut().zip(self.queue.iter().skip(1));
                let count = 1 + rest.map(|(slice, part)| *slice = IoSlice::new(&part.bytes)).count();
                write(&slices[..count])?
            };
            if taken == 0 {
                return Err(std::io::ErrorKind::WriteZero.into());
            }
            self.advance(taken);
        }
        Ok(())
    }

    fn advance(&mut self, taken: usize) {
        self.bytes -= taken;
        self.begun += taken;
        while let Some(first) = self.queue.front() {
            if self.begun < first.bytes.len() {
                return;
            }
            self.begun -= first.bytes.len();
            self.within = !first.last;
            self.queue.pop_front();
        }
        // An idle session keeps no memory for its next burst.
        if self.queue.capacity() > 16 {
            self.queue = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_over_partial_writes() {
        let mut outbox = Outbox::default();
        for part in [&b"abc"[..], b"", b"defgh", b"i"] {
            outbox.push(Bytes::from_static(part));
        }
        let mut taken = Vec::new();
        let mut turns = 0;
        let outcome = outbox.flush(|slices| {
            turns += 1;
            if turns == 3 {
                return Err(std::io::ErrorKind::WouldBlock.into());
            }
            let all: Vec<u8> = slices.iter().flat_map(|s| s.to_vec()).collect();
            taken.extend_from_slice(&all[..4.min(all.len())]);
            Ok(4.min(all.len()))
        });
        assert_eq!(outcome.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        assert_eq!((taken.as_slice(), outbox.len()), (&b"abcdefgh"[..], 1));
        assert_eq!((outbox.pushed(), outbox.left()), (9, 8));
    }

    #[test]
    fn is_taken_in_parts_that_were_pushed() {
        let mut outbox = Outbox::default();
        for part in ["ab", "cd", "ef", "ghij", "k"] {
            outbox.push(Bytes::from_static(part.as_bytes()));
        }
        let mut parts = Vec::new();
        while !outbox.is_empty() {
            parts.push(outbox.take(3));
        }
        assert_eq!(parts, ["abcd", "efghij", "k"]);
        assert_eq!((outbox.take(3), outbox.pushed(), outbox.left()), (Bytes::new(), 11, 11));
    }

    /// Writes at most so many bytes, to a socket that takes no more then.
    fn write(outbox: &mut Outbox, most: usize, taken: &mut Vec<u8>) {
        let mut left = most;
        let _ = outbox.flush(|slices| {
            let all: Vec<u8> = slices.iter().flat_map(|s| s.to_vec()).collect();
            let count = left.min(all.len());
            left -= count;
            taken.extend_from_slice(&all[..count]);
            if count == 0 { Err(std::io::ErrorKind::WouldBlock.into()) } else { Ok(count) }
        });
    }

    fn part(text: &'static str) -> Rc<Bytes> {
        Rc::new(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn a_frame_of_parts_is_taken_whole() {
        let mut outbox = Outbox::default();
        for _ in 0..2 {
            outbox.push_parts(&[part("ab"), part("cdef"), part("g")]);
            outbox.push(part("h"));
        }
        let taken: Vec<Bytes> = [1, 7, 8, 1].into_iter().map(|enough| outbox.take(enough)).collect();
        assert_eq!(taken, ["abcdefg", "habcdefg", "h", ""]);
        assert!(outbox.is_empty());
    }

    /// Wherever a frame of parts is when all is cut: what was begun is written to its end, and nothing else is.
    #[test]
    fn what_is_cut_within_a_frame_of_parts_leaves_that_frame_whole() {
        for written in 0..=16 {
            let mut outbox = Outbox::default();
            outbox.push_parts(&[part("ab"), part(""), part("cdef"), part("gh")]);
            outbox.push_parts(&[part("ij"), part("klmn"), part("op")]);
            let mut taken = Vec::new();
            write(&mut outbox, written, &mut taken);
            outbox.cut();
            let frames = written.div_ceil(8) * 8;
            assert_eq!((outbox.len(), outbox.left()), (frames - written, written as u64), "{written}");
            outbox.push(part("!"));
            write(&mut outbox, 100, &mut taken);
            assert_eq!(taken, [&b"abcdefghijklmnop"[..frames], b"!"].concat(), "{written}");
        }
    }

    #[test]
    fn what_is_cut_leaves_the_frame_that_is_being_written_whole() {
        let mut outbox = Outbox::default();
        let mut taken = Vec::new();
        for part in [&b"abc"[..], b"defgh", b"ijk"] {
            outbox.push(Bytes::from_static(part));
        }
        write(&mut outbox, 5, &mut taken);
        outbox.cut();
        outbox.push(Bytes::from_static(b"!"));
        assert_eq!((outbox.len(), outbox.is_cut()), (4, true));
        write(&mut outbox, 3, &mut taken);
        outbox.cut();
        assert_eq!(outbox.len(), 0, "the frame before was written to its end: nothing is half written");
        outbox.push(Bytes::from_static(b"?"));
        write(&mut outbox, 9, &mut taken);
        assert_eq!(taken, b"abcdefgh?");
    }
}

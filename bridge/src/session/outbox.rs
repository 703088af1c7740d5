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
    queue: VecDeque<Rc<Bytes>>,
    bytes: usize,
    pushed: u64,
    /// How much of the first in the queue is written: without its rest nothing after it could be read.
    begun: usize,
    /// Whoever writes knows that something waits, and has not come for it yet.
    announced: bool,
    cut: bool,
}

impl Outbox {
    /// Appends a whole WebSocket frame, or raw bytes of one.
    pub fn push(&mut self, bytes: impl Into<Rc<Bytes>>) {
        let bytes = bytes.into();
        self.bytes += bytes.len();
        self.pushed += bytes.len() as u64;
        self.queue.push_back(bytes);
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

    /// Takes the next bytes out: what was pushed together, at least about `enough` if there is so much.
    pub fn take(&mut self, enough: usize) -> Bytes {
        self.announced = false;
        let Some(first) = self.queue.pop_front() else { return Bytes::new() };
        let mut taken = first.slice(std::mem::take(&mut self.begun)..);
        if taken.len() < enough && !self.queue.is_empty() {
            let mut many = Vec::with_capacity(enough.min(self.bytes));
            many.extend_from_slice(&taken);
            while many.len() < enough
                && let Some(next) = self.queue.pop_front()
            {
                many.extend_from_slice(&next);
            }
            taken = many.into();
        }
        self.bytes -= taken.len();
        taken
    }

    /// Takes back what waits, but for the rest of a frame that is being written: none of it may be read any more.
    pub fn cut(&mut self) {
        self.queue.truncate(usize::from(self.begun > 0));
        let kept = self.queue.front().map_or(0, |first| first.len() - self.begun);
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
            let first = IoSlice::new(&first[self.begun..]);
            let taken = if self.queue.len() == 1 {
                write(&[first])?
            } else {
                let mut slices = [first; SLICES];
                let rest = slices[1..].iter_mut().zip(self.queue.iter().skip(1));
                let count = 1 + rest.map(|(slice, bytes)| *slice = IoSlice::new(bytes)).count();
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
            if self.begun < first.len() {
                return;
            }
            self.begun -= first.len();
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

    #[test]
    fn what_is_cut_leaves_the_frame_that_is_being_written_whole() {
        let mut outbox = Outbox::default();
        let mut taken = Vec::new();
        for part in [&b"abc"[..], b"defgh", b"ijk"] {
            outbox.push(Bytes::from_static(part));
        }
        let mut write = |outbox: &mut Outbox, most: usize| {
            let mut left = most;
            let _ = outbox.flush(|slices| {
                let all: Vec<u8> = slices.iter().flat_map(|s| s.to_vec()).collect();
                let count = left.min(all.len());
                left -= count;
                taken.extend_from_slice(&all[..count]);
                if count == 0 { Err(std::io::ErrorKind::WouldBlock.into()) } else { Ok(count) }
            });
        };
        write(&mut outbox, 5);
        outbox.cut();
        outbox.push(Bytes::from_static(b"!"));
        assert_eq!((outbox.len(), outbox.is_cut()), (4, true));
        write(&mut outbox, 3);
        outbox.cut();
        assert_eq!(outbox.len(), 0, "the frame before was written to its end: nothing is half written");
        outbox.push(Bytes::from_static(b"?"));
        write(&mut outbox, 9);
        assert_eq!(taken, b"abcdefgh?");
    }
}

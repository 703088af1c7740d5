//! What one connection may send: so many WebSocket frames, and not much before it has said who it is.
//!
//! Frames are counted where their bytes come in. Whoever reads messages does not see what they are made of: one of a
//! million empty fragments never comes to its end.

use tidegate_gate::{Bucket, Rate};

use crate::clock::Clock;

/// Frames that a client may send: reports are a few a second, publishes have limits of their own. WebSocket's own pings
/// are among them, for each is answered.
const FRAMES: Rate = Rate { per_second: 2_000, burst: 10_000 };

/// Bytes that may come before a valid `hello`: one with the longest token and all that belongs to it.
pub(super) const BEFORE_HELLO: usize = 64 * 1024;

/// Judges a connection's bytes as they come.
pub(super) struct Intake {
    clock: Clock,
    flood: Bucket,
    meter: FrameMeter,
    /// Bytes that may still come before the `hello`; `None` once it has come.
    before_hello: Option<usize>,
    excess: Option<Excess>,
}

/// What was too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Excess {
    /// Frames.
    #[error("too many frames")]
    Frames,
    /// Bytes before a `hello`.
    #[error("the first frame is too large to be a hello")]
    Hello,
}

impl Intake {
    pub(super) fn new(clock: Clock) -> Self {
        let flood = Bucket::new(FRAMES, clock.now());
        Self { clock, flood, meter: FrameMeter::default(), before_hello: Some(BEFORE_HELLO), excess: None }
    }

    /// A valid `hello` has come.
    pub(super) fn greeted(&mut self) {
        self.before_hello = None;
    }

    /// What was too much, if something was: nothing more is taken since.
    pub(super) fn excess(&self) -> Option<Excess> {
        self.excess
    }

    /// Takes the next bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), Excess> {
        self.excess = self.excess.or_else(|| self.judge(bytes));
        self.excess.map_or(Ok(()), Err)
    }

    fn judge(&mut self, bytes: &[u8]) -> Option<Excess> {
        if let Some(left) = &mut self.before_hello {
            match left.checked_sub(bytes.len()) {
                Some(less) => *left = less,
                None => return Some(Excess::Hello),
            }
        }
        let frames = self.meter.count(bytes);
        (frames > 0 && self.flood.take(frames, self.clock.now()).is_err()).then_some(Excess::Frames)
    }
}

/// Where in the frames the stream stands.
#[derive(Debug, Default)]
struct FrameMeter {
    /// Bytes of the header that have come: as many as matter.
    header: [u8; 10],
    /// How many.
    have: usize,
    /// Bytes of mask and payload that are still to come.
    rest: u64,
}

impl FrameMeter {
    /// Takes the next bytes; how many frames began in them. A frame counts when its length is known.
    fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut frames = 0;
        while let Some((&byte, after)) = bytes.split_first() {
            if self.rest > 0 {
                let skipped = self.rest.min(bytes.len() as u64);
                self.rest -= skipped;
                bytes = &bytes[skipped as usize..];
                continue;
            }
            self.header[self.have] = byte;
            self.have += 1;
            bytes = after;
            if let Some(rest) = self.length() {
                (self.have, self.rest) = (0, rest);
                frames += 1;
            }
        }
        frames
    }

    /// Bytes that follow the header; `None` while it is not whole.
    fn length(&self) -> Option<u64> {
        let header = self.header.get(..self.have)?;
        let second = *header.get(1)?;
        let payload = match second & 0x7F {
            126 => u64::from(u16::from_be_bytes(*header.get(2..)?.first_chunk()?)),
            127 => u64::from_be_bytes(*header.get(2..)?.first_chunk()?),
            short => u64::from(short),
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        Some(payload.saturating_add(mask))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x81];
        match payload {
            0..=125 => frame.push(mask | payload as u8),
            126..=0xFFFF => {
                frame.push(mask | 0x7E);
                frame.extend_from_slice(&(payload as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask | 0x7F);
                frame.extend_from_slice(&(payload as u64).to_be_bytes());
            }
        }
        // Bytes that would be headers, were they not passed over.
        frame.resize(frame.len() + payload + if masked { 4 } else { 0 }, 0x81);
        frame
    }

    #[test]
    fn frames_are_counted_however_the_bytes_come() {
        let sizes = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000, 0, 0];
        let stream: Vec<u8> = sizes.iter().flat_map(|size| frame(*size, size % 2 == 0)).collect();
        for piece in [1, 2, 3, 7, 1024, stream.len()] {
            let mut meter = FrameMeter::default();
            let counted: u64 = stream.chunks(piece).map(|bytes| meter.count(bytes)).sum();
            assert_eq!(counted, sizes.len() as u64, "in pieces of {piece}");
        }
    }

    #[test]
    fn no_length_is_too_long() {
        let mut meter = FrameMeter::default();
        assert_eq!(meter.count(&[0x81, 0xFF, 255, 255, 255, 255, 255, 255, 255, 255]), 1);
        assert_eq!(meter.count(&[0x81; 4096]), 0, "all of it is payload");
    }

    #[test]
    fn much_is_taken_from_those_only_who_said_who_they_are() {
        let mut intake = Intake::new(Clock);
        let large = frame(1 << 20, true);
        assert_eq!(intake.take(&large[..BEFORE_HELLO]), Ok(()));
        assert_eq!(intake.take(&large[..1]), Err(Excess::Hello));
        assert_eq!(intake.take(b""), Err(Excess::Hello), "it stays so");
        let mut intake = Intake::new(Clock);
        intake.greeted();
        assert_eq!(intake.take(&large), Ok(()));
    }

    #[test]
    fn empty_fragments_are_frames() {
        let mut intake = Intake::new(Clock);
        intake.greeted();
        let taken = (0..1_000_000).take_while(|_| intake.take(&[0, 0x80, 0, 0, 0, 0]).is_ok()).count() as u64;
        assert!((FRAMES.burst..1_000_000).contains(&taken), "{taken}");
        assert_eq!(intake.excess(), Some(Excess::Frames));
    }
}

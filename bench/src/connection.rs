//! One session as the load sees it: a socket, frames taken apart with as little work as possible, reports.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use memchr::memmem::{self, Finder};

use crate::event::{SENT, now_ns, sent_at};
use crate::report::Unreported;
use crate::wire::{Reading, Trust, Wire};

/// What a session does with what it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Speaks `tidegate.v1`.
    Tidegate,
    /// Only reads frames, each one event.
    Bare,
    /// Speaks the protocol of NATS, whose frames end anywhere.
    Nats,
}

/// A session.
pub(crate) struct Connection {
    pub(crate) wire: Wire,
    kind: Kind,
    /// The beginning of a frame whose rest has not come.
    rest: Vec<u8>,
    pub(crate) unreported: Unreported,
    pub(crate) closed: bool,
    /// Whether the age of what it receives is noted.
    pub(crate) timed: bool,
    /// The id of the newest publish.
    published: u32,
    /// The end of the last frame, where an event may have been cut.
    cut: Vec<u8>,
}

/// What all sessions together received.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) entries: u64,
    pub(crate) frames: u64,
    pub(crate) pings: u64,
    /// Nanoseconds from the producer's clock to here.
    pub(crate) latency: hdrhistogram::Histogram<u64>,
    pub(crate) measuring: bool,
}

impl Received {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let latency = hdrhistogram::Histogram::new_with_bounds(1000, 60_000_000_000, 3)?;
        Ok(Self { entries: 0, frames: 0, pings: 0, latency, measuring: false })
    }
}

impl Connection {
    /// A socket that only reads.
    pub(crate) fn bare(address: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self::over(Wire::connect(address, None)?, Kind::Bare, Vec::new()))
    }

    /// A WebSocket that gets an event in each frame, unasked.
    pub(crate) fn upgraded(address: SocketAddr) -> anyhow::Result<Self> {
        let mut wire = Wire::connect(address, None)?;
        let rest = upgraded(&mut wire, address, "/", "")?;
        Ok(Self::over(wire, Kind::Bare, rest))
    }

    /// A subscription to a subject of NATS.
    pub(crate) fn nats(address: SocketAddr, subject: &str) -> anyhow::Result<Self> {
        let mut wire = Wire::connect(address, None)?;
        let mut rest = upgraded(&mut wire, address, "/", "")?;
        // It begins by saying who it is.
        let (_, to) = more_until(&mut wire, &mut rest, frame)?;
        rest.drain(..to);
        let said = format!("CONNECT {{\"verbose\":false,\"pedantic\":false}}\r\nSUB {subject} 1\r\nPING\r\n");
        wire.write_all(&masked(BINARY, &said))?;
        let (from, to) = more_until(&mut wire, &mut rest, frame)?;
        ensure!(rest[from..to].starts_with(b"PONG"), "{}", String::from_utf8_lossy(&rest));
        rest.drain(..to);
        Ok(Self::over(wire, Kind::Nats, rest))
    }

    /// A session with one subscription, answered.
    pub(crate) fn open(
        address: SocketAddr,
        trust: Option<&Trust>,
        token: &str,
        client: usize,
        topic: &str,
    ) -> anyhow::Result<Self> {
        let mut wire = Wire::connect(address, trust)?;
        let mut rest = upgraded(&mut wire, address, "/v1/ws", "Sec-WebSocket-Protocol: tidegate.v1\r\n")?;
        let hello = format!(r#"{{"hello":{{"token":"{token}","client":"bench-{client}"}}}}"#);
        let subscribe = format!(r#"{{"subscribe":{{"id":1,"topic":"{topic}"}}}}"#);
        let mut said = masked(TEXT, &hello);
        said.extend_from_slice(&masked(TEXT, &subscribe));
        wire.write_all(&said)?;
        loop {
            let (from, to) = more_until(&mut wire, &mut rest, frame)?;
            let text = &rest[from..to];
            let known = |name: &str| text.starts_with(format!("{{\"{name}\"").as_bytes());
            ensure!(known("welcome") || known("subscribed") || known("state"), "{}", String::from_utf8_lossy(text));
            let done = known("subscribed");
            rest.drain(..to);
            if done {
                return Ok(Self::over(wire, Kind::Tidegate, rest));
            }
        }
    }

    fn over(wire: Wire, kind: Kind, rest: Vec<u8>) -> Self {
        Self {
            wire,
            kind,
            rest,
            unreported: Unreported::default(),
            closed: false,
            timed: true,
            published: 1,
            cut: Vec::new(),
        }
    }

    /// Reads all there is. `true` if the second began after which a report is due.
    pub(crate) fn read(&mut self, buffer: &mut [u8], received: &mut Received) -> anyhow::Result<bool> {
        let mut began = false;
        loop {
            match self.wire.read(buffer) {
                Ok(Reading::Closed) => {
                    self.closed = true;
                    return Ok(began);
                }
                Ok(Reading::Bytes { count, more }) => {
                    began |= self.take(&buffer[..count], received)?;
                    if !more {
                        return Ok(began);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(began),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends the report of what was received.
    pub(crate) fn report(&mut self) -> anyhow::Result<()> {
        let mut text = String::new();
        self.unreported.take(&mut text);
        if text.is_empty() { Ok(()) } else { self.say(&text) }
    }

    /// Publishes an event of its own.
    pub(crate) fn publish(&mut self, topic: &str, event: &str) -> anyhow::Result<()> {
        self.published += 1;
        let id = self.published;
        self.say(&format!(r#"{{"publish":{{"id":{id},"topic":"{topic}","event":{event}}}}}"#))
    }

    fn take(&mut self, bytes: &[u8], received: &mut Received) -> anyhow::Result<bool> {
        if self.rest.is_empty() {
            let (taken, began) = self.frames(bytes, received)?;
            self.rest.extend_from_slice(&bytes[taken..]);
            return Ok(began);
        }
        let mut whole = std::mem::take(&mut self.rest);
        whole.extend_from_slice(bytes);
        let (taken, began) = self.frames(&whole, received)?;
        whole.drain(..taken);
        self.rest = if whole.is_empty() { Vec::new() } else { whole };
        Ok(began)
    }

    fn frames(&mut self, bytes: &[u8], received: &mut Received) -> anyhow::Result<(usize, bool)> {
        let (mut at, mut began) = (0, false);
        while let Some((from, to)) = frame(&bytes[at..]) {
            let expected = if self.kind == Kind::Nats { BINARY } else { TEXT };
            ensure!(bytes[at] == expected, "an unexpected frame: {:#x}: {:?}", bytes[at], &bytes[at..at + to]);
            began |= self.text(&bytes[at + from..at + to], to, received)?;
            at += to;
        }
        Ok((at, began))
    }

    fn text(&mut self, text: &[u8], size: usize, received: &mut Received) -> anyhow::Result<bool> {
        if self.kind == Kind::Bare {
            entries(text, received, self.timed);
            received.frames += 1;
            return Ok(false);
        }
        if self.kind == Kind::Nats {
            self.cut.extend_from_slice(text);
            let whole = std::mem::take(&mut self.cut);
            entries(&whole, received, self.timed);
            received.frames += 1;
            self.cut.extend_from_slice(&whole[whole.len().saturating_sub(SENT.len() - 1)..]);
            if text.ends_with(b"PING\r\n") {
                self.say("PONG\r\n")?;
            }
            return Ok(false);
        }
        if text.starts_with(b"{\"batch\"") {
            let view = number(text, b"\"view\":").context("a batch without a view")?;
            let seq = number(text, b"\"seq\":").context("a batch without a number")?;
            let entries = entries(text, received, self.timed);
            received.frames += 1;
            if self.unreported.is_of_other(view) {
                self.report()?;
            }
            return Ok(self.unreported.batch(Instant::now(), view, seq, entries, size));
        }
        if text.starts_with(b"{\"ping\"") {
            received.pings += 1;
            self.say(r#"{"pong":{}}"#)?;
            return Ok(false);
        }
        // A state tells of a log that is slow to answer: what comes of it is seen in the figures.
        if [&b"{\"moved\""[..], b"{\"published\"", b"{\"state\""].iter().any(|known| text.starts_with(known)) {
            return Ok(false);
        }
        bail!("{}", String::from_utf8_lossy(text))
    }

    fn say(&mut self, text: &str) -> anyhow::Result<()> {
        let bytes = masked(if self.kind == Kind::Nats { BINARY } else { TEXT }, text);
        self.wire.write_all(&bytes).context("the server does not read")
    }
}

/// Bytes between the times in two events, at the least: they stand at the end of envelopes of 200 bytes and more. What
/// need not be looked at leaves the load more of its core.
const APART: usize = 160;

/// Counts the events of a frame and notes how old they are.
fn entries(text: &[u8], received: &mut Received, timed: bool) -> u32 {
    thread_local! {
        static FINDER: Finder<'static> = Finder::new(SENT);
    }
    let mut count = 0;
    let timed = timed && received.measuring;
    let now = if timed { now_ns() } else { 0 };
    FINDER.with(|finder| {
        let mut rest = text;
        while let Some(at) = finder.find(rest) {
            count += 1;
            rest = &rest[at + SENT.len()..];
            if timed {
                received.latency.saturating_record(now.saturating_sub(sent_at(rest)));
            }
            rest = &rest[APART.min(rest.len())..];
        }
    });
    received.entries += u64::from(count);
    count
}

/// The number behind a name near the beginning of a frame.
fn number(text: &[u8], name: &[u8]) -> Option<u64> {
    let head = &text[..text.len().min(64)];
    memmem::find(head, name).map(|at| sent_at(&text[at + name.len()..]))
}

/// Where the payload of the first frame lies, if all of it is there.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let (from, length) = match *bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        length => (2, usize::from(length)),
    };
    (bytes.len() >= from + length).then_some((from, from + length))
}

/// Whether the bridge there takes sessions, as it says itself.
pub(crate) fn is_ready(address: SocketAddr, trust: Option<&Trust>) -> anyhow::Result<bool> {
    let mut wire = Wire::connect(address, trust)?;
    wire.write_all(format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    more_until(&mut wire, &mut Vec::new(), |answer| (answer.len() > 12).then(|| answer.starts_with(b"HTTP/1.1 200")))
}

/// Reads until `found` finds what it looks for.
fn more_until<T>(wire: &mut Wire, rest: &mut Vec<u8>, found: impl Fn(&[u8]) -> Option<T>) -> anyhow::Result<T> {
    let mut buffer = vec![0; 48 * 1024];
    loop {
        if let Some(found) = found(rest) {
            return Ok(found);
        }
        match wire.read(&mut buffer)? {
            Reading::Closed => bail!("closed by the server: {}", String::from_utf8_lossy(rest)),
            Reading::Bytes { count, .. } => rest.extend_from_slice(&buffer[..count]),
        }
    }
}

/// Writes the length of a frame, behind its first byte.
pub(crate) fn header(out: &mut Vec<u8>, length: usize, masked: bool) {
    let mask = if masked { 0x80 } else { 0 };
    match length {
        0..=125 => out.push(mask + length as u8),
        126..=0xFFFF => {
            out.push(mask + 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(mask + 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// Opens a WebSocket: what was read beyond the answer.
fn upgraded(wire: &mut Wire, address: SocketAddr, path: &str, more: &str) -> anyhow::Result<Vec<u8>> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGlkZWdhdGUgYmVuY2g0Ng==\r\n{more}\r\n"
    );
    wire.write_all(request.as_bytes())?;
    let mut rest = Vec::new();
    let end = more_until(wire, &mut rest, |rest| memmem::find(rest, b"\r\n\r\n"))?;
    ensure!(rest.starts_with(b"HTTP/1.1 101"), "no upgrade: {}", String::from_utf8_lossy(&rest));
    rest.drain(..end + 4);
    Ok(rest)
}

/// The first byte of a frame of text.
const TEXT: u8 = 0x81;

/// The first byte of a frame of bytes.
const BINARY: u8 = 0x82;

/// A frame from a client.
fn masked(kind: u8, text: &str) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = Vec::with_capacity(text.len() + 14);
    out.push(kind);
    header(&mut out, text.len(), true);
    out.extend_from_slice(&MASK);
    out.extend(text.bytes().enumerate().map(|(at, byte)| byte ^ MASK[at % 4]));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Events;

    #[test]
    fn frames_are_found_when_they_are_whole() {
        let mut bytes = vec![0x81];
        header(&mut bytes, 300, false);
        assert_eq!(frame(&bytes), None);
        bytes.resize(304, b'x');
        assert_eq!(frame(&bytes), Some((4, 304)));
        assert_eq!(frame(b"\x81\x02hi"), Some((2, 4)));
    }

    #[test]
    fn events_are_counted_and_numbers_read() {
        let mut received = Received::new().expect("bounds");
        received.measuring = true;
        let mut events = Events::new();
        let three = [(); 3].map(|()| events.next(0, 0).1).join(",");
        let text = format!(r#"{{"batch":{{"view":12,"seq":345,"entries":[{three}],"cursor":""}}}}"#);
        let text = text.as_bytes();
        assert_eq!(entries(text, &mut received, true), 3);
        assert_eq!((number(text, b"\"view\":"), number(text, b"\"seq\":")), (Some(12), Some(345)));
        assert_eq!(received.latency.len(), 3);
    }

    #[test]
    fn a_client_masks() {
        let bytes = masked(TEXT, "hi");
        assert_eq!(bytes[..2], [0x81, 0x82]);
        assert_eq!([bytes[6] ^ bytes[2], bytes[7] ^ bytes[3]], *b"hi");
    }
}

//! Which transport to try: a WebSocket, or a stream over HTTP where a proxy breaks WebSockets.
//!
//! An attempt *fails* when it came to nothing without a word of a bridge: no error frame, none of its close codes. A
//! few failures in a row over WebSocket, and a stream is tried at once. Where that works the page stays with it, and a
//! WebSocket is tried again now and then, at a reconnect; where it does not, the bridge itself is away, most likely.

use super::words::{Transport, Transports};

/// Failures in a row after which a stream is tried.
const ENOUGH: u32 = 2;
/// The same where WebSockets have worked: it is rather the bridge or the network that is away.
const ENOUGH_WHERE_IT_WORKED: u32 = 6;
/// How long an attempt may take until `welcome`.
const HANDSHAKE_MS: u64 = 15_000;
/// The same over a WebSocket while it is unknown whether one works here.
const UNKNOWN_MS: u64 = 5000;
/// How long streams are used before a WebSocket is tried again, if they need to reconnect; twice as long each time.
const AGAIN_MS: u64 = 60_000;
const LONGEST_AGAIN_MS: u64 = 3_600_000;

#[derive(Debug)]
pub(super) struct Choice {
    allowed: Transports,
    current: Transport,
    /// Over WebSocket, in a row.
    failures: u32,
    /// A session over WebSocket has lasted.
    works: bool,
    again_after: u64,
    again_at: u64,
}

impl Choice {
    pub(super) fn new(allowed: Transports) -> Self {
        let current = if allowed == Transports::Stream { Transport::Stream } else { Transport::WebSocket };
        Self { allowed, current, failures: 0, works: false, again_after: AGAIN_MS, again_at: 0 }
    }

    /// What is tried or used.
    pub(super) fn current(&self) -> Transport {
        self.current
    }

    /// Chooses for an attempt that begins now.
    pub(super) fn choose(&mut self, now: u64) {
        if self.allowed == Transports::Auto && self.current == Transport::Stream && now >= self.again_at {
            self.current = Transport::WebSocket;
            self.failures = ENOUGH - 1;
            self.works = false;
        }
    }

    /// How long the attempt may take.
    pub(super) fn patience(&self) -> u64 {
        let unknown = self.allowed == Transports::Auto && self.current == Transport::WebSocket && !self.works;
        if unknown { UNKNOWN_MS } else { HANDSHAKE_MS }
    }

    /// An attempt failed, or a session as soon as it had begun. Says whether to try the other transport at once.
    pub(super) fn failed(&mut self, now: u64, hung: bool) -> bool {
        if self.allowed != Transports::Auto {
            return false;
        }
        if self.current == Transport::Stream {
            self.current = Transport::WebSocket;
            self.failures = if self.works { 0 } else { ENOUGH - 1 };
            self.again_after = AGAIN_MS;
            return false;
        }
        // One that hung has cost the page its time already.
        self.failures += if hung { ENOUGH } else { 1 };
        let enough = self.failures >= if self.works { ENOUGH_WHERE_IT_WORKED } else { ENOUGH };
        if enough {
            self.current = Transport::Stream;
            self.again_at = now + self.again_after;
            self.again_after = (self.again_after * 2).min(LONGEST_AGAIN_MS);
        }
        enough
    }

    /// A session lasted.
    pub(super) fn lasted(&mut self) {
        if self.current == Transport::WebSocket {
            self.failures = 0;
            self.works = true;
            self.again_after = AGAIN_MS;
        }
    }

    /// The network is perhaps another one, where what was learnt does not hold.
    pub(super) fn forget(&mut self) {
        self.again_at = 0;
        self.works = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tries until a stream is chosen; answers with how many WebSockets were tried before.
    fn sockets_before_a_stream(choice: &mut Choice, now: u64) -> u32 {
        choice.choose(now);
        let mut tried = 0;
        while choice.current() == Transport::WebSocket {
            tried += 1;
            assert_eq!(choice.failed(now, false), choice.current() == Transport::Stream);
        }
        tried
    }

    #[test]
    fn two_failures_or_one_that_hung_and_a_stream_is_tried() {
        let mut choice = Choice::new(Transports::Auto);
        assert_eq!((choice.current(), choice.patience()), (Transport::WebSocket, 5000));
        assert_eq!(sockets_before_a_stream(&mut choice, 0), 2);
        assert_eq!(choice.patience(), 15_000);
        assert!(Choice::new(Transports::Auto).failed(0, true));
    }

    #[test]
    fn a_websocket_is_tried_once_more_now_and_then() {
        let mut choice = Choice::new(Transports::Auto);
        sockets_before_a_stream(&mut choice, 0);
        let mut tries = Vec::new();
        for minute in 0..1000 {
            if sockets_before_a_stream(&mut choice, minute * 60_000) == 1 {
                tries.push(minute);
            }
        }
        assert_eq!(tries[..7], [1, 3, 7, 15, 31, 63, 123]);
        choice.choose(3_600_000_000);
        choice.lasted();
        assert_eq!((choice.current(), choice.patience()), (Transport::WebSocket, 15_000));
    }

    #[test]
    fn where_neither_works_both_are_tried_in_turn() {
        let mut choice = Choice::new(Transports::Auto);
        sockets_before_a_stream(&mut choice, 0);
        for _ in 0..3 {
            assert!(!choice.failed(0, false));
            assert_eq!(sockets_before_a_stream(&mut choice, 0), 1);
        }
    }

    #[test]
    fn where_websockets_worked_it_takes_more() {
        let mut choice = Choice::new(Transports::Auto);
        choice.lasted();
        assert_eq!(sockets_before_a_stream(&mut choice, 0), 6);
        assert!(!choice.failed(0, true));
        assert_eq!(sockets_before_a_stream(&mut choice, 0), 6);
        choice.forget();
        choice.choose(0);
        assert_eq!(sockets_before_a_stream(&mut choice, 0), 1);
    }

    #[test]
    fn what_is_not_allowed_is_not_tried() {
        for (allowed, only) in [(Transports::WebSocket, Transport::WebSocket), (Transports::Stream, Transport::Stream)]
        {
            let mut choice = Choice::new(allowed);
            for now in [0, 10_000_000] {
                choice.choose(now);
                assert_eq!((choice.current(), choice.patience(), choice.failed(now, true)), (only, 15_000, false));
            }
        }
    }
}

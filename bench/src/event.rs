//! Events as a backend writes them: ids, types, keys and times vary, and each says when it was sent.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// What stands before the time of sending, once in each event.
pub(crate) const SENT: &[u8] = b"\"sent\":";

const TYPES: [&str; 8] = [
    "order.created",
    "order.paid",
    "order.packed",
    "order.shipped",
    "order.delivered",
    "order.returned",
    "cart.changed",
    "stock.counted",
];

/// The name of the tenant of this number.
pub(crate) fn tenant(number: usize) -> String {
    format!("tenant-{number}")
}

/// The name of the subject of this number.
pub(crate) fn user(number: usize) -> String {
    format!("user-{number}")
}

/// Nanoseconds on the machine's monotonic clock, which all its processes share and nobody sets.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// Milliseconds since the epoch.
pub(crate) fn epoch_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Makes events, one after the other.
pub(crate) struct Events {
    number: u64,
    random: u64,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self { number: 0, random: epoch_ms() << 20 | 1 }
    }

    /// The next event's key and envelope, sent now: of this tenant, about this user.
    pub(crate) fn next(&mut self, tenant: usize, user: usize) -> (String, String) {
        self.number += 1;
        let at = now_ns();
        let order = 1000 + self.draw() % 9000;
        let event_type = TYPES[(self.draw() % 8) as usize];
        let ms = epoch_ms();
        let id = self.uuid(ms);
        let (seconds, millis) = (ms / 1000 % 60, ms % 1000);
        // The day does not matter, the length does.
        let time = format!("2026-11-21T12:00:{seconds:02}.{millis:03}Z");
        let envelope = format!(
            r#"{{"version":"1.0","id":"{id}","type":"{event_type}","correlation_id":"{id}","timestamp":"{time}","tenant_id":"tenant-{tenant}","data":{{"user":"user-{user}","order":{order},"sent":{at}}}}}"#
        );
        (format!("order/{order}"), envelope)
    }

    /// The next event as a page publishes it: the bridge knows the rest.
    pub(crate) fn bare(&mut self) -> String {
        let (at, order) = (now_ns(), 1000 + self.draw() % 9000);
        let event_type = TYPES[(self.draw() % 8) as usize];
        format!(r#"{{"type":"{event_type}","data":{{"order":{order},"sent":{at}}}}}"#)
    }

    fn uuid(&mut self, millis: u64) -> String {
        let (a, b) = (self.draw(), self.draw());
        let time = format!("{millis:012x}");
        format!(
            "{}-{}-7{:03x}-{:04x}-{:012x}",
            &time[..8],
            &time[8..],
            a & 0xFFF,
            0x8000 | (b >> 48 & 0x3FFF),
            b & 0xFFFF_FFFF_FFFF
        )
    }

    /// xorshift64: enough to make ids differ.
    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

/// Says when the next event is due, at a steady pace.
pub(crate) struct Pace {
    began: Instant,
    rate: f64,
    sent: u64,
}

impl Pace {
    pub(crate) fn new(rate: f64) -> Self {
        Self { began: Instant::now(), rate, sent: 0 }
    }

    /// Counts one event if it is due.
    pub(crate) fn take(&mut self) -> bool {
        let due = self.wait().is_zero();
        self.sent += u64::from(due);
        due
    }

    /// How long until the next one is due.
    pub(crate) fn wait(&self) -> Duration {
        (self.began + Duration::from_secs_f64(self.sent as f64 / self.rate)).saturating_duration_since(Instant::now())
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }
}

/// When an event was sent, read behind [`SENT`].
pub(crate) fn sent_at(after_marker: &[u8]) -> u64 {
    let digits = after_marker.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_an_envelope_of_some_200_bytes() {
        let mut events = Events::new();
        let (key, envelope) = events.next(0, 7);
        let read: serde_json::Value = serde_json::from_str(&envelope).expect("JSON");
        assert!(key.starts_with("order/"));
        assert_eq!((&read["tenant_id"], &read["data"]["user"]), (&tenant(0).into(), &user(7).into()));
        assert_eq!(read["id"].as_str().map(str::len), Some(36));
        assert!((200..=280).contains(&envelope.len()), "{} bytes", envelope.len());
        assert_ne!(events.next(0, 7).1, envelope);
    }

    #[test]
    fn the_time_is_read_back() {
        let envelope = Events::new().next(0, 0).1;
        let at = memchr::memmem::find(envelope.as_bytes(), SENT).expect("the marker") + SENT.len();
        let age = now_ns() - sent_at(&envelope.as_bytes()[at..]);
        assert!(age < 60_000_000_000, "{age} ns");
    }
}

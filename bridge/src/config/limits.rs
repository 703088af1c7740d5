//! `[limits]`: what one session may take and send.

use tidegate_gate::Rate;

use super::section::Section;

/// `[limits]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one frame from a client.
    pub frame_bytes: usize,
    /// Bytes of one event.
    pub event_bytes: usize,
    /// Bytes of batches that may be sent and not yet dispatched.
    pub credit_bytes: usize,
    /// Deliveries that may be unsettled.
    pub unsettled: usize,
    /// Subscriptions of one session.
    pub subscriptions: usize,
    /// Events that a session may publish.
    pub publish_events: Rate,
    /// Bytes that a session may publish.
    pub publish_bytes: Rate,
    /// Bytes beyond credit that may wait for a socket before its session is closed.
    pub outbox_bytes: usize,
}

/// What a `publish` frame has around its event, and a `hello` around its token.
const AROUND: u64 = 64 << 10;

pub(super) fn read(mut section: Section<'_>) -> Limits {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    let event = section.size("event_bytes", KIB..=64 * MIB).unwrap_or(MIB);
    let frame = section.size("frame_bytes", 32 * KIB..=65 * MIB).unwrap_or(event + AROUND);
    if frame < event + 4 * KIB {
        let problem = "must be at least 4KiB more than limits.event_bytes, else such an event can not be published";
        section.problem("frame_bytes", problem);
    }
    let outbox = section.size("outbox_bytes", 64 * KIB..=256 * MIB).unwrap_or(event + 256 * KIB);
    if outbox < event + AROUND {
        let problem = "must be at least 64KiB more than limits.event_bytes, else such an event closes a session";
        section.problem("outbox_bytes", problem);
    }
    let events_per_s = section.count("publish_events_per_s", 1..=1_000_000).unwrap_or(200);
    let bytes_per_s = section.size("publish_bytes_per_s", KIB..=1 << 40).unwrap_or(MIB);
    let limits = Limits {
        frame_bytes: frame as usize,
        event_bytes: event as usize,
        credit_bytes: section.size("credit_bytes", 16 * KIB..=256 * MIB).unwrap_or(256 * KIB) as usize,
        unsettled: section.count("unsettled", 1..=10_000_000).unwrap_or(10_000) as usize,
        subscriptions: section.count("subscriptions", 1..=100_000).unwrap_or(64) as usize,
        // A page that comes back has two seconds' worth waiting.
        publish_events: Rate { per_second: events_per_s, burst: 2 * events_per_s },
        publish_bytes: Rate { per_second: bytes_per_s, burst: (2 * bytes_per_s).max(event) },
        outbox_bytes: outbox as usize,
    };
    section.finish();
    limits
}

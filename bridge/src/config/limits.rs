//! `[limits]`: what one session may take and send, and what one tenant may take of a node.

use tidegate_gate::{Rate, TenantLimitTable, TenantLimits};
use tidegate_protocol::ids;

use super::section::Section;

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// What a tenant may take of this node, by all its sessions together.
    pub tenants: TenantLimitTable,
}

/// How an override says that a tenant has no such limit.
const UNLIMITED: &str = "unlimited";

/// What a `publish` frame has around its event, and a `hello` around its token.
const AROUND: u64 = 64 << 10;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

pub(super) fn read(mut section: Section<'_>) -> Limits {
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
        tenants: tenants(&mut section, event),
    };
    section.finish();
    limits
}

/// `[limits.tenant]` for every tenant, `[limits.tenants.NAME]` for one: what it does not say is as for every other.
fn tenants(section: &mut Section<'_>, event: u64) -> TenantLimitTable {
    let usual = tenant(section.section_or_empty("tenant"), TenantLimits::default(), event);
    let own = section.section_or_empty("tenants");
    let read = |(name, section): (&str, Section<'_>)| {
        if !ids::is_tenant(name) {
            section.problem_here("no tenant has this name: 1 to 64 of letters, digits, '_' and '-'");
        }
        (name.into(), tenant(section, usual, event))
    };
    TenantLimitTable { usual, of: own.sections().into_iter().map(read).collect() }
}

fn tenant(mut section: Section<'_>, usual: TenantLimits, event: u64) -> TenantLimits {
    let count = |section: &mut Section<'_>, key, most| limit(section, key, |it, key| it.count(key, 1..=most));
    let events = |it: &mut Section<'_>, key| it.count(key, 1..=100_000_000);
    let bytes = |it: &mut Section<'_>, key| it.size(key, KIB..=1 << 40);
    let limits = TenantLimits {
        sessions: count(&mut section, "sessions", 10_000_000).or(usual.sessions),
        subscriptions: count(&mut section, "subscriptions", 100_000_000).or(usual.subscriptions),
        publish_events: rate(&mut section, ["publish_events_per_s", "publish_events_burst"], 1, events)
            .or(usual.publish_events),
        publish_bytes: rate(&mut section, ["publish_bytes_per_s", "publish_bytes_burst"], event, bytes)
            .or(usual.publish_bytes),
        replay_bytes: rate(&mut section, ["replay_bytes_per_s", "replay_bytes_burst"], KIB, bytes)
            .or(usual.replay_bytes),
    };
    section.finish();
    limits
}

/// What is said of a limit.
enum Stated<T> {
    Nothing,
    Unlimited,
    At(T),
}

impl<T> Stated<T> {
    /// The limit, as it is said or else usual.
    fn or(self, usual: Option<T>) -> Option<T> {
        match self {
            Self::Nothing => usual,
            Self::Unlimited => None,
            Self::At(limit) => Some(limit),
        }
    }
}

fn limit<'a, T>(
    section: &mut Section<'a>,
    key: &'static str,
    read: impl FnOnce(&mut Section<'a>, &'static str) -> Option<T>,
) -> Stated<T> {
    if section.says(key, UNLIMITED) {
        return Stated::Unlimited;
    }
    read(section, key).map_or(Stated::Nothing, Stated::At)
}

/// So many a second, and so many at once: twice as many, unless said otherwise, and at least `least`.
fn rate<'a>(
    section: &mut Section<'a>,
    [per_second, burst]: [&'static str; 2],
    least: u64,
    mut read: impl FnMut(&mut Section<'a>, &'static str) -> Option<u64>,
) -> Stated<Rate> {
    let stated = limit(section, per_second, &mut read);
    let at_once = read(section, burst);
    match stated {
        Stated::At(per_second) => {
            Stated::At(Rate { per_second, burst: at_once.unwrap_or((2 * per_second).max(least)) })
        }
        Stated::Nothing | Stated::Unlimited => {
            if section.has(burst) {
                section.problem(burst, format!("needs {}, a number, beside it", section.name(per_second)));
            }
            if matches!(stated, Stated::Unlimited) { Stated::Unlimited } else { Stated::Nothing }
        }
    }
}

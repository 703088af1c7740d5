//! The metrics themselves. Tenants are no label: there may be very many; the ledger has them.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tidegate_protocol::ledger::Counts;
use tidegate_protocol::timestamp::Millis;

use super::names;
use crate::ledger::NodeSnapshot;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    topic: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByLimit {
    limit: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTopic {
    topic: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTopicAndKind {
    topic: String,
    kind: &'static str,
}

/// Counts what happens on a node. Everything here is counted where it happens, and nothing waits for it.
#[derive(Debug, Default)]
pub struct Metrics {
    quarantined: Family<ByReason, Counter>,
    withheld: Family<ByReason, Counter>,
    connections: Gauge,
    refused: Family<ByOutcome, Counter>,
    handshakes: Family<ByOutcome, Counter>,
    tls_handshakes: Family<ByOutcome, Counter>,
    frames: Counter,
    published: Family<ByOutcome, Counter>,
    limited: Family<ByLimit, Counter>,
    sessions_revoked: Counter,
    reloads: Family<ByOutcome, Counter>,
    reload_failed: Gauge,
    loaded: Gauge,
    revocations: Gauge,
    revocation_records: Counter,
    revocation_records_unreadable: Counter,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A record was quarantined.
    pub fn quarantined(&self, topic: &str, reason: &'static str) {
        self.quarantined.get_or_create(&ByReason { topic: topic.to_owned(), reason }).inc();
    }

    /// Events were withheld, for a reason other than that they are somebody else's.
    pub fn withheld(&self, topic: &str, reason: &'static str, events: u64) {
        self.withheld.get_or_create(&ByReason { topic: topic.to_owned(), reason }).inc_by(events);
    }

    /// A connection was opened.
    pub fn connected(&self) {
        self.connections.inc();
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        usize::try_from(self.connections.get()).unwrap_or_default()
    }

    /// A connection was closed.
    pub fn disconnected(&self) {
        self.connections.dec();
    }

    /// A connection was refused before the handshake.
    pub fn refused(&self, outcome: &'static str) {
        self.refused.get_or_create(&ByOutcome { outcome }).inc();
    }

    /// A handshake ended: `ok`, or an error code's name.
    pub fn handshake(&self, outcome: &'static str) {
        self.handshakes.get_or_create(&ByOutcome { outcome }).inc();
    }

    /// A TLS handshake ended: `full`, `resumed` or `failed`.
    pub fn tls_handshake(&self, outcome: &'static str) {
        self.tls_handshakes.get_or_create(&ByOutcome { outcome }).inc();
    }

    /// A client sent a frame.
    pub fn frame(&self) {
        self.frames.inc();
    }

    /// The log answered a publish: `ok`, or an error code's name.
    pub fn published(&self, outcome: &'static str) {
        self.published.get_or_create(&ByOutcome { outcome }).inc();
    }

    /// A revocation ended so many sessions.
    pub fn sessions_revoked(&self, count: usize) {
        self.sessions_revoked.inc_by(count as u64);
    }

    /// A tenant was held back by a limit of its own.
    pub fn limited(&self, limit: &'static str) {
        self.limited.get_or_create(&ByLimit { limit }).inc();
    }

    /// The rules that apply were read then.
    pub fn rules_loaded(&self, at: Millis) {
        self.loaded.set(at / 1000);
    }

    /// A reload of the configuration was applied.
    pub fn reload_applied(&self, at: Millis) {
        self.reloads.get_or_create(&ByOutcome { outcome: "applied" }).inc();
        self.reload_failed.set(0);
        self.rules_loaded(at);
    }

    /// A reload of the configuration was refused: the older rules stay.
    pub fn reload_refused(&self) {
        self.reloads.get_or_create(&ByOutcome { outcome: "refused" }).inc();
        self.reload_failed.set(1);
    }

    /// So many revocations hold.
    pub fn revocations(&self, count: usize) {
        self.revocations.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A record of a revocation was read.
    pub fn revocation_read(&self) {
        self.revocation_records.inc();
    }

    /// It could not be understood.
    pub fn revocation_unreadable(&self) {
        self.revocation_records_unreadable.inc();
    }

    /// All of it and the ledger's totals, as Prometheus (`OpenMetrics`) text.
    pub fn text(&self, ledger: &NodeSnapshot, log_available: bool) -> String {
        let mut registry = Registry::with_prefix("tidegate");
        add(&mut registry, names::QUARANTINED, self.quarantined.clone());
        add(&mut registry, names::WITHHELD, self.withheld.clone());
        add(&mut registry, names::CONNECTIONS, self.connections.clone());
        add(&mut registry, names::REFUSED, self.refused.clone());
        add(&mut registry, names::HANDSHAKES, self.handshakes.clone());
        add(&mut registry, names::TLS_HANDSHAKES, self.tls_handshakes.clone());
        add(&mut registry, names::FRAMES, self.frames.clone());
        add(&mut registry, names::PUBLISHED, self.published.clone());
        add(&mut registry, names::LIMITED, self.limited.clone());
        add(&mut registry, names::REVOCATIONS, self.revocations.clone());
        add(&mut registry, names::REVOCATION_RECORDS, self.revocation_records.clone());
        add(&mut registry, names::REVOCATION_RECORDS_UNREADABLE, self.revocation_records_unreadable.clone());
        add(&mut registry, names::SESSIONS_REVOKED, self.sessions_revoked.clone());
        add(&mut registry, names::RELOADS, self.reloads.clone());
        add(&mut registry, names::RELOAD_FAILED, self.reload_failed.clone());
        add(&mut registry, names::LOADED, self.loaded.clone());
        let available: Gauge = Gauge::default();
        available.set(i64::from(log_available));
        add(&mut registry, names::LOG_AVAILABLE, available);
        add_ledger(ledger, &mut registry);
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

fn add(registry: &mut Registry, (name, help): (&str, &str), metric: impl prometheus_client::registry::Metric) {
    registry.register(name, help, metric);
}

fn add_ledger(ledger: &NodeSnapshot, registry: &mut Registry) {
    let deliveries: Family<ByTopicAndKind, Counter> = Family::default();
    let in_flight: Family<ByTopic, Gauge> = Family::default();
    let records: Family<ByTopicAndKind, Counter> = Family::default();
    let lag: Family<ByTopic, Gauge> = Family::default();
    let sessions: Family<ByKind, Gauge> = Family::default();
    let mut sum = Counts::default();
    for (key, counts) in &ledger.rows {
        sum.add(counts);
        let topic = key.topic.to_string();
        for (kind, count) in [
            ("sent", counts.sent),
            ("received", counts.received),
            ("consumed", counts.consumed),
            ("dead_lettered", counts.dead_lettered),
            ("given_up", counts.given_up),
            ("abandoned", counts.abandoned),
            ("failed", counts.failed),
            ("unhandled", counts.unhandled),
            ("unreported", counts.unreported),
        ] {
            deliveries.get_or_create(&ByTopicAndKind { topic: topic.clone(), kind }).inc_by(count);
        }
        in_flight.get_or_create(&ByTopic { topic }).inc_by(counts.in_flight.cast_signed());
    }
    let mut law_3 = true;
    for (topic, reading) in &ledger.topics {
        law_3 &= reading.law_3().is_ok();
        let kinds =
            [("event", reading.events), ("tombstone", reading.tombstones), ("quarantined", reading.quarantined)];
        for (kind, count) in kinds {
            records.get_or_create(&ByTopicAndKind { topic: topic.to_string(), kind }).inc_by(count);
        }
        lag.get_or_create(&ByTopic { topic: topic.to_string() }).set(reading.lag.cast_signed());
    }
    for of in ledger.sessions.values() {
        for (kind, count) in [("open", of.open), ("paused", of.paused), ("behind", of.behind)] {
            sessions.get_or_create(&ByKind { kind }).inc_by(count.cast_signed());
        }
    }
    let imbalance: Gauge = Gauge::default();
    imbalance.set(i64::from(sum.law_1().is_err() || !law_3));
    add(registry, names::DELIVERIES, deliveries);
    add(registry, names::IN_FLIGHT, in_flight);
    add(registry, names::RECORDS, records);
    add(registry, names::LAG, lag);
    add(registry, names::SESSIONS, sessions);
    add(registry, names::IMBALANCE, imbalance);
}

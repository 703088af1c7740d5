//! The names of all metrics, in one place. `tidegate_` comes before each, and counters end in `_total`.

pub(super) const QUARANTINED: (&str, &str) = ("quarantined_records", "Records that are no valid event, by reason");
pub(super) const WITHHELD: (&str, &str) = (
    "withheld_events",
    "Events that were withheld because a grant's condition could not be decided about them: once for each condition",
);
pub(super) const CONNECTIONS: (&str, &str) =
    ("connections", "Connections that are open: WebSockets, and streams over HTTP");
pub(super) const REFUSED: (&str, &str) = ("connections_refused", "Connections that were refused, by reason");
pub(super) const HANDSHAKES: (&str, &str) = ("handshakes", "Handshakes, by outcome");
pub(super) const TLS_HANDSHAKES: (&str, &str) = ("tls_handshakes", "TLS handshakes, by outcome: full, resumed, failed");
pub(super) const FRAMES: (&str, &str) = ("client_frames", "Frames that clients sent");
pub(super) const PUBLISHED: (&str, &str) = ("published_events", "Publishes that the log answered, by outcome");
pub(super) const LIMITED: (&str, &str) =
    ("tenant_limited", "How often a tenant was refused or made to wait by a limit of its own, by limit");
pub(super) const SESSIONS: (&str, &str) = ("sessions", "Sessions, by what they are doing");
pub(super) const DELIVERIES: (&str, &str) = ("deliveries", "Deliveries by topic and by what became of them");
pub(super) const IN_FLIGHT: (&str, &str) = ("deliveries_in_flight", "Deliveries received and not settled, by topic");
pub(super) const RECORDS: (&str, &str) =
    ("feed_records", "Records that the live feed read, by topic and by what they are");
pub(super) const LAG: (&str, &str) = ("feed_lag_records", "Records between the live feed and the end of the log");
pub(super) const IMBALANCE: (&str, &str) =
    ("ledger_imbalance", "1 while a law of the ledger does not hold on this node");
pub(super) const REVOCATIONS: (&str, &str) = ("revocations", "Revocations that hold");
pub(super) const REVOCATION_RECORDS: (&str, &str) = ("revocation_records", "Records of revocations that were read");
pub(super) const REVOCATION_RECORDS_UNREADABLE: (&str, &str) =
    ("revocation_records_unreadable", "Records of revocations that could not be read");
pub(super) const SESSIONS_REVOKED: (&str, &str) = ("sessions_revoked", "Open sessions that a revocation ended");
pub(super) const LOG_AVAILABLE: (&str, &str) = ("log_available", "1 while the log can be reached");
pub(super) const RELOADS: (&str, &str) =
    ("policy_reloads", "Reloads of the configuration, by outcome: applied, or refused for what is wrong with it");
pub(super) const RELOAD_FAILED: (&str, &str) =
    ("policy_reload_failed", "1 while the last reload was refused and older rules apply");
pub(super) const LOADED: (&str, &str) =
    ("policy_loaded_timestamp_seconds", "When the rules that apply were read, in seconds since 1970");

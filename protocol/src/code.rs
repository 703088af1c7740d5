//! The two tables that are protocol: error codes and close codes.

/// Defines [`ErrorCode`] from one table, so that a code's name, retryability and text can't drift apart.
macro_rules! error_codes {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal, retryable: $retryable:literal;)*) => {
        /// Stable codes of error frames and of rejected calls.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[doc = $doc])* $variant),* }

        impl ErrorCode {
            /// Every code, in the table's order.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The code as it stands on the wire.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Whether trying the same again later can succeed.
            pub fn retryable(self) -> bool {
                match self { $(Self::$variant => $retryable),* }
            }

            /// The code of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

error_codes! {
    /// The frame is not JSON, or a member is missing or of the wrong kind.
    MalformedFrame = "malformed_frame", retryable: false;
    /// A frame this side does not know and that was not marked optional.
    UnknownFrame = "unknown_frame", retryable: false;
    /// Specified, but not done by this bridge.
    Unsupported = "unsupported", retryable: false;
    /// The frame is larger than `limits.frame_bytes`.
    FrameTooLarge = "frame_too_large", retryable: false;
    /// No `hello` came in time.
    HandshakeTimeout = "handshake_timeout", retryable: true;
    /// The token is not valid here.
    InvalidToken = "invalid_token", retryable: false;
    /// The token has expired.
    TokenExpired = "token_expired", retryable: true;
    /// The keys that tokens are verified with can not be had right now.
    KeysUnavailable = "keys_unavailable", retryable: true;
    /// The token was revoked, or the session.
    Revoked = "revoked", retryable: false;
    /// The node does not know yet, or no longer, what has been revoked, and takes no sessions meanwhile.
    NotReady = "not_ready", retryable: true;
    /// No grant allows it. Also said of what does not exist, so that the two can't be told apart.
    Denied = "denied", retryable: false;
    /// The client already has a subscription of that topic and consumer.
    AlreadySubscribed = "already_subscribed", retryable: false;
    /// The tenant has as many sessions on this node as it may have.
    TooManySessions = "too_many_sessions", retryable: true;
    /// More subscriptions than `limits.subscriptions`, or than the tenant may have on this node.
    TooManySubscriptions = "too_many_subscriptions", retryable: false;
    /// No such subscription in this session.
    UnknownSubscription = "unknown_subscription", retryable: false;
    /// How the topic lies on the log or is read has changed: the subscription has to be asked for again.
    TopicChanged = "topic_changed", retryable: true;
    /// The cursor is forged, of another tenant or topic, or of keys no longer held.
    InvalidCursor = "invalid_cursor", retryable: false;
    /// The event is not a valid envelope.
    InvalidEvent = "invalid_event", retryable: false;
    /// The event is larger than `limits.event_bytes`.
    EventTooLarge = "event_too_large", retryable: false;
    /// More published than the rate allows.
    RateLimited = "rate_limited", retryable: true;
    /// The log is away.
    LogUnavailable = "log_unavailable", retryable: true;
    /// The log refused the event for good.
    LogRejected = "log_rejected", retryable: false;
    /// The socket broke before the answer: the event may or may not be on the log.
    OutcomeUnknown = "outcome_unknown", retryable: true;
    /// A report about what was not sent to this session.
    InvalidReport = "invalid_report", retryable: false;
    /// The bridge is shutting down.
    GoingAway = "going_away", retryable: true;
    /// The bridge failed; its log says how.
    Internal = "internal", retryable: true;
}

/// Defines the close codes as constants and as one table.
macro_rules! close_codes {
    ($($(#[doc = $doc:literal])* $constant:ident = $code:literal, $reason:literal;)*) => {
        $($(#[doc = $doc])* pub const $constant: CloseCode = CloseCode { code: $code, reason: $reason };)*
        /// Every close code that the bridge sends, in order.
        pub const CLOSE_CODES: &[CloseCode] = &[$($constant),*];
    };
}

/// A WebSocket close code with its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseCode {
    /// The number.
    pub code: u16,
    /// The reason text sent with it.
    pub reason: &'static str,
}

close_codes! {
    /// The node is draining; come back after the delay that a `reconnect` frame named.
    GOING_AWAY = 3001, "going_away";
    /// The token ran out while the socket was open; come back with a new one.
    TOKEN_EXPIRED = 3002, "token_expired";
    /// No `pong` in time.
    HEARTBEAT_MISSED = 3003, "heartbeat_missed";
    /// No `hello` in time.
    HANDSHAKE_TIMEOUT = 3004, "handshake_timeout";
    /// The keys for tokens can't be had right now.
    KEYS_UNAVAILABLE = 3005, "keys_unavailable";
    /// The node does not know what has been revoked; come back, perhaps to another.
    NOT_READY = 3006, "not_ready";
    /// The tenant has as many sessions on this node as it may have; come back later, perhaps to another.
    TOO_MANY_SESSIONS = 3007, "too_many_sessions";
    /// The session's outbox stayed full beyond its bound.
    SLOW_CONSUMER = 3008, "slow_consumer";
    /// The bridge failed.
    INTERNAL = 3009, "internal";
    /// The token is not valid here.
    INVALID_TOKEN = 3500, "invalid_token";
    /// A frame that breaks the protocol.
    PROTOCOL_ERROR = 3501, "protocol_error";
    /// A frame larger than the limit.
    FRAME_TOO_LARGE = 3502, "frame_too_large";
    /// The token was revoked, or the session.
    REVOKED = 3503, "revoked";
    /// A newer session of the same client and subject took its place.
    REPLACED = 3504, "replaced";
    /// More frames than a client may send.
    FLOODED = 3505, "flooded";
}

/// Whether a client must not come back by itself after a close with this code.
pub fn is_terminal(code: u16) -> bool {
    matches!(code, 3500..=3999 | 4500..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again() {
        for &code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_name(code.name()), Some(code));
        }
    }

    #[test]
    fn terminal_ranges() {
        assert!(is_terminal(REVOKED.code) && is_terminal(4500) && !is_terminal(GOING_AWAY.code));
        assert!(!is_terminal(1006) && !is_terminal(4000));
        assert!(CLOSE_CODES.windows(2).all(|pair| pair[0].code < pair[1].code));
    }
}

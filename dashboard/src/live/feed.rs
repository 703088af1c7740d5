//! What the dashboard hears, whoever tells it, and what state that puts it in.

use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::frame::LedgerReport;
use tidegate_protocol::ledger::Column;

/// Something heard from the bridge.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum News {
    /// A session is open.
    Open(Identity),
    /// The ledger's newest totals of one node.
    Report(Box<LedgerReport>),
    /// Whether the bridge can reach its log.
    Log {
        /// It can.
        available: bool,
    },
    /// The connection broke and will be tried again.
    Lost,
    /// It is over: trying again would not help.
    Refused(Refusal),
}

/// A source of news that can be told what to group by.
pub(crate) trait Feed {
    /// Asks for totals grouped by these columns from now on.
    fn group_by(&self, columns: &[Column]);
}

/// As whom, and to what, one is connected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The token's tenant.
    pub(crate) tenant: String,
    /// The token's subject.
    pub(crate) subject: String,
    /// The node that answers.
    pub(crate) node: String,
}

/// Why there is nothing to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The token holds no `observe` grant.
    Denied,
    /// The token has expired.
    Expired,
    /// The bridge does not accept the token.
    InvalidToken,
    /// The same client has a newer session.
    Replaced,
    /// Something else; the bridge's own words.
    Other {
        /// Stable name.
        code: String,
        /// For a person.
        message: String,
    },
}

impl Refusal {
    /// The refusal that an error's code or a close reason stands for.
    pub(crate) fn from_code(code: &str, message: &str) -> Self {
        match ErrorCode::from_name(code) {
            Some(ErrorCode::Denied) => Self::Denied,
            Some(ErrorCode::TokenExpired) => Self::Expired,
            Some(ErrorCode::InvalidToken) => Self::InvalidToken,
            _ if code == "replaced" => Self::Replaced,
            _ => Self::Other { code: code.to_owned(), message: message.to_owned() },
        }
    }
}

/// Where the connection stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Status {
    /// No token.
    #[default]
    SignedOut,
    /// A token, and no answer yet.
    Connecting,
    /// Open; the first totals have not come yet.
    Open,
    /// Totals come.
    Live,
    /// Totals come, but the bridge can not reach its log.
    LogAway,
    /// It was open and broke; it is tried again.
    Reconnecting,
    /// It is over.
    Refused(Refusal),
}

impl Status {
    /// The status after some news.
    #[must_use]
    pub(crate) fn after(self, news: &News) -> Self {
        match (self, news) {
            (Self::SignedOut, _) => Self::SignedOut,
            (refused @ Self::Refused(_), _) => refused,
            (_, News::Refused(refusal)) => Self::Refused(refusal.clone()),
            (Self::Connecting, News::Lost) => Self::Connecting,
            (_, News::Lost) => Self::Reconnecting,
            (_, News::Log { available: false }) | (Self::LogAway, News::Report(_)) => Self::LogAway,
            (_, News::Open(_)) => Self::Open,
            (_, News::Report(_)) => Self::Live,
            (status, News::Log { available: true }) => {
                if status == Self::LogAway {
                    Self::Live
                } else {
                    status
                }
            }
        }
    }

    /// Whether what is shown is what is.
    pub(crate) fn is_current(&self) -> bool {
        matches!(self, Self::Live | Self::LogAway)
    }

    /// Its name in `data-state`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::SignedOut => "signed-out",
            Self::Connecting => "connecting",
            Self::Open => "open",
            Self::Live => "live",
            Self::LogAway => "log-away",
            Self::Reconnecting => "reconnecting",
            Self::Refused(_) => "refused",
        }
    }

    /// Its name for a person.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::SignedOut => "Signed out",
            Self::Connecting => "Connecting",
            Self::Open => "Waiting for totals",
            Self::Live => "Live",
            Self::LogAway => "Log unreachable",
            Self::Reconnecting => "Reconnecting",
            Self::Refused(_) => "Disconnected",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(news: &[News]) -> Status {
        news.iter().fold(Status::Connecting, Status::after)
    }

    fn report() -> News {
        News::Report(Box::default())
    }

    #[test]
    fn it_goes_live_with_the_first_totals() {
        assert_eq!(follow(&[News::Open(Identity::default())]), Status::Open);
        assert_eq!(follow(&[News::Open(Identity::default()), report()]), Status::Live);
    }

    #[test]
    fn a_break_before_the_first_answer_is_still_connecting() {
        assert_eq!(follow(&[News::Lost, News::Lost]), Status::Connecting);
        assert_eq!(follow(&[report(), News::Lost]), Status::Reconnecting);
    }

    #[test]
    fn an_absent_log_is_said_until_it_is_back() {
        assert_eq!(follow(&[report(), News::Log { available: false }, report()]), Status::LogAway);
        assert_eq!(follow(&[report(), News::Log { available: false }, News::Log { available: true }]), Status::Live);
    }

    #[test]
    fn a_refusal_is_final() {
        let refused = Status::Refused(Refusal::Denied);
        assert_eq!(follow(&[News::Refused(Refusal::Denied), News::Lost, report()]), refused);
        assert_eq!(Refusal::from_code("token_expired", ""), Refusal::Expired);
        assert_eq!(Refusal::from_code("replaced", ""), Refusal::Replaced);
    }
}

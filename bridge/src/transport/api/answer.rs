//! Answers that are no event streams: JSON, and refusals with their statuses.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::frame::{Failed, ServerFrame};
use tidegate_protocol::json::Raw;

/// A request that is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    failed: Failed,
}

impl Refusal {
    /// One whose status is not its code's usual one.
    pub(super) fn with(status: StatusCode, failed: Failed) -> Self {
        Self { status, failed }
    }
}

impl From<Failed> for Refusal {
    fn from(failed: Failed) -> Self {
        Self { status: status(&failed), failed }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { status, failed } = self;
        let wait = failed.retry_after_ms.map(|wait| wait.div_ceil(1000).max(1));
        let wait = wait.or((status == StatusCode::SERVICE_UNAVAILABLE).then_some(1));
        let mut response = json(status, error(failed));
        let headers = response.headers_mut();
        if let Some(wait) = wait {
            headers.insert(RETRY_AFTER, wait.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// JSON text as an answer.
pub(super) fn json(status: StatusCode, text: String) -> Response {
    let response =
        Response::builder().status(status).header(CONTENT_TYPE, "application/json").header(CACHE_CONTROL, "no-store");
    response.body(Body::from(text)).unwrap_or_default()
}

/// The `error` frame: what a session would be told.
pub(super) fn error(failed: Failed) -> String {
    ServerFrame::<Raw<'_>>::Error(failed).encode()
}

fn status(failed: &Failed) -> StatusCode {
    use ErrorCode as Code;
    match ErrorCode::from_name(&failed.code) {
        Some(Code::InvalidToken | Code::TokenExpired | Code::Revoked) => StatusCode::UNAUTHORIZED,
        Some(Code::Denied) => StatusCode::FORBIDDEN,
        Some(Code::HandshakeTimeout) => StatusCode::REQUEST_TIMEOUT,
        Some(Code::AlreadySubscribed) => StatusCode::CONFLICT,
        Some(Code::EventTooLarge | Code::FrameTooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
        Some(Code::LogRejected) => StatusCode::UNPROCESSABLE_ENTITY,
        Some(Code::RateLimited | Code::TooManySessions | Code::TooManySubscriptions) => StatusCode::TOO_MANY_REQUESTS,
        Some(Code::Internal) => StatusCode::INTERNAL_SERVER_ERROR,
        _ if failed.retryable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_status_that_says_whether_to_come_back() {
        for &code in ErrorCode::ALL {
            let status = status(&Failed::new(code, ""));
            assert!(status.is_client_error() || status.is_server_error(), "{code:?}");
            // A new token makes the difference where one has expired.
            let later = matches!(status.as_u16(), 408 | 429 | 500 | 503) || code == ErrorCode::TokenExpired;
            assert!(later || !code.retryable(), "{code:?} {status}");
        }
        assert_eq!(status(&Failed::new(ErrorCode::LogUnavailable, "")), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(status(&Failed::new(ErrorCode::InvalidEvent, "")), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn says_when_to_come_back() {
        let header = |failed: Failed| {
            let response = Refusal::from(failed).into_response();
            response.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned())
        };
        let limited = Failed { retry_after_ms: Some(1_001), ..Failed::new(ErrorCode::RateLimited, "") };
        assert_eq!(header(limited).as_deref(), Some("2"));
        assert_eq!(header(Failed::new(ErrorCode::LogUnavailable, "")).as_deref(), Some("1"));
        assert_eq!(header(Failed::new(ErrorCode::Denied, "")), None);
    }
}

//! Calls of the admin API, for the command line.

use std::fmt::Write as _;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// How long an answer may take: the log is asked to store something.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of an answer: a list may be long.
const MAX_ANSWER: usize = 64 << 20;

/// The admin API of a bridge.
#[derive(Debug)]
pub struct AdminClient {
    base: String,
    key: String,
    client: Client<HttpConnector, Body>,
}

/// A call that failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address is none.
    #[error("{0:?} is no address of an admin API: write http://127.0.0.1:8081")]
    Address(String),
    /// There was no answer.
    #[error("{0} does not answer: {1}")]
    Silent(String, String),
    /// It refused.
    #[error("{0}")]
    Refused(String),
}

impl AdminClient {
    /// Of the bridge whose admin API listens there.
    pub fn new(url: &str, key: &str) -> Result<Self, AdminError> {
        let base = url.trim_end_matches('/').to_owned();
        if !base.starts_with("http://") {
            return Err(AdminError::Address(url.to_owned()));
        }
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { base, key: key.trim().to_owned(), client })
    }

    /// Calls it: the status, and the answer.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<(u16, Value), AdminError> {
        let mut url = format!("{}{path}", self.base);
        for (at, (name, value)) in query.iter().enumerate() {
            let _ = write!(url, "{}{name}={}", if at == 0 { '?' } else { '&' }, encoded(value));
        }
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header(AUTHORIZATION, format!("Bearer {}", self.key))
            .header(CONTENT_TYPE, "application/json")
            .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))
            .map_err(|_| AdminError::Address(self.base.clone()))?;
        let silent = |why: String| AdminError::Silent(self.base.clone(), why);
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| silent(with_sources(&error)))?;
            let status = response.status().as_u16();
            let bytes = to_bytes(Body::new(response.into_body()), MAX_ANSWER).await;
            let bytes = bytes.map_err(|error| silent(format!("the answer broke off: {error}")))?;
            let answer: Value = serde_json::from_slice(&bytes)
                .map_err(|_| silent(format!("it answered {status}, but is no admin API")))?;
            match answer["error"]["message"].as_str() {
                Some(message) => Err(AdminError::Refused(message.to_owned())),
                None => Ok((status, answer)),
            }
        };
        tokio::time::timeout(PATIENCE, exchange)
            .await
            .unwrap_or_else(|_| Err(silent(format!("nothing within {} s", PATIENCE.as_secs()))))
    }
}

/// A value within a query.
fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let _ = write!(text, ": {inner}");
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded() {
        assert_eq!(encoded("ada+x@y.z/ü 1"), "ada%2Bx%40y.z%2F%C3%BC%201");
        assert!(AdminClient::new("https://x", "k").is_err() && AdminClient::new("127.0.0.1:1", "k").is_err());
    }
}

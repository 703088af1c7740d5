//! Bodies: what a request brings, bounded in bytes and time; and the answer that a session writes.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::Frame;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::frame::Failed;
use tokio::sync::mpsc;

/// A body that is being read.
pub(super) struct Incoming {
    body: Pin<Box<Body>>,
    read: Vec<u8>,
}

impl Incoming {
    /// Nothing of it is read yet.
    pub(super) fn new(body: Body) -> Self {
        Self { body: Box::pin(body), read: Vec::new() }
    }

    /// How long it will be, as far as that is said; at least what was read.
    pub(super) fn length(&self) -> Option<u64> {
        Some(self.read.len() as u64 + self.body.size_hint().exact()?)
    }

    /// What was read.
    pub(super) fn read(&self) -> &[u8] {
        &self.read
    }

    /// Whether nothing more comes.
    pub(super) fn is_whole(&self) -> bool {
        self.body.is_end_stream()
    }

    /// Reads on, up to `limit` bytes in all. `false`: nothing more came.
    pub(super) async fn more(&mut self, limit: usize) -> Result<bool, Failed> {
        let large = || Failed::new(ErrorCode::FrameTooLarge, format!("the body has more than {limit} bytes"));
        if self.length().is_some_and(|length| length > limit as u64) {
            return Err(large());
        }
        let Some(frame) = poll_fn(|cx| self.body.as_mut().poll_frame(cx)).await else { return Ok(false) };
        let frame = frame.map_err(|_| Failed::new(ErrorCode::MalformedFrame, "the body broke off"))?;
        if let Ok(data) = frame.into_data() {
            if self.read.len() + data.len() > limit {
                return Err(large());
            }
            self.read.extend_from_slice(&data);
        }
        Ok(true)
    }

    /// Reads the rest, up to `limit` bytes in all, which must be text.
    pub(super) async fn text(mut self, limit: usize) -> Result<String, Failed> {
        while self.more(limit).await? {}
        String::from_utf8(self.read).map_err(|_| Failed::new(ErrorCode::MalformedFrame, "the body is not UTF-8"))
    }
}

/// What takes too long is given up.
pub(super) async fn in_time<T, E: From<Failed>>(
    patience: Duration,
    read: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let late = |_| Failed::new(ErrorCode::HandshakeTimeout, "the body did not come in time");
    tokio::time::timeout(patience, read).await.map_err(late)?
}

/// Bytes of bodies that are held, by tenant: one of them can not fill the memory of all.
#[derive(Debug, Default)]
pub struct Held(Mutex<HashMap<Arc<str>, usize>>);

/// Room for a body, given back when dropped.
#[derive(Debug)]
pub struct Room<'a> {
    held: &'a Held,
    tenant: Arc<str>,
    bytes: usize,
}

/// Bytes of bodies that are held for one tenant at a time.
const TENANT_BYTES: usize = 32 << 20;

impl Held {
    /// Room for a body of a tenant, if it has not too much already.
    pub(super) fn room(&self, tenant: &Arc<str>, bytes: usize) -> Result<Room<'_>, Failed> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = held.entry(Arc::clone(tenant)).or_default();
        if *of > 0 && *of + bytes > TENANT_BYTES {
            let text = "too many requests of this tenant are under way at once";
            return Err(Failed { retry_after_ms: Some(1_000), ..Failed::new(ErrorCode::RateLimited, text) });
        }
        *of += bytes;
        Ok(Room { held: self, tenant: Arc::clone(tenant), bytes })
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut held = self.held.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of) = held.get_mut(&self.tenant) {
            *of -= self.bytes;
            if *of == 0 {
                held.remove(&self.tenant);
            }
        }
    }
}

/// The answer that a session writes. No proxy may keep it or hold it back.
pub(super) fn event_stream(chunks: mpsc::Receiver<Bytes>) -> Response {
    let response = Response::builder()
        .header(CONTENT_TYPE, "text/event-stream")
        .header(CACHE_CONTROL, "no-store")
        .header("x-accel-buffering", "no")
        .header(X_CONTENT_TYPE_OPTIONS, "nosniff");
    response.body(Body::new(Chunks(chunks))).unwrap_or_default()
}

/// What comes through a channel, until it is closed.
struct Chunks(mpsc::Receiver<Bytes>);

impl HttpBody for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_is_read_than_may_be() {
        let text = async |text: &'static str, limit| Incoming::new(Body::from(text)).text(limit).await;
        assert_eq!(text("abc", 3).await, Ok("abc".into()));
        assert_eq!(text("abcd", 3).await.unwrap_err().code, "frame_too_large");
        assert_eq!(text("", 3).await, Ok(String::new()));
        let bytes = Incoming::new(Body::from(&b"\xff"[..])).text(3).await;
        assert_eq!(bytes.unwrap_err().code, "malformed_frame");
    }

    #[test]
    fn one_tenant_leaves_room_for_others() {
        let held = Held::default();
        let (acme, globex) = ("acme".into(), "globex".into());
        let first = held.room(&acme, TENANT_BYTES - 1).unwrap();
        let second = held.room(&acme, 1).unwrap();
        assert_eq!(held.room(&acme, 1).unwrap_err().code, "rate_limited");
        drop(held.room(&globex, 2 * TENANT_BYTES).unwrap());
        drop((first, second));
        assert!(held.0.lock().unwrap().is_empty());
        assert!(held.room(&acme, TENANT_BYTES).is_ok());
    }
}

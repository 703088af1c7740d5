//! Bodies: what a request brings, bounded in bytes and time; and the answer that a session writes.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
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

/// Reads a whole body of at most `limit` bytes, which must be text.
pub(super) async fn text(body: Body, limit: usize, patience: Duration) -> Result<String, Failed> {
    let large = || Failed::new(ErrorCode::FrameTooLarge, format!("the body has more than {limit} bytes"));
    if body.size_hint().lower() > limit as u64 {
        return Err(large());
    }
    let read = async {
        let mut body = pin!(body);
        let mut all = Vec::with_capacity(body.size_hint().exact().unwrap_or_default() as usize);
        while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            let broken = |_| Failed::new(ErrorCode::MalformedFrame, "the body broke off");
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            if all.len() + data.len() > limit {
                return Err(large());
            }
            all.extend_from_slice(&data);
        }
        Ok(all)
    };
    let late = |_| Failed::new(ErrorCode::HandshakeTimeout, "the body did not come in time");
    let all = tokio::time::timeout(patience, read).await.map_err(late)??;
    String::from_utf8(all).map_err(|_| Failed::new(ErrorCode::MalformedFrame, "the body is not UTF-8"))
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

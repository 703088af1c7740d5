//! `POST /v1/stream`: the frames of the protocol, one way, where WebSockets do not pass.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::frame::{ClientFrame, Failed, Hello};

use super::answer::Refusal;
use super::{Api, Hangup, body};
use crate::session::Format;
use crate::transport::connection::{NO_CLIENT_ID, is_client_id};
use crate::transport::pipe::Arrival;

/// Bytes of a body, where a frame may not be larger.
const BODY_BYTES: usize = 1 << 20;

pub(super) async fn stream(
    State(api): State<Arc<Api>>,
    Extension(Hangup(hangup)): Extension<Hangup>,
    body: Body,
) -> Result<Response, Refusal> {
    let frame_bytes = api.frame_bytes();
    let text = body::text(body, BODY_BYTES.max(frame_bytes), api.patience).await?;
    let (hello, frames) = opening(&text, frame_bytes)?;
    let open = |opening: super::Opening| Arrival {
        format: Format::Stream,
        token: hello.token,
        client: Some(hello.client.into()),
        frames,
        hangup,
        connected: opening.connected,
        answer: opening.answer,
    };
    api.open(open).await
}

/// What a client says first, and all that it says: a frame a line.
fn opening(text: &str, frame_bytes: usize) -> Result<(Hello, Vec<ClientFrame>), Failed> {
    let bad = |text: String| Failed::new(ErrorCode::MalformedFrame, text);
    let mut hello = None;
    let mut frames = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = number + 1;
        if line.len() > frame_bytes {
            let text = format!("line {number} is larger than limits.frame_bytes ({frame_bytes})");
            return Err(Failed::new(ErrorCode::FrameTooLarge, text));
        }
        let frame = ClientFrame::decode(line).map_err(|error| Failed {
            pointer: error.pointer().map(str::to_owned),
            ..Failed::new(error.code(), format!("line {number}: {error}"))
        })?;
        match (frame, &hello) {
            (None, _) => {}
            (Some(ClientFrame::Hello(first)), None) => {
                if !is_client_id(&first.client) {
                    return Err(bad(NO_CLIENT_ID.into()));
                }
                hello = Some(first);
            }
            (Some(subscribe @ ClientFrame::Subscribe(_)), Some(_)) => frames.push(subscribe),
            (Some(_), None) => return Err(bad("the first frame must be hello".into())),
            (Some(_), Some(_)) => {
                return Err(bad(format!("line {number}: after hello only subscribe can be said here")));
            }
        }
    }
    Ok((hello.ok_or_else(|| bad("the first frame must be hello".into()))?, frames))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = r#"{"hello":{"token":"t","client":"c"}}"#;
    const SUBSCRIBE: &str = r#"{"subscribe":{"id":1,"topic":"orders"}}"#;

    #[test]
    fn hello_then_subscriptions() {
        let (hello, frames) = opening(&format!("\n{HELLO}\r\n{{\"?later\":{{}}}}\n\n{SUBSCRIBE}"), 4096).unwrap();
        assert_eq!((hello.token.as_str(), hello.client.as_str(), frames.len()), ("t", "c", 1));
        let code = |text: &str| opening(text, 4096).unwrap_err().code;
        for bad in [
            String::new(),
            SUBSCRIBE.into(),
            format!("{HELLO}\n{HELLO}"),
            format!("{HELLO}\n{{\"pong\":{{}}}}"),
            format!("{HELLO}\n{{\"unsubscribe\":{{\"id\":1,\"subscription\":1}}}}"),
            format!("[{HELLO}]"),
            HELLO.replace("\"c\"", "\"\""),
            HELLO.replace("\"c\"", "\"\\u0000\""),
        ] {
            assert_eq!(code(&bad), "malformed_frame", "{bad}");
        }
        assert_eq!(code(&format!("{HELLO}\n{{\"later\":{{}}}}")), "unknown_frame");
        assert_eq!(opening(HELLO, 8).unwrap_err().code, "frame_too_large");
    }
}

//! `POST /v1/stream`: the frames of the protocol, one way, where WebSockets do not pass.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::frame::{ClientFrame, Failed, Hello};

use super::answer::Refusal;
use super::body::{Incoming, in_time};
use super::{Api, Hangup};
use crate::session::Format;
use crate::transport::connection::{NO_CLIENT_ID, is_client_id};
use crate::transport::intake::BEFORE_HELLO;
use crate::transport::pipe::Arrival;

/// Bytes of a body, where a frame may not be larger.
const BODY_BYTES: usize = 1 << 20;

pub(super) async fn stream(
    State(api): State<Arc<Api>>,
    Extension(Hangup(hangup)): Extension<Hangup>,
    body: Body,
) -> Result<Response, Refusal> {
    let connected = api.place()?;
    let frame_bytes = api.frame_bytes();
    let text = in_time(api.patience, read(&api, Incoming::new(body), BODY_BYTES.max(frame_bytes))).await?;
    let (hello, frames) = opening(&text, frame_bytes)?;
    let make = |answer| Arrival {
        format: Format::Stream,
        token: hello.token,
        client: Some(hello.client.into()),
        frames,
        hangup,
        connected,
        answer,
    };
    api.open(make).await
}

/// Reads what a client has to say: not much from one that has not shown who it is.
async fn read(api: &Api, mut body: Incoming, limit: usize) -> Result<String, Refusal> {
    while !body.read().trim_ascii_start().contains(&b'\n') && body.more(limit).await? {
        if body.read().len() > BEFORE_HELLO {
            return Err(Failed::new(ErrorCode::FrameTooLarge, "the first frame is too large to be a hello").into());
        }
    }
    if !body.is_whole() {
        let text = String::from_utf8_lossy(body.read());
        let first = text.trim_start().lines().next().unwrap_or_default();
        let (hello, _) = opening(first, BEFORE_HELLO)?;
        api.verify_token(&hello.token).await?;
    }
    Ok(body.text(limit).await?)
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

//! How a session is spoken to: the same frames and events, in the form that its connection wants them in.

use bytes::Bytes;
use tidegate_protocol::code::{self, CloseCode};
use tidegate_protocol::frame::{Failed, Moved, Ping, Reconnect, ServerFrame, Subscribed};
use tidegate_protocol::json::Raw;
use tidegate_protocol::json::write::Object;

use super::{event_stream, websocket_frame};

/// A form of speech. Sessions of different ones share no bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// Frames, each a WebSocket message. The only one that is answered.
    #[default]
    WebSocket,
    /// The same frames, each a message of an event stream.
    Stream,
    /// One topic's events, each a message of an event stream, named by its type.
    Events,
}

/// How long a reader of events waits before it comes back, in milliseconds, unless told otherwise.
const RETRY_MS: &str = "2000";

impl Format {
    /// Whether what becomes of deliveries is reported. Where it is not, what the connection took counts as consumed.
    pub fn reports(self) -> bool {
        self == Self::WebSocket
    }

    /// Whether batches carry full cursors, so that the last one seen is enough to resume from.
    pub fn full_cursors(self) -> bool {
        self == Self::Events
    }

    /// A frame that is no batch; `None` where it means nothing in this form.
    pub fn control(self, frame: &ServerFrame<Raw<'_>>) -> Option<Bytes> {
        match self {
            Self::WebSocket => Some(websocket_frame::text(&frame.encode())),
            Self::Stream => {
                let mut out = Vec::new();
                event_stream::message(&mut out, None, frame.encode().as_bytes(), None);
                Some(out.into())
            }
            Self::Events => of_one_topic(frame),
        }
    }

    /// The last words: a close code, and what it is about.
    pub fn close(self, code: CloseCode) -> Bytes {
        match self {
            Self::WebSocket => websocket_frame::close(code),
            Self::Stream => {
                let close = object(|body| {
                    body.integer("code", code.code);
                    body.text("reason", code.reason);
                });
                named("close", &close)
            }
            Self::Events => {
                let failed = failed(code);
                of_one_topic(&ServerFrame::Error(failed)).unwrap_or_default()
            }
        }
    }
}

/// A close code as the error that a reader without close codes is told.
pub fn failed(code: CloseCode) -> Failed {
    let retryable = !code::is_terminal(code.code);
    let message = format!("the session was ended by the bridge: {}", code.reason);
    Failed {
        id: None,
        subscription: None,
        code: code.reason.to_owned(),
        message,
        retryable,
        pointer: None,
        retry_after_ms: None,
    }
}

/// A frame as a reader of one topic is told of it.
fn of_one_topic(frame: &ServerFrame<Raw<'_>>) -> Option<Bytes> {
    let mut out = Vec::new();
    match frame {
        ServerFrame::Subscribed(Subscribed { cursor, .. }) => {
            event_stream::field(&mut out, "retry", RETRY_MS);
            event_stream::field(&mut out, "id", cursor);
            out.push(b'\n');
        }
        // The views are no concern of this reader; what it missed is.
        ServerFrame::Moved(Moved { recovered: true, .. }) => return None,
        ServerFrame::Moved(Moved { reason, gap, .. }) => {
            let moved = object(|body| {
                body.text("reason", reason.name());
                body.flag("recovered", false);
                if let Some((from, to)) = gap {
                    body.text("from", from);
                    body.text("to", to);
                }
            });
            return Some(named("moved", &moved));
        }
        ServerFrame::Ping(Ping { cursors }) => {
            out.extend_from_slice(b": still here\n");
            if let Some((_, cursor)) = cursors.first() {
                event_stream::field(&mut out, "id", cursor);
            }
            out.push(b'\n');
        }
        ServerFrame::State(state) => {
            return Some(named("state", &object(|body| body.flag("log_available", state.log_available))));
        }
        ServerFrame::Reconnect(Reconnect { delay_ms }) => {
            return Some(named("reconnect", &object(|body| body.integer("delay_ms", *delay_ms))));
        }
        ServerFrame::Error(Failed { code, message, retryable, .. }) => {
            let error = object(|body| {
                body.text("code", code);
                body.text("message", message);
                body.flag("retryable", *retryable);
            });
            return Some(named("error", &error));
        }
        _ => return None,
    }
    Some(out.into())
}

fn named(name: &str, data: &str) -> Bytes {
    let mut out = Vec::new();
    event_stream::message(&mut out, Some(name), data.as_bytes(), None);
    out.into()
}

fn object(fill: impl FnOnce(&mut Object<'_>)) -> String {
    let mut out = String::new();
    let mut body = Object::begin(&mut out);
    fill(&mut body);
    body.end();
    out
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::code;
    use tidegate_protocol::frame::LogState;

    use super::*;

    fn said(format: Format, frame: &ServerFrame<Raw<'_>>) -> Option<String> {
        format.control(frame).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn a_stream_says_the_same_frames() {
        let state = ServerFrame::State(LogState { log_available: false });
        assert_eq!(said(Format::Stream, &state).unwrap(), "data: {\"state\":{\"log_available\":false}}\n\n");
        let close = Format::Stream.close(code::TOKEN_EXPIRED);
        assert_eq!(&close[..], b"event: close\ndata: {\"code\":3002,\"reason\":\"token_expired\"}\n\n");
    }

    #[test]
    fn a_reader_of_one_topic_is_told_what_concerns_it() {
        let ping = |cursors| said(Format::Events, &ServerFrame::Ping(Ping { cursors })).unwrap();
        assert_eq!(ping(Vec::new()), ": still here\n\n");
        assert_eq!(ping(vec![(1, "AQ".into())]), ": still here\nid: AQ\n\n");
        let state = ServerFrame::State(LogState { log_available: true });
        assert_eq!(said(Format::Events, &state).unwrap(), "event: state\ndata: {\"log_available\":true}\n\n");
        let close = String::from_utf8(Format::Events.close(code::REVOKED).to_vec()).unwrap();
        assert!(
            close.starts_with("event: error\ndata: {\"code\":\"revoked\",") && close.contains("\"retryable\":false")
        );
        let close = String::from_utf8(Format::Events.close(code::GOING_AWAY).to_vec()).unwrap();
        assert!(close.contains("\"code\":\"going_away\"") && close.contains("\"retryable\":true"));
    }
}

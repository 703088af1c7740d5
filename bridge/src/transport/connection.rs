//! One connection: the handshake, then frames to the shard, until either side ends it.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tidegate_gate::TokenError;
use tidegate_protocol::code::{self, CloseCode, ErrorCode};
use tidegate_protocol::frame::{ClientFrame, Failed, Hello, ServerFrame};
use tidegate_protocol::ids;
use tidegate_protocol::json::Raw;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::intake::Excess;
use super::shard_thread::Local;
use super::socket::{Socket, SocketStream};
use super::tls::Records;
use crate::fanout::{Input, Newcomer, SessionKey};
use crate::session::{Format, websocket_frame};

/// How long the other side may take to close after we have.
const LINGER: Duration = Duration::from_secs(5);

/// Bytes read from a socket at once. Each idle connection keeps as much.
const READ_BUFFER: usize = 1024;

/// Longest client id.
const MAX_CLIENT_ID: usize = 128;

/// What is said of a client id that is none.
pub(super) const NO_CLIENT_ID: &str = "/hello/client: must be 1 to 128 bytes without control characters";

type WebSocket = WebSocketStream<SocketStream>;

/// Why a handshake failed.
struct Refused {
    failed: Failed,
    close: CloseCode,
}

/// What came from the other side.
enum Incoming {
    Text(Utf8Bytes),
    /// The other side is gone, or the socket ended.
    End,
    /// It broke the limits or the protocol.
    Bad(ErrorCode, &'static str, CloseCode),
}

/// Serves one connection to its end.
pub(super) async fn serve(local: Rc<Local>, tcp: TcpStream, records: Option<Records>, early: Bytes) {
    let (socket, stream) = Socket::new(tcp, records, early, local.clock);
    let limit = local.frame_bytes.load(Ordering::Relaxed);
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(4096)
        .max_message_size(Some(limit))
        .max_frame_size(Some(limit));
    let mut websocket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    // What is over after seconds is not to be part of a task that is there for hours.
    let handshake = Box::pin(handshake(&local, &socket, &mut websocket));
    let outcome = tokio::time::timeout(local.handshake_timeout, handshake).await;
    let opened = match outcome {
        Ok(opened) => opened,
        Err(_) => {
            let failed = Failed::new(ErrorCode::HandshakeTimeout, "no valid hello came in time");
            Err(Some(Refused { failed, close: code::HANDSHAKE_TIMEOUT }))
        }
    };
    match opened {
        Ok(key) => converse(&local, &socket, &mut websocket, key).await,
        Err(Some(Refused { failed, close })) => {
            let name = ErrorCode::from_name(&failed.code).map_or("internal", ErrorCode::name);
            local.metrics.handshake(name);
            let error = ServerFrame::<Raw<'_>>::Error(failed).encode();
            socket.outbox.borrow_mut().push(websocket_frame::text(&error));
            socket.outbox.borrow_mut().push(websocket_frame::close(close));
            socket.end();
        }
        Err(None) => {}
    }
    let farewell = async {
        // The closing handshake, as far as the other side takes part in it.
        while let Some(Ok(_)) = websocket.next().await {}
        socket.end();
        websocket.get_mut().discard().await;
    };
    let _ = Box::pin(tokio::time::timeout(LINGER, farewell)).await;
    socket.abandon();
}

/// Takes the `hello` and opens a session. `Err(None)`: the other side went away.
async fn handshake(
    local: &Rc<Local>,
    socket: &Rc<Socket>,
    websocket: &mut WebSocket,
) -> Result<SessionKey, Option<Refused>> {
    let refuse = |code: ErrorCode, text: &str, close| Some(Refused { failed: Failed::new(code, text), close });
    let text = match next(socket, websocket).await {
        Incoming::Text(text) => text,
        Incoming::End => return Err(None),
        Incoming::Bad(code, text, close) => return Err(refuse(code, text, close)),
    };
    let hello = match ClientFrame::decode(&text) {
        Ok(Some(ClientFrame::Hello(hello))) => hello,
        Ok(_) => return Err(refuse(ErrorCode::MalformedFrame, "the first frame must be hello", code::PROTOCOL_ERROR)),
        Err(bad) => return Err(refuse(bad.code(), &bad.to_string(), code::PROTOCOL_ERROR)),
    };
    let Hello { token, client, .. } = hello;
    if !is_client_id(&client) {
        return Err(refuse(ErrorCode::MalformedFrame, NO_CLIENT_ID, code::PROTOCOL_ERROR));
    }
    let principal = local.verify(token).await.map_err(|error| {
        tracing::info!(%error, "refused a token");
        Some(Refused { failed: Failed::new(error.code(), error.public()), close: close_code(&error) })
    })?;
    let client: Arc<str> = client.into();
    let seat = local.seat(&principal, &client).map_err(|failed| {
        tracing::debug!(tenant = &*principal.tenant, "refused a session: the tenant is at its limit");
        Some(Refused { failed, close: code::TOO_MANY_SESSIONS })
    })?;
    websocket.get_mut().intake.greeted();
    let moment = local.moment();
    let id: Arc<str> = ids::uuid_v7(moment.now.cast_unsigned(), moment.entropy).into();
    let (format, outbox) = (Format::WebSocket, Rc::clone(&socket.outbox));
    let newcomer = Newcomer { id, principal, client, format, outbox, seat };
    local.metrics.handshake("ok");
    Ok(local.open(newcomer, socket))
}

/// Hands frames to the shard until the session or the socket ends.
async fn converse(local: &Rc<Local>, socket: &Rc<Socket>, websocket: &mut WebSocket, key: SessionKey) {
    loop {
        let text = match next(socket, websocket).await {
            Incoming::Text(text) => text,
            Incoming::End => break,
            Incoming::Bad(code, text, close) => {
                local.refuse(key, Failed::new(code, text), close);
                break;
            }
        };
        local.metrics.frame();
        match ClientFrame::decode(&text) {
            Ok(Some(frame)) => local.input(Input::Frame(key, frame)),
            Ok(None) => {}
            Err(bad) => {
                local.input(Input::Broken(key, bad));
                break;
            }
        }
    }
    local.gone(key);
}

/// The next text from the other side.
async fn next(socket: &Socket, websocket: &mut WebSocket) -> Incoming {
    loop {
        let message = tokio::select! {
            message = websocket.next() => message,
            () = socket.ended.notified() => return Incoming::End,
        };
        match message {
            Some(Ok(Message::Text(text))) => return Incoming::Text(text),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Binary(_))) => {
                return Incoming::Bad(ErrorCode::MalformedFrame, "frames are text", code::PROTOCOL_ERROR);
            }
            Some(Err(Error::Capacity(_))) => {
                let text = "larger than limits.frame_bytes";
                return Incoming::Bad(ErrorCode::FrameTooLarge, text, code::FRAME_TOO_LARGE);
            }
            Some(Err(Error::Utf8(_))) => {
                return Incoming::Bad(ErrorCode::MalformedFrame, "a frame that is not UTF-8", code::PROTOCOL_ERROR);
            }
            Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => return Incoming::End,
            Some(Err(Error::Protocol(_))) => {
                let text = "what came is not WebSocket as RFC 6455 has it";
                return Incoming::Bad(ErrorCode::MalformedFrame, text, code::PROTOCOL_ERROR);
            }
            Some(Err(Error::Io(_))) => match websocket.get_ref().intake.excess() {
                Some(Excess::Frames) => {
                    return Incoming::Bad(ErrorCode::RateLimited, "too many frames", code::FLOODED);
                }
                Some(Excess::Hello) => {
                    let text = "too large to be a hello";
                    return Incoming::Bad(ErrorCode::FrameTooLarge, text, code::FRAME_TOO_LARGE);
                }
                None => return Incoming::End,
            },
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Incoming::End,
        }
    }
}

/// Whether a client may call itself so: it is written to logs and headers.
pub(super) fn is_client_id(text: &str) -> bool {
    (1..=MAX_CLIENT_ID).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn close_code(error: &TokenError) -> CloseCode {
    match error.code() {
        ErrorCode::TokenExpired => code::TOKEN_EXPIRED,
        ErrorCode::KeysUnavailable => code::KEYS_UNAVAILABLE,
        ErrorCode::Revoked => code::REVOKED,
        ErrorCode::NotReady => code::NOT_READY,
        _ => code::INVALID_TOKEN,
    }
}

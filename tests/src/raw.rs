//! A session by hand, for what no client of ours would do.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tidegate_protocol::SUBPROTOCOL;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::LONG;

/// A WebSocket to a bridge.
#[derive(Debug)]
pub struct Session(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// What the bridge said.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// A frame.
    Frame(Value),
    /// It closed the socket with this code; 1006: without any.
    Close(u16),
}

impl Session {
    /// Opens a socket and says nothing.
    ///
    /// # Panics
    ///
    /// If the bridge refuses it.
    pub async fn silent(address: SocketAddr) -> Self {
        Self(upgrade(address, &[("sec-websocket-protocol", SUBPROTOCOL)]).await.expect("an upgrade"))
    }

    /// Opens a socket, says hello and waits to be welcomed.
    ///
    /// # Panics
    ///
    /// If it is not welcomed.
    pub async fn open(address: SocketAddr, token: &str) -> Self {
        let mut session = Self::silent(address).await;
        session.say(&json!({ "hello": { "token": token, "client": uuid::Uuid::new_v4().to_string() } })).await;
        session.answer("welcome").await;
        session
    }

    /// Says a frame. That the bridge has closed meanwhile is seen by what it said.
    pub async fn say(&mut self, frame: &Value) {
        self.send(Message::text(frame.to_string())).await;
    }

    /// Sends a message.
    pub async fn send(&mut self, message: Message) {
        let _ = self.0.send(message).await;
    }

    /// The next thing said.
    ///
    /// # Panics
    ///
    /// If nothing is said in time.
    pub async fn next(&mut self) -> Said {
        match self.next_text().await {
            Ok(text) => Said::Frame(serde_json::from_str(&text).expect("a frame is JSON")),
            Err(code) => Said::Close(code),
        }
    }

    /// The next frame as it was written, or the code that the socket was closed with.
    ///
    /// # Panics
    ///
    /// If nothing is said in time.
    pub async fn next_text(&mut self) -> Result<String, u16> {
        loop {
            match timeout(LONG, self.0.next()).await.expect("the bridge says something") {
                Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }

    /// Waits for a frame of this kind: its body. Others are passed over.
    ///
    /// # Panics
    ///
    /// If the socket closes before.
    pub async fn answer(&mut self, kind: &str) -> Value {
        loop {
            match self.next().await {
                Said::Frame(frame) if frame.get(kind).is_some() => return frame[kind].clone(),
                Said::Frame(_) => {}
                Said::Close(code) => panic!("closed with {code} before {kind}"),
            }
        }
    }

    /// Waits for the end: the last error's code, and the close code.
    pub async fn end(&mut self) -> (Option<String>, u16) {
        let mut error = None;
        loop {
            match self.next().await {
                Said::Frame(frame) => {
                    if let Some(code) = frame["error"]["code"].as_str() {
                        error = Some(code.to_owned());
                    }
                }
                Said::Close(code) => return (error, code),
            }
        }
    }
}

/// Asks for an upgrade with these headers.
pub async fn upgrade(
    address: SocketAddr,
    headers: &[(&'static str, &str)],
) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, Error> {
    let mut request = crate::bridge::url(address).into_client_request()?;
    for &(name, value) in headers {
        request
            .headers_mut()
            .insert(name, HeaderValue::from_str(value).map_err(|error| Error::Http(Box::new(refused(&error))))?);
    }
    Ok(connect_async(request).await?.0)
}

fn refused(error: &impl std::fmt::Display) -> tokio_tungstenite::tungstenite::http::Response<Option<Vec<u8>>> {
    tokio_tungstenite::tungstenite::http::Response::new(Some(error.to_string().into_bytes()))
}

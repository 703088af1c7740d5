//! A connection byte by byte, for what no library would send.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tidegate_protocol::SUBPROTOCOL;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::LONG;

/// A TCP connection to a bridge, as a WebSocket or before it becomes one.
#[derive(Debug)]
pub struct Wire {
    tcp: TcpStream,
    read: Vec<u8>,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With a close frame of this code.
    Code(u16),
    /// Without any.
    Cut,
}

impl Wire {
    /// Connects, and says nothing.
    ///
    /// # Panics
    ///
    /// If nobody listens.
    pub async fn connect(address: SocketAddr) -> Self {
        Self { tcp: TcpStream::connect(address).await.expect("the bridge accepts"), read: Vec::new() }
    }

    /// A WebSocket that says nothing yet.
    ///
    /// # Panics
    ///
    /// If the bridge refuses it.
    pub async fn upgraded(address: SocketAddr) -> Self {
        let mut wire = Self::connect(address).await;
        wire.send(upgrade(address).as_bytes()).await;
        let head = wire.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        wire
    }

    /// A WebSocket with a session.
    ///
    /// # Panics
    ///
    /// If it is not welcomed.
    pub async fn welcomed(address: SocketAddr, token: &str) -> Self {
        let mut wire = Self::upgraded(address).await;
        let client = uuid::Uuid::new_v4().to_string();
        wire.send(&text(&json!({ "hello": { "token": token, "client": client } }).to_string())).await;
        let (opcode, payload) = wire.frame().await.expect("an answer");
        assert!(opcode == 1 && payload.starts_with(b"{\"welcome\":"), "{}", String::from_utf8_lossy(&payload));
        wire
    }

    /// Sends bytes; whether the other side still takes them.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        matches!(timeout(LONG, self.tcp.write_all(bytes)).await, Ok(Ok(())))
    }

    /// Sends a byte, and then one again and again, until the other side has had enough or all are sent. Whether all are.
    pub async fn trickle(&mut self, bytes: &[u8], pause: Duration) -> bool {
        for byte in bytes {
            if !self.send(&[*byte]).await {
                return false;
            }
            tokio::time::sleep(pause).await;
        }
        true
    }

    /// The head of an HTTP answer; empty if there is none.
    pub async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.read.drain(..end + 4).collect();
                return String::from_utf8_lossy(&head).into_owned();
            }
            if !self.more().await {
                return String::from_utf8_lossy(&std::mem::take(&mut self.read)).into_owned();
            }
        }
    }

    /// All that still comes until the other side ends the connection.
    pub async fn rest(&mut self) -> String {
        while self.more().await {}
        String::from_utf8_lossy(&std::mem::take(&mut self.read)).into_owned()
    }

    /// What comes of a body in chunks up to this mark, without the chunks' lengths. A mark lies within one chunk.
    pub async fn chunked_until(&mut self, mark: &str) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.read).into_owned();
            if let Some(end) = text.find(mark) {
                self.read.drain(..end + mark.len());
                // What stands before it on a line of its own is a length.
                let is_length =
                    |line: &str| line.strip_suffix('\r').is_some_and(|hex| u64::from_str_radix(hex, 16).is_ok());
                let lines = text[..end].split('\n').filter(|line| !is_length(line) && *line != "\r");
                return lines.collect::<Vec<_>>().join("\n");
            }
            assert!(self.more().await, "the body ended: {text}");
        }
    }

    /// The next frame: its opcode and payload. `None` at the end of the connection.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((opcode, header, length)) = parse(&self.read)
                && self.read.len() >= header + length
            {
                let payload = self.read[header..header + length].to_vec();
                self.read.drain(..header + length);
                return Some((opcode, payload));
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Waits for the end.
    pub async fn end(&mut self) -> End {
        while let Some((opcode, payload)) = self.frame().await {
            if opcode == 8 {
                return match payload.first_chunk() {
                    Some(code) => End::Code(u16::from_be_bytes(*code)),
                    None => End::Cut,
                };
            }
        }
        End::Cut
    }

    async fn more(&mut self) -> bool {
        let read = timeout(LONG, self.tcp.read_buf(&mut self.read)).await;
        matches!(read.expect("the bridge says something, or ends"), Ok(count) if count > 0)
    }
}

/// A request to become a WebSocket.
pub fn upgrade(address: SocketAddr) -> String {
    format!(
        "GET /v1/ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
    )
}

/// A frame as clients send them. `first` is its first byte: 0x80 for the last fragment, 0x70 reserved, 0x0F the opcode.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    // A mask of zeros leaves the payload as it is.
    let mut frame = header(first, 0x80, payload.len() as u64);
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// The beginning of a frame: its first byte, whether it is masked (0x80) and its length.
pub fn header(first: u8, masked: u8, length: u64) -> Vec<u8> {
    let mut header = vec![first];
    match length {
        0..=125 => header.push(masked | length as u8),
        126..=0xFFFF => {
            header.push(masked | 0x7E);
            header.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            header.push(masked | 0x7F);
            header.extend_from_slice(&length.to_be_bytes());
        }
    }
    header
}

/// A text message in one frame.
pub fn text(payload: &str) -> Vec<u8> {
    frame(0x81, payload.as_bytes())
}

/// Opcode, length of the header and of the payload of a frame from the bridge.
fn parse(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let opcode = first & 0x0F;
    Some(match second {
        126 => (opcode, 4, usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        127 => (opcode, 10, u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize),
        length => (opcode, 2, usize::from(length)),
    })
}

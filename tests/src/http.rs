//! The bus over HTTP, by hand: requests, and event streams read as the HTML standard says.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long anything may take on a machine that does much else.
const LONG: Duration = Duration::from_mins(1);

/// A request.
#[derive(Debug, Clone, Default)]
pub struct Request {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

/// An answer that ended.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers, with small names.
    pub headers: HashMap<String, String>,
    /// Its body.
    pub body: String,
}

/// A message of an event stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its name; `message` where it has none.
    pub name: String,
    /// Its data.
    pub data: String,
    /// The last id that was seen with it or before it.
    pub id: String,
}

/// An event stream that is open.
#[derive(Debug)]
pub struct Events {
    /// The answer's headers.
    pub headers: HashMap<String, String>,
    /// The last id that was seen.
    pub last_id: String,
    /// How many comments came.
    pub comments: usize,
    socket: BufReader<TcpStream>,
    text: Vec<u8>,
    ended: bool,
}

impl Request {
    /// A request without a body.
    #[must_use]
    pub fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), ..Self::default() }
    }

    /// Asks for a topic's events.
    #[must_use]
    pub fn read(topic: &str, query: &str, token: &str) -> Self {
        Self::new("GET", format!("/v1/topics/{topic}/events{query}")).token(token)
    }

    /// Publishes JSON.
    #[must_use]
    pub fn publish(topic: &str, token: &str, body: impl Into<String>) -> Self {
        let request = Self::new("POST", format!("/v1/topics/{topic}/events")).token(token);
        request.header("content-type", "application/json").body(body)
    }

    /// Opens a stream of frames.
    #[must_use]
    pub fn stream(frames: &[Value]) -> Self {
        let lines: Vec<String> = frames.iter().map(Value::to_string).collect();
        Self::new("POST", "/v1/stream").header("content-type", "text/plain").body(lines.join("\n"))
    }

    /// With a token.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// With a header, in place of one of that name.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(self, body: impl Into<String>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// Asks, and reads the answer to its end.
    ///
    /// # Panics
    ///
    /// If there is none in time.
    pub async fn ask(&self, address: SocketAddr) -> Answer {
        let mut events = self.open(address).await;
        let mut body = Vec::new();
        let length = events.1.get("content-length").and_then(|length| length.parse::<u64>().ok());
        let chunked = events.1.get("transfer-encoding").is_some_and(|coding| coding == "chunked");
        let read = async {
            if chunked {
                while let Some(chunk) = chunk(&mut events.2).await {
                    body.extend_from_slice(&chunk);
                }
            } else {
                let rest = (&mut events.2).take(length.unwrap_or(u64::MAX));
                let _ = { rest }.read_to_end(&mut body).await;
            }
        };
        timeout(LONG, read).await.expect("the answer ends in time");
        Answer { status: events.0, headers: events.1, body: String::from_utf8(body).expect("UTF-8") }
    }

    /// Asks, and looks at no more than the status.
    pub async fn ask_status(&self, address: SocketAddr) -> u16 {
        self.open(address).await.0
    }

    /// Asks for an event stream.
    ///
    /// # Panics
    ///
    /// If the answer is none.
    pub async fn events(&self, address: SocketAddr) -> Events {
        let (status, headers, socket) = self.open(address).await;
        assert_eq!((status, headers["content-type"].as_str()), (200, "text/event-stream"), "{self:?}");
        Events { headers, last_id: String::new(), comments: 0, socket, text: Vec::new(), ended: false }
    }

    async fn open(&self, address: SocketAddr) -> (u16, HashMap<String, String>, BufReader<TcpStream>) {
        let ask = async {
            let mut socket = TcpStream::connect(address).await?;
            let Self { method, path, headers, body } = self;
            let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n", body.len());
            for (name, value) in headers {
                head.extend([name, ": ", value, "\r\n"]);
            }
            head += "\r\n";
            socket.write_all(head.as_bytes()).await?;
            // Who is refused early may find the socket closed: the answer is there all the same.
            let _ = socket.write_all(body.as_bytes()).await;
            let mut socket = BufReader::new(socket);
            let mut line = String::new();
            socket.read_line(&mut line).await?;
            let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
            let mut headers = HashMap::new();
            loop {
                line.clear();
                socket.read_line(&mut line).await?;
                let Some((name, value)) = line.trim_end().split_once(": ") else { break };
                headers.insert(name.to_ascii_lowercase(), value.to_owned());
            }
            std::io::Result::Ok((status, headers, socket))
        };
        timeout(LONG, ask).await.expect("an answer in time").expect("an answer")
    }
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// If it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// Status, code and pointer of a refusal.
    pub fn refusal(&self) -> (u16, String, Option<String>) {
        let error = &self.json()["error"];
        let text = |name: &str| error[name].as_str().map(str::to_owned);
        (self.status, text("code").unwrap_or_default(), text("pointer"))
    }
}

impl Events {
    /// The next message; `None` at the end.
    ///
    /// # Panics
    ///
    /// If none comes in time.
    pub async fn next(&mut self) -> Option<Message> {
        timeout(LONG, self.read()).await.expect("the stream goes on or ends in time")
    }

    /// The next message of this name, others passed over.
    ///
    /// # Panics
    ///
    /// If the stream ends before.
    pub async fn named(&mut self, name: &str) -> Message {
        let mut passed = None;
        loop {
            let message = self.next().await;
            let message = message.unwrap_or_else(|| panic!("the stream ended before {name:?}, after {passed:?}"));
            if message.name == name {
                return message;
            }
            passed = Some(message);
        }
    }

    /// The next frame of this kind of a stream of frames, others passed over: its body.
    ///
    /// # Panics
    ///
    /// If the stream ends before.
    pub async fn frame(&mut self, kind: &str) -> Value {
        loop {
            let message = self.named("message").await;
            let frame: Value = serde_json::from_str(&message.data).expect("a frame is JSON");
            if let Some(body) = frame.get(kind) {
                return body.clone();
            }
        }
    }

    /// Reads until the end: the last message.
    pub async fn last(&mut self) -> Option<Message> {
        let mut last = None;
        while let Some(message) = self.next().await {
            last = Some(message);
        }
        last
    }

    async fn read(&mut self) -> Option<Message> {
        let (mut name, mut data) = (String::new(), Vec::new());
        loop {
            let line = self.line().await?;
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" if line.is_empty() && data.is_empty() => name.clear(),
                "" if line.is_empty() => {
                    let name = if name.is_empty() { "message".to_owned() } else { name };
                    return Some(Message { name, data: data.join("\n"), id: self.last_id.clone() });
                }
                "" => self.comments += 1,
                "event" => value.clone_into(&mut name),
                "data" => data.push(value.to_owned()),
                "id" => value.clone_into(&mut self.last_id),
                _ => {}
            }
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            // A carriage return at the end of what came may have its line feed to come; the bridge writes none.
            if let Some(at) = self.text.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
                let line = String::from_utf8(self.text.drain(..=at).take(at).collect()).expect("UTF-8");
                return Some(line);
            }
            if self.ended {
                return None;
            }
            match chunk(&mut self.socket).await {
                Some(chunk) => self.text.extend_from_slice(&chunk),
                None => self.ended = true,
            }
        }
    }
}

/// The next chunk of a body; `None` at its end, or where it broke off.
async fn chunk(socket: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut line = String::new();
    socket.read_line(&mut line).await.ok()?;
    let length = usize::from_str_radix(line.trim_end(), 16).ok()?;
    let mut chunk = vec![0; length + 2];
    socket.read_exact(&mut chunk).await.ok()?;
    chunk.truncate(length);
    (length > 0).then_some(chunk)
}

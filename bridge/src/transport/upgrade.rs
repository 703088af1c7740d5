//! From an HTTP request to a WebSocket in some shard's hands.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::response::Response;
use hyper_util::rt::TokioIo;
use tidegate_protocol::SUBPROTOCOL;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::shard_handle::ShardHandle;
use super::socket::Taken;
use super::tls::Records;
use crate::config::Origins;
use crate::telemetry::Metrics;

/// Takes upgrades, and deals sockets out to the shards in turn.
pub(super) struct Upgrades {
    pub(super) shards: Vec<ShardHandle>,
    pub(super) origins: Origins,
    pub(super) max_connections: usize,
    pub(super) metrics: Arc<Metrics>,
    next: AtomicUsize,
}

/// A request that is refused, with what is wrong and what to do.
struct Refusal(StatusCode, &'static str, &'static str);

impl Upgrades {
    pub(super) fn new(
        shards: Vec<ShardHandle>,
        origins: Origins,
        max_connections: usize,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { shards, origins, max_connections, metrics, next: AtomicUsize::new(0) }
    }

    /// Answers `GET /v1/ws`.
    pub(super) fn answer(self: &Arc<Self>, mut request: Request) -> Response {
        let key = match self.check(request.method(), request.headers()) {
            Ok(key) => key,
            Err(Refusal(status, outcome, text)) => {
                self.metrics.refused(outcome);
                return plain(status, text);
            }
        };
        let upgrades = Arc::clone(self);
        let upgrade = hyper::upgrade::on(&mut request);
        self.metrics.connected();
        tokio::spawn(async move {
            if !upgrades.hand_over(upgrade.await) {
                upgrades.metrics.disconnected();
            }
        });
        let response = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_ACCEPT, key)
            .header(SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
        response.body(Body::empty()).unwrap_or_default()
    }

    /// The value of `Sec-WebSocket-Accept`, if the request may become a connection.
    fn check(&self, method: &Method, headers: &HeaderMap) -> Result<String, Refusal> {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let lists = |name: HeaderName, word: &str| {
            let all = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            all.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(word))
        };
        let bad = |outcome, text| Refusal(StatusCode::BAD_REQUEST, outcome, text);
        if method != Method::GET || !lists(CONNECTION, "upgrade") || !lists(UPGRADE, "websocket") {
            return Err(Refusal(StatusCode::UPGRADE_REQUIRED, "no_upgrade", "this address speaks WebSocket only\n"));
        }
        if text(SEC_WEBSOCKET_VERSION) != Some("13") {
            return Err(bad("version", "Sec-WebSocket-Version must be 13\n"));
        }
        if !lists(SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
            return Err(bad("subprotocol", "the client must offer the subprotocol tidegate.v1\n"));
        }
        // What follows the head would be taken for frames.
        if headers.contains_key(TRANSFER_ENCODING) || text(CONTENT_LENGTH).is_some_and(|length| length != "0") {
            return Err(bad("body", "a request for an upgrade has no body\n"));
        }
        let key = text(SEC_WEBSOCKET_KEY).ok_or_else(|| bad("key", "Sec-WebSocket-Key is missing\n"))?;
        if !self.origins.allow(origin_of(headers), text(HOST)) {
            let text = "pages of this origin may not connect; add it to server.allowed_origins\n";
            return Err(Refusal(StatusCode::FORBIDDEN, "origin", text));
        }
        if self.metrics.connections() >= self.max_connections {
            return Err(Refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                "full",
                "server.max_connections are open; try another node\n",
            ));
        }
        Ok(derive_accept_key(key.as_bytes()))
    }

    fn hand_over(&self, upgraded: hyper::Result<hyper::upgrade::Upgraded>) -> bool {
        let Ok(upgraded) = upgraded else { return false };
        let (tcp, records, early) = match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => (parts.io.into_inner(), None, parts.read_buf),
            Err(upgraded) => match upgraded.downcast::<TokioIo<TlsStream<TcpStream>>>() {
                Ok(parts) => {
                    let (tcp, connection) = parts.io.into_inner().into_inner();
                    (tcp, Some(Records::new(connection)), parts.read_buf)
                }
                Err(_) => return false,
            },
        };
        let Ok(tcp) = tcp.into_std() else { return false };
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let Some(shard) = self.shards.get(turn % self.shards.len().max(1)) else { return false };
        shard.accept(Taken { tcp, records, early });
        true
    }
}

/// The origin that a request names. One that is no text, or is named twice, is there too, and is nobody's.
pub(super) fn origin_of(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(ORIGIN).iter();
    let first = all.next()?;
    Some(if all.next().is_none() { first.to_str().unwrap_or_default() } else { "" })
}

pub(super) fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}

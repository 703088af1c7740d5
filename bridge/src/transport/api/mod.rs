//! The bus over HTTP: publishing, reading a topic, the stream where WebSockets do not pass. Here requests are read and
//! answers written; shards decide.

mod answer;
mod body;
mod publish;
mod read;
mod stream;

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, AUTHORIZATION, HOST, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tidegate_gate::{Principal, Verifier};
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::frame::Failed;
use tokio::sync::oneshot;

use self::answer::Refusal;
pub(super) use self::body::Held;
use super::connection::is_client_id;
use super::pipe::{Answer, Arrival, Connected};
use super::shard_handle::ShardHandle;
use super::upgrade::origin_of;
use crate::clock::Clock;
use crate::config::Origins;
use crate::telemetry::Metrics;

/// Names the client, as `hello.client` does.
const CLIENT: &str = "tidegate-client";

/// What a page's request may carry.
const HEADERS: &str = "authorization, content-type, idempotency-key, last-event-id, tidegate-client";

/// What requests are served with.
pub(super) struct Api {
    pub(super) shards: Vec<ShardHandle>,
    pub(super) origins: Origins,
    pub(super) verifier: Arc<Verifier>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    pub(super) draining: Arc<AtomicBool>,
    pub(super) max_connections: usize,
    /// Bytes of one frame.
    pub(super) frame_bytes: Arc<AtomicUsize>,
    /// How long a request's body may take.
    pub(super) patience: Duration,
    pub(super) next: AtomicUsize,
    pub(super) held: Held,
}

/// Ends the connection that a request came by: for a client that takes nothing any more, not even the end.
#[derive(Clone)]
pub(super) struct Hangup(pub(super) tokio_util::sync::CancellationToken);

pub(super) fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/v1/topics/{topic}/events", post(publish::publish).get(read::read))
        .route("/v1/stream", post(stream::stream))
        .layer(from_fn_with_state(Arc::clone(&api), origin))
        .with_state(api)
}

/// Answers preflights, turns pages of foreign origins away, and lets those of allowed ones see the answer.
async fn origin(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    if !api.may_come_from(request.headers()) {
        api.metrics.refused("origin");
        let text = "pages of this origin may not connect; add it to server.allowed_origins";
        return Refusal::with(StatusCode::FORBIDDEN, Failed::new(ErrorCode::Denied, text)).into_response();
    }
    let from = request.headers().get(ORIGIN).cloned();
    let preflight = request.method() == Method::OPTIONS;
    let mut response = if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    if preflight {
        headers.insert(ALLOW, HeaderValue::from_static("GET, POST, OPTIONS"));
    }
    headers.append(VARY, HeaderValue::from_static("origin"));
    if let Some(from) = from {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, from);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
        if preflight {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
        }
    }
    response
}

impl Api {
    /// Bytes of one frame, now.
    fn frame_bytes(&self) -> usize {
        self.frame_bytes.load(Ordering::Relaxed)
    }

    fn may_come_from(&self, headers: &HeaderMap) -> bool {
        let host = headers.get(HOST).and_then(|value| value.to_str().ok());
        self.origins.allow(origin_of(headers), host)
    }

    /// Who asks.
    async fn verify(&self, headers: &HeaderMap) -> Result<Principal, Refusal> {
        self.verify_token(bearer(headers)?).await
    }

    async fn verify_token(&self, token: &str) -> Result<Principal, Refusal> {
        let verdict = self.verifier.verify(token, self.clock.now()).await;
        Ok(verdict.map_err(|error| {
            tracing::info!(%error, "refused a token");
            Failed::new(error.code(), error.public())
        })?)
    }

    /// The shard in which all requests of a principal are accounted for.
    fn shard_of(&self, principal: &Principal) -> Result<&ShardHandle, Refusal> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((&principal.tenant, &principal.subject));
        let shard = (hash % self.shards.len().max(1) as u64) as usize;
        Ok(self.shards.get(shard).ok_or_else(gone)?)
    }

    /// A place among the connections that may be open.
    fn place(&self) -> Result<Connected, Refusal> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(Failed::new(ErrorCode::GoingAway, "this node is going away; try another").into());
        }
        if self.metrics.connections() >= self.max_connections {
            self.metrics.refused("full");
            let text = "server.max_connections are open; try another node";
            return Err(Failed::new(ErrorCode::NotReady, text).into());
        }
        Ok(Connected::new(&self.metrics))
    }

    /// Opens a session whose frames are the answer.
    async fn open(&self, make: impl FnOnce(oneshot::Sender<Answer>) -> Arrival) -> Result<Response, Refusal> {
        let (answer, answered) = oneshot::channel();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let shard = self.shards.get(turn % self.shards.len().max(1)).ok_or_else(gone)?;
        shard.arrive(make(answer));
        Ok(body::event_stream(answered.await.map_err(|_| gone())??))
    }
}

fn gone() -> Failed {
    Failed::new(ErrorCode::GoingAway, "this node is going away; try another")
}

/// The request's token.
fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    // Of two, a proxy may have looked at the other.
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let only = all.next().filter(|_| all.next().is_none());
    let token = only.and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let text = "a token is needed: Authorization: Bearer <JWT>";
    Ok(token.filter(|token| !token.is_empty()).ok_or_else(|| Failed::new(ErrorCode::InvalidToken, text))?)
}

/// The client's own name for itself, if it says one.
fn client(headers: &HeaderMap) -> Result<Option<Arc<str>>, Refusal> {
    let Some(value) = headers.get(CLIENT) else { return Ok(None) };
    let client = value.to_str().ok().filter(|client| is_client_id(client));
    let text = "the header tidegate-client must have 1 to 128 printable ASCII characters";
    Ok(Some(client.ok_or_else(|| Failed::new(ErrorCode::MalformedFrame, text))?.into()))
}

//! The HTTP routes: the upgrade, health, metrics, assets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use serde::Deserialize;
use tidegate_gate::Revocations;
use tokio::sync::watch;

use super::assets::{Assets, redirect};
use super::upgrade::{Upgrades, plain};
use crate::clock::Clock;
use crate::ledger::Hub;
use crate::telemetry::Metrics;

/// Makes a token for a tenant, a subject and roles; in `tidegate dev` only.
pub type DevToken = Arc<dyn Fn(&str, &str, &[String]) -> Option<String> + Send + Sync>;

/// Whether the node can serve.
#[derive(Debug, Clone)]
pub struct Status {
    /// The node is going away.
    pub draining: Arc<AtomicBool>,
    /// The log can be reached.
    pub log_available: watch::Receiver<bool>,
    /// What was revoked, if that is known.
    pub revocations: Arc<Revocations>,
}

pub(super) struct Routes {
    pub(super) upgrades: Arc<Upgrades>,
    pub(super) status: Status,
    pub(super) hub: Arc<Hub>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) assets: Assets,
    pub(super) dev_token: Option<DevToken>,
    pub(super) clock: Clock,
}

#[derive(Deserialize)]
struct TokenQuery {
    tenant: String,
    #[serde(default = "somebody")]
    user: String,
    #[serde(default)]
    roles: String,
}

fn somebody() -> String {
    "somebody".to_owned()
}

pub(super) fn router(routes: Arc<Routes>) -> Router {
    Router::new()
        .route("/v1/ws", any(upgrade))
        .route("/livez", get(async || "ok\n"))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/dev/token", get(dev_token))
        .route("/", get(root))
        .fallback(get(asset))
        .with_state(routes)
}

async fn upgrade(State(routes): State<Arc<Routes>>, request: Request) -> Response {
    if routes.status.draining.load(Ordering::Relaxed) {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "this node is going away; try another\n");
    }
    routes.upgrades.answer(request)
}

async fn ready(State(routes): State<Arc<Routes>>) -> Response {
    if routes.status.draining.load(Ordering::Relaxed) {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
    }
    if !*routes.status.log_available.borrow() {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "the log can not be reached\n");
    }
    if let Err(reason) = routes.status.revocations.known() {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response();
    }
    plain(StatusCode::OK, "ok\n")
}

async fn metrics(State(routes): State<Arc<Routes>>) -> Response {
    let ledger = routes.hub.sum(routes.clock.now());
    let text = routes.metrics.text(&ledger, *routes.status.log_available.borrow());
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Response::builder().header(CONTENT_TYPE, media_type).body(Body::from(text)).unwrap_or_default()
}

async fn dev_token(State(routes): State<Arc<Routes>>, Query(query): Query<TokenQuery>) -> Response {
    let roles: Vec<String> = query.roles.split(',').filter(|role| !role.is_empty()).map(str::to_owned).collect();
    let token = routes.dev_token.as_ref().and_then(|make| make(&query.tenant, &query.user, &roles));
    token.map_or_else(|| plain(StatusCode::NOT_FOUND, "not found\n"), IntoResponse::into_response)
}

async fn root(State(routes): State<Arc<Routes>>, headers: HeaderMap) -> Response {
    if routes.dev_token.is_some() { routes.assets.answer("/demo/", &headers) } else { redirect("/dashboard/") }
}

async fn asset(State(routes): State<Arc<Routes>>, uri: Uri, headers: HeaderMap) -> Response {
    routes.assets.answer(uri.path(), &headers)
}

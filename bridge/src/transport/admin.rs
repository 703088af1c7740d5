//! The admin API: a listener of its own for operators, behind keys. Every call is said in the log, with whose key it was.
//!
//! What operators can do is a route in [`router`] and what it needs is in [`Admin`]; that the caller may, the bounds of
//! what it sends, and the audit line are the same for all.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use axum::body::{Body, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Router, middleware};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tidegate_gate::{Revocation, Target};
use tidegate_log::AppendError;
use tidegate_protocol::timestamp::{self, Millis};
use tokio::net::TcpListener;

use super::server::{Limits, ServerHandle, serve};
use crate::clock::Clock;
use crate::config;
use crate::reload::{Outcome, Reloader};
use crate::revocation::{RevokeError, Revoker, TOPIC, Wanted, Written};

/// Bytes of a request's body.
const MAX_BODY: usize = 16 * 1024;

/// Bytes of a reason.
const MAX_REASON: usize = 512;

/// What the admin API is made of.
pub struct Admin {
    /// Where it listens, and who may come.
    pub config: Arc<config::Admin>,
    /// Revokes and lifts.
    pub revoker: Revoker,
    /// Reads the configuration again; `None` where it comes from no file.
    pub reloader: Option<Arc<Reloader>>,
    /// The clock.
    pub clock: Clock,
}

/// Says in the audit log what a call was about.
#[derive(Debug, Clone)]
struct About(String);

/// What a call failed with: status, code, and what, where and how.
struct Problem(StatusCode, &'static str, String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    kind: String,
    tenant: Option<String>,
    value: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoke {
    kind: String,
    tenant: Option<String>,
    value: Option<String>,
    issued_before: Option<Value>,
    reason: Option<String>,
    until: Option<Value>,
}

impl Admin {
    /// Binds its address and begins to accept.
    pub async fn start(self) -> std::io::Result<ServerHandle> {
        let listener = TcpListener::bind(self.config.listen).await?;
        serve(listener, router(Arc::new(self)), Limits::default())
    }

    /// The name of the key that a request came with. All keys are compared, and in constant time.
    fn who(&self, headers: &HeaderMap) -> Option<Arc<str>> {
        let given = headers.get(AUTHORIZATION)?.as_bytes();
        let (scheme, key) = given.split_at_checked(7)?;
        if !scheme.eq_ignore_ascii_case(b"bearer ") {
            return None;
        }
        // Of digests, so that not even the length shows.
        let given = digest(&SHA256, key.trim_ascii());
        let mut who = None;
        for (name, key) in &self.config.keys {
            let known = digest(&SHA256, key.0.as_bytes());
            if verify_slices_are_equal(given.as_ref(), known.as_ref()).is_ok() {
                who = Some(Arc::clone(name));
            }
        }
        who
    }
}

fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/v1/admin/revocations", post(revoke).delete(lift).get(list))
        .route("/v1/admin/reload", post(reload))
        .fallback(async || problem(StatusCode::NOT_FOUND, "not_found", "the admin API has no such address"))
        .method_not_allowed_fallback(async || {
            problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this address does not take that method")
        })
        .layer(middleware::map_response(async |mut response: Response| {
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }))
        .layer(from_fn_with_state(Arc::clone(&admin), authorize))
        .with_state(admin)
}

/// Lets in who has a key, and says in the log what came of it.
async fn authorize(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().chars().take(128).collect::<String>());
    let Some(who) = admin.who(request.headers()) else {
        tracing::warn!(%method, path, "admin: refused, no known key");
        let text = "send one of the configuration's admin.keys: Authorization: Bearer KEY";
        let mut response = problem(StatusCode::UNAUTHORIZED, "unauthorized", text);
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return response;
    };
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let about = response.extensions().get::<About>().map_or("", |about| about.0.as_str());
    tracing::info!(who = &*who, %method, path, status, about, "admin");
    response
}

async fn revoke(State(admin): State<Arc<Admin>>, request: Request) -> Response {
    let asked = match body::<Revoke>(request).await.and_then(Revoke::read) {
        Ok(wanted) => wanted,
        Err(problem) => return problem.into_response(),
    };
    let reason = asked.reason.as_deref().map(|reason| format!(" because {reason:?}")).unwrap_or_default();
    let about = About(format!("revoke {}{reason}", asked.target));
    about.of(written(admin.revoker.revoke(asked, admin.clock.now()).await))
}

async fn lift(
    State(admin): State<Arc<Admin>>,
    query: Result<Query<Named>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let named = query.map_err(|rejection| bad(format!("the query: {}", rejection.body_text())));
    match named.and_then(|Query(named)| target(&named.kind, named.tenant.as_deref(), named.value.as_deref())) {
        Ok(target) => About(format!("lift {target}")).of(written(admin.revoker.lift(&target).await)),
        Err(problem) => problem.into_response(),
    }
}

async fn list(State(admin): State<Arc<Admin>>) -> Response {
    let revocations = &admin.revoker.revocations;
    let known = revocations.known();
    let list: Vec<Value> = revocations.list().iter().map(|revocation| shown(revocation)).collect();
    answer(StatusCode::OK, &json!({ "revocations": list, "complete": known.is_ok(), "reason": known.err() }))
}

async fn reload(State(admin): State<Arc<Admin>>) -> Response {
    let about = About("reload".to_owned());
    let Some(reloader) = admin.reloader.clone() else {
        let text = "this bridge was started without a configuration file or environment to read again";
        return about.of(problem(StatusCode::CONFLICT, "disabled", text));
    };
    // Of its own, so that a caller who goes away leaves nothing half applied.
    let outcome = tokio::spawn(async move { reloader.reload().await }).await;
    about.of(match outcome {
        Ok(Outcome::Applied(report)) => match serde_json::to_value(report) {
            Ok(report) => answer(StatusCode::OK, &report),
            Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", &error.to_string()),
        },
        Ok(Outcome::Refused(problems)) => {
            let message = format!("the configuration is not valid, and nothing was changed\n{}", problems.join("\n"));
            let error = json!({ "code": "invalid_configuration", "message": message });
            answer(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "error": error, "problems": problems }))
        }
        Err(_) => {
            problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the reload failed; the bridge's log says how")
        }
    })
}

impl Revoke {
    fn read(self) -> Result<Wanted, Problem> {
        let Self { kind, tenant, value, issued_before, reason, until } = self;
        if reason.as_ref().is_some_and(|reason| reason.len() > MAX_REASON) {
            return Err(bad(format!("reason must have at most {MAX_REASON} bytes")));
        }
        Ok(Wanted {
            target: target(&kind, tenant.as_deref(), value.as_deref())?,
            issued_before: time("issued_before", issued_before)?,
            reason: reason.filter(|reason| !reason.is_empty()).map(Into::into),
            until: time("until", until)?,
        })
    }
}

/// Whose; a tenant may also be named as the value.
fn target(kind: &str, tenant: Option<&str>, value: Option<&str>) -> Result<Target, Problem> {
    let (tenant, value) = match (kind, tenant, value) {
        ("tenant", None, Some(_)) => (value, None),
        ("tenant", Some(tenant), Some(value)) if tenant != value => {
            return Err(bad("tenant and value name two tenants: name the subject with kind \"subject\"".into()));
        }
        ("session", Some(_), _) => return Err(bad("a session is named by its id alone: leave tenant out".into())),
        _ => (tenant, value),
    };
    Target::new(kind, tenant, value).map_err(|error| bad(error.to_string()))
}

/// Milliseconds, or RFC 3339.
fn time(name: &str, value: Option<Value>) -> Result<Option<Millis>, Problem> {
    let read = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_i64().filter(|at| *at >= 0),
        Some(Value::String(text)) => timestamp::parse(&text),
        Some(_) => None,
    };
    read.map(Some).ok_or_else(|| bad(format!("{name} must be milliseconds since 1970, or \"2026-11-21T12:00:00Z\"")))
}

async fn body<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    let bytes = to_bytes(request.into_body(), MAX_BODY).await.map_err(|_| {
        let text = format!("the body must come whole, and have at most {MAX_BODY} bytes");
        Problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large", text)
    })?;
    serde_json::from_slice(&bytes).map_err(|error| bad(format!("the body: {error}")))
}

fn written(outcome: Result<Written, RevokeError>) -> Response {
    match outcome {
        Ok(Written { revocation, at, applied }) => {
            // The log has it either way: every node will act.
            let status = if applied { StatusCode::OK } else { StatusCode::ACCEPTED };
            let position = json!({ "topic": TOPIC, "partition": at.partition, "offset": at.offset });
            let revocation = revocation.map(|revocation| shown(&revocation));
            answer(status, &json!({ "revocation": revocation, "position": position, "applied": applied }))
        }
        Err(error) => {
            let (status, code) = match &error {
                RevokeError::Disabled => (StatusCode::CONFLICT, "disabled"),
                RevokeError::NotReady(_) => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
                RevokeError::NotRevoked(_) => (StatusCode::NOT_FOUND, "not_revoked"),
                RevokeError::Full => (StatusCode::INSUFFICIENT_STORAGE, "full"),
                RevokeError::Ahead | RevokeError::Over => (StatusCode::BAD_REQUEST, "bad_request"),
                RevokeError::Log(AppendError::Rejected(_)) => (StatusCode::BAD_GATEWAY, "log_rejected"),
                RevokeError::Log(_) => (StatusCode::SERVICE_UNAVAILABLE, "log_unavailable"),
            };
            problem(status, code, &error.to_string())
        }
    }
}

fn shown(revocation: &Revocation) -> Value {
    let Revocation { target, issued_before, reason, until } = revocation;
    json!({
        "kind": target.kind(),
        "tenant": target.tenant(),
        "value": target.value(),
        "issued_before": issued_before,
        "reason": reason,
        "until": until,
    })
}

fn bad(text: String) -> Problem {
    Problem(StatusCode::BAD_REQUEST, "bad_request", text)
}

fn problem(status: StatusCode, code: &'static str, message: &str) -> Response {
    answer(status, &json!({ "error": { "code": code, "message": message } }))
}

fn answer(status: StatusCode, value: &Value) -> Response {
    let response = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    response.body(Body::from(format!("{value}\n"))).unwrap_or_default()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        problem(self.0, self.1, &self.2)
    }
}

impl About {
    fn of(self, mut response: Response) -> Response {
        response.extensions_mut().insert(self);
        response
    }
}

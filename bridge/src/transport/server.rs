//! The listener: accepts, speaks HTTP, and stops accepting when the node drains.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tidegate_gate::Verifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::api::{self, Api, Hangup, Held};
use super::assets::Assets;
use super::http::{DevToken, Routes, Status, router};
use super::shard_handle::ShardHandle;
use super::tls::{self, Certificate};
use super::upgrade::Upgrades;
use crate::clock::Clock;
use crate::config;
use crate::ledger::Hub;
use crate::telemetry::Metrics;

/// How long requests under way may take when the server stops.
const REQUESTS: Duration = Duration::from_secs(5);

/// What the HTTP side of a node is made of.
pub struct Server {
    /// Its configuration.
    pub config: Arc<config::Server>,
    /// Where sockets go.
    pub shards: Vec<ShardHandle>,
    /// What `/readyz` tells.
    pub status: Status,
    /// What `/metrics` tells.
    pub hub: Arc<Hub>,
    /// What `/metrics` tells.
    pub metrics: Arc<Metrics>,
    /// Files to serve.
    pub assets: Assets,
    /// Makes tokens under `/dev/token`.
    pub dev_token: Option<DevToken>,
    /// Who takes the tokens of requests.
    pub verifier: Arc<Verifier>,
    /// Bytes of one frame from a client.
    pub frame_bytes: Arc<AtomicUsize>,
}

/// A server that runs.
pub struct ServerHandle {
    /// The address it listens on.
    pub address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Binds the address and begins to accept.
    pub async fn start(self) -> std::io::Result<ServerHandle> {
        let listener = TcpListener::bind(self.config.listen).await?;
        let Self { config, shards, status, hub, metrics, assets, dev_token, verifier, frame_bytes } = self;
        let api = Api {
            shards: shards.clone(),
            origins: config.allowed_origins.clone(),
            verifier,
            metrics: Arc::clone(&metrics),
            clock: Clock,
            draining: Arc::clone(&status.draining),
            max_connections: config.max_connections,
            frame_bytes,
            patience: config.handshake_timeout,
            next: AtomicUsize::new(0),
            held: Held::default(),
        };
        let limits = Limits {
            head_timeout: config.handshake_timeout,
            // Event streams are sessions that stay HTTP: beside as many as may be, others still get their answers.
            connections: config.max_connections.saturating_mul(2),
            metrics: Some(Arc::clone(&metrics)),
            certificate: None,
        };
        let upgrades =
            Upgrades::new(shards, config.allowed_origins.clone(), config.max_connections, Arc::clone(&metrics));
        let routes = Routes { upgrades: Arc::new(upgrades), status, hub, metrics, assets, dev_token, clock: Clock };
        let certificate = config.tls.as_ref().map(Certificate::load).transpose().map_err(std::io::Error::other)?;
        if let Some(certificate) = &certificate {
            tokio::spawn(Arc::clone(certificate).watch());
        }
        let limits = Limits { certificate, ..limits };
        serve(listener, router(Arc::new(routes)).merge(api::router(Arc::new(api))), limits)
    }
}

/// Begins to accept, until the handle stops it.
pub(super) fn serve(listener: TcpListener, router: axum::Router, limits: Limits) -> std::io::Result<ServerHandle> {
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let handle = ServerHandle { address: listener.local_addr()?, stop: stop.clone(), tasks: tasks.clone() };
    tokio::spawn(accept(listener, router, limits, stop, tasks));
    Ok(handle)
}

impl ServerHandle {
    /// Stops accepting, and waits a moment for requests that are under way.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(REQUESTS, self.tasks.wait()).await.is_err() {
            tracing::warn!(requests = self.tasks.len(), "stopping although not every answer was taken");
        }
    }
}

/// What those who connect must stay within.
pub(super) struct Limits {
    /// How long a request's head may take, the first as the next.
    head_timeout: Duration,
    /// Connections that speak HTTP; those that become WebSockets are counted where they do.
    connections: usize,
    /// Where those are counted that are turned away.
    metrics: Option<Arc<Metrics>>,
    /// What they are shown; without it they speak HTTP in the clear.
    certificate: Option<Arc<Certificate>>,
}

impl Default for Limits {
    /// Those of a listener for few.
    fn default() -> Self {
        Self { head_timeout: Duration::from_secs(10), connections: 256, metrics: None, certificate: None }
    }
}

async fn accept(
    listener: TcpListener,
    router: axum::Router,
    limits: Limits,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let tcp = match accepted {
            Ok((tcp, _)) => tcp,
            Err(error) => {
                // Out of file descriptors, mostly: what is open goes on, and some of it will close.
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if tasks.len() >= limits.connections {
            limits.metrics.iter().for_each(|metrics| metrics.refused("full"));
            continue;
        }
        // What is written is written whole; waiting for more would only delay it.
        let _ = tcp.set_nodelay(true);
        let (router, stop) = (router.clone(), stop.clone());
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(limits.head_timeout).max_buf_size(16 * 1024);
        let acceptor = limits.certificate.as_ref().map(|certificate| certificate.acceptor());
        let (patience, metrics) = (limits.head_timeout, limits.metrics.clone());
        tasks.spawn(async move {
            let Some(acceptor) = acceptor else { return converse(tcp, &http, router, stop).await };
            let accepted = tokio::time::timeout(patience, acceptor.accept(tcp)).await;
            let outcome = match &accepted {
                Ok(Ok(stream)) => tls::outcome(stream.get_ref().1),
                // What goes wrong on one connection is that client's affair.
                _ => "failed",
            };
            if let Some(metrics) = metrics {
                metrics.tls_handshake(outcome);
            }
            if let Ok(Ok(stream)) = accepted {
                converse(stream, &http, router, stop).await;
            }
        });
    }
}

/// Speaks HTTP with one client, until one of them ends it.
async fn converse(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    http: &http1::Builder,
    router: axum::Router,
    stop: CancellationToken,
) {
    let hangup = CancellationToken::new();
    let (routes, from) = (TowerToHyperService::new(router), Hangup(hangup.clone()));
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(from.clone());
        routes.call(request)
    });
    let connection = http.serve_connection(TokioIo::new(io), service).with_upgrades();
    tokio::pin!(connection);
    tokio::select! {
        // What goes wrong on one connection is that client's affair.
        _ = connection.as_mut() => {}
        () = hangup.cancelled() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

//! The wiring of a node, and nothing else: what is made of what, and in which order it stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use tidegate_gate::{Accounts, Revocations, Tokens, Verifier};
use tidegate_log::Log;
use tidegate_log::kafka::{KafkaLog, KafkaOptions};
use tidegate_log::sqlite::{SqliteLog, SqliteOptions};
use tidegate_protocol::code;
use tokio::sync::{Mutex, mpsc};

use crate::clock::Clock;
use crate::config::{self, Config};
use crate::cursor::{MasterKey, Sealer};
use crate::fanout::{Input, Shard};
use crate::feed::catch_up::{self, CatchUp};
use crate::feed::{Feed, FeedHandle};
use crate::ledger::Hub;
use crate::reload::{self, Reloader};
use crate::revocation::{self, Follower, FollowerHandle, Revoker};
use crate::telemetry::Metrics;
use crate::transport::{Admin, Assets, DevToken, Directory, Server, ServerHandle, ShardHandle, ShardThread, Status};

/// Rounds that a shard may lie behind the feed.
const ROUNDS: usize = 8;

/// How often the ledger's totals are added up and told.
const TOTALS: Duration = Duration::from_secs(1);

/// How often the keys of tokens are looked at.
const KEYS: Duration = Duration::from_mins(1);

/// How long the last words to a session may take.
const GOODBYE: Duration = Duration::from_secs(5);

/// How often a stopping node looks whether everybody has left.
const GLANCE: Duration = Duration::from_millis(20);

/// How long threads may take to end.
const THREADS: Duration = Duration::from_secs(5);

/// How long what was published may take to become durable when the node stops.
const FLUSH: Duration = Duration::from_secs(10);

/// A node that runs.
pub struct Node {
    /// Its HTTP side.
    pub server: ServerHandle,
    /// Reads its configuration again; `None` where that does not come from a file or the environment.
    pub reloader: Option<Arc<Reloader>>,
    /// Its admin API, if there is one.
    pub admin: Option<ServerHandle>,
    revocations: Option<FollowerHandle>,
    log: Arc<dyn Log>,
    shards: Vec<ShardHandle>,
    threads: Vec<JoinHandle<()>>,
    feed: FeedHandle,
    metrics: Arc<Metrics>,
    draining: Arc<AtomicBool>,
    drain_timeout: Duration,
}

/// What a node may have beside its configuration.
#[derive(Default)]
pub struct Extras {
    /// Files to serve.
    pub assets: Assets,
    /// Makes tokens under `/dev/token`.
    pub dev_token: Option<DevToken>,
    /// Where the configuration came from, to be read again.
    pub source: Option<config::Source>,
}

/// Opens the configured log.
pub fn open_log(log: &config::Log) -> anyhow::Result<Arc<dyn Log>> {
    Ok(match log {
        config::Log::Kafka(kafka) => Arc::new(KafkaLog::open(KafkaOptions::new(kafka.settings.clone()))?),
        config::Log::Sqlite(sqlite) => {
            let options = SqliteOptions { new_topics: Some(sqlite.partitions), ..SqliteOptions::new(&sqlite.path) };
            Arc::new(SqliteLog::open(&options)?)
        }
    })
}

impl Node {
    /// Starts a node over a log.
    pub async fn start(config: &Config, log: Arc<dyn Log>, extras: Extras) -> anyhow::Result<Self> {
        let clock = Clock;
        let metrics = Metrics::new();
        let revocations = Arc::new(unread(config));
        let verifier = Arc::new(Verifier::new(Tokens::new((*config.tokens).clone())?, Arc::clone(&revocations)));
        let incarnation = random_bytes::<16>()?;
        let life = BASE64.encode(incarnation);
        let count = config.server.shards.max(1);
        let hub = Arc::new(Hub::new(Arc::clone(&config.server.node), life.into(), count));
        let rules = reload::rules(config);
        metrics.rules_loaded(clock.now());
        let masters = master_keys(&config.cursors)?;
        let draining: Arc<AtomicBool> = Arc::default();

        let (senders, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::channel(ROUNDS)).unzip();
        let (feed, feed_handle) =
            Feed::new(log.tail()?, Arc::clone(&rules.topics), senders, Arc::clone(&hub), Arc::clone(&metrics));
        let mut threads = vec![std::thread::Builder::new().name("feed".into()).spawn(move || feed.run())?];
        let reading = catch_up::Options { bytes_per_s: config.catch_up.bytes_per_s, readers: config.catch_up.readers };
        let catch_up = CatchUp::start(&log, reading)?;

        let frame_bytes = Arc::new(AtomicUsize::new(config.limits.frame_bytes));
        let directory: Arc<Directory> = Arc::default();
        let accounts = accounts(config, &metrics);
        let mut shards = Vec::new();
        for (index, rounds) in receivers.into_iter().enumerate() {
            let options = reload::options(config, (index as u32, count as u32), &revocations, &accounts);
            let (rules, masters) = (rules.clone(), masters.clone());
            // Each shard seals under an incarnation of its own, since each counts its own nonces.
            let mut own = incarnation;
            own[15] ^= index as u8;
            own[14] ^= (index >> 8) as u8;
            let thread = ShardThread {
                index,
                shard: Box::new(move || Shard::new(options, rules, Sealer::new(masters, own))),
                rounds,
                feed: feed_handle.clone(),
                catch_up: catch_up.clone(),
                log: Arc::clone(&log),
                verifier: Arc::clone(&verifier),
                runtime: tokio::runtime::Handle::current(),
                directory: Arc::clone(&directory),
                accounts: Arc::clone(&accounts),
                hub: Arc::clone(&hub),
                metrics: Arc::clone(&metrics),
                clock,
                handshake_timeout: config.server.handshake_timeout,
                frame_bytes: Arc::clone(&frame_bytes),
            };
            let (handle, inbox) = ShardHandle::new();
            threads.push(thread.start(handle.clone(), inbox)?);
            shards.push(handle);
        }
        directory.set_shards(shards.clone());
        let follower = follow(config, &log, &revocations, &shards, &metrics)?;
        tokio::spawn(tell_totals(Arc::clone(&hub), shards.clone(), clock));
        tokio::spawn(tell_availability(log.available(), shards.clone()));
        tokio::spawn(refresh_keys(Arc::clone(&verifier), clock));
        let reloader = extras.source.map(|source| {
            Arc::new(Reloader {
                source,
                applied: Mutex::new(config.clone()),
                verifier: Arc::clone(&verifier),
                accounts,
                feed: feed_handle.clone(),
                shards: count,
                metrics: Arc::clone(&metrics),
                clock,
            })
        });
        let admin = admin(config, &log, &verifier, follower.as_ref(), reloader.clone());

        let status = Status { draining: Arc::clone(&draining), log_available: log.available(), revocations };
        let server = Server {
            config: Arc::clone(&config.server),
            shards: shards.clone(),
            status,
            hub,
            metrics: Arc::clone(&metrics),
            assets: extras.assets,
            dev_token: extras.dev_token,
            verifier,
            frame_bytes,
        };
        let server = server.start().await?;
        let admin = match admin {
            Some(admin) => Some(start_admin(admin).await?),
            None => None,
        };
        let drain_timeout = config.server.drain_timeout;
        Ok(Self {
            server,
            reloader,
            admin,
            revocations: follower,
            log,
            shards,
            threads,
            feed: feed_handle,
            metrics,
            draining,
            drain_timeout,
        })
    }

    /// Stops in order: unready, sessions told to come back elsewhere and given the time to, those that stayed ended,
    /// no requests, the log flushed, threads ended.
    pub async fn stop(self) {
        self.draining.store(true, Ordering::Relaxed);
        for shard in &self.shards {
            shard.input(Input::Drain(self.drain_timeout.as_millis() as u64));
        }
        // Until their delay is over, clients settle what they hold and report it.
        self.empty(self.drain_timeout).await;
        for shard in &self.shards {
            shard.input(Input::EndAll(code::GOING_AWAY));
        }
        self.empty(GOODBYE).await;
        self.server.stop().await;
        if let Some(admin) = &self.admin {
            admin.stop().await;
        }
        let log = Arc::clone(&self.log);
        let flushed = tokio::task::spawn_blocking(move || log.flush(FLUSH)).await;
        if flushed.is_err() {
            tracing::error!("the log could not be flushed");
        }
        self.feed.stop();
        self.shards.iter().for_each(ShardHandle::stop);
        let mut threads = self.threads;
        if let Some(follower) = self.revocations {
            follower.stop();
            threads.push(follower.thread);
        }
        let ended = async {
            while threads.iter().any(|thread| !thread.is_finished()) {
                tokio::time::sleep(GLANCE).await;
            }
        };
        // One that waits for a log that is away does so for a while. Nothing depends on it, and it ends with the process.
        let _ = tokio::time::timeout(THREADS, ended).await;
    }

    /// Waits until no connection is open, at most `limit`.
    async fn empty(&self, limit: Duration) {
        let gone = async {
            while self.metrics.connections() > 0 {
                tokio::time::sleep(GLANCE).await;
            }
        };
        let _ = tokio::time::timeout(limit, gone).await;
    }
}

/// What each tenant may take of the node. Who reaches a limit is counted, and said now and then.
fn accounts(config: &Config, metrics: &Arc<Metrics>) -> Arc<Accounts> {
    let metrics = Arc::clone(metrics);
    Accounts::new(config.limits.tenants.clone(), move |tenant, bound, loud| {
        metrics.limited(bound.name());
        if loud {
            tracing::warn!(tenant, limit = bound.name(), "a tenant is at its limit on this node");
        }
    })
}

/// What is known of revocations before any is read.
fn unread(config: &Config) -> Revocations {
    if config.revocation.enabled {
        Revocations::unread(&format!("revocations are being read from {}", revocation::TOPIC))
    } else {
        Revocations::default()
    }
}

/// Begins to read revocations, unless the configuration does without.
fn follow(
    config: &Config,
    log: &Arc<dyn Log>,
    revocations: &Arc<Revocations>,
    shards: &[ShardHandle],
    metrics: &Arc<Metrics>,
) -> std::io::Result<Option<FollowerHandle>> {
    if !config.revocation.enabled {
        return Ok(None);
    }
    let shards = shards.to_vec();
    let tell = move |revocation: &_| shards.iter().for_each(|shard| shard.revoke(Arc::clone(revocation)));
    let (log, revocations, metrics) = (Arc::clone(log), Arc::clone(revocations), Arc::clone(metrics));
    Follower { log, revocations, tell: Box::new(tell), metrics, clock: Clock }.start().map(Some)
}

/// The admin API, if one is configured.
fn admin(
    config: &Config,
    log: &Arc<dyn Log>,
    verifier: &Arc<Verifier>,
    follower: Option<&FollowerHandle>,
    reloader: Option<Arc<Reloader>>,
) -> Option<Admin> {
    let tokens = Arc::clone(verifier);
    let revoker = Revoker {
        log: Arc::clone(log),
        revocations: Arc::clone(verifier.revocations()),
        position: follower.map(|follower| follower.position.clone()),
        token_life: Box::new(move || tokens.tokens().longest_life()),
    };
    Some(Admin { config: Arc::clone(config.admin.as_ref()?), revoker, reloader, clock: Clock })
}

async fn start_admin(admin: Admin) -> anyhow::Result<ServerHandle> {
    let listen = admin.config.listen;
    let server = admin.start().await.with_context(|| format!("the admin API can not listen on {listen}"))?;
    tracing::info!(address = %server.address, "admin API listening");
    Ok(server)
}

fn master_keys(cursors: &config::Cursors) -> anyhow::Result<Vec<MasterKey>> {
    if cursors.keys.is_empty() {
        return Ok(vec![MasterKey::new(random_bytes()?)]);
    }
    Ok(cursors.keys.iter().map(|key| MasterKey::new(key.0)).collect())
}

fn random_bytes<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system gives no random bytes"))?;
    Ok(bytes)
}

async fn tell_totals(hub: Arc<Hub>, shards: Vec<ShardHandle>, clock: Clock) {
    let mut tick = tokio::time::interval(TOTALS);
    loop {
        tick.tick().await;
        let totals = Arc::new(hub.sum(clock.now()));
        for shard in &shards {
            shard.input(Input::Ledger(Arc::clone(&totals)));
        }
    }
}

/// Fetches the keys of tokens before anybody needs them, and again when they are old.
async fn refresh_keys(verifier: Arc<Verifier>, clock: Clock) {
    let mut tick = tokio::time::interval(KEYS);
    loop {
        tick.tick().await;
        if let Err(error) = verifier.refresh(clock.now()).await {
            tracing::warn!(%error, "the keys of tokens can not be refreshed");
        }
    }
}

async fn tell_availability(mut available: tokio::sync::watch::Receiver<bool>, shards: Vec<ShardHandle>) {
    loop {
        let now = *available.borrow_and_update();
        for shard in &shards {
            shard.input(Input::LogAvailable(now));
        }
        if available.changed().await.is_err() {
            return;
        }
    }
}

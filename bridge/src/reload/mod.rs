//! Reload: reads the configuration again, wholly, and applies it to a node that runs, or changes nothing.
//!
//! What can be exchanged: grants, topics, what tokens must be like, what new sessions must stay within. The rest is named
//! and stays as it was until a restart.

mod changes;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tidegate_gate::{Accounts, Revocations, Verifier};
use tidegate_protocol::frame::Limits;
use tokio::sync::{Mutex, mpsc};

use crate::clock::Clock;
use crate::config::{Config, Place, Problem, Source};
use crate::fanout::{Applied, Options, Renewal, Rules};
use crate::feed::{FeedHandle, TopicTable};
use crate::telemetry::Metrics;
pub use changes::{Changes, Grants, Named};

/// How long shards may take to say what came of it. They apply it all the same.
const PATIENCE: Duration = Duration::from_secs(10);

/// What reloading is done with.
pub struct Reloader {
    /// Where the configuration comes from.
    pub source: Source,
    /// What applies now. One reload at a time.
    pub applied: Mutex<Config>,
    /// Who verifies tokens.
    pub verifier: Arc<Verifier>,
    /// What each tenant may take of the node.
    pub accounts: Arc<Accounts>,
    /// Through which the shards are told.
    pub feed: FeedHandle,
    /// How many there are.
    pub shards: usize,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
    /// The clock.
    pub clock: Clock,
}

/// What a reload came to, as it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is in force.
    Applied(Report),
    /// It has these problems, and nothing was changed.
    Refused(Vec<String>),
}

/// What a reload changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Grants, topics, and what else.
    #[serde(flatten)]
    pub changes: Changes,
    /// Open sessions that were told something; all others did not notice.
    pub sessions_told: usize,
    /// Subscriptions that see other events now.
    pub subscriptions_moved: usize,
    /// Subscriptions that ended.
    pub subscriptions_ended: usize,
    /// What is allowed, but may not be meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The rules of a configuration.
pub fn rules(config: &Config) -> Rules {
    let policy = Arc::new(config.policy());
    let topics = TopicTable::new(Arc::clone(&config.topics), Arc::clone(&policy), config.limits.event_bytes);
    Rules { policy, topics: Arc::new(topics) }
}

/// What a shard of this configuration must stay within.
pub fn options(
    config: &Config,
    shard: (u32, u32),
    revocations: &Arc<Revocations>,
    accounts: &Arc<Accounts>,
) -> Options {
    let limits = &config.limits;
    Options {
        node: Arc::clone(&config.server.node),
        shard,
        limits: Limits {
            credit: limits.credit_bytes as u64,
            unsettled: limits.unsettled as u64,
            frame_bytes: limits.frame_bytes as u64,
            event_bytes: limits.event_bytes as u64,
            subscriptions: limits.subscriptions as u64,
        },
        outbox_bytes: limits.outbox_bytes,
        heartbeat_interval: config.server.heartbeat_interval.as_millis() as i64,
        heartbeat_timeout: config.server.heartbeat_timeout.as_millis() as i64,
        skew: config.tokens.skew_ms,
        window_bytes: config.window.bytes,
        publish_events: limits.publish_events,
        publish_bytes: limits.publish_bytes,
        accounts: Arc::clone(accounts),
        revocations: Arc::clone(revocations),
    }
}

impl Reloader {
    /// Reads the configuration and applies it, if all of it is good.
    pub async fn reload(&self) -> Outcome {
        let mut applied = self.applied.lock().await;
        match self.apply(&mut applied).await {
            Ok(report) => {
                self.metrics.reload_applied(self.clock.now());
                report.log();
                Outcome::Applied(report)
            }
            Err(problems) => {
                self.metrics.reload_refused();
                for problem in &problems {
                    tracing::error!(%problem, "the configuration is not valid");
                }
                let file = self.source.name();
                tracing::error!(problems = problems.len(), file, "the configuration was not reloaded: nothing changed");
                Outcome::Refused(problems.iter().map(Problem::to_string).collect())
            }
        }
    }

    async fn apply(&self, applied: &mut Config) -> Result<Report, Vec<Problem>> {
        let source = self.source.clone();
        // Reads files, and compiles conditions.
        let loaded = tokio::task::spawn_blocking(move || source.load()).await;
        let whole = |key: &str, text: String| {
            let place = Place::File(self.source.name().into());
            vec![Problem { place, key: key.to_owned(), text }]
        };
        let loaded = loaded.map_err(|_| whole("", "reading it failed".to_owned()))?;
        let loaded = loaded.map_err(|problems| problems.0)?;
        let terms = self.verifier.tokens().renew((*loaded.config.tokens).clone(), self.clock.now()).await;
        let terms = terms.map_err(|error| whole("tokens", error.to_string()))?;

        // From here on nothing can fail.
        let changes = Changes::between(applied, &loaded.config);
        let config = Config {
            limits: loaded.config.limits,
            tokens: loaded.config.tokens,
            topics: loaded.config.topics,
            grants: loaded.config.grants,
            ..applied.clone()
        };
        self.verifier.tokens().install(terms);
        self.accounts.change(config.limits.tenants.clone(), self.clock.now());
        let sum = self.tell(&config).await;
        *applied = config;
        Ok(Report {
            changes,
            sessions_told: sum.sessions,
            subscriptions_moved: sum.moved,
            subscriptions_ended: sum.ended,
            warnings: loaded.warnings.iter().map(Problem::to_string).collect(),
        })
    }

    /// Tells every shard, and waits until all have applied it.
    async fn tell(&self, config: &Config) -> Applied {
        let (told, mut answers) = mpsc::channel(self.shards.max(1));
        let options = options(config, (0, self.shards as u32), self.verifier.revocations(), &self.accounts);
        self.feed.renew(Arc::new(Renewal { rules: rules(config), options, told }));
        let mut sum = Applied::default();
        let all = async {
            // Every shard lets go of its sender when it has answered.
            while let Some(applied) = answers.recv().await {
                sum.add(applied);
            }
        };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            tracing::warn!("a shard is slow: it applies the new rules when it comes to them");
        }
        sum
    }
}

impl Report {
    fn log(&self) {
        for warning in &self.warnings {
            tracing::warn!(%warning, "the configuration is allowed, but may not be meant");
        }
        let Changes { grants, topics, tokens, limits, restart } = &self.changes;
        tracing::info!(
            grants_added = grants.added,
            grants_removed = grants.removed,
            topics_added = topics.added.join(","),
            topics_removed = topics.removed.join(","),
            topics_changed = topics.changed.join(","),
            tokens,
            limits,
            sessions_told = self.sessions_told,
            subscriptions_moved = self.subscriptions_moved,
            subscriptions_ended = self.subscriptions_ended,
            "the configuration was reloaded"
        );
        if !restart.is_empty() {
            tracing::warn!(keys = restart.join(","), "changed, and not applied until restart");
        }
    }
}

//! Apache Kafka, through librdkafka.
//!
//! | client | what for |
//! | --- | --- |
//! | one per [`Tail`] | reads the ends of all topics it follows, by assignment; a thread beside it finds topics and partitions; exchanged when one was made again |
//! | one per [`Reader`] | reads history, one partition at a time; its prefetch is no tail's |
//! | one asker per log | topics, ids, offsets, health |
//! | one producer per log | appends |

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rdkafka::admin::AdminClient;
use tokio::sync::watch;

use crate::{AppendDone, Cluster, DISCOVERY, Log, LogError, Made, NewRecord, NewTopic, Reader, Tail};

mod admin;
mod append;
mod assignment;
mod block;
mod client_config;
mod discovery;
mod health;
mod offsets;
mod queue;
mod reader;
mod source;
mod tail;
mod topic_id;

use append::Appender;
use client_config::{Consumer, Role};
use discovery::Desk;
use health::Context;
use queue::Queue;
use source::Source;

/// How to reach Kafka.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// Any setting of librdkafka, by its own name; `bootstrap.servers` is needed. Those that what the log promises
    /// rests on (`group.id`, `isolation.level`, `enable.idempotence`, …) are refused.
    pub settings: BTreeMap<String, String>,
    /// How often new topics and partitions are looked for.
    pub discovery: Duration,
}

impl KafkaOptions {
    /// These settings, and the usual discovery.
    pub fn new(settings: BTreeMap<String, String>) -> Self {
        Self { settings, discovery: DISCOVERY }
    }

    /// Why a setting can not be used, where that can be told without a broker.
    pub fn problem(name: &str, value: &str) -> Option<String> {
        client_config::problem(name, value)
    }
}

/// Kafka as a [`Log`].
pub struct KafkaLog {
    options: KafkaOptions,
    context: Context,
    asker: Arc<Consumer>,
    appender: Appender,
    available: watch::Receiver<bool>,
}

impl KafkaLog {
    /// Checks the settings and begins to connect. Brokers that are away are no error here: see [`Log::available`].
    pub fn open(options: KafkaOptions) -> Result<Self, LogError> {
        client_config::validate(&options.settings)?;
        let (context, suspected) = Context::new();
        let asker: Arc<Consumer> = Arc::new(client_config::create(&options.settings, Role::Asker, context.clone())?);
        let appender = Appender::new(options.settings.clone(), context.clone())?;
        let (sender, available) = watch::channel(false);
        health::monitor(Arc::clone(&asker), suspected, sender).map_err(no_thread)?;
        Ok(Self { options, context, asker, appender, available })
    }

    fn source(&self, role: Role) -> Result<Source, LogError> {
        let (settings, context) = (self.options.settings.clone(), self.context.clone());
        Source::new(Box::new(move || {
            Queue::new(client_config::create(&settings, role, context.clone())?)
                .ok_or_else(|| LogError::Fatal("the Kafka consumer has no queue".into()))
        }))
    }

    fn admin(&self) -> Result<AdminClient<Context>, LogError> {
        client_config::create(&self.options.settings, Role::Asker, self.context.clone())
    }
}

impl Log for KafkaLog {
    fn tail(&self) -> Result<Box<dyn Tail>, LogError> {
        let source = self.source(Role::Tail)?;
        let desk = Arc::new(Desk::default());
        // Discovery waits where a tail does not take its findings.
        let (findings, found) = mpsc::sync_channel(1024);
        let asker = Arc::clone(&self.asker);
        discovery::start(asker, self.options.discovery, Arc::clone(&desk), findings, source.bell())
            .map_err(no_thread)?;
        Ok(Box::new(tail::KafkaTail::new(source, desk, found)))
    }

    fn reader(&self) -> Result<Box<dyn Reader>, LogError> {
        Ok(Box::new(reader::KafkaReader::new(self.source(Role::Reader)?, Arc::clone(&self.asker))))
    }

    fn append(&self, record: NewRecord, done: AppendDone) {
        self.appender.append(&record, done);
    }

    fn flush(&self, limit: Duration) {
        self.appender.flush(limit);
    }

    fn available(&self) -> watch::Receiver<bool> {
        self.available.clone()
    }

    fn cluster(&self) -> Result<Cluster, LogError> {
        admin::cluster(&self.asker, &self.admin()?)
    }

    fn topic_settings(&self, topics: &[&str]) -> Result<BTreeMap<String, BTreeMap<String, String>>, LogError> {
        admin::topic_settings(&self.admin()?, topics)
    }

    fn create_topics(&self, topics: &[NewTopic]) -> Result<Vec<Result<Made, LogError>>, LogError> {
        admin::create_topics(&self.admin()?, topics)
    }

    fn delete_topic(&self, topic: &str) -> Result<(), LogError> {
        admin::delete_topic(&self.admin()?, topic)
    }
}

impl std::fmt::Debug for KafkaLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaLog").field("options", &self.options).finish_non_exhaustive()
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn no_thread(error: std::io::Error) -> LogError {
    LogError::Fatal(format!("no thread could be started: {error}"))
}

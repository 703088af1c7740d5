//! Whether the brokers can be reached, and what librdkafka has to say about it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::{ClientContext, Statistics};
use tokio::sync::watch;

use super::client_config::Consumer;
use super::topic_id;

/// How often the brokers are asked while they answer.
const INTERVAL: Duration = Duration::from_millis(1500);

/// How often they are asked while they don't.
const RETRY: Duration = Duration::from_millis(500);

/// Without an answer for this long they are away. With `INTERVAL` less than 5 s, as promised.
const PATIENCE: Duration = Duration::from_secs(3);

/// The context of every client: errors make the monitor look at once, log lines go to `tracing`.
#[derive(Debug, Clone)]
pub(super) struct Context {
    suspect: SyncSender<()>,
}

impl Context {
    pub(super) fn new() -> (Self, Receiver<()>) {
        let (suspect, suspected) = sync_channel(1);
        (Self { suspect }, suspected)
    }

    /// Something went wrong that may mean that the brokers are away.
    pub(super) fn suspect(&self) {
        // Full: the monitor is about to look anyhow.
        let _ = self.suspect.try_send(());
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // So says librdkafka what else comes as an error, where many records are taken at once.
        if facility == "ERROR" {
            self.suspect();
        }
        match (level, facility) {
            // Said at each attempt to connect, and of settings meant for the other kind of client.
            (_, "FAIL" | "ERROR" | "CONFWARN") | (RDKafkaLogLevel::Debug, _) => {
                tracing::debug!(target: "librdkafka", facility, "{message}");
            }
            (RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice, _) => {
                tracing::info!(target: "librdkafka", facility, "{message}");
            }
            _ => tracing::warn!(target: "librdkafka", facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, "{reason}");
        self.suspect();
    }

    fn stats(&self, _: Statistics) {}

    fn stats_raw(&self, statistics: &[u8]) {
        tracing::debug!(target: "librdkafka", "{}", String::from_utf8_lossy(statistics));
    }
}

impl ConsumerContext for Context {}

/// Watches the brokers on a thread of its own, until `stop` is dropped with the log.
pub(super) fn monitor(
    asker: Arc<Consumer>,
    suspected: Receiver<()>,
    available: watch::Sender<bool>,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name("kafka-health".into()).spawn(move || {
        while !available.is_closed() {
            // Serves the asker's own errors and log lines.
            let _ = asker.poll(Duration::ZERO);
            let reached = topic_id::reach(&asker, PATIENCE);
            let now = reached.is_ok();
            let changed = available.send_replace(now) != now;
            match reached {
                Ok(()) if changed => tracing::info!("Kafka can be reached"),
                Err(error) if changed => tracing::warn!(%error, "Kafka can not be reached"),
                _ => {}
            }
            match suspected.recv_timeout(if now { INTERVAL } else { RETRY }) {
                // A storm of errors must not become a storm of questions.
                Ok(()) => std::thread::sleep(Duration::from_millis(50)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    })
}

//! Appends records: idempotent, acknowledged by all in-sync replicas, on the partition where Java would put them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::{ClientContext, Message as _, Statistics};

use super::client_config::{self, Role};
use super::health::Context;
use crate::{AppendDone, AppendError, Appended, LogError, NewRecord};

/// How long the producer's thread waits for something to tell before it looks whether the producer is still there. What
/// comes meanwhile is told at once. Each time it ends with up to a millisecond of spinning (rdkafka rounds the rest of
/// its time down), which ten times a second would be seen on an idle node.
const WAIT: Duration = Duration::from_secs(1);

/// One producer, made anew should it ever fail for good.
pub(super) struct Appender {
    settings: BTreeMap<String, String>,
    context: Context,
    producer: RwLock<Arc<BaseProducer<Deliveries>>>,
}

impl Appender {
    pub(super) fn new(settings: BTreeMap<String, String>, context: Context) -> Result<Self, LogError> {
        let producer = RwLock::new(create(&settings, &context)?);
        Ok(Self { settings, context, producer })
    }

    pub(super) fn append(&self, record: &NewRecord, done: AppendDone) {
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for (key, value) in &record.headers {
            headers = headers.insert(Header { key, value: value.as_deref() });
        }
        let mut kafka = BaseRecord::<[u8], [u8], Opaque>::with_opaque_to(&record.topic, Box::new(Mutex::new(done)));
        if !record.headers.is_empty() {
            kafka = kafka.headers(headers);
        }
        kafka.key = record.key.as_deref();
        kafka.payload = record.value.as_deref();
        let sent = self.producer.read().unwrap_or_else(PoisonError::into_inner).send(kafka);
        if let Err((error, kafka)) = sent {
            if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
                self.replace();
            }
            finish(kafka.delivery_opaque, Err(classify(&error)));
        }
    }

    pub(super) fn flush(&self, limit: Duration) {
        let producer = Arc::clone(&self.producer.read().unwrap_or_else(PoisonError::into_inner));
        if let Err(error) = producer.flush(limit) {
            tracing::warn!(%error, "not all records that were to be appended are durable");
        }
    }

    /// An idempotent producer that met a fatal error takes no more; another one does.
    fn replace(&self) {
        let mut producer = self.producer.write().unwrap_or_else(PoisonError::into_inner);
        let Some((_, reason)) = producer.client().fatal_error() else { return };
        tracing::error!(reason, "the Kafka producer failed and is made anew");
        match create(&self.settings, &self.context) {
            Ok(fresh) => *producer = fresh,
            Err(error) => tracing::error!(%error, "the Kafka producer could not be made anew"),
        }
    }
}

impl std::fmt::Debug for Appender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Appender").finish_non_exhaustive()
    }
}

fn create(settings: &BTreeMap<String, String>, context: &Context) -> Result<Arc<BaseProducer<Deliveries>>, LogError> {
    let producer: BaseProducer<Deliveries> = client_config::config(settings, Role::Producer)
        .create_with_context(Deliveries(context.clone()))
        .map_err(|error| LogError::Fatal(format!("the Kafka settings can not be used: {error}")))?;
    let producer = Arc::new(producer);
    let there = Arc::downgrade(&producer);
    std::thread::Builder::new()
        .name("producer".into())
        .spawn(move || serve(&there))
        .map_err(|error| LogError::Fatal(format!("no thread for the Kafka producer: {error}")))?;
    Ok(producer)
}

/// Tells what becomes of records, for as long as the producer is there.
fn serve(producer: &Weak<BaseProducer<Deliveries>>) {
    while let Some(producer) = producer.upgrade() {
        producer.poll(WAIT);
    }
}

/// Runs what waits for a record, on the producer's own thread.
#[derive(Debug)]
struct Deliveries(Context);

/// `Sync`, as librdkafka's opaques must be.
type Opaque = Box<Mutex<AppendDone>>;

impl ClientContext for Deliveries {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }

    fn stats(&self, _: Statistics) {}

    fn stats_raw(&self, statistics: &[u8]) {
        self.0.stats_raw(statistics);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Opaque;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: Opaque) {
        let outcome = match result {
            Ok(message) => Ok(Appended { partition: message.partition(), offset: message.offset() }),
            Err((error, _)) => Err(classify(error)),
        };
        if matches!(outcome, Err(AppendError::Unavailable(_))) {
            self.0.suspect();
        }
        finish(opaque, outcome);
    }
}

#[allow(clippy::boxed_local, reason = "it comes boxed through librdkafka")]
fn finish(opaque: Opaque, outcome: Result<Appended, AppendError>) {
    let done = opaque.into_inner().unwrap_or_else(PoisonError::into_inner);
    // A panic must not unwind through librdkafka.
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| done(outcome))).is_err() {
        tracing::error!("what waited for a record panicked");
    }
}

/// What the one who appends can do about it.
fn classify(error: &KafkaError) -> AppendError {
    use RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(Code::QueueFull) => AppendError::Full,
        Some(
            Code::MessageSizeTooLarge
            | Code::MessageBatchTooLarge
            | Code::InvalidMessage
            | Code::InvalidMessageSize
            | Code::InvalidRecord
            | Code::InvalidTimestamp
            | Code::InvalidTopic
            | Code::InvalidArgument
            | Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::UnknownPartition
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::PolicyViolation
            | Code::UnsupportedForMessageFormat,
        ) => AppendError::Rejected(error.to_string()),
        _ => AppendError::Unavailable(error.to_string()),
    }
}

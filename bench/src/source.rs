//! Puts events onto a topic of Kafka, each as soon as it is made.

use anyhow::ensure;
use clap::Args;
use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::time::Duration;

use crate::event::{Events, Pace};

#[derive(Args)]
pub(crate) struct Options {
    /// Kafka.
    #[arg(long)]
    bootstrap: String,
    /// The topic.
    #[arg(long, default_value = "orders")]
    topic: String,
    /// Tenants: the events are theirs in turn.
    #[arg(long, default_value_t = 1)]
    tenants: usize,
    /// Events a second.
    #[arg(long)]
    rate: f64,
    /// For so many seconds.
    #[arg(long)]
    seconds: f64,
}

/// Produces at a steady pace, for whoever reads.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut source = Source::new(&options.bootstrap, &options.topic)?;
    let mut pace = Pace::new(options.rate);
    let events = (options.rate * options.seconds) as u64;
    while pace.sent() < events {
        std::thread::sleep(pace.wait());
        // At a pace that can not be kept, each next one is always due.
        while pace.sent() < events && pace.take() {
            source.send(pace.sent() as usize % options.tenants, 0)?;
        }
    }
    source.finish()
}

/// A producer of one topic.
pub(crate) struct Source {
    producer: BaseProducer,
    topic: String,
    events: Events,
}

impl Source {
    pub(crate) fn new(bootstrap: &str, topic: &str) -> anyhow::Result<Self> {
        let mut config = ClientConfig::new();
        // Latency first: an event leaves when it is made.
        config.set("bootstrap.servers", bootstrap).set("linger.ms", "0").set("acks", "1");
        Ok(Self { producer: config.create()?, topic: topic.to_owned(), events: Events::new() })
    }

    /// Sends one event of this tenant about this user.
    pub(crate) fn send(&mut self, tenant: usize, user: usize) -> anyhow::Result<()> {
        let (key, envelope) = self.events.next(tenant, user);
        let mut record = BaseRecord::to(&self.topic).key(&key).payload(&envelope);
        while let Err((error, refused)) = self.producer.send(record) {
            // A backlog is made faster than it leaves: then it waits.
            ensure!(error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull), "{error}");
            self.producer.poll(Duration::from_millis(10));
            record = refused;
        }
        self.producer.poll(Duration::ZERO);
        Ok(())
    }

    /// Waits until Kafka has all of them.
    pub(crate) fn finish(&self) -> anyhow::Result<()> {
        Ok(self.producer.flush(Duration::from_secs(10))?)
    }
}

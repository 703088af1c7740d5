//! Puts events onto topics of Kafka.

use anyhow::{anyhow, ensure};
use clap::Args;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::time::{Duration, Instant};

use crate::event::{Events, Pace};
use crate::server::Topics;

#[derive(Args)]
pub(crate) struct Options {
    /// Kafka.
    #[arg(long)]
    bootstrap: String,
    #[command(flatten)]
    topics: Topics,
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

#[derive(Args)]
pub(crate) struct MakeOptions {
    /// Kafka.
    #[arg(long)]
    bootstrap: String,
    #[command(flatten)]
    topics: Topics,
    /// Partitions of each.
    #[arg(long, default_value_t = 1)]
    partitions: i32,
}

/// Makes the topics, and waits until each of them has a leader and can be read.
pub(crate) fn make(options: &MakeOptions) -> anyhow::Result<()> {
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", &options.bootstrap).create()?;
    let names: Vec<String> = options.topics.names().collect();
    let topics: Vec<_> =
        names.iter().map(|name| NewTopic::new(name, options.partitions, TopicReplication::Fixed(1))).collect();
    let within = AdminOptions::new().operation_timeout(Some(Duration::from_mins(1)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for made in runtime.block_on(admin.create_topics(&topics, &within))? {
        made.map_err(|(topic, error)| anyhow!("the topic {topic} could not be made: {error}"))?;
    }
    let deadline = Instant::now() + READY;
    for name in &names {
        while let Err(error) = admin.inner().fetch_watermarks(name, 0, READY) {
            ensure!(Instant::now() < deadline, "the topic {name} can not be read: {error}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

/// How long new topics may take.
const READY: Duration = Duration::from_mins(1);

/// Produces at a steady pace, for whoever reads.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut source = Source::new(&options.bootstrap, &options.topics, AT_A_PACE)?;
    let mut pace = Pace::new(options.rate);
    let events = (options.rate * options.seconds) as u64;
    while pace.sent() < events {
        std::thread::sleep(pace.wait());
        // At a pace that can not be kept, each next one is always due.
        while pace.sent() < events && pace.take() {
            let number = pace.sent() as usize;
            source.send(number, number % options.tenants, 0)?;
        }
    }
    source.finish()
}

/// How long an event lingers at a pace. Kafka shares the load's core: with a request for each of 5,000 events a second it
/// would be what is measured.
pub(crate) const AT_A_PACE: Duration = Duration::from_millis(1);

/// A producer of these topics.
pub(crate) struct Source {
    producer: BaseProducer,
    topics: Vec<String>,
    events: Events,
}

impl Source {
    /// An event leaves after it has lingered.
    pub(crate) fn new(bootstrap: &str, topics: &Topics, linger: Duration) -> anyhow::Result<Self> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap).set("acks", "1");
        config.set("linger.ms", linger.as_millis().to_string());
        Ok(Self { producer: config.create()?, topics: topics.names().collect(), events: Events::new() })
    }

    /// Sends the event of this number, of this tenant about this user.
    pub(crate) fn send(&mut self, number: usize, tenant: usize, user: usize) -> anyhow::Result<()> {
        let (key, envelope) = self.events.next(tenant, user);
        let mut record = BaseRecord::to(&self.topics[number % self.topics.len()]).key(&key).payload(&envelope);
        while let Err((error, refused)) = self.producer.send(record) {
            // A backlog is made faster than it leaves: then it waits.
            ensure!(error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull), "{error}");
            self.producer.poll(Duration::from_millis(10));
            record = refused;
        }
        self.producer.poll(Duration::ZERO);
        Ok(())
    }

    /// Waits until Kafka has all of them: on many new topics it first finds out where they are.
    pub(crate) fn finish(&self) -> anyhow::Result<()> {
        Ok(self.producer.flush(Duration::from_mins(1))?)
    }
}

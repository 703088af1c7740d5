//! librdkafka and nothing else: reads the newest events of a topic, and throws them away.

use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde_json::json;

use crate::process;

/// How long Kafka may take for anything.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(crate) struct Options {
    /// Kafka.
    #[arg(long)]
    bootstrap: String,
    /// The topic.
    #[arg(long, default_value = "orders")]
    topic: String,
    /// About how many events to read.
    #[arg(long)]
    events: usize,
}

/// Runs it and prints what was measured.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let Options { bootstrap, topic, events } = options;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", "tidegate-bench").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create()?;
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let partitions = metadata.topics().first().context("the topic is not known")?.partitions();
    let share = (events / partitions.len().max(1)) as i64;
    let (mut from, mut waiting) = (TopicPartitionList::new(), 0);
    for partition in partitions {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), PATIENCE)?;
        let at = low.max(high - share);
        waiting += high - at;
        from.add_partition_offset(topic, partition.id(), Offset::Offset(at))?;
    }
    let total = waiting;
    let before = process::cpu_us(std::process::id())?;
    consumer.assign(&from)?;
    let mut bytes = 0;
    while waiting > 0 {
        let message = consumer.poll(PATIENCE).context("Kafka gave nothing more")??;
        bytes += message.payload().map_or(0, <[u8]>::len);
        waiting -= 1;
    }
    ensure!(bytes > 0, "nothing was read");
    let spent = process::cpu_us(std::process::id())? - before;
    println!("{}", json!({ "cpu_us_per_event": spent as f64 / total as f64, "cpu_s": spent as f64 / 1e6 }));
    Ok(())
}

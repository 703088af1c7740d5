//! librdkafka and nothing else: reads events of a topic, and throws them away.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use memchr::memmem;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde_json::json;

use crate::connection::Received;
use crate::event::{SENT, now_ns, sent_at};
use crate::process;
use crate::server::Topics;

/// How long Kafka may take for anything.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(crate) struct Options {
    /// Kafka.
    #[arg(long)]
    bootstrap: String,
    #[command(flatten)]
    topics: Topics,
    /// About how many of the newest events to read.
    #[arg(long, default_value_t = 0)]
    events: usize,
    /// Instead, read what comes: for so many seconds, after two that are not measured.
    #[arg(long)]
    window: Option<f64>,
}

/// Runs it and prints what was measured.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let Options { bootstrap, topics, events, window } = options;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", "tidegate-bench").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create()?;
    let (mut from, mut waiting) = (TopicPartitionList::new(), 0);
    for topic in topics.names() {
        let metadata = consumer.fetch_metadata(Some(&topic), PATIENCE)?;
        let partitions = metadata.topics().first().context("the topic is not known")?.partitions();
        let share = (events / topics.topics / partitions.len().max(1)) as i64;
        for partition in partitions {
            let (low, high) = consumer.fetch_watermarks(&topic, partition.id(), PATIENCE)?;
            let at = low.max(high - share);
            waiting += high - at;
            from.add_partition_offset(&topic, partition.id(), Offset::Offset(at))?;
        }
    }
    let measured = match window {
        Some(window) => live(&consumer, &from, Duration::from_secs_f64(*window))?,
        None => backlog(&consumer, &from, waiting)?,
    };
    println!("{measured}");
    Ok(())
}

fn backlog(consumer: &BaseConsumer, from: &TopicPartitionList, total: i64) -> anyhow::Result<serde_json::Value> {
    let before = process::own_cpu_us()?;
    consumer.assign(from)?;
    let mut bytes = 0;
    for _ in 0..total {
        let message = consumer.poll(PATIENCE).context("Kafka gave nothing more")??;
        bytes += message.payload().map_or(0, <[u8]>::len);
    }
    ensure!(bytes > 0, "nothing was read");
    let spent = process::own_cpu_us()? - before;
    let each = spent as f64 / total as f64;
    // It delivers each event once: to itself.
    Ok(json!({ "cpu_us_per_event": each, "cpu_us_per_delivery": each, "cpu_s": spent as f64 / 1e6 }))
}

fn live(consumer: &BaseConsumer, from: &TopicPartitionList, window: Duration) -> anyhow::Result<serde_json::Value> {
    consumer.assign(from)?;
    // Whoever starts this waits for the line before it produces.
    println!("ready");
    let mut received = Received::new()?;
    let read = |received: &mut Received, until: Instant| -> anyhow::Result<()> {
        while Instant::now() < until {
            let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
            let message = message?;
            let payload = message.payload().unwrap_or_default();
            received.entries += 1;
            if let Some(at) = memmem::find(payload, SENT).filter(|_| received.measuring) {
                received.latency.saturating_record(now_ns().saturating_sub(sent_at(&payload[at + SENT.len()..])));
            }
        }
        Ok(())
    };
    read(&mut received, Instant::now() + Duration::from_secs(2))?;
    received.measuring = true;
    let (before, entries) = (process::own_cpu_us()?, received.entries);
    read(&mut received, Instant::now() + window)?;
    let (spent, count) = (process::own_cpu_us()? - before, received.entries - entries);
    ensure!(count > 0, "nothing came");
    let ms = |quantile| received.latency.value_at_quantile(quantile) as f64 / 1e6;
    Ok(json!({
        "cpu_us_per_event": spent as f64 / count as f64,
        "cpu_us_per_delivery": spent as f64 / count as f64,
        "p50_ms": ms(0.5),
        "p99_ms": ms(0.99),
        "events_per_s": count as f64 / window.as_secs_f64(),
    }))
}

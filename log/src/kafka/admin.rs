//! Topics and brokers: what there is, and making and deleting topics.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::admin::{NewTopic as Order, TopicReplication, TopicResult};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::block;
use super::client_config::Consumer;
use super::health::Context;
use super::offsets::log_error;
use crate::{Cluster, LogError, Made, NewTopic, TopicSummary};

/// How long one question or change may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Topics of one request. The controller makes the topics of a request together.
const TOGETHER: usize = 500;

/// Brokers, topics, and what topics are made with when nothing is said.
pub(super) fn cluster(asker: &Consumer, admin: &AdminClient<Context>) -> Result<Cluster, LogError> {
    let metadata = asker.fetch_metadata(None, PATIENCE).map_err(log_error)?;
    let brokers: Vec<i32> = metadata.brokers().iter().map(rdkafka::metadata::MetadataBroker::id).collect();
    let topics = metadata.topics().iter().map(|topic| {
        let replicas = topic.partitions().iter().map(|partition| partition.replicas().len()).min().unwrap_or(0);
        (
            topic.name().to_owned(),
            TopicSummary { partitions: count(topic.partitions().len()), replicas: count(replicas) },
        )
    });
    let topics = topics.collect();
    // A principal that may not read a broker's settings still learns the rest.
    let defaults = brokers.first().and_then(|broker| configs(admin, &[ResourceSpecifier::Broker(*broker)]).ok());
    let default = |name: &str| {
        let entry = defaults.as_ref()?.first()?.get(name)?.value.as_ref()?;
        entry.parse().ok()
    };
    Ok(Cluster {
        default_partitions: default("num.partitions"),
        default_replicas: default("default.replication.factor"),
        brokers,
        topics,
    })
}

fn count(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// The settings of topics, as far as they may be read.
pub(super) fn topic_settings(
    admin: &AdminClient<Context>,
    topics: &[&str],
) -> Result<BTreeMap<String, BTreeMap<String, String>>, LogError> {
    let mut settings = BTreeMap::new();
    for topics in topics.chunks(TOGETHER) {
        let asked: Vec<ResourceSpecifier<'_>> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
        for resource in configs(admin, &asked)? {
            if let OwnedResourceSpecifier::Topic(topic) = resource.specifier {
                let entries = resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?)));
                settings.insert(topic, entries.collect());
            }
        }
    }
    Ok(settings)
}

/// What can be read of what is asked for.
fn configs(admin: &AdminClient<Context>, resources: &[ResourceSpecifier<'_>]) -> Result<Vec<ConfigResource>, LogError> {
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let answers = block::on(admin.describe_configs(resources, &options)).map_err(log_error)?;
    // What may not be read or is not there comes without entries, not as an error.
    Ok(answers.into_iter().filter_map(Result::ok).filter(|resource| !resource.entries.is_empty()).collect())
}

/// Makes topics; what became of each, in their order.
pub(super) fn create_topics(
    admin: &AdminClient<Context>,
    topics: &[NewTopic],
) -> Result<Vec<Result<Made, LogError>>, LogError> {
    let mut outcomes = Vec::with_capacity(topics.len());
    for topics in topics.chunks(TOGETHER) {
        let orders: Vec<Order<'_>> = topics.iter().map(order).collect();
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
        match block::on(admin.create_topics(&orders, &options)) {
            Ok(results) => {
                // By name: nothing promises an order.
                let mut results: BTreeMap<String, TopicResult> = results.into_iter().map(named).collect();
                outcomes.extend(topics.iter().map(|topic| match results.remove(&topic.name) {
                    Some(result) => made(result),
                    None => Err(LogError::Unavailable(format!("{}: the cluster did not answer for it", topic.name))),
                }));
            }
            // What the client refuses before it asks concerns one topic only: so each is asked for alone.
            Err(error) if topics.len() == 1 => outcomes.push(Err(prefixed(&topics[0].name, log_error(error)))),
            Err(KafkaError::AdminOpCreation(_)) => {
                for topic in topics {
                    outcomes.append(&mut create_topics(admin, std::slice::from_ref(topic))?);
                }
            }
            Err(error) => return Err(log_error(error)),
        }
    }
    Ok(outcomes)
}

fn order(topic: &NewTopic) -> Order<'_> {
    // −1 is the broker's own default.
    let replication = TopicReplication::Fixed(topic.replicas.unwrap_or(-1));
    let order = Order::new(&topic.name, topic.partitions.unwrap_or(-1), replication);
    topic.settings.iter().fold(order, |order, (name, value)| order.set(name, value))
}

fn named(result: TopicResult) -> (String, TopicResult) {
    match &result {
        Ok(topic) | Err((topic, _)) => (topic.clone(), result),
    }
}

fn made(result: TopicResult) -> Result<Made, LogError> {
    match result {
        Ok(_) => Ok(Made::Created),
        Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => Ok(Made::Existed),
        Err((topic, code)) => Err(prefixed(&topic, log_error(KafkaError::AdminOp(code)))),
    }
}

/// Deletes a topic; deleting one that is not there is no error.
pub(super) fn delete_topic(admin: &AdminClient<Context>, topic: &str) -> Result<(), LogError> {
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    let results = block::on(admin.delete_topics(&[topic], &options)).map_err(log_error)?;
    match results.into_iter().next() {
        Some(Err((topic, code))) if code != RDKafkaErrorCode::UnknownTopicOrPartition => {
            Err(prefixed(&topic, log_error(KafkaError::AdminOp(code))))
        }
        _ => Ok(()),
    }
}

/// Says which topic an error is about.
fn prefixed(topic: &str, error: LogError) -> LogError {
    match error {
        LogError::Unavailable(text) => LogError::Unavailable(format!("{topic}: {text}")),
        LogError::Fatal(text) => LogError::Fatal(format!("{topic}: {text}")),
    }
}

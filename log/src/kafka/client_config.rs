//! From the user's librdkafka settings to those of each client, and the ones that may not be changed.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;

use super::health::Context;
use crate::LogError;

/// A consumer as all of ours are: fed by `assign`, never by a group.
pub(super) type Consumer = BaseConsumer<Context>;

/// Reads the ends of many partitions, always. A broker answers an idle fetch at the latest after
/// `fetch.wait.max.ms`, and only then is a partition newly followed known to be caught up.
const TAIL: &[(&str, &str)] =
    &[("fetch.wait.max.ms", "100"), ("fetch.queue.backoff.ms", "20"), ("queued.max.messages.kbytes", "32768")];

/// Reads stretches of one partition. What was fetched ahead is thrown away when it turns elsewhere.
const READER: &[(&str, &str)] = &[
    ("fetch.wait.max.ms", "20"),
    ("fetch.queue.backoff.ms", "5"),
    ("fetch.message.max.bytes", "1048576"),
    ("queued.max.messages.kbytes", "4096"),
];

/// Asks for topics and offsets, reads nothing.
const ASKER: &[(&str, &str)] = &[];

/// The broker, not the client, judges how large a record may be. Waiting is bounded in bytes, and short for a topic
/// that is not there. Partitions that a topic gets later are written to within seconds, not after minutes.
const PRODUCER: &[(&str, &str)] = &[
    ("linger.ms", "1"),
    ("message.max.bytes", "16777216"),
    ("message.timeout.ms", "30000"),
    ("queue.buffering.max.kbytes", "65536"),
    ("topic.metadata.propagation.max.ms", "5000"),
    ("topic.metadata.refresh.interval.ms", "10000"),
];

/// What the contract of the log rests on, for consumers.
const CONSUMER_PROMISES: &[(&str, &str)] = &[
    ("allow.auto.create.topics", "false"),
    ("auto.offset.reset", "error"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
    ("isolation.level", "read_committed"),
];

/// What the contract of the log rests on, for the producer.
const PRODUCER_PROMISES: &[(&str, &str)] =
    &[("acks", "all"), ("enable.idempotence", "true"), ("partitioner", "murmur2_random")];

/// Settings with no place here, and why.
const REFUSED: &[(&str, &str)] = &[
    ("enable.gapless.guarantee", "a partition would be given up at the first record that is not written"),
    ("group.id", "records are read by assignment, not by a consumer group"),
    ("group.instance.id", "records are read by assignment, not by a consumer group"),
    ("transactional.id", "records are appended outside transactions"),
];

/// Other names librdkafka has for the same.
const ALIASES: &[(&str, &str)] = &[("request.required.acks", "acks"), ("auto.commit.enable", "enable.auto.commit")];

/// The kinds of client.
#[derive(Debug, Clone, Copy)]
pub(super) enum Role {
    Tail,
    Reader,
    Asker,
    Producer,
}

/// Refuses settings that would break what the log promises.
pub(super) fn validate(settings: &BTreeMap<String, String>) -> Result<(), LogError> {
    if !settings.contains_key("bootstrap.servers") && !settings.contains_key("metadata.broker.list") {
        return Err(LogError::Fatal("the Kafka setting `bootstrap.servers` is missing".into()));
    }
    for (name, value) in settings {
        if let Some(problem) = problem(name, value) {
            return Err(LogError::Fatal(format!("the Kafka setting `{name}` {problem}")));
        }
    }
    Ok(())
}

/// Why a setting can not be used, where that can be told without a broker.
pub(super) fn problem(name: &str, value: &str) -> Option<String> {
    if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        return Some(format!("can not be used: {why}"));
    }
    let meant = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, meant)| meant);
    let promised = CONSUMER_PROMISES.iter().chain(PRODUCER_PROMISES).find(|(promised, _)| *promised == meant);
    if let Some((_, promise)) = promised
        && value != *promise
        && !(meant == "acks" && value == "-1")
    {
        return Some(format!("must stay `{promise}`, not `{value}`: what Tidegate promises rests on it"));
    }
    if matches!(name, "bootstrap.servers" | "metadata.broker.list") && value.trim().is_empty() {
        return Some("must name a broker, such as kafka:9092".into());
    }
    match ClientConfig::new().set(name, value).create_native_config() {
        Err(KafkaError::ClientConfig(_, problem, ..)) => Some(format!("is not one that librdkafka takes: {problem}")),
        _ => None,
    }
}

/// The settings of one client: ours, then the user's, then the promises.
pub(super) fn config(settings: &BTreeMap<String, String>, role: Role) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("client.id", "tidegate")
        .set("reconnect.backoff.max.ms", "1000")
        .set("socket.keepalive.enable", "true")
        .set("topic.metadata.refresh.sparse", "true");
    let ours = match role {
        Role::Tail => TAIL,
        Role::Reader => READER,
        Role::Asker => ASKER,
        Role::Producer => PRODUCER,
    };
    let promises = match role {
        Role::Producer => PRODUCER_PROMISES,
        _ => CONSUMER_PROMISES,
    };
    let user = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in ours.iter().copied().chain(user).chain(promises.iter().copied()) {
        config.set(name, value);
    }
    if matches!(role, Role::Tail | Role::Reader) {
        // librdkafka can not assign without one. Nothing ever joins or commits to it.
        config.set("group.id", format!("tidegate-{}", uuid::Uuid::new_v4()));
    }
    config
}

/// Makes a client.
pub(super) fn create<C: FromClientConfigAndContext<Context>>(
    settings: &BTreeMap<String, String>,
    role: Role,
    context: Context,
) -> Result<C, LogError> {
    config(settings, role)
        .create_with_context(context)
        .map_err(|error| LogError::Fatal(format!("the Kafka settings can not be used: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Result<(), LogError> {
        let settings = [("bootstrap.servers", "127.0.0.1:1"), (name, value)];
        validate(&settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
    }

    #[test]
    fn settings_that_break_promises_are_refused_by_name() {
        for (name, value) in [
            ("enable.idempotence", "false"),
            ("acks", "1"),
            ("request.required.acks", "0"),
            ("group.id", "mine"),
            ("enable.auto.commit", "true"),
            ("isolation.level", "read_uncommitted"),
            ("partitioner", "random"),
            ("transactional.id", "mine"),
            ("bootstrap.servers", " "),
            ("bootstrap.server", "127.0.0.1:9092"),
            ("security.protocol", "TLS"),
            ("socket.timeout.ms", "soon"),
        ] {
            let LogError::Fatal(text) = with(name, value).unwrap_err() else { panic!("{name} is no outage") };
            assert!(text.contains("Kafka setting"), "{text}");
        }
    }

    #[test]
    fn settings_that_repeat_the_promises_and_all_others_are_taken() {
        for (name, value) in
            [("enable.idempotence", "true"), ("acks", "all"), ("acks", "-1"), ("compression.codec", "lz4")]
        {
            assert_eq!(with(name, value), Ok(()));
        }
    }

    #[test]
    fn servers_are_needed() {
        assert!(validate(&BTreeMap::new()).is_err());
    }

    #[test]
    fn the_user_overrides_our_choices_but_not_the_promises() {
        let settings = BTreeMap::from([
            ("bootstrap.servers".into(), "127.0.0.1:1".into()),
            ("fetch.wait.max.ms".into(), "7".into()),
        ]);
        let config = config(&settings, Role::Tail);
        assert_eq!(config.get("fetch.wait.max.ms"), Some("7"));
        assert_eq!(config.get("isolation.level"), Some("read_committed"));
    }
}

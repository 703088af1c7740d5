//! Kafka's own commands, for those who rather run them themselves.

use std::fmt::Write as _;

use tidegate_log::NewTopic;

use crate::config::KafkaSettings;

/// What every command says to reach the cluster.
#[derive(Debug)]
pub(super) struct Reach {
    bootstrap: String,
    /// The cluster wants more than an address.
    secured: bool,
}

impl Reach {
    pub(super) fn new(kafka: &KafkaSettings) -> Self {
        let setting = |name: &str| kafka.settings.get(name).map(String::as_str);
        let bootstrap = setting("bootstrap.servers").or_else(|| setting("metadata.broker.list")).unwrap_or_default();
        let secured = setting("security.protocol").is_some_and(|protocol| !protocol.eq_ignore_ascii_case("plaintext"));
        Self { bootstrap: quoted(bootstrap), secured }
    }

    /// A command's beginning.
    pub(super) fn command(&self, name: &str) -> String {
        let config = if self.secured { " --command-config client.properties" } else { "" };
        format!("{name} --bootstrap-server {}{config}", self.bootstrap)
    }
}

/// The commands that make topics.
pub(super) fn create(topics: &[NewTopic], reach: &Reach) -> String {
    let mut text = String::new();
    for topic in topics {
        let _ = write!(text, "{} --create --if-not-exists --topic {}", reach.command("kafka-topics.sh"), topic.name);
        if let Some(partitions) = topic.partitions {
            let _ = write!(text, " --partitions {partitions}");
        }
        if let Some(replicas) = topic.replicas {
            let _ = write!(text, " --replication-factor {replicas}");
        }
        for (name, value) in &topic.settings {
            let _ = write!(text, " --config {}", quoted(&format!("{name}={value}")));
        }
        text.push('\n');
    }
    text
}

/// A word as a shell takes it.
pub(super) fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-,:=/@%+".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_read_more_into_them() {
        assert_eq!(quoted("a.example:9092,b:9092"), "a.example:9092,b:9092");
        assert_eq!(quoted("User:CN=it's me"), r"'User:CN=it'\''s me'");
        assert_eq!(quoted("$(x)"), "'$(x)'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn a_topic_as_a_command() {
        let topic = NewTopic { partitions: Some(2), replicas: Some(3), ..NewTopic::named("acme.orders") };
        let topic = topic.with("cleanup.policy", "compact,delete").with("x", "a b");
        let settings = [("bootstrap.servers", "a:1"), ("security.protocol", "SASL_SSL")];
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(
            create(&[topic], &Reach::new(&KafkaSettings { settings })),
            "kafka-topics.sh --bootstrap-server a:1 --command-config client.properties --create --if-not-exists \
             --topic acme.orders --partitions 2 --replication-factor 3 --config cleanup.policy=compact,delete --config 'x=a b'\n"
        );
    }
}

//! The access that the bridge needs, as commands for Kafka's authorizer: no more than that.

use super::commands::{Reach, quoted};
use super::plan::Plan;
use crate::config::{self, KafkaSettings, Topic};

/// Topics of one command.
const TOGETHER: usize = 20;

/// The bridge's consumers assign partitions to themselves. No group is ever joined, but librdkafka asks who would
/// coordinate it.
const GROUPS: &str = "tidegate-";

/// All topics of the bridge's own begin so.
const OWN: &str = "_tidegate.";

/// Who the bridge is, by its configuration.
pub(super) fn usual_principal(kafka: &KafkaSettings) -> String {
    format!("User:{}", kafka.settings.get("sasl.username").map_or("tidegate", String::as_str))
}

/// The commands, with comments between.
pub(super) fn commands(topics: &config::Topics, plan: &Plan, principal: &str, reach: &Reach) -> Vec<String> {
    let add = format!("{} --add --allow-principal {}", reach.command("kafka-acls.sh"), quoted(principal));
    let mut lines = Vec::new();
    let say = |lines: &mut Vec<String>, text: &str| lines.push(format!("# {text}"));
    say(&mut lines, "Configured topics: read; write where pages may publish.");
    for topic in topics.iter() {
        let operations = operations(topic);
        match prefix(topic) {
            Some(prefix) => {
                lines.push(format!("{add} {operations} --topic {prefix} --resource-pattern-type prefixed"));
            }
            None => {
                let names = plan.topics.iter().find(|row| row.topic == *topic.name).map(|row| &row.names);
                let names = names.map(Vec::as_slice).unwrap_or_default();
                for names in names.chunks(TOGETHER) {
                    let names: Vec<String> = names.iter().map(|name| format!("--topic {name}")).collect();
                    lines.push(format!("{add} {operations} {}", names.join(" ")));
                }
                if !topic.shared() {
                    say(&mut lines, &format!("And the same for each new tenant's {}.", topic.physical));
                }
            }
        }
    }
    say(&mut lines, "The bridge's own topics. Nobody else may write there: who can, can un-revoke.");
    lines.push(format!(
        "{add} --operation Read --operation Write --operation Describe --operation DescribeConfigs --operation Create \
         --topic {OWN} --resource-pattern-type prefixed"
    ));
    say(&mut lines, "Shows who may; take write access from all others, wildcards as well.");
    lines.push(format!(
        "{} --list --topic {OWN}revocations --resource-pattern-type match",
        reach.command("kafka-acls.sh")
    ));
    say(&mut lines, "No consumer group is used; the client asks for a coordinator all the same.");
    lines.push(format!("{add} --operation Describe --group {GROUPS} --resource-pattern-type prefixed"));
    lines
}

fn operations(topic: &Topic) -> &'static str {
    if topic.publishable() {
        "--operation Read --operation Describe --operation Write"
    } else {
        "--operation Read --operation Describe"
    }
}

/// What all tenants' topics begin with, if that is anything: Kafka knows beginnings, but no endings.
fn prefix(topic: &Topic) -> Option<String> {
    let physical = topic.physical.to_string();
    let (before, _) = physical.split_once("{tenant}")?;
    (!before.is_empty()).then(|| before.to_owned())
}

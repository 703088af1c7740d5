//! `[log]`: where events are durable.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use tidegate_log::kafka::KafkaOptions;

use super::problem::{Place, Report};
use super::raw::{Table, Value};
use super::section::Section;

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Log {
    /// Apache Kafka.
    Kafka(KafkaSettings),
    /// The embedded log.
    Sqlite(SqliteSettings),
}

/// `[log.kafka]`
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaSettings {
    /// Settings of librdkafka, by its own names.
    pub settings: BTreeMap<String, String>,
}

impl fmt::Debug for KafkaSettings {
    /// Shows names only: values may be passwords and keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.settings.keys()).finish()
    }
}

/// `[log.sqlite]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteSettings {
    /// The database file.
    pub path: PathBuf,
    /// Partitions of topics that are made when first published to.
    pub partitions: i32,
}

#[derive(Clone, Copy)]
enum Kind {
    Kafka,
    Sqlite,
}

pub(super) fn read(mut section: Section<'_>, report: &Report, folder: &Path) -> Option<Log> {
    let stated = section.choice("kind", &[("kafka", Kind::Kafka), ("sqlite", Kind::Sqlite)]);
    let (has_kafka, has_sqlite) = (section.has("kafka"), section.has("sqlite"));
    // Both are read whichever is chosen, so that what is wrong in the other is known too.
    let kafka = section.node("kafka").map(|node| (node.place.clone(), &node.value));
    let settings = kafka.map(|(place, value)| kafka_settings(&place, value, report)).unwrap_or_default();
    let sqlite = read_sqlite(section.section_or_empty("sqlite"), folder);
    let kind = match (stated, has_kafka, has_sqlite) {
        (Some(kind), ..) => kind,
        _ if section.has("kind") => return None,
        (None, true, false) => Kind::Kafka,
        (None, false, true) => Kind::Sqlite,
        (None, ..) => {
            section.problem("kind", "must say which log: \"kafka\" (with [log.kafka]) or \"sqlite\"");
            section.finish();
            return None;
        }
    };
    let log = match kind {
        Kind::Kafka => {
            if !settings.contains_key("bootstrap.servers") && !settings.contains_key("metadata.broker.list") {
                section.problem("kafka", "needs \"bootstrap.servers\"");
            }
            Log::Kafka(KafkaSettings { settings })
        }
        Kind::Sqlite => Log::Sqlite(sqlite),
    };
    section.finish();
    Some(log)
}

fn read_sqlite(mut section: Section<'_>, folder: &Path) -> SqliteSettings {
    let path = section.read("path", |value| match super::section::text(value)? {
        "" => Err("must name a file".to_owned()),
        path => Ok(PathBuf::from(path)),
    });
    let path = super::load::resolve(&path.unwrap_or_else(|| "tidegate.db".into()), folder, section.place_of("path"));
    let partitions = section.count("partitions", 1..=1024).unwrap_or(4) as i32;
    section.finish();
    SqliteSettings { path, partitions }
}

/// Quoted names with dots and tables within tables are the same: TOML reads a bare `bootstrap.servers = …` as one.
fn kafka_settings(place: &Place, value: &Value, report: &Report) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    match value {
        Value::Table(table) => flatten("", table, &mut settings, report),
        other => report.problem(place, "log.kafka", format!("must be a table ([log.kafka]), not {}", other.kind())),
    }
    settings
}

fn flatten(above: &str, table: &Table, settings: &mut BTreeMap<String, String>, report: &Report) {
    for (key, node) in table {
        let name = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        let value = match &node.value {
            Value::Table(inner) => {
                flatten(&name, inner, settings, report);
                continue;
            }
            Value::Text(text) | Value::Word(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Flag(flag) => flag.to_string(),
            other @ (Value::List(_) | Value::Time(_)) => {
                let problem = format!("must be text, a number or true or false, not {}", other.kind());
                report.problem(&node.place, format!("log.kafka.{name}"), problem);
                continue;
            }
        };
        if let Some(problem) = KafkaOptions::problem(&name, &value) {
            report.problem(&node.place, format!("log.kafka.{name}"), problem);
        }
        if settings.insert(name.clone(), value).is_some() {
            report.problem(&node.place, format!("log.kafka.{name}"), "is set twice, once with its name in quotes");
        }
    }
}

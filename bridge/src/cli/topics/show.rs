//! A plan for people, and for programs.

use std::fmt::Write as _;

use serde_json::json;
use tidegate_log::NewTopic;

use super::plan::{Plan, Sum};

/// Names of missing topics that are listed.
const LISTED: usize = 10;

/// The plan as JSON.
pub(super) fn json(plan: &Plan, acls: &[String]) -> anyhow::Result<String> {
    let mut value = serde_json::to_value(plan)?;
    let commands: Vec<&String> = acls.iter().filter(|line| !line.starts_with('#')).collect();
    value["acls"] = json!(commands);
    Ok(serde_json::to_string_pretty(&value)?)
}

/// The plan as tables and lists.
pub(super) fn tables(plan: &Plan, acls: &[String]) -> String {
    let mut text = String::new();
    let brokers = if plan.log == "kafka" { counted(u64::from(plan.brokers), "broker") } else { "embedded".to_owned() };
    let _ = writeln!(text, "log: {} ({brokers}); {}\n", plan.log, counted(u64::from(plan.tenants), "tenant"));
    let mut rows = vec![["topic", "on the log", "topics", "missing", "partitions", "replicas"].map(str::to_owned)];
    for row in &plan.topics {
        rows.push(line(&row.topic, &row.physical, row.sum, row.missing));
    }
    let missing = plan.topics.iter().map(|row| row.missing).sum();
    rows.push(line("together", "", plan.total, missing));
    table(&mut text, &rows);
    if plan.log == "kafka" {
        let Sum { topics, partitions, replicas } = plan.cluster;
        let each = replicas.div_ceil(u64::from(plan.brokers));
        let _ = writeln!(
            text,
            "\nthe whole cluster then: {topics} topics, {partitions} partitions, {replicas} with their replicas: {each} a broker\n\
             guidance: about 4,000 a broker, under 200,000 a cluster, at least one replica beyond the leader"
        );
    }
    let missing = plan.missing();
    if !missing.is_empty() {
        let _ = writeln!(text, "\nmissing (`tidegate topics create` makes them):");
        for topic in missing.iter().take(LISTED) {
            let _ = writeln!(text, "  {}", one(topic));
        }
        if missing.len() > LISTED {
            let _ = writeln!(text, "  and {} more", missing.len() - LISTED);
        }
    }
    list(&mut text, "warnings", &plan.warnings);
    list(&mut text, "notes", &plan.notes);
    if !acls.is_empty() {
        let _ = writeln!(text, "\naccess that the bridge needs:\n");
        for line in acls {
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

/// So many topics, in words.
pub(super) fn sum(topics: &[NewTopic]) -> String {
    let partitions = |topic: &NewTopic| u64::try_from(topic.partitions.unwrap_or(1)).unwrap_or(0);
    let replicas = |topic: &NewTopic| partitions(topic) * u64::try_from(topic.replicas.unwrap_or(1)).unwrap_or(0);
    format!(
        "{} ({}, {} with their replicas)",
        counted(topics.len() as u64, "topic"),
        counted(topics.iter().map(partitions).sum(), "partition"),
        topics.iter().map(replicas).sum::<u64>()
    )
}

fn one(topic: &NewTopic) -> String {
    let mut text = topic.name.clone();
    let of = |count: Option<i32>| count.and_then(|count| u64::try_from(count).ok()).unwrap_or(1);
    let _ = write!(text, ": {}, {}", counted(of(topic.partitions), "partition"), replicas(of(topic.replicas)));
    for (name, value) in &topic.settings {
        let _ = write!(text, ", {name}={value}");
    }
    text
}

fn replicas(count: u64) -> String {
    counted(count, "replica")
}

fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn line(topic: &str, physical: &str, sum: Sum, missing: u64) -> [String; 6] {
    let physical = if physical == topic { "" } else { physical };
    let numbers = [sum.topics, missing, sum.partitions, sum.replicas].map(|number| number.to_string());
    let [topics, missing, partitions, replicas] = numbers;
    [topic.to_owned(), physical.to_owned(), topics, missing, partitions, replicas]
}

/// Names to the left, numbers to the right.
fn table(text: &mut String, rows: &[[String; 6]]) {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        let cells: Vec<String> = cells.collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
}

fn list(text: &mut String, name: &str, lines: &[String]) {
    if !lines.is_empty() {
        let _ = writeln!(text, "\n{name}:");
        for line in lines {
            let _ = writeln!(text, "  {line}");
        }
    }
}

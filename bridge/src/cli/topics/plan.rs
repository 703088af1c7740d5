//! What the configured topics come to on a cluster, against what Kafka's operators hold to.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tidegate_log::{Cluster, NewTopic, TopicSummary};

use crate::config::{self, Topic};

/// The bridge's own topic of revocations: one partition, since all of it is read, and compacted.
pub(super) use crate::revocation::TOPIC as REVOCATIONS;

/// Partitions that a broker holds well, replicas counted.
const BROKER: u64 = 4_000;

/// Partitions that a cluster must stay under, replicas counted.
const CLUSTER: u64 = 200_000;

/// Replicas of a topic unless said otherwise, where there are as many brokers.
const REPLICAS: u32 = 3;

/// Whose topics are planned.
#[derive(Debug, Clone)]
pub(super) enum Tenants {
    /// These.
    Named(Vec<String>),
    /// So many, whoever they will be.
    Assumed(u32),
    /// Those that have a topic already.
    Found,
}

/// How large topics are made.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    /// Partitions, of one topic or of all.
    pub(super) partitions: Vec<(Option<String>, u32)>,
    /// Replicas.
    pub(super) replicas: Option<u32>,
    /// Settings of Kafka's.
    pub(super) settings: BTreeMap<String, String>,
}

/// The plan.
#[derive(Debug, Serialize)]
pub(super) struct Plan {
    /// `kafka` or `sqlite`.
    pub(super) log: &'static str,
    /// Brokers there are.
    pub(super) brokers: u32,
    /// Tenants that have, or are to have, topics of their own.
    pub(super) tenants: u32,
    /// Who they are, where that is known.
    pub(super) tenant_names: Vec<String>,
    /// Each configured topic, then the bridge's own.
    pub(super) topics: Vec<Row>,
    /// All of these together.
    pub(super) total: Sum,
    /// The whole cluster when nothing is missing any more, other topics with it.
    pub(super) cluster: Sum,
    /// What should be otherwise.
    pub(super) warnings: Vec<String>,
    /// What is worth knowing.
    pub(super) notes: Vec<String>,
}

/// What one logical topic comes to.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// Logical name.
    pub(super) topic: String,
    /// What it is called on the log.
    pub(super) physical: String,
    /// When nothing is missing any more.
    #[serde(flatten)]
    pub(super) sum: Sum,
    /// Topics that are missing.
    pub(super) missing: u64,
    /// How each of these is made.
    pub(super) new_partitions: u32,
    /// The leader with them.
    pub(super) new_replicas: u32,
    /// Settings of Kafka's.
    pub(super) new_settings: BTreeMap<String, String>,
    /// Those whose names are known.
    pub(super) missing_names: Vec<String>,
    /// All names that are known.
    #[serde(skip)]
    pub(super) names: Vec<String>,
}

/// So many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Sum {
    /// Physical topics.
    pub(super) topics: u64,
    /// Their partitions.
    pub(super) partitions: u64,
    /// Their partitions, each replica counted.
    pub(super) replicas: u64,
}

impl Sum {
    fn add(&mut self, topics: u64, each: TopicSummary) {
        self.topics += topics;
        self.partitions += topics * u64::from(each.partitions);
        self.replicas += topics * u64::from(each.partitions) * u64::from(each.replicas);
    }
}

impl Plan {
    pub(super) fn new(
        topics: &config::Topics,
        kafka: bool,
        cluster: &Cluster,
        tenants: Tenants,
        sizes: &Sizes,
    ) -> Self {
        let brokers = u32::try_from(cluster.brokers.len()).unwrap_or(u32::MAX).max(1);
        let per_tenant: Vec<&Topic> = topics.iter().filter(|topic| !topic.shared()).collect();
        let found = found(topics, cluster);
        let (count, names): (u32, Vec<String>) = match tenants {
            Tenants::Named(mut names) => {
                names.sort_unstable();
                names.dedup();
                (names.len() as u32, names)
            }
            // Whoever has topics is among them.
            Tenants::Assumed(count) => (count.max(found.len() as u32), found.iter().cloned().collect()),
            Tenants::Found => (found.len() as u32, found.iter().cloned().collect()),
        };
        let mut plan = Self {
            log: if kafka { "kafka" } else { "sqlite" },
            brokers,
            tenants: count,
            tenant_names: names,
            topics: Vec::new(),
            total: Sum::default(),
            cluster: Sum::default(),
            warnings: Vec::new(),
            notes: Vec::new(),
        };
        for topic in topics.iter() {
            plan.add(topic, cluster, sizes);
        }
        plan.add_own(cluster, sizes);
        for each in cluster.topics.values() {
            plan.cluster.add(1, *each);
        }
        for row in &plan.topics {
            plan.cluster.add(row.missing, TopicSummary { partitions: row.new_partitions, replicas: row.new_replicas });
        }
        if kafka {
            plan.judge_sizes(cluster, sizes);
        }
        if count == 0 && !per_tenant.is_empty() {
            let names: Vec<&str> = per_tenant.iter().map(|topic| &*topic.name).collect();
            plan.warnings.push(format!(
                "no tenant has a topic yet, so none is counted for {}: name tenants by --tenant, or plan for a number by --tenants",
                names.join(", ")
            ));
        }
        plan
    }

    /// How a topic is made.
    fn size(&self, topic: &str, sizes: &Sizes) -> TopicSummary {
        let said = |of: Option<&str>| {
            let fits = |(said, _): &&(Option<String>, u32)| said.as_deref() == of;
            sizes.partitions.iter().rev().find(fits).map(|(_, partitions)| *partitions)
        };
        let partitions = said(Some(topic)).or_else(|| said(None)).unwrap_or(1);
        TopicSummary { partitions, replicas: self.replicas(sizes) }
    }

    fn replicas(&self, sizes: &Sizes) -> u32 {
        if self.log == "kafka" { sizes.replicas.unwrap_or(REPLICAS.min(self.brokers)) } else { 1 }
    }

    fn add(&mut self, topic: &Topic, cluster: &Cluster, sizes: &Sizes) {
        let size = self.size(&topic.name, sizes);
        let (names, count): (Vec<String>, u64) = if topic.shared() {
            (vec![topic.physical.of("").to_string()], 1)
        } else {
            let names = self.tenant_names.iter().map(|tenant| topic.physical.of(tenant).to_string()).collect();
            (names, u64::from(self.tenants))
        };
        let physical = topic.physical.to_string();
        let row = row(&topic.name, &physical, (names, count), cluster, size, sizes.settings.clone());
        if topic.shared() && !topic.public() {
            self.notes.push(format!(
                "{}: tenants share {physical}; a tenant that is to consume from Kafka for itself needs a topic per tenant",
                topic.name
            ));
        }
        let partitions: BTreeSet<u32> =
            row.names.iter().filter_map(|name| cluster.topics.get(name)).map(|it| it.partitions).collect();
        if partitions.last().is_some_and(|most| *most > 1) || (row.missing > 0 && size.partitions > 1) {
            self.notes.push(format!("{}: has more than one partition; order holds within a key only", topic.name));
        }
        if let (Some(least), Some(most)) = (partitions.first(), partitions.last())
            && least != most
        {
            self.notes.push(format!("{}: has {least} to {most} partitions, by tenant", topic.name));
        }
        self.push(row);
    }

    fn add_own(&mut self, cluster: &Cluster, sizes: &Sizes) {
        let size = TopicSummary { partitions: 1, replicas: self.replicas(sizes) };
        let settings = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
        let names = (vec![REVOCATIONS.to_owned()], 1);
        self.push(row(REVOCATIONS, REVOCATIONS, names, cluster, size, settings));
    }

    fn push(&mut self, row: Row) {
        self.total.topics += row.sum.topics;
        self.total.partitions += row.sum.partitions;
        self.total.replicas += row.sum.replicas;
        self.topics.push(row);
    }

    fn judge_sizes(&mut self, cluster: &Cluster, sizes: &Sizes) {
        let replicas = self.replicas(sizes);
        if self.topics.iter().any(|row| row.missing > 0) {
            if replicas > self.brokers {
                self.warnings.push(format!("{replicas} replicas need as many brokers; there are {}", self.brokers));
            } else if replicas < 2 {
                self.warnings.push(format!(
                    "what is missing would have one replica: a broker's loss loses it (at least one beyond the leader; there are {} brokers)",
                    self.brokers
                ));
            }
        }
        for row in &self.topics {
            let alone = |name: &&String| cluster.topics.get(*name).is_some_and(|topic| topic.replicas < 2);
            let mut alone = row.names.iter().filter(alone);
            if let Some(first) = alone.next() {
                let (topic, more) = (&row.topic, alone.count());
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                self.warnings.push(format!(
                    "{topic}: {first}{more} has one replica: a broker's loss loses it (at least one beyond the leader)"
                ));
            }
        }
        let each = self.cluster.replicas.div_ceil(u64::from(self.brokers));
        if each > BROKER {
            let needed = self.cluster.replicas.div_ceil(BROKER);
            self.warnings.push(format!(
                "{each} partitions a broker, replicas counted: more than about {BROKER}; it takes {needed} brokers, or fewer partitions, or topics that tenants share"
            ));
        }
        if self.cluster.replicas >= CLUSTER {
            self.warnings.push(format!(
                "{} partitions in the cluster, replicas counted: it should stay under {CLUSTER}; tenants need to share topics, or have another cluster",
                self.cluster.replicas
            ));
        }
    }

    /// Looks at the settings that the bridge's own topics have.
    pub(super) fn check_own(&mut self, settings: &BTreeMap<String, BTreeMap<String, String>>) {
        let policy = settings.get(REVOCATIONS).and_then(|settings| settings.get("cleanup.policy"));
        if let Some(policy) = policy.filter(|policy| *policy != "compact") {
            self.warnings.push(format!(
                "{REVOCATIONS}: cleanup.policy is {policy:?}: what is deleted there is no longer revoked; it must be \"compact\""
            ));
        }
    }

    /// The topics to be made.
    pub(super) fn missing(&self) -> Vec<NewTopic> {
        let made = |row: &Row, name: &String| NewTopic {
            name: name.clone(),
            partitions: i32::try_from(row.new_partitions).ok(),
            replicas: i32::try_from(row.new_replicas).ok(),
            settings: row.new_settings.clone(),
        };
        self.topics.iter().flat_map(|row| row.missing_names.iter().map(move |name| made(row, name))).collect()
    }
}

fn row(
    topic: &str,
    physical: &str,
    (names, count): (Vec<String>, u64),
    cluster: &Cluster,
    size: TopicSummary,
    settings: BTreeMap<String, String>,
) -> Row {
    let mut sum = Sum::default();
    let mut missing_names = Vec::new();
    for name in &names {
        match cluster.topics.get(name) {
            Some(there) => sum.add(1, *there),
            None => missing_names.push(name.clone()),
        }
    }
    let missing = count.saturating_sub(sum.topics);
    sum.add(missing, size);
    Row {
        topic: topic.to_owned(),
        physical: physical.to_owned(),
        sum,
        missing,
        new_partitions: size.partitions,
        new_replicas: size.replicas,
        new_settings: settings,
        missing_names,
        names,
    }
}

/// The tenants that have a topic already.
fn found(topics: &config::Topics, cluster: &Cluster) -> BTreeSet<String> {
    let shared: BTreeSet<String> =
        topics.iter().filter(|topic| topic.shared()).map(|topic| topic.physical.to_string()).collect();
    let per_tenant: Vec<&Topic> = topics.iter().filter(|topic| !topic.shared()).collect();
    let names = cluster.topics.keys().filter(|name| !name.starts_with('_') && !shared.contains(*name));
    names
        .flat_map(|name| per_tenant.iter().filter_map(move |topic| topic.physical.tenant_of(name)))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests;

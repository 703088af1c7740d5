//! What is asked of a log beside its records: which topics there are, and to make some.

use std::collections::BTreeMap;

/// A log as it is now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// The ids of its brokers. The embedded log is one.
    pub brokers: Vec<i32>,
    /// All topics that may be seen, by name; Kafka's own (`__consumer_offsets`) with them.
    pub topics: BTreeMap<String, TopicSummary>,
    /// Partitions of a topic that is made without a number of them, if that may be known.
    pub default_partitions: Option<u32>,
    /// Replicas of a topic that is made without a number of them, if that may be known.
    pub default_replicas: Option<u32>,
}

/// How large a topic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicSummary {
    /// Partitions.
    pub partitions: u32,
    /// Replicas of each partition, the leader with them: the fewest that a partition has.
    pub replicas: u32,
}

/// A topic to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Partitions; `None` takes the log's default.
    pub partitions: Option<i32>,
    /// Replicas, the leader with them; `None` takes the log's default. The embedded log has one.
    pub replicas: Option<i32>,
    /// Settings by Kafka's names, such as `cleanup.policy`. The embedded log knows that one only, and keeps all
    /// records of a topic that is compacted; others it leaves out.
    pub settings: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic with the log's defaults.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// With a setting.
    #[must_use]
    pub fn with(mut self, setting: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.insert(setting.into(), value.into());
        self
    }
}

/// What became of a topic that was to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// It is there now.
    Created,
    /// It was there before, and is as it was.
    Existed,
}

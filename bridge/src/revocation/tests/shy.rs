//! A log that does not show all it holds at first, as one does whose leader has just changed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use tidegate_log::{
    AppendDone, Chunk, Cluster, Description, Limit, LogError, Made, NewTopic, Offsets, ReadError, Reader, Record, Tail,
};
use tokio::sync::watch;

use super::*;

/// Another log, seen by readers that come to its end at once, this often.
struct Shy(Arc<dyn Log>, Arc<AtomicU32>);

struct ShyReader(Box<dyn Reader>, Arc<AtomicU32>);

impl Log for Shy {
    fn tail(&self) -> Result<Box<dyn Tail>, LogError> {
        self.0.tail()
    }

    fn reader(&self) -> Result<Box<dyn Reader>, LogError> {
        Ok(Box::new(ShyReader(self.0.reader()?, Arc::clone(&self.1))))
    }

    fn append(&self, record: NewRecord, done: AppendDone) {
        self.0.append(record, done);
    }

    fn flush(&self, limit: Duration) {
        self.0.flush(limit);
    }

    fn available(&self) -> watch::Receiver<bool> {
        self.0.available()
    }

    fn cluster(&self) -> Result<Cluster, LogError> {
        self.0.cluster()
    }

    fn topic_settings(&self, topics: &[&str]) -> Result<BTreeMap<String, BTreeMap<String, String>>, LogError> {
        self.0.topic_settings(topics)
    }

    fn create_topics(&self, topics: &[NewTopic]) -> Result<Vec<Result<Made, LogError>>, LogError> {
        self.0.create_topics(topics)
    }

    fn delete_topic(&self, topic: &str) -> Result<(), LogError> {
        self.0.delete_topic(topic)
    }
}

impl Reader for ShyReader {
    fn describe(&mut self, topic: &str) -> Result<Option<Description>, LogError> {
        self.0.describe(topic)
    }

    fn offsets_at(&mut self, topic: &str, time: i64) -> Result<Offsets, LogError> {
        self.0.offsets_at(topic, time)
    }

    fn read(
        &mut self,
        topic: &str,
        partition: i32,
        from: i64,
        limit: Limit,
        sink: &mut dyn FnMut(Record<'_>),
    ) -> Result<Chunk, ReadError> {
        let shy = self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if shy { Ok(Chunk { next: from, end: true }) } else { self.0.read(topic, partition, from, limit, sink) }
    }
}

#[tokio::test]
async fn a_node_is_not_ready_before_it_was_shown_everything() {
    let mut stage = Stage::new();
    stage.node(None).revoker.revoke(wanted("tenant/globex"), Clock.now()).await.unwrap();
    stage.log = Arc::new(Shy(Arc::clone(&stage.log), Arc::new(AtomicU32::new(1))));
    assert_eq!(stage.node(None).targets(), ["tenant/globex"]);
}

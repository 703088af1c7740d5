//! What a consumer reads, changed only once the change before is carried out.
//!
//! librdkafka answers before a partition that it takes away has stopped. Assigned and taken away once more by then, it
//! fails an assertion of librdkafka's (`rktp_started`), which ends the whole process: so each change waits here.

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaResult;

use super::client_config::Consumer;

/// Reads these partitions from now on, and no others.
pub(super) fn replace(consumer: &Consumer, by: &TopicPartitionList) -> KafkaResult<()> {
    settled(consumer, consumer.assign(by))
}

/// Reads nothing any more.
pub(super) fn clear(consumer: &Consumer) -> KafkaResult<()> {
    settled(consumer, consumer.unassign())
}

/// Reads these partitions too.
pub(super) fn add(consumer: &Consumer, partitions: &TopicPartitionList) -> KafkaResult<()> {
    consumer.incremental_assign(partitions)
}

/// Reads these partitions no longer.
pub(super) fn remove(consumer: &Consumer, partitions: &TopicPartitionList) -> KafkaResult<()> {
    settled(consumer, consumer.incremental_unassign(partitions))
}

/// Waits until partitions that were taken away have stopped. A question is answered behind all that librdkafka's thread
/// was told to do before: the first one behind the orders to stop, the second behind what each of them came to.
fn settled(consumer: &Consumer, outcome: KafkaResult<()>) -> KafkaResult<()> {
    for _ in 0..2 {
        let _ = consumer.rebalance_protocol();
    }
    outcome
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::{Duration, Instant};

    use rdkafka::Offset;
    use rdkafka::mocking::MockCluster;

    use super::*;
    use crate::kafka::client_config::{self, Role};
    use crate::kafka::health::Context;
    use crate::kafka::queue::{Polled, Queue};

    fn partition_of(topic: &str) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Offset(0)).expect("a partition");
        list
    }

    /// A consumer that reads the only partition of `topic`.
    fn reading(cluster: &MockCluster<'_, impl rdkafka::ClientContext>, topic: &str) -> Queue {
        cluster.create_topic(topic, 1, 1).expect("a topic");
        let settings = BTreeMap::from([("bootstrap.servers".into(), cluster.bootstrap_servers())]);
        let consumer = client_config::create(&settings, Role::Reader, Context::new().0).expect("a consumer");
        let queue = Queue::new(consumer).expect("its queue");
        replace(queue.consumer(), &partition_of(topic)).expect("assigned");
        let deadline = Instant::now() + Duration::from_secs(30);
        while !matches!(queue.poll(Duration::from_millis(100)), Polled::End { .. }) {
            assert!(Instant::now() < deadline, "its end is reached");
        }
        queue
    }

    #[test]
    fn a_partition_comes_and_goes_as_fast_as_it_is_told_to() {
        let cluster = MockCluster::new(1).expect("a cluster");
        let queue = reading(&cluster, "whole");
        for _ in 0..500 {
            replace(queue.consumer(), &partition_of("whole")).expect("assigned");
            replace(queue.consumer(), &partition_of("whole")).expect("assigned");
            clear(queue.consumer()).expect("unassigned");
        }
        let queue = reading(&cluster, "part");
        for _ in 0..500 {
            remove(queue.consumer(), &partition_of("part")).expect("unassigned");
            add(queue.consumer(), &partition_of("part")).expect("assigned");
        }
    }
}

//! Reads history and answers questions.

use std::sync::Arc;

use rusqlite::Connection;

use super::state::{Partition, Published};
use super::store::{self, log_error};
use crate::{Bounds, Chunk, Description, Limit, LogError, Offsets, ReadError, Reader, Record};

/// One connection that only reads.
#[derive(Debug)]
pub(super) struct SqliteReader {
    connection: Connection,
    published: Arc<Published>,
}

impl SqliteReader {
    pub(super) fn new(connection: Connection, published: Arc<Published>) -> Self {
        Self { connection, published }
    }

    fn partition(&self, topic: &str, partition: i32) -> Option<Partition> {
        let published = self.published.lock();
        published.topics.get(topic)?.partitions.get(usize::try_from(partition).ok()?).copied()
    }
}

impl Reader for SqliteReader {
    fn describe(&mut self, topic: &str) -> Result<Option<Description>, LogError> {
        Ok(self.published.lock().topics.get(topic).map(|topic| Description {
            id: topic.id,
            partitions: (0..).zip(topic.partitions.iter().map(Partition::bounds)).collect(),
        }))
    }

    fn offsets_at(&mut self, topic: &str, time: i64) -> Result<Offsets, LogError> {
        let Some(topic) = self.published.lock().topics.get(topic).cloned() else { return Ok(Offsets::new()) };
        let first = |partition: &Partition| {
            Ok(store::first_at(&self.connection, partition, time).map_err(log_error)?.unwrap_or(partition.next))
        };
        (0..).zip(&topic.partitions).map(|(index, partition)| Ok((index, first(partition)?))).collect()
    }

    fn read(
        &mut self,
        topic: &str,
        partition: i32,
        from: i64,
        limit: Limit,
        sink: &mut dyn FnMut(Record<'_>),
    ) -> Result<Chunk, ReadError> {
        if from >= limit.until || limit.records == 0 || limit.bytes == 0 {
            return Ok(Chunk { next: from, end: false });
        }
        let number = self.partition(topic, partition).ok_or(ReadError::Unknown)?.number;
        // One transaction: bounds and records are of the same moment, whatever is deleted meanwhile.
        let transaction = self.connection.transaction().map_err(log_error)?;
        let Some((earliest, end)) = store::bounds(&transaction, number).map_err(log_error)? else {
            return Err(ReadError::Unknown);
        };
        if from < earliest || from > end {
            return Err(ReadError::OutOfRange(Bounds { earliest, end }));
        }
        let until = end.min(limit.until);
        let (mut next, mut records, mut bytes) = (from, 0, 0);
        let all = store::scan(&transaction, number, partition, from, until, &mut |record| {
            next = record.offset + 1;
            records += 1;
            bytes += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
            sink(record);
            records < limit.records && bytes < limit.bytes
        })
        .map_err(log_error)?;
        if all {
            next = until;
        }
        Ok(Chunk { next, end: all && until == end })
    }
}

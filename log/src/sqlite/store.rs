//! The file: tables, and every statement.
//!
//! A record's `place` is its partition's number and its offset in one integer, so that a partition is one stretch of
//! the table's own order. `newest` is the latest timestamp up to and including the record: it only rises, which makes
//! the first record of a time a binary search though timestamps go back.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, params};

use super::headers::{self, Encoded};
use super::state::{Partition, Topic};
use crate::{LogError, NewRecord, Record};

/// Bits of an offset in a place: 10¹² records in a partition, 8 million partitions.
const OFFSET_BITS: u32 = 40;

/// The form of the file that this build reads.
const VERSION: i64 = 2;

/// A place in the table of records.
pub(super) fn place(partition: i64, offset: i64) -> i64 {
    (partition << OFFSET_BITS) | offset.clamp(0, (1 << OFFSET_BITS) - 1)
}

fn offset_of(place: i64) -> i64 {
    place & ((1 << OFFSET_BITS) - 1)
}

/// Opens the file for the one who writes, making what is missing.
pub(super) fn open_writer(path: &Path) -> Result<Connection, LogError> {
    let mut connection = Connection::open(path).map_err(log_error)?;
    prepare(&connection)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(log_error)?;
    // What was acknowledged survives a power cut, at one fsync a commit.
    connection.pragma_update(None, "synchronous", "FULL").map_err(log_error)?;
    let transaction = connection.transaction().map_err(log_error)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(log_error)?;
    match version {
        0 => {
            transaction
                .execute_batch(
                    "CREATE TABLE topics (number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, id BLOB NOT NULL,
                         compacted INTEGER NOT NULL DEFAULT 0);
                     CREATE TABLE partitions (number INTEGER PRIMARY KEY AUTOINCREMENT, topic INTEGER NOT NULL,
                         partition INTEGER NOT NULL, earliest INTEGER NOT NULL, next INTEGER NOT NULL,
                         newest INTEGER NOT NULL, UNIQUE (topic, partition));
                     CREATE TABLE records (place INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL,
                         newest INTEGER NOT NULL, key BLOB, value BLOB, headers BLOB);",
                )
                .map_err(log_error)?;
            transaction.pragma_update(None, "user_version", VERSION).map_err(log_error)?;
        }
        1 => {
            transaction
                .execute_batch("ALTER TABLE topics ADD COLUMN compacted INTEGER NOT NULL DEFAULT 0")
                .map_err(log_error)?;
            transaction.pragma_update(None, "user_version", VERSION).map_err(log_error)?;
        }
        VERSION => {}
        other => {
            return Err(LogError::Fatal(format!(
                "{} is a log of form {other}, this build reads form {VERSION}",
                path.display()
            )));
        }
    }
    transaction.commit().map_err(log_error)?;
    Ok(connection)
}

/// Opens the file for one who reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, LogError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(log_error)?;
    prepare(&connection)?;
    Ok(connection)
}

fn prepare(connection: &Connection) -> Result<(), LogError> {
    connection.busy_timeout(Duration::from_secs(5)).map_err(log_error)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// All topics.
pub(super) fn topics(connection: &Connection) -> Result<BTreeMap<String, Topic>, LogError> {
    let read = || {
        let mut topics = BTreeMap::new();
        let mut statement = connection.prepare("SELECT name, number, id, compacted FROM topics")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let topic = Topic {
                number: row.get(1)?,
                id: row.get(2)?,
                compacted: row.get(3)?,
                partitions: partitions(connection, row.get(1)?)?,
            };
            topics.insert(row.get(0)?, topic);
        }
        Ok(topics)
    };
    read().map_err(log_error)
}

fn partitions(connection: &Connection, topic: i64) -> rusqlite::Result<Vec<Partition>> {
    connection
        .prepare_cached("SELECT number, earliest, next, newest FROM partitions WHERE topic = ? ORDER BY partition")?
        .query_map([topic], |row| {
            Ok(Partition { number: row.get(0)?, earliest: row.get(1)?, next: row.get(2)?, newest: row.get(3)? })
        })?
        .collect()
}

/// Makes a topic without partitions.
pub(super) fn insert_topic(connection: &Connection, name: &str, compacted: bool) -> rusqlite::Result<Topic> {
    let id = uuid::Uuid::new_v4().into_bytes();
    connection.execute("INSERT INTO topics (name, id, compacted) VALUES (?, ?, ?)", params![name, id, compacted])?;
    Ok(Topic { number: connection.last_insert_rowid(), id, compacted, partitions: Vec::new() })
}

/// Adds a topic's next partition.
pub(super) fn insert_partition(connection: &Connection, topic: &mut Topic) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO partitions (topic, partition, earliest, next, newest) VALUES (?, ?, 0, 0, 0)",
        params![topic.number, topic.partitions.len() as i64],
    )?;
    topic.partitions.push(Partition { number: connection.last_insert_rowid(), earliest: 0, next: 0, newest: 0 });
    Ok(())
}

/// Deletes a topic and all that is in it.
pub(super) fn delete_topic(connection: &Connection, topic: &Topic) -> rusqlite::Result<()> {
    for partition in &topic.partitions {
        connection.execute(
            "DELETE FROM records WHERE place >= ? AND place < ?",
            [place(partition.number, 0), place(partition.number + 1, 0)],
        )?;
    }
    connection.execute("DELETE FROM partitions WHERE topic = ?", [topic.number])?;
    connection.execute("DELETE FROM topics WHERE number = ?", [topic.number])?;
    Ok(())
}

/// Puts a record at a partition's next offset, which the caller then moves.
pub(super) fn insert_record(
    connection: &Connection,
    partition: &Partition,
    record: &NewRecord,
    timestamp: i64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO records (place, timestamp, newest, key, value, headers) VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            place(partition.number, partition.next),
            timestamp,
            partition.newest.max(timestamp),
            record.key,
            record.value,
            headers::encode(&record.headers),
        ])?;
    Ok(())
}

/// Writes down where a partition stands.
pub(super) fn update_partition(connection: &Connection, partition: &Partition) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE partitions SET earliest = ?, next = ?, newest = ? WHERE number = ?")?
        .execute([partition.earliest, partition.next, partition.newest, partition.number])?;
    Ok(())
}

/// Deletes what lies before a partition's earliest offset.
pub(super) fn delete_before_earliest(connection: &Connection, partition: &Partition) -> rusqlite::Result<()> {
    connection.execute(
        "DELETE FROM records WHERE place >= ? AND place < ?",
        [place(partition.number, 0), place(partition.number, partition.earliest)],
    )?;
    Ok(())
}

/// Where a partition stands in the transaction that reads.
pub(super) fn bounds(connection: &Connection, partition: i64) -> rusqlite::Result<Option<(i64, i64)>> {
    connection
        .prepare_cached("SELECT earliest, next FROM partitions WHERE number = ?")?
        .query_row([partition], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

/// Hands on the records from an offset up to another, until `each` wants no more. Whether all were handed on.
pub(super) fn scan(
    connection: &Connection,
    number: i64,
    partition: i32,
    from: i64,
    until: i64,
    each: &mut dyn FnMut(Record<'_>) -> bool,
) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(
        "SELECT place, timestamp, key, value, headers FROM records WHERE place >= ? AND place < ? ORDER BY place",
    )?;
    let mut rows = statement.query([place(number, from), place(number, until)])?;
    while let Some(row) = rows.next()? {
        let headers = Encoded(blob(row, 4)?.unwrap_or_default());
        let record = Record {
            partition,
            offset: offset_of(row.get(0)?),
            timestamp: Some(row.get(1)?),
            key: blob(row, 2)?,
            value: blob(row, 3)?,
            headers: &headers,
        };
        if !each(record) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn blob<'row>(row: &'row Row<'_>, column: usize) -> rusqlite::Result<Option<&'row [u8]>> {
    Ok(row.get_ref(column)?.as_blob_or_null()?)
}

/// The first offset whose timestamp is at or after `time`.
pub(super) fn first_at(connection: &Connection, partition: &Partition, time: i64) -> rusqlite::Result<Option<i64>> {
    let mut newest = connection
        .prepare_cached("SELECT place, newest FROM records WHERE place >= ? AND place < ? ORDER BY place LIMIT 1")?;
    let end = place(partition.number, partition.next);
    let (mut low, mut high) = (partition.earliest, partition.next);
    // The first offset where `newest` has reached the time lies in `low..=high`.
    while low < high {
        let middle = low + (high - low) / 2;
        let found: Option<(i64, i64)> = newest
            .query_row([place(partition.number, middle), end], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        match found {
            Some((place, newest)) if newest < time => low = offset_of(place) + 1,
            _ => high = middle,
        }
    }
    // `newest` may speak of a record that was deleted since.
    connection
        .prepare_cached(
            "SELECT place FROM records WHERE place >= ? AND place < ? AND timestamp >= ? ORDER BY place LIMIT 1",
        )?
        .query_row([place(partition.number, low), end, time], |row| row.get(0).map(offset_of))
        .optional()
}

/// The offset before which there are more than the newest `keep` records.
pub(super) fn newest_records(
    connection: &Connection,
    partition: &Partition,
    keep: u64,
) -> rusqlite::Result<Option<i64>> {
    let Some(skip) = keep.checked_sub(1) else { return Ok(Some(partition.next)) };
    connection
        .prepare_cached(
            "SELECT place FROM records WHERE place >= ? AND place < ? ORDER BY place DESC LIMIT 1 OFFSET ?",
        )?
        .query_row(
            [
                place(partition.number, 0),
                place(partition.number, partition.next),
                i64::try_from(skip).unwrap_or(i64::MAX),
            ],
            |row| row.get(0).map(offset_of),
        )
        .optional()
}

/// The same error in our words.
#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(super) fn log_error(error: rusqlite::Error) -> LogError {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::SystemIoFailure,
        ) => LogError::Unavailable(error.to_string()),
        _ => LogError::Fatal(format!("the embedded log: {error}")),
    }
}

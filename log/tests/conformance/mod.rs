//! The contract of [`tidegate_log::Log`], line by line, for every maker of one.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tidegate_log::{
    AppendError, Appended, Budget, Chunk, Limit, Log, LogError, Made, NewRecord, NewTopic, Offsets, ReadError, Reader,
    Record, Tail, TailEvent, TopicId, TopicKey,
};

pub mod reading;
pub mod records;
pub mod topics;

/// A maker, and what tests need that the bridge does not.
pub trait LogUnderTest {
    fn log(&self) -> &dyn Log;
    /// Appends with a timestamp of the test's own choosing.
    fn append_at(&self, record: NewRecord, timestamp: i64);
    fn add_partitions(&self, topic: &str, partitions: i32);
    /// Deletes what lies before an offset.
    fn delete_records(&self, topic: &str, partition: i32, before: i64);
}

/// Runs every line of the contract as a test of its own.
macro_rules! conformance {
    ($maker:expr; $($module:ident { $($name:ident)* })*) => {
        $(mod $module { $(
            #[test]
            fn $name() {
                super::conformance::$module::$name(&$maker);
            }
        )* })*
    };
    ($maker:expr) => {
        $crate::conformance::conformance! { $maker;
            records {
                come_in_order_per_partition
                begin_at_the_end
                are_caught_up_with
                have_ordered_headers_with_repeats_and_nulls
                tell_null_from_empty
                may_go_back_in_time
                may_be_a_megabyte
                may_be_garbage
                lie_where_java_puts_them
                without_key_are_spread_or_not_but_kept
                are_durable_after_flush
                come_in_rounds_within_a_budget
                leave_a_lag_until_read
            }
            topics {
                may_be_followed_before_they_exist
                may_get_partitions
                may_be_deleted_and_made_again
                may_be_no_longer_followed
                may_be_followed_twice
                may_be_made_twice_and_deleted_twice
                describe_themselves
                are_listed_with_their_size
                are_made_together_each_with_its_own_outcome
                have_settings
                wake_a_reader_that_waits
            }
            reading {
                goes_from_where_to_the_end
                stops_at_its_limits
                goes_on_where_it_stopped
                sees_what_came_after_the_end
                joins_the_tail_without_gap
                is_out_of_range_where_nothing_is
                knows_no_unknown_topic
                finds_offsets_by_time
                turns_between_partitions
            }
        }
    };
}
pub(crate) use conformance;

/// How long anything may take, on a machine that is busy with other things.
pub const LONG: Duration = Duration::from_secs(40);

/// Everything there is, in one read.
pub const ALL: Limit = Limit { records: usize::MAX, bytes: usize::MAX, until: i64::MAX };

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    pub partition: i32,
    pub offset: i64,
    pub timestamp: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Owned {
    pub fn of(record: &Record<'_>) -> Self {
        let mut headers = Vec::new();
        record.headers.visit(&mut |name, value| {
            headers.push((name.to_owned(), value.map(<[u8]>::to_vec)));
            true
        });
        Self {
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers,
        }
    }
}

/// An event that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Opened(TopicKey, Option<TopicId>, Offsets),
    Record(TopicKey, Owned),
    CaughtUp(TopicKey, i32, i64),
    Closed(TopicKey),
}

/// A tail, and all it told.
pub struct Follower {
    pub tail: Box<dyn Tail>,
    pub seen: Vec<Seen>,
}

impl Follower {
    pub fn new(log: &dyn Log) -> Self {
        Self { tail: log.tail().unwrap(), seen: Vec::new() }
    }

    /// One that stands at the end of `topic`, with its key.
    pub fn at_end(log: &dyn Log, topic: &str) -> (Self, TopicKey) {
        let mut follower = Self::new(log);
        let key = follower.tail.follow(topic);
        follower.until("opened", |seen| matches!(seen, Seen::Opened(..)));
        (follower, key)
    }

    /// Reads once.
    pub fn round(&mut self, wait: Duration, max: usize) {
        self.round_within(wait, Budget { records: max, bytes: usize::MAX });
    }

    /// Reads once, within that budget.
    pub fn round_within(&mut self, wait: Duration, budget: Budget) {
        let seen = &mut self.seen;
        self.tail
            .read(wait, budget, &mut |event| {
                seen.push(match event {
                    TailEvent::Opened { topic, id, offsets } => Seen::Opened(topic, id, offsets),
                    TailEvent::Record(topic, record) => Seen::Record(topic, Owned::of(&record)),
                    TailEvent::CaughtUp { topic, partition, next } => Seen::CaughtUp(topic, partition, next),
                    TailEvent::Closed(topic) => Seen::Closed(topic),
                });
            })
            .unwrap();
    }

    /// Reads until all that was told satisfies.
    pub fn until_all(&mut self, what: &str, done: impl Fn(&[Seen]) -> bool) {
        let deadline = Instant::now() + LONG;
        while !done(&self.seen) {
            assert!(Instant::now() < deadline, "not seen: {what}, only {:?}", &self.seen[..self.seen.len().min(20)]);
            self.round(Duration::from_millis(200), 1000);
        }
    }

    /// Reads until one of the events satisfies.
    pub fn until(&mut self, what: &str, is: impl Fn(&Seen) -> bool) {
        self.until_all(what, |seen| seen.iter().any(&is));
    }

    /// Reads until so many records were told.
    pub fn records(&mut self, count: usize) -> Vec<Owned> {
        self.until_all(&format!("{count} records"), |seen| records(seen).len() >= count);
        let records = records(&self.seen);
        assert_eq!(records.len(), count, "no more than were appended: {records:?}");
        records
    }

    /// Reads for a while in which nothing that matters may come.
    pub fn quiet(&mut self, how_long: Duration) {
        let deadline = Instant::now() + how_long;
        while Instant::now() < deadline {
            self.round(Duration::from_millis(50), 1000);
        }
    }
}

pub fn records(seen: &[Seen]) -> Vec<Owned> {
    seen.iter()
        .filter_map(|seen| if let Seen::Record(_, record) = seen { Some(record.clone()) } else { None })
        .collect()
}

/// The values, as text.
pub fn texts(records: &[Owned]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.value.clone().unwrap_or_default()).unwrap()).collect()
}

/// A name that no other test uses.
pub fn unique(what: &str) -> String {
    format!("{what}.{}", uuid::Uuid::new_v4().simple())
}

/// A topic of its own.
pub fn topic(log: &dyn Log, what: &str, partitions: i32) -> String {
    let topic = unique(what);
    create(log, &topic, partitions);
    topic
}

/// Makes a topic, and waits until it is there to be described.
pub fn create(log: &dyn Log, topic: &str, partitions: i32) {
    log.create_topic(topic, partitions).unwrap();
    let mut reader = log.reader().unwrap();
    eventually("the topic is there", || {
        reader.describe(topic).ok().flatten().is_some_and(|it| it.partitions.len() == partitions as usize)
    });
}

pub fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A record of text.
pub fn text(topic: &str, key: &str, value: &str) -> NewRecord {
    NewRecord { topic: topic.into(), key: Some(key.into()), value: Some(value.into()), headers: Vec::new() }
}

/// Appends all, in order, and waits for them.
pub fn append_all(log: &dyn Log, records: impl IntoIterator<Item = NewRecord>) -> Vec<Result<Appended, AppendError>> {
    let records: Vec<NewRecord> = records.into_iter().collect();
    let count = records.len();
    let (sender, receiver) = mpsc::sync_channel(count);
    for (index, record) in records.into_iter().enumerate() {
        let sender = sender.clone();
        log.append(record, Box::new(move |outcome| sender.send((index, outcome)).unwrap()));
    }
    let outcomes: BTreeMap<_, _> = (0..count).map(|_| receiver.recv_timeout(LONG).expect("an outcome")).collect();
    outcomes.into_values().collect()
}

/// Appends one, and waits for it.
pub fn append(log: &dyn Log, record: NewRecord) -> Appended {
    append_all(log, [record]).remove(0).unwrap()
}

/// Reads one partition, from an offset.
pub fn read(
    reader: &mut dyn Reader,
    topic: &str,
    partition: i32,
    from: i64,
    limit: Limit,
) -> Result<(Vec<Owned>, Chunk), ReadError> {
    let mut records = Vec::new();
    let chunk = reader.read(topic, partition, from, limit, &mut |record| records.push(Owned::of(&record)))?;
    Ok((records, chunk))
}

/// Reads one partition to its end.
pub fn read_all(reader: &mut dyn Reader, topic: &str, partition: i32, from: i64) -> (Vec<Owned>, i64) {
    let (mut all, mut from) = (Vec::new(), from);
    loop {
        let (records, chunk) = read(reader, topic, partition, from, ALL).unwrap();
        assert!(chunk.next >= from);
        all.extend(records);
        from = chunk.next;
        if chunk.end {
            return (all, from);
        }
    }
}

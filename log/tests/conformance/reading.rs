//! History.

use super::*;

/// So many records in one partition, and their offsets.
fn filled(it: &dyn LogUnderTest, what: &str, count: usize) -> (String, Vec<i64>) {
    let topic = topic(it.log(), what, 1);
    let appended = append_all(it.log(), (0..count).map(|n| text(&topic, "k", &format!("{n:06}"))));
    (topic, appended.into_iter().map(|outcome| outcome.unwrap().offset).collect())
}

pub fn goes_from_where_to_the_end(it: &dyn LogUnderTest) {
    let (topic, offsets) = filled(it, "history", 3000);
    let mut reader = it.log().reader().unwrap();
    let end = reader.describe(&topic).unwrap().unwrap().partitions[&0].end;
    let (records, next) = read_all(&mut *reader, &topic, 0, 0);
    assert_eq!(records.iter().map(|record| record.offset).collect::<Vec<_>>(), offsets);
    assert_eq!(next, end);
    // From a hole, or a record.
    let (records, _) = read_all(&mut *reader, &topic, 0, offsets[1] + 1);
    assert_eq!(records.len(), 2998);
    assert_eq!(read(&mut *reader, &topic, 0, end, ALL).unwrap(), (vec![], Chunk { next: end, end: true }));
}

pub fn stops_at_its_limits(it: &dyn LogUnderTest) {
    let (topic, offsets) = filled(it, "limits", 300);
    let mut reader = it.log().reader().unwrap();
    let (records, chunk) = read(&mut *reader, &topic, 0, 0, Limit { records: 10, ..ALL }).unwrap();
    assert_eq!(records.len(), 10);
    assert!(!chunk.end && chunk.next > offsets[9] && chunk.next <= offsets[10]);
    // 7 bytes a record: the one that reaches the limit is the last.
    let (records, chunk) = read(&mut *reader, &topic, 0, 0, Limit { bytes: 50, ..ALL }).unwrap();
    assert_eq!(records.len(), 8);
    assert!(!chunk.end);
    let (records, chunk) = read(&mut *reader, &topic, 0, 0, Limit { until: offsets[20], ..ALL }).unwrap();
    assert_eq!(records.len(), 20);
    assert!(chunk.next == offsets[20] || chunk.next == offsets[19] + 1);
    let (records, chunk) = read(&mut *reader, &topic, 0, 5, Limit { until: 5, ..ALL }).unwrap();
    assert_eq!((records.len(), chunk), (0, Chunk { next: 5, end: false }));
}

pub fn goes_on_where_it_stopped(it: &dyn LogUnderTest) {
    let (topic, offsets) = filled(it, "chunks", 1000);
    let mut reader = it.log().reader().unwrap();
    let (mut read_offsets, mut from) = (Vec::new(), 0);
    loop {
        let (records, chunk) = read(&mut *reader, &topic, 0, from, Limit { records: 33, ..ALL }).unwrap();
        read_offsets.extend(records.iter().map(|record| record.offset));
        from = chunk.next;
        if chunk.end {
            break;
        }
    }
    assert_eq!(read_offsets, offsets);
}

pub fn sees_what_came_after_the_end(it: &dyn LogUnderTest) {
    let (topic, _) = filled(it, "after-end", 5);
    let mut reader = it.log().reader().unwrap();
    let (_, mut next) = read_all(&mut *reader, &topic, 0, 0);
    for n in 0..5 {
        append(it.log(), text(&topic, "k", &format!("{n}")));
        let (records, end) = read_all(&mut *reader, &topic, 0, next);
        assert_eq!(texts(&records), [format!("{n}")]);
        next = end;
    }
}

pub fn joins_the_tail_without_gap(it: &dyn LogUnderTest) {
    let (topic, mut offsets) = filled(it, "join", 100);
    let (mut follower, _) = Follower::at_end(it.log(), &topic);
    let Some(Seen::Opened(_, _, opened)) = follower.seen.first().cloned() else { panic!() };
    let more = append_all(it.log(), (0..50).map(|n| text(&topic, "k", &format!("{n}"))));
    offsets.extend(more.into_iter().map(|outcome| outcome.unwrap().offset));
    let live = follower.records(50);
    let mut reader = it.log().reader().unwrap();
    let (history, chunk) = read(&mut *reader, &topic, 0, 0, Limit { until: opened[&0], ..ALL }).unwrap();
    assert!(chunk.next >= opened[&0] || chunk.end || chunk.next > history.last().unwrap().offset);
    let joined: Vec<i64> = history.iter().chain(&live).map(|record| record.offset).collect();
    assert_eq!(joined, offsets);
}

pub fn is_out_of_range_where_nothing_is(it: &dyn LogUnderTest) {
    let (topic, offsets) = filled(it, "range", 20);
    let mut reader = it.log().reader().unwrap();
    it.delete_records(&topic, 0, offsets[5]);
    let bounds = reader.describe(&topic).unwrap().unwrap().partitions[&0];
    assert_eq!(bounds.earliest, offsets[5]);
    assert_eq!(read(&mut *reader, &topic, 0, 0, ALL).unwrap_err(), ReadError::OutOfRange(bounds));
    assert_eq!(read(&mut *reader, &topic, 0, bounds.end + 1, ALL).unwrap_err(), ReadError::OutOfRange(bounds));
    assert_eq!(read_all(&mut *reader, &topic, 0, offsets[5]).0.len(), 15);
}

pub fn knows_no_unknown_topic(it: &dyn LogUnderTest) {
    let mut reader = it.log().reader().unwrap();
    assert_eq!(read(&mut *reader, &unique("none"), 0, 0, ALL).unwrap_err(), ReadError::Unknown);
    let topic = topic(it.log(), "one", 1);
    assert_eq!(read(&mut *reader, &topic, 7, 0, ALL).unwrap_err(), ReadError::Unknown);
    assert_eq!(reader.offsets_at(&unique("none"), 0).unwrap(), Offsets::new());
}

pub fn finds_offsets_by_time(it: &dyn LogUnderTest) {
    let topic = topic(it.log(), "times", 1);
    let (mut follower, _) = Follower::at_end(it.log(), &topic);
    let times = [1_000, 2_000, 3_000, 2_500, 4_000, 4_000].map(|time| 1_700_000_000_000 + time);
    for time in times {
        it.append_at(text(&topic, "k", "v"), time);
    }
    let offsets: Vec<i64> = follower.records(6).iter().map(|record| record.offset).collect();
    let mut reader = it.log().reader().unwrap();
    let end = reader.describe(&topic).unwrap().unwrap().partitions[&0].end;
    let expected = [
        (0, offsets[0]),
        (1_000, offsets[0]),
        (1_001, offsets[1]),
        (2_600, offsets[2]),
        (3_500, offsets[4]),
        (4_001, end),
    ];
    for (time, offset) in expected {
        let at = reader.offsets_at(&topic, 1_700_000_000_000 + time).unwrap();
        assert_eq!(at, [(0, offset)].into(), "{time}");
    }
    assert_eq!(reader.offsets_at(&topic, 0).unwrap(), [(0, offsets[0])].into());
}

pub fn turns_between_partitions(it: &dyn LogUnderTest) {
    let topic = topic(it.log(), "turns", 2);
    let appended = append_all(it.log(), (0..400).map(|n| text(&topic, &format!("{n}"), &format!("{n}"))));
    let mut reader = it.log().reader().unwrap();
    let mut from = [0, 0];
    let mut counts = [0, 0];
    for round in 0.. {
        let partition = round % 2;
        let limit = Limit { records: 25, ..ALL };
        let (records, chunk) = read(&mut *reader, &topic, partition as i32, from[partition], limit).unwrap();
        assert!(records.iter().all(|record| record.partition == partition as i32));
        from[partition] = chunk.next;
        counts[partition] += records.len();
        if counts[0] + counts[1] == appended.len() {
            break;
        }
        assert!(round < 100, "{counts:?}");
    }
}

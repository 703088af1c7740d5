//! Records: what is appended is read, byte for byte, in order.

use super::*;

pub fn come_in_order_per_partition(it: &dyn LogUnderTest) {
    let topic = topic(it.log(), "order", 3);
    let (mut follower, key) = Follower::at_end(it.log(), &topic);
    let appended = append_all(it.log(), (0..600).map(|n| text(&topic, &format!("key/{}", n % 17), &format!("{n}"))));
    let records = follower.records(600);
    let mut last: BTreeMap<i32, i64> = BTreeMap::new();
    for record in &records {
        let before = last.insert(record.partition, record.offset).unwrap_or(-1);
        assert!(record.offset > before, "offsets rise");
        let n: usize = texts(std::slice::from_ref(record))[0].parse().unwrap();
        assert_eq!(appended[n], Ok(Appended { partition: record.partition, offset: record.offset }));
    }
    for partition in 0..3 {
        let of = |records: &[Owned]| {
            records.iter().filter(|record| record.partition == partition).cloned().collect::<Vec<_>>()
        };
        let numbers: Vec<u32> = texts(&of(&records)).iter().map(|text| text.parse().unwrap()).collect();
        assert!(numbers.is_sorted() && !numbers.is_empty(), "appended in this order, read in this order");
    }
    assert!(follower.seen.iter().all(|seen| !matches!(seen, Seen::Record(other, _) if *other != key)));
}

pub fn begin_at_the_end(it: &dyn LogUnderTest) {
    let topic = topic(it.log(), "end", 2);
    append_all(it.log(), (0..20).map(|n| text(&topic, &format!("{n}"), "before")));
    let ends: Offsets = it
        .log()
        .reader()
        .unwrap()
        .describe(&topic)
        .unwrap()
        .unwrap()
        .partitions
        .iter()
        .map(|(partition, bounds)| (*partition, bounds.end))
        .collect();
    let (mut follower, key) = Follower::at_end(it.log(), &topic);
    let Some(Seen::Opened(opened, Some(_), offsets)) = follower.seen.first() else {
        panic!("opened first: {:?}", follower.seen)
    };
    assert_eq!((*opened, offsets), (key, &ends));
    append(it.log(), text(&topic, "k", "after"));
    assert_eq!(texts(&follower.records(1)), ["after"]);
}

pub fn are_caught_up_with(it: &dyn LogUnderTest) {
    let topic = topic(it.log(), "caught-up", 1);
    append(it.log(), text(&topic, "k", "before"));
    let (mut follower, key) = Follower::at_end(it.log(), &topic);
    let Some(Seen::Opened(_, _, offsets)) = follower.seen.first().cloned() else { panic!() };
    follower.until("caught up at the end", |seen| *seen == Seen::CaughtUp(key, 0, offsets[&0]));
    append_all(it.log(), (0..10).map(|n| text(&topic, "k", &format!("{n}"))));
    let last = follower.records(10).last().unwrap().offset;
    follower.until("caught up again", |seen| matches!(seen, Seen::CaughtUp(_, 0, next) if *next > last));
    let place = |is: &dyn Fn(&Seen) -> bool| follower.seen.iter().rposition(is).unwrap();
    assert!(
        place(&|seen| matches!(seen, Seen::CaughtUp(..))) > place(&|seen| matches!(seen, Seen::Record(..))),
        "after the last record"
    );
}

pub fn have_ordered_headers_with_repeats_and_nulls(it: &dyn LogUnderTest) {
    let topic = topic(it.log(), "headers", 1);
    let (mut follower, _) = Follower::at_end(it.log(), &topic);
    let headers: Vec<(String, Option<Vec<u8>>)> = vec![
        ("b".into(), Some(b"1".to_vec())),
        ("a".into(), None),
        ("b".into(), Some(vec![])),
        (String::new(), Some(vec![0, 255])),
        ("b".into(), Some(b"1".to_vec())),
        ("ключ".into(), Some("значение".into())),
    ];
    append(it.log(), NewRecord { headers: headers.clone(), ..text(&topic, "k", "v") });
    append(it.log(), text(&topic, "k", "none"));
    let records = follower.records(2);
    assert_eq!(records[0].headers, headers);
    assert_eq!(records[1].headers, []);
    let (read, _) = read_all(&mut *it.log().reader().unwrap(), &topic, 0, 0);
    assert_eq!(read, records, "history tells the same");
}

pub fn tell_null_from_empty(it: &dyn LogUnderTest) {
    let topic = topic(it.log(), "null", 1);
    let (mut follower, _) = Follower::at_end(it.log(), &topic);
    let pairs = [None, Some(vec![]), Some(b"x".to_vec())];
    let all: Vec<_> =
        pairs.iter().flat_map(|key| pairs.iter().map(move |value| (key.clone(), value.clone()))).collect();
    append_all(
        it.log(),
        all.iter().map(|(key, value)| NewRecord {
            topic: topic.clone(),
            key: key.clone(),
            value: value.clone(),
            headers: vec![],
        }),
    );
    let records = follower.records(9);
    let read: Vec<_> = records.iter().map(|record| (record.key.clone(), record.value.clone())).collect();
    assert_eq!(read, all);
}

pub fn may_go_back_in_time(it: &dyn LogUnderTest) {
    let topic = topic(it.log(), "time", 1);
    let (mut follower, _) = Follower::at_end(it.log(), &topic);
    let times = [1_700_000_005_000, 1_700_000_001_000, 1_700_000_003_000];
    for time in times {
        it.append_at(text(&topic, "k", "v"), time);
    }
    let read: Vec<_> = follower.records(3).iter().map(|record| record.timestamp.unwrap()).collect();
    assert_eq!(read, times);
}

pub fn may_be_a_megabyte(it: &dyn LogUnderTest) {
    let topic = topic(it.log(), "large", 1);
    let (mut follower, _) = Follower::at_end(it.log(), &topic);
    // As near to the broker's own default limit as a megabyte is.
    let large: Vec<u8> = (0..1_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for _ in 0..3 {
        append(it.log(), NewRecord { value: Some(large.clone()), ..text(&topic, "k", "") });
    }
    assert!(follower.records(3).iter().all(|record| record.value.as_ref() == Some(&large)));
    let too_large = NewRecord { value: Some(vec![7; 40_000_000]), ..text(&topic, "k", "") };
    assert!(matches!(append_all(it.log(), [too_large])[..], [Err(AppendError::Rejected(_))]));
}

pub fn may_be_garbage(it: &dyn LogUnderTest) {
    let topic = topic(it.log(), "garbage", 1);
    let (mut follower, _) = Follower::at_end(it.log(), &topic);
    let garbage: Vec<u8> = (0..=255).rev().chain([0, 0, 0xc3, 0x28, 0xff]).collect();
    let record = NewRecord {
        topic: topic.clone(),
        key: Some(garbage.clone()),
        value: Some(garbage.clone()),
        headers: vec![("tg_id".into(), Some(garbage.clone()))],
    };
    append(it.log(), record.clone());
    let read = follower.records(1).remove(0);
    assert_eq!((read.key, read.value, read.headers), (record.key, record.value, record.headers));
}

pub fn lie_where_java_puts_them(it: &dyn LogUnderTest) {
    // From org.apache.kafka.common.utils.UtilsTest.testMurmur2.
    let vectors: [(&str, i32); 6] = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ];
    let topic = topic(it.log(), "murmur2", 7);
    for (key, hash) in vectors {
        let appended = append(it.log(), text(&topic, key, "v"));
        assert_eq!(appended.partition, (hash & 0x7fff_ffff) % 7, "{key}");
    }
    // An empty key is a key.
    let empty = append(it.log(), text(&topic, "", "v")).partition;
    assert_eq!(empty, 0x106e_08d9 % 7);
}

pub fn without_key_are_spread_or_not_but_kept(it: &dyn LogUnderTest) {
    let topic = topic(it.log(), "keyless", 3);
    let (mut follower, _) = Follower::at_end(it.log(), &topic);
    let appended = append_all(it.log(), (0..50).map(|_| NewRecord { key: None, ..text(&topic, "", "v") }));
    assert!(appended.iter().all(|outcome| outcome.as_ref().is_ok_and(|it| (0..3).contains(&it.partition))));
    follower.records(50);
}

pub fn are_durable_after_flush(it: &dyn LogUnderTest) {
    let topic = topic(it.log(), "flush", 1);
    let (sender, receiver) = mpsc::sync_channel(200);
    for n in 0..200 {
        let sender = sender.clone();
        it.log().append(text(&topic, "k", &format!("{n}")), Box::new(move |outcome| sender.send(outcome).unwrap()));
    }
    it.log().flush(LONG);
    assert_eq!(receiver.try_iter().flatten().count(), 200);
}

pub fn come_in_rounds_within_a_budget(it: &dyn LogUnderTest) {
    let topic = topic(it.log(), "rounds", 1);
    let (mut follower, _) = Follower::at_end(it.log(), &topic);
    append_all(it.log(), (0..100).map(|n| text(&topic, "k", &format!("{n}"))));
    eventually("all came", || {
        let before = records(&follower.seen).len();
        follower.round(Duration::from_millis(100), 7);
        let now = records(&follower.seen).len();
        assert!(now - before <= 7);
        now == 100
    });
    // Of bytes too: a round ends with the record that spends them, so that a few large ones are a round.
    append_all(it.log(), (0..20).map(|n| text(&topic, "k", &format!("{n:01000}"))));
    eventually("the large ones came", || {
        let before = records(&follower.seen).len();
        follower.round_within(Duration::from_millis(100), Budget { records: 1000, bytes: 2500 });
        let now = records(&follower.seen).len();
        assert!(now - before <= 3);
        now == 120
    });
}

pub fn leave_a_lag_until_read(it: &dyn LogUnderTest) {
    let topic = topic(it.log(), "lag", 1);
    let (mut follower, key) = Follower::at_end(it.log(), &topic);
    append_all(it.log(), (0..100).map(|n| text(&topic, "k", &format!("{n}"))));
    eventually("a lag is seen", || {
        follower.round(Duration::from_millis(10), 1);
        assert!(records(&follower.seen).len() < 100);
        follower.tail.lag(key) > 0
    });
    follower.records(100);
    follower.until_all("no lag", |seen| matches!(seen.last(), Some(Seen::CaughtUp(..))));
    assert_eq!(follower.tail.lag(key), 0);
}

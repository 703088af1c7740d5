//! Topics and partitions that come and go.

use super::*;

pub fn may_be_followed_before_they_exist(it: &dyn LogUnderTest) {
    let name = unique("later");
    let (mut follower, key) = Follower::at_end(it.log(), &name);
    assert_eq!(follower.seen, [Seen::Opened(key, None, Offsets::new())]);
    create(it.log(), &name, 2);
    append_all(it.log(), (0..10).map(|n| text(&name, &format!("{n}"), &format!("{n}"))));
    follower.records(10);
    let opened = follower.seen.iter().find(|seen| matches!(seen, Seen::Opened(_, Some(_), _))).unwrap();
    let id = it.log().reader().unwrap().describe(&name).unwrap().unwrap().id;
    assert_eq!(*opened, Seen::Opened(key, Some(id), [(0, 0), (1, 0)].into()), "read from its beginning");
}

pub fn may_get_partitions(it: &dyn LogUnderTest) {
    let topic = topic(it.log(), "grows", 1);
    let (mut follower, key) = Follower::at_end(it.log(), &topic);
    it.add_partitions(&topic, 4);
    eventually("appended to a new one", || {
        append_all(it.log(), (0..20).map(|n| text(&topic, &format!("{n}"), "v")))
            .iter()
            .any(|outcome| outcome.as_ref().is_ok_and(|it| it.partition > 0))
    });
    follower.until("opened", |seen| matches!(seen, Seen::Opened(_, Some(_), offsets) if offsets.contains_key(&3)));
    let later: Offsets = follower
        .seen
        .iter()
        .skip(1)
        .filter_map(|seen| {
            if let Seen::Opened(other, Some(_), offsets) = seen {
                assert_eq!(*other, key);
                Some(offsets.clone())
            } else {
                None
            }
        })
        .flatten()
        .collect();
    assert_eq!(later, [(1, 0), (2, 0), (3, 0)].into(), "the new ones only, from their beginning");
    let mut reader = it.log().reader().unwrap();
    let all: usize = (0..4).map(|partition| read_all(&mut *reader, &topic, partition, 0).0.len()).sum();
    follower.records(all);
}

pub fn may_be_deleted_and_made_again(it: &dyn LogUnderTest) {
    let name = topic(it.log(), "again", 1);
    append_all(it.log(), (0..5).map(|n| text(&name, "k", &format!("before {n}"))));
    let (mut follower, key) = Follower::at_end(it.log(), &name);
    let Some(Seen::Opened(_, Some(first), _)) = follower.seen.first().cloned() else { panic!() };
    it.log().delete_topic(&name).unwrap();
    let mut reader = it.log().reader().unwrap();
    eventually("gone", || reader.describe(&name).unwrap().is_none());
    create(it.log(), &name, 2);
    append_all(it.log(), (0..8).map(|n| text(&name, &format!("{n}"), &format!("after {n}"))));
    let since_opened = |seen: &[Seen]| {
        let opened = seen.iter().rposition(|seen| matches!(seen, Seen::Opened(_, Some(id), _) if *id != first))?;
        Some((opened, records(&seen[opened..])))
    };
    follower
        .until_all("all that is in the new one", |seen| since_opened(seen).is_some_and(|(_, read)| read.len() >= 8));
    let (opened, read) = since_opened(&follower.seen).unwrap();
    assert_eq!(read.len(), 8);
    assert!(texts(&read).iter().all(|text| text.starts_with("after")));
    assert!(texts(&records(&follower.seen)).iter().all(|text| text.starts_with("after")));
    let closed = follower.seen.iter().position(|seen| *seen == Seen::Closed(key)).expect("closed");
    assert!(closed < opened, "closed, then opened: {:?}", follower.seen);
    let Seen::Opened(_, Some(second), offsets) = &follower.seen[opened] else { panic!() };
    assert_ne!(*second, first, "another log");
    assert_eq!(*offsets, [(0, 0), (1, 0)].into());
}

pub fn may_be_no_longer_followed(it: &dyn LogUnderTest) {
    let (left, kept) = (topic(it.log(), "left", 1), topic(it.log(), "kept", 1));
    let (mut follower, left_key) = Follower::at_end(it.log(), &left);
    let kept_key = follower.tail.follow(&kept);
    follower.until("opened", |seen| matches!(seen, Seen::Opened(key, ..) if *key == kept_key));
    append(it.log(), text(&left, "k", "read"));
    follower.records(1);
    follower.tail.unfollow(left_key);
    let before = follower.seen.len();
    append(it.log(), text(&left, "k", "not read"));
    append(it.log(), text(&kept, "k", "read too"));
    follower.records(2);
    follower.quiet(Duration::from_millis(300));
    assert!(follower.seen[before..].iter().all(|seen| !matches!(seen, Seen::Record(key, _) if *key == left_key)));
    // Followed again it begins at its end again.
    let again = follower.tail.follow(&left);
    follower.until("opened", |seen| matches!(seen, Seen::Opened(key, ..) if *key == again && again != left_key));
    append(it.log(), text(&left, "k", "again"));
    assert_eq!(texts(&follower.records(3)), ["read", "read too", "again"]);
}

pub fn may_be_followed_twice(it: &dyn LogUnderTest) {
    let topic = topic(it.log(), "twice", 1);
    let (mut follower, key) = Follower::at_end(it.log(), &topic);
    assert_eq!(follower.tail.follow(&topic), key);
    append(it.log(), text(&topic, "k", "v"));
    follower.records(1);
    follower.quiet(Duration::from_millis(200));
    assert_eq!(follower.seen.iter().filter(|seen| matches!(seen, Seen::Opened(..))).count(), 1);
}

pub fn may_be_made_twice_and_deleted_twice(it: &dyn LogUnderTest) {
    let name = topic(it.log(), "made", 3);
    it.log().create_topic(&name, 1).unwrap();
    assert_eq!(it.log().reader().unwrap().describe(&name).unwrap().unwrap().partitions.len(), 3, "left as it was");
    it.log().delete_topic(&name).unwrap();
    it.log().delete_topic(&name).unwrap();
}

pub fn describe_themselves(it: &dyn LogUnderTest) {
    let topic = topic(it.log(), "describe", 2);
    let appended = append(it.log(), text(&topic, "k", "v"));
    let mut reader = it.log().reader().unwrap();
    let described = reader.describe(&topic).unwrap().unwrap();
    assert_eq!(described.partitions.keys().copied().collect::<Vec<_>>(), [0, 1]);
    let bounds = described.partitions[&appended.partition];
    assert!(bounds.earliest <= appended.offset && appended.offset < bounds.end);
    let other = described.partitions[&(1 - appended.partition)];
    assert_eq!(other.earliest, other.end);
    assert_eq!(reader.describe(&topic).unwrap().unwrap().id, described.id);
    assert_eq!(reader.describe(&unique("none")).unwrap(), None);
}

pub fn wake_a_reader_that_waits(it: &dyn LogUnderTest) {
    let (mut follower, _) = Follower::at_end(it.log(), &topic(it.log(), "wake", 1));
    follower.quiet(Duration::from_millis(500));
    let wake = follower.tail.waker();
    let begun = Instant::now();
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::scope(|threads| {
        threads.spawn(move || {
            // Until it has returned: an event on its way may end the first wait instead.
            while receiver.recv_timeout(Duration::from_millis(50)).is_err() {
                wake();
            }
        });
        follower.round(LONG, 10);
        sender.send(()).unwrap();
    });
    assert!(begun.elapsed() < LONG / 2);
}

pub fn are_listed_with_their_size(it: &dyn LogUnderTest) {
    let (small, large) = (topic(it.log(), "small", 1), topic(it.log(), "large", 7));
    let cluster = it.log().cluster().unwrap();
    assert!(!cluster.brokers.is_empty());
    assert_eq!((cluster.default_partitions, cluster.default_replicas), (Some(1), Some(1)));
    assert_eq!((cluster.topics[&small].partitions, cluster.topics[&small].replicas), (1, 1));
    assert_eq!((cluster.topics[&large].partitions, cluster.topics[&large].replicas), (7, 1));
    assert!(!cluster.topics.contains_key(&unique("none")));
}

pub fn are_made_together_each_with_its_own_outcome(it: &dyn LogUnderTest) {
    let there = topic(it.log(), "there", 3);
    let (defaults, wide) = (unique("defaults"), unique("wide"));
    let of = |name: &str, partitions, replicas| NewTopic { partitions, replicas, ..NewTopic::named(name) };
    let outcomes = it
        .log()
        .create_topics(&[
            of(&wide, Some(5), Some(1)),
            of("no topic's name", Some(1), None),
            of(&there, Some(1), None),
            of(&unique("replicas"), Some(1), Some(99)),
            of(&unique("partitions"), Some(0), None),
            of(&defaults, None, None),
        ])
        .unwrap();
    assert_eq!(
        [&outcomes[0], &outcomes[2], &outcomes[5]],
        [&Ok(Made::Created), &Ok(Made::Existed), &Ok(Made::Created)]
    );
    for (index, name) in [(1, "no topic's name"), (3, "replicas"), (4, "partitions")] {
        let Err(LogError::Fatal(text)) = &outcomes[index] else { panic!("{:?}", outcomes[index]) };
        assert!(text.contains(name), "says which: {text}");
    }
    eventually("they are there", || {
        let topics = it.log().cluster().unwrap().topics;
        let partitions = |name: &str| topics.get(name).map(|it| it.partitions);
        (partitions(&wide), partitions(&there), partitions(&defaults)) == (Some(5), Some(3), Some(1))
    });
}

pub fn have_settings(it: &dyn LogUnderTest) {
    let (plain, compacted) = (topic(it.log(), "plain", 1), unique("compacted"));
    let new = NewTopic { partitions: Some(2), ..NewTopic::named(&compacted) }.with("cleanup.policy", "compact");
    assert_eq!(it.log().create_topics(&[new]).unwrap(), [Ok(Made::Created)]);
    eventually("the settings are there", || {
        let settings = it.log().topic_settings(&[&plain, &compacted, &unique("none")]).unwrap();
        let policy = |name: &str| settings.get(name).map(|it| it["cleanup.policy"].clone());
        assert_eq!(policy(&plain).as_deref(), Some("delete"));
        settings.len() == 2 && policy(&compacted).as_deref() == Some("compact")
    });
}

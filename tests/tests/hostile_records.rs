//! Whatever Kafka may carry: nothing of it stops a feed, and what is no event is counted by its reason.

use tidegate_client::native::Subscribe;
use tidegate_protocol::frame::From as Begin;
use tidegate_tests::account::Account;
use tidegate_tests::bridge::Bridge;
use tidegate_tests::foreign::Put;
use tidegate_tests::stage::Stage;
use tidegate_tests::{next, notice, numbers, until};

fn quarantined(bridge: &Bridge, topic: &str, reason: &str) -> u64 {
    bridge.metric(&format!(r#"tidegate_quarantined_records_total{{topic="{topic}",reason="{reason}"}}"#))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_event_is_quarantined_and_the_next_event_arrives() {
    let stage = Stage::new();
    let topic = stage.orders("acme");
    stage.create(&topic, 1).await;
    let bridge = stage.bridge(&[("TIDEGATE_LIMITS__EVENT_BYTES", "64KiB")]);
    let client = bridge.client(&stage.token("acme", "ada", "member")).await;
    let mut subscription = client.subscribe(Subscribe::to("orders")).await.unwrap();

    let deep = |depth: usize| notice("acme", format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
    let duplicate = notice("acme", 0).replacen('{', r#"{"ty\u0070e":"order.paid","#, 1);
    let large = notice("acme", 0).replace("\"data\"", &format!("\"x\":\"{}\",\"data\"", "x".repeat(64 << 10)));
    let mismatch: &[(&str, Option<&[u8]>)] = &[("tg_tenant", Some(b"globex"))];
    let good = notice("acme", 1);
    let hostile: Vec<(&str, Put<'_>)> = vec![
        ("tombstone", Put { key: Some(b"k"), ..Put::default() }),
        ("tombstone", Put::default()),
        ("not_utf8", Put { value: Some(b"{\"type\":\"a.b\xff\"}"), ..Put::default() }),
        ("not_utf8", Put { value: Some(b"\x00\x01\xfe"), ..Put::default() }),
        ("too_large", Put { value: Some(large.as_bytes()), ..Put::default() }),
        ("invalid", Put { value: Some(b""), ..Put::default() }),
        ("invalid", Put { value: Some(b"null"), ..Put::default() }),
        ("invalid", Put { value: Some(b"{\"id\":"), ..Put::default() }),
        ("invalid", Put { value: Some(b"{\"n\":\"\\ud800\",\"type\":7}"), ..Put::default() }),
        ("tenant_mismatch", Put { value: Some(good.as_bytes()), headers: mismatch, ..Put::default() }),
    ];
    let owned = [("invalid", deep(10_000)), ("invalid", duplicate), ("tenant_mismatch", notice("globex", 1))];
    let owned = owned.iter().map(|(reason, value)| (*reason, Put { value: Some(value.as_bytes()), ..Put::default() }));
    let hostile: Vec<_> = hostile.into_iter().chain(owned).collect();
    let producer = stage.producer(&[]);
    for (n, (_, put)) in (1..).zip(&hostile) {
        producer.put(&topic, *put);
        // An event behind each, so that one that stops the feed is seen.
        producer.event(&topic, "k", &notice("acme", n));
    }
    producer.event(&topic, "k", &deep(100));
    producer.flush();
    let count = hostile.len();
    assert_eq!(numbers(&mut subscription, count).await, (1..=count as i64).collect::<Vec<_>>());
    assert!(next(&mut subscription).await.event["data"]["n"].is_array(), "what is deep but not too deep is an event");

    let totals = Account::of(&bridge).await.at_rest(|t| t.of("acme", "orders").consumed == count as u64 + 1).await;
    let reading = totals.reading("orders");
    assert_eq!((reading.records, reading.events), (2 * count as u64 + 1, count as u64 + 1));
    assert_eq!((reading.tombstones, reading.quarantined), (2, count as u64 - 2));
    for reason in ["not_utf8", "too_large", "invalid", "tenant_mismatch"] {
        let expected = hostile.iter().filter(|(of, _)| *of == reason).count() as u64;
        assert_eq!(quarantined(&bridge, "orders", reason), expected, "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_shared_topic_what_names_no_tenant_or_two_is_nobodys() {
    let stage = Stage::new();
    let topic = stage.carts();
    stage.create(&topic, 1).await;
    let bridge = stage.bridge(&[]);
    let acme = bridge.client(&stage.token("acme", "ada", "member")).await;
    let globex = bridge.client(&stage.token("globex", "bob", "member")).await;
    let mut of_acme = acme.subscribe(Subscribe::to("carts")).await.unwrap();
    let mut of_globex = globex.subscribe(Subscribe::to("carts")).await.unwrap();

    let producer = stage.producer(&[]);
    let missing = notice("acme", 0).replace("\"tenant_id\":\"acme\",", "");
    let illegal = notice("no tenant!", 0);
    // The key says one tenant, the envelope another.
    producer.event(&topic, "globex/1", &notice("acme", 0));
    producer.event(&topic, "globex/1", &missing);
    producer.event(&topic, "acme/1", &illegal);
    producer.event(&topic, "no-tenant-in-it", &notice("acme", 0));
    let twice: &[(&str, Option<&[u8]>)] = &[("tg_tenant", Some(b"acme")), ("tg_tenant", Some(b"globex"))];
    let value = notice("acme", 0);
    producer.put(&topic, Put { key: Some(b"acme/1"), value: Some(value.as_bytes()), headers: twice, ..Put::default() });
    producer.event(&topic, "acme/1", &notice("acme", 1));
    producer.event(&topic, "globex/1", &notice("globex", 2));
    producer.flush();
    assert_eq!((next(&mut of_acme).await.n(), next(&mut of_globex).await.n()), (1, 2));

    let totals = Account::of(&bridge).await.at_rest(|totals| totals.reading("carts").records == 7).await;
    assert_eq!((totals.reading("carts").events, totals.reading("carts").quarantined), (2, 5));
    let reasons = ["tenant_missing", "tenant_mismatch", "invalid"];
    assert_eq!(reasons.map(|reason| quarantined(&bridge, "carts", reason)), [1, 3, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_a_megabyte_pass_and_larger_ones_do_not() {
    let stage = Stage::new();
    let topic = stage.orders("acme");
    stage.create(&topic, 1).await;
    let bridge = stage.bridge(&[]);
    let client = bridge.client(&stage.token("acme", "ada", "member")).await;
    let mut subscription = client.subscribe(Subscribe::to("orders")).await.unwrap();

    let of_size = |n: i64, size: usize| {
        let bare = notice("acme", n);
        let padding = "x".repeat(size - bare.len() - r#""pad":"","#.len());
        bare.replacen("\"data\"", &format!(r#""pad":"{padding}","data""#), 1)
    };
    let producer = stage.producer(&[]);
    let put = |value: &str| producer.put(&topic, Put { value: Some(value.as_bytes()), ..Put::default() });
    for n in 0..5 {
        put(&of_size(n, 1 << 20));
        if n == 2 {
            put(&of_size(-1, (1 << 20) + 1));
        }
    }
    producer.flush();
    assert_eq!(numbers(&mut subscription, 5).await, [0, 1, 2, 3, 4]);
    Account::of(&bridge).await.at_rest(|totals| totals.reading("orders").quarantined == 1).await;
    assert_eq!(quarantined(&bridge, "orders", "too_large"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_codec_is_read_live_and_from_history() {
    let stage = Stage::new();
    let topic = stage.orders("acme");
    stage.create(&topic, 1).await;
    let bridge = stage.bridge(&[]);
    let client = bridge.client(&stage.token("acme", "ada", "member")).await;
    let mut live = client.subscribe(Subscribe::to("orders")).await.unwrap();
    for (codec, block) in (0..).zip(["none", "gzip", "snappy", "lz4", "zstd"]) {
        let producer = stage.producer(&[("compression.codec", block), ("linger.ms", "50")]);
        (0..50).for_each(|n| producer.event(&topic, "k", &notice("acme", codec * 50 + n)));
        producer.flush();
    }
    let expected: Vec<i64> = (0..250).collect();
    assert_eq!(numbers(&mut live, 250).await, expected);
    // A node that was not there then has it from the log.
    let other = stage.bridge(&[]);
    let client = other.client(&stage.token("acme", "ada", "member")).await;
    let mut history = client.subscribe(Subscribe::to("orders").from(Begin::Earliest)).await.unwrap();
    assert_eq!(numbers(&mut history, 250).await, expected);
    for bridge in [&bridge, &other] {
        Account::of(bridge).await.at_rest(|totals| totals.of("acme", "orders").consumed == 250).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_are_seen_when_they_are_committed_only() {
    let stage = Stage::new();
    let topic = stage.orders("acme");
    stage.create(&topic, 1).await;
    let bridge = stage.bridge(&[]);
    let client = bridge.client(&stage.token("acme", "ada", "member")).await;
    let mut subscription = client.subscribe(Subscribe::to("orders")).await.unwrap();
    let (transactional, plain) = (stage.transactional(), stage.producer(&[]));

    transactional.begin();
    (0..20).for_each(|n| transactional.event(&topic, "k", &notice("acme", -n)));
    transactional.abort();
    transactional.begin();
    transactional.event(&topic, "k", &notice("acme", 1));
    transactional.commit();
    assert_eq!(numbers(&mut subscription, 1).await, [1]);

    transactional.begin();
    transactional.event(&topic, "k", &notice("acme", 2));
    transactional.flush();
    plain.event(&topic, "k", &notice("acme", 3));
    plain.flush();
    // Who reads on meanwhile, or begins, gets nothing of it: what lies behind an open transaction has to wait.
    let other = bridge.client(&stage.token("acme", "bob", "member")).await;
    let mut earliest = other.subscribe(Subscribe::to("orders").from(Begin::Earliest)).await.unwrap();
    assert_eq!(numbers(&mut earliest, 1).await, [1]);
    let mut account = Account::of(&bridge).await;
    let totals = account.at_rest(|totals| totals.of("acme", "orders").consumed == 2).await;
    assert_eq!(totals.reading("orders").records, 1);
    transactional.commit();
    for subscription in [&mut subscription, &mut earliest] {
        assert_eq!(numbers(subscription, 2).await, [2, 3]);
    }
    let totals = account.at_rest(|totals| totals.of("acme", "orders").consumed == 6).await;
    assert_eq!(totals.reading("orders").records, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_and_partitions_that_come_later_are_read_from_their_beginning() {
    let stage = Stage::new();
    let topic = stage.orders("acme");
    let bridge = stage.bridge(&[]);
    let client = bridge.client(&stage.token("acme", "ada", "member")).await;
    let mut subscription = client.subscribe(Subscribe::to("orders")).await.unwrap();
    stage.create(&topic, 1).await;
    let producer = stage.producer(&[("topic.metadata.refresh.interval.ms", "300")]);
    (0..10).for_each(|n| producer.event_at(&topic, 0, &notice("acme", n)));
    producer.flush();
    assert_eq!(numbers(&mut subscription, 10).await, (0..10).collect::<Vec<_>>());

    stage.grow(&topic, 3).await;
    // A producer that knows of them: the first one may still believe in one partition.
    let producer = stage.producer(&[]);
    for n in 0..30 {
        producer.event_at(&topic, n % 3, &notice("acme", 1000 * i64::from(n % 3) + i64::from(10 + n / 3)));
    }
    producer.flush();
    let mut seen = numbers(&mut subscription, 30).await;
    for partition in 0..3 {
        let of_it: Vec<i64> = seen.iter().copied().filter(|n| n / 1000 == partition).collect();
        assert_eq!(of_it, (0..10).map(|n| 1000 * partition + 10 + n).collect::<Vec<_>>());
    }
    seen.dedup();
    assert_eq!((seen.len(), subscription.gaps()), (30, 0));
    let totals = Account::of(&bridge).await.at_rest(|totals| totals.of("acme", "orders").consumed == 40).await;
    assert_eq!(totals.reading("orders").events, 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_again_is_another_log() {
    let stage = Stage::new();
    let topic = stage.orders("acme");
    stage.create(&topic, 2).await;
    let bridge = stage.bridge(&[]);
    let client = bridge.client(&stage.token("acme", "ada", "member")).await;
    let mut subscription = client.subscribe(Subscribe::to("orders")).await.unwrap();
    let producer = stage.producer(&[]);
    (0..10).for_each(|n| producer.event_at(&topic, 0, &notice("acme", n)));
    producer.flush();
    assert_eq!(numbers(&mut subscription, 10).await, (0..10).collect::<Vec<_>>());

    stage.delete(&topic).await;
    until("Kafka has forgotten the topic", async || stage.try_create(&topic, 2).await).await;
    let producer = stage.producer(&[]);
    (0..20).for_each(|n| producer.event_at(&topic, 0, &notice("acme", 100 + n)));
    producer.flush();
    // Until the bridge knows, Kafka goes on at the offset of the old log. Then the page is told, and gets all.
    let mut early = Vec::new();
    let first = loop {
        let n = next(&mut subscription).await.n();
        if subscription.gaps() > 0 {
            break n;
        }
        early.push(n);
    };
    assert!(early.iter().all(|n| (110..120).contains(n)), "{early:?}");
    assert_eq!(first, 100);
    assert_eq!(numbers(&mut subscription, 19).await, (101..120).collect::<Vec<_>>());
    producer.event_at(&topic, 1, &notice("acme", 500));
    producer.flush();
    assert_eq!((numbers(&mut subscription, 1).await, subscription.gaps()), (vec![500], 1));
    let count = 31 + early.len() as u64;
    Account::of(&bridge).await.at_rest(|totals| totals.of("acme", "orders").consumed == count).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_told_apart() {
    let stage = Stage::new();
    let topic = stage.orders("acme");
    stage.create(&topic, 1).await;
    let bridge = stage.bridge(&[]);
    let client = bridge.client(&stage.token("acme", "ada", "member")).await;
    let mut subscription = client.subscribe(Subscribe::to("orders")).await.unwrap();
    let producer = stage.producer(&[]);
    let keys: [(Option<&[u8]>, Option<&str>); 5] = [
        (None, None),
        (Some(b""), Some("")),
        (Some(b"\xff\xfe\x00"), None),
        (Some(b"a\0\"\n"), Some("a\0\"\n")),
        (Some("schlüssel/1".as_bytes()), Some("schlüssel/1")),
    ];
    for (n, (key, _)) in (0..).zip(keys) {
        let value = notice("acme", n);
        producer.put(&topic, Put { key, value: Some(value.as_bytes()), ..Put::default() });
    }
    producer.flush();
    for (n, (_, expected)) in (0..).zip(keys) {
        let event = next(&mut subscription).await;
        assert_eq!((event.n(), event.key.as_deref()), (n, expected));
    }
    Account::of(&bridge).await.at_rest(|totals| totals.of("acme", "orders").consumed == 5).await;
}

//! Coming back: after a cut socket, on another node, after an outage of Kafka, after retention, after a drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tidegate_client::native::{Client, Options, State, Subscribe};
use tidegate_protocol::code;
use tidegate_tests::account::Account;
use tidegate_tests::bridge::{Bridge, connect, url};
use tidegate_tests::foreign::Producer;
use tidegate_tests::kafka::Kafka;
use tidegate_tests::proxy::Proxy;
use tidegate_tests::raw::Session;
use tidegate_tests::stage::Stage;
use tidegate_tests::{LONG, next, notice, numbers, until};
use tokio::time::timeout;

/// So small that it holds a few rounds only.
const TINY_WINDOW: (&str, &str) = ("TIDEGATE_WINDOW__BYTES", "1MiB");

async fn until_waiting(client: &Client) {
    let mut state = client.state();
    timeout(LONG, state.wait_for(|state| !matches!(state, State::Open(_)))).await.unwrap().unwrap();
}

/// Puts events of this size that say these numbers, over three partitions by turns.
fn put(producer: &Producer, topic: &str, numbers: std::ops::Range<i64>, size: usize) {
    let padding = "x".repeat(size);
    for n in numbers {
        let event = notice("acme", n).replacen("\"data\"", &format!(r#""pad":"{padding}","data""#), 1);
        producer.event_at(topic, (n % 3) as i32, &event);
    }
    producer.flush();
}

/// Neither gap nor duplicate, and in order per partition.
fn assert_whole(seen: &[i64], count: i64) {
    for partition in 0..3 {
        let of_it: Vec<i64> = seen.iter().copied().filter(|n| n % 3 == partition).collect();
        let expected: Vec<i64> = (0..count).filter(|n| n % 3 == partition).collect();
        assert_eq!(of_it, expected, "partition {partition}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_cut_for_a_second_resumes_from_the_window() {
    let stage = Stage::new();
    let topic = stage.orders("acme");
    stage.create(&topic, 3).await;
    let bridge = stage.bridge(&[]);
    let proxy = Proxy::to(bridge.address).await;
    let client = connect(proxy.address, &stage.token("acme", "ada", "member")).await;
    let mut subscription = client.subscribe(Subscribe::to("orders")).await.unwrap();
    let producer = stage.producer(&[]);
    put(&producer, &topic, 0..30, 10);
    let mut seen = numbers(&mut subscription, 30).await;

    // Events before, during and after the cut, some of them on their way when it comes.
    for round in 0..3 {
        let from = 30 + 120 * round;
        put(&producer, &topic, from..from + 40, 10);
        proxy.cut();
        put(&producer, &topic, from + 40..from + 80, 10);
        until_waiting(&client).await;
        tokio::time::sleep(Duration::from_secs(u64::from(round == 0))).await;
        proxy.lead_to(bridge.address);
        put(&producer, &topic, from + 80..from + 120, 10);
        seen.extend(numbers(&mut subscription, 120).await);
    }
    assert_whole(&seen, 390);
    assert_eq!(subscription.gaps(), 0);
    // Received is what a client could report: of what it got right before a cut, nobody knows but itself.
    let mut account = Account::of(&bridge).await;
    let totals = account.at_rest(|totals| totals.of("acme", "orders").consumed >= 80).await;
    assert_eq!((totals.of("acme", "orders").given_up, totals.reading("orders").events), (0, 390));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_cut_for_longer_than_the_window_holds_resumes_from_the_log() {
    let stage = Stage::new();
    let topic = stage.orders("acme");
    stage.create(&topic, 3).await;
    let bridge = stage.bridge(&[TINY_WINDOW]);
    let proxy = Proxy::to(bridge.address).await;
    let client = connect(proxy.address, &stage.token("acme", "ada", "member")).await;
    let mut subscription = client.subscribe(Subscribe::to("orders")).await.unwrap();
    let producer = stage.producer(&[]);
    put(&producer, &topic, 0..30, 10);
    let mut seen = numbers(&mut subscription, 30).await;

    proxy.cut();
    until_waiting(&client).await;
    put(&producer, &topic, 30..3030, 2000);
    proxy.lead_to(bridge.address);
    // More comes while it catches up.
    put(&producer, &topic, 3030..3330, 2000);
    seen.extend(numbers(&mut subscription, 3300).await);
    assert_whole(&seen, 3330);
    assert_eq!(subscription.gaps(), 0);
    Account::of(&bridge).await.at_rest(|totals| totals.of("acme", "orders").consumed >= 3300).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_with_the_same_keys_goes_on() {
    let stage = Stage::new();
    let topic = stage.orders("acme");
    stage.create(&topic, 3).await;
    let nodes = [stage.bridge(&[]), stage.bridge(&[])];
    let proxy = Proxy::to(nodes[0].address).await;
    let client = connect(proxy.address, &stage.token("acme", "ada", "member")).await;
    let mut subscription = client.subscribe(Subscribe::to("orders")).await.unwrap();
    let producer = stage.producer(&[]);
    let mut seen = Vec::new();
    for round in 0..4 {
        let from = 60 * round;
        put(&producer, &topic, from..from + 30, 10);
        seen.extend(numbers(&mut subscription, 30).await);
        proxy.lead_to(nodes[(round as usize + 1) % 2].address);
        put(&producer, &topic, from + 30..from + 60, 10);
        seen.extend(numbers(&mut subscription, 30).await);
    }
    assert_whole(&seen, 240);
    assert_eq!(subscription.gaps(), 0);
    // It has ended on the first node, where what it got in its last session is reported.
    Account::of(&nodes[0]).await.at_rest(|totals| totals.of("acme", "orders").consumed >= 30).await;
    Account::of(&nodes[1]).await.at_rest(|totals| totals.of("acme", "orders").sent > 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_retention_took_is_reported_as_a_gap() {
    let stage = Stage::new();
    let topic = stage.orders("acme");
    stage.create(&topic, 3).await;
    let bridge = stage.bridge(&[TINY_WINDOW]);
    let proxy = Proxy::to(bridge.address).await;
    let client = connect(proxy.address, &stage.token("acme", "ada", "member")).await;
    let mut subscription = client.subscribe(Subscribe::to("orders")).await.unwrap();
    let producer = stage.producer(&[]);
    put(&producer, &topic, 0..30, 10);
    assert_whole(&numbers(&mut subscription, 30).await, 30);

    proxy.cut();
    until_waiting(&client).await;
    put(&producer, &topic, 30..3030, 2000);
    // Of partition 0 the first 500 are gone: the numbers below 1500 that 3 divides.
    stage.retain_from(&topic, 0, 500).await;
    proxy.lead_to(bridge.address);
    let mut seen = numbers(&mut subscription, 3000 - 490).await;
    seen.sort_unstable();
    let expected: Vec<i64> = (30..3030).filter(|n| n % 3 != 0 || *n >= 1500).collect();
    assert_eq!(seen, expected);
    assert_eq!(subscription.gaps(), 1);
    put(&producer, &topic, 3030..3033, 10);
    let mut seen = numbers(&mut subscription, 3).await;
    seen.sort_unstable();
    assert_eq!((seen, subscription.gaps()), (vec![3030, 3031, 3032], 1));
    Account::of(&bridge).await.at_rest(|totals| totals.of("acme", "orders").consumed >= 2513).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_kafka_is_told_and_survived() {
    let stage = Stage::on(Arc::new(Kafka::start()));
    let topic = stage.orders("acme");
    stage.create(&topic, 3).await;
    let bridge = stage.bridge(&[]);
    let client = bridge.client(&stage.token("acme", "ada", "member")).await;
    let mut subscription = client.subscribe(Subscribe::to("orders")).await.unwrap();
    publish(&client, 0..30).await;
    let mut seen = numbers(&mut subscription, 30).await;
    for round in 1..3 {
        stage.kafka.stop();
        let mut available = client.log_available();
        timeout(LONG, available.wait_for(|available| !available)).await.expect("subscribers are told").unwrap();
        assert_eq!(bridge.get("/readyz").0, 503);
        assert_eq!(bridge.get("/healthz").0, 200, "a restart would not help");
        let refused = client.publish("orders", Some("k"), r#"{"type":"order.created"}"#).await.unwrap_err();
        assert_eq!((&*refused.code, refused.retryable), ("log_unavailable", true));

        stage.kafka.restart();
        timeout(LONG, available.wait_for(|available| *available)).await.expect("subscribers are told").unwrap();
        until("the bridge is ready", async || bridge.get("/readyz").0 == 200).await;
        publish(&client, 30 * round..30 * round + 30).await;
        seen.extend(numbers(&mut subscription, 30).await);
    }
    assert_eq!(seen, (0..90).collect::<Vec<_>>());
    assert_eq!(subscription.gaps(), 0);
    assert!(matches!(&*client.state().borrow(), State::Open(_)), "the session has lived through it");
    let totals = Account::of(&bridge).await.at_rest(|totals| totals.of("acme", "orders").consumed == 90).await;
    assert_eq!(totals.reading("orders").events, 90);
}

/// Publishes with one key; what is refused because the log is away is tried again with the same id.
async fn publish(client: &Client, numbers: std::ops::Range<i64>) {
    for n in numbers {
        let event = notice("acme", n);
        until("it is published", async || match client.publish("orders", Some("k"), &event).await {
            Ok(_) => true,
            Err(problem) => {
                assert_eq!(problem.code, "log_unavailable", "{problem}");
                false
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_node_sends_its_clients_away_and_keeps_what_it_took() {
    let stage = Stage::new();
    let topic = stage.orders("acme");
    stage.create(&topic, 1).await;
    let fast = [("TIDEGATE_LIMITS__PUBLISH_EVENTS_PER_S", "100000"), ("TIDEGATE_LIMITS__PUBLISH_BYTES_PER_S", "1GiB")];
    let mut leaving = stage.bridge(&[("TIDEGATE_SERVER__DRAIN_TIMEOUT", "4s"), fast[0], fast[1]]);
    let staying = stage.bridge(&[]);
    let proxy = Proxy::to(leaving.address).await;
    let token = stage.token("acme", "ada", "member");
    let reader = connect(proxy.address, &token).await;
    let mut subscription = reader.subscribe(Subscribe::to("orders")).await.unwrap();
    let mut crowd = crowd(leaving.address, &stage, 20).await;

    // Somebody publishes all the time, and remembers what was answered.
    let publisher = Client::connect(url(leaving.address), Options::new(stage.token("acme", "publisher", "member")));
    let publisher = publisher.await.unwrap();
    let publishing = tokio::spawn(async move {
        let mut answered = Vec::new();
        for n in 0.. {
            match publisher.publish("orders", Some("k"), &notice("acme", n)).await {
                Ok(published) => answered.push(published.event_id),
                Err(problem) => return (answered, problem),
            }
        }
        unreachable!("the bridge goes before")
    });
    let mut seen = numbers(&mut subscription, 20).await;
    proxy.lead_to(staying.address);
    seen.extend(numbers(&mut subscription, 20).await);
    leaving.process.ask_to_end();
    let mut waits = Vec::new();
    for session in &mut crowd {
        waits.push(session.answer("reconnect").await["delay_ms"].as_u64().unwrap());
        assert_eq!(session.end().await, (None, code::GOING_AWAY.code));
    }
    assert!(waits.windows(2).any(|two| two[0] != two[1]), "not all at once: {waits:?}");
    let status = leaving.process.wait();
    assert!(status.success(), "{status}: {}", leaving.process.log());

    let (answered, problem) = timeout(LONG, publishing).await.unwrap().unwrap();
    assert!(["outcome_unknown", "going_away", "not_connected"].contains(&&*problem.code), "{problem}");
    assert!(answered.len() >= 40);
    let durable: Vec<Value> = stage.kcat_read(&topic);
    let ids = durable.iter().map(|record| record["payload"].as_str().unwrap().to_owned()).collect::<String>();
    assert!(answered.iter().all(|id| ids.contains(id)), "all that was answered is on the log");
    seen.extend(numbers(&mut subscription, durable.len() - seen.len()).await);
    assert_eq!(seen, (0..durable.len() as i64).collect::<Vec<_>>());
    assert_eq!(subscription.gaps(), 0);
    put(&stage.producer(&[]), &topic, 0..1, 10);
    assert_eq!(numbers(&mut subscription, 1).await, [0]);
    Account::of(&staying).await.at_rest(|totals| totals.of("acme", "orders").consumed > 0).await;
}

async fn crowd(address: SocketAddr, stage: &Stage, count: usize) -> Vec<Session> {
    let mut crowd = Vec::new();
    for n in 0..count {
        crowd.push(Session::open(address, &stage.token("acme", &format!("page-{n}"), "viewer")).await);
    }
    crowd
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_the_same_client_takes_the_place_of_the_older() {
    let stage = Stage::new();
    let topic = stage.orders("acme");
    stage.create(&topic, 1).await;
    let bridge: Bridge = stage.bridge(&[]);
    let token = stage.token("acme", "ada", "member");
    let options = || Options { client: Some("tab-1".into()), ..Options::new(token.as_str()) };
    let older = Client::connect(bridge.url(), options()).await.unwrap();
    let _subscription = older.subscribe(Subscribe::to("orders")).await.unwrap();
    let newer = Client::connect(bridge.url(), options()).await.unwrap();
    let mut state = older.state();
    let closed =
        timeout(LONG, state.wait_for(|state| matches!(state, State::Closed(_)))).await.unwrap().unwrap().clone();
    assert!(matches!(closed, State::Closed(Some(problem)) if problem.code == "replaced"));
    let mut subscription = newer.subscribe(Subscribe::to("orders")).await.unwrap();
    put(&stage.producer(&[]), &topic, 0..1, 10);
    assert_eq!(next(&mut subscription).await.n(), 0);
    Account::of(&bridge).await.at_rest(|totals| totals.of("acme", "orders").consumed == 1).await;
}

//! The flow: from Kafka's own clients to ours, tenant by tenant and in order, and back.

use serde_json::Value;
use tidegate_client::native::{Delivery, Subscribe, Subscription};
use tidegate_protocol::frame::{FailureKind, From as Begin};
use tidegate_tests::account::{Account, Totals};
use tidegate_tests::bridge::Bridge;
use tidegate_tests::stage::Stage;
use tidegate_tests::{LONG, next, notice, numbers, until};
use tokio::time::timeout;

/// Numbers that tell by their thousands which partition they lie in, and rise there.
fn assert_in_order(numbers: &[i64]) {
    for partition in 0..=numbers.iter().max().map_or(0, |most| most / 1000) {
        let of_it: Vec<i64> = numbers.iter().copied().filter(|n| n / 1000 == partition).collect();
        assert!(of_it.is_sorted_by(|a, b| a < b), "partition {partition}: {of_it:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_kcat_puts_arrives_in_order_per_partition_at_its_tenant_only() {
    let stage = Stage::new();
    stage.create(&stage.orders("acme"), 3).await;
    stage.create(&stage.orders("globex"), 1).await;
    let bridge = stage.bridge(&[]);
    let acme = bridge.client(&stage.token("acme", "ada", "member")).await;
    let globex = bridge.client(&stage.token("globex", "bob", "member")).await;
    let mut of_acme = acme.subscribe(Subscribe::to("orders")).await.unwrap();
    let mut of_globex = globex.subscribe(Subscribe::to("orders")).await.unwrap();

    for partition in 0..3 {
        let lines: String = (0..100).map(|n| notice("acme", partition * 1000 + n) + "\n").collect();
        stage.kcat_put(&stage.orders("acme"), &["-p", &partition.to_string()], &lines);
    }
    let seen = numbers(&mut of_acme, 300).await;
    assert_in_order(&seen);
    // What comes next at the other tenant is its own.
    stage.kcat_put(&stage.orders("globex"), &["-K", "|"], &format!("order/1|{}\n", notice("globex", 7)));
    let event = next(&mut of_globex).await;
    assert_eq!((event.key.as_deref(), event.n(), &event.event["tenant_id"]), (Some("order/1"), 7, &"globex".into()));

    let settled = |totals: &Totals| ["acme", "globex"].map(|tenant| totals.of(tenant, "orders").consumed) == [300, 1];
    let totals = Account::of(&bridge).await.at_rest(settled).await;
    assert_eq!((totals.reading("orders").records, totals.reading("orders").events), (301, 301));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_that_share_a_topic_see_their_own_events_only() {
    let stage = Stage::new();
    stage.create(&stage.carts(), 2).await;
    let bridge = stage.bridge(&[]);
    let acme = bridge.client(&stage.token("acme", "ada", "member")).await;
    let globex = bridge.client(&stage.token("globex", "bob", "member")).await;
    let mut of_acme = acme.subscribe(Subscribe::to("carts")).await.unwrap();
    let mut of_globex = globex.subscribe(Subscribe::to("carts")).await.unwrap();

    let producer = stage.producer(&[]);
    for n in 0..200 {
        let tenant = if n % 2 == 0 { "acme" } else { "globex" };
        producer.event(&stage.carts(), &format!("{tenant}/cart"), &notice(tenant, n));
    }
    producer.flush();
    let (of_acme, of_globex) = tokio::join!(numbers(&mut of_acme, 100), numbers(&mut of_globex, 100));
    assert_eq!(of_acme, (0..100).map(|n| 2 * n).collect::<Vec<_>>());
    assert_eq!(of_globex, (0..100).map(|n| 2 * n + 1).collect::<Vec<_>>());

    let settled = |totals: &Totals| ["acme", "globex"].map(|tenant| totals.of(tenant, "carts").consumed) == [100, 100];
    let totals = Account::of(&bridge).await.at_rest(settled).await;
    assert_eq!(totals.reading("carts").events, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_java_console_producer_puts_arrives_in_order_per_key() {
    let stage = Stage::new();
    stage.create(&stage.orders("acme"), 4).await;
    let bridge = stage.bridge(&[]);
    let client = bridge.client(&stage.token("acme", "ada", "member")).await;
    let mut subscription = client.subscribe(Subscribe::to("orders")).await.unwrap();

    let lines: Vec<String> = (0..120).map(|n| format!("order/{}|{}", n % 6, notice("acme", n))).collect();
    stage.java_put(&stage.orders("acme"), &lines.join("\n"));
    let mut last = [-1; 6];
    for _ in 0..120 {
        let event = next(&mut subscription).await;
        let n = event.n();
        assert_eq!(event.key, Some(format!("order/{}", n % 6)));
        let before = std::mem::replace(&mut last[(n % 6) as usize], n);
        assert!(before < n, "{n} came after {before}");
    }
    Account::of(&bridge).await.at_rest(|totals| totals.of("acme", "orders").consumed == 120).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_is_stamped_and_lies_where_java_would_put_it() {
    let stage = Stage::new();
    stage.create(&stage.carts(), 5).await;
    let bridge = stage.bridge(&[]);
    let client = bridge.client(&stage.token("acme", "ada", "member")).await;
    let mut published = Vec::new();
    for n in 0..12 {
        let event = format!(
            r#"{{"tenant_id":"globex","requester":"root","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","action":{{"command":"add","target":"cart/{n}"}},"data":{{ "n" : {n} }}}}"#
        );
        published.push(client.publish("carts", None, &event).await.unwrap());
    }
    // Java puts records of the same keys behind them.
    let lines: Vec<String> = (0..12).map(|n| format!("acme/cart/{n}|{}", notice("acme", n))).collect();
    stage.java_put(&stage.carts(), &lines.join("\n"));

    let records = stage.kcat_read(&stage.carts());
    assert_eq!(records.len(), 24);
    for (n, published) in published.iter().enumerate() {
        let key = format!("acme/cart/{n}");
        let of_key: Vec<&Value> = records.iter().filter(|record| record["key"] == key.as_str()).collect();
        let [ours, javas] = of_key[..] else { panic!("two records of {key}, not {of_key:?}") };
        assert_eq!(ours["partition"], javas["partition"], "{key}");

        let headers = ours["headers"].as_array().unwrap();
        let headers: Vec<(&str, &str)> =
            headers.chunks(2).map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap())).collect();
        let client_id = headers.iter().find(|(name, _)| *name == "tg_client").unwrap().1;
        assert!(!client_id.is_empty());
        let expected = [
            ("tg_id", published.event_id.as_str()),
            ("tg_type", "request.add"),
            ("tg_tenant", "acme"),
            ("tg_correlation_id", published.correlation_id.as_str()),
            ("tg_client", client_id),
            ("content-type", "application/json"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ];
        assert_eq!(headers, expected);

        let text = ours["payload"].as_str().unwrap();
        let event: Value = serde_json::from_str(text).unwrap();
        let members = ["version", "id", "type", "correlation_id", "tenant_id", "requester"].map(|name| &event[name]);
        let id = &Value::from(published.event_id.as_str());
        assert_eq!(members, [&"1.0".into(), id, &"request.add".into(), id, &"acme".into(), &"ada".into()]);
        assert!(event["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{event}");
        assert!(text.contains(&format!(r#""data":{{ "n" : {n} }}"#)), "the publisher's own bytes: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_comes_back_to_pages_of_the_tenant() {
    let stage = Stage::new();
    stage.create(&stage.orders("acme"), 2).await;
    let bridge = stage.bridge(&[]);
    let ada = bridge.client(&stage.token("acme", "ada", "member")).await;
    let bob = bridge.client(&stage.token("acme", "robert", "viewer")).await;
    let mut silent = ada.subscribe(Subscribe { echo: false, ..Subscribe::to("orders") }).await.unwrap();
    let mut theirs = bob.subscribe(Subscribe::to("orders")).await.unwrap();
    for n in 0..50 {
        let event = format!(r#"{{"type":"order.created","data":{{"n":{n}}}}}"#);
        ada.publish("orders", Some("order/1"), &event).await.unwrap();
    }
    assert_eq!(numbers(&mut theirs, 50).await, (0..50).collect::<Vec<_>>());
    let refused = bob.publish("orders", None, r#"{"type":"order.created"}"#).await.unwrap_err();
    assert_eq!(refused.code, "denied");

    // The publisher asked for no echo: the next that it hears of is somebody else's.
    stage.kcat_put(&stage.orders("acme"), &["-K", "|"], &format!("order/1|{}\n", notice("acme", 99)));
    assert_eq!((next(&mut silent).await.n(), next(&mut theirs).await.n()), (99, 99));
    let totals = Account::of(&bridge).await.at_rest(|totals| totals.of("acme", "orders").consumed == 102).await;
    assert_eq!(totals.of("acme", "orders").received, 102);
    assert!(bridge.metric(r#"tidegate_published_events_total{outcome="ok"}"#) >= 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_delivery_ends_in_one_fate() {
    async fn delivery(subscription: &mut Subscription) -> Delivery {
        timeout(LONG, subscription.next()).await.unwrap().unwrap()
    }
    let stage = Stage::new();
    stage.create(&stage.orders("acme"), 1).await;
    let bridge = stage.bridge(&[]);
    let clumsy = bridge.client(&stage.token("acme", "ada", "member")).await;
    let hasty = bridge.client(&stage.token("acme", "bob", "member")).await;
    let mut of_clumsy = clumsy.subscribe(Subscribe::to("orders")).await.unwrap();
    let mut of_hasty = hasty.subscribe(Subscribe::to("orders")).await.unwrap();
    let lines: String = (0..60).map(|n| notice("acme", n) + "\n").collect();
    stage.kcat_put(&stage.orders("acme"), &[], &lines);

    let kinds = [FailureKind::Threw, FailureKind::Rejected, FailureKind::TimedOut];
    for n in 0..60 {
        let given = delivery(&mut of_clumsy).await;
        match kinds.get(n % 6) {
            Some(&kind) => given.failed(kind, "on purpose"),
            None => given.consumed(),
        }
    }
    // The other has all of them in its hands, unsettled, when it goes.
    let mut held = Vec::new();
    while held.len() < 60 {
        held.push(delivery(&mut of_hasty).await);
    }
    let mut account = Account::of(&bridge).await;
    until_in_flight(&bridge, 60).await;
    hasty.close().await;
    drop(held);
    let totals = account.at_rest(|totals| totals.of("acme", "orders").abandoned == 60).await;
    let counts = totals.of("acme", "orders");
    assert_eq!((counts.sent, counts.received), (120, 120));
    assert_eq!((counts.failed, counts.given_up, counts.consumed), (30, 30, 30));
    assert_eq!(bridge.metric("tidegate_ledger_imbalance"), 0);
}

async fn until_in_flight(bridge: &Bridge, count: u64) {
    let metric = r#"tidegate_deliveries_in_flight{topic="orders"}"#;
    until("they are in flight", async || bridge.metric(metric) == count).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_and_beginnings_are_chosen() {
    let stage = Stage::new();
    stage.create(&stage.orders("acme"), 2).await;
    let bridge = stage.bridge(&[]);
    let producer = stage.producer(&[]);
    for n in 0..40 {
        let event = notice("acme", n);
        let event = if n % 4 == 0 { event.replace("order.created", "order.paid") } else { event };
        producer.event_at(&stage.orders("acme"), n % 2, &event);
    }
    producer.flush();
    let client = bridge.client(&stage.token("acme", "ada", "member")).await;
    let viewer = bridge.client(&stage.token("acme", "robert", "viewer")).await;
    let paid = Subscribe { types: vec!["order.paid".into()], ..Subscribe::to("orders").from(Begin::Earliest) };
    let denied = viewer.subscribe(paid.clone()).await.unwrap_err();
    assert_eq!(denied.code, "denied", "who may not replay begins with the latest");
    let mut paid = client.subscribe(paid).await.unwrap();
    let mut seen = numbers(&mut paid, 10).await;
    seen.sort_unstable();
    assert_eq!(seen, (0..10).map(|n| 4 * n).collect::<Vec<_>>());
    Account::of(&bridge).await.at_rest(|totals| totals.of("acme", "orders").consumed == 10).await;
}

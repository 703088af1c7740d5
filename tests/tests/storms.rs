//! Volume as a weapon: while it lasts a session beside it misses nothing, and the bridge's memory stays bounded and comes
//! back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tidegate_client::native::{Client, Subscribe, Subscription};
use tidegate_protocol::frame::From as Begin;
use tidegate_tests::bridge::Bridge;
use tidegate_tests::embedded::Embedded;
use tidegate_tests::wire::{Wire, frame, header, text, upgrade};
use tidegate_tests::{next, until};
use tokio::task::JoinSet;

/// Events that the honest session is sent during each storm, 200 a second, unless `TIDEGATE_STORM_EVENTS` says more.
const EVENTS: i64 = 300;
const PACE: Duration = Duration::from_millis(5);

/// Events that it is sent after each.
const AFTER: i64 = 20;

/// What a storm may take beside what its connections are allowed: caches, and what an allocator keeps for the next time.
const SLACK: u64 = 48 << 20;

/// The two connections of the honest, the one that asks for metrics.
const HONEST: u64 = 3;

struct Honest {
    publisher: Client,
    subscription: Subscription,
    n: i64,
}

impl Honest {
    async fn of(stage: &Embedded, bridge: &Bridge) -> Self {
        let publisher = bridge.client(&stage.token("acme", "publisher", "member")).await;
        let client = bridge.client(&stage.token("acme", "ada", "viewer")).await;
        let mut subscription = client.subscribe(Subscribe::to("orders").from(Begin::Latest)).await.unwrap();
        // A topic that is made by its first event is found a little later.
        publisher.publish("orders", None, r#"{"type":"a.b","data":{"n":0}}"#).await.unwrap();
        assert_eq!(next(&mut subscription).await.n(), 0);
        Self { publisher, subscription, n: 0 }
    }

    /// Publishes at its pace, and receives all of it in order.
    async fn goes_on(&mut self, events: i64, what: &str) {
        let from = self.n;
        self.n += events;
        let publisher = self.publisher.clone();
        let publishing = tokio::spawn(async move {
            let mut pace = tokio::time::interval(PACE);
            for n in from..from + events {
                pace.tick().await;
                let event = json!({"type": "order.created", "data": {"n": n + 1}}).to_string();
                publisher.publish("orders", None, &event).await.expect("the honest are not limited");
            }
        });
        for n in from..from + events {
            assert_eq!(next(&mut self.subscription).await.n(), n + 1, "{what}");
        }
        publishing.await.unwrap();
        assert_eq!(self.subscription.gaps(), 0, "{what}");
    }
}

/// Attackers that go on until they are told to stop.
struct Storm {
    over: Arc<AtomicBool>,
    attackers: JoinSet<()>,
}

impl Storm {
    fn of<F: Future<Output = ()> + Send + 'static>(
        attackers: usize,
        attack: impl Fn() -> F + Clone + Send + 'static,
    ) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let mut all = JoinSet::new();
        for _ in 0..attackers {
            let (over, attack) = (Arc::clone(&over), attack.clone());
            all.spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    attack().await;
                }
            });
        }
        Self { over, attackers: all }
    }

    async fn ends(self) {
        self.over.store(true, Ordering::Relaxed);
        self.attackers.join_all().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_storm_costs_the_honest_an_event_or_the_bridge_its_memory() {
    const SILENT: usize = 500;
    let stage = Embedded::new();
    let bridge = stage.bridge(&[("TIDEGATE_SERVER__HANDSHAKE_TIMEOUT", "2s"), ("TIDEGATE_WINDOW__BYTES", "4MiB")]);
    let at = bridge.address;
    let mut honest = Honest::of(&stage, &bridge).await;
    let events = std::env::var("TIDEGATE_STORM_EVENTS").map_or(EVENTS, |events| events.parse().expect("a number"));
    honest.goes_on(events, "in peace").await;
    let calm = bridge.process.memory();
    let eve = stage.token("acme", "eve", "member");
    let orders = text(r#"{"subscribe":{"id":1,"topic":"orders","from":"earliest"}}"#);

    let flood = |first: Vec<u8>, each: Vec<u8>| {
        let eve = eve.clone();
        let attack = move || {
            let (eve, first, many) = (eve.clone(), first.clone(), each.repeat(1_000));
            async move {
                let mut wire = Wire::welcomed(at, &eve).await;
                wire.send(&first).await;
                while wire.send(&many).await {}
            }
        };
        Storm::of(4, attack)
    };
    let (subscribed, deaf_token) = (orders.clone(), eve.clone());
    let deaf = move || {
        let (token, orders) = (deaf_token.clone(), subscribed.clone());
        async move {
            // Asks for all there is, and reads none of it.
            let mut wire = Wire::welcomed(at, &token).await;
            wire.send(&orders).await;
            wire.send(&frame(0x89, &[b'x'; 125]).repeat(5_000)).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let silent = move || async move {
        let mut wire = Wire::upgraded(at).await;
        wire.end().await;
    };
    let slow_heads = move || async move {
        let mut wire = Wire::connect(at).await;
        wire.trickle(upgrade(at).as_bytes(), Duration::from_millis(100)).await;
    };
    let large_hellos = move || async move {
        let mut wire = Wire::upgraded(at).await;
        wire.send(&[header(0x81, 0x80, 1 << 20), vec![b' '; 1 << 20]].concat()).await;
        wire.end().await;
    };
    let storms: [(&str, &dyn Fn() -> Storm); 9] = [
        ("tiny frames", &|| flood(vec![], text(r#"{"pong":{}}"#))),
        ("pings", &|| flood(vec![], frame(0x89, &[b'x'; 100]))),
        ("empty fragments", &|| flood(frame(0x01, b"{"), frame(0x00, b""))),
        ("subscribing again and again", &|| flood(vec![], orders.clone())),
        ("publishing what is no event", &|| flood(vec![], text(r#"{"publish":{"id":1,"topic":"orders","event":{}}}"#))),
        ("those that do not read", &|| Storm::of(50, deaf.clone())),
        ("silent connections", &|| Storm::of(SILENT, silent)),
        ("slow heads", &|| Storm::of(SILENT, slow_heads)),
        ("large hellos", &|| Storm::of(50, large_hellos)),
    ];
    for (what, begin) in storms {
        let storm = begin();
        honest.goes_on(events, what).await;
        let during = bridge.process.memory().saturating_sub(calm);
        storm.ends().await;
        // Those that do not read may have their credit, and each connection what it needs to be one.
        let allowed = SLACK + 50 * (256 + 64) * 1024 + SILENT as u64 * 64 * 1024;
        assert!(during < allowed, "{what}: {} MiB more", during >> 20);
        until("they are gone", async || bridge.metric("tidegate_connections") <= HONEST).await;
        honest.goes_on(AFTER, "after it").await;
        let after = bridge.process.memory().saturating_sub(calm);
        assert!(after < SLACK, "{what}: {} MiB stayed", after >> 20);
        println!("{what:30} {:4} MiB more while it lasted, {:3} MiB after", during >> 20, after >> 20);
    }
}

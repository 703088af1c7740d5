//! The hot paths, each by itself, for `cargo xtask guard`: it counts their instructions, which do not wander as time
//! does. Run as `hot_paths NAME`; what is counted happens within `counted`.

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;

use tidegate::config;
use tidegate::cursor::{MasterKey, Sealer};
use tidegate::fanout::{Input, Moment, Newcomer, Options, Rules, SessionKey, Shard};
use tidegate::feed::{Decoded, Round, TopicSpec, TopicTable, decode};
use tidegate::session::{Format, Outbox};
use tidegate_gate::{Accounts, Principal, Rate, Revocations};
use tidegate_log::{Headers, Record, TopicId, TopicKey};
use tidegate_protocol::frame::{ClientFrame, From, Limits, Position, Report, Span, Subscribe, ViewReport};

/// Events of one round.
const EVENTS: usize = 4_000;

/// Sessions, and tenants where each has one of its own.
const SESSIONS: usize = 1_000;

const TOPIC: TopicKey = TopicKey(1);

/// Goes over a path, and says how many times.
type Path = fn() -> usize;

/// Every path: its name, and how many times over it is gone within [`counted`].
const PATHS: &[(&str, Path)] = &[
    ("decode", decoding),
    ("decode_for_rules", decoding_for_rules),
    ("tenant_each", || live(&Setting { tenants: SESSIONS, role: |_| "clerk".into() }, EVENTS)),
    ("rule_each", || live(&Setting { tenants: 1, role: |_| "own".into() }, EVENTS)),
    ("fanout_event", || live(&Setting { tenants: 1, role: |_| "clerk".into() }, 8) * SESSIONS),
    ("ten_conditions", || live(&Setting { tenants: 1, role: |at| format!("over-{}", at % 10) }, 8) * SESSIONS),
    ("report", reporting),
];

fn main() {
    // `cargo bench` adds arguments of its own, and `cargo test` asks for nothing.
    let asked = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    for (name, path) in PATHS.iter().filter(|(name, _)| asked.as_ref().is_none_or(|asked| asked == name)) {
        println!("{name} {}", path());
    }
}

/// All that happens in here is counted.
#[inline(never)]
fn counted<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

fn decoding() -> usize {
    let world = World::new("");
    decode_all(&world, EVENTS)
}

fn decoding_for_rules() -> usize {
    let world = World::new(RULES);
    decode_all(&world, EVENTS)
}

fn decode_all(world: &World, count: usize) -> usize {
    let records: Vec<String> = (0..count).map(|at| envelope(at, SESSIONS)).collect();
    let round = counted(|| world.round(&records, 0));
    assert_eq!(round.entries.len(), count);
    count
}

/// Whose the sessions are, and what they may.
struct Setting {
    tenants: usize,
    role: fn(usize) -> String,
}

/// One round to sessions that are live; the second, so that nothing is made for the first time.
fn live(setting: &Setting, events: usize) -> usize {
    let mut world = World::new(RULES);
    world.open(setting);
    for (turn, from) in [0, events].into_iter().enumerate() {
        let records: Vec<String> = (from..from + events).map(|at| envelope(at, setting.tenants)).collect();
        let round = Arc::new(world.round(&records, from as i64));
        let work = || world.input(Input::Rounds(vec![round]));
        if turn == 0 {
            work();
        } else {
            counted(work);
        }
        world.written();
    }
    events
}

/// Every session reports a batch.
fn reporting() -> usize {
    let mut world = World::new("");
    world.open(&Setting { tenants: 1, role: |_| "clerk".into() });
    let records: Vec<String> = (0..8).map(|at| envelope(at, 1)).collect();
    world.input(Input::Rounds(vec![Arc::new(world.round(&records, 0))]));
    let (view, seq) = world.written().expect("a batch");
    let at = |ordinal| Position { seq, ordinal };
    let settled = vec![Span { first: at(0), last: at(7) }];
    let views = vec![ViewReport { view, dispatched: Some(seq), settled, ..ViewReport::default() }];
    let text = ClientFrame::Report(Report { views }).encode();
    let sessions: Vec<SessionKey> = world.sessions.iter().map(|(key, _)| *key).collect();
    counted(|| {
        for key in sessions {
            let frame = ClientFrame::decode(&text).expect("valid").expect("known");
            world.input(Input::Frame(key, frame));
        }
    });
    SESSIONS
}

const RULES: &str = r#"
[[grants]]
role = "own"
allow = ["subscribe"]
topics = ["orders"]
where = "event.data.user == claims.sub"
"#;

/// A shard with its sessions, and what stands in for the rest of the bridge.
struct World {
    shard: Shard,
    spec: TopicSpec,
    sessions: Vec<(SessionKey, Rc<RefCell<Outbox>>)>,
}

#[derive(Debug)]
struct NoHeaders;

impl Headers for NoHeaders {
    fn visit<'h>(&'h self, _: &mut dyn FnMut(&'h str, Option<&'h [u8]>) -> bool) {}
}

impl World {
    fn new(rules: &str) -> Self {
        let over = |at: usize| {
            format!(
                "[[grants]]\nrole = 'over-{at}'\nallow = ['subscribe']\ntopics = ['orders']\nwhere = 'event.data.order >= {at}'\n"
            )
        };
        let conditions: String = if rules.is_empty() { String::new() } else { (0..10).map(over).collect() };
        let text = format!(
            "[log.sqlite]\npath = 'none'\n[tokens]\nalgorithms = ['HS256']\nsecret = '{}'\n\
             [topics.orders]\ntenant.from = 'envelope'\n\
             [[grants]]\nrole = 'clerk'\nallow = ['subscribe']\ntopics = ['orders']\n{rules}{conditions}",
            "x".repeat(43)
        );
        let config = match config::parse(&text, "tidegate.toml", std::iter::empty()) {
            Ok(loaded) => loaded.config,
            Err(problems) => panic!("{problems}"),
        };
        let policy = Arc::new(config.policy());
        let topics = Arc::new(TopicTable::new(Arc::clone(&config.topics), Arc::clone(&policy), 1 << 20));
        let spec = topics.spec("orders").expect("configured");
        let rate = Rate { per_second: 1 << 30, burst: 1 << 30 };
        let options = Options {
            node: "bench".into(),
            shard: (0, 1),
            limits: Limits {
                credit: 256 << 10,
                unsettled: 10_000,
                frame_bytes: 1 << 20,
                event_bytes: 1 << 20,
                subscriptions: 64,
            },
            outbox_bytes: 1 << 20,
            heartbeat_interval: 25_000,
            heartbeat_timeout: 8_000,
            skew: 0,
            window_bytes: 64 << 20,
            publish_events: rate,
            publish_bytes: rate,
            revocations: Arc::new(Revocations::default()),
            accounts: Accounts::unlimited(),
        };
        let sealer = Sealer::new(vec![MasterKey::new([7; 32])], [1; 16]);
        Self { shard: Shard::new(options, Rules { policy, topics }, sealer), spec, sessions: Vec::new() }
    }

    fn round(&self, records: &[String], first: i64) -> Round {
        let mut round = Round::default();
        for (record, offset) in records.iter().zip(first..) {
            let record = Record {
                partition: 0,
                offset,
                timestamp: Some(0),
                key: Some(b"order/1234"),
                value: Some(record.as_bytes()),
                headers: &NoHeaders,
            };
            assert!(matches!(decode(&self.spec, TOPIC, &record, &mut round), Decoded::Event));
            round.reach(TOPIC, 0, offset + 1);
        }
        round
    }

    /// Sessions that are live.
    fn open(&mut self, setting: &Setting) {
        for at in 0..SESSIONS {
            let principal = Principal {
                tenant: format!("tenant-{}", at % setting.tenants).into(),
                subject: format!("user-{at}").into(),
                roles: Arc::new([(setting.role)(at).into()]),
                issued_at: None,
                expires: i64::MAX / 2,
                ends: i64::MAX / 2,
                token_id: None,
                claims: serde_json::Map::from_iter([("sub".to_owned(), format!("user-{at}").into())]).into(),
            };
            let seat = Accounts::unlimited().of(&principal.tenant, 0).seat(false, 0).expect("no limit");
            let outbox: Rc<RefCell<Outbox>> = Rc::default();
            let client = format!("client-{at}").into();
            let id = format!("s-{at}").into();
            let newcomer =
                Newcomer { seat, id, principal, client, format: Format::WebSocket, outbox: Rc::clone(&outbox) };
            let key = self.shard.open(moment(), newcomer);
            self.sessions.push((key, outbox));
            let subscribe = Subscribe {
                id: 1,
                topic: "orders".into(),
                types: Vec::new(),
                keys: Vec::new(),
                consumer: None,
                from: From::Latest,
                group_by: Vec::new(),
            };
            self.input(Input::Frame(key, ClientFrame::Subscribe(subscribe)));
            if at == 0 {
                let offsets = [(0, 0)].into_iter().collect();
                let id = Some(TopicId::default());
                self.input(Input::Followed { physical: "orders".into(), topic: TOPIC, id, offsets });
            }
        }
        self.written();
    }

    fn input(&mut self, input: Input) {
        self.shard.handle(moment(), input);
        drop(self.shard.take_effects());
    }

    /// What the sockets would take: the last batch's view and number.
    fn written(&mut self) -> Option<(u32, u64)> {
        let mut last = None;
        for (_, outbox) in &self.sessions {
            let mut outbox = outbox.borrow_mut();
            while !outbox.is_empty() {
                let bytes = outbox.take(usize::MAX);
                let text = String::from_utf8_lossy(&bytes);
                let number = |name: &str| {
                    let (_, after) = text.split_once(name)?;
                    after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
                };
                last = number("\"batch\":{\"view\":")
                    .zip(number("\"seq\":"))
                    .map(|(view, seq)| (view as u32, seq))
                    .or(last);
            }
        }
        last
    }
}

fn moment() -> Moment {
    Moment { now: 1_763_725_179_000, random: 0.5, entropy: [7; 10] }
}

/// An envelope of some 250 bytes, as a backend writes it.
fn envelope(at: usize, tenants: usize) -> String {
    const TYPES: [&str; 8] = [
        "order.created",
        "order.paid",
        "order.packed",
        "order.shipped",
        "order.delivered",
        "order.returned",
        "cart.changed",
        "stock.counted",
    ];
    let (event_type, tenant, user, order) = (TYPES[at % 8], at % tenants, at % SESSIONS, 1000 + at * 7919 % 9000);
    let id = format!("0199f3a0-4b1c-7d2e-8f00-aabbcc{at:06x}");
    format!(
        r#"{{"version":"1.0","id":"{id}","type":"{event_type}","correlation_id":"{id}","timestamp":"2026-11-21T12:00:{:02}.{:03}Z","tenant_id":"tenant-{tenant}","data":{{"user":"user-{user}","order":{order},"sent":17637251790000{at:05}}}}}"#,
        at / 1000 % 60,
        at % 1000,
    )
}

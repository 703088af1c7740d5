//! Whatever happens, in whatever order: each reader gets exactly its events, and the ledger says what became of them.

use proptest::prelude::*;
use proptest::test_runner::Config;

use super::model::{Body, Chance, User};
use super::variants;
use super::world::{WANTS, World};

#[derive(Debug, Clone)]
enum Happening {
    Append { topic: usize, partition: usize, count: usize, size: usize },
    Feed { node: usize, most: usize },
    Take { node: usize, most: usize },
    Answer { node: usize },
    Turns { node: usize, turns: usize },
    Read { client: usize, most: usize },
    Report { client: usize, whole: bool },
    Connect { client: usize, node: usize },
    Disconnect { client: usize },
    Resubscribe { client: usize, reader: usize },
    Retain { topic: usize, partition: usize, share: usize },
    Partitions { topic: usize },
    Delete { topic: usize },
    Create { topic: usize },
    Discover { node: usize },
    Tick { passed: i64 },
    Reload { node: usize, variant: usize, at_once: bool },
}

const TOPICS: [&str; 4] = ["orders", "news", "acme.audit", "globex.audit"];

fn happening() -> impl Strategy<Value = Happening> {
    use Happening as H;
    let (topic, node, client) = (0..TOPICS.len(), 0..2usize, 0..WANTS.len());
    let topics = || prop_oneof![3 => Just(0usize), 1 => topic.clone()];
    let size = prop_oneof![8 => 0..200usize, 1 => 10_000..30_000usize, 1 => Just(70_000usize)];
    prop_oneof![
        12 => (topics(), 0..3usize, 1..12usize, size).prop_map(|(topic, partition, count, size)| H::Append { topic, partition, count, size }),
        10 => (node.clone(), 1..30usize).prop_map(|(node, most)| H::Feed { node, most }),
        10 => (node.clone(), 1..4usize).prop_map(|(node, most)| H::Take { node, most }),
        8 => node.clone().prop_map(|node| H::Answer { node }),
        8 => (node.clone(), 1..6usize).prop_map(|(node, turns)| H::Turns { node, turns }),
        10 => (client.clone(), 1..6usize).prop_map(|(client, most)| H::Read { client, most }),
        8 => (client.clone(), any::<bool>()).prop_map(|(client, whole)| H::Report { client, whole }),
        8 => (client.clone(), node.clone()).prop_map(|(client, node)| H::Connect { client, node }),
        4 => client.clone().prop_map(|client| H::Disconnect { client }),
        2 => (client, 0..2usize).prop_map(|(client, reader)| H::Resubscribe { client, reader }),
        2 => (topics(), 0..3usize, 1..5usize).prop_map(|(topic, partition, share)| H::Retain { topic, partition, share }),
        1 => topics().prop_map(|topic| H::Partitions { topic }),
        1 => topics().prop_map(|topic| H::Delete { topic }),
        1 => topics().prop_map(|topic| H::Create { topic }),
        2 => node.clone().prop_map(|node| H::Discover { node }),
        5 => (node, 0..variants::COUNT, any::<bool>()).prop_map(|(node, variant, at_once)| H::Reload { node, variant, at_once }),
        2 => prop_oneof![5 => 10..500i64, 1 => 5_000..40_000i64, 1 => Just(70_000i64)].prop_map(|passed| H::Tick { passed }),
    ]
}

fn happen(world: &mut World, happening: &Happening) {
    match *happening {
        Happening::Append { topic, partition, count, size } => {
            for _ in 0..count {
                append(world, TOPICS[topic], partition, size);
            }
        }
        Happening::Feed { node, most } => world.feed(node, most),
        Happening::Take { node, most } => world.take(node, most),
        Happening::Answer { node } => world.answer(node),
        Happening::Turns { node, turns } => world.turns(node, turns),
        Happening::Read { client, most } => world.read(client, most),
        Happening::Report { client, whole } => world.report(client, whole),
        Happening::Connect { client, node } => world.connect(client, node),
        Happening::Disconnect { client } => world.disconnect(client),
        Happening::Resubscribe { client, reader } => world.resubscribe(client, reader),
        Happening::Retain { topic, partition, share } => world.log.retain(TOPICS[topic], partition, share),
        Happening::Partitions { topic } => {
            if let Some(topic) = world.log.topics.get_mut(TOPICS[topic]).filter(|t| t.exists && t.partitions.len() < 4)
            {
                topic.partitions.push(super::model::Partition::default());
            }
        }
        Happening::Delete { topic } => world.delete(TOPICS[topic]),
        Happening::Create { topic } => {
            if world.log.topics.get(TOPICS[topic]).is_none_or(|topic| !topic.exists) {
                world.log.create(TOPICS[topic], 1 + topic % 2);
            }
        }
        Happening::Discover { node } => world.discover(node),
        Happening::Tick { passed } => world.tick(passed),
        Happening::Reload { node, variant, at_once } => {
            world.reload(node, variant);
            if at_once {
                world.take(node, usize::MAX);
                world.turns(node, 100);
            }
        }
    }
}

fn append(world: &mut World, name: &str, partition: usize, size: usize) {
    if !world.log.topics.get(name).is_some_and(|topic| topic.exists) {
        return;
    }
    let kinds = if name == "news" {
        ["news.flash", "news.calm", "news.calm"]
    } else {
        ["order.created", "order.paid", "order.shipped"]
    };
    let kind = kinds[world.chance.below(3)];
    let tenant = match name {
        "news" => "",
        "orders" => ["acme", "globex", "initech"][world.chance.below(3)],
        other => ["acme", "globex"].into_iter().find(|tenant| other.starts_with(tenant)).unwrap(),
    };
    let gap = if world.chance.once_in(4) { world.chance.below(5) as i64 } else { 0 };
    let body = body(&mut world.chance);
    world.log.append(name, partition, tenant, kind, (size, gap), body);
}

fn body(chance: &mut Chance) -> Body {
    let name = ["user-1", "user-5", "user-6", "ada"][chance.below(4)];
    let user = match chance.below(10) {
        0 => User::Number,
        1 => User::Missing,
        2 => User::Twice(name),
        3 => User::Escaped(name),
        _ => User::Is(name),
    };
    let region = [Some("eu"), Some("us"), Some("asia"), None][chance.below(4)];
    Body { user, region, amount: chance.below(12) as i64, key: ["k1", "k2", "k3", ""][chance.below(4)] }
}

/// How often; `PROPTEST_CASES` for more.
pub fn config(cases: u32) -> Config {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    Config { cases: asked.unwrap_or(cases), failure_persistence: None, max_shrink_iters: 4_000, ..Config::default() }
}

fn play(seed: u64, (credit, unsettled, window): (u64, u64, usize), happenings: &[Happening]) {
    let mut world = World::new(seed, credit, unsettled, window);
    for happening in happenings {
        if super::world::LOUD.get() {
            println!("-- {happening:?}");
        }
        happen(&mut world, happening);
        world.check_ledger();
    }
    world.rest();
}

proptest! {
    #![proptest_config(config(96))]

    #[test]
    fn every_reader_gets_exactly_its_events(
        seed: u64,
        credit in prop_oneof![Just(600u64), Just(20_000), Just(262_144)],
        unsettled in prop_oneof![Just(7u64), Just(10_000)],
        window in prop_oneof![Just(0usize), Just(4_000), Just(1 << 20)],
        happenings in prop::collection::vec(happening(), 1..160),
    ) {
        play(seed, (credit, unsettled, window), &happenings);
    }
}

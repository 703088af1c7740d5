//! A node of a case: a shard, and what stands in for its feed, its catching up and its tokens.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use futures_util::FutureExt as _;
use tidegate::config::{self, Config};
use tidegate::cursor::{MasterKey, Sealer};
use tidegate::fanout::{Effect, HistoryKey, Input, Options, Rules, Shard};
use tidegate::feed::catch_up::History;
use tidegate::feed::{Round, TopicSpec, TopicTable};
use tidegate_gate::{Principal, Rate, TokenError, Tokens};
use tidegate_log::{Offsets, TopicKey};
use tidegate_protocol::frame::Limits;

use super::chance::Chance;
use super::log::{self, Log};
use super::setting::Setting;

/// A setting, and what the bridge makes of its configuration.
pub struct Built {
    pub setting: Setting,
    table: TopicTable,
    rules: Rules,
    tokens: Tokens,
}

impl Built {
    pub fn new(setting: Setting) -> Self {
        let text = setting.configuration();
        let loaded = config::parse(&text, "tidegate.toml", std::iter::empty());
        let config: Config = loaded.unwrap_or_else(|problems| panic!("{problems}\n{text}")).config;
        let policy = Arc::new(config.policy());
        let table = TopicTable::new((*config.topics).clone(), Arc::clone(&policy), 1 << 20);
        let rules = Rules { policy, forms: Arc::new(table.publish_forms()) };
        let tokens = Tokens::new((*config.tokens).clone()).expect("keys");
        Self { setting, table, rules, tokens }
    }

    /// Whom a token speaks for.
    pub fn verify(&self, token: &str, now: i64) -> Result<Principal, TokenError> {
        self.tokens.verify(token, now).now_or_never().expect("a secret is at hand")
    }
}

pub struct Node {
    pub shard: Shard,
    followed: BTreeMap<String, Followed>,
    next: u32,
    /// What the feed has told and the shard has not taken yet.
    told: VecDeque<Input>,
    /// What the shard has asked and nobody has answered yet.
    pub asked: Vec<Effect>,
}

struct Followed {
    key: TopicKey,
    spec: TopicSpec,
    offsets: Offsets,
}

/// How narrow a node is.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    pub credit: u64,
    pub window: usize,
}

pub fn sealer(incarnation: u8) -> Sealer {
    Sealer::new(vec![MasterKey::new([7; 32])], [incarnation; 16])
}

impl Node {
    pub fn new(built: &Built, number: u8, room: Room) -> Self {
        let options = Options {
            node: format!("node-{number}").into(),
            shard: (0, 1),
            limits: Limits {
                credit: room.credit,
                unsettled: 10_000,
                frame_bytes: 1 << 20,
                event_bytes: 1 << 20,
                subscriptions: 64,
            },
            outbox_bytes: 1 << 20,
            heartbeat_interval: 25_000,
            heartbeat_timeout: 8_000,
            skew: 0,
            window_bytes: room.window,
            publish_events: Rate { per_second: 10_000, burst: 10_000 },
            publish_bytes: Rate { per_second: 1 << 30, burst: 1 << 30 },
            revocations: Arc::default(),
        };
        let shard = Shard::new(options, built.rules.clone(), sealer(number));
        Self { shard, followed: BTreeMap::new(), next: 0, told: VecDeque::new(), asked: Vec::new() }
    }

    /// The shard wants a topic followed: from its end, as the feed knows it.
    pub fn follow(&mut self, built: &Built, log: &Log, physical: &Arc<str>) {
        let followed = self.followed.entry(physical.to_string()).or_insert_with(|| {
            self.next += 1;
            let spec = built.table.spec(physical);
            let spec = spec.unwrap_or_else(|| panic!("{physical} is no topic, but is to be followed"));
            Followed { key: TopicKey(self.next), spec, offsets: log.ends(physical) }
        });
        let id = log.topics.get(&**physical).map(|topic| topic.id);
        let (topic, offsets) = (followed.key, followed.offsets.clone());
        self.told.push_back(Input::Followed { physical: Arc::clone(physical), topic, id, offsets });
    }

    /// Nobody of the shard wants it any more.
    pub fn unfollow(&mut self, topic: TopicKey) {
        self.followed.retain(|_, followed| followed.key != topic);
    }

    /// The feed reads at most so many records of each partition.
    pub fn feed(&mut self, log: &Log, most: usize) {
        let mut round = Round::default();
        for (physical, Followed { key, spec, offsets }) in &mut self.followed {
            for (partition, end) in log.ends(physical) {
                let from = offsets.get_mut(&partition).expect("a partition");
                if *from < end {
                    *from = log::read((log, spec, *key), partition, *from, end, most, &mut round);
                    round.reach(*key, partition, *from);
                }
            }
        }
        if !round.is_empty() {
            self.told.push_back(Input::Round(Arc::new(round)));
        }
    }

    /// The next thing that the feed has told.
    pub fn take(&mut self) -> Option<Input> {
        self.told.pop_front()
    }
}

/// A part of history, as catching up reads it.
pub fn history(built: &Built, log: &Log, key: HistoryKey, chance: &mut Chance) -> Input {
    let part = &key.part;
    let spec = &built.table.spec(&part.physical).expect("a topic");
    let mut round = Round::default();
    let most = 1 + chance.below(12);
    let next = log::read((log, spec, part.topic), part.partition, part.from, part.until, most, &mut round);
    Input::History(key, Ok(History { round: Arc::new(round), next }))
}

//! A node of a case: a shard, and what stands in for its feed, its catching up and its tokens.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use futures_util::FutureExt as _;
use tidegate::config::{self, Config};
use tidegate::cursor::{MasterKey, Sealer};
use tidegate::fanout::{Effect, HistoryKey, Input, Moment, Options, Renewal, Rules, Shard};
use tidegate::feed::catch_up::History;
use tidegate::feed::{Round, TopicSpec, TopicTable};
use tidegate_gate::{Accounts, Principal, Rate, Revocations, TokenError, TokenOptions, Tokens, Verifier};
use tidegate_log::{Offsets, TopicKey};
use tidegate_protocol::frame::Limits;

use super::chance::Chance;
use super::log::{self, Log};
use super::setting::Setting;

/// A setting, and what the bridge makes of its configuration.
pub struct Built {
    pub setting: Setting,
    rules: Rules,
    tokens: TokenOptions,
}

impl Built {
    pub fn new(setting: Setting) -> Self {
        let text = setting.configuration();
        let loaded = config::parse(&text, "tidegate.toml", std::iter::empty());
        let config: Config = loaded.unwrap_or_else(|problems| panic!("{problems}\n{text}")).config;
        let policy = Arc::new(config.policy());
        let topics = Arc::new(TopicTable::new(Arc::clone(&config.topics), Arc::clone(&policy), 1 << 20));
        Self { setting, rules: Rules { policy, topics }, tokens: (*config.tokens).clone() }
    }

    /// Who verifies tokens.
    pub fn verifier(&self, revocations: Arc<Revocations>) -> Verifier {
        Verifier::new(Tokens::new(self.tokens.clone()).expect("keys"), revocations)
    }
}

/// Whom a token speaks for.
pub fn verify(verifier: &Verifier, token: &str, now: i64) -> Result<Principal, TokenError> {
    verifier.verify(token, now).now_or_never().expect("a secret is at hand")
}

/// What the feed tells its shard.
pub enum Told {
    Input(Input),
    /// The setting of this number applies to what follows.
    Rules(usize),
}

pub struct Node {
    pub shard: Shard,
    followed: BTreeMap<String, Followed>,
    next: u32,
    /// What the feed has told and the shard has not taken yet.
    told: VecDeque<Told>,
    /// What the shard has asked and nobody has answered yet.
    pub asked: Vec<Effect>,
    /// The setting that the shard goes by, and the one that the feed reads by.
    pub setting: usize,
    reads_by: usize,
    options: Options,
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
    pub fn new(built: &Built, number: u8, room: Room, revocations: &Arc<Revocations>) -> Self {
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
            revocations: Arc::clone(revocations),
            accounts: Accounts::unlimited(),
        };
        let shard = Shard::new(options.clone(), built.rules.clone(), sealer(number));
        Self {
            shard,
            followed: BTreeMap::new(),
            next: 0,
            told: VecDeque::new(),
            asked: Vec::new(),
            setting: 0,
            reads_by: 0,
            options,
        }
    }

    /// Another setting, from here on in what is read.
    pub fn reload(&mut self, builts: &[Built], setting: usize) {
        self.reads_by = setting;
        self.told.push_back(Told::Rules(setting));
        let topics = &builts[setting].rules.topics;
        self.followed.retain(|physical, followed| {
            let spec = topics.spec(physical);
            let kept = spec.is_some();
            followed.spec = spec.unwrap_or_else(|| followed.spec.clone());
            kept
        });
    }

    /// The shard goes by another setting.
    pub fn renew(&mut self, moment: Moment, builts: &[Built], setting: usize) {
        self.setting = setting;
        let (told, _) = tokio::sync::mpsc::channel(1);
        let renewal = Renewal { rules: builts[setting].rules.clone(), options: self.options.clone(), told };
        self.shard.renew(moment, &renewal);
    }

    /// The shard wants a topic followed: from its end, as the feed knows it.
    pub fn follow(&mut self, builts: &[Built], log: &Log, physical: &Arc<str>) {
        // What the feed does not know any more it says nothing about.
        let Some(spec) = builts[self.reads_by].rules.topics.spec(physical) else { return };
        let followed = self.followed.entry(physical.to_string()).or_insert_with(|| {
            self.next += 1;
            Followed { key: TopicKey(self.next), spec, offsets: log.ends(physical) }
        });
        let id = log.topics.get(&**physical).map(|topic| topic.id);
        let (topic, offsets) = (followed.key, followed.offsets.clone());
        let followed = Input::Followed { physical: Arc::clone(physical), topic, id, offsets };
        self.told.push_back(Told::Input(followed));
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
            match self.told.back_mut() {
                // Rounds that wait are handled together, now and then.
                Some(Told::Input(Input::Rounds(rounds))) if most.is_multiple_of(2) => rounds.push(Arc::new(round)),
                _ => self.told.push_back(Told::Input(Input::Rounds(vec![Arc::new(round)]))),
            }
        }
    }

    /// The next thing that the feed has told.
    pub fn take(&mut self) -> Option<Told> {
        self.told.pop_front()
    }
}

/// A part of history, as catching up reads it.
pub fn history(log: &Log, key: HistoryKey, chance: &mut Chance) -> Input {
    let part = &key.part;
    let mut round = Round::default();
    let most = 1 + chance.below(12);
    let next = log::read((log, &part.spec, part.topic), part.partition, part.from, part.until, most, &mut round);
    Input::History(key, Ok(History { round: Arc::new(round), next, bytes: 0 }))
}

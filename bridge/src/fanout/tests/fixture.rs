//! What the tests of the shard are set up with.

use std::sync::Arc;

use tidegate_gate::{Accounts, Action, Grant, Policy, Positions, Principal, Rate, Seat, Tenants, TopicRule};
use tidegate_log::Offsets;
use tidegate_protocol::frame::Limits;

use crate::config;
use crate::cursor::{MasterKey, Sealer};
use crate::fanout::{Options, Rules};
use crate::feed::TopicTable;

pub const NOW: i64 = 1_800_000_000_000;

pub fn options(node: u32) -> Options {
    Options {
        node: format!("node-{node}").into(),
        shard: (0, 1),
        limits: Limits {
            credit: 262_144,
            unsettled: 10_000,
            frame_bytes: 1 << 20,
            event_bytes: 1 << 20,
            subscriptions: 8,
        },
        outbox_bytes: 1 << 20,
        heartbeat_interval: 25_000,
        heartbeat_timeout: 8_000,
        skew: 30_000,
        window_bytes: 1 << 20,
        publish_events: Rate { per_second: 10, burst: 20 },
        publish_bytes: Rate { per_second: 1 << 20, burst: 1 << 20 },
        accounts: Accounts::unlimited(),
        revocations: Arc::default(),
    }
}

/// What holders of a role see, and publish; the rest see and publish all.
fn condition(role: &str) -> Option<&'static str> {
    match role {
        "clerk" => Some("event.data.user == claims.sub"),
        "desk" => Some("event.data.region in claims.regions && event.data.amount > 5"),
        "mixed" => Some("event.data.user == claims.sub || (key == claims.desk && event.type != 'order.paid')"),
        "auditor" => Some("event.data.amount > 5"),
        "caller" => Some("key == 'acme'"),
        _ => None,
    }
}

/// `orders` is shared by tenants, `audit` is each tenant's own, `news` is public.
pub fn rules() -> Rules {
    with(topics(), grants())
}

/// The topics, as the policy knows them.
pub fn topics() -> [TopicRule; 4] {
    let topic = |name: &str, physical: &str, public| TopicRule {
        name: name.into(),
        physical: physical.parse().unwrap(),
        public,
        publishable: !public,
    };
    [
        topic("orders", "orders", false),
        topic("audit", "{tenant}.audit", false),
        topic("news", "news", true),
        topic("keyed", "{tenant}.keyed", false),
    ]
}

/// What each role may do, on all topics.
pub fn grants() -> Vec<Grant> {
    vec![
        grant("reader", &[Action::Subscribe]),
        grant("writer", &[Action::Publish]),
        grant("clerk", &[Action::Subscribe, Action::Publish]),
        grant("desk", &[Action::Subscribe]),
        grant("mixed", &[Action::Subscribe]),
        grant("auditor", &[Action::Subscribe]),
        grant("caller", &[Action::Publish]),
        grant("replayer", &[Action::Replay]),
        grant("observer", &[Action::Observe]),
        grant("operator", &[Action::Observe, Action::Publish]),
    ]
}

/// What a role is allowed on all topics.
pub fn grant(role: &str, allow: &[Action]) -> Grant {
    let operator = role == "operator";
    Grant {
        role: role.into(),
        allow: allow.to_vec(),
        topics: vec!["*".parse().unwrap()],
        tenants: if operator { Tenants::All } else { Tenants::Own },
        positions: if operator { Positions::Raw } else { Positions::Hidden },
        condition: condition(role).map(|condition| Arc::new(condition.parse().unwrap())),
        origin: "".into(),
    }
}

/// The rules of these topics and grants.
pub fn with(topics: impl IntoIterator<Item = TopicRule>, grants: impl IntoIterator<Item = Grant>) -> Rules {
    lying(TOPICS, topics, grants)
}

/// The rules of these topics and grants, with topics that lie on the log as this part of a configuration says.
pub fn lying(
    configuration: &str,
    topics: impl IntoIterator<Item = TopicRule>,
    grants: impl IntoIterator<Item = Grant>,
) -> Rules {
    let policy = Arc::new(Policy::new(topics, grants));
    Rules { topics: Arc::new(TopicTable::new(configured(configuration), Arc::clone(&policy), 1 << 20)), policy }
}

/// How the topics lie on the log.
pub const TOPICS: &str = r#"
[topics.orders]
tenant.header = "owner"
key = "tenant/key"
[topics.audit]
physical = "{tenant}.audit"
[topics.news]
public = true
[topics.keyed]
physical = "{tenant}.keyed"
tenant.from = "key"
"#;

/// Topics, of their part of a configuration.
pub fn configured(topics: &str) -> Arc<config::Topics> {
    let rest =
        "[log]\nkind = 'sqlite'\n[tokens]\nalgorithms = ['HS256']\nsecret = '12345678901234567890123456789012'\n";
    let loaded = config::parse(&format!("{rest}{topics}"), "tidegate.toml", std::iter::empty());
    loaded.unwrap_or_else(|problems| panic!("{problems}")).config.topics
}

pub fn principal(tenant: &str, subject: &str, roles: &[&str]) -> Principal {
    Principal {
        tenant: tenant.into(),
        subject: subject.into(),
        roles: roles.iter().map(|role| Arc::from(*role)).collect(),
        issued_at: None,
        expires: NOW + 1_000_000_000,
        ends: NOW + 1_000_030_000,
        token_id: None,
        claims: serde_json::Map::from_iter([
            ("sub".to_owned(), subject.into()),
            ("regions".to_owned(), vec!["eu", "us"].into()),
            ("desk".to_owned(), "k1".into()),
        ])
        .into(),
    }
}

/// Room for a session of a tenant without limits.
pub fn seat(tenant: &str) -> Seat {
    Accounts::unlimited().of(&tenant.into(), NOW).seat(false, NOW).unwrap()
}

pub fn sealer(incarnation: u8) -> Sealer {
    Sealer::new(vec![MasterKey::new([7; 32])], [incarnation; 16])
}

/// Opens a cursor, as no client can.
pub fn open(token: &str) -> Offsets {
    sealer(99).open(token).unwrap().offsets
}

//! The policy and the decision, against a reference that is written in another way.

use std::sync::Arc;

use proptest::prelude::*;
use tidegate_gate::{
    Action, Claims, Denied, Facts, Grant, Policy, Positions, Principal, Tenants, TopicPattern, TopicRule,
};

const TOPICS: [(&str, &str, bool); 5] = [
    ("orders", "{tenant}.orders", false),
    ("orders.eu", "{tenant}.orders.eu", false),
    ("carts", "shop.carts", false),
    ("news", "news", true),
    ("orders_audit", "audit", false),
];
const TENANTS: [&str; 3] = ["acme", "Acme", "globex"];
const ROLES: [&str; 3] = ["clerk", "viewer", "operator"];
const PATTERNS: [&str; 6] = ["*", "orders", "orders.*", "carts", "news", "no.such.topic"];

fn policy(grants: Vec<Grant>) -> Policy {
    let rule = |(name, physical, public): (&str, &str, bool)| TopicRule {
        name: name.into(),
        physical: physical.parse().unwrap(),
        public,
        publishable: name != "orders_audit",
    };
    Policy::new(TOPICS.map(rule), grants)
}

fn principal(tenant: &str, roles: &[&str]) -> Principal {
    Principal {
        tenant: tenant.into(),
        subject: "ada".into(),
        roles: roles.iter().map(|role| Arc::<str>::from(*role)).collect(),
        issued_at: None,
        expires: i64::MAX,
        ends: i64::MAX,
        token_id: None,
        claims: Claims::default(),
    }
}

fn grant(role: &str, allow: &[Action], topics: &[&str]) -> Grant {
    Grant {
        role: role.into(),
        allow: allow.to_vec(),
        topics: topics.iter().map(|pattern| pattern.parse().unwrap()).collect(),
        tenants: Tenants::Own,
        positions: Positions::Hidden,
        condition: None,
        origin: "".into(),
    }
}

struct Event<'a>(&'a str, &'a str);

impl Facts for Event<'_> {
    fn topic(&self) -> &str {
        self.0
    }

    fn tenant(&self) -> &str {
        self.1
    }
}

#[test]
fn nothing_is_allowed_without_a_grant() {
    let policy = policy(Vec::new());
    let nobody = principal("acme", &ROLES);
    for (topic, ..) in TOPICS {
        for action in Action::ALL {
            assert!(!policy.may(&nobody, action, topic));
        }
    }
    assert!(policy.observe(&nobody).is_none());
}

#[test]
fn what_is_not_there_and_what_is_not_granted_look_alike() {
    let policy = policy(vec![grant("clerk", &[Action::Subscribe], &["carts"]), grant("any", &Action::ALL, &["*"])]);
    let clerk = principal("acme", &["clerk"]);
    let all = principal("acme", &["any"]);
    assert_eq!(policy.subscribe(&clerk, "orders").unwrap_err(), Denied);
    assert_eq!(policy.subscribe(&clerk, "no_such_topic").unwrap_err(), Denied);
    for name in ["no_such_topic", "$ledger", "_tidegate.consumers", "", "acme.orders", "ORDERS", "*"] {
        assert_eq!(policy.subscribe(&all, name).unwrap_err(), Denied, "{name}");
        assert_eq!(policy.offer(&all, name).unwrap_err(), Denied, "{name}");
    }
}

#[test]
fn publish_is_bound_to_the_token() {
    let policy = policy(vec![grant("clerk", &[Action::Publish], &["*"])]);
    let offer = policy.offer(&principal("acme", &["clerk"]), "orders").unwrap();
    let access = offer.admit(&Event("", "acme")).unwrap();
    assert_eq!((&**access.physical(), &**access.tenant(), &**access.subject()), ("acme.orders", "acme", "ada"));
    let closed = policy.offer(&principal("acme", &["clerk"]), "orders_audit");
    assert_eq!(closed, Err(Denied), "a topic that is not publishable is not, whatever grants say");
}

#[test]
fn observe_shows_rows_of_the_granted_topics_and_tenants() {
    let own = grant("viewer", &[Action::Observe], &["orders"]);
    let all = Grant { tenants: Tenants::All, ..grant("operator", &[Action::Observe], &["carts"]) };
    let policy = policy(vec![own, all]);
    let viewer = policy.observe(&principal("acme", &["viewer"])).unwrap();
    assert!(viewer.sees("acme", "orders") && !viewer.all_tenants());
    assert!(!viewer.sees("globex", "orders") && !viewer.sees("acme", "carts"));
    let both = policy.observe(&principal("acme", &["viewer", "operator"])).unwrap();
    assert!(both.sees("globex", "carts") && both.sees("acme", "orders") && !both.sees("globex", "orders"));
    assert!(policy.observe(&principal("acme", &["clerk"])).is_none());
}

#[test]
fn positions_are_raw_only_where_a_grant_says_so() {
    let raw = Grant { positions: Positions::Raw, ..grant("operator", &[Action::Subscribe], &["carts"]) };
    let policy = policy(vec![raw, grant("operator", &[Action::Subscribe], &["*"])]);
    let operator = principal("acme", &["operator"]);
    assert_eq!(policy.positions(&operator, "carts"), Positions::Raw);
    assert_eq!(policy.positions(&operator, "orders"), Positions::Hidden);
}

fn any_grant() -> impl Strategy<Value = Grant> {
    let roles = prop::sample::select(&ROLES[..]);
    let actions = prop::sample::subsequence(Action::ALL.to_vec(), 0..=3);
    let patterns = prop::sample::subsequence(PATTERNS.to_vec(), 0..=2);
    (roles, actions, patterns).prop_map(|(role, allow, topics)| grant(role, &allow, &topics))
}

/// Whether some grant allows it, said without the policy's own code.
fn reference(grants: &[Grant], roles: &[&str], action: Action, topic: &str) -> bool {
    grants.iter().any(|grant| {
        let speaks = |pattern: &TopicPattern| match &*pattern.to_string() {
            "*" => true,
            text => text == topic || text.strip_suffix('*').is_some_and(|words| topic.starts_with(words)),
        };
        roles.contains(&&*grant.role) && grant.allow.contains(&action) && grant.topics.iter().any(speaks)
    })
}

proptest! {
    #[test]
    fn agrees_with_the_reference(
        grants in prop::collection::vec(any_grant(), 0..6),
        roles in prop::sample::subsequence(ROLES.to_vec(), 0..=3),
        tenant in prop::sample::select(&TENANTS[..]),
        asked in prop::sample::select(&TOPICS[..]),
    ) {
        let policy = policy(grants.clone());
        let who = principal(tenant, &roles);
        let (topic, physical, public) = asked;
        for action in Action::ALL {
            let possible = action != Action::Publish || topic != "orders_audit";
            prop_assert_eq!(policy.may(&who, action, topic), possible && reference(&grants, &roles, action, topic));
        }
        let Ok(access) = policy.subscribe(&who, topic) else {
            prop_assert!(!reference(&grants, &roles, Action::Subscribe, topic));
            return Ok(());
        };
        prop_assert!(reference(&grants, &roles, Action::Subscribe, topic));
        // Of all events of all tenants on all topics, exactly the own ones of this topic come through.
        for (_, on, _) in TOPICS {
            for of in TENANTS {
                let on = on.replace("{tenant}", of);
                let expected = on == physical.replace("{tenant}", tenant) && (public || of == tenant);
                prop_assert_eq!(access.admit(&Event(&on, of)).is_ok(), expected, "{} of {}", on, of);
            }
        }
    }

    #[test]
    fn more_grants_never_take_anything_away(
        grants in prop::collection::vec(any_grant(), 0..5), more in any_grant(),
        action in prop::sample::select(Action::ALL.to_vec()), asked in prop::sample::select(&TOPICS[..]),
    ) {
        let who = principal("acme", &ROLES);
        let before = policy(grants.clone()).may(&who, action, asked.0);
        let after = policy([grants, vec![more]].concat()).may(&who, action, asked.0);
        prop_assert!(after || !before);
    }
}

#[test]
fn the_order_of_grants_says_nothing() {
    let conditional = |source: &str| Grant {
        condition: Some(Arc::new(source.parse().unwrap())),
        ..grant("clerk", &[Action::Subscribe], &["orders"])
    };
    let (one, other) = (conditional("event.type == 'a.b'"), conditional("event.data.user == 'ada'"));
    let clerk = principal("acme", &["clerk"]);
    let access = |grants| policy(grants).subscribe(&clerk, "orders").unwrap();
    assert_eq!(access(vec![one.clone(), other.clone()]), access(vec![other, one]));
}

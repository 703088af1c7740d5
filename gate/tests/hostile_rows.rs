//! What an event may hold so that two readers of it could disagree: none of it gets past a condition.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use tidegate_gate::{
    Action, Condition, Content, Extracted, Facts, Grant, Header, Headers, IndexPlan, Path, Policy, Positions,
    Principal, Tenants, TopicRule, Withheld,
};

struct Event<'a>(Content<'a>);

impl Facts for Event<'_> {
    fn topic(&self) -> &'static str {
        "orders"
    }

    fn tenant(&self) -> &'static str {
        "acme"
    }

    fn content(&self) -> Option<&Content<'_>> {
        Some(&self.0)
    }
}

fn access(condition: &str, claims: &serde_json::Value) -> Option<tidegate_gate::Access> {
    let topic =
        TopicRule { name: "orders".into(), physical: "orders".parse().unwrap(), public: false, publishable: true };
    let grant = Grant {
        role: "clerk".into(),
        allow: vec![Action::Subscribe],
        topics: vec!["orders".parse().unwrap()],
        tenants: Tenants::Own,
        positions: Positions::Hidden,
        condition: Some(Arc::new(condition.parse::<Condition>().unwrap_or_else(|bad| panic!("{condition}: {bad}")))),
        origin: "here:1".into(),
    };
    let principal = Principal {
        tenant: "acme".into(),
        subject: "ada".into(),
        roles: ["clerk".into()].into(),
        issued_at: None,
        expires: i64::MAX,
        ends: i64::MAX,
        token_id: None,
        claims: claims.as_object().unwrap().clone().into(),
    };
    Policy::new([topic], [grant]).subscribe(&principal, "orders").ok()
}

fn decide(condition: &str, claims: &serde_json::Value, event: &str) -> Result<(), Withheld> {
    let event = Event(Content::new(event, None, &(), 1_700_000_000_000));
    access(condition, claims).expect("granted").admit(&event).map(|_| ())
}

const OWN: &str = "event.data.user == claims.sub";

#[test]
fn an_object_on_the_path_that_repeats_a_member_is_withheld_and_counted() {
    let claims = json!({"sub": "ada"});
    for event in [
        r#"{"data":{"user":"ada","user":"eve"}}"#,
        r#"{"data":{"user":"eve","user":"ada"}}"#,
        r#"{"data":{"us\u0065r":"eve","user":"ada"}}"#,
        r#"{"data":{"user":"ada","\u0075\u0073\u0065\u0072":"ada"}}"#,
        r#"{"data":{"user":"ada","x":1,"x":2}}"#,
        r#"{"data":{"user":"ada"},"data":{}}"#,
        r#"{"data":{"user":"ada"},"d\u0061ta":{"user":"ada"}}"#,
    ] {
        assert_eq!(decide(OWN, &claims, event), Err(Withheld::Failed), "{event}");
        assert_eq!(decide("event.data.user.startsWith(claims.sub)", &claims, event), Err(Withheld::Failed), "{event}");
        assert_eq!(decide("!(event.data.user == 'bob')", &claims, event), Err(Withheld::Failed), "{event}");
        assert_eq!(decide("has(event.data.user)", &claims, event), Err(Withheld::Failed), "{event}");
    }
    // Beside the path it is no matter of this condition's.
    assert_eq!(decide(OWN, &claims, r#"{"data":{"user":"ada","deep":{"x":1,"x":2}},"other":{"y":1,"y":2}}"#), Ok(()));
    assert_eq!(decide(OWN, &claims, r#"{"data":{"us\u0065r":"\u0061da"}}"#), Ok(()));
}

#[test]
fn another_kind_is_another_value_by_index_and_by_evaluation() {
    let all = json!({"sub": "1", "n": 1, "none": null, "list": ["1", "ada"], "mixed": ["1", 1], "flag": true});
    let cases = [
        // Text of claims: index keys.
        (OWN, r#"{"data":{"user":"1"}}"#, Ok(())),
        (OWN, r#"{"data":{"user":1}}"#, Err(Withheld::Condition)),
        (OWN, r#"{"data":{"user":["1"]}}"#, Err(Withheld::Condition)),
        (OWN, r#"{"data":{"user":{"user":"1"}}}"#, Err(Withheld::Condition)),
        (OWN, r#"{"data":{"user":null}}"#, Err(Withheld::Condition)),
        (OWN, r#"{"data":{}}"#, Err(Withheld::Failed)),
        (OWN, r#"{"data":"1"}"#, Err(Withheld::Failed)),
        (OWN, r#"{"data":null}"#, Err(Withheld::Failed)),
        (OWN, "{}", Err(Withheld::Failed)),
        // Anything else: evaluated.
        ("event.data.user == claims.n", r#"{"data":{"user":1}}"#, Ok(())),
        ("event.data.user == claims.n", r#"{"data":{"user":1.0}}"#, Ok(())),
        ("event.data.user == claims.n", r#"{"data":{"user":"1"}}"#, Err(Withheld::Condition)),
        ("event.data.user == claims.none", r#"{"data":{"user":null}}"#, Ok(())),
        ("event.data.user == claims.none", "{}", Err(Withheld::Failed)),
        ("event.data.user in claims.list", r#"{"data":{"user":"ada"}}"#, Ok(())),
        ("event.data.user in claims.list", r#"{"data":{"user":1}}"#, Err(Withheld::Condition)),
        ("event.data.user in claims.mixed", r#"{"data":{"user":1}}"#, Ok(())),
        ("event.data.user in claims.sub || true", "{}", Ok(())),
        // Whole numbers beyond 64 bits would be rounded.
        ("event.n == 1e30 || event.n > 5", r#"{"n":99999999999999999999999}"#, Err(Withheld::Failed)),
        ("event.n == claims.n", r#"{"n":18446744073709551617}"#, Err(Withheld::Failed)),
        ("event.n > 9007199254740992.0", r#"{"n":9007199254740993}"#, Ok(())),
        ("event.n == 9007199254740992.0", r#"{"n":9007199254740993}"#, Err(Withheld::Condition)),
        ("event.n * 2 > 0", r#"{"n":9223372036854775807}"#, Err(Withheld::Failed)),
        ("event.n / 0 == 0", r#"{"n":1}"#, Err(Withheld::Failed)),
        // Time.
        ("now - timestamp(event.timestamp) < duration('24h')", r#"{"timestamp":"2023-11-14T22:00:00Z"}"#, Ok(())),
        (
            "now - timestamp(event.timestamp) < duration('1m')",
            r#"{"timestamp":"2023-11-14T22:00:00Z"}"#,
            Err(Withheld::Condition),
        ),
        ("now - timestamp(event.timestamp) < duration('1m')", r#"{"timestamp":"soon"}"#, Err(Withheld::Failed)),
    ];
    for (condition, event, expected) in cases {
        assert_eq!(decide(condition, &all, event), expected, "{condition} of {event}");
    }
}

#[test]
fn a_condition_that_can_hold_for_nothing_grants_nothing() {
    for claims in [json!({}), json!({"subject": "ada"})] {
        assert!(access(OWN, &claims).is_none(), "{claims}");
    }
    assert!(access("event.x in claims.list", &json!({"list": []})).is_none());
    assert!(access("claims.level == 'gold' && event.x == 'y'", &json!({"level": "tin"})).is_none());
    assert!(!access("claims.level == 'gold'", &json!({"level": "gold"})).unwrap().is_conditional());
}

#[test]
fn equal_claim_values_share_a_view_and_others_do_not() {
    let of = |claims| access("event.data.team in claims.teams && event.n < claims.limit", &claims).unwrap();
    let one = of(json!({"sub": "ada", "teams": ["a", "b"], "limit": 5}));
    assert_eq!(one, of(json!({"sub": "eve", "teams": ["a", "b"], "limit": 5})));
    for other in [json!({"teams": ["a"], "limit": 5}), json!({"teams": ["a", "b"], "limit": "5"})] {
        assert_ne!(one, of(other));
    }
    let IndexPlan::Keys(keys) = one.index() else { panic!("it has an index key") };
    let values: Vec<_> = keys.iter().map(|key| (key.path.to_string(), &*key.value)).collect();
    assert_eq!(values, [("event.data.team".to_owned(), "a"), ("event.data.team".to_owned(), "b")]);
}

#[test]
fn alternatives_are_indexed_each_by_what_tells_principals_apart() {
    let claims = json!({"sub": "ada", "team": "a"});
    let plan = |condition| access(condition, &claims).unwrap().index();
    let keys = |condition| match plan(condition) {
        IndexPlan::All => vec!["all".to_owned()],
        IndexPlan::Keys(keys) => keys.iter().map(|key| format!("{}={}", key.path, key.value)).collect(),
    };
    assert_eq!(keys("event.data.user == claims.sub || 'x/' + claims.team == key"), ["event.data.user=ada", "key=x/a"]);
    assert_eq!(keys("event.type == 'order.paid' && event.data['us-er'] == claims.sub"), ["event.data[\"us-er\"]=ada"]);
    assert_eq!(keys("headers['x-region'] in ['eu', 'us']"), ["headers[\"x-region\"]=eu", "headers[\"x-region\"]=us"]);
    assert_eq!(keys("event.data.user == claims.sub || event.n > 5"), ["all"]);
    assert_eq!(keys("!(event.data.user == claims.sub)"), ["all"]);
    let unindexed = |condition: &str| {
        let condition: Condition = condition.parse().unwrap();
        condition.unindexed().iter().map(|of| (of.line, of.column, of.why.join(", "))).collect::<Vec<_>>()
    };
    assert_eq!(unindexed(OWN), []);
    for (condition, line, column, why) in [
        ("event.a == claims.b || event.n > 5", 1, 24, "compares by order"),
        (
            "event.a == claims.b ||\n  key.startsWith('x') && event.n == 5",
            2,
            3,
            "asks a function, compares with what is no text",
        ),
        ("(event.a == claims.b || key == claims.c) && event.n < 1.5", 1, 2, "is an || within &&"),
        ("event.a == event.b", 1, 1, "compares two parts of the event"),
        ("claims.sub in event.members", 1, 1, "looks into a list of the event"),
        ("event.n in ['a', 5]", 1, 1, "looks for what is worked out, or into a list that holds more"),
        ("event.list.exists(one, one == claims.sub)", 1, 1, "looks at each element"),
        ("!(event.a == claims.b)", 1, 1, "says which events not to take"),
    ] {
        let found = unindexed(condition);
        assert_eq!((found.len(), found[0].0, found[0].1), (1, line, column), "{condition}");
        assert!(found[0].2.starts_with(why), "{condition}: {found:?}");
    }
}

#[test]
fn without_content_a_condition_fails() {
    #[derive(Debug)]
    struct Bare;
    impl Facts for Bare {
        fn topic(&self) -> &'static str {
            "orders"
        }
        fn tenant(&self) -> &'static str {
            "acme"
        }
    }
    let access = access(OWN, &json!({"sub": "ada"})).unwrap();
    assert_eq!(access.admit(&Bare).unwrap_err(), Withheld::Failed);
}

#[derive(Debug)]
struct Odd;

impl Headers for Odd {
    fn last(&self, name: &str) -> Header<'_> {
        match name {
            "null" => Header::Null,
            "binary" => Header::Value(b"\xff\xfe"),
            _ => Header::Missing,
        }
    }
}

#[test]
fn odd_headers() {
    let content = Content::new("{}", None, &Odd, 0);
    assert_eq!(content.extract(&Path::header("null")), Extracted::Other);
    assert_eq!(content.extract(&Path::header("binary")), Extracted::Ambiguous);
    assert_eq!(content.extract(&Path::header("none")), Extracted::Missing);
    assert_eq!(content.extract(&Path::key()), Extracted::Other);
}

#[test]
fn the_steps_are_bounded() {
    let list = format!("[{}]", vec!["1"; 4000].join(","));
    let event = format!(r#"{{"list":{list}}}"#);
    let quadratic = "event.list.all(x, event.list.all(y, x == y))";
    assert_eq!(decide(quadratic, &json!({}), &event), Err(Withheld::Failed));
    assert_eq!(decide("event.list.all(x, x == 1)", &json!({}), &event), Ok(()));
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(120), "]".repeat(120));
    assert_eq!(decide("event.a == claims.a", &json!({"a": [1]}), &deep), Err(Withheld::Condition));
}

proptest! {
    #[test]
    fn no_event_makes_it_panic(event in r#"\{("(data|d\\u0061ta|x)":(\{"user":("ada"|1|null|\[\])\}|\[1,"ada"\]|-?[0-9]{1,40}(\.[0-9]+)?|"\\uD800"),?)*\}?"#) {
        let claims = json!({"sub": "ada", "n": 1});
        for condition in [OWN, "event.x > claims.n || event.x[0] == 1", "size(event.data) + 1 > claims.n", "event == event"] {
            let _ = decide(condition, &claims, &event);
        }
    }
}

#[test]
fn a_list_with_an_element_that_is_missing_is_no_list() {
    let claims = json!({"sub": "ada"});
    let condition = "event.b in [event.a, 'x']";
    assert_eq!(decide(condition, &claims, r#"{"b":"x"}"#), Err(Withheld::Failed));
    assert_eq!(decide(condition, &claims, r#"{"a":"y","b":"x"}"#), Ok(()));
}

#![no_main]
//! Conditions: whatever is written in a policy, and whatever events say, nothing panics or takes long; and an index
//! never leaves out what the condition lets through.
//!
//! An input is a condition in its first line, and an event in the rest.

use std::cell::LazyCell;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use serde_json::json;
use tidegate_fuzz::{first_line, is_json};
use tidegate_gate::{
    Action, Condition, Content, Extracted, Facts, Grant, IndexPlan, Policy, Positions, Principal, Tenants, TopicRule,
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

thread_local! {
    static ADA: LazyCell<Principal> = const { LazyCell::new(|| {
        let claims = json!({
            "sub": "ada", "user": "ada", "team": "a", "teams": ["a", "b"], "n": 1, "list": [1, "a", null, 1.5],
            "flag": true, "deep": {"user": "ada"}, "none": null,
        });
        Principal {
            tenant: "acme".into(),
            subject: "ada".into(),
            roles: ["clerk".into()].into(),
            issued_at: None,
            expires: i64::MAX,
            ends: i64::MAX,
            token_id: None,
            claims: claims.as_object().expect("an object").clone().into(),
        }
    }) };
}

fuzz_target!(init: tolerate_the_parser(), |text: &str| {
    let (condition, event) = first_line(text);
    let Ok(condition) = condition.parse::<Condition>() else { return };
    if !is_json(event) {
        return;
    }
    let topic =
        TopicRule { name: "orders".into(), physical: "orders".parse().expect("a name"), public: false, publishable: true };
    let grant = Grant {
        role: "clerk".into(),
        allow: vec![Action::Subscribe],
        topics: vec!["orders".parse().expect("a name")],
        tenants: Tenants::Own,
        positions: Positions::Hidden,
        condition: Some(Arc::new(condition)),
        origin: "here:1".into(),
    };
    let policy = Policy::new([topic], [grant]);
    let Ok(access) = ADA.with(|ada| policy.subscribe(ada, "orders")) else { return };
    let headers = vec![("x-region", "eu"), ("x-user", "ada")];
    let event = Event(Content::new(event, Some("ada/1"), &headers, 1_700_000_000_000));
    if access.admit(&event).is_err() {
        return;
    }
    let IndexPlan::Keys(keys) = access.index() else { return };
    let found = keys.iter().any(|key| event.0.extract(&key.path) == Extracted::Text((&*key.value).into()));
    assert!(found, "let through, and no index finds it: {text:?}");
});

/// The grammar is another crate's. A panic there is caught, and is an error of the policy's.
fn tolerate_the_parser() {
    let abort = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() != Some("condition") {
            abort(panic);
        }
    }));
}

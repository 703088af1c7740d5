//! What a decision costs: nanoseconds per `admit`, and per record for what a feed extracts.
//!
//! `cargo run --release -p tidegate-gate --example admit_cost`

use std::cell::OnceCell;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use tidegate_gate::{
    Access, Action, Condition, Content, Extracted, Facts, Grant, Path, Policy, Positions, Principal, Tenants, TopicRule,
};

const EVENT: &str = r#"{"version":"1.0","id":"0197a1b2-0000-7000-8000-000000000001","type":"order.created","correlation_id":"0197a1b2-0000-7000-8000-000000000001","timestamp":"2026-01-01T00:00:00Z","tenant_id":"acme","data":{"user":"ada","amount":120,"region":"eu","items":["a","b"]}}"#;
const ROUNDS: u32 = 1_000_000;

struct Event<'a> {
    content: OnceCell<Content<'a>>,
    extracted: Option<(Path, Extracted<'a>)>,
}

impl Facts for Event<'_> {
    fn topic(&self) -> &'static str {
        "orders"
    }

    fn tenant(&self) -> &'static str {
        "acme"
    }

    fn extracted(&self, path: &Path) -> Option<Extracted<'_>> {
        self.extracted.as_ref().filter(|(known, _)| known == path).map(|(_, value)| value.clone())
    }

    fn content(&self) -> Option<&Content<'_>> {
        Some(self.content.get_or_init(|| Content::new(EVENT, None, &(), 0)))
    }
}

fn access(condition: Option<&str>) -> Access {
    let topic =
        TopicRule { name: "orders".into(), physical: "orders".parse().unwrap(), public: false, publishable: true };
    let grant = Grant {
        role: "clerk".into(),
        allow: vec![Action::Subscribe],
        topics: vec!["orders".parse().unwrap()],
        tenants: Tenants::Own,
        positions: Positions::Hidden,
        condition: condition.map(|source| Arc::new(source.parse::<Condition>().unwrap())),
        origin: "".into(),
    };
    let principal = Principal {
        tenant: "acme".into(),
        subject: "ada".into(),
        roles: ["clerk".into()].into(),
        issued_at: None,
        expires: i64::MAX,
        ends: i64::MAX,
        token_id: None,
        claims: json!({"sub": "ada", "limit": 100}).as_object().unwrap().clone().into(),
    };
    Policy::new([topic], [grant]).subscribe(&principal, "orders").unwrap()
}

fn measure(name: &str, mut run: impl FnMut() -> bool) {
    let begin = Instant::now();
    for _ in 0..ROUNDS {
        assert!(black_box(run()));
    }
    println!("{name:56} {:>7.1} ns", begin.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS));
}

fn main() {
    let path = Path::event(["data", "user"]);
    let fresh = || Event { content: OnceCell::new(), extracted: None };
    let fed = Event { content: OnceCell::new(), extracted: Some((path.clone(), Extracted::Text("ada".into()))) };
    let open = access(None);
    measure("no condition", || open.admit(&fed).is_ok());
    let keyed = access(Some("event.data.user == claims.sub"));
    measure("an index key, extracted by the feed", || keyed.admit(&fed).is_ok());
    let residual = access(Some("event.data.amount > claims.limit"));
    let known = fresh();
    measure("a comparison, event already looked into", || residual.admit(&known).is_ok());
    measure("a comparison, first look into the event", || residual.admit(&fresh()).is_ok());
    let both = access(Some(
        "event.data.user == claims.sub && (event.data.amount > claims.limit || event.data.region in ['us'])",
    ));
    measure("a key and two comparisons, event already looked into", || both.admit(&known).is_ok());
    measure("what a feed extracts of a record for one path", || {
        Content::new(EVENT, None, &(), 0).extract(&path) == Extracted::Text("ada".into())
    });
    let begin = Instant::now();
    for _ in 0..100 {
        black_box("event.data.user == claims.sub && event.data.amount > claims.limit".parse::<Condition>().unwrap());
    }
    println!("{:56} {:>7.1} µs", "reading a condition", begin.elapsed().as_secs_f64() * 1e4);
}

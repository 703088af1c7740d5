//! What reaches a reader through index and evaluation is what the whole conditions say, as CEL's own interpreter
//! works them out over the same values, and nothing else.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use cel::{Context, Program};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use tidegate_gate::{
    Access, Action, Condition, Content, Denied, Extracted, Facts, Grant, IndexPlan, Path, Policy, Positions, Principal,
    Tenants, TopicRule, Withheld,
};

const NOW: i64 = 1_700_000_000_000;
const PLACES: [&str; 10] = [
    "event.a",
    "event.data.user",
    "event.data.n",
    "event.data.deep.x",
    "event['data']['user']",
    "event.list",
    "event.type",
    "event.data",
    "key",
    "headers.region",
];
const CLOSED: [&str; 15] = [
    "claims.sub",
    "claims.n",
    "claims.missing",
    "claims.org.id",
    "claims.none",
    "claims.list",
    "'ada'",
    "'x'",
    "''",
    "1",
    "1.5",
    "true",
    "null",
    "topic",
    "'a' + claims.sub",
];
const LISTS: [&str; 8] = [
    "claims.list",
    "claims.mixed",
    "claims.empty",
    "claims.missing",
    "['ada', 'x']",
    "[claims.sub, 'eu']",
    "['ada', 1]",
    "[event.a, 'x']",
];

fn atom() -> impl Strategy<Value = String> {
    let place = || select(&PLACES[..]);
    let closed = || select(&CLOSED[..]);
    prop_oneof![
        6 => (place(), closed()).prop_map(|(place, closed)| format!("{place} == {closed}")),
        2 => (place(), closed()).prop_map(|(place, closed)| format!("{closed} == {place}")),
        5 => (place(), select(&LISTS[..])).prop_map(|(place, list)| format!("{place} in {list}")),
        2 => (place(), closed()).prop_map(|(place, closed)| format!("{place} != {closed}")),
        2 => (place(), select(&["<", "<=", ">", ">="][..]), closed()).prop_map(|(a, by, b)| format!("{a} {by} {b}")),
        1 => (place(), place()).prop_map(|(one, other)| format!("{one} == {other}")),
        1 => (closed(), closed()).prop_map(|(one, other)| format!("{one} == {other}")),
        1 => select(&["has(event.a)", "has(event.data.user)", "has(headers.region)", "has(claims.sub)", "has(claims.missing)",
            "has(claims.org.id)", "has(claims.missing.x)", "has(event.data.deep.x)", "event.data.flag", "true", "false"][..])
            .prop_map(str::to_owned),
        1 => (place(), select(&["startsWith", "endsWith", "contains"][..]), select(&["'a'", "claims.sub", "''"][..]))
            .prop_map(|(place, function, part)| format!("{place}.{function}({part})")),
        1 => (select(&["event.list", "claims.list", "claims.missing"][..]), select(&["exists", "all"][..]), place())
            .prop_map(|(list, each, place)| format!("{list}.{each}(e, e == {place})")),
        1 => (place(), 0..3).prop_map(|(place, size)| format!("size({place}) > {size}")),
        1 => (place(), select(&["+", "-", "*"][..])).prop_map(|(place, by)| format!("{place} {by} 2 == 3")),
        1 => (0..3).prop_map(|at| format!("event.list[{at}] == claims.sub")),
    ]
}

fn condition() -> impl Strategy<Value = String> {
    atom().prop_recursive(3, 8, 2, |inner| {
        let (one, other, third) = (inner.clone(), inner.clone(), inner.clone());
        prop_oneof![
            4 => (one.clone(), other.clone()).prop_map(|(one, other)| format!("{one} && {other}")),
            3 => (one.clone(), other.clone()).prop_map(|(one, other)| format!("({one} || {other})")),
            1 => one.clone().prop_map(|one| format!("!({one})")),
            1 => (one, other, third).prop_map(|(one, other, third)| format!("(({one}) ? ({other}) : ({third}))")),
        ]
    })
}

fn scalar() -> impl Strategy<Value = Value> {
    select(vec![
        json!("ada"),
        json!("ada"),
        json!("x"),
        json!(""),
        json!("eu"),
        json!("aada"),
        json!("orders"),
        json!(1),
        json!(1.0),
        json!(1.5),
        json!(-2),
        json!(true),
        json!(null),
        json!(["ada", 1]),
        json!([]),
        json!({"x": "ada"}),
        json!({}),
    ])
}

fn event() -> impl Strategy<Value = Value> {
    let member = |name: &'static str| proptest::option::weighted(0.8, scalar()).prop_map(move |value| (name, value));
    let object = |members: Vec<(&'static str, Option<Value>)>| -> Map<String, Value> {
        members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    };
    let deep = member("x").prop_map(move |x| object(vec![x]));
    let data = (member("user"), member("n"), member("flag"), deep).prop_map(move |(user, n, flag, deep)| {
        let mut data = object(vec![user, n, flag]);
        data.insert("deep".to_owned(), deep.into());
        data
    });
    let list = prop::collection::vec(scalar(), 0..3);
    (member("a"), data, member("data"), list, 0..8).prop_map(move |(a, data, other, list, odd)| {
        let mut event = object(vec![a, ("type", Some(json!("order.created"))), ("list", Some(list.into()))]);
        event.insert("data".to_owned(), data.into());
        if let (0, Some(other)) = (odd, other.1) {
            event.insert("data".to_owned(), other);
        }
        event.into()
    })
}

fn claims() -> impl Strategy<Value = Map<String, Value>> {
    (select(&["ada", "x", "eve"][..]), scalar(), scalar(), any::<bool>()).prop_map(|(sub, n, id, list)| {
        let claims = json!({
            "sub": sub, "n": n, "org": {"id": id}, "none": null, "empty": [], "mixed": ["x", 1, null],
            "list": if list { json!(["ada", "x", "orders"]) } else { json!("ada") },
        });
        claims.as_object().unwrap().clone()
    })
}

/// One event as a bridge has it.
#[derive(Debug)]
struct Given {
    value: Value,
    text: String,
    key: Option<&'static str>,
    headers: Vec<(&'static str, &'static str)>,
}

fn given() -> impl Strategy<Value = Given> {
    let key = select(&[Some("ada"), Some("x"), Some(""), None][..]);
    let headers =
        select(vec![vec![], vec![("region", "eu")], vec![("region", "us"), ("other", "x"), ("region", "ada")]]);
    (event(), key, headers, any::<u64>()).prop_map(|(value, key, headers, seed)| {
        let text = write(&value, &mut { seed });
        Given { value, text, key, headers }
    })
}

/// JSON with some characters escaped and space in odd places.
fn write(value: &Value, seed: &mut u64) -> String {
    let mut odd = || {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33).is_multiple_of(4)
    };
    let mut string = |text: &str| {
        let inner: String =
            text.chars().map(|c| if odd() { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() }).collect();
        format!("\"{inner}\"")
    };
    match value {
        Value::String(text) => string(text),
        Value::Array(items) => {
            format!("[ {}]", items.iter().map(|item| write(item, seed)).collect::<Vec<_>>().join(" ,"))
        }
        Value::Object(members) => {
            let names: Vec<String> = members.keys().map(|name| string(name)).collect();
            let member = |(name, value): (String, &Value)| format!("{name} : {}", write(value, seed));
            format!("{{{}}}", names.into_iter().zip(members.values()).map(member).collect::<Vec<_>>().join(",\n"))
        }
        other => other.to_string(),
    }
}

struct Event<'a> {
    given: &'a Given,
    content: OnceCell<Content<'a>>,
    extracted: Vec<(Path, Extracted<'a>)>,
}

impl<'a> Event<'a> {
    /// With what a feed would have extracted.
    fn new(given: &'a Given, paths: &[Path]) -> Self {
        let mut event = Self { given, content: OnceCell::new(), extracted: Vec::new() };
        let content = Content::new(&given.text, given.key, &given.headers, NOW);
        event.extracted = paths.iter().map(|path| (path.clone(), content.extract(path))).collect();
        event
    }
}

impl Facts for Event<'_> {
    fn topic(&self) -> &'static str {
        "orders"
    }

    fn tenant(&self) -> &'static str {
        "acme"
    }

    fn extracted(&self, path: &Path) -> Option<Extracted<'_>> {
        self.extracted.iter().find(|(known, _)| known == path).map(|(_, value)| value.clone())
    }

    fn content(&self) -> Option<&Content<'_>> {
        let Given { text, key, headers, .. } = self.given;
        Some(self.content.get_or_init(|| Content::new(text, *key, headers, NOW)))
    }
}

fn grant(role: &str, condition: Option<&str>) -> Option<Grant> {
    let condition = match condition {
        Some(source) => Some(Arc::new(source.parse::<Condition>().ok()?)),
        None => None,
    };
    Some(Grant {
        role: role.into(),
        allow: vec![Action::Subscribe],
        topics: vec!["*".parse().unwrap()],
        tenants: Tenants::Own,
        positions: Positions::Hidden,
        condition,
        origin: "".into(),
    })
}

fn policy(grants: impl IntoIterator<Item = Grant>) -> Policy {
    let rule =
        TopicRule { name: "orders".into(), physical: "orders".parse().unwrap(), public: false, publishable: true };
    Policy::new([rule], grants)
}

fn principal(claims: Map<String, Value>, roles: &[&str]) -> Principal {
    Principal {
        tenant: "acme".into(),
        subject: "ada".into(),
        roles: roles.iter().map(|role| Arc::<str>::from(*role)).collect(),
        issued_at: None,
        expires: i64::MAX,
        ends: i64::MAX,
        token_id: None,
        claims: claims.into(),
    }
}

/// The generated parser takes more stack than a test's thread has.
fn compile(source: &str) -> Program {
    let source = source.to_owned();
    let run = move || Program::compile(&source).unwrap();
    std::thread::Builder::new().stack_size(32 << 20).spawn(run).unwrap().join().unwrap()
}

/// Whole numbers are of one kind, as they are in JSON.
fn cel(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => number.as_i64().map_or_else(|| number.as_f64().unwrap().into(), Into::into),
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(cel).collect::<Vec<_>>().into(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), cel(value))).collect::<HashMap<_, _>>().into()
        }
    }
}

/// What CEL's interpreter says: that it holds, that it does not, or nothing.
fn reference(program: &Program, given: &Given, claims: &Map<String, Value>) -> Option<bool> {
    let mut context = Context::default();
    let mut add = |name, value: &Value| context.add_variable_from_value(name, cel(value));
    add("event", &given.value);
    add("claims", &Value::Object(claims.clone()));
    add("key", &json!(given.key));
    add("topic", &json!("orders"));
    let headers: Map<String, Value> = given.headers.iter().map(|(n, v)| ((*n).to_owned(), json!(v))).collect();
    add("headers", &Value::Object(headers));
    match program.execute(&context) {
        Ok(cel::Value::Bool(holds)) => Some(holds),
        _ => None,
    }
}

fn is_candidate(access: &Access, event: &Event<'_>) -> bool {
    let content = event.content().unwrap();
    match access.index() {
        IndexPlan::All => true,
        IndexPlan::Keys(keys) => {
            keys.iter().any(|key| matches!(content.extract(&key.path), Extracted::Text(text) if *text == *key.value))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    // 600 policies × 3 sets of claims × 8 events.
    #[test]
    fn index_and_evaluation_say_what_the_condition_says(
        conditions in prop::collection::vec((select(&["clerk", "viewer"][..]), proptest::option::weighted(0.95, condition())), 1..3),
        claims in prop::collection::vec(claims(), 3),
        events in prop::collection::vec(given(), 8),
    ) {
        let known: Vec<_> = conditions
            .iter()
            .filter_map(|(role, source)| Some((*role, source.as_deref(), grant(role, source.as_deref())?)))
            .collect();
        let programs: Vec<_> = known
            .iter()
            .map(|(role, source, _)| (*role, source.map(compile)))
            .collect();
        let policy = policy(known.iter().map(|(.., grant)| grant.clone()));
        for (claims, roles) in claims.into_iter().zip([&["clerk"][..], &["viewer"], &["clerk", "viewer"]]) {
            let access = policy.subscribe(&principal(claims.clone(), roles), "orders");
            for given in &events {
                let held = programs.iter().filter(|(role, _)| roles.contains(role));
                let said: Vec<_> = held.map(|(_, program)| match program {
                    Some(program) => reference(program, given, &claims),
                    None => Some(true),
                }).collect();
                let expected = said.contains(&Some(true));
                let Ok(access) = &access else {
                    prop_assert_eq!(access.as_ref().unwrap_err(), &Denied);
                    prop_assert!(!expected, "denied, but {:?} of {}", conditions, given.text);
                    continue;
                };
                let bare = Event::new(given, &[]);
                let fed = Event::new(given, &policy.reads("orders").unwrap().paths);
                let decided = access.admit(&bare).map(|_| ());
                prop_assert_eq!(access.admit(&fed).map(|_| ()), decided, "extracted or not");
                prop_assert_eq!(decided.is_ok(), expected, "{:?} of {} for {:?}", conditions, given.text, claims);
                prop_assert!(!expected || is_candidate(access, &bare), "the index misses {} for {:?}", given.text, conditions);
                if decided == Err(Withheld::Failed) {
                    prop_assert!(said.contains(&None), "failed, but {:?} says {:?} of {}", conditions, said, given.text);
                }
            }
        }
    }
}

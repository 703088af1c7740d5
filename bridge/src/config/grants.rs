//! `[[grants]]`: who may do what. Nothing is allowed without one.

use std::collections::HashMap;
use std::sync::Arc;

use tidegate_gate::condition::{BadCondition, Unindexed};
use tidegate_gate::{Action, Condition, Grant, Positions, Tenants};

use super::problem::{Place, Report};
use super::raw::{Node, Value};
use super::section::{self, Section};

/// A grant with its key and where it stands, for what is checked across sections.
pub(super) type Placed = (Grant, String, Place);

/// What a condition can be put on. With `replay` it says nothing more: what is read is what `subscribe` lets through.
const CONDITIONAL: [Action; 3] = [Action::Subscribe, Action::Publish, Action::Replay];

pub(super) fn read(node: Option<&Node>, report: &Report) -> Vec<Placed> {
    let Some(node) = node else { return Vec::new() };
    let Value::List(items) = &node.value else {
        let problem = format!("must be a list ([[grants]]), not {}", node.value.kind());
        report.problem(&node.place, "grants", problem);
        return Vec::new();
    };
    let mut grants = Vec::new();
    let mut conditions = Conditions::new();
    for (at, item) in items.iter().enumerate() {
        let key = format!("grants[{at}]");
        match &item.value {
            Value::Table(table) => {
                let section = Section::new(&*key, item.place.clone(), table, report);
                grants.extend(read_grant(section, &mut conditions).map(|grant| (grant, key, item.place.clone())));
            }
            other => report.problem(&item.place, key, format!("must be a table, not {}", other.kind())),
        }
    }
    grants
}

/// Conditions by their text: roles that share one share it, and it is read once.
type Conditions = HashMap<String, Result<Arc<Condition>, BadCondition>>;

fn read_grant(mut section: Section<'_>, conditions: &mut Conditions) -> Option<Grant> {
    for (key, what) in [
        ("role", "must name the role whose holders it is for"),
        ("allow", "must say what it allows"),
        ("topics", "must name topics, prefixes such as \"orders.*\", or \"*\""),
    ] {
        if section.list_is_empty(key) {
            section.problem(key, what);
        }
    }
    let role = section.read("role", |value| match section::text(value)? {
        "" => Err("must not be empty".to_owned()),
        "*" => Err("\"*\" is no role: name those whose holders it is for".to_owned()),
        role => Ok(role.into()),
    });
    let actions = Action::ALL.map(|action| (action.name(), action));
    let allow = section.list("allow", |name| section::choice(name, &actions));
    let topics = section.list("topics", section::parsed);
    let tenants = section.choice("tenants", &[("own", Tenants::Own), ("*", Tenants::All)]).unwrap_or_default();
    let positions = section.choice("positions", &[("hidden", Positions::Hidden), ("raw", Positions::Raw)]);
    if tenants == Tenants::All && allow.as_ref().is_some_and(|allow| allow.iter().any(|a| *a != Action::Observe)) {
        section.problem("tenants", "\"*\" is for observe only: put what else is allowed into a grant of its own");
    }
    let condition = section.read("where", |value| {
        let text = section::text(value)?;
        let known = conditions.entry(text.to_owned()).or_insert_with(|| text.parse().map(Arc::new));
        known.clone().map_err(|bad| bad.to_string())
    });
    if let Some(condition) = &condition {
        judge(condition, allow.as_deref().unwrap_or_default(), &section);
    }
    let origin = section.place().to_string().into();
    section.finish();
    Some(Grant {
        role: role?,
        allow: allow?,
        topics: topics?,
        tenants,
        positions: positions.unwrap_or_default(),
        condition,
        origin,
    })
}

/// A condition speaks of events: it stands where events are let through, and should be one that finds them.
fn judge(condition: &Condition, allow: &[Action], section: &Section<'_>) {
    let others: Vec<&str> =
        allow.iter().filter(|action| !CONDITIONAL.contains(action)).map(|action| action.name()).collect();
    if !others.is_empty() {
        let text = format!(
            "says which events to subscribe to or to publish; put {} into a grant of its own",
            others.join(" and ")
        );
        return section.problem("where", text);
    }
    if !allow.contains(&Action::Subscribe) {
        if allow == [Action::Replay] {
            section.problem("where", "says which events; replay says from where they are read: add subscribe");
        }
        return;
    }
    for Unindexed { line, column, why, steps } in condition.unindexed() {
        let text = format!(
            "line {line}, column {column}: `{condition}` can not be indexed: what begins here {}; so every event of the \
             tenant and type is evaluated, at {steps} steps, once per distinct claim values. A conjunct like \
             `event.data.user == claims.sub` (a place in the event, `key` or a header; == or in; a claim or text) would be \
             a key",
            why.join(", and ")
        );
        section.warning("where", text);
    }
}

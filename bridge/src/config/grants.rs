//! `[[grants]]`: who may do what. Nothing is allowed without one.

use tidegate_gate::{Action, Grant, Positions, Tenants};

use super::problem::{Place, Report};
use super::raw::{Node, Value};
use super::section::{self, Section};

/// A grant with its key and where it stands, for what is checked across sections.
pub(super) type Placed = (Grant, String, Place);

pub(super) fn read(node: Option<&Node>, report: &Report) -> Vec<Placed> {
    let Some(node) = node else { return Vec::new() };
    let Value::List(items) = &node.value else {
        let problem = format!("must be a list ([[grants]]), not {}", node.value.kind());
        report.problem(&node.place, "grants", problem);
        return Vec::new();
    };
    let mut grants = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let key = format!("grants[{at}]");
        match &item.value {
            Value::Table(table) => {
                let section = Section::new(&*key, item.place.clone(), table, report);
                grants.extend(read_grant(section).map(|grant| (grant, key, item.place.clone())));
            }
            other => report.problem(&item.place, key, format!("must be a table, not {}", other.kind())),
        }
    }
    grants
}

fn read_grant(mut section: Section<'_>) -> Option<Grant> {
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
    section.finish();
    Some(Grant { role: role?, allow: allow?, topics: topics?, tenants, positions: positions.unwrap_or_default() })
}

//! Overrides from the environment: `TIDEGATE_<PATH>`, with two underscores between levels.

use super::problem::{Place, Report};
use super::raw::{self, Node, Table, Value};

const PREFIX: &str = "TIDEGATE_";

/// Variables of the command line's own, which are no settings.
const OTHERS: [&str; 8] = [
    "TIDEGATE_ADMIN",
    "TIDEGATE_ADMIN_KEY",
    "TIDEGATE_ADMIN_KEY_FILE",
    "TIDEGATE_ASSETS",
    "TIDEGATE_CONFIG",
    "TIDEGATE_LOG_FORMAT",
    "TIDEGATE_TOKEN",
    "TIDEGATE_URL",
];

/// The sections, to tell what one who forgot an underscore meant.
const SECTIONS: [&str; 11] =
    ["SERVER", "LIMITS", "LOG", "TOKENS", "TOPICS", "GRANTS", "CURSORS", "WINDOW", "CATCH_UP", "REVOCATION", "ADMIN"];

/// Puts the overrides into what the file says.
pub(super) fn apply(root: &mut Table, variables: impl Iterator<Item = (String, String)>, report: &Report) {
    let mut variables: Vec<_> = variables.filter(|(name, _)| is_setting(name)).collect();
    variables.sort();
    for (name, text) in variables {
        let place = Place::Variable(name.as_str().into());
        let Some(path) = name.get(PREFIX.len()..) else { continue };
        let path: Vec<String> = path.split("__").map(str::to_ascii_lowercase).collect();
        if path.len() == 1
            && let Some(meant) = with_two_underscores(&name)
        {
            report.problem(&place, "", format!("unknown setting; did you mean {meant}?"));
            continue;
        }
        if path.iter().any(String::is_empty) {
            report.problem(&place, "", "a level between the underscores is empty");
            continue;
        }
        match read(&text, &place) {
            Ok(node) => {
                if let Err(key) = put(root, &path, node) {
                    report.problem(&place, key, "is no table in the file, so nothing can be set below it");
                }
            }
            Err(error) => report.problem(&place, path.join("."), format!("not TOML: {error}")),
        }
    }
}

fn is_setting(name: &str) -> bool {
    // Kubernetes tells every container of a service called "tidegate" by variables of that name.
    let of_kubernetes = |rest: &str| {
        rest == "PORT" || rest.starts_with("PORT_") || rest == "SERVICE_HOST" || rest.starts_with("SERVICE_PORT")
    };
    name.strip_prefix(PREFIX).is_some_and(|rest| !of_kubernetes(rest)) && !OTHERS.contains(&name)
}

fn with_two_underscores(name: &str) -> Option<String> {
    let rest = name.strip_prefix(PREFIX)?.to_ascii_uppercase();
    let section =
        SECTIONS.into_iter().find(|section| rest.strip_prefix(section).is_some_and(|r| r.starts_with('_')))?;
    Some(format!("{PREFIX}{section}_{}", &rest[section.len()..]))
}

fn read(text: &str, place: &Place) -> Result<Node, String> {
    if text.trim_start().starts_with('[') {
        return raw::value(text, place);
    }
    Ok(Node { place: place.clone(), value: Value::Word(text.to_owned()) })
}

/// Puts a node at a path. A name that the file spells with other letter case is the same one.
fn put(root: &mut Table, path: &[String], node: Node) -> Result<(), String> {
    let Some((last, above)) = path.split_last() else { return Ok(()) };
    // Names of librdkafka have dots, which variables can not have.
    let kafka = above.first().is_some_and(|key| key == "log") && above.get(1).is_some_and(|key| key == "kafka");
    if kafka {
        let name = path[2..].join(".").replace('_', ".");
        let settings = descend(root, &path[..2], &node.place)?;
        // The file may have it in a table of tables, which reads as the same name.
        remove_dotted(settings, &name);
        settings.insert(name, node);
        return Ok(());
    }
    let table = descend(root, above, &node.place)?;
    let name = spelled(table, last);
    table.insert(name, node);
    Ok(())
}

fn descend<'a>(root: &'a mut Table, path: &[String], place: &Place) -> Result<&'a mut Table, String> {
    let mut table = root;
    for key in path {
        let name = spelled(table, key);
        let empty = || Node { place: place.clone(), value: Value::Table(Table::new()) };
        table = match &mut table.entry(name).or_insert_with(empty).value {
            Value::Table(inner) => inner,
            _ => return Err(path.join(".")),
        };
    }
    Ok(table)
}

fn spelled(table: &Table, key: &str) -> String {
    table.keys().find(|name| name.eq_ignore_ascii_case(key)).cloned().unwrap_or_else(|| key.to_owned())
}

fn remove_dotted(table: &mut Table, name: &str) {
    table.remove(name);
    for (at, _) in name.match_indices('.') {
        if let Some(Node { value: Value::Table(inner), .. }) = table.get_mut(&name[..at]) {
            remove_dotted(inner, &name[at + 1..]);
        }
    }
}

//! What can only be seen across sections.

use tidegate_gate::{Action, PhysicalName, TopicPattern};

use super::problem::Report;
use super::section::suggestion;
use super::topics::Format;
use super::{grants, topics};

/// Topics whose physical names can be the same one: then one would read the other's records by its own rules.
pub(super) fn topics_apart(all: &[topics::Placed], report: &Report) {
    for (at, (topic, place)) in all.iter().enumerate() {
        for (other, _) in &all[..at] {
            if overlap(&topic.physical, &other.physical) {
                let text = format!("lies on {}, as topics.{} does ({})", topic.physical, other.name, other.physical);
                report.problem(place, format!("topics.{}.physical", topic.name), text);
            }
        }
    }
}

/// Whether some tenants make the two names equal. `{tenant}` is a whole word between dots, and no tenant has a dot.
fn overlap(one: &PhysicalName, other: &PhysicalName) -> bool {
    let (one, other) = (one.to_string(), other.to_string());
    let (one, other): (Vec<&str>, Vec<&str>) = (one.split('.').collect(), other.split('.').collect());
    let tenant = |word: &str| word == "{tenant}";
    let same = |(a, b): (&&str, &&str)| a == b || tenant(a) || tenant(b);
    one.len() == other.len() && one.iter().zip(&other).all(same)
}

/// Grants speak of topics that there are, and let pages put events only where that is safe.
pub(super) fn grants_fit(grants: &[grants::Placed], topics: &[topics::Placed], report: &Report) {
    for (grant, key, place) in grants {
        for pattern in &grant.topics {
            let matched = topics.iter().any(|(topic, _)| pattern.matches(&topic.name));
            match pattern {
                TopicPattern::Exact(name) if !matched => {
                    let meant = suggestion(name, topics.iter().map(|(topic, _)| &*topic.name));
                    let hint = meant.map(|meant| format!("; did you mean {meant:?}?")).unwrap_or_default();
                    report.problem(place, format!("{key}.topics"), format!("there is no topic {name:?}{hint}"));
                }
                _ if !matched => {
                    report.warning(place, format!("{key}.topics"), format!("\"{pattern}\" matches no topic"));
                }
                _ => {}
            }
        }
    }
    for (topic, place) in topics {
        let publisher = grants.iter().find(|(grant, ..)| {
            grant.allow.contains(&Action::Publish) && grant.topics.iter().any(|pattern| pattern.matches(&topic.name))
        });
        shared_keys(topic, place, publisher.map(|(_, key, _)| &**key), report);
        if let (Some((grant, key, place)), false) = (publisher, topic.format == Format::Envelope) {
            let named = grant.topics.iter().any(|pattern| *pattern == TopicPattern::Exact(topic.name.clone()));
            let text = format!("publish is not possible on {:?}: its format is not \"envelope\"", &*topic.name);
            // A wildcard may well mean the others.
            if named {
                report.problem(place, format!("{key}.allow"), text);
            } else {
                report.warning(place, format!("{key}.allow"), text);
            }
        }
    }
}

/// One tenant's `order/42` must not compact or reorder another's.
fn shared_keys(topic: &topics::Topic, place: &super::Place, publisher: Option<&str>, report: &Report) {
    if !topic.shared() || topic.key == super::KeyForm::TenantKey || topic.format != Format::Envelope {
        return;
    }
    let key = format!("topics.{}.key", topic.name);
    match publisher {
        Some(grant) => {
            let text = format!("must be \"tenant/key\": tenants share the topic, and {grant} lets them publish to it");
            report.problem(place, key, text);
        }
        None if topic.public() => {}
        None => report.warning(place, key, "tenants share the topic: keys should be \"tenant/key\""),
    }
}

//! What a condition says, from the documentation of the policy and of CEL, over plain values: the reference.
//!
//! What is missing, repeated in its object, or of a kind that an operator can not take has no value (`None`);
//! `false && nothing` is false, `true || nothing` is true, and only what is true lets an event through.

use std::cmp::Ordering;

use super::condition::{Cond, Items, Term};
use super::json::Json;
use tidegate_protocol::timestamp;

/// What a condition can read.
pub struct Sight<'a> {
    /// The event as it is delivered.
    pub event: &'a Json,
    /// The key as readers see it.
    pub key: Option<&'a str>,
    pub headers: &'a [(String, Option<Vec<u8>>)],
    pub topic: &'a str,
    pub claims: &'a Json,
    pub now: i64,
}

impl Sight<'_> {
    /// Whether the condition lets the event through.
    pub fn holds(&self, condition: &Cond) -> bool {
        self.says(condition, None) == Some(true)
    }

    fn says(&self, condition: &Cond, element: Option<&Json>) -> Option<bool> {
        let value = |term: &Term| self.value(term, element);
        match condition {
            Cond::Is(holds) => Some(*holds),
            Cond::Flag(term) => match value(term)? {
                Json::Bool(flag) => Some(flag),
                _ => None,
            },
            Cond::Equal(wanted, one, other) => Some(equal(&value(one)?, &value(other)?)? == *wanted),
            Cond::Order(sign, one, other) => {
                let order = compare(&value(one)?, &value(other)?)?;
                Some(match *sign {
                    "<" => order.is_lt(),
                    "<=" => order.is_le(),
                    ">" => order.is_gt(),
                    _ => order.is_ge(),
                })
            }
            Cond::In(one, items) => self.is_in(&value(one)?, items, element),
            Cond::Has(term) => self.has(term),
            Cond::Test(function, one, other) => {
                let (Json::Text(one), Json::Text(other)) = (value(one)?, value(other)?) else { return None };
                Some(match *function {
                    "startsWith" => one.starts_with(&other),
                    "endsWith" => one.ends_with(&other),
                    _ => one.contains(&other),
                })
            }
            Cond::Before(term) => Some(self.now < time(&value(term)?)?),
            Cond::Fresh(term, minutes) => Some(self.now.checked_sub(time(&value(term)?)?)? < minutes * 60_000),
            Cond::Each(all, list, body) => {
                let Json::List(items) = value(list)? else { return None };
                let said: Vec<_> = items.iter().map(|item| self.says(body, Some(item))).collect();
                if said.contains(&Some(!all)) {
                    Some(!all)
                } else if said.contains(&None) {
                    None
                } else {
                    Some(*all)
                }
            }
            Cond::Not(of) => self.says(of, element).map(|holds| !holds),
            Cond::And(one, other) => match (self.says(one, element), self.says(other, element)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Cond::Or(one, other) => match (self.says(one, element), self.says(other, element)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Cond::If(condition, yes, no) => self.says(if self.says(condition, element)? { yes } else { no }, element),
        }
    }

    fn value(&self, term: &Term, element: Option<&Json>) -> Option<Json> {
        match term {
            Term::Event(names) => walk(self.event, names).cloned(),
            Term::Claim(names) => walk(self.claims, names).cloned(),
            Term::Header(name) => match self.header(name)? {
                None => Some(Json::Null),
                Some(bytes) => Some(Json::text(std::str::from_utf8(bytes).ok()?)),
            },
            Term::Key => Some(self.key.map_or(Json::Null, Json::text)),
            Term::Topic => Some(Json::text(self.topic)),
            Term::Text(text) => Some(Json::text(text)),
            Term::Int(number) => Some(Json::Int((*number).into())),
            Term::Double(number) => Some(Json::Double(*number)),
            Term::Bool(flag) => Some(Json::Bool(*flag)),
            Term::Null => Some(Json::Null),
            Term::Element => element.cloned(),
            Term::Size(of) => match self.value(of, element)? {
                Json::Text(text) => Some(Json::Int(text.chars().count() as i128)),
                Json::List(items) => Some(Json::Int(items.len() as i128)),
                object @ Json::Object(_) if object.repeats() => None,
                Json::Object(members) => Some(Json::Int(members.len() as i128)),
                _ => None,
            },
            Term::Item(at) => match walk(self.event, &["data", "list"])? {
                Json::List(items) => items.get(usize::try_from(*at).ok()?).cloned(),
                _ => None,
            },
            Term::Joined(text, names) => Some(Json::Text(format!("{text}{}", walk(self.claims, names)?.as_text()?))),
        }
    }

    /// The last header of a name.
    fn header(&self, name: &str) -> Option<&Option<Vec<u8>>> {
        self.headers.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn has(&self, term: &Term) -> Option<bool> {
        let within = |from: &Json, names: &[&str]| {
            let (last, path) = names.split_last()?;
            match walk(from, path)? {
                object @ Json::Object(_) if !object.repeats() => Some(object.get(last).is_some()),
                _ => None,
            }
        };
        match term {
            Term::Header(name) => Some(self.header(name).is_some()),
            Term::Event(names) => within(self.event, names),
            Term::Claim(names) => within(self.claims, names),
            _ => None,
        }
    }

    fn is_in(&self, one: &Json, items: &Items, element: Option<&Json>) -> Option<bool> {
        let list = match items {
            Items::Listed(terms) => terms.iter().map(|term| self.value(term, element)).collect::<Option<Vec<_>>>()?,
            Items::Of(term) => match self.value(term, element)? {
                Json::List(list) => list,
                object @ Json::Object(_) if !object.repeats() => return Some(object.get(one.as_text()?).is_some()),
                _ => return None,
            },
        };
        let said: Vec<_> = list.iter().map(|item| equal(one, item)).collect();
        if said.contains(&Some(true)) {
            Some(true)
        } else if said.contains(&None) {
            None
        } else {
            Some(false)
        }
    }
}

/// What lies at a path, if every object on it says each thing once.
fn walk<'a>(from: &'a Json, names: &[&str]) -> Option<&'a Json> {
    names.iter().try_fold(from, |object, name| if object.repeats() { None } else { object.get(name) })
}

fn equal(one: &Json, other: &Json) -> Option<bool> {
    let compound = |value: &Json| matches!(value, Json::List(_) | Json::Object(_));
    if compound(one) && compound(other) && (one.repeats_within() || other.repeats_within()) {
        return None;
    }
    Some(match (one, other) {
        (Json::Int(_) | Json::Double(_), Json::Int(_) | Json::Double(_)) => {
            compare(one, other) == Some(Ordering::Equal)
        }
        (Json::List(one), Json::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other) == Some(true))
        }
        (Json::Object(members), Json::Object(others)) => {
            let same = |(name, value): &(String, Json)| other.get(name).is_some_and(|o| equal(value, o) == Some(true));
            members.len() == others.len() && members.iter().all(same)
        }
        _ => one == other,
    })
}

fn compare(one: &Json, other: &Json) -> Option<Ordering> {
    match (one, other) {
        (Json::Int(one), Json::Int(other)) => Some(one.cmp(other)),
        (Json::Double(one), Json::Double(other)) => one.partial_cmp(other),
        // Whole numbers here are small enough to be doubles.
        (Json::Int(one), Json::Double(other)) => (*one as f64).partial_cmp(other),
        (Json::Double(one), Json::Int(other)) => one.partial_cmp(&(*other as f64)),
        (Json::Text(one), Json::Text(other)) => Some(one.cmp(other)),
        (Json::Bool(one), Json::Bool(other)) => Some(one.cmp(other)),
        _ => None,
    }
}

/// RFC 3339, or whole seconds.
fn time(value: &Json) -> Option<i64> {
    match value {
        Json::Text(text) => timestamp::parse(text),
        Json::Int(seconds) => i64::try_from(*seconds).ok()?.checked_mul(1000),
        _ => None,
    }
}

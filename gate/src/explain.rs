//! Why something is allowed, denied or withheld, grant by grant.

use std::fmt;
use std::sync::Arc;

use crate::Principal;
use crate::condition::{Bound, Failure, Verdict};
use crate::content::Content;
use crate::decision::{Facts, Withheld};
use crate::policy::{Action, Grant, Policy};

/// What the policy says to a question, and what each grant has to do with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The answer that a session would get.
    pub outcome: Outcome,
    /// Every grant of the action on the topic, and those of the principal's roles, in the order of the policy.
    pub grants: Vec<Considered>,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There is no such topic.
    NoTopic,
    /// The topic takes no events from clients.
    NotPublishable,
    /// No grant allows it.
    Denied,
    /// Allowed; which events, grants' conditions say.
    Allowed,
    /// The event is let through.
    Admitted,
    /// The event is not let through.
    Withheld(Withheld),
}

/// One grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Considered {
    /// Where it was written.
    pub origin: Arc<str>,
    /// The role it is for.
    pub role: Arc<str>,
    /// Whether the principal holds the role.
    pub held: bool,
    /// Whether it allows the action.
    pub allows: bool,
    /// Whether it speaks of the topic.
    pub covers: bool,
    /// What its condition says, if it has one and the rest applies.
    pub condition: Option<Said>,
}

/// A condition, what it reads, and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Its text.
    pub source: String,
    /// What it reads, and what is there: of claims, and of the event if there is one.
    pub reads: Vec<(String, String)>,
    /// What it comes to.
    pub value: Says,
}

/// What a condition comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    /// It holds for this event.
    Holds,
    /// It does not hold for this event.
    Not,
    /// It could not be evaluated: why.
    Failed(String),
    /// It depends on the event, and there was none.
    Depends,
    /// With these claims it can hold for no event.
    Never,
    /// With these claims it holds for every event.
    Always,
}

impl Considered {
    /// Whether it is about this principal, action and topic; then its condition decides.
    pub fn applies(&self) -> bool {
        self.held && self.allows && self.covers
    }
}

impl Policy {
    /// Why `principal` may or may not do this on a topic, or with an event of it.
    pub fn explain<E: Facts>(
        &self,
        principal: &Principal,
        action: Action,
        topic: &str,
        event: Option<&E>,
    ) -> Explanation {
        let considered = self.all_grants().filter_map(|grant| {
            let held = principal.roles.contains(&grant.role);
            let (allows, covers) = (grant.allow.contains(&action), grant.covers(topic));
            (held || (allows && covers)).then(|| Considered {
                origin: grant.origin.clone(),
                role: grant.role.clone(),
                held,
                allows,
                covers,
                condition: said(grant, principal, topic, event).filter(|_| held && allows && covers),
            })
        });
        Explanation { outcome: self.outcome(principal, action, topic, event), grants: considered.collect() }
    }

    fn outcome<E: Facts>(&self, principal: &Principal, action: Action, topic: &str, event: Option<&E>) -> Outcome {
        if self.physical(topic).is_none() {
            return Outcome::NoTopic;
        }
        if self.may(principal, action, topic) {
            let decided = match (action, event) {
                (Action::Subscribe, Some(event)) => {
                    self.subscribe(principal, topic).map(|access| access.admit(event).map(|_| ()))
                }
                (Action::Publish, Some(event)) => {
                    self.offer(principal, topic).map(|offer| offer.admit(event).map(|_| ()))
                }
                (Action::Subscribe, None) => return allowed(self.subscribe(principal, topic).is_ok()),
                (Action::Publish, None) => return allowed(self.offer(principal, topic).is_ok()),
                _ => return Outcome::Allowed,
            };
            return match decided {
                Ok(Ok(())) => Outcome::Admitted,
                Ok(Err(withheld)) => Outcome::Withheld(withheld),
                Err(_) => Outcome::Denied,
            };
        }
        if action == Action::Publish && !self.is_publishable(topic) { Outcome::NotPublishable } else { Outcome::Denied }
    }
}

fn allowed(allowed: bool) -> Outcome {
    if allowed { Outcome::Allowed } else { Outcome::Denied }
}

fn said<E: Facts>(grant: &Grant, principal: &Principal, topic: &str, event: Option<&E>) -> Option<Said> {
    let condition = grant.condition.as_ref()?;
    let mut reads: Vec<_> = Bound::claims(condition, principal, topic)
        .into_iter()
        .map(|(name, value)| {
            let shown = match value {
                Ok(value) => value.to_string(),
                Err(Failure::Missing) => "missing".to_owned(),
                Err(failure) => failure.to_string(),
            };
            (name, shown)
        })
        .collect();
    if let Some(content) = event.and_then(Facts::content) {
        reads.extend(condition.places().into_iter().map(|path| (path.to_string(), content.shown(&path))));
    }
    let value = match (Bound::new(condition, principal, topic), event) {
        (None, _) => Says::Never,
        (Some(bound), _) if bound.is_always() => Says::Always,
        (Some(_), None) => Says::Depends,
        (Some(bound), Some(event)) => match bound.decide(event) {
            Verdict::Holds => Says::Holds,
            Verdict::Not => Says::Not,
            Verdict::Failed(failure) => Says::Failed(failure.to_string()),
        },
    };
    Some(Said { source: condition.source().to_owned(), reads, value })
}

impl fmt::Display for Says {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds => f.write_str("holds for this event"),
            Self::Not => f.write_str("does not hold for this event"),
            Self::Failed(why) => write!(f, "has no value for this event: {why}"),
            Self::Depends => f.write_str("depends on the event"),
            Self::Never => f.write_str("holds for no event, with these claims"),
            Self::Always => f.write_str("holds for every event, with these claims"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoTopic => "denied: there is no such topic",
            Self::NotPublishable => "denied: the topic takes no events from clients",
            Self::Denied => "denied: no grant allows it",
            Self::Allowed => "allowed",
            Self::Admitted => "allowed: the event is let through",
            Self::Withheld(Withheld::Topic) => "withheld: the event lies on another topic",
            Self::Withheld(Withheld::Tenant) => "withheld: the event belongs to another tenant",
            Self::Withheld(Withheld::Condition) => "withheld: no grant's condition holds for the event",
            Self::Withheld(Withheld::Failed) => {
                "withheld: no grant's condition holds for the event, and some have no value for it"
            }
        })
    }
}

/// Longest text that is shown of a value.
const SHOWN: usize = 120;

impl Content<'_> {
    /// What lies at a path, for people.
    fn shown(&self, path: &crate::Path) -> String {
        use crate::Extracted;
        match (self.extract(path), self.raw(path)) {
            (Extracted::Missing, _) => "missing".to_owned(),
            (Extracted::Ambiguous, _) => "can not be read: an object on the way repeats a member".to_owned(),
            (Extracted::Text(text), _) => format!("{:?}", text.chars().take(SHOWN).collect::<String>()),
            (Extracted::Other, Some(raw)) => raw.chars().take(SHOWN).collect(),
            (Extracted::Other, None) => "null".to_owned(),
        }
    }
}

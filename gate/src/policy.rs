//! Grants: who may do what. Nothing is allowed without one.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use crate::condition::Condition;
use crate::decision::{Facts, Withheld};
use crate::rule::{Reads, Rule};
use crate::{Access, PhysicalName, Principal, Scope, TopicPattern, TopicRule};

/// Every topic and every grant. Deny by default.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    topics: HashMap<Arc<str>, TopicRule>,
    grants: HashMap<Arc<str>, Vec<Grant>>,
    reads: HashMap<Arc<str>, Arc<Reads>>,
}

/// Lets holders of a role do something on topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Who: holders of this role.
    pub role: Arc<str>,
    /// What.
    pub allow: Vec<Action>,
    /// On which logical topics.
    pub topics: Vec<TopicPattern>,
    /// Whose rows of the ledger `observe` shows; of no meaning for anything else.
    pub tenants: Tenants,
    /// Whether positions on the log are shown.
    pub positions: Positions,
    /// Which events: those for which it holds; all, without one.
    pub condition: Option<Arc<Condition>>,
    /// Where it was written, for those who ask why.
    pub origin: Arc<str>,
}

impl Grant {
    /// Whether it is about this action on this topic.
    pub(crate) fn speaks(&self, action: Action, topic: &str) -> bool {
        self.allow.contains(&action) && self.covers(topic)
    }

    /// Whether it is about this topic.
    pub(crate) fn covers(&self, topic: &str) -> bool {
        self.topics.iter().any(|pattern| pattern.matches(topic))
    }
}

/// What a grant can allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Receive events.
    Subscribe,
    /// Put events on the log.
    Publish,
    /// Ask, and receive the answers to one's own requests.
    Request,
    /// Answer requests.
    Respond,
    /// Begin at the oldest event or at a time.
    Replay,
    /// Send dead letters again.
    Redrive,
    /// See the ledger.
    Observe,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 7] =
        [Self::Subscribe, Self::Publish, Self::Request, Self::Respond, Self::Replay, Self::Redrive, Self::Observe];

    /// Its name in a grant.
    pub fn name(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Request => "request",
            Self::Respond => "respond",
            Self::Replay => "replay",
            Self::Redrive => "redrive",
            Self::Observe => "observe",
        }
    }
}

/// A name that is none of [`Action::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no action: subscribe, publish, request, respond, replay, redrive, observe")]
pub struct UnknownAction;

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(name: &str) -> Result<Self, UnknownAction> {
        Self::ALL.into_iter().find(|action| action.name() == name).ok_or(UnknownAction)
    }
}

/// Whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Tenants {
    /// The principal's own tenant.
    #[default]
    Own,
    /// Every tenant; for `observe` only.
    All,
}

/// Whether a reader is shown partitions and offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Positions {
    /// It sees sealed cursors only.
    #[default]
    Hidden,
    /// It sees them: operators and their tools.
    Raw,
}

/// The one answer to what is not granted, whether it exists or not: a page must not be able to find out
/// which topics there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not allowed, or no such topic")]
pub struct Denied;

/// Leave to offer an event to a topic: what it is to be stamped with. The yes to the event itself is a
/// [`PublishAccess`], and comes when the event is stamped.
///
/// ```
/// # fn asks(offer: tidegate_gate::Offer, event: &impl tidegate_gate::Facts) -> Option<tidegate_gate::PublishAccess> {
/// offer.admit(event).ok()
/// # }
/// ```
///
/// ```compile_fail,E0616
/// # fn forgets(offer: tidegate_gate::Offer) -> tidegate_gate::PublishAccess {
/// offer.access
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    access: PublishAccess,
    rule: Rule,
}

impl Offer {
    /// The logical topic.
    pub fn topic(&self) -> &Arc<str> {
        &self.access.topic
    }

    /// The tenant that events are stamped with.
    pub fn tenant(&self) -> &Arc<str> {
        &self.access.tenant
    }

    /// The identity that events are stamped with.
    pub fn subject(&self) -> &Arc<str> {
        &self.access.subject
    }

    /// Leave to put this event, as it will stand on the log, onto the topic.
    pub fn admit(self, event: &impl Facts) -> Result<PublishAccess, Withheld> {
        self.rule.decide(event)?;
        Ok(self.access)
    }
}

/// Leave to put events onto a topic. Made by [`Offer::admit`] only.
///
/// ```compile_fail,E0451
/// # fn forge(text: std::sync::Arc<str>) {
/// let (topic, physical, tenant, subject) = (text.clone(), text.clone(), text.clone(), text);
/// let forged = tidegate_gate::PublishAccess { topic, physical, tenant, subject };
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishAccess {
    topic: Arc<str>,
    physical: Arc<str>,
    tenant: Arc<str>,
    subject: Arc<str>,
}

impl PublishAccess {
    /// The logical topic.
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// The topic on the log.
    pub fn physical(&self) -> &Arc<str> {
        &self.physical
    }

    /// The tenant that events are stamped with.
    pub fn tenant(&self) -> &Arc<str> {
        &self.tenant
    }

    /// The identity that events are stamped with.
    pub fn subject(&self) -> &Arc<str> {
        &self.subject
    }
}

/// What a principal may see of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Observe {
    tenant: Arc<str>,
    own: Vec<TopicPattern>,
    all: Vec<TopicPattern>,
}

impl Observe {
    /// Whether it may see a row of this tenant and logical topic.
    pub fn sees(&self, tenant: &str, topic: &str) -> bool {
        let any = |patterns: &[TopicPattern]| patterns.iter().any(|pattern| pattern.matches(topic));
        any(&self.all) || (tenant == &*self.tenant && any(&self.own))
    }

    /// Whether it may see what belongs to the node rather than to a tenant: lag, sessions in all.
    pub fn all_tenants(&self) -> bool {
        !self.all.is_empty()
    }

    /// The principal's own tenant.
    pub fn tenant(&self) -> &Arc<str> {
        &self.tenant
    }
}

impl Policy {
    /// The policy of these topics and grants.
    pub fn new(topics: impl IntoIterator<Item = TopicRule>, grants: impl IntoIterator<Item = Grant>) -> Self {
        let mut by_role: HashMap<Arc<str>, Vec<Grant>> = HashMap::new();
        for grant in grants {
            by_role.entry(grant.role.clone()).or_default().push(grant);
        }
        let topics: HashMap<_, _> = topics.into_iter().map(|topic| (topic.name.clone(), topic)).collect();
        let all = || by_role.values().flatten();
        let reads = |topic: &Arc<str>| {
            let speaks = |grant: &&Grant| grant.speaks(Action::Subscribe, topic);
            Arc::new(Reads::of(all().filter(speaks).filter_map(|grant| grant.condition.as_ref())))
        };
        let reads = topics.keys().map(|topic| (topic.clone(), reads(topic))).collect();
        Self { topics, grants: by_role, reads }
    }

    /// What conditions read of a topic's events.
    pub fn reads(&self, topic: &str) -> Option<&Arc<Reads>> {
        self.reads.get(topic)
    }

    /// Leave to receive a topic's events.
    pub fn subscribe(&self, principal: &Principal, topic: &str) -> Result<Access, Denied> {
        let (topic, rule) = self.granted(principal, Action::Subscribe, topic)?;
        let scope = if topic.public { Scope::Public } else { Scope::Tenant(principal.tenant.clone()) };
        Ok(Access::grant(topic.name.clone(), topic.physical.of(&principal.tenant), scope, rule))
    }

    /// Leave to offer events to a topic.
    pub fn offer(&self, principal: &Principal, topic: &str) -> Result<Offer, Denied> {
        let (topic, rule) = self.granted(principal, Action::Publish, topic)?;
        let access = PublishAccess {
            topic: topic.name.clone(),
            physical: topic.physical.of(&principal.tenant),
            tenant: principal.tenant.clone(),
            subject: principal.subject.clone(),
        };
        Ok(Offer { access, rule })
    }

    /// Whether some grant allows it, on a topic that exists, whatever the grant's condition: for what is no
    /// event, such as where to begin. What is seen from there is what [`Policy::subscribe`] lets through.
    pub fn may(&self, principal: &Principal, action: Action, topic: &str) -> bool {
        self.allowed(principal, action, topic).is_ok()
    }

    /// What the principal may see of the ledger, if anything.
    pub fn observe(&self, principal: &Principal) -> Option<Observe> {
        let mut observe = Observe { tenant: principal.tenant.clone(), own: Vec::new(), all: Vec::new() };
        for grant in self.grants_of(principal).filter(|grant| grant.allow.contains(&Action::Observe)) {
            let patterns = match grant.tenants {
                Tenants::Own => &mut observe.own,
                Tenants::All => &mut observe.all,
            };
            patterns.extend(grant.topics.iter().cloned());
        }
        (!observe.own.is_empty() || !observe.all.is_empty()).then_some(observe)
    }

    /// Whether the principal is shown positions on this topic's log.
    pub fn positions(&self, principal: &Principal, topic: &str) -> Positions {
        let shown = self.grants_of(principal).filter(|grant| grant.topics.iter().any(|t| t.matches(topic)));
        shown.map(|grant| grant.positions).max().unwrap_or_default()
    }

    /// The physical name of a topic for a tenant, granted or not: for the bridge itself.
    pub fn physical(&self, topic: &str) -> Option<&PhysicalName> {
        self.topics.get(topic).map(|rule| &rule.physical)
    }

    pub(crate) fn all_grants(&self) -> impl Iterator<Item = &Grant> {
        let mut grants: Vec<&Grant> = self.grants.values().flatten().collect();
        grants.sort_by(|one, other| natural(&one.origin).cmp(&natural(&other.origin)));
        grants.into_iter()
    }

    pub(crate) fn is_publishable(&self, topic: &str) -> bool {
        self.topics.get(topic).is_some_and(|rule| rule.publishable)
    }

    fn allowed(&self, principal: &Principal, action: Action, topic: &str) -> Result<&TopicRule, Denied> {
        let granted = self.grants_of(principal).any(|grant| grant.speaks(action, topic));
        self.topic(action, topic).filter(|_| granted).ok_or(Denied)
    }

    /// The topic, and which events of it.
    fn granted(&self, principal: &Principal, action: Action, topic: &str) -> Result<(&TopicRule, Rule), Denied> {
        let grants = self.grants_of(principal).filter(|grant| grant.speaks(action, topic));
        let rule = Rule::of(grants.map(|grant| grant.condition.as_ref()), principal, topic);
        // Looked up in any case, so that the time taken does not tell either.
        self.topic(action, topic).zip(rule).ok_or(Denied)
    }

    fn topic(&self, action: Action, topic: &str) -> Option<&TopicRule> {
        self.topics.get(topic).filter(|rule| action != Action::Publish || rule.publishable)
    }

    fn grants_of<'a>(&'a self, principal: &'a Principal) -> impl Iterator<Item = &'a Grant> {
        principal.roles.iter().filter_map(|role| self.grants.get(role)).flatten()
    }
}

/// Origins in the order of their lines: `tidegate.toml:9` before `tidegate.toml:10`.
fn natural(origin: &str) -> (&str, usize) {
    let (file, line) = origin.rsplit_once(':').unwrap_or((origin, ""));
    (file, line.parse().unwrap_or(0))
}

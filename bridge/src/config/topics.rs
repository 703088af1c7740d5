//! `[topics.NAME]`: what topics there are, how they lie on the log, and whose events they hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_gate::{PhysicalName, TopicRule};
use tidegate_protocol::ids;

use super::problem::Place;
use super::section::{self, Section};
use super::tenant::{self, TenantFrom};
use crate::json_pointer::JsonPointer;

/// `[topics]`, by logical name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topics(BTreeMap<Arc<str>, Topic>);

/// `[topics.NAME]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Logical name.
    pub name: Arc<str>,
    /// What it is called on the log.
    pub physical: PhysicalName,
    /// The one place that says whose an event is. `None`: the topic is public, and nobody's.
    pub tenant: Option<TenantFrom>,
    /// What keys look like.
    pub key: KeyForm,
    /// How records are read.
    pub format: Format,
}

/// What a topic's keys look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyForm {
    /// As producers choose.
    #[default]
    Plain,
    /// `tenant/key`: tenants that share a topic can not compact or reorder each other's events.
    TenantKey,
}

/// How a topic's records are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// Tidegate's envelope.
    Envelope,
    /// Any JSON.
    Json(JsonFormat),
    /// `CloudEvents`, binary and structured.
    CloudEvents,
}

/// `[topics.NAME.json]`: where an envelope's members come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonFormat {
    /// `type`
    pub event_type: TypeFrom,
    /// `id`; without it, one made of the record's position.
    pub id: Option<JsonPointer>,
    /// What the event's key is; without it, the record's.
    pub key: Option<JsonPointer>,
    /// `timestamp`; without it, the record's.
    pub timestamp: Option<JsonPointer>,
    /// `correlation_id`; without it, the `id`.
    pub correlation_id: Option<JsonPointer>,
}

/// Where a JSON record's event type comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeFrom {
    /// It is always this one.
    Constant(Arc<str>),
    /// A place in the record.
    Member(JsonPointer),
}

impl Topics {
    /// The topic of a logical name.
    pub fn get(&self, name: &str) -> Option<&Topic> {
        self.0.get(name)
    }

    /// All topics, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Topic> {
        self.0.values()
    }
}

impl Topic {
    /// Whether its events are nobody's, and shown to whoever is granted the topic.
    pub fn public(&self) -> bool {
        self.tenant.is_none()
    }

    /// Whether several tenants' events lie side by side in one physical topic.
    pub fn shared(&self) -> bool {
        !self.physical.per_tenant()
    }

    /// Whether pages may be granted to put events on it: an envelope must be what it holds.
    pub fn publishable(&self) -> bool {
        self.format == Format::Envelope && (!self.shared() || self.key == KeyForm::TenantKey)
    }

    pub(super) fn rule(&self) -> TopicRule {
        TopicRule {
            name: self.name.clone(),
            physical: self.physical.clone(),
            public: self.public(),
            publishable: self.publishable(),
        }
    }
}

/// A topic and where it stands, for what is checked across sections.
pub(super) type Placed = (Topic, Place);

pub(super) fn read(section: &Section<'_>) -> Vec<Placed> {
    let topics = section.sections();
    topics.into_iter().filter_map(|(name, inner)| read_topic(name, inner)).collect()
}

pub(super) fn collect(topics: Vec<Placed>) -> Topics {
    Topics(topics.into_iter().map(|(topic, _)| (topic.name.clone(), topic)).collect())
}

fn read_topic(name: &str, mut section: Section<'_>) -> Option<Placed> {
    if !ids::is_topic(name) {
        section.problem_here("a topic's name is words of letters, digits, '_' or '-', with dots between");
    } else if name.starts_with("_tidegate") {
        section.problem_here("names that begin with _tidegate are the bridge's own");
    }
    let given = section.has("physical");
    let physical = section.parsed("physical").or_else(|| name.parse().ok().filter(|_| !given));
    let public = section.flag("public").unwrap_or(false);
    let key = section.choice("key", &[("plain", KeyForm::Plain), ("tenant/key", KeyForm::TenantKey)]);
    let format = read_format(&mut section);
    let tenant = tenant::read(&mut section, physical.as_ref(), public, format.as_ref());
    let place = section.place().clone();
    section.finish();
    let topic = Topic {
        name: name.into(),
        physical: physical?,
        tenant: if public { None } else { Some(tenant?) },
        key: key.unwrap_or_default(),
        format: format?,
    };
    Some((topic, place))
}

#[derive(Clone, Copy, PartialEq)]
enum FormatName {
    Envelope,
    Json,
    CloudEvents,
}

fn read_format(section: &mut Section<'_>) -> Option<Format> {
    let names =
        [("envelope", FormatName::Envelope), ("json", FormatName::Json), ("cloudevents", FormatName::CloudEvents)];
    let wrong = section.has("format");
    let name = section.choice("format", &names).or_else(|| (!wrong).then_some(FormatName::Envelope));
    let has_json = section.has("json");
    let json = section.section("json");
    match name? {
        FormatName::Json => {
            if !has_json {
                section.problem("json", "format = \"json\" needs json.type: a type, or a pointer to one");
            }
            json.and_then(read_json).map(Format::Json)
        }
        other => {
            if has_json {
                section.problem("json", "is of use with format = \"json\" only");
            }
            Some(if other == FormatName::Envelope { Format::Envelope } else { Format::CloudEvents })
        }
    }
}

fn read_json(mut section: Section<'_>) -> Option<JsonFormat> {
    if !section.has("type") {
        section.problem("type", "is needed: a type such as \"order.changed\", or a pointer such as \"/kind\"");
    }
    let event_type = section.read("type", |value| match section::text(value)? {
        pointer if pointer.starts_with('/') => section::parsed(pointer).map(TypeFrom::Member),
        name if ids::is_event_type(name) => Ok(TypeFrom::Constant(name.into())),
        name => Err(format!("{name:?} is neither an event type (words with dots between) nor a pointer")),
    });
    let format =
        [section.parsed("id"), section.parsed("key"), section.parsed("timestamp"), section.parsed("correlation_id")];
    section.finish();
    let [id, key, timestamp, correlation_id] = format;
    Some(JsonFormat { event_type: event_type?, id, key, timestamp, correlation_id })
}

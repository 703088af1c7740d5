//! The configured topics, as the feed reads them and as publishing writes them.

use std::collections::HashMap;
use std::sync::Arc;

use tidegate_gate::Policy;

use super::decode::{Format, JsonFormat, TenantSource, TopicSpec, TypeSource};
use crate::config::{self, KeyForm, TenantFrom, Topics, TypeFrom};

/// Finds how a physical topic is read, and how a logical one is published to.
#[derive(Debug)]
pub struct TopicTable {
    topics: Arc<Topics>,
    policy: Arc<Policy>,
    max_event: usize,
    forms: HashMap<Arc<str>, PublishForm>,
}

/// How an event that is published becomes a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishForm {
    /// The key is the publisher's.
    Plain {
        /// A header that must name the tenant.
        tenant_header: Option<String>,
    },
    /// The key is `tenant/key`.
    TenantKey {
        /// A header that must name the tenant.
        tenant_header: Option<String>,
    },
    /// The key is the tenant.
    KeyIsTenant,
}

impl TopicTable {
    /// The table of the configured topics; `max_event` is the largest record that is read, in bytes.
    pub fn new(topics: Arc<Topics>, policy: Arc<Policy>, max_event: usize) -> Self {
        let envelopes = topics.iter().filter(|topic| topic.format == config::Format::Envelope);
        let forms = envelopes.map(|topic| (Arc::clone(&topic.name), publish_form(topic))).collect();
        Self { topics, policy, max_event, forms }
    }

    /// How the topic of this physical name is read; `None` if none is configured.
    pub fn spec(&self, physical: &str) -> Option<TopicSpec> {
        let named = |topic: &config::Topic| {
            if topic.physical.per_tenant() {
                topic.physical.tenant_of(physical).map(|tenant| Some(Arc::from(tenant)))
            } else {
                (*topic.physical.of("") == *physical).then_some(None)
            }
        };
        // A name that is spelled out goes before one that only fits a template.
        let found = self.topics.iter().filter_map(|topic| Some((topic, named(topic)?)));
        let (topic, named_tenant) = found.min_by_key(|(_, tenant)| tenant.is_some())?;
        Some(TopicSpec {
            logical: Arc::clone(&topic.name),
            physical: physical.into(),
            named_tenant,
            tenant: tenant_source(topic),
            tenant_key: topic.key == KeyForm::TenantKey,
            format: format(topic),
            reads: self.policy.reads(&topic.name).filter(|reads| reads.is_conditional()).cloned(),
            max_event: self.max_event,
        })
    }

    /// How events are published to a logical topic; `None` if it is not of the envelope format, which is not published to.
    pub fn form(&self, logical: &str) -> Option<&PublishForm> {
        self.forms.get(logical)
    }
}

fn tenant_source(topic: &config::Topic) -> TenantSource {
    match &topic.tenant {
        None => TenantSource::Nobody,
        Some(TenantFrom::Name) => TenantSource::Name,
        Some(TenantFrom::Header(name)) => TenantSource::Header(name.to_string()),
        Some(TenantFrom::Key) => TenantSource::Key,
        Some(TenantFrom::Envelope | TenantFrom::Member(_)) => TenantSource::Envelope,
    }
}

fn format(topic: &config::Topic) -> Format {
    match &topic.format {
        config::Format::Envelope => Format::Envelope,
        config::Format::CloudEvents => Format::CloudEvents,
        config::Format::Json(json) => Format::Json(JsonFormat {
            event_type: match &json.event_type {
                TypeFrom::Constant(name) => TypeSource::Constant(name.to_string()),
                TypeFrom::Member(at) => TypeSource::Pointer(at.clone()),
            },
            id: json.id.clone(),
            correlation_id: json.correlation_id.clone(),
            time: json.timestamp.clone(),
            key: json.key.clone(),
            tenant: match &topic.tenant {
                Some(TenantFrom::Member(at)) => Some(at.clone()),
                _ => None,
            },
        }),
    }
}

fn publish_form(topic: &config::Topic) -> PublishForm {
    let tenant_header = match &topic.tenant {
        Some(TenantFrom::Header(name)) => Some(name.to_string()),
        _ => None,
    };
    match (topic.key, &topic.tenant) {
        (KeyForm::TenantKey, _) => PublishForm::TenantKey { tenant_header },
        (KeyForm::Plain, Some(TenantFrom::Key)) => PublishForm::KeyIsTenant,
        (KeyForm::Plain, _) => PublishForm::Plain { tenant_header },
    }
}

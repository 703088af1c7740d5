//! Records and topics for the tests of the formats.

use serde_json::Value;
use tidegate_log::{Headers, Record, TopicKey};

use super::{Format, Outcome, Reason, TenantSource, TopicSpec, decode};
use crate::feed::round::Round;

pub(super) const ID: &str = "0197f9a2-6c00-7aaa-8bbb-0123456789ab";

/// A topic whose tenant is in the header `tenant`.
pub(super) fn topic(format: Format) -> TopicSpec {
    TopicSpec {
        reads: None,
        logical: "orders".into(),
        physical: "shared.orders".into(),
        named_tenant: None,
        tenant: TenantSource::Header("tenant".into()),
        tenant_key: false,
        format,
        max_event: 1 << 20,
    }
}

/// A record that owns what it is made of.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: List,
    pub(super) offset: i64,
}

#[derive(Debug, Clone)]
pub(super) struct List(pub(super) Vec<(String, Option<Vec<u8>>)>);

impl Headers for List {
    fn visit<'h>(&'h self, each: &mut dyn FnMut(&'h str, Option<&'h [u8]>) -> bool) {
        for (name, value) in &self.0 {
            if !each(name, value.as_deref()) {
                return;
            }
        }
    }
}

/// A record with that value and nothing else.
pub(super) fn given(value: impl Into<Vec<u8>>) -> Given {
    Given { key: None, value: Some(value.into()), headers: List(Vec::new()), offset: 7 }
}

impl Given {
    pub(super) fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    pub(super) fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.0.push((name.to_owned(), Some(value.into())));
        self
    }

    pub(super) fn null_header(mut self, name: &str) -> Self {
        self.headers.0.push((name.to_owned(), None));
        self
    }

    /// With the header that [`topic`] takes the tenant from.
    pub(super) fn acme(self) -> Self {
        self.header("tenant", "acme")
    }

    pub(super) fn decode(&self, spec: &TopicSpec, round: &mut Round) -> Outcome {
        let record = Record {
            partition: 3,
            offset: self.offset,
            timestamp: Some(1_000),
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &self.headers,
        };
        decode(spec, TopicKey(1), &record, round)
    }

    /// The tenant, the type and the wire form of the event that this is.
    pub(super) fn entry(&self, spec: &TopicSpec) -> Result<(String, String, String), Reason> {
        let mut round = Round::default();
        match self.decode(spec, &mut round) {
            Outcome::Event => {
                let [entry] = round.entries[..] else { panic!("one event, one entry") };
                assert_eq!((entry.topic, entry.partition, entry.offset), (TopicKey(1), 3, self.offset));
                let wire = String::from_utf8(round.wire(&entry).to_vec()).unwrap();
                Ok((round.tenant(&entry).to_owned(), round.event_type(&entry).to_owned(), wire))
            }
            Outcome::Quarantined(reason) => {
                assert!(round.is_empty(), "what is quarantined leaves nothing in the round");
                Err(reason)
            }
            Outcome::Tombstone => panic!("a tombstone"),
        }
    }

    /// The wire form, parsed.
    pub(super) fn wire(&self, spec: &TopicSpec) -> Result<Value, Reason> {
        self.entry(spec).map(|(_, _, wire)| serde_json::from_str(&wire).unwrap())
    }

    /// The name of the reason for which this is quarantined.
    pub(super) fn refused(&self, spec: &TopicSpec) -> &'static str {
        self.entry(spec).map_or_else(|reason| reason.name(), |entry| panic!("accepted: {entry:?}"))
    }
}

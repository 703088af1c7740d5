//! Stamping: what the bridge replaces or adds on `publish`. All other bytes are copied as they came.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::validate::{Head, Invalid};
use crate::ENVELOPE_VERSION;
use crate::json::{quoted, write};

/// Who publishes, and what fills the members that are absent.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'a> {
    /// The token's tenant.
    pub tenant: &'a str,
    /// The token's subject.
    pub subject: &'a str,
    /// A fresh id, for an event without one.
    pub id: &'a str,
    /// The time now, RFC 3339, for an event without one.
    pub timestamp: &'a str,
}

/// An event as it goes onto the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamped {
    /// The whole envelope.
    pub text: String,
    /// Its `id`.
    pub id: String,
    /// Its `type`.
    pub event_type: String,
    /// Its `correlation_id`.
    pub correlation_id: String,
    /// The key that keeps its order unless another was given: `action.target`, else `correlation_id`.
    pub key: String,
    /// Its `traceparent`, if any.
    pub traceparent: Option<String>,
}

impl Head<'_> {
    /// Stamps the event. The members must have passed [`Head::check`].
    pub fn stamp(&self, stamp: &Stamp<'_>) -> Result<Stamped, Invalid> {
        let id = self.text("id")?.unwrap_or(Cow::Borrowed(stamp.id));
        let event_type = match (self.text("type")?, self.command(), self.response_command()) {
            (Some(given), _, _) => given,
            (None, _, Some(command)) => Cow::Owned(format!("response.{command}")),
            (None, Some(command), None) => Cow::Owned(format!("request.{command}")),
            (None, None, None) => {
                return Err(Invalid::new("/type", "is missing, and neither action nor response names a command"));
            }
        };
        if !crate::ids::is_event_type(&event_type) {
            return Err(Invalid::new(
                "/type",
                format!("the default type {:?} is not a valid type; name one", quoted(&event_type)),
            ));
        }
        let correlation_id = self.text("correlation_id")?.unwrap_or_else(|| id.clone());
        // A response is stamped with who answers, anything else with who asks; neither can be claimed.
        let response = self.member("response").is_some();
        let mut ours: Vec<(&str, &str)> = vec![("tenant_id", stamp.tenant)];
        if response || self.member("responder").is_some() {
            ours.push(("responder", stamp.subject));
        }
        if !response && (self.member("action").is_some() || self.member("requester").is_some()) {
            ours.push(("requester", stamp.subject));
        }
        for (name, value) in [
            ("version", ENVELOPE_VERSION),
            ("id", &id),
            ("type", &event_type),
            ("correlation_id", &correlation_id),
            ("timestamp", stamp.timestamp),
        ] {
            if self.member(name).is_none() {
                ours.push((name, value));
            }
        }
        let key = self.target().unwrap_or_else(|| correlation_id.clone()).into_owned();
        Ok(Stamped {
            text: self.splice(&ours),
            key,
            traceparent: self.text("traceparent")?.map(Cow::into_owned),
            id: id.into_owned(),
            event_type: event_type.into_owned(),
            correlation_id: correlation_id.into_owned(),
        })
    }

    /// Copies the text with the values of `ours` put in place of members of the same name, and the rest of
    /// `ours` added in front.
    pub fn splice(&self, ours: &[(&str, &str)]) -> String {
        let mut out = String::with_capacity(self.text.len() + 64 * ours.len());
        self.splice_into(&mut out, ours);
        out
    }

    /// Like [`Head::splice`], appending to `out`.
    pub fn splice_into<V: AsRef<str>>(&self, out: &mut String, ours: &[(&str, V)]) {
        let open = self.text.find('{').map_or(0, |at| at + 1);
        out.push('{');
        let mut first = true;
        for (name, value) in ours.iter().filter(|(name, _)| !self.members.iter().any(|m| m.name == *name)) {
            if !core::mem::take(&mut first) {
                out.push(',');
            }
            write::string(out, name);
            out.push(':');
            write::string(out, value.as_ref());
        }
        if !first && !self.members.is_empty() {
            out.push(',');
        }
        let mut from = open;
        for member in &self.members {
            if let Some((_, value)) = ours.iter().find(|(name, _)| member.name == *name) {
                out.push_str(&self.text[from..member.at]);
                write::string(out, value.as_ref());
                from = member.at + member.value.len();
            }
        }
        out.push_str(&self.text[from..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp<'_> = Stamp {
        tenant: "acme",
        subject: "ada",
        id: "00000000-0001-7000-8000-000000000000",
        timestamp: "2026-11-21T00:00:00.000Z",
    };

    fn stamp(text: &str) -> Result<Stamped, Invalid> {
        Head::read(text)?.stamp(&STAMP)
    }

    #[test]
    fn fills_what_is_absent_and_keeps_every_other_byte() {
        let stamped = stamp(r#"{ "type" : "order.viewed","n": 1.50e+01 ,"data":{"a" :[ 1 ]}}"#).unwrap();
        assert_eq!(
            stamped.text,
            r#"{"tenant_id":"acme","version":"1.0","id":"00000000-0001-7000-8000-000000000000","correlation_id":"00000000-0001-7000-8000-000000000000","timestamp":"2026-11-21T00:00:00.000Z", "type" : "order.viewed","n": 1.50e+01 ,"data":{"a" :[ 1 ]}}"#
        );
        assert_eq!(stamped.key, STAMP.id);
    }

    #[test]
    fn a_page_can_not_claim_another_tenant_or_identity() {
        let stamped = stamp(r#"{"tenant_id":"evil","action":{"command":"approve","target":"order/42"},"r\u0065quester":"root","id":null}"#).unwrap();
        let value: serde_json::Value = serde_json::from_str(&stamped.text).unwrap();
        assert_eq!(value["tenant_id"], "acme");
        assert_eq!(value["requester"], "ada");
        assert_eq!(value["id"], STAMP.id);
        assert_eq!((&*stamped.event_type, &*stamped.key), ("request.approve", "order/42"));
        assert!(!stamped.text.contains("evil") && !stamped.text.contains("root"));
    }

    #[test]
    fn a_response_echoes_its_requester() {
        let text = r#"{"requester":"bob","response":{"command":"approve","result":200},"responder":"x"}"#;
        let value: serde_json::Value = serde_json::from_str(&stamp(text).unwrap().text).unwrap();
        assert_eq!((&value["requester"], &value["responder"]), (&"bob".into(), &"ada".into()));
    }

    #[test]
    fn a_type_is_needed() {
        assert_eq!(stamp("{}").unwrap_err().pointer, "/type");
        assert_eq!(stamp(r#"{"action":{"command":"a b"}}"#).unwrap_err().pointer, "/type");
        assert_eq!(stamp(r#"{"type":"a.b"}"#).unwrap().text.matches("type").count(), 1);
    }
}

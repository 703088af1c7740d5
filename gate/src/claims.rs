//! From the claims of a verified token to a [`Principal`].

use std::sync::Arc;

use serde_json::{Map, Value};
use tidegate_protocol::ids;
use tidegate_protocol::timestamp::Millis;

use crate::TokenError;

/// Who a session acts for, as a verified token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The one tenant it belongs to.
    pub tenant: Arc<str>,
    /// The person or program.
    pub subject: Arc<str>,
    /// What grants are given to.
    pub roles: Arc<[Arc<str>]>,
    /// `iat`.
    pub issued_at: Option<Millis>,
    /// `exp`: what clients are told, so that they come with a new token in time.
    pub expires: Millis,
    /// `exp` and the allowed skew: from here on the token counts as expired, and its session is closed.
    pub ends: Millis,
    /// `jti`.
    pub token_id: Option<String>,
    /// All claims, for conditions.
    pub claims: Claims,
}

/// All that a token claims, as it says it. Conditions read it when somebody subscribes or publishes; as text it is a
/// fifth of what it would take as a tree, for as long as the session is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims(Arc<str>);

impl Claims {
    /// Claims that were read from this text.
    pub(crate) fn as_said(text: &str) -> Self {
        Self(text.into())
    }

    /// Reads them.
    pub fn read(&self) -> Map<String, Value> {
        // What is there was read once before. If it were not to be read again, it would say nothing, and allow nothing.
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl From<Map<String, Value>> for Claims {
    fn from(claims: Map<String, Value>) -> Self {
        Self(Value::Object(claims).to_string().into())
    }
}

impl Default for Claims {
    fn default() -> Self {
        Map::new().into()
    }
}

/// Which claims say what. A name is a member of the claims (`tenant`, `https://example.com/tenant`) or,
/// if there is no such member, a path into them (`app.tenant.id`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimMapping {
    /// The tenant: a single string.
    pub tenant: String,
    /// What the tenant's claim must begin with; taken off.
    pub tenant_prefix: Option<String>,
    /// The subject: a single string.
    pub subject: String,
    /// The roles: an array of strings, or one string with spaces or commas between them.
    pub roles: String,
    /// What a role must begin with to count; taken off.
    pub role_prefix: Option<String>,
}

impl Default for ClaimMapping {
    fn default() -> Self {
        Self {
            tenant: "tenant".into(),
            tenant_prefix: None,
            subject: "sub".into(),
            roles: "roles".into(),
            role_prefix: None,
        }
    }
}

impl ClaimMapping {
    pub(crate) fn tenant(&self, claims: &Map<String, Value>) -> Result<Arc<str>, TokenError> {
        let bad = |problem| bad(&self.tenant, problem);
        let value = find(claims, &self.tenant).ok_or_else(|| bad("is missing: it must name the one tenant"))?;
        let text = value.as_str().ok_or_else(|| bad("must be a single string: the one tenant"))?;
        let tenant = match &self.tenant_prefix {
            Some(prefix) => text.strip_prefix(&**prefix).ok_or_else(|| bad("does not begin with tenant_prefix"))?,
            None => text,
        };
        if !ids::is_tenant(tenant) {
            return Err(bad("is no tenant: 1 to 64 letters, digits, '_' or '-'"));
        }
        // The topic `{tenant}.revocations` of such a tenant would be the bridge's own.
        if tenant.starts_with("_tidegate") {
            return Err(bad("names what is the bridge's own: no tenant begins with _tidegate"));
        }
        Ok(tenant.into())
    }

    pub(crate) fn subject(&self, claims: &Map<String, Value>) -> Result<Arc<str>, TokenError> {
        let bad = |problem| bad(&self.subject, problem);
        let value = find(claims, &self.subject).ok_or_else(|| bad("is missing: it must name who this is"))?;
        let text = value.as_str().ok_or_else(|| bad("must be a string"))?;
        if text.is_empty() || text.len() > 255 || text.chars().any(char::is_control) {
            return Err(bad("must be 1 to 255 bytes without control characters"));
        }
        Ok(text.into())
    }

    /// No roles at all is no error: such a principal may do nothing.
    pub(crate) fn roles(&self, claims: &Map<String, Value>) -> Result<Arc<[Arc<str>]>, TokenError> {
        let bad = || bad(&self.roles, "must be an array of strings, or one string of words");
        let names: Vec<&str> = match find(claims, &self.roles) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(text)) => text.split([' ', ',']).collect(),
            Some(Value::Array(items)) => items.iter().map(Value::as_str).collect::<Option<_>>().ok_or_else(bad)?,
            Some(_) => return Err(bad()),
        };
        let counts = |name: &'_ str| -> Option<Arc<str>> {
            let role = match &self.role_prefix {
                Some(prefix) => name.strip_prefix(&**prefix)?,
                None => name,
            };
            (!role.is_empty()).then(|| role.into())
        };
        let mut roles: Vec<_> = names.into_iter().filter_map(counts).collect();
        roles.sort();
        roles.dedup();
        Ok(roles.into())
    }
}

/// A member of that very name, else what lies at the path.
fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| {
        let mut words = name.split('.');
        let first = claims.get(words.next()?)?;
        words.try_fold(first, |value, word| value.get(word))
    })
}

fn bad(claim: &str, problem: &'static str) -> TokenError {
    TokenError::Claim { claim: claim.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(value: impl Into<Value>) -> Map<String, Value> {
        value.into().as_object().unwrap().clone()
    }

    #[test]
    fn the_tenant_is_one_string_of_the_right_form() {
        let mapping = ClaimMapping::default();
        assert_eq!(&*mapping.tenant(&claims(json!({"tenant": "acme-1"}))).unwrap(), "acme-1");
        for bad in [
            json!({}),
            json!({"tenant": null}),
            json!({"tenant": ""}),
            json!({"tenant": "*"}),
            json!({"tenant": "a.b"}),
            json!({"tenant": "a/b"}),
            json!({"tenant": "a,b"}),
            json!({"tenant": " acme"}),
            json!({"tenant": "acme\n"}),
            json!({"tenant": "ácme"}),
            json!({"tenant": ["acme"]}),
            json!({"tenant": ["acme", "globex"]}),
            json!({"tenant": 1}),
            json!({"tenant": {"id": "acme"}}),
            json!({"Tenant": "acme"}),
            json!({"tenant": "a".repeat(65)}),
            json!({"tenant": "_tidegate"}),
        ] {
            assert!(mapping.tenant(&claims(bad.clone())).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_and_names_with_dots() {
        let mapping = |tenant: &str| ClaimMapping { tenant: tenant.into(), ..ClaimMapping::default() };
        let nested = claims(json!({"app": {"org": {"id": "acme"}}, "https://e.com/org.id": "globex"}));
        assert_eq!(&*mapping("app.org.id").tenant(&nested).unwrap(), "acme");
        assert_eq!(&*mapping("https://e.com/org.id").tenant(&nested).unwrap(), "globex");
        assert!(mapping("app.org").tenant(&nested).is_err());
        assert!(mapping("app.org.id.x").tenant(&nested).is_err());
    }

    #[test]
    fn a_prefix_must_be_there_and_is_taken_off() {
        let mapping = ClaimMapping {
            tenant_prefix: Some("org:".into()),
            role_prefix: Some("tide:".into()),
            ..ClaimMapping::default()
        };
        assert_eq!(&*mapping.tenant(&claims(json!({"tenant": "org:acme"}))).unwrap(), "acme");
        assert!(mapping.tenant(&claims(json!({"tenant": "acme"}))).is_err());
        assert!(mapping.tenant(&claims(json!({"tenant": "org:"}))).is_err());
        let roles = mapping.roles(&claims(json!({"roles": ["tide:clerk", "admin", "tide:"]}))).unwrap();
        assert_eq!(&*roles, ["clerk".into()]);
    }

    #[test]
    fn roles_in_three_forms() {
        let mapping = ClaimMapping::default();
        let roles = |value| mapping.roles(&claims(value));
        let expected: Arc<[Arc<str>]> = Arc::new(["clerk".into(), "viewer".into()]);
        assert_eq!(roles(json!({"roles": ["viewer", "clerk", "clerk"]})).unwrap(), expected);
        assert_eq!(roles(json!({"roles": "viewer  clerk"})).unwrap(), expected);
        assert_eq!(roles(json!({"roles": "clerk, viewer"})).unwrap(), expected);
        assert!(roles(json!({})).unwrap().is_empty());
        assert!(roles(json!({"roles": 7})).is_err() && roles(json!({"roles": ["a", 7]})).is_err());
    }

    #[test]
    fn a_subject_is_needed() {
        let mapping = ClaimMapping::default();
        assert_eq!(&*mapping.subject(&claims(json!({"sub": "ada"}))).unwrap(), "ada");
        for bad in [json!({}), json!({"sub": ""}), json!({"sub": 7}), json!({"sub": "a\r\nb"})] {
            assert!(mapping.subject(&claims(bad.clone())).is_err(), "{bad}");
        }
    }
}

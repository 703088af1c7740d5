//! Topic names: logical ones, the patterns of grants over them, and the physical ones they stand for.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use tidegate_protocol::ids;

/// A topic as the policy knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRule {
    /// Logical name.
    pub name: Arc<str>,
    /// What it is called on the log.
    pub physical: PhysicalName,
    /// Its events are of no tenant: whoever is granted the topic sees all of them.
    pub public: bool,
    /// Whether events may be put on it through the bridge at all; then grants decide.
    pub publishable: bool,
}

/// What a logical topic is called on the log; `{tenant}` stands for the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PhysicalName {
    before: Arc<str>,
    /// Present where `{tenant}` stands in the name.
    after: Option<Arc<str>>,
}

/// A name that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadName(&'static str);

impl PhysicalName {
    /// Whether each tenant has its own physical topic.
    pub fn per_tenant(&self) -> bool {
        self.after.is_some()
    }

    /// The name for a tenant.
    pub fn of(&self, tenant: &str) -> Arc<str> {
        match &self.after {
            None => self.before.clone(),
            Some(after) => format!("{}{tenant}{after}", self.before).into(),
        }
    }

    /// The tenant that a physical name speaks of, if it is of this form and names one.
    pub fn tenant_of<'a>(&self, physical: &'a str) -> Option<&'a str> {
        let tenant = physical.strip_prefix(&*self.before)?.strip_suffix(&**self.after.as_ref()?)?;
        ids::is_tenant(tenant).then_some(tenant)
    }
}

impl FromStr for PhysicalName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let (before, after) = match text.split_once("{tenant}") {
            Some((before, after)) => (before, Some(after)),
            None => (text, None),
        };
        let legal = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if !legal(before) || !after.is_none_or(legal) {
            return Err(BadName("may hold letters, digits, '.', '_', '-' and one {tenant}"));
        }
        // A tenant has up to 64 bytes, a Kafka topic up to 249.
        let longest = before.len() + after.map_or(0, |after| after.len() + 64);
        if longest == 0 || longest > 249 || text == "." || text == ".." {
            return Err(BadName("must be a topic name of 1 to 249 bytes, the longest tenant's included"));
        }
        if text.starts_with("_tidegate") {
            return Err(BadName("names that begin with _tidegate are the bridge's own"));
        }
        // "acme" and "acme.eu.orders" must not both be read out of one name.
        if let Some(after) = after {
            let word =
                |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte));
            if word(before.as_bytes().last()) || word(after.as_bytes().first()) {
                return Err(BadName("{tenant} must be set off by dots: tenants may hold '_' and '-' themselves"));
            }
        }
        Ok(Self { before: before.into(), after: after.map(Into::into) })
    }
}

impl fmt::Display for PhysicalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.before)?;
        match &self.after {
            Some(after) => write!(f, "{{tenant}}{after}"),
            None => Ok(()),
        }
    }
}

/// Which logical topics a grant speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TopicPattern {
    /// `*`
    All,
    /// `orders.*`: every name that begins with `orders.`, not `orders` itself.
    Prefix(Arc<str>),
    /// That one.
    Exact(Arc<str>),
}

impl TopicPattern {
    /// Whether it speaks of this topic.
    pub fn matches(&self, topic: &str) -> bool {
        match self {
            Self::All => true,
            Self::Prefix(prefix) => topic.len() > prefix.len() && topic.starts_with(&**prefix),
            Self::Exact(name) => **name == *topic,
        }
    }
}

impl FromStr for TopicPattern {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        match text.strip_suffix(".*") {
            _ if text == "*" => Ok(Self::All),
            Some(words) if ids::is_topic(words) => Ok(Self::Prefix(text[..text.len() - 1].into())),
            None if ids::is_topic(text) => Ok(Self::Exact(text.into())),
            _ => Err(BadName("must be a topic, a prefix such as orders.* or *")),
        }
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Exact(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let pattern = |text: &str| text.parse::<TopicPattern>().unwrap();
        assert!(pattern("*").matches("orders") && pattern("orders").matches("orders"));
        assert!(pattern("orders.*").matches("orders.eu") && pattern("orders.*").matches("orders.eu.x"));
        assert!(!pattern("orders.*").matches("orders") && !pattern("orders.*").matches("ordersx"));
        assert!(!pattern("orders").matches("orders.eu") && !pattern("orders.*").matches("orders."));
        for bad in ["", ".*", "or*", "**", "*.x", "a b", "$ledger", "orders..*"] {
            assert!(bad.parse::<TopicPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn physical_names() {
        let name: PhysicalName = "{tenant}.orders".parse().unwrap();
        assert_eq!(&*name.of("acme"), "acme.orders");
        assert_eq!(name.tenant_of("acme.orders"), Some("acme"));
        for other in ["acme.eu.orders", ".orders", "orders", "acme.orders.x", "a*.orders"] {
            assert_eq!(name.tenant_of(other), None, "{other}");
        }
        assert_eq!(name.to_string(), "{tenant}.orders");
        let shared: PhysicalName = "orders".parse().unwrap();
        assert_eq!((&*shared.of("acme"), shared.tenant_of("orders")), ("orders", None));
        for bad in ["", ".", "a b", "{tenant}-orders", "x_{tenant}", "{tenant}.{tenant}", "_tidegate.x", "a/{tenant}"] {
            assert!(bad.parse::<PhysicalName>().is_err(), "{bad}");
        }
    }
}

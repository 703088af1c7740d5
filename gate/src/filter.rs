//! What a subscriber asks for of a topic: types, perhaps by prefix, and keys.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use tidegate_protocol::ids;

/// Types that one subscription may name.
pub const MAX_TYPES: usize = 128;

/// Keys that one subscription may name.
pub const MAX_KEYS: usize = 64;

/// Longest key that can be asked for, in bytes.
pub const MAX_KEY_BYTES: usize = 1024;

/// One type, or all that begin alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TypePattern {
    /// `order.*`: every type that begins with `order.`.
    Prefix(Arc<str>),
    /// `order.created`: that one.
    Exact(Arc<str>),
}

/// A filter that can not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFilter {
    /// No type and no prefix of types: its place in the list, and the beginning of what stands there.
    #[error("{1:?} is no event type (order.created) and no prefix of types (order.*)")]
    Type(usize, String),
    /// Too many types.
    #[error("names more than {MAX_TYPES} types")]
    Types,
    /// Too many keys.
    #[error("names more than {MAX_KEYS} keys")]
    Keys,
    /// A key that is too long: its place in the list.
    #[error("has more than {MAX_KEY_BYTES} bytes")]
    Key(usize),
}

impl BadFilter {
    /// Where it is wrong: `/types/3`.
    pub fn pointer(&self) -> String {
        match self {
            Self::Type(at, _) => format!("/types/{at}"),
            Self::Types => format!("/types/{MAX_TYPES}"),
            Self::Keys => format!("/keys/{MAX_KEYS}"),
            Self::Key(at) => format!("/keys/{at}"),
        }
    }
}

/// Text that is no type and no prefix of types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no event type (order.created) and no prefix of types (order.*)")]
pub struct BadPattern;

/// What a subscription wants of a topic. Equal filters want the same, in whatever order they were written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Filter {
    types: Option<Arc<Types>>,
    keys: Option<Arc<[Box<str>]>>,
}

/// Sorted, without repeats and without what another pattern covers.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Types {
    exact: Box<[Arc<str>]>,
    prefixes: Box<[Arc<str>]>,
}

impl TypePattern {
    /// Whether it speaks of this type.
    pub fn matches(&self, event_type: &str) -> bool {
        match self {
            Self::Prefix(prefix) => event_type.len() > prefix.len() && event_type.starts_with(&**prefix),
            Self::Exact(name) => **name == *event_type,
        }
    }
}

impl FromStr for TypePattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        match text.strip_suffix(".*") {
            // The words before the dot are formed as a topic's are: one or more.
            Some(words) if ids::is_topic(words) => Ok(Self::Prefix(text[..text.len() - 1].into())),
            None if ids::is_event_type(text) => Ok(Self::Exact(text.into())),
            _ => Err(BadPattern),
        }
    }
}

impl fmt::Display for TypePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Exact(name) => f.write_str(name),
        }
    }
}

impl Filter {
    /// The filter of these types and keys; an empty list asks for all.
    pub fn new<T: AsRef<str>, K: AsRef<str>>(types: &[T], keys: &[K]) -> Result<Self, BadFilter> {
        if types.len() > MAX_TYPES {
            return Err(BadFilter::Types);
        }
        if keys.len() > MAX_KEYS {
            return Err(BadFilter::Keys);
        }
        let pattern = |(at, text): (usize, &T)| {
            let text = text.as_ref();
            text.parse().map_err(|BadPattern| BadFilter::Type(at, text.chars().take(64).collect()))
        };
        let patterns = types.iter().enumerate().map(pattern).collect::<Result<Vec<TypePattern>, _>>()?;
        if let Some(at) = keys.iter().position(|key| key.as_ref().len() > MAX_KEY_BYTES) {
            return Err(BadFilter::Key(at));
        }
        let mut keys: Vec<Box<str>> = keys.iter().map(|key| key.as_ref().into()).collect();
        keys.sort_unstable();
        keys.dedup();
        Ok(Self {
            types: (!patterns.is_empty()).then(|| Arc::new(Types::of(patterns))),
            keys: (!keys.is_empty()).then(|| keys.into()),
        })
    }

    /// Whether events of this type are wanted.
    pub fn wants_type(&self, event_type: &str) -> bool {
        self.types.as_ref().is_none_or(|types| types.matches(event_type))
    }

    /// Whether an event with this key is wanted; one without a key only where no keys are named.
    pub fn wants_key(&self, key: Option<&str>) -> bool {
        let named =
            |keys: &Arc<[Box<str>]>| key.is_some_and(|key| keys.binary_search_by(|known| (**known).cmp(key)).is_ok());
        self.keys.as_ref().is_none_or(named)
    }

    /// The keys that it names, sorted; `None` where all are wanted. For an index.
    pub fn keys(&self) -> Option<&[Box<str>]> {
        self.keys.as_deref()
    }
}

impl Types {
    fn of(mut patterns: Vec<TypePattern>) -> Self {
        patterns.sort_unstable();
        patterns.dedup();
        let (mut exact, mut prefixes): (Vec<Arc<str>>, Vec<Arc<str>>) = (Vec::new(), Vec::new());
        for pattern in patterns {
            match pattern {
                // Sorted, and prefixes first: what covers this one has come before it.
                TypePattern::Prefix(prefix) if !prefixes.iter().any(|wider| prefix.starts_with(&**wider)) => {
                    prefixes.push(prefix);
                }
                TypePattern::Exact(name) if !prefixes.iter().any(|wider| name.starts_with(&**wider)) => {
                    exact.push(name);
                }
                TypePattern::Prefix(_) | TypePattern::Exact(_) => {}
            }
        }
        Self { exact: exact.into(), prefixes: prefixes.into() }
    }

    fn matches(&self, event_type: &str) -> bool {
        self.exact.binary_search_by(|known| (**known).cmp(event_type)).is_ok()
            || self.prefixes.iter().any(|prefix| event_type.len() > prefix.len() && event_type.starts_with(&**prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 0] = [];

    #[test]
    fn patterns() {
        let pattern = |text: &str| text.parse::<TypePattern>().unwrap();
        assert!(pattern("order.*").matches("order.created") && pattern("order.*").matches("order.line.added"));
        assert!(!pattern("order.*").matches("orders.created") && !pattern("order.*").matches("order."));
        assert!(pattern("order.created").matches("order.created") && !pattern("order.created").matches("order.create"));
        for bad in ["", "*", "order", ".*", "order.**", "or*", "*.created", "order..*", "a b.*", "order.*.x"] {
            assert!(bad.parse::<TypePattern>().is_err(), "{bad}");
        }
        assert_eq!(pattern("order.*").to_string(), "order.*");
    }

    #[test]
    fn what_wants_the_same_is_equal() {
        let filter = |types: &[&str]| Filter::new(types, &ALL).unwrap();
        assert_eq!(filter(&["a.b", "c.*", "a.b"]), filter(&["c.*", "c.d", "c.d.*", "a.b"]));
        assert_ne!(filter(&["a.b"]), filter(&[]));
        assert!(filter(&[]).wants_type("any.thing"));
        assert!(filter(&["c.*", "a.b"]).wants_type("c.d") && !filter(&["c.*", "a.b"]).wants_type("b.b"));
    }

    #[test]
    fn keys_are_compared_whole() {
        let filter = Filter::new(&ALL, &["order/42", "order/7"]).unwrap();
        assert!(filter.wants_key(Some("order/42")) && !filter.wants_key(Some("order/4")) && !filter.wants_key(None));
        assert!(Filter::default().wants_key(None));
    }

    #[test]
    fn limited_in_number_and_length() {
        assert_eq!(Filter::new(&vec!["a.b"; MAX_TYPES + 1], &ALL), Err(BadFilter::Types));
        assert_eq!(Filter::new(&ALL, &vec!["k"; MAX_KEYS + 1]), Err(BadFilter::Keys));
        assert_eq!(Filter::new(&ALL, &["k".repeat(MAX_KEY_BYTES + 1)]), Err(BadFilter::Key(0)));
    }

    #[test]
    fn says_where_it_is_wrong() {
        let pointer = |types: &[&str], keys: &[String]| Filter::new(types, keys).unwrap_err().pointer();
        assert_eq!(pointer(&["a.b", "a.*", "a", "b"], &[]), "/types/2");
        assert_eq!(pointer(&[], &[String::new(), "k".repeat(MAX_KEY_BYTES + 1)]), "/keys/1");
        assert_eq!(pointer(&["a.b"; MAX_TYPES + 1], &[]), format!("/types/{MAX_TYPES}"));
    }
}

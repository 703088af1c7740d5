//! JSON decoded into a tree by somebody else's parser, as a browser's `JSON.parse` does it: the second
//! maker of `Value`, so that every vector and property is held against both.

use tidegate_protocol::json::Value;

/// A parsed JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parsed(pub(crate) serde_json::Value);

impl Parsed {
    /// Parses text; `None` if it is not JSON.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }
}

impl Value for Parsed {
    fn member(&self, name: &str) -> Option<Self> {
        self.0.get(name).filter(|value| !value.is_null()).cloned().map(Self)
    }

    fn names(&self) -> Vec<String> {
        self.0.as_object().map(|object| object.keys().cloned().collect()).unwrap_or_default()
    }

    fn items(&self) -> Option<Vec<Self>> {
        Some(self.0.as_array()?.iter().cloned().map(Self).collect())
    }

    fn text(&self) -> Option<String> {
        self.0.as_str().map(str::to_owned)
    }

    fn number(&self) -> Option<f64> {
        self.0.as_f64()
    }

    fn flag(&self) -> Option<bool> {
        self.0.as_bool()
    }

    fn json(&self) -> String {
        self.0.to_string()
    }
}

//! JSON pointers (RFC 6901): parsed once, by the configuration, and followed by the feed.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A JSON pointer to a part of a value: `/order/id`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JsonPointer {
    path: Arc<[String]>,
}

/// Text that is no JSON pointer to a part of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no JSON pointer such as /order/id; in a name, '~' is written ~0 and '/' is written ~1")]
pub struct BadPointer;

impl JsonPointer {
    /// The pointer to a member of the whole value.
    pub fn to_member(name: &str) -> Self {
        Self { path: [name.to_owned()].into() }
    }

    /// The names on the way, unescaped; at least one.
    pub fn path(&self) -> &[String] {
        &self.path
    }
}

impl FromStr for JsonPointer {
    type Err = BadPointer;

    fn from_str(text: &str) -> Result<Self, BadPointer> {
        let path = text.strip_prefix('/').and_then(|path| path.split('/').map(step).collect());
        path.map(|path| Self { path }).ok_or(BadPointer)
    }
}

impl fmt::Display for JsonPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.iter().try_for_each(|name| write!(f, "/{}", name.replace('~', "~0").replace('/', "~1")))
    }
}

fn step(escaped: &str) -> Option<String> {
    let mut rest = escaped.split('~');
    let mut out = rest.next()?.to_owned();
    for part in rest {
        out.push(if part.starts_with('0') { '~' } else { '/' });
        out.push_str(part.strip_prefix(['0', '1'])?);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_it_was_read() {
        for text in ["/", "/a/0", "/m~0n~1o/"] {
            assert_eq!(text.parse::<JsonPointer>().unwrap().to_string(), text);
        }
        assert_eq!("/a~1b/~01".parse::<JsonPointer>().unwrap().path(), ["a/b", "~1"]);
    }

    #[test]
    fn refuses_what_is_no_pointer() {
        for bad in ["", "a", "/a~", "/a~2", "$.a"] {
            assert_eq!(bad.parse::<JsonPointer>(), Err(BadPointer), "{bad}");
        }
    }
}

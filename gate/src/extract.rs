//! What a feed looks up of each record for the index: with what its decoder already knows of the event.

use tidegate_protocol::envelope::Head;
use tidegate_protocol::json::{self, Member};

use crate::content::{Extracted, Path, repeats, string};

/// Looks at places of one event, the outermost members of which are known. It says what
/// [`Content::extract`](crate::Content::extract) says, without reading the whole event again.
///
/// The object that was looked into last is kept: places in order, as in [`Reads::paths`](crate::Reads), that lie in one
/// object read it once.
#[derive(Debug)]
pub struct Extractor<'a> {
    head: &'a Head<'a>,
    object: &'a str,
    members: Vec<Member<'a>>,
    repeats: bool,
}

impl<'a> Extractor<'a> {
    /// Of an event.
    pub fn new(head: &'a Head<'a>) -> Self {
        Self { head, object: "", members: Vec::new(), repeats: false }
    }

    /// What lies at a path into the event; of the key and of headers it knows nothing.
    pub fn extract(&mut self, path: &Path) -> Extracted<'a> {
        let Some((first, inner)) = path.members().and_then(<[_]>::split_first) else { return Extracted::Missing };
        let Some(mut value) = self.head.json(first) else { return Extracted::Missing };
        for name in inner {
            if !value.starts_with('{') {
                return Extracted::Missing;
            }
            self.read(value);
            if self.repeats {
                return Extracted::Ambiguous;
            }
            let Some(found) = self.members.iter().find(|member| *member.name == **name) else {
                return Extracted::Missing;
            };
            value = found.value;
        }
        string(value).map_or(Extracted::Other, Extracted::Text)
    }

    fn read(&mut self, object: &'a str) {
        if std::ptr::eq(self.object, object) {
            return;
        }
        self.object = object;
        self.members.clear();
        self.repeats = json::members(object, &mut self.members).is_err() || repeats(&self.members);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Content;

    #[test]
    fn says_what_the_content_says() {
        let paths = ["a", "data", "data.user", "data.user.id", "data.region", "gone", "gone.x", "null", "null.x"];
        for event in [
            r#"{"a":"x","data":{"user":"u\u0073er","region":"eu"},"null":null}"#,
            r#" {"a":1,"d\u0061ta":{"user":{"id":"7"},"region":"eu"}} "#,
            r#"{"a":{},"data":{"user":{"id":"7","\u0069d":"8"},"region":"eu"}}"#,
            r#"{"a":[],"data":{"user":"a","us\u0065r":"b","region":"eu"}}"#,
            r#"{"data":"text","null":{}}"#,
            "{}",
        ] {
            let head = Head::read(event).unwrap();
            let content = Content::new(event, None, &(), 0);
            let mut extractor = Extractor::new(&head);
            for path in paths.map(|path| Path::event(path.split('.'))) {
                assert_eq!(extractor.extract(&path), content.extract(&path), "{path} of {event}");
            }
        }
    }
}

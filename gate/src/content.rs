//! What conditions read of an event: its members, key and headers, looked into without building a tree.
//!
//! An object that repeats a member and lies on a path that is read makes the reading fail: two parsers that
//! choose differently between the repeats must not come to different decisions about the same bytes.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use tidegate_protocol::json::{self, Member};
use tidegate_protocol::timestamp::Millis;

/// A place in an event that conditions read. Cheap to clone, compared by what it says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(Arc<Place>);

#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Place {
    /// Members of the event, from the outermost in: `event.data.user`.
    Event(Box<[Box<str>]>),
    /// The key that readers see.
    Key,
    /// A header's last value.
    Header(Box<str>),
}

/// What lies at a [`Path`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extracted<'a> {
    /// A string: what index keys are compared with.
    Text(Cow<'a, str>),
    /// Something else: no index key is equal to it.
    Other,
    /// Nothing.
    Missing,
    /// An object on the way there repeats a member, or what is there can not be read: withheld, and counted.
    Ambiguous,
}

impl Extracted<'_> {
    /// The same, borrowed from nothing.
    pub fn into_owned(self) -> Extracted<'static> {
        match self {
            Self::Text(text) => Extracted::Text(Cow::Owned(text.into_owned())),
            Self::Other => Extracted::Other,
            Self::Missing => Extracted::Missing,
            Self::Ambiguous => Extracted::Ambiguous,
        }
    }
}

/// One header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header<'a> {
    /// There is none.
    Missing,
    /// It has no value.
    Null,
    /// Its value.
    Value(&'a [u8]),
}

/// A record's headers.
pub trait Headers {
    /// The last header of this name.
    fn last(&self, name: &str) -> Header<'_>;
}

impl Headers for () {
    fn last(&self, _: &str) -> Header<'_> {
        Header::Missing
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for Vec<(N, V)> {
    fn last(&self, name: &str) -> Header<'_> {
        let found = self.iter().rev().find(|(known, _)| known.as_ref() == name);
        found.map_or(Header::Missing, |(_, value)| Header::Value(value.as_ref()))
    }
}

/// One event as conditions see it. Made once per event by whoever decides about it; what one condition has
/// parsed, the next one finds.
pub struct Content<'a> {
    event: &'a str,
    key: Option<&'a str>,
    headers: &'a dyn Headers,
    now: Millis,
    /// By place in the event rather than by reference, so that a content can be lent for shorter than it lives.
    objects: RefCell<Vec<Object>>,
}

/// An object of the event.
struct Object {
    at: usize,
    len: usize,
    members: Vec<Span>,
    repeats: bool,
}

/// A member of an object, by its place in the event.
struct Span {
    name: Name,
    at: usize,
    len: usize,
}

enum Name {
    Plain {
        at: usize,
        len: usize,
    },
    /// It was written with escapes.
    Unescaped(Box<str>),
}

/// An object that can not be read: it repeats a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Repeats;

/// Objects of one event that are remembered.
const REMEMBERED: usize = 32;

impl Path {
    /// A member of the event.
    pub fn event(names: impl IntoIterator<Item = impl Into<Box<str>>>) -> Self {
        Self(Arc::new(Place::Event(names.into_iter().map(Into::into).collect())))
    }

    /// The key.
    pub fn key() -> Self {
        Self(Arc::new(Place::Key))
    }

    /// A header.
    pub fn header(name: &str) -> Self {
        Self(Arc::new(Place::Header(name.into())))
    }

    /// The header's name, if this is one: the feed must keep it for those who decide later.
    pub fn header_name(&self) -> Option<&str> {
        match &*self.0 {
            Place::Header(name) => Some(name),
            Place::Event(_) | Place::Key => None,
        }
    }

    /// Whether this is the key.
    pub fn is_key(&self) -> bool {
        *self.0 == Place::Key
    }

    /// The names of the members from the outermost in, if this lies in the event.
    pub fn members(&self) -> Option<&[Box<str>]> {
        match &*self.0 {
            Place::Event(names) => Some(names),
            Place::Key | Place::Header(_) => None,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Place::Event(names) => {
                f.write_str("event")?;
                names.iter().try_for_each(|name| member(f, name))
            }
            Place::Key => f.write_str("key"),
            Place::Header(name) => {
                f.write_str("headers")?;
                member(f, name)
            }
        }
    }
}

fn member(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.chars().all(plain) { write!(f, ".{name}") } else { write!(f, "[{name:?}]") }
}

impl<'a> Content<'a> {
    /// An event's text, as it is delivered; the key as readers see it; the record's headers; and the time of
    /// the decision.
    pub fn new(event: &'a str, key: Option<&'a str>, headers: &'a dyn Headers, now: Millis) -> Self {
        let event = event.trim_matches([' ', '\t', '\n', '\r']);
        Self { event, key, headers, now, objects: RefCell::default() }
    }

    /// What lies at a path.
    pub fn extract(&self, path: &Path) -> Extracted<'a> {
        match &*path.0 {
            Place::Key => self.key.map_or(Extracted::Other, |key| Extracted::Text(Cow::Borrowed(key))),
            Place::Header(name) => match self.headers.last(name) {
                Header::Missing => Extracted::Missing,
                Header::Null => Extracted::Other,
                Header::Value(bytes) => std::str::from_utf8(bytes).map_or(Extracted::Ambiguous, |text| text_of(text)),
            },
            Place::Event(names) => self.member_at(names),
        }
    }

    fn member_at(&self, names: &[Box<str>]) -> Extracted<'a> {
        match self.value_at(names) {
            Ok(Some(value)) => string(value).map_or(Extracted::Other, Extracted::Text),
            Ok(None) => Extracted::Missing,
            Err(Repeats) => Extracted::Ambiguous,
        }
    }

    fn value_at(&self, names: &[Box<str>]) -> Result<Option<&'a str>, Repeats> {
        let mut value = self.event;
        for name in names {
            // Text and lists have no members; what is no object reads as one without any.
            let found = if value.starts_with('{') { self.member(value, name)? } else { None };
            let Some(found) = found else { return Ok(None) };
            value = found;
        }
        Ok(Some(value))
    }

    /// The JSON at a path into the event.
    pub(crate) fn raw(&self, path: &Path) -> Option<&'a str> {
        match &*path.0 {
            Place::Event(names) => self.value_at(names).ok().flatten(),
            Place::Key | Place::Header(_) => None,
        }
    }

    /// The event's text.
    pub fn event(&self) -> &'a str {
        self.event
    }

    pub(crate) fn key(&self) -> Option<&'a str> {
        self.key
    }

    pub(crate) fn header(&self, name: &str) -> Header<'a> {
        self.headers.last(name)
    }

    pub(crate) fn now(&self) -> Millis {
        self.now
    }

    /// A member of an object within the event.
    pub(crate) fn member(&self, object: &'a str, name: &str) -> Result<Option<&'a str>, Repeats> {
        self.with(object, |object| {
            let found = object.members.iter().find(|member| self.name(member) == name);
            found.map(|member| &self.event[member.at..member.at + member.len])
        })
    }

    /// How many members an object within the event has.
    pub(crate) fn count(&self, object: &'a str) -> Result<usize, Repeats> {
        self.with(object, |object| object.members.len())
    }

    fn name<'s>(&self, member: &'s Span) -> &'s str
    where
        'a: 's,
    {
        match &member.name {
            Name::Plain { at, len } => &self.event[*at..at + len],
            Name::Unescaped(name) => name,
        }
    }

    fn with<T>(&self, text: &'a str, look: impl FnOnce(&Object) -> T) -> Result<T, Repeats> {
        let at = self.place(text);
        let mut known = self.objects.borrow_mut();
        let found = known.iter().position(|object| (object.at, object.len) == (at, text.len()));
        let found = found.unwrap_or_else(|| {
            if known.len() == REMEMBERED {
                known.pop();
            }
            known.push(self.read(text, at));
            known.len() - 1
        });
        let object = &known[found];
        if object.repeats { Err(Repeats) } else { Ok(look(object)) }
    }

    /// Where a part of the event lies in it.
    fn place(&self, part: &str) -> usize {
        part.as_ptr() as usize - self.event.as_ptr() as usize
    }

    fn read(&self, text: &'a str, at: usize) -> Object {
        let mut members = Vec::with_capacity(16);
        // What is no object has no members that could be trusted.
        let readable = json::members(text, &mut members).is_ok();
        let repeats = !readable || repeats(&members);
        let span = |member: Member<'a>| Span {
            name: match member.name {
                Cow::Borrowed(name) => Name::Plain { at: self.place(name), len: name.len() },
                Cow::Owned(name) => Name::Unescaped(name.into()),
            },
            at: at + member.at,
            len: member.value.len(),
        };
        Object { at, len: text.len(), members: members.into_iter().map(span).collect(), repeats }
    }
}

fn text_of(text: &str) -> Extracted<'_> {
    Extracted::Text(Cow::Borrowed(text))
}

impl fmt::Debug for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("event", &self.event).field("key", &self.key).finish_non_exhaustive()
    }
}

pub(crate) fn repeats(members: &[Member<'_>]) -> bool {
    // Objects have a dozen members; only a wide one is worth a set.
    if members.len() <= 32 {
        return (1..members.len()).any(|at| members[..at].iter().any(|member| member.name == members[at].name));
    }
    let mut seen = std::collections::HashSet::with_capacity(members.len());
    !members.iter().all(|member| seen.insert(&*member.name))
}

/// The text of a JSON string.
pub(crate) fn string(value: &str) -> Option<Cow<'_, str>> {
    Some(json::unescape(value.strip_prefix('"')?.strip_suffix('"')?))
}

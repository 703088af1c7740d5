//! Views: sessions that want the same of a topic share the same bytes. A live view frames each batch once and hands it
//! to all its members.

use std::cell::OnceCell;

use slotmap::new_key_type;
use tidegate_gate::{Access, Content, Extracted, Facts, Filter, Path};
use tidegate_log::TopicKey;
use tidegate_protocol::timestamp::Millis;

use super::SessionKey;
use super::reached::Reached;
use crate::feed::{Entry, Round};
use crate::session::Format;

new_key_type! {
    /// Names a live view of one shard.
    pub struct ViewRef;
}

/// What makes two subscriptions share a view.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ViewKey {
    /// Which topic of the feed.
    pub topic: TopicKey,
    /// What the gate granted.
    pub access: Access,
    /// What the subscriber wants of it.
    pub filter: Filter,
    /// How its members are spoken to.
    pub format: Format,
}

/// A live view.
#[derive(Debug)]
pub struct View {
    /// Its id on the wire.
    pub id: u32,
    /// What it shows.
    pub key: ViewKey,
    /// The next batch's number.
    pub seq: u64,
    /// Who gets it: a session, and its subscription.
    pub members: Vec<(SessionKey, u32)>,
    /// The place of its batch among those that are being filled, if it is the one that stands there.
    pub filling: usize,
    /// How far its batches came in the rounds that are being handled.
    pub reached: Reached,
    /// The last event that was offered to it by key, by its number in this shard: it may lie under several keys.
    pub offered: u64,
}

impl View {
    /// A view without members.
    pub fn new(id: u32, key: ViewKey) -> Self {
        Self { id, key, seq: 0, members: Vec::new(), filling: 0, reached: Reached::default(), offered: 0 }
    }
}

/// An event as the gate looks at it.
#[derive(Debug)]
pub struct Event<'a> {
    /// The physical topic.
    pub physical: &'a str,
    /// The round it came in.
    pub round: &'a Round,
    /// Where it lies in it.
    pub entry: &'a Entry,
    /// When it is decided about.
    pub now: Millis,
    content: OnceCell<Option<Content<'a>>>,
}

impl<'a> Event<'a> {
    /// An event of a round.
    pub fn new(physical: &'a str, round: &'a Round, entry: &'a Entry, now: Millis) -> Self {
        Self { physical, round, entry, now, content: OnceCell::new() }
    }

    /// Whether a subscriber asks for it.
    pub fn is_wanted_by(&self, filter: &Filter) -> bool {
        filter.wants_type(self.round.event_type(self.entry)) && filter.wants_key(self.round.key(self.entry))
    }
}

impl Facts for Event<'_> {
    fn topic(&self) -> &str {
        self.physical
    }

    fn tenant(&self) -> &str {
        self.round.tenant(self.entry)
    }

    fn extracted(&self, path: &Path) -> Option<Extracted<'_>> {
        self.round.extracted(self.entry, path)
    }

    fn content(&self) -> Option<&Content<'_>> {
        let make = || {
            let headers = self.round.headers(self.entry)?;
            Some(Content::new(self.round.event(self.entry), self.round.key(self.entry), headers, self.now))
        };
        self.content.get_or_init(make).as_ref()
    }
}

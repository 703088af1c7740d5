//! What the page reads: the newest picture, the last minutes of every line, and the connection's state.

use std::collections::HashMap;
use std::rc::Rc;

use leptos::prelude::*;
use tidegate_protocol::ledger::Column;
use tidegate_protocol::timestamp::Millis;

use super::feed::{Feed, Identity, News, Refusal, Status};
use super::picture::{Key, Nodes, Picture};
use super::series::Series;
use crate::browser;

/// The one store; cheap to copy. Signals change at most once for each report.
#[derive(Clone, Copy)]
pub(crate) struct Store {
    /// Where the connection stands.
    pub(crate) status: RwSignal<Status>,
    /// As whom one is connected.
    pub(crate) identity: RwSignal<Identity>,
    /// The newest totals of all nodes.
    pub(crate) picture: RwSignal<Picture>,
    /// What lines are grouped by.
    pub(crate) group_by: RwSignal<Vec<Column>>,
    /// The line that plots are about; everything if there is none.
    pub(crate) focus: RwSignal<Option<Key>>,
    kept: StoredValue<Kept, LocalStorage>,
}

/// What changes with the picture and is read together with it.
#[derive(Default)]
struct Kept {
    nodes: Nodes,
    everything: Series,
    lines: HashMap<Key, Series>,
    feed: Option<Box<dyn Feed>>,
}

impl Store {
    /// A store that nobody is signed in to.
    pub(crate) fn new() -> Self {
        Self {
            status: RwSignal::default(),
            identity: RwSignal::default(),
            picture: RwSignal::default(),
            group_by: RwSignal::new(Column::ALL.to_vec()),
            focus: RwSignal::new(None),
            kept: StoredValue::new_local(Kept::default()),
        }
    }

    /// Connects with a token and keeps it for this tab.
    pub(crate) fn sign_in(self, token: &str) {
        browser::keep_token(Some(token));
        self.reset(Status::Connecting);
        let group_by = self.group_by.get_untracked();
        let feed = open(token, &group_by, Rc::new(move |news| self.hear(news)));
        match feed {
            Ok(feed) if self.status.with_untracked(|status| !matches!(status, Status::Refused(_))) => {
                self.kept.update_value(|kept| kept.feed = Some(feed));
            }
            Ok(_) => {}
            Err(refusal) => self.hear(News::Refused(refusal)),
        }
    }

    /// Disconnects and forgets the token and all that it let one see.
    pub(crate) fn sign_out(self) {
        browser::keep_token(None);
        self.reset(Status::SignedOut);
    }

    /// Groups by other columns. Lines begin anew with the next report; totals go on.
    pub(crate) fn regroup(self, group_by: Vec<Column>) {
        self.focus.set(None);
        self.kept.update_value(|kept| {
            kept.lines.clear();
            if let Some(feed) = &kept.feed {
                feed.group_by(&group_by);
            }
        });
        let picture = self.kept.with_value(|kept| kept.nodes.picture(&group_by));
        self.group_by.set(group_by);
        self.picture.set(picture);
    }

    /// The last minutes of a line, or of everything. Follow [`Store::picture`] to see them move.
    pub(crate) fn with_series<T>(self, key: Option<&Key>, read: impl FnOnce(&Series) -> T) -> T {
        self.kept.with_value(|kept| match key {
            None => read(&kept.everything),
            Some(key) => read(kept.lines.get(key).unwrap_or(&Series::default())),
        })
    }

    /// The time that plots show.
    pub(crate) fn span(self) -> Millis {
        self.kept.with_value(|kept| kept.everything.span())
    }

    fn hear(self, news: News) {
        let status = self.status.get_untracked();
        let next = status.clone().after(&news);
        match news {
            News::Open(identity) => self.identity.set(identity),
            News::Report(report) if next.is_current() => {
                let group_by = self.group_by.get_untracked();
                let picture = self.kept.try_update_value(|kept| {
                    kept.nodes.take(*report, browser::now());
                    let picture = kept.nodes.picture(&group_by);
                    kept.remember(&picture);
                    picture
                });
                if let Some(picture) = picture {
                    self.picture.set(picture);
                }
            }
            News::Refused(refusal) => {
                if matches!(refusal, Refusal::Expired | Refusal::InvalidToken) {
                    browser::keep_token(None);
                }
                drop(self.kept.try_update_value(|kept| kept.feed.take()));
            }
            _ => {}
        }
        if next != status {
            self.status.set(next);
        }
    }

    fn reset(self, status: Status) {
        // Dropped only when nothing is borrowed any more: a feed that closes may still have something to say.
        drop(self.kept.try_update_value(std::mem::take));
        self.focus.set(None);
        self.identity.set(Identity::default());
        self.picture.set(Picture::default());
        self.status.set(status);
    }
}

impl Kept {
    fn remember(&mut self, picture: &Picture) {
        self.everything.push(picture.at, &picture.totals);
        self.lines.retain(|key, _| picture.lines.contains_key(key));
        for (key, line) in &picture.lines {
            self.lines.entry(key.clone()).or_default().push(picture.at, line);
        }
    }
}

#[cfg(not(feature = "mock"))]
use super::bridge::open;
#[cfg(feature = "mock")]
use super::mock::open;

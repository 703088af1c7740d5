//! Views by index key: an event looks up what it says at a few places, and meets only the views that ask for that.
//!
//! The keys come from the conditions of a view's grants, or from the keys that its subscribers name: whichever fewer
//! views stand under already. They preselect; [`tidegate_gate::Access::admit`] and the filter decide.

use std::collections::HashMap;
use std::sync::Arc;

use hashbrown::HashTable;
use tidegate_gate::{Access, IndexKey, IndexPlan, Path};

use super::view::{ViewKey, ViewRef};
use crate::feed::{Entry, Looked, Round, name_hash};

/// One tenant's views of a topic that events are found for by key.
#[derive(Debug, Default)]
pub struct KeyIndex {
    places: Vec<Place>,
    keys_of: HashMap<ViewRef, Box<[IndexKey]>>,
}

/// What an event meets.
#[derive(Debug)]
pub enum Met<'a> {
    /// Views that it may be for. A view may be met more than once.
    Views(&'a [ViewRef]),
    /// A view's access, that stands for all with its conditions: they read a place that this event does not have, or
    /// has twice, so they hold for nobody, and may fail.
    Undecidable(&'a Access),
}

/// A place in events, and who asks for which text there.
#[derive(Debug)]
struct Place {
    path: Path,
    texts: HashTable<Text>,
    /// Whose conditions read it: one access of each kind, and how many views of that kind there are.
    kinds: Vec<(Access, usize)>,
}

#[derive(Debug)]
struct Text {
    value: Arc<str>,
    views: Vec<ViewRef>,
}

impl KeyIndex {
    /// Whether there are no views.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Adds a view. `false`: no key finds its events.
    pub fn add(&mut self, view: ViewRef, wants: &ViewKey) -> bool {
        let by_condition = match wants.access.index() {
            IndexPlan::Keys(keys) => Some(keys),
            IndexPlan::All => None,
        };
        let by_filter = wants.filter.keys().map(|keys| {
            let key = |value: &str| IndexKey { path: Path::key(), value: value.into() };
            keys.iter().map(|value| key(value)).collect::<Vec<_>>()
        });
        let crowd = |keys: &Vec<IndexKey>| (keys.iter().map(|key| self.under(key)).sum::<usize>(), keys.len());
        let (keys, kind) = match (by_condition, by_filter) {
            (Some(condition), Some(filter)) if crowd(&filter) < crowd(&condition) => (filter, None),
            (Some(condition), _) => (condition, Some(&wants.access)),
            (None, Some(filter)) => (filter, None),
            (None, None) => return false,
        };
        for key in &keys {
            self.place(&key.path).add(view, key);
        }
        for path in paths(&keys) {
            if let Some(access) = kind {
                self.place(path).add_kind(access);
            }
        }
        self.keys_of.insert(view, keys.into());
        true
    }

    /// Takes a view out. `false`: it was not here.
    pub fn remove(&mut self, view: ViewRef, wants: &ViewKey) -> bool {
        let Some(keys) = self.keys_of.remove(&view) else { return false };
        for key in &keys {
            self.place(&key.path).remove(view, key);
        }
        for path in paths(&keys) {
            self.place(path).remove_kind(&wants.access);
        }
        self.places.retain(|place| !place.texts.is_empty());
        true
    }

    /// Looks an event up.
    pub fn meet<'a>(&'a self, round: &Round, entry: &Entry, mut each: impl FnMut(Met<'a>)) {
        for place in &self.places {
            match round.look(entry, &place.path) {
                Looked::Text(text, hash) => {
                    if let Some(found) = place.texts.find(hash, |known| *known.value == *text) {
                        each(Met::Views(&found.views));
                    }
                }
                Looked::Other => {}
                Looked::Undecidable => place.kinds.iter().for_each(|(access, _)| each(Met::Undecidable(access))),
                // The round was read under other rules: whoever may be meant is asked.
                Looked::Unknown => place.texts.iter().for_each(|text| each(Met::Views(&text.views))),
            }
        }
    }

    fn under(&self, key: &IndexKey) -> usize {
        let place = self.places.iter().find(|place| place.path == key.path);
        let text = place.and_then(|place| place.texts.find(name_hash(&key.value), |text| text.value == key.value));
        text.map_or(0, |text| text.views.len())
    }

    fn place(&mut self, path: &Path) -> &mut Place {
        let at = self.places.iter().position(|place| place.path == *path).unwrap_or_else(|| {
            self.places.push(Place { path: path.clone(), texts: HashTable::new(), kinds: Vec::new() });
            self.places.len() - 1
        });
        &mut self.places[at]
    }
}

/// The places of keys, each once: a plan has its keys sorted by place.
fn paths(keys: &[IndexKey]) -> impl Iterator<Item = &Path> {
    keys.chunk_by(|one, other| one.path == other.path).map(|same| &same[0].path)
}

impl Place {
    fn add(&mut self, view: ViewRef, key: &IndexKey) {
        let new = || Text { value: Arc::clone(&key.value), views: Vec::with_capacity(1) };
        let hash = |text: &Text| name_hash(&text.value);
        let text = self.texts.entry(name_hash(&key.value), |text| text.value == key.value, hash).or_insert_with(new);
        text.into_mut().views.push(view);
    }

    fn remove(&mut self, view: ViewRef, key: &IndexKey) {
        let found = self.texts.find_entry(name_hash(&key.value), |text| text.value == key.value);
        let Ok(mut text) = found else { return };
        let views = &mut text.get_mut().views;
        if let Some(at) = views.iter().position(|other| *other == view) {
            views.swap_remove(at);
        }
        if views.is_empty() {
            text.remove();
        }
    }

    fn add_kind(&mut self, access: &Access) {
        match self.kinds.iter_mut().find(|(known, _)| known.has_conditions_of(access)) {
            Some((_, views)) => *views += 1,
            None => self.kinds.push((access.clone(), 1)),
        }
    }

    fn remove_kind(&mut self, access: &Access) {
        if let Some(at) = self.kinds.iter().position(|(known, _)| known.has_conditions_of(access)) {
            self.kinds[at].1 -= 1;
            if self.kinds[at].1 == 0 {
                self.kinds.swap_remove(at);
            }
        }
    }
}

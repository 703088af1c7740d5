//! Stretches of the window, as the readers of a view get them in one batch.
//!
//! Sessions that fell behind together stand at one place, and from there come to the same places one after the other. So
//! what one of them gets is kept a moment for the others: decided about and framed once, but for the few bytes around the
//! entries that are each session's own.

use std::collections::VecDeque;
use std::rc::Rc;

use tidegate_log::{Offsets, TopicKey};

use super::batch::Body;
use super::view::ViewKey;

/// Stretches that are kept, and bytes of their batches.
const STRETCHES: usize = 32;
const BYTES: usize = 2 << 20;

/// Where a reader stands: the number of the next entry of its topic, and the next offset in every partition.
pub type Place = (u64, Offsets);

/// What a reader of a view gets who stands at a place.
#[derive(Debug)]
pub struct Stretch {
    /// Whose it is: who may see and wants the same.
    pub wants: ViewKey,
    /// Where it begins.
    pub from: Place,
    /// Where whoever got it stands then.
    pub to: Place,
    /// What they get; `None` where they get nothing of it.
    pub body: Option<Body>,
}

/// The stretches that were read last.
#[derive(Debug, Default)]
pub struct Stretches {
    /// The newest first, and whether somebody asked for it since the last look.
    kept: VecDeque<(Rc<Stretch>, bool)>,
    bytes: usize,
}

impl Stretch {
    fn bytes(&self) -> usize {
        self.body.as_ref().map_or(0, Body::len)
    }
}

impl Stretches {
    /// What readers who want this get from there, if somebody got it lately.
    pub fn find(&mut self, wants: &ViewKey, from: &Place) -> Option<Rc<Stretch>> {
        let here = |known: &Stretch| known.from == *from && known.wants == *wants;
        let (stretch, asked_for) = self.kept.iter_mut().find(|(known, _)| here(known))?;
        *asked_for = true;
        Some(Rc::clone(stretch))
    }

    /// Keeps one for others who come to where it begins.
    pub fn keep(&mut self, stretch: &Rc<Stretch>) {
        self.bytes += stretch.bytes();
        self.kept.push_front((Rc::clone(stretch), true));
        while self.kept.len() > STRETCHES || self.bytes > BYTES {
            let Some((oldest, _)) = self.kept.pop_back() else { break };
            self.bytes -= oldest.bytes();
        }
    }

    /// Forgets those of a topic: its entries are numbered anew.
    pub fn forget(&mut self, topic: TopicKey) {
        self.retain(|stretch, _| stretch.wants.topic != topic);
    }

    /// Forgets those that nobody asked for since the last time: when nobody is behind, nothing is kept.
    pub fn forget_unused(&mut self) {
        self.retain(|_, asked_for| std::mem::take(asked_for));
    }

    fn retain(&mut self, mut keep: impl FnMut(&Stretch, &mut bool) -> bool) {
        self.kept.retain_mut(|(stretch, asked_for)| keep(stretch, asked_for));
        self.bytes = self.kept.iter().map(|(stretch, _)| stretch.bytes()).sum();
    }
}

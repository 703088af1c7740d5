//! What a principal's grants together say of a topic's events, and how an index preselects them.

use std::sync::Arc;

use crate::Principal;
use crate::condition::{Bound, Condition, Verdict};
use crate::content::Path;
use crate::decision::{Facts, Withheld};

/// Which events the grants let through: those of any one of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Rule {
    /// Some grant has no condition.
    All,
    /// Every grant has one.
    Any(Box<[Bound]>),
}

/// How events for an [`Access`](crate::Access) can be found. It preselects, and decides nothing:
/// [`Access::admit`](crate::Access::admit) does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexPlan {
    /// Every event of the tenant may be one.
    All,
    /// An event that is let through lies under at least one of these keys; it may lie under several.
    Keys(Vec<IndexKey>),
}

/// Events with this text at this place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IndexKey {
    /// Where.
    pub path: Path,
    /// The text there.
    pub value: Arc<str>,
}

/// What a feed must keep of a topic's records, so that conditions can be decided about later.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reads {
    /// What an index looks at: extracted once per record. Sorted.
    pub paths: Box<[Path]>,
    /// The headers that conditions read. Sorted.
    pub headers: Box<[Box<str>]>,
    /// The conditions themselves, each once: what could not be decided about is counted by them.
    pub conditions: Box<[Arc<Condition>]>,
}

impl Rule {
    /// Of the grants that speak of a topic, each with its condition; `None` if none can let anything through.
    pub(crate) fn of<'a>(
        grants: impl Iterator<Item = Option<&'a Arc<Condition>>>,
        principal: &Principal,
        topic: &str,
    ) -> Option<Self> {
        let mut any: Vec<Bound> = Vec::new();
        for condition in grants {
            let Some(condition) = condition else { return Some(Self::All) };
            let Some(bound) = Bound::new(condition, principal, topic) else { continue };
            if bound.is_always() {
                return Some(Self::All);
            }
            if !any.contains(&bound) {
                any.push(bound);
            }
        }
        // Where grants stand in the policy says nothing: two that say the same are equal.
        any.sort_by(|one, other| one.condition().source().cmp(other.condition().source()));
        (!any.is_empty()).then(|| Self::Any(any.into()))
    }

    /// Whether a condition reads the time.
    pub(crate) fn reads_now(&self) -> bool {
        match self {
            Self::All => false,
            Self::Any(any) => any.iter().any(|bound| bound.condition().reads_now()),
        }
    }

    pub(crate) fn decide(&self, event: &impl Facts) -> Result<(), Withheld> {
        let Self::Any(any) = self else { return Ok(()) };
        let mut withheld = Withheld::Condition;
        for bound in any {
            match bound.decide(event) {
                Verdict::Holds => return Ok(()),
                Verdict::Not => {}
                Verdict::Failed(_) => withheld = Withheld::Failed,
            }
        }
        Err(withheld)
    }

    /// The conditions that can not be decided about for this event.
    pub(crate) fn undecided<'a>(&'a self, event: &impl Facts) -> impl Iterator<Item = &'a Arc<Condition>> {
        let failed = |bound: &&Bound| matches!(bound.decide(event), Verdict::Failed(_));
        self.bounds().iter().filter(failed).map(Bound::condition)
    }

    /// Whether it is made of the same conditions, whatever the claims.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.bounds().iter(), other.bounds().iter());
        ours.map(Bound::condition).eq(theirs.map(Bound::condition))
    }

    fn bounds(&self) -> &[Bound] {
        match self {
            Self::All => &[],
            Self::Any(any) => any,
        }
    }

    pub(crate) fn index(&self) -> IndexPlan {
        let Self::Any(any) = self else { return IndexPlan::All };
        let mut keys = Vec::new();
        if !any.iter().all(|bound| bound.index(&mut keys)) {
            return IndexPlan::All;
        }
        keys.sort_unstable_by(|one, other| (&one.path, &one.value).cmp(&(&other.path, &other.value)));
        keys.dedup();
        IndexPlan::Keys(keys)
    }
}

impl Reads {
    /// Whether any grant of the topic has a condition at all.
    pub fn is_conditional(&self) -> bool {
        !self.conditions.is_empty()
    }

    /// Whether what is kept for these conditions is all that those others read. What an index looks at can be looked for
    /// later too; headers can not.
    pub fn serve(&self, others: &Self) -> bool {
        let kept = |header| self.headers.binary_search(header).is_ok();
        (self.is_conditional() || !others.is_conditional()) && others.headers.iter().all(kept)
    }

    /// Of all conditions that grants put on a topic's readers.
    pub(crate) fn of<'a>(conditions: impl Iterator<Item = &'a Arc<Condition>>) -> Self {
        let (mut paths, mut headers, mut all) = (Vec::new(), Vec::new(), Vec::<Arc<Condition>>::new());
        for condition in conditions {
            if all.contains(condition) {
                continue;
            }
            all.push(Arc::clone(condition));
            paths.extend(condition.paths().cloned());
            headers.extend(condition.headers().map(Box::from));
        }
        paths.sort_unstable();
        paths.dedup();
        headers.sort_unstable();
        headers.dedup();
        all.sort_by(|one, other| one.source().cmp(other.source()));
        Self { paths: paths.into(), headers: headers.into(), conditions: all.into() }
    }
}

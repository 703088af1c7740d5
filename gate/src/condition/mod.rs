//! Conditions of grants: CEL over an event, the claims of a token, and the time.
//!
//! The language's grammar is the `cel` crate's. What it parsed is checked here against what there is to read
//! ([`check`]), and evaluated here ([`evaluate`]): on the event's own bytes, within a bounded number of steps,
//! failing where an object repeats a member. A property test compares the evaluation with the crate's own.
//!
//! A condition is cut into alternatives (`||`) of conjuncts (`&&`). What reads only claims is worked out once
//! per principal; a conjunct that compares a place in the event with such a value is an index key.

mod check;
mod conjunct;
mod evaluate;
mod parse;
mod unindexed;
mod value;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use conjunct::{Alternative, Conjunct};
pub(crate) use conjunct::{Bound, Verdict};
pub(crate) use evaluate::Node;
pub use unindexed::Unindexed;

use crate::Path;
use crate::content::Repeats;

/// Longest condition, in bytes.
pub const MAX_BYTES: usize = 2048;

/// A condition that is checked and ready to be bound to a principal's claims. Compared by its text.
#[derive(Debug)]
pub struct Condition {
    source: Box<str>,
    alternatives: Box<[Alternative]>,
    closed: Box<[Node]>,
    claims: Box<[check::Outer]>,
    keys: usize,
    headers: Box<[Box<str>]>,
    now: bool,
    unindexed: Box<[Unindexed]>,
}

/// Why a text is no condition, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct BadCondition {
    /// Line within the condition's text, from 1.
    pub line: usize,
    /// Column within that line, in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub what: String,
}

/// Why a condition has no value for an event: the event is withheld.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Failure {
    /// Something that it reads is not there.
    #[error("something it reads is missing")]
    Missing,
    /// A value is of a kind that the operator has no meaning for.
    #[error("a value is of a kind that the operator can not take")]
    Type,
    /// An object that it reads repeats a member.
    #[error("an object it reads repeats a member")]
    Repeated,
    /// A number that is too large to be compared exactly, or an overflow, or a division by zero.
    #[error("a number is out of range")]
    Number,
    /// It took more steps than it may.
    #[error("it takes too many steps")]
    Steps,
    /// A text that is no time, duration or number, or a header that is not UTF-8.
    #[error("a text can not be read as what is asked for")]
    Unreadable,
    /// Whoever asked did not bring what the condition reads.
    #[error("the event's content is not at hand")]
    Unavailable,
}

impl From<Repeats> for Failure {
    fn from(_: Repeats) -> Self {
        Self::Repeated
    }
}

impl Condition {
    /// Its text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The places of an event that an index of this condition looks at. A feed extracts each once per record.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.conjuncts().filter_map(Conjunct::path)
    }

    /// The headers that it reads: a feed must keep these.
    pub fn headers(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(|name| &**name)
    }

    /// Whether it reads the time.
    pub(crate) fn reads_now(&self) -> bool {
        self.now
    }

    /// The alternatives of it for which no index can find events; with one, all of it is evaluated for each event of its
    /// tenant and type, once per distinct claim values.
    pub fn unindexed(&self) -> &[Unindexed] {
        &self.unindexed
    }

    /// Every place in an event that it reads.
    pub(crate) fn places(&self) -> Vec<Path> {
        let mut places = Vec::new();
        self.conjuncts().for_each(|conjunct| conjunct.places(&mut places));
        places
    }

    fn conjuncts(&self) -> impl Iterator<Item = &Conjunct> {
        self.alternatives.iter().flat_map(Alternative::conjuncts)
    }
}

impl FromStr for Condition {
    type Err = BadCondition;

    fn from_str(source: &str) -> Result<Self, BadCondition> {
        let parsed = parse::parse(source)?;
        let checked = check::check(&parsed)?;
        let (alternatives, closed, keys) = conjunct::cut(checked.node);
        let unindexed = unindexed::unindexed(&alternatives, &parsed);
        Ok(Self {
            unindexed,
            source: source.into(),
            alternatives,
            closed,
            claims: checked.outers.into(),
            keys,
            headers: checked.headers.into_iter().collect(),
            now: checked.now,
        })
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Condition {}

impl Hash for Condition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.source.hash(state);
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

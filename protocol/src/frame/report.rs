//! The client's one kind of report: what it dispatched, what is settled, and what went otherwise.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::json::write::{self, Object};
use crate::json::{BadField, Fields, Value, integer};

/// `report`. All of it is applied, or, when any of it is about what was not sent, none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// One for each view there is something to say about.
    pub views: Vec<ViewReport>,
}

/// What became of one view's deliveries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ViewReport {
    /// As told by `subscribed` or `moved`.
    pub view: u32,
    /// The newest batch that was dispatched, whole.
    pub dispatched: Option<u64>,
    /// Deliveries whose fate is decided, each named once. `consumed`, unless `failed` says otherwise.
    pub settled: Vec<Span>,
    /// Attempts that failed.
    pub failed: Vec<Failure>,
    /// Settled deliveries that had no listener.
    pub unhandled: Vec<Position>,
}

/// One delivery of a view: the batch's number, and the place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The batch's `seq`.
    pub seq: u64,
    /// Place in its entries, from 0.
    pub ordinal: u32,
}

/// Deliveries from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub first: Position,
    /// The last.
    pub last: Position,
}

/// An attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which delivery.
    pub at: Position,
    /// How.
    pub kind: FailureKind,
    /// Text for a person, at most 4 KiB, never HTML.
    pub reason: String,
    /// No attempt follows: the delivery, settled in the same report, is given up.
    pub last: bool,
}

/// How an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// A listener threw.
    Threw,
    /// A promise given to `waitUntil` rejected.
    Rejected,
    /// Not settled within the handler's time.
    TimedOut,
    /// A named consumer had no listener of the type.
    NoListener,
}

impl FailureKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Threw, Self::Rejected, Self::TimedOut, Self::NoListener];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Threw => "threw",
            Self::Rejected => "rejected",
            Self::TimedOut => "timed_out",
            Self::NoListener => "no_listener",
        }
    }
}

impl Report {
    pub(super) fn read<V: Value>(fields: &Fields<'_, V>) -> Result<Self, BadField> {
        let views = fields.list("views", |view, pointer| {
            let fields = Fields::new(view, pointer);
            Ok(ViewReport {
                view: fields.integer("view")?,
                dispatched: fields.optional_integer("dispatched")?,
                settled: fields.list("settled", |span, pointer| {
                    let [s1, o1, s2, o2] = numbers(span, pointer, "must be [seq, ordinal, seq, ordinal]")?;
                    Ok(Span { first: position(s1, o1, pointer)?, last: position(s2, o2, pointer)? })
                })?,
                failed: fields.list("failed", |failure, pointer| {
                    let fields = Fields::new(failure, pointer);
                    let [seq, ordinal] =
                        numbers(&fields.require("at")?, &format!("{pointer}/at"), "must be [seq, ordinal]")?;
                    let kind = fields.text("kind")?;
                    Ok(Failure {
                        at: position(seq, ordinal, pointer)?,
                        kind: FailureKind::ALL
                            .into_iter()
                            .find(|known| known.name() == kind)
                            .ok_or_else(|| fields.bad("kind", "must be threw, rejected, timed_out or no_listener"))?,
                        reason: fields.optional_text("reason")?.unwrap_or_default(),
                        last: fields.flag("last")?,
                    })
                })?,
                unhandled: fields.list("unhandled", |at, pointer| {
                    let [seq, ordinal] = numbers(at, pointer, "must be [seq, ordinal]")?;
                    position(seq, ordinal, pointer)
                })?,
            })
        })?;
        Ok(Self { views })
    }

    pub(super) fn write(&self, body: &mut Object<'_>) {
        body.array("views", &self.views, |out, view| {
            let mut object = Object::begin(out);
            object.integer("view", view.view);
            object.optional_integer("dispatched", view.dispatched);
            if !view.settled.is_empty() {
                object.array("settled", &view.settled, |out, span| {
                    let Span { first, last } = span;
                    list(out, [first.seq, first.ordinal.into(), last.seq, last.ordinal.into()]);
                });
            }
            if !view.failed.is_empty() {
                object.array("failed", &view.failed, |out, failure| {
                    let mut object = Object::begin(out);
                    list(object.name("at"), [failure.at.seq, failure.at.ordinal.into()]);
                    object.text("kind", failure.kind.name());
                    object.text("reason", &failure.reason);
                    if failure.last {
                        object.flag("last", true);
                    }
                    object.end();
                });
            }
            if !view.unhandled.is_empty() {
                object.array("unhandled", &view.unhandled, |out, at| list(out, [at.seq, at.ordinal.into()]));
            }
            object.end();
        });
    }
}

fn list<const N: usize>(out: &mut String, numbers: [u64; N]) {
    write::array(out, numbers, write::integer);
}

fn numbers<const N: usize>(value: &impl Value, pointer: &str, what: &'static str) -> Result<[u64; N], BadField> {
    let bad = || BadField::new(pointer.to_owned(), what);
    let items = value.items().ok_or_else(bad)?;
    let numbers: Option<Vec<u64>> = items.iter().map(integer).collect();
    numbers.and_then(|numbers| numbers.try_into().ok()).ok_or_else(bad)
}

fn position(seq: u64, ordinal: u64, pointer: &str) -> Result<Position, BadField> {
    let ordinal = u32::try_from(ordinal).map_err(|_| BadField::new(pointer.to_owned(), "an ordinal is below 2^32"))?;
    Ok(Position { seq, ordinal })
}

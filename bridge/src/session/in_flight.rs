//! The in-flight table: what was sent to one session and is not settled, and how reports change it.
//!
//! A batch's deliveries are `sent`, then (reported as dispatched) `received`, then settled one by one or in
//! ranges. A batch leaves the table when all of it is settled.

use std::collections::VecDeque;
use std::rc::Rc;

use tidegate_protocol::frame::{Position, Report, Span, ViewReport};

use crate::ledger::{Counts, RowId};

/// What all sessions that got the same batch share of it.
#[derive(Debug)]
pub struct BatchRows {
    /// The ledger row of each delivery, by ordinal.
    pub rows: Vec<RowId>,
    /// The same, counted: (row, deliveries).
    pub totals: Vec<(RowId, u32)>,
}

impl BatchRows {
    /// Counts the rows.
    pub fn new(rows: Vec<RowId>) -> Self {
        let mut totals: Vec<(RowId, u32)> = Vec::new();
        for &row in &rows {
            match totals.iter_mut().find(|(known, _)| *known == row) {
                Some((_, count)) => *count += 1,
                None => totals.push((row, 1)),
            }
        }
        Self { rows, totals }
    }
}

/// Everything sent to one session and not settled.
#[derive(Debug, Default)]
pub struct InFlight {
    views: Vec<ViewFlight>,
    unsettled: u64,
}

#[derive(Debug)]
struct ViewFlight {
    view: u32,
    batches: VecDeque<Sent>,
}

#[derive(Debug)]
struct Sent {
    seq: u64,
    /// How many bytes had entered the outbox with it.
    until: u64,
    bytes: u32,
    dispatched: bool,
    /// Deliveries that are settled, when some but not all are; by ordinal.
    settled: Option<Box<[bool]>>,
    open: u32,
    rows: Rc<BatchRows>,
}

/// A report about what was not sent to this session, or not in the state that it claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("view {view}: {what}")]
pub struct InvalidReport {
    /// Which view.
    pub view: u32,
    /// What is wrong.
    pub what: &'static str,
}

/// What a report gave back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Returned {
    /// Bytes of batches that are dispatched now and were not before.
    pub credit: u64,
    /// Attempts that failed, by the report.
    pub failed: u64,
}

impl InFlight {
    /// Deliveries sent and not settled.
    pub fn unsettled(&self) -> u64 {
        self.unsettled
    }

    /// A batch entered the outbox, into which `until` bytes have come with it.
    pub fn sent(&mut self, view: u32, seq: u64, bytes: u32, until: u64, rows: &Rc<BatchRows>) {
        let open = rows.rows.len() as u32;
        let sent = Sent { seq, until, bytes, dispatched: false, settled: None, open, rows: Rc::clone(rows) };
        self.unsettled += u64::from(open);
        match self.views.iter_mut().find(|flight| flight.view == view) {
            Some(flight) => flight.batches.push_back(sent),
            None => self.views.push(ViewFlight { view, batches: VecDeque::from([sent]) }),
        }
    }

    /// Applies a report: all of it, or, when any of it is invalid, none.
    pub fn apply(&mut self, report: &Report, counts: &mut Counts) -> Result<Returned, InvalidReport> {
        for (at, view) in report.views.iter().enumerate() {
            if report.views[..at].iter().any(|other| other.view == view.view) {
                return Err(InvalidReport { view: view.view, what: "named twice" });
            }
            self.check(view).map_err(|what| InvalidReport { view: view.view, what })?;
        }
        let mut returned = Returned::default();
        for view in &report.views {
            self.apply_view(view, counts, &mut returned);
        }
        self.views.retain(|flight| !flight.batches.is_empty());
        Ok(returned)
    }

    /// Checks one view's report against the table, changing nothing.
    fn check(&self, report: &ViewReport) -> Result<(), &'static str> {
        let Some(flight) = self.views.iter().find(|flight| flight.view == report.view) else {
            return Err("nothing of it is in flight");
        };
        let dispatched = report.dispatched;
        if let Some(seq) = dispatched {
            if flight.batches.back().is_none_or(|last| seq > last.seq) {
                return Err("dispatched beyond what was sent");
            }
            if flight.batches.front().is_some_and(|first| seq < first.seq) {
                return Err("dispatched what was settled before");
            }
        }
        let open_at = |at: Position| -> Result<&Sent, &'static str> {
            let sent = flight.find(at.seq).ok_or("a batch that is not in flight")?;
            if at.ordinal as usize >= sent.rows.rows.len() {
                return Err("an ordinal beyond its batch");
            }
            if !sent.dispatched && dispatched.is_none_or(|seq| at.seq > seq) {
                return Err("settled before it was dispatched");
            }
            if sent.settled.as_ref().is_some_and(|settled| settled[at.ordinal as usize]) {
                return Err("settled before");
            }
            Ok(sent)
        };
        let mut previous: Option<Position> = None;
        for span in &report.settled {
            if span.last < span.first || previous.is_some_and(|previous| span.first <= previous) {
                return Err("settled ranges must rise and not overlap");
            }
            previous = Some(span.last);
            open_at(span.first)?;
            open_at(span.last)?;
            for sent in flight.within(span) {
                let range = sent.ordinals(span);
                if let Some(settled) = &sent.settled
                    && settled[range].iter().any(|done| *done)
                {
                    return Err("settled before");
                }
            }
            // A batch that was settled whole has left the table, and may not lie inside the range.
            let expected = span.last.seq - span.first.seq + 1;
            if flight.within(span).count() as u64 != expected {
                return Err("a batch that is not in flight");
            }
        }
        let settles = |at: &Position| {
            let before = report.settled.partition_point(|span| span.first <= *at);
            before.checked_sub(1).is_some_and(|span| *at <= report.settled[span].last)
        };
        for failure in &report.failed {
            open_at(failure.at)?;
            if failure.last != settles(&failure.at) {
                return Err("the last attempt must be settled, an earlier one must not");
            }
        }
        if repeats(report.failed.iter().filter(|failure| failure.last).map(|failure| failure.at)) {
            return Err("given up twice");
        }
        for at in &report.unhandled {
            open_at(*at)?;
            if !settles(at) {
                return Err("unhandled deliveries must be settled");
            }
        }
        if repeats(report.unhandled.iter().copied()) {
            return Err("unhandled twice");
        }
        Ok(())
    }

    fn apply_view(&mut self, report: &ViewReport, counts: &mut Counts, returned: &mut Returned) {
        let Some(flight) = self.views.iter_mut().find(|flight| flight.view == report.view) else { return };
        if let Some(upto) = report.dispatched {
            for sent in flight.batches.iter_mut().take_while(|sent| sent.seq <= upto).filter(|sent| !sent.dispatched) {
                sent.dispatched = true;
                returned.credit += u64::from(sent.bytes);
                for &(row, count) in &sent.rows.totals {
                    counts.of(row).received += u64::from(count);
                }
            }
        }
        // Fates other than consumed are taken off again below, so that the common case stays a few additions.
        for span in &report.settled {
            let from = flight.batches.partition_point(|sent| sent.seq < span.first.seq);
            for sent in flight.batches.range_mut(from..).take_while(|sent| sent.seq <= span.last.seq) {
                self.unsettled -= u64::from(sent.settle(span, counts));
            }
        }
        for failure in &report.failed {
            returned.failed += 1;
            let Some(row) = flight.row(failure.at) else { continue };
            let row = counts.of(row);
            row.failed += 1;
            if failure.last {
                row.consumed -= 1;
                row.given_up += 1;
            }
        }
        for at in &report.unhandled {
            if let Some(row) = flight.row(*at) {
                counts.of(row).unhandled += 1;
            }
        }
        while flight.batches.front().is_some_and(|sent| sent.open == 0) {
            flight.batches.pop_front();
        }
        flight.batches.retain(|sent| sent.open > 0);
    }

    /// The connection took so many bytes of the outbox, and nobody will report on them: what it took whole is received
    /// and consumed.
    pub fn taken(&mut self, upto: u64, counts: &mut Counts) -> Returned {
        let mut returned = Returned::default();
        for flight in &mut self.views {
            while let Some(sent) = flight.batches.pop_front_if(|sent| sent.until <= upto) {
                returned.credit += u64::from(sent.bytes);
                self.unsettled -= u64::from(sent.open);
                for &(row, count) in &sent.rows.totals {
                    let row = counts.of(row);
                    row.received += u64::from(count);
                    row.consumed += u64::from(count);
                    row.unreported += u64::from(count);
                }
            }
        }
        self.views.retain(|flight| !flight.batches.is_empty());
        returned
    }

    /// Adds what is received and not settled to each row's `in_flight`: the size of the table.
    pub fn count_in_flight(&self, mut each: impl FnMut(RowId, u64)) {
        for sent in self.views.iter().flat_map(|flight| &flight.batches).filter(|sent| sent.dispatched) {
            sent.each_open(&mut each);
        }
    }

    /// The session ended: what was received and is not settled is abandoned.
    pub fn abandon(&mut self, counts: &mut Counts) {
        self.count_in_flight(|row, count| counts.of(row).abandoned += count);
        *self = Self::default();
    }
}

/// Whether a position is named twice. Reports name them in order, or nearly so.
fn repeats(positions: impl Iterator<Item = Position>) -> bool {
    let mut positions: Vec<Position> = positions.collect();
    positions.sort_unstable();
    positions.windows(2).any(|pair| pair[0] == pair[1])
}

impl ViewFlight {
    fn find(&self, seq: u64) -> Option<&Sent> {
        let at = self.batches.binary_search_by_key(&seq, |sent| sent.seq).ok()?;
        self.batches.get(at)
    }

    fn within(&self, span: &Span) -> impl Iterator<Item = &Sent> {
        let from = self.batches.partition_point(|sent| sent.seq < span.first.seq);
        let last = span.last.seq;
        self.batches.range(from..).take_while(move |sent| sent.seq <= last)
    }

    fn row(&self, at: Position) -> Option<RowId> {
        self.find(at.seq)?.rows.rows.get(at.ordinal as usize).copied()
    }
}

impl Sent {
    /// The ordinals of this batch that a range covers.
    fn ordinals(&self, span: &Span) -> std::ops::Range<usize> {
        let from = if span.first.seq == self.seq { span.first.ordinal as usize } else { 0 };
        let to = if span.last.seq == self.seq { span.last.ordinal as usize + 1 } else { self.rows.rows.len() };
        from..to
    }

    /// Settles what a range covers as consumed, and says how much that was.
    fn settle(&mut self, span: &Span, counts: &mut Counts) -> u32 {
        let range = self.ordinals(span);
        let settled = range.len() as u32;
        if settled as usize == self.rows.rows.len() {
            for &(row, count) in &self.rows.totals {
                counts.of(row).consumed += u64::from(count);
            }
        } else {
            let flags = self.settled.get_or_insert_with(|| vec![false; self.rows.rows.len()].into_boxed_slice());
            for ordinal in range {
                flags[ordinal] = true;
                counts.of(self.rows.rows[ordinal]).consumed += 1;
            }
        }
        self.open -= settled;
        settled
    }

    fn each_open(&self, each: &mut impl FnMut(RowId, u64)) {
        match &self.settled {
            None => self.rows.totals.iter().for_each(|&(row, count)| each(row, u64::from(count))),
            Some(settled) => {
                let open = self.rows.rows.iter().zip(settled).filter(|(_, settled)| !**settled);
                open.for_each(|(&row, _)| each(row, 1));
            }
        }
    }
}

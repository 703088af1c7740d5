//! What became of deliveries, gathered for the next report.
//!
//! A batch that was consumed whole extends one span, whatever its size. Each position is reported settled
//! once: what is pending lies in a table, and what is not in it is passed over.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use tidegate_protocol::frame::{Failure, FailureKind, Limits, Position, Report, Span, ViewReport};

use super::words::{Arrival, Effect, Outcome};
use super::{Effects, NEVER};

/// A report is not kept back longer than this after the first unreported event.
const REPORT_MS: u64 = 1000;
/// Bytes of exceptions after which a report is sent at once, so that its frame stays small.
const EXCEPTION_BYTES: usize = 16 * 1024;
const REASON_BYTES: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Reports {
    views: Vec<View>,
    session: u32,
    credit: u64,
    unsettled: u64,
    timeout: u64,
    /// When the first unreported event happened.
    since: Option<u64>,
    unreported_bytes: u64,
    unreported_events: u64,
    exception_bytes: usize,
}

#[derive(Debug)]
struct View {
    id: u32,
    dispatched: Option<u64>,
    /// Settled at once, in order.
    settled: Vec<Settled>,
    /// Settled later, in any order, and kept in order.
    late: Vec<Settled>,
    failed: Vec<Failure>,
    unhandled: Vec<Position>,
    /// In order of position, which is the order of dispatch and so of deadlines.
    pending: VecDeque<Pending>,
}

/// A span, and whether it ends with the last entry of its batch: then the next batch's first adjoins.
#[derive(Debug, Clone, Copy)]
struct Settled {
    span: Span,
    ends_batch: bool,
}

#[derive(Debug)]
struct Pending {
    at: Position,
    ends_batch: bool,
    deadline: u64,
    arrival: Arrival,
}

impl Reports {
    /// A session is open. What is unreported of an earlier one is dropped: the bridge abandoned it.
    pub(super) fn begin(&mut self, session: u32, limits: Limits, timeout: u64) {
        let Limits { credit, unsettled, .. } = limits;
        *self = Self { session, credit, unsettled, timeout, ..Self::default() };
    }

    /// The session is over.
    pub(super) fn lost(&mut self) {
        *self = Self::default();
    }

    pub(super) fn dispatched(&mut self, now: u64, arrival: Arrival, entries: u32, exceptions: Vec<(u32, Outcome)>) {
        if arrival.session != self.session {
            return;
        }
        self.since.get_or_insert(now);
        self.unreported_bytes += arrival.bytes;
        self.unreported_events += u64::from(entries);
        let deadline = now + self.timeout;
        let view = self.view(arrival.view);
        debug_assert!(view.dispatched < Some(arrival.seq), "batches of a view are told in order");
        view.dispatched = Some(arrival.seq);
        let mut next = 0;
        let mut bytes = 0;
        for (ordinal, outcome) in exceptions {
            if ordinal < next || ordinal >= entries {
                debug_assert!(false, "exceptions rise and lie within the batch");
                continue;
            }
            let at = Position { seq: arrival.seq, ordinal };
            let settled = is_settled(&outcome);
            bytes += view.note(at, outcome);
            if !settled {
                view.settle_run(arrival.seq, next, ordinal, entries);
                next = ordinal + 1;
                view.pending.push_back(Pending { at, ends_batch: next == entries, deadline, arrival });
            }
        }
        view.settle_run(arrival.seq, next, entries, entries);
        self.exception_bytes += bytes;
    }

    pub(super) fn settle(&mut self, now: u64, arrival: Arrival, ordinal: u32, outcome: Outcome) {
        if arrival.session != self.session || outcome == Outcome::Pending {
            return;
        }
        let at = Position { seq: arrival.seq, ordinal };
        let view = self.view(arrival.view);
        let Ok(found) = view.pending.binary_search_by(|pending| pending.at.cmp(&at)) else { return };
        let settled = is_settled(&outcome);
        let bytes = view.note(at, outcome);
        if settled && let Some(pending) = view.pending.remove(found) {
            // Mostly in order, so that this is a push; and a sort would add 2 KiB to a page's download.
            let mut place = view.late.len();
            while place > 0 && view.late[place - 1].span.first > at {
                place -= 1;
            }
            view.late.insert(place, Settled { span: Span { first: at, last: at }, ends_batch: pending.ends_batch });
        }
        self.exception_bytes += bytes;
        self.unreported_events += 1;
        self.since.get_or_insert(now);
    }

    /// Whether a failed attempt of this delivery waits to be reported.
    pub(super) fn failed_before(&self, arrival: Arrival, ordinal: u32) -> bool {
        let at = Position { seq: arrival.seq, ordinal };
        let failed = |view: &View| view.id == arrival.view && view.failed.iter().any(|failure| failure.at == at);
        arrival.session == self.session && self.views.iter().any(failed)
    }

    /// Gives up on what was not settled in time.
    pub(super) fn tick(&mut self, now: u64, effects: &mut Effects) {
        for index in 0..self.views.len() {
            while let Some(late) = self.views[index].pending.front().filter(|front| now >= front.deadline) {
                let (arrival, ordinal) = (late.arrival, late.at.ordinal);
                let outcome = Outcome::failed(FailureKind::TimedOut, "not settled within the handler's time");
                self.settle(now, arrival, ordinal, outcome);
                effects.push_back(Effect::TimedOut { arrival, ordinal });
            }
        }
    }

    pub(super) fn deadline(&self) -> u64 {
        let mut first = self.since.map_or(NEVER, |since| since + REPORT_MS);
        for view in &self.views {
            if let Some(pending) = view.pending.front() {
                first = first.min(pending.deadline);
            }
        }
        first
    }

    /// The report, if one is due: half the credit or of the allowance of unsettled deliveries may be the bridge's
    /// again, exceptions fill a frame, or a second has passed.
    pub(super) fn due(&mut self, now: u64) -> Option<Report> {
        let since = self.since?;
        let due = now >= since + REPORT_MS
            || self.unreported_bytes * 2 >= self.credit
            || self.unreported_events * 2 >= self.unsettled
            || self.exception_bytes >= EXCEPTION_BYTES;
        if due { self.take() } else { None }
    }

    /// All there is to report.
    pub(super) fn take(&mut self) -> Option<Report> {
        self.since.take()?;
        self.unreported_bytes = 0;
        self.unreported_events = 0;
        self.exception_bytes = 0;
        let mut views = Vec::new();
        for view in &mut self.views {
            if let Some(report) = view.report() {
                views.push(report);
            }
        }
        self.views.retain(|view| !view.pending.is_empty());
        Some(Report { views })
    }

    fn view(&mut self, id: u32) -> &mut View {
        let at = self.views.iter().position(|view| view.id == id).unwrap_or_else(|| {
            self.views.push(View::new(id));
            self.views.len() - 1
        });
        &mut self.views[at]
    }
}

impl View {
    fn new(id: u32) -> Self {
        Self {
            id,
            dispatched: None,
            settled: Vec::new(),
            late: Vec::new(),
            failed: Vec::new(),
            unhandled: Vec::new(),
            pending: VecDeque::new(),
        }
    }

    /// Notes what goes beside the fate; answers how many bytes of a report it takes, about.
    fn note(&mut self, at: Position, outcome: Outcome) -> usize {
        match outcome {
            Outcome::Failed { kind, mut reason, last } => {
                reason.truncate(reason.floor_char_boundary(REASON_BYTES));
                let bytes = 80 + reason.len();
                self.failed.push(Failure { at, kind, reason, last });
                bytes
            }
            Outcome::Unhandled => {
                self.unhandled.push(at);
                16
            }
            Outcome::Consumed | Outcome::Pending => 0,
        }
    }

    /// The entries from `from` up to, not including, `to` of a batch are settled.
    fn settle_run(&mut self, seq: u64, from: u32, to: u32, entries: u32) {
        if from >= to {
            return;
        }
        let (first, last) = (Position { seq, ordinal: from }, Position { seq, ordinal: to - 1 });
        join(&mut self.settled, Settled { span: Span { first, last }, ends_batch: to == entries });
    }

    // Plain loops here and below: each adapter of an iterator would be as much of a page's download as the loop.
    fn report(&mut self) -> Option<ViewReport> {
        let (settled, late) = (core::mem::take(&mut self.settled), core::mem::take(&mut self.late));
        let mut all = Vec::with_capacity(settled.len() + late.len());
        let mut at = 0;
        for next in settled {
            while let Some(earlier) = late.get(at).filter(|late| late.span.first < next.span.first) {
                join(&mut all, *earlier);
                at += 1;
            }
            join(&mut all, next);
        }
        while let Some(rest) = late.get(at) {
            join(&mut all, *rest);
            at += 1;
        }
        let mut spans = Vec::with_capacity(all.len());
        for settled in &all {
            spans.push(settled.span);
        }
        let report = ViewReport {
            view: self.id,
            dispatched: self.dispatched.take(),
            settled: spans,
            failed: core::mem::take(&mut self.failed),
            unhandled: core::mem::take(&mut self.unhandled),
        };
        let ViewReport { dispatched, settled, failed, unhandled, .. } = &report;
        let empty = dispatched.is_none() && settled.is_empty() && failed.is_empty() && unhandled.is_empty();
        (!empty).then_some(report)
    }
}

/// Appends a span, or extends the last one where it adjoins.
fn join(spans: &mut Vec<Settled>, next: Settled) {
    if let Some(last) = spans.last_mut() {
        let (end, begin) = (last.span.last, next.span.first);
        let adjoins = if end.seq == begin.seq {
            end.ordinal + 1 == begin.ordinal
        } else {
            last.ends_batch && end.seq + 1 == begin.seq && begin.ordinal == 0
        };
        if adjoins {
            last.span.last = next.span.last;
            last.ends_batch = next.ends_batch;
            return;
        }
    }
    spans.push(next);
}

fn is_settled(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::Pending | Outcome::Failed { last: false, .. })
}

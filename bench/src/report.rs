//! What one session has received and not yet reported: the shipped client's rule, a report a second or at half credit.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// A report is not kept back longer than this after the first unreported event.
pub(crate) const WITHIN: Duration = Duration::from_secs(1);

/// Received and not reported, of one view.
#[derive(Debug, Default)]
pub(crate) struct Unreported {
    view: u64,
    first: Option<u64>,
    last: u64,
    last_ordinal: u32,
    bytes: usize,
    since: Option<Instant>,
}

impl Unreported {
    /// Notes a batch of one view; `true` if it began the second after which a report is due.
    pub(crate) fn batch(&mut self, now: Instant, view: u64, seq: u64, entries: u32, bytes: usize) -> bool {
        self.view = view;
        self.first.get_or_insert(seq);
        self.last = seq;
        self.last_ordinal = entries.saturating_sub(1);
        self.bytes += bytes;
        self.since.replace(self.since.unwrap_or(now)).is_none()
    }

    /// Whether batches of another view are unreported, which a report must speak of first.
    pub(crate) fn is_of_other(&self, view: u64) -> bool {
        self.since.is_some() && self.view != view
    }

    /// Whether a report is due.
    pub(crate) fn is_due(&self, now: Instant, credit: usize) -> bool {
        self.since.is_some_and(|since| now >= since + WITHIN || self.bytes * 2 >= credit)
    }

    /// Writes the report into `out`, and begins anew. All is settled: the listeners of the load have nothing to do.
    pub(crate) fn take(&mut self, out: &mut String) {
        let Some(first) = self.first else { return };
        let Self { view, last, last_ordinal, .. } = *self;
        let _ = write!(
            out,
            r#"{{"report":{{"views":[{{"view":{view},"dispatched":{last},"settled":[[{first},0,{last},{last_ordinal}]]}}]}}}}"#
        );
        *self = Self { view, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_span_covers_what_came_within_a_second() {
        let (mut unreported, now) = (Unreported::default(), Instant::now());
        assert!(unreported.batch(now, 7, 3, 2, 500));
        assert!(!unreported.batch(now, 7, 4, 5, 500));
        assert!(!unreported.is_due(now, 100_000) && unreported.is_due(now + WITHIN, 100_000));
        assert!(unreported.is_due(now, 2000), "half the credit");
        assert!(unreported.is_of_other(8) && !unreported.is_of_other(7));
        let mut out = String::new();
        unreported.take(&mut out);
        assert_eq!(out, r#"{"report":{"views":[{"view":7,"dispatched":4,"settled":[[3,0,4,4]]}]}}"#);
        assert!(!unreported.is_due(now + WITHIN, 1));
    }
}

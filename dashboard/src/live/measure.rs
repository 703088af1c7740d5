//! What the dashboard counts: one name for each member of the protocol's counts.

use tidegate_protocol::ledger::Counts;

/// Defines [`Measure`] from one table, so that a name, a label and a member can't drift apart.
macro_rules! measures {
    ($($variant:ident = $field:ident, $label:literal, $help:literal;)*) => {
        /// One member of [`Counts`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Measure { $(#[doc = $help] $variant),* }

        impl Measure {
            /// Every measure; a measure's place here is its place in [`Rates`].
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name on the wire, in test ids and in `data-col`.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($field)),* }
            }

            /// Its name for a person.
            pub(crate) fn label(self) -> &'static str {
                match self { $(Self::$variant => $label),* }
            }

            /// What it means, in one sentence.
            pub(crate) fn help(self) -> &'static str {
                match self { $(Self::$variant => $help),* }
            }

            /// Its value.
            pub(crate) fn of(self, counts: &Counts) -> u64 {
                match self { $(Self::$variant => counts.$field),* }
            }
        }
    };
}

measures! {
    Received = received, "Received", "Deliveries that the client reported it dispatched to the page.";
    Consumed = consumed, "Consumed", "Deliveries that were handled.";
    Failed = failed, "Failed", "Attempts that threw, rejected or ran out of time.";
    GivenUp = given_up, "Given up", "Deliveries that failed for the last time, with no dead letter asked for.";
    DeadLettered = dead_lettered, "Dead-lettered", "Deliveries put on a dead-letter queue.";
    Abandoned = abandoned, "Abandoned", "Deliveries whose session ended before they were settled.";
    InFlight = in_flight, "In flight", "Deliveries received and not settled yet.";
    Sent = sent, "Sent", "Deliveries that entered an outbox.";
    Retried = retried, "Retried", "Attempts made after a failed one.";
    Redelivered = redelivered, "Redelivered", "Deliveries tried in another session.";
    Unhandled = unhandled, "Unhandled", "Deliveries consumed without any listener of the type.";
    Unreported = unreported, "Unreported", "Deliveries over a transport that has no reports.";
}

/// How many measures there are.
pub(crate) const MEASURES: usize = Measure::ALL.len();

/// What happened each second, by measure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rates([f64; MEASURES]);

impl Rates {
    /// Nothing happened.
    pub(crate) const ZERO: Self = Self([0.0; MEASURES]);

    /// The rates between two snapshots. They are signed: a count that went back is shown, not hidden.
    pub(crate) fn between(before: &Counts, after: &Counts, seconds: f64) -> Self {
        Self(std::array::from_fn(|place| {
            let measure = Measure::ALL[place];
            (measure.of(after) as f64 - measure.of(before) as f64) / seconds
        }))
    }

    /// The rate of one measure.
    pub(crate) fn of(&self, measure: Measure) -> f64 {
        self.0[measure as usize]
    }

    /// Adds another node's or row's rates.
    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_has_a_measure_of_its_own_name() {
        let mut measures: Vec<_> = Measure::ALL.iter().map(|measure| measure.name()).collect();
        let mut counts = Counts::NAMES.to_vec();
        measures.sort_unstable();
        counts.sort_unstable();
        assert_eq!(measures, counts);
    }

    #[test]
    fn a_count_that_goes_back_has_a_negative_rate() {
        let before = Counts { received: 10, ..Counts::default() };
        let after = Counts { received: 4, consumed: 6, ..Counts::default() };
        let rates = Rates::between(&before, &after, 2.0);
        assert!((rates.of(Measure::Received) + 3.0).abs() < 1e-9);
        assert!((rates.of(Measure::Consumed) - 3.0).abs() < 1e-9);
    }
}

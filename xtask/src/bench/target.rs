//! What is meant to be reached, and whether it was.

/// Figures of runs, and what they are meant to be.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) what: String,
    pub(super) runs: Vec<f64>,
    pub(super) hold: Hold,
    pub(super) bound: Bound,
}

/// Which of the runs must keep to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// Each: what a machine does meanwhile does little to CPU time.
    EachRun,
    /// The one in the middle: latency tells of the machine, too.
    Median,
}

/// What they are meant to be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    /// What was not measured is not met.
    pub(super) fn is_met(&self) -> bool {
        let keeps = |run: f64| match self.bound {
            Bound::AtMost(most) => run <= most,
            Bound::AtLeast(least) => run >= least,
        };
        match self.hold {
            Hold::EachRun => !self.runs.is_empty() && self.runs.iter().copied().all(keeps),
            Hold::Median => keeps(median(&self.runs)),
        }
    }

    /// In words.
    pub(super) fn meant(&self) -> String {
        let runs = match self.hold {
            Hold::EachRun => "in each run",
            Hold::Median => "in the median",
        };
        match self.bound {
            Bound::AtMost(most) => format!("at most {most:.4} {runs}"),
            Bound::AtLeast(least) => format!("at least {least:.4} {runs}"),
        }
    }
}

/// The middle one, or of an even number the mean of the two in the middle.
pub(super) fn median(runs: &[f64]) -> f64 {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.get(sorted.len().saturating_sub(1) / 2), sorted.get(sorted.len() / 2)) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_an_even_number_lies_between() {
        assert!((median(&[4.0, 1.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn each_run_or_the_middle_one_keeps_to_the_bound() {
        let target = |hold, bound| Target { what: String::new(), runs: vec![1.0, 2.0, 9.0], hold, bound };
        assert!(target(Hold::Median, Bound::AtMost(2.0)).is_met());
        assert!(!target(Hold::EachRun, Bound::AtMost(2.0)).is_met());
        assert!(target(Hold::EachRun, Bound::AtLeast(1.0)).is_met());
        assert!(!target(Hold::Median, Bound::AtLeast(2.1)).is_met());
    }
}

//! The last minutes of a line, for the plots.

use std::collections::VecDeque;

use tidegate_protocol::timestamp::Millis;

use super::measure::{MEASURES, Measure};
use super::picture::Line;

/// How much is kept.
pub(crate) const WINDOW_MS: Millis = 180_000;

/// Spans that plots show: the smallest that holds what is known, so that a young plot is no empty one.
pub(crate) const SPANS: [Millis; 3] = [30_000, 60_000, WINDOW_MS];

/// Samples nearer than this are one: with two nodes, reports come twice a second.
const SAME_MS: Millis = 500;

/// A pause longer than this is drawn as a gap.
const GAP_MS: Millis = 3_500;

/// One moment of a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    /// When.
    pub(crate) at: Millis,
    values: [f32; MEASURES],
}

impl Sample {
    /// The rate of one measure, or the level of what is a level; not a number while it was unknown.
    pub(crate) fn of(&self, measure: Measure) -> f64 {
        f64::from(self.values[measure as usize])
    }
}

/// A ring of samples, the oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series {
    samples: VecDeque<Sample>,
}

impl Series {
    /// Adds a moment and drops what has left the window.
    pub(crate) fn push(&mut self, at: Millis, line: &Line) {
        let values = std::array::from_fn(|place| match Measure::ALL[place] {
            Measure::InFlight => line.counts.in_flight as f32,
            measure => line.rates.map_or(f32::NAN, |rates| rates.of(measure) as f32),
        });
        match self.samples.back_mut() {
            Some(last) if at < last.at => return,
            Some(last) if at - last.at < SAME_MS => last.values = values,
            _ => self.samples.push_back(Sample { at, values }),
        }
        self.forget_before(at - WINDOW_MS);
    }

    /// Drops samples that are older.
    fn forget_before(&mut self, at: Millis) {
        while self.samples.front().is_some_and(|sample| sample.at < at) {
            self.samples.pop_front();
        }
    }

    /// The newest sample's time.
    pub(crate) fn newest(&self) -> Option<Millis> {
        self.samples.back().map(|sample| sample.at)
    }

    /// The span to show.
    pub(crate) fn span(&self) -> Millis {
        let known = self.samples.front().zip(self.samples.back()).map_or(0, |(first, last)| last.at - first.at);
        SPANS.into_iter().find(|&span| known <= span).unwrap_or(WINDOW_MS)
    }

    /// The samples, the oldest first.
    pub(crate) fn samples(&self) -> impl DoubleEndedIterator<Item = &Sample> + ExactSizeIterator {
        self.samples.iter()
    }

    /// The sample nearest to a time.
    pub(crate) fn nearest(&self, at: Millis) -> Option<&Sample> {
        self.samples.iter().min_by_key(|sample| (sample.at - at).abs())
    }

    /// Runs of known rates without a pause in them, as (time, rate).
    pub(crate) fn runs(&self, measure: Measure) -> Vec<Vec<(Millis, f64)>> {
        let mut runs: Vec<Vec<(Millis, f64)>> = Vec::new();
        let mut last = None;
        for sample in &self.samples {
            let rate = sample.of(measure);
            if rate.is_nan() {
                last = None;
                continue;
            }
            match (last, runs.last_mut()) {
                (Some(before), Some(run)) if sample.at - before <= GAP_MS => run.push((sample.at, rate)),
                _ => runs.push(vec![(sample.at, rate)]),
            }
            last = Some(sample.at);
        }
        runs
    }

    /// Means of these measures over spans of so many milliseconds, by the span's beginning, the newest first.
    pub(crate) fn means(&self, span: Millis, measures: &[Measure]) -> Vec<(Millis, Vec<f64>)> {
        let mut means: Vec<(Millis, Vec<(f64, f64)>)> = Vec::new();
        for sample in self.samples.iter().rev() {
            let begins = sample.at - sample.at.rem_euclid(span);
            if means.last().is_none_or(|(at, _)| *at != begins) {
                means.push((begins, vec![(0.0, 0.0); measures.len()]));
            }
            let Some((_, sums)) = means.last_mut() else { continue };
            for ((sum, known), &measure) in sums.iter_mut().zip(measures) {
                let rate = sample.of(measure);
                if !rate.is_nan() {
                    *sum += rate;
                    *known += 1.0;
                }
            }
        }
        // A span of nothing known is 0/0: not a number, as it should be.
        let mean = |sums: Vec<(f64, f64)>| sums.into_iter().map(|(sum, known)| sum / known).collect();
        means.into_iter().map(|(at, sums)| (at, mean(sums))).collect()
    }

    /// The smallest and largest of these measures' rates, zero included.
    pub(crate) fn extent(&self, measures: &[Measure]) -> (f64, f64) {
        self.samples
            .iter()
            .flat_map(|sample| measures.iter().map(|&measure| sample.of(measure)))
            .filter(|rate| !rate.is_nan())
            .fold((0.0, 0.0), |(low, high), rate| (rate.min(low), rate.max(high)))
    }
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::ledger::Counts;

    use super::super::measure::Rates;
    use super::*;

    fn consumed(rate: u64) -> Line {
        let counts = Counts { consumed: rate, in_flight: rate, ..Counts::default() };
        Line { counts, rates: Some(Rates::between(&Counts::default(), &counts, 2.0)), imbalance: None }
    }

    fn unknown() -> Line {
        Line::default()
    }

    #[test]
    fn the_window_moves() {
        let mut series = Series::default();
        for second in 0..400 {
            series.push(second * 1_000, &consumed(2));
        }
        assert_eq!(series.newest(), Some(399_000));
        assert_eq!(series.samples().len(), 181);
    }

    #[test]
    fn the_span_grows_with_what_is_known() {
        let mut series = Series::default();
        let mut spans = Vec::new();
        for second in [0, 30, 31, 60, 61, 400] {
            series.push(second * 1_000, &consumed(1));
            spans.push(series.span() / 1_000);
        }
        assert_eq!(spans, [30, 30, 60, 60, 180, 30]);
    }

    #[test]
    fn two_reports_of_one_second_are_one_sample() {
        let mut series = Series::default();
        series.push(1_000, &consumed(2));
        series.push(1_200, &consumed(14));
        assert_eq!(series.runs(Measure::Consumed), [vec![(1_000, 7.0)]]);
    }

    #[test]
    fn pauses_and_unknown_rates_break_the_line() {
        let mut series = Series::default();
        series.push(1_000, &consumed(2));
        series.push(2_000, &unknown());
        series.push(3_000, &consumed(4));
        series.push(9_000, &consumed(6));
        series.push(10_000, &consumed(8));
        let runs = series.runs(Measure::Consumed);
        assert_eq!(runs, [vec![(1_000, 1.0)], vec![(3_000, 2.0)], vec![(9_000, 3.0), (10_000, 4.0)]]);
        assert_eq!(series.extent(&[Measure::Consumed, Measure::Failed]), (0.0, 4.0));
    }

    #[test]
    fn what_is_in_flight_is_a_level_and_known_at_once() {
        let mut series = Series::default();
        series.push(1_000, &Line { rates: None, ..consumed(3) });
        assert_eq!(series.runs(Measure::InFlight), [vec![(1_000, 3.0)]]);
        assert!(series.runs(Measure::Consumed).is_empty());
    }

    #[test]
    fn means_leave_out_what_is_unknown() {
        let mut series = Series::default();
        for (second, rate) in [Some(4), None, Some(8)].into_iter().enumerate() {
            series.push(second as Millis * 1_000, &rate.map_or_else(unknown, consumed));
        }
        series.push(10_000, &unknown());
        let means = series.means(10_000, &[Measure::Consumed]);
        assert_eq!(means.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [10_000, 0]);
        assert!(means[0].1[0].is_nan());
        assert_eq!(means[1].1, [3.0]);
    }

    #[test]
    fn the_nearest_sample_is_found() {
        let mut series = Series::default();
        series.push(1_000, &unknown());
        series.push(5_000, &unknown());
        assert_eq!(series.nearest(2_900).map(|sample| sample.at), Some(1_000));
        assert_eq!(series.nearest(9_000).map(|sample| sample.at), Some(5_000));
    }
}

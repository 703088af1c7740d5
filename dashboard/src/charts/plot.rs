//! From a series to paths and axes, in a box of [`WIDTH`] × [`HEIGHT`] that the page stretches.

use std::fmt::Write;

use tidegate_protocol::timestamp::Millis;

use crate::live::measure::Measure;
use crate::live::series::Series;

/// The box's width.
pub(crate) const WIDTH: f64 = 1_000.0;
/// The box's height.
pub(crate) const HEIGHT: f64 = 100.0;
/// Parts that the value axis is divided into.
pub(crate) const DIVISIONS: usize = 4;

/// What part of time and of values a plot shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Frame {
    from: Millis,
    span: Millis,
    low: f64,
    high: f64,
}

impl Frame {
    /// A frame of that span that ends with the newest sample and holds all values of these measures.
    pub(crate) fn around(series: &Series, span: Millis, measures: &[Measure]) -> Self {
        let to = series.newest().unwrap_or_default();
        let (low, high) = series.extent(measures);
        let low = if low < 0.0 { -ceiling(-low) } else { 0.0 };
        Self { from: to - span, span, low, high: ceiling(high) }
    }

    /// Labels of the value axis, the highest first.
    pub(crate) fn ticks(&self) -> [f64; DIVISIONS + 1] {
        std::array::from_fn(|place| self.high - (self.high - self.low) * place as f64 / DIVISIONS as f64)
    }

    /// The time at a part of the width, `0.0` being the left edge.
    pub(crate) fn time(&self, part: f64) -> Millis {
        self.from + (part * self.span as f64).round() as Millis
    }

    /// What part of the width a second takes.
    pub(crate) fn second(&self) -> f64 {
        1_000.0 / self.span as f64
    }

    /// Labels of the time axis.
    pub(crate) fn times(&self) -> [String; 4] {
        let third = self.span / 3_000;
        let label = |thirds: i64| match third * thirds {
            0 => "now".to_owned(),
            minutes if minutes % 60 == 0 => format!("−{} min", minutes / 60),
            seconds => format!("−{seconds} s"),
        };
        [3, 2, 1, 0].map(label)
    }

    /// Where a time lies.
    pub(crate) fn x(&self, at: Millis) -> f64 {
        (at - self.from) as f64 / self.span as f64 * WIDTH
    }

    /// Where a value lies.
    pub(crate) fn y(&self, value: f64) -> f64 {
        HEIGHT - (value - self.low) / (self.high - self.low) * HEIGHT
    }

    /// The path of the lines that divide the value axis.
    pub(crate) fn grid() -> String {
        (0..=DIVISIONS).fold(String::new(), |mut path, place| {
            let _ = write!(path, "M0 {}H{WIDTH}", HEIGHT * place as f64 / DIVISIONS as f64);
            path
        })
    }

    /// The path of a measure's line.
    pub(crate) fn line(&self, series: &Series, measure: Measure) -> String {
        let mut path = String::new();
        for run in series.runs(measure) {
            self.trace(&mut path, &run);
        }
        path
    }

    /// The path of the area under a measure's line.
    pub(crate) fn area(&self, series: &Series, measure: Measure) -> String {
        let mut path = String::new();
        for run in series.runs(measure) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let floor = self.y(0.0);
            self.trace(&mut path, &run);
            let _ = write!(path, "L{:.1} {floor:.1}L{:.1} {floor:.1}Z", self.x(last.0), self.x(first.0));
        }
        path
    }

    fn trace(&self, path: &mut String, run: &[(Millis, f64)]) {
        for (place, &(at, rate)) in run.iter().enumerate() {
            let command = if place == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{command}{:.1} {:.1}", self.x(at), self.y(rate));
        }
        if run.len() == 1 {
            // A path of a single point is only drawn if it goes somewhere.
            path.push_str("h0");
        }
    }
}

/// The smallest pleasant axis end that is not below a value: its divisions are 1, 2, 2.5 or 5 times a power of ten.
fn ceiling(value: f64) -> f64 {
    let step = (value / DIVISIONS as f64).max(0.25);
    let magnitude = 10_f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0].into_iter().find(|factor| step <= factor * magnitude * 1.000_001);
    factor.unwrap_or(10.0) * magnitude * DIVISIONS as f64
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::ledger::Counts;

    use super::*;
    use crate::live::measure::Rates;
    use crate::live::picture::Line;

    fn series(rates: &[u64]) -> Series {
        let mut series = Series::default();
        for (second, &received) in rates.iter().enumerate() {
            let counts = Counts { received, ..Counts::default() };
            let rates = Some(Rates::between(&Counts::default(), &counts, 1.0));
            series.push(second as Millis * 1_000, &Line { counts, rates, imbalance: None });
        }
        series
    }

    #[test]
    fn axis_ends_are_pleasant() {
        let ends = [0.0, 1.0, 3.0, 4.1, 97.0, 1_234.0].map(|value| format!("{}", ceiling(value)));
        assert_eq!(ends, ["1", "1", "4", "8", "100", "2000"]);
    }

    #[test]
    fn the_newest_sample_is_at_the_right_edge() {
        let series = series(&[0, 2, 4]);
        let frame = Frame::around(&series, 180_000, &[Measure::Received]);
        assert_eq!(frame.line(&series, Measure::Received), "M988.9 100.0L994.4 50.0L1000.0 0.0");
        assert_eq!(frame.ticks().map(|tick| format!("{tick}")), ["4", "3", "2", "1", "0"]);
        assert_eq!(frame.time(1.0), 2_000);
        assert_eq!(
            frame.area(&series, Measure::Received),
            "M988.9 100.0L994.4 50.0L1000.0 0.0L1000.0 100.0L988.9 100.0Z"
        );
    }

    #[test]
    fn times_are_said_in_the_unit_that_fits() {
        let series = Series::default();
        let times = |span| Frame::around(&series, span, &[]).times();
        assert_eq!(times(180_000), ["−3 min", "−2 min", "−1 min", "now"]);
        assert_eq!(times(60_000), ["−1 min", "−40 s", "−20 s", "now"]);
        assert_eq!(times(30_000), ["−30 s", "−20 s", "−10 s", "now"]);
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        let series = Series::default();
        let frame = Frame::around(&series, 180_000, &[Measure::Received]);
        assert_eq!(frame.line(&series, Measure::Received), "");
    }
}

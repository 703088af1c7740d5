//! The figures: every run of every system, told as least, median and greatest.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

use serde_json::{Value, json};

use super::machine::Machine;

/// All that was measured: scenario, measure, system, and a figure of each run.
#[derive(Debug, Default)]
pub(super) struct Summary {
    figures: BTreeMap<(String, String, String), Vec<f64>>,
    targets: Vec<Target>,
}

/// What is meant to be reached.
#[derive(Debug)]
struct Target {
    what: String,
    reached: f64,
    at_most: f64,
}

impl Summary {
    /// Notes one run's figure.
    pub(super) fn add(&mut self, scenario: &str, measure: &str, system: &str, figure: f64) {
        self.figures.entry((scenario.into(), measure.into(), system.into())).or_default().push(figure);
    }

    /// The median of a measure is meant to be at most this.
    pub(super) fn at_most(&mut self, scenario: &str, measure: &str, system: &str, at_most: f64) {
        let reached = median(self.runs(scenario, measure, system));
        self.targets.push(Target { what: format!("{scenario} {measure}"), reached, at_most });
    }

    /// A system is meant to take at most so many times what another takes: the median over pairs of runs that
    /// followed each other.
    pub(super) fn ratio(&mut self, scenario: &str, measure: &str, system: &str, other: &str, at_most: f64) {
        let pairs = self.runs(scenario, measure, system).iter().zip(self.runs(scenario, measure, other));
        let ratios: Vec<f64> = pairs.map(|(ours, theirs)| ours / theirs).collect();
        let what = format!("{scenario} {measure}, {system} ÷ {other}");
        self.targets.push(Target { what, reached: median(&ratios), at_most });
        for ratio in ratios {
            self.add(scenario, &format!("{measure}_ratio"), &format!("{system}/{other}"), ratio);
        }
    }

    /// Whether all that is meant to be reached is.
    pub(super) fn within_targets(&self) -> bool {
        self.targets.iter().all(Target::is_met)
    }

    /// Writes `target/bench/summary.json`.
    pub(super) fn write(&self, machine: &Machine) -> anyhow::Result<()> {
        fs::create_dir_all("target/bench")?;
        let mut text = serde_json::to_string_pretty(&self.json(machine))?;
        text.push('\n');
        Ok(fs::write("target/bench/summary.json", text)?)
    }

    fn json(&self, machine: &Machine) -> Value {
        let mut scenarios = json!({});
        for ((scenario, measure, system), runs) in &self.figures {
            let (least, most) = bounds(runs);
            scenarios[scenario][measure][system] = json!({ "min": least, "median": median(runs), "max": most });
        }
        let targets = self.targets.iter().map(|target| {
            json!({ "what": target.what, "reached": target.reached, "at_most": target.at_most, "met": target.is_met() })
        });
        json!({ "machine": machine.json(), "scenarios": scenarios, "targets": targets.collect::<Vec<_>>() })
    }

    fn runs(&self, scenario: &str, measure: &str, system: &str) -> &[f64] {
        self.figures.get(&(scenario.into(), measure.into(), system.into())).map_or(&[], Vec::as_slice)
    }
}

impl Target {
    fn is_met(&self) -> bool {
        self.reached <= self.at_most
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:14} {:28} {:20} {:>12} {:>12} {:>12}", "scenario", "measure", "system", "min", "median", "max")?;
        for ((scenario, measure, system), runs) in &self.figures {
            let (least, most) = bounds(runs);
            let [least, median, most] = [least, median(runs), most].map(shown);
            writeln!(f, "{scenario:14} {measure:28} {system:20} {least:>12} {median:>12} {most:>12}")?;
        }
        for target in &self.targets {
            let verdict = if target.is_met() { "met" } else { "NOT met" };
            let (reached, at_most) = (shown(target.reached), shown(target.at_most));
            write!(f, "\n{}: {reached}, meant to be at most {at_most}: {verdict}", target.what)?;
        }
        Ok(())
    }
}

fn shown(figure: f64) -> String {
    if figure >= 100.0 { format!("{figure:.0}") } else { format!("{figure:.3}") }
}

fn bounds(runs: &[f64]) -> (f64, f64) {
    runs.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), &run| (least.min(run), most.max(run)))
}

/// The middle one, or of an even number the mean of the two in the middle.
fn median(runs: &[f64]) -> f64 {
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

    fn summary() -> Summary {
        let mut summary = Summary::default();
        for (ours, theirs) in [(3.0, 2.0), (1.0, 1.0), (8.0, 4.0)] {
            summary.add("s", "cpu", "a", ours);
            summary.add("s", "cpu", "b", theirs);
        }
        summary
    }

    #[test]
    fn least_median_and_greatest_are_told() {
        let json = summary().json(&Machine::look());
        assert_eq!(json["scenarios"]["s"]["cpu"]["a"], json!({ "min": 1.0, "median": 3.0, "max": 8.0 }));
        assert!((median(&[4.0, 1.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn pairs_are_compared_run_by_run() {
        let mut summary = summary();
        summary.ratio("s", "cpu", "a", "b", 1.5);
        assert!(summary.within_targets(), "{summary}");
        summary.at_most("s", "cpu", "a", 2.9);
        assert!(!summary.within_targets());
        summary.targets.clear();
        summary.at_most("s", "nothing", "a", 1.0);
        assert!(!summary.within_targets(), "what was not measured is not met");
    }
}

//! The figures: every run of every system, told as least, median and greatest.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

use serde_json::{Value, json};

use super::machine::Machine;
use super::target::{Bound, Hold, Target, median};

/// What a loader may use of its core: above it the load would be what is measured.
const LOADER_CORE: f64 = 0.9;

/// All that was measured: scenario, measure, system, and a figure of each run.
#[derive(Debug, Default)]
pub(super) struct Summary {
    figures: BTreeMap<(String, String, String), Vec<f64>>,
    targets: Vec<Target>,
    /// What a reader of the figures must know.
    remarks: Vec<String>,
}

impl Summary {
    /// Notes all that one run measured.
    pub(super) fn take(&mut self, round: u32, scenario: &str, system: &str, measured: &Value) {
        println!("round {round} {system:>10}: {measured}");
        for (measure, value) in measured.as_object().into_iter().flatten() {
            if let Some(value) = value.as_f64() {
                self.add(scenario, measure, system, value);
            }
        }
        let loader = measured["loader_core"].as_f64().unwrap_or(0.0);
        if loader > LOADER_CORE {
            let used = format!("the loader used {:.0} % of its core", loader * 100.0);
            self.remark(format!("{scenario}, round {round}, {system}: {used}: it may be what was measured"));
        }
    }

    /// Notes one run's figure.
    pub(super) fn add(&mut self, scenario: &str, measure: &str, system: &str, figure: f64) {
        self.figures.entry((scenario.into(), measure.into(), system.into())).or_default().push(figure);
    }

    /// Says something at once, and once more beside the figures.
    pub(super) fn remark(&mut self, remark: String) {
        println!("   {remark}");
        self.remarks.push(remark);
    }

    /// A measure of a system is meant to keep within this bound.
    pub(super) fn expect(&mut self, scenario: &str, measure: &str, system: &str, hold: Hold, bound: Bound) {
        let runs = self.runs(scenario, measure, system).to_vec();
        self.target(scenario, &format!("{measure} of {system}"), runs, hold, bound);
    }

    /// What a system takes, divided by what another takes in the run beside it, is meant to keep within this bound.
    pub(super) fn ratio(&mut self, scenario: &str, measure: &str, of: [&str; 2], hold: Hold, bound: Bound) {
        let [ours, theirs] = of;
        let ratios = self.ratios(scenario, measure, of);
        self.target(scenario, &format!("{measure}, {ours} ÷ {theirs}"), ratios, hold, bound);
    }

    /// Figures that were worked out are meant to keep within this bound.
    pub(super) fn target(&mut self, scenario: &str, what: &str, runs: Vec<f64>, hold: Hold, bound: Bound) {
        self.targets.push(Target { what: format!("{scenario}: {what}"), runs, hold, bound });
    }

    /// One system's runs over those of another beside them.
    pub(super) fn ratios(&self, scenario: &str, measure: &str, [ours, theirs]: [&str; 2]) -> Vec<f64> {
        let pairs = self.runs(scenario, measure, ours).iter().zip(self.runs(scenario, measure, theirs));
        pairs.map(|(ours, theirs)| ours / theirs).collect()
    }

    /// The figures of each run.
    pub(super) fn runs(&self, scenario: &str, measure: &str, system: &str) -> &[f64] {
        self.figures.get(&(scenario.into(), measure.into(), system.into())).map_or(&[], Vec::as_slice)
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
            scenarios[scenario][measure][system] = spread(runs);
        }
        let targets = self.targets.iter().map(|target| {
            let mut json = spread(&target.runs);
            json["what"] = target.what.as_str().into();
            json["meant"] = target.meant().into();
            json["met"] = target.is_met().into();
            json
        });
        let targets: Vec<Value> = targets.collect();
        json!({ "machine": machine.json(), "scenarios": scenarios, "targets": targets, "remarks": self.remarks })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:16} {:24} {:22} {:>12} {:>12} {:>12}", "scenario", "measure", "system", "min", "median", "max")?;
        for ((scenario, measure, system), runs) in &self.figures {
            let (least, most) = bounds(runs);
            let [least, median, most] = [least, median(runs), most].map(shown);
            writeln!(f, "{scenario:16} {measure:24} {system:22} {least:>12} {median:>12} {most:>12}")?;
        }
        for target in &self.targets {
            let verdict = if target.is_met() { "met" } else { "NOT met" };
            let (least, most) = bounds(&target.runs);
            let [least, median, most] = [least, median(&target.runs), most].map(shown);
            write!(f, "\n{:>7}  {}: {least} / {median} / {most}, meant {}", verdict, target.what, target.meant())?;
        }
        for remark in &self.remarks {
            write!(f, "\n   note  {remark}")?;
        }
        Ok(())
    }
}

fn spread(runs: &[f64]) -> Value {
    let (least, most) = bounds(runs);
    json!({ "min": least, "median": median(runs), "max": most })
}

fn shown(figure: f64) -> String {
    if figure >= 100.0 { format!("{figure:.0}") } else { format!("{figure:.3}") }
}

fn bounds(runs: &[f64]) -> (f64, f64) {
    runs.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), &run| (least.min(run), most.max(run)))
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
    }

    #[test]
    fn pairs_are_compared_run_by_run() {
        let mut summary = summary();
        summary.ratio("s", "cpu", ["a", "b"], Hold::Median, Bound::AtMost(1.5));
        assert!(summary.within_targets(), "{summary}");
        summary.ratio("s", "cpu", ["a", "b"], Hold::EachRun, Bound::AtMost(1.5));
        assert!(!summary.within_targets(), "one of the runs was above");
    }

    #[test]
    fn what_was_not_measured_is_not_met() {
        let mut summary = summary();
        summary.expect("s", "nothing", "a", Hold::EachRun, Bound::AtMost(1.0));
        assert!(!summary.within_targets());
    }

    #[test]
    fn a_run_whose_loader_was_busy_is_marked() {
        let mut summary = Summary::default();
        summary.take(1, "s", "a", &json!({ "cpu": 1.0, "loader_core": 0.89 }));
        assert!(summary.remarks.is_empty());
        summary.take(2, "s", "a", &json!({ "cpu": 1.0, "loader_core": 0.91 }));
        assert!(summary.to_string().contains("round 2, a: the loader used 91 % of its core"), "{summary}");
    }
}

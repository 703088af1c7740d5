//! What the test runners say of themselves, added up.

use std::fmt;
use std::ops::AddAssign;
use std::str::FromStr;

use anyhow::Context;

/// Tests that passed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Tally {
    /// A check that passed.
    pub(crate) const PASSED: Self = Self { passed: 1, failed: 0 };
    /// A check that failed.
    pub(crate) const FAILED: Self = Self { passed: 0, failed: 1 };

    /// What a runner printed, held against how it ended: one that failed without a failed test to show for it
    /// (it did not compile, it crashed) counts as one failure, and so does one that ran nothing.
    pub(crate) fn of(output: &str, success: bool) -> Self {
        let mut tally = Self::default();
        for line in output.lines() {
            tally += summary(line).unwrap_or_default();
        }
        if (!success && tally.failed == 0) || tally == Self::default() {
            tally.failed += 1;
        }
        tally
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Reads what a tally is displayed as.
impl FromStr for Tally {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        let counts = line.strip_suffix(" failed").and_then(|rest| rest.split_once(" passed, "));
        let (passed, failed) = counts.with_context(|| format!("{line:?} is no count of tests"))?;
        Ok(Self { passed: passed.parse()?, failed: failed.parse()? })
    }
}

/// Reads a line of cargo's or Node's summary.
fn summary(line: &str) -> Option<Tally> {
    if let Some(rest) = line.strip_prefix("test result: ") {
        // ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
        let (_, counts) = rest.split_once(". ")?;
        let count = |word: &str| counts.split("; ").find_map(|part| part.strip_suffix(word)?.trim().parse().ok());
        return Some(Tally { passed: count("passed")?, failed: count("failed")? });
    }
    // "# pass 3" in TAP, "ℹ pass 3" in the reporter that Node.js takes for people.
    let mut words = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ "))?.split(' ');
    let (word, number) = (words.next()?, words.next()?.parse().ok()?);
    match word {
        "pass" => Some(Tally { passed: number, failed: 0 }),
        "fail" | "cancelled" => Some(Tally { passed: 0, failed: number }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_is_understood() {
        let output = "running 2 tests\ntest a ... ok\n\
            test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test result: FAILED. 5 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.02s\n";
        assert_eq!(Tally::of(output, false), Tally { passed: 7, failed: 3 });
    }

    #[test]
    fn node_is_understood() {
        let tap = "TAP version 13\n# tests 4\n# suites 0\n# pass 2\n# fail 1\n# cancelled 1\n# skipped 0\n# todo 0\n";
        let spec = "ℹ tests 4\nℹ pass 2\nℹ fail 1\nℹ cancelled 1\nℹ duration_ms 39.3\n";
        assert_eq!(Tally::of(tap, false), Tally { passed: 2, failed: 2 });
        assert_eq!(Tally::of(spec, false), Tally { passed: 2, failed: 2 });
    }

    #[test]
    fn what_failed_in_silence_is_counted() {
        assert_eq!(Tally::of("error: could not compile\n", false), Tally::FAILED);
        assert_eq!(Tally::of("", true), Tally::FAILED);
        let crashed = "test result: ok. 2 passed; 0 failed; 0 ignored;\n";
        assert_eq!(Tally::of(crashed, false), Tally { passed: 2, failed: 1 });
    }

    #[test]
    fn the_last_line_is_plain() {
        let tally = Tally { passed: 12, failed: 0 };
        assert_eq!(tally.to_string(), "12 passed, 0 failed");
        assert_eq!(tally.to_string().parse::<Tally>().ok(), Some(tally));
        assert!("error: 2 passed, 1".parse::<Tally>().is_err());
    }
}

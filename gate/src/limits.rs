//! How much may come in a time: token buckets, with the time passed in.

use tidegate_protocol::timestamp::Millis;

/// How far back a clock may seem to step because several threads read it, each a little before it acts.
const APART: Millis = 1_000;

/// So many units a second, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Units a second; at least 1.
    pub per_second: u64,
    /// Units that may come at once after a rest; at least 1.
    pub burst: u64,
}

/// Come back after this many milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("more than the rate allows; try again in {0} ms")]
pub struct RetryAfter(pub u64);

/// A token bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    rate: Rate,
    /// Thousandths of units: what a rate adds per millisecond is then whole. Negative: a debt.
    level: i128,
    at: Millis,
}

impl Bucket {
    /// A full bucket.
    pub fn new(rate: Rate, now: Millis) -> Self {
        let rate = Rate { per_second: rate.per_second.max(1), burst: rate.burst.max(1) };
        Self { rate, level: i128::from(rate.burst) * 1000, at: now }
    }

    /// Takes `units`, or says when they can be had. More than a whole burst is let through by a full
    /// bucket, which then owes the rest: otherwise it could never pass.
    pub fn take(&mut self, units: u64, now: Millis) -> Result<(), RetryAfter> {
        self.wait(units, now)?;
        self.level -= i128::from(units) * 1000;
        Ok(())
    }

    /// Takes `units` that have been had already: it may owe them.
    pub fn owe(&mut self, units: u64, now: Millis) {
        self.fill(now);
        self.level -= i128::from(units) * 1000;
    }

    /// Goes on at another rate: full if it was full, else with what it has or owes.
    pub fn change(&mut self, rate: Rate, now: Millis) {
        let was_full = self.is_full(now);
        let new = Self::new(rate, now);
        self.level = if was_full { new.level } else { self.level.min(new.level) };
        self.rate = new.rate;
    }

    /// Whether it has rested so long that it could be a new one.
    pub fn is_full(&mut self, now: Millis) -> bool {
        self.fill(now);
        self.level >= i128::from(self.rate.burst) * 1000
    }

    /// Adds what has come since it was last looked at.
    fn fill(&mut self, now: Millis) {
        let passed = now.saturating_sub(self.at);
        // A clock that goes back adds nothing, and takes nothing away. Small steps are no step at all: with each of
        // them the same time would be counted again.
        if !(-APART..0).contains(&passed) {
            let full = i128::from(self.rate.burst) * 1000;
            self.level = full.min(self.level + i128::from(passed.max(0)) * i128::from(self.rate.per_second));
            self.at = now;
        }
    }

    /// Says when `units` can be had, without taking them.
    pub fn wait(&mut self, units: u64, now: Millis) -> Result<(), RetryAfter> {
        self.fill(now);
        let full = i128::from(self.rate.burst) * 1000;
        let needed = full.min(i128::from(units) * 1000);
        if self.level >= needed {
            return Ok(());
        }
        let wait = (needed - self.level).div_euclid(i128::from(self.rate.per_second)) + 1;
        Err(RetryAfter(u64::try_from(wait).unwrap_or(u64::MAX)))
    }
}

/// A publish limit: events and bytes, both or neither taken.
#[derive(Debug, Clone)]
pub struct PublishLimit {
    events: Bucket,
    bytes: Bucket,
}

impl PublishLimit {
    /// Both buckets full.
    pub fn new(events: Rate, bytes: Rate, now: Millis) -> Self {
        Self { events: Bucket::new(events, now), bytes: Bucket::new(bytes, now) }
    }

    /// Takes one event of that many bytes, or says when it can be had.
    pub fn take(&mut self, bytes: u64, now: Millis) -> Result<(), RetryAfter> {
        self.wait(bytes, now)?;
        self.owe(bytes, now);
        Ok(())
    }

    /// Says when one event of that many bytes can be had, without taking it.
    pub fn wait(&mut self, bytes: u64, now: Millis) -> Result<(), RetryAfter> {
        match (self.events.wait(1, now), self.bytes.wait(bytes, now)) {
            (Ok(()), Ok(())) => Ok(()),
            (events, bytes) => Err(events.err().max(bytes.err()).unwrap_or(RetryAfter(1))),
        }
    }

    /// Goes on at other rates.
    pub fn change(&mut self, events: Rate, bytes: Rate, now: Millis) {
        self.events.change(events, now);
        self.bytes.change(bytes, now);
    }

    /// Whether it has rested so long that it could be a new one.
    pub fn is_full(&mut self, now: Millis) -> bool {
        self.events.is_full(now) && self.bytes.is_full(now)
    }

    /// Takes one event of that many bytes, which has been had already.
    pub fn owe(&mut self, bytes: u64, now: Millis) {
        self.events.owe(1, now);
        self.bytes.owe(bytes, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_then_the_rate() {
        let mut bucket = Bucket::new(Rate { per_second: 10, burst: 2 }, 1000);
        assert_eq!((bucket.take(1, 1000), bucket.take(1, 1000)), (Ok(()), Ok(())));
        let RetryAfter(wait) = bucket.take(1, 1000).unwrap_err();
        assert!((100..=101).contains(&wait), "{wait}");
        assert_eq!(bucket.take(1, 1000 + wait as i64), Ok(()));
    }

    #[test]
    fn more_than_a_burst_waits_for_a_full_bucket_and_is_owed() {
        let mut bucket = Bucket::new(Rate { per_second: 1000, burst: 1000 }, 0);
        assert_eq!(bucket.take(5000, 0), Ok(()));
        assert!(bucket.take(1, 3999).is_err());
        assert_eq!(bucket.take(1, 4001), Ok(()));
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let mut bucket = Bucket::new(Rate { per_second: 1, burst: 1 }, 10_000);
        assert_eq!(bucket.take(1, 10_000), Ok(()));
        assert!(bucket.take(1, 5_000).is_err());
    }

    #[test]
    fn both_or_neither() {
        let one = |burst| Rate { per_second: 1, burst };
        let mut limit = PublishLimit::new(one(2), one(10), 0);
        assert_eq!(limit.take(10, 0), Ok(()));
        assert!(limit.take(5, 0).unwrap_err() >= RetryAfter(5000));
        // The refused one took no event: the second of the burst is still there.
        assert_eq!(limit.take(0, 0), Ok(()));
    }

    proptest! {
        #[test]
        fn never_more_than_burst_plus_rate(
            per_second in 1u64..1000, burst in 1u64..1000, steps in prop::collection::vec((0i64..200, 0u64..50), 1..200),
        ) {
            let mut bucket = Bucket::new(Rate { per_second, burst }, 0);
            let (mut now, mut taken) = (0, 0);
            for (pause, units) in steps {
                now += pause;
                if bucket.take(units.min(burst), now).is_ok() {
                    taken += units.min(burst);
                }
                prop_assert!(taken * 1000 <= burst * 1000 + per_second * now as u64);
            }
        }

        #[test]
        fn clocks_a_little_apart_give_no_more_than_one(
            per_second in 1u64..5000, burst in 1u64..50,
            steps in prop::collection::vec((0i64..5, 0i64..20, 1u64..3), 1..300),
        ) {
            let mut bucket = Bucket::new(Rate { per_second, burst }, 1_000);
            let (mut now, mut taken) = (1_000, 0);
            for (pause, late, units) in steps {
                now += pause;
                if bucket.take(units.min(burst), now - late).is_ok() {
                    taken += units.min(burst);
                }
                prop_assert!(taken * 1000 <= burst * 1000 + per_second * (now - 1_000) as u64);
            }
        }

        #[test]
        fn the_wait_it_names_is_enough(per_second in 1u64..1000, burst in 1u64..1000, units in 0u64..2000) {
            let mut bucket = Bucket::new(Rate { per_second, burst }, 0);
            bucket.take(burst, 0).unwrap();
            if let Err(RetryAfter(wait)) = bucket.take(units, 0) {
                prop_assert_eq!(bucket.take(units, wait as i64), Ok(()));
            }
        }
    }
}

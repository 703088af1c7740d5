//! Exponential back-off with full jitter. Randomness is passed in.

/// How long to wait before trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Upper bound of the first wait, in milliseconds.
    pub base: u64,
    /// Upper bound of any wait, in milliseconds.
    pub cap: u64,
}

/// For a client whose socket broke.
pub const RECONNECT: Backoff = Backoff { base: 500, cap: 20_000 };

impl Backoff {
    /// The wait before attempt `attempt` (0 is the first retry); `random` is uniform in 0..1.
    pub fn delay(self, attempt: u32, random: f64) -> u64 {
        // Doubled that often, unless it would not fit.
        let fits = self.base.leading_zeros() > attempt.min(63);
        let bound = if fits { self.base.wrapping_shl(attempt) } else { u64::MAX }.min(self.cap);
        (bound as f64 * random.clamp(0.0, 1.0)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_the_cap() {
        let bounds: Vec<u64> = (0..8).map(|n| RECONNECT.delay(n, 1.0)).collect();
        assert_eq!(bounds, [500, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000]);
        assert_eq!(RECONNECT.delay(200, 1.0), 20_000);
        assert_eq!(RECONNECT.delay(3, 0.0), 0);
    }
}

//! The one place that reads the clock and draws random numbers for the pure parts.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand;

use crate::fanout::Moment;

/// Tells moments.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock;

impl Clock {
    /// The moment now.
    pub fn moment(self) -> Moment {
        let mut entropy = [0; 10];
        // The system's generator does not fail once it has begun; were it to, ids would still differ by their time.
        let _ = rand::fill(&mut entropy);
        let random =
            f64::from(u32::from_le_bytes([entropy[6], entropy[7], entropy[8], entropy[9]])) / f64::from(u32::MAX);
        Moment { now: self.now(), random, entropy }
    }

    /// Milliseconds since the epoch.
    pub fn now(self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
    }
}

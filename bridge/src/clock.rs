//! The one place that reads the clock and draws random numbers for the pure parts.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand;

use crate::fanout::Moment;

/// Random bytes that go with one moment: ten for an id, four for a draw.
const DRAW: usize = 14;

/// Tells moments.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock;

impl Clock {
    /// The moment now.
    pub fn moment(self) -> Moment {
        let [entropy @ .., a, b, c, d] = draw();
        let random = f64::from(u32::from_le_bytes([a, b, c, d])) / f64::from(u32::MAX);
        Moment { now: self.now(), random, entropy }
    }

    /// Milliseconds since the epoch.
    pub fn now(self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
    }
}

/// Random bytes. Every frame of every session is a moment, and asking the generator each time would cost more than
/// the frame: so each thread asks for many at once.
fn draw() -> [u8; DRAW] {
    const STOCK: usize = 256;
    thread_local! {
        static DRAWN: RefCell<Vec<[u8; DRAW]>> = const { RefCell::new(Vec::new()) };
    }
    DRAWN.with_borrow_mut(|drawn| {
        if drawn.is_empty() {
            let mut bytes = [0; DRAW * STOCK];
            // The system's generator does not fail once it has begun; were it to, ids would still differ by their time.
            let _ = rand::fill(&mut bytes);
            drawn.extend_from_slice(bytes.as_chunks().0);
        }
        drawn.pop().unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_moments_draw_the_same() {
        let drawn: std::collections::HashSet<_> = (0..2000).map(|_| Clock.moment().entropy).collect();
        assert_eq!(drawn.len(), 2000);
    }
}

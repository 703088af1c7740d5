//! What all sessions together got, and what it came to.

use std::fmt;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Ages are told apart up to so many milliseconds, which is as fine as the envelope's time.
const OLDEST: usize = 10_000;

/// Counts of all sessions.
#[derive(Debug)]
pub(super) struct Tally {
    measuring: AtomicBool,
    deliveries: AtomicU64,
    frames: AtomicU64,
    bytes: AtomicU64,
    reconnects: AtomicU64,
    ended: AtomicU64,
    /// Why the first of those that ended did.
    why: Mutex<Option<String>>,
    /// How many events were so many milliseconds old; the last counts all that were older.
    ages: Vec<AtomicU64>,
    /// Events from a clock that is ahead of ours.
    ahead: AtomicU64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            measuring: AtomicBool::new(false),
            deliveries: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            reconnects: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            why: Mutex::new(None),
            ages: (0..=OLDEST).map(|_| AtomicU64::new(0)).collect(),
            ahead: AtomicU64::new(0),
        }
    }
}

impl Tally {
    /// From here on, or no longer, ages are noted.
    pub(super) fn measure(&self, measuring: bool) {
        self.measuring.store(measuring, Relaxed);
    }

    pub(super) fn is_measuring(&self) -> bool {
        self.measuring.load(Relaxed)
    }

    /// Counts a delivery; `first` of its frame or not, and how many milliseconds old.
    pub(super) fn delivered(&self, bytes: usize, first: bool, age: Option<i64>) {
        self.deliveries.fetch_add(1, Relaxed);
        self.frames.fetch_add(u64::from(first), Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
        if let Some(age) = age {
            self.ahead.fetch_add(u64::from(age < 0), Relaxed);
            let place = usize::try_from(age).unwrap_or(0).min(OLDEST);
            self.ages[place].fetch_add(1, Relaxed);
        }
    }

    pub(super) fn reconnected(&self) {
        self.reconnects.fetch_add(1, Relaxed);
    }

    pub(super) fn ended(&self, why: String) {
        self.ended.fetch_add(1, Relaxed);
        self.why.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }

    /// What it came to between two marks.
    pub(super) fn result(&self, first: &Mark, last: &Mark, sessions: usize, opening: Duration) -> Outcome {
        let seconds = last.at.duration_since(first.at).as_secs_f64();
        let (deliveries, frames) = (last.deliveries - first.deliveries, last.frames - first.frames);
        let ages: Vec<u64> = self.ages.iter().map(|count| count.load(Relaxed)).collect();
        let cpu = first.cpu.zip(last.cpu).map(|(first, last)| last.saturating_sub(first).as_secs_f64() / seconds);
        Outcome {
            sessions,
            opening,
            deliveries_per_s: deliveries as f64 / seconds,
            bytes_per_s: (last.bytes - first.bytes) as f64 / seconds,
            entries_per_frame: (frames > 0).then(|| deliveries as f64 / frames as f64),
            p50_ms: quantile(&ages, 0.5),
            p99_ms: quantile(&ages, 0.99),
            ahead: self.ahead.load(Relaxed),
            reconnects: self.reconnects.load(Relaxed),
            ended: self.ended.load(Relaxed),
            why: self.why.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            client_cores: cpu,
        }
    }
}

/// Where counts stood at a moment.
pub(super) struct Mark {
    at: Instant,
    deliveries: u64,
    frames: u64,
    bytes: u64,
    /// CPU of this process so far, where the system tells.
    cpu: Option<Duration>,
}

impl Mark {
    pub(super) fn now(tally: &Tally) -> Self {
        Self {
            at: Instant::now(),
            deliveries: tally.deliveries.load(Relaxed),
            frames: tally.frames.load(Relaxed),
            bytes: tally.bytes.load(Relaxed),
            cpu: fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu(&stat)),
        }
    }
}

/// What was measured.
#[derive(Debug)]
pub(super) struct Outcome {
    sessions: usize,
    opening: Duration,
    deliveries_per_s: f64,
    bytes_per_s: f64,
    entries_per_frame: Option<f64>,
    p50_ms: Option<usize>,
    p99_ms: Option<usize>,
    ahead: u64,
    reconnects: u64,
    ended: u64,
    why: Option<String>,
    client_cores: Option<f64>,
}

impl Outcome {
    pub(super) fn json(&self) -> Value {
        json!({
            "sessions": self.sessions,
            "opening_s": self.opening.as_secs_f64(),
            "deliveries_per_s": self.deliveries_per_s,
            "bytes_per_s": self.bytes_per_s,
            "entries_per_frame": self.entries_per_frame,
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
            "events_from_a_clock_ahead": self.ahead,
            "reconnects": self.reconnects,
            "ended": self.ended,
            "ended_because": self.why,
            "client_cores": self.client_cores,
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let opening = self.opening.as_secs_f64();
        writeln!(f, "sessions          {}, open within {opening:.1} s", self.sessions)?;
        writeln!(f, "deliveries        {:.0} /s, {:.2} MB/s", self.deliveries_per_s, self.bytes_per_s / 1e6)?;
        if let Some(entries) = self.entries_per_frame {
            writeln!(f, "events in a frame {entries:.1}")?;
        }
        let ms = |age: usize| if age == OLDEST { format!("{OLDEST} ms or more") } else { format!("{age} ms") };
        match (self.p50_ms, self.p99_ms) {
            (Some(p50), Some(p99)) => {
                writeln!(f, "latency           p50 {}, p99 {}, from the envelope's timestamp", ms(p50), ms(p99))?;
            }
            _ => writeln!(f, "latency           no event had a timestamp that could be read")?,
        }
        if self.ahead > 0 {
            let ahead = self.ahead;
            writeln!(f, "                  {ahead} events were sent by a clock that is ahead of this machine's")?;
        }
        writeln!(f, "reconnects        {}", self.reconnects)?;
        if let Some(why) = &self.why {
            writeln!(f, "ended for good    {}, the first because: {why}", self.ended)?;
        }
        match self.client_cores {
            Some(cores) => {
                let all = std::thread::available_parallelism().map_or(1, usize::from);
                writeln!(f, "this client used  {cores:.2} of {all} cores")?;
                if cores > 0.9 * all as f64 {
                    writeln!(f, "                  that is nearly all: it may be the client that was measured")?;
                }
                Ok(())
            }
            None => writeln!(f, "this client used  CPU that this system does not tell of"),
        }
    }
}

/// The age that this part of the events is at most.
fn quantile(ages: &[u64], part: f64) -> Option<usize> {
    let wanted = (ages.iter().sum::<u64>() as f64 * part).ceil() as u64;
    let mut seen = 0;
    ages.iter().position(|count| {
        seen += count;
        wanted > 0 && seen >= wanted
    })
}

/// CPU of the process that Linux's `stat` describes: in user and system mode, in hundredths of a second.
fn cpu(stat: &str) -> Option<Duration> {
    // The name, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let [user, system] = [fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?];
    Some(Duration::from_millis((user + system) * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_ages_that_came() {
        let mut ages = vec![0; 11];
        assert_eq!(quantile(&ages, 0.5), None);
        (ages[2], ages[7]) = (98, 2);
        assert_eq!((quantile(&ages, 0.5), quantile(&ages, 0.99)), (Some(2), Some(7)));
    }

    #[test]
    fn cpu_is_read_behind_a_name_of_any_kind() {
        let stat = "4242 (a ) b) S 1 1 1 0 -1 4194304 100 0 0 0 250 50 7 8 20 0 9 0 1 2 3";
        assert_eq!(cpu(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu("nothing"), None);
    }

    #[test]
    fn what_came_between_two_marks_is_told() {
        let tally = Tally::default();
        tally.delivered(100, true, None);
        let first = Mark::now(&tally);
        tally.delivered(100, true, Some(4));
        tally.delivered(100, false, None);
        tally.delivered(100, true, Some(-3));
        tally.delivered(100, true, Some(1 << 40));
        tally.reconnected();
        tally.ended("slow_consumer: too slow".to_owned());
        let last = Mark { at: first.at + Duration::from_secs(2), ..Mark::now(&tally) };
        let outcome = tally.result(&first, &last, 3, Duration::from_secs(1));
        let json = outcome.json();
        assert_eq!((&json["deliveries_per_s"], &json["bytes_per_s"]), (&json!(2.0), &json!(200.0)));
        assert_eq!((&json["p50_ms"], &json["p99_ms"]), (&json!(4), &json!(OLDEST)));
        assert_eq!((&json["reconnects"], &json["ended"]), (&json!(1), &json!(1)));
        let text = outcome.to_string();
        for said in ["2 /s", "1.3", "10000 ms or more", "1 events were sent by a clock", "too slow"] {
            assert!(text.contains(said), "{said}: {text}");
        }
    }
}

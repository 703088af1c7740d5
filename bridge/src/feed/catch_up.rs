//! Catching up: history for subscriptions that are behind, read by other clients than the live feed's, at a bounded
//! rate, in turn by tenant. What several ask for at once, or shortly after another, is read once, and charged to each.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidegate_gate::{Account, Place};

use tidegate_log::{Limit, Log, LogError, Offsets, ReadError, Reader, TopicKey};

use super::asked::{Asked, Kind, Next};
use super::decode::{TopicSpec, decode};
use super::round::Round;
use crate::clock::Clock;

/// One part of history.
const CHUNK_RECORDS: usize = 2_048;
const CHUNK_BYTES: usize = 512 * 1024;

/// Parts that are kept for others who ask for the same.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Which part of which partition, and how it is read: whoever asks says it, so that what comes is what the rules ask
/// for that it is decided by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The physical topic, and how its records are read.
    pub spec: Arc<TopicSpec>,
    /// Its key in the live feed, which the events of the part carry.
    pub topic: TopicKey,
    /// Which partition.
    pub partition: i32,
    /// From this offset on.
    pub from: i64,
    /// Up to this one.
    pub until: i64,
}

/// A part that was read.
#[derive(Debug, Clone)]
pub struct History {
    /// The events.
    pub round: Arc<Round>,
    /// The next offset.
    pub next: i64,
    /// Bytes of its records.
    pub bytes: u64,
}

/// Asks for history; a clone for each shard.
#[derive(Clone)]
pub struct CatchUp {
    shared: Arc<Shared>,
    _open: Arc<Open>,
}

/// When the last handle goes, the readers end.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        lock(&self.0.desk).closed = true;
        self.0.changed.notify_all();
    }
}

type Done<T> = Box<dyn FnOnce(T) + Send>;

enum Job {
    Read(Part, Done<Result<History, ReadError>>),
    FindTime(Arc<str>, i64, Done<Result<Offsets, LogError>>),
}

/// How much is read, and by how many readers.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Bytes a second, over all readers.
    pub bytes_per_s: u64,
    /// Readers side by side.
    pub readers: usize,
}

/// What the readers share.
struct Shared {
    desk: Mutex<Desk>,
    changed: Condvar,
    cache: Mutex<Cache>,
    rate: Mutex<Rate>,
}

/// What was asked for. Each subscription that is behind asks for one part at a time.
#[derive(Default)]
struct Desk {
    asked: Asked<Job>,
    closed: bool,
}

impl CatchUp {
    /// Starts the readers' threads; they end when the last handle is gone.
    pub fn start(log: &Arc<dyn Log>, options: Options) -> Result<Self, LogError> {
        let rate = Rate { per_s: options.bytes_per_s, debt: 0, at: Instant::now() };
        let (desk, changed) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { desk, changed, cache: Mutex::default(), rate: Mutex::new(rate) });
        for number in 0..options.readers.max(1) {
            let (reader, shared) = (log.reader()?, Arc::clone(&shared));
            let name = format!("catch-up-{number}");
            let spawned = std::thread::Builder::new().name(name).spawn(move || shared.run(reader));
            spawned.map_err(|error| LogError::Fatal(format!("no thread for catching up: {error}")))?;
        }
        Ok(Self { _open: Arc::new(Open(Arc::clone(&shared))), shared })
    }

    /// A topic was deleted. One that is made under its name is another log: nothing that was read so far is of it.
    pub fn forget(&self, topic: TopicKey) {
        lock(&self.shared.cache).forget(topic);
    }

    /// Reads a part of history for a subscription, on its tenant's account. It is not read, and `done` not called, if
    /// the subscription has ended before.
    pub fn read(&self, place: &Arc<Place>, part: Part, done: impl FnOnce(Result<History, ReadError>) + Send + 'static) {
        self.ask(Kind::Read, place, Job::Read(part, Box::new(done)));
    }

    /// Finds the first offsets at or after a time, in milliseconds, for a subscription.
    pub fn find_time(
        &self,
        place: &Arc<Place>,
        physical: Arc<str>,
        at: i64,
        done: impl FnOnce(Result<Offsets, LogError>) + Send + 'static,
    ) {
        self.ask(Kind::Lookup, place, Job::FindTime(physical, at, Box::new(done)));
    }

    fn ask(&self, kind: Kind, place: &Arc<Place>, job: Job) {
        lock(&self.shared.desk).asked.push(kind, place, job);
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn run(&self, mut reader: Box<dyn Reader>) {
        while let Some((job, account)) = self.next() {
            match job {
                Job::Read(part, done) => done(self.read(reader.as_mut(), part, &account)),
                Job::FindTime(physical, at, done) => done(reader.offsets_at(&physical, at)),
            }
        }
    }

    /// What is to be done next, as soon as there is something; `None` at the end.
    fn next(&self) -> Option<(Job, Arc<Account>)> {
        let mut desk = lock(&self.desk);
        loop {
            if desk.closed {
                return None;
            }
            let now = Clock.now();
            desk = match desk.asked.next(now) {
                Next::Do(job, account) => return Some((job, account)),
                Next::Wait(until) => {
                    let wait = Duration::from_millis((until - now).max(1).cast_unsigned());
                    self.changed.wait_timeout(desk, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                Next::Nothing => self.changed.wait(desk).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn read(&self, reader: &mut dyn Reader, part: Part, account: &Account) -> Result<History, ReadError> {
        let life = {
            let cache = lock(&self.cache);
            if let Some(history) = cache.get(&part) {
                account.replayed(history.bytes, Clock.now());
                return Ok(history);
            }
            cache.life(part.topic)
        };
        if part.until <= part.from {
            return check(reader, &part);
        }
        let limit = Limit { records: CHUNK_RECORDS, bytes: CHUNK_BYTES, until: part.until };
        let mut round = Round::default();
        let mut bytes = 0;
        let chunk = reader.read(&part.spec.physical, part.partition, part.from, limit, &mut |record| {
            bytes += record.value.map_or(0, <[u8]>::len) as u64;
            // What is wrong with a record was counted when the live feed met it.
            let _ = decode(&part.spec, part.topic, &record, &mut round);
        })?;
        if chunk.end && chunk.next == part.from {
            // The feed has been beyond: a log that has just changed its leader, or come back, may not show all of it yet.
            let Part { spec, partition, from, until, .. } = &part;
            let ends = format!("{}[{partition}] ends at {from} for now, before {until}", spec.physical);
            return Err(LogError::Unavailable(ends).into());
        }
        let history = History { round: Arc::new(round), next: chunk.next, bytes };
        account.replayed(bytes, Clock.now());
        lock(&self.cache).put(part, life, history.clone());
        let wait = lock(&self.rate).take(bytes);
        std::thread::sleep(wait);
        Ok(history)
    }
}

/// Whether the log reaches as far as where this part begins.
fn check(reader: &mut dyn Reader, part: &Part) -> Result<History, ReadError> {
    // The least that can be read: a reader that is to read nothing need not look.
    let limit = Limit { records: 1, bytes: 1, until: part.from.saturating_add(1) };
    reader.read(&part.spec.physical, part.partition, part.from, limit, &mut |_| ())?;
    Ok(History { round: Arc::default(), next: part.from, bytes: 0 })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Cache {
    parts: VecDeque<(Part, History)>,
    bytes: usize,
    /// How often each topic was forgotten, so that what is being read meanwhile is not kept.
    lives: HashMap<TopicKey, u64>,
}

impl Cache {
    fn get(&self, part: &Part) -> Option<History> {
        self.parts.iter().find(|(known, _)| known == part).map(|(_, history)| history.clone())
    }

    fn life(&self, topic: TopicKey) -> u64 {
        self.lives.get(&topic).copied().unwrap_or_default()
    }

    fn forget(&mut self, topic: TopicKey) {
        *self.lives.entry(topic).or_default() += 1;
        self.parts.retain(|(part, _)| part.topic != topic);
        self.bytes = self.parts.iter().map(|(_, history)| history.round.size()).sum();
    }

    fn put(&mut self, part: Part, life: u64, history: History) {
        if self.life(part.topic) != life {
            return;
        }
        self.bytes += history.round.size();
        self.parts.push_back((part, history));
        while self.bytes > CACHE_BYTES {
            let Some((_, oldest)) = self.parts.pop_front() else { return };
            self.bytes -= oldest.round.size();
        }
    }
}

struct Rate {
    per_s: u64,
    debt: u64,
    at: Instant,
}

impl Rate {
    /// Takes bytes that were read, and says how long to rest after that.
    fn take(&mut self, bytes: u64) -> Duration {
        let paid = (self.at.elapsed().as_secs_f64() * self.per_s as f64) as u64;
        self.at = Instant::now();
        self.debt = self.debt.saturating_sub(paid) + bytes;
        // A second's worth may be read at once.
        let over = self.debt.saturating_sub(self.per_s);
        Duration::from_secs_f64(over as f64 / self.per_s.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use tidegate_gate::{Accounts, Reads};
    use tidegate_log::{Bounds, Chunk, Description, Record};

    use super::*;
    use crate::feed::{Format, TenantSource};

    fn spec(reads: Option<Reads>) -> Arc<TopicSpec> {
        Arc::new(TopicSpec {
            logical: "orders".into(),
            physical: "acme.orders".into(),
            named_tenant: Some("acme".into()),
            tenant: TenantSource::Name,
            tenant_key: false,
            format: Format::Envelope,
            reads: reads.map(Arc::new),
            max_event: 1 << 20,
        })
    }

    fn part(topic: u32, from: i64) -> Part {
        Part { spec: spec(None), topic: TopicKey(topic), partition: 0, from, until: from + 10 }
    }

    /// A partition that has records of numbers `0..end`, for now.
    struct Ends(i64);

    impl Reader for Ends {
        fn describe(&mut self, _: &str) -> Result<Option<Description>, LogError> {
            Ok(None)
        }

        fn offsets_at(&mut self, _: &str, _: i64) -> Result<Offsets, LogError> {
            Ok(Offsets::new())
        }

        fn read(
            &mut self,
            _: &str,
            _: i32,
            from: i64,
            limit: Limit,
            _: &mut dyn FnMut(Record<'_>),
        ) -> Result<Chunk, ReadError> {
            if from >= limit.until {
                return Ok(Chunk { next: from, end: false });
            }
            if from > self.0 {
                return Err(ReadError::OutOfRange(Bounds { earliest: 0, end: self.0 }));
            }
            let next = self.0.min(limit.until);
            Ok(Chunk { next, end: next == self.0 })
        }
    }

    fn shared() -> Shared {
        let rate = Rate { per_s: 1 << 20, debt: 0, at: Instant::now() };
        Shared { desk: Mutex::default(), changed: Condvar::new(), cache: Mutex::default(), rate: Mutex::new(rate) }
    }

    fn account() -> Arc<Account> {
        Accounts::unlimited().of(&"acme".into(), 0)
    }

    #[test]
    fn what_the_log_does_not_show_for_a_moment_is_waited_for_and_not_passed_over() {
        let (shared, account) = (shared(), account());
        let read = |end, from| {
            let part = Part { until: 10, ..part(1, from) };
            shared.read(&mut Ends(end), part, &account).map(|history| history.next)
        };
        assert_eq!(read(7, 0), Ok(7), "as far as it shows");
        assert!(matches!(read(7, 7), Err(ReadError::Log(LogError::Unavailable(_)))), "the rest is still to come");
        assert_eq!(read(12, 7), Ok(10), "it is back");
    }

    #[test]
    fn a_position_beyond_the_end_is_found_out() {
        let (shared, account) = (shared(), account());
        let check = |end| shared.read(&mut Ends(end), Part { until: 10, ..part(1, 10) }, &account).map(|it| it.next);
        assert_eq!((check(10), check(11)), (Ok(10), Ok(10)));
        assert_eq!(check(9), Err(ReadError::OutOfRange(Bounds { earliest: 0, end: 9 })));
    }

    fn history(next: i64) -> History {
        History { round: Arc::default(), next, bytes: 0 }
    }

    #[test]
    fn what_was_read_of_a_deleted_topic_is_not_taken_for_the_new_one() {
        let mut cache = Cache::default();
        let (life, other) = (cache.life(TopicKey(1)), cache.life(TopicKey(2)));
        cache.put(part(1, 0), life, history(10));
        cache.put(part(2, 0), other, history(10));
        cache.forget(TopicKey(1));
        assert!(cache.get(&part(1, 0)).is_none() && cache.get(&part(2, 0)).is_some());
        // A read that was under way brings what was there before.
        cache.put(part(1, 10), life, history(20));
        assert!(cache.get(&part(1, 10)).is_none());
        let life = cache.life(TopicKey(1));
        cache.put(part(1, 0), life, history(7));
        assert_eq!(cache.get(&part(1, 0)).map(|history| history.next), Some(7));
    }

    #[test]
    fn what_was_read_by_other_rules_is_another_part() {
        let mut cache = Cache::default();
        let conditional = Reads { headers: ["region".into()].into(), ..Reads::default() };
        cache.put(part(1, 0), 0, history(10));
        let other = Part { spec: spec(Some(conditional)), ..part(1, 0) };
        assert!(cache.get(&other).is_none() && cache.get(&part(1, 0)).is_some());
    }

    #[test]
    fn the_cache_is_bounded() {
        let mut cache = Cache::default();
        let mut round = Round::default();
        round.put((TopicKey(1), 0, 0), "acme", "a.b", |out| out.push_str(&"x".repeat(CACHE_BYTES / 3)));
        let round = Arc::new(round);
        for from in 0..10 {
            cache.put(part(1, from), 0, History { round: Arc::clone(&round), next: from, bytes: 0 });
            assert!(cache.bytes <= CACHE_BYTES);
        }
        assert!(cache.get(&part(1, 0)).is_none() && cache.get(&part(1, 9)).is_some());
    }
}

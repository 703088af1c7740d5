//! What a tenant may take of one node, by however many sessions, requests and shards it comes.
//!
//! [`Accounts`] has one [`Account`] for each tenant that is there. A session holds a [`Seat`] and a subscription a
//! [`Place`], which give back what they took when they are dropped; what is published and replayed is taken from
//! buckets. Everything here is of one node: a tenant on three nodes may have three times as much.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_protocol::timestamp::Millis;

use crate::limits::{Bucket, PublishLimit, Rate, RetryAfter};

/// Publishes of one tenant that the log may not have answered: one that publishes faster than the log takes must not
/// fill the queue that all tenants share.
const UNANSWERED: u64 = 16_384;

/// Accounts that are kept without looking whether they are still needed.
const FEW: usize = 64;

/// How often it is said anew that a tenant is at a bound.
const QUIET: Millis = 60_000;

/// What one tenant may take of a node; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TenantLimits {
    /// Sessions that are open.
    pub sessions: Option<u64>,
    /// Subscriptions, over all sessions.
    pub subscriptions: Option<u64>,
    /// Events published.
    pub publish_events: Option<Rate>,
    /// Bytes published.
    pub publish_bytes: Option<Rate>,
    /// Bytes of history read for subscriptions that are behind.
    pub replay_bytes: Option<Rate>,
}

/// The limits of all tenants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantLimitTable {
    /// Of every tenant that has none of its own.
    pub usual: TenantLimits,
    /// Of these tenants.
    pub of: BTreeMap<Arc<str>, TenantLimits>,
}

impl TenantLimitTable {
    fn limits_of(&self, tenant: &Arc<str>) -> TenantLimits {
        self.of.get(tenant).copied().unwrap_or(self.usual)
    }
}

/// Which limit of a tenant was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bound {
    /// A session was refused.
    Sessions,
    /// A subscription was refused.
    Subscriptions,
    /// A publish was refused.
    Publish,
    /// Catching up waits.
    Replay,
    /// A publish was refused, for too many are unanswered.
    Unanswered,
}

impl Bound {
    /// Every bound.
    pub const ALL: [Self; 5] = [Self::Sessions, Self::Subscriptions, Self::Publish, Self::Replay, Self::Unanswered];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Subscriptions => "subscriptions",
            Self::Publish => "publish",
            Self::Replay => "replay",
            Self::Unanswered => "unanswered",
        }
    }
}

/// The tenant has as many of these as it may have at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tenant has as many as it may have ({0})")]
pub struct Full(pub u64);

/// Hears of each time that a tenant is held back: who, by what, and whether to say so (once a minute).
type Watch = Arc<dyn Fn(&str, Bound, bool) + Send + Sync>;

/// The accounts of all tenants that are on a node.
pub struct Accounts {
    watch: Watch,
    open: Mutex<Open>,
}

struct Open {
    table: TenantLimitTable,
    accounts: HashMap<Arc<str>, Arc<Account>>,
    /// How many there were when those not needed any more were last looked for.
    kept: usize,
}

impl Accounts {
    /// No tenant yet. `watch` hears of each time that a tenant is held back: who, by what, and whether it is worth
    /// saying (once a minute).
    pub fn new(table: TenantLimitTable, watch: impl Fn(&str, Bound, bool) + Send + Sync + 'static) -> Arc<Self> {
        let open = Open { table, accounts: HashMap::new(), kept: 0 };
        Arc::new(Self { watch: Arc::new(watch), open: Mutex::new(open) })
    }

    /// No limits at all.
    pub fn unlimited() -> Arc<Self> {
        Self::new(TenantLimitTable::default(), |_, _, _| {})
    }

    /// A tenant's account.
    pub fn of(&self, tenant: &Arc<str>, now: Millis) -> Arc<Account> {
        let mut open = lock(&self.open);
        if let Some(account) = open.accounts.get(tenant) {
            return Arc::clone(account);
        }
        // One that nobody holds is kept until it could be a new one: who leaves and comes back has no more for it.
        if open.accounts.len() >= FEW + 2 * open.kept {
            open.accounts.retain(|_, account| Arc::strong_count(account) > 1 || !account.is_rested(now));
            open.kept = open.accounts.len();
        }
        let limits = open.table.limits_of(tenant);
        let account = Arc::new(Account::new(Arc::clone(tenant), limits, Arc::clone(&self.watch), now));
        open.accounts.insert(Arc::clone(tenant), Arc::clone(&account));
        account
    }

    /// Other limits apply from now on. Who has more than is allowed now keeps it, and gets no more.
    pub fn change(&self, table: TenantLimitTable, now: Millis) {
        let mut open = lock(&self.open);
        for (tenant, account) in &open.accounts {
            account.change(table.limits_of(tenant), now);
        }
        open.table = table;
    }
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts").field("table", &lock(&self.open).table).finish_non_exhaustive()
    }
}

/// What one tenant has taken of a node.
pub struct Account {
    tenant: Arc<str>,
    sessions: Room,
    subscriptions: Room,
    unanswered: AtomicU64,
    rates: Mutex<Rates>,
    watch: Watch,
}

struct Rates {
    publish: PublishLimit,
    replay: Bucket,
    /// When it was last said that a bound was reached, by bound.
    said: [Option<Millis>; Bound::ALL.len()],
}

impl Account {
    fn new(tenant: Arc<str>, limits: TenantLimits, watch: Watch, now: Millis) -> Self {
        let rates = Rates {
            publish: PublishLimit::new(rate(limits.publish_events), rate(limits.publish_bytes), now),
            replay: Bucket::new(rate(limits.replay_bytes), now),
            said: [None; Bound::ALL.len()],
        };
        Self {
            tenant,
            sessions: Room::new(limits.sessions),
            subscriptions: Room::new(limits.subscriptions),
            unanswered: AtomicU64::new(0),
            rates: Mutex::new(rates),
            watch,
        }
    }

    /// Whose it is.
    pub fn tenant(&self) -> &Arc<str> {
        &self.tenant
    }

    /// Room for a session. One that takes another's place (`replaces`) is let in beyond the limit: the other is about
    /// to end.
    pub fn seat(self: &Arc<Self>, replaces: bool, now: Millis) -> Result<Seat, Full> {
        match self.sessions.enter(u64::from(replaces)) {
            Ok(()) => Ok(Seat(Arc::clone(self))),
            Err(full) => {
                self.reached(Bound::Sessions, now);
                Err(full)
            }
        }
    }

    /// Room for a subscription.
    pub fn place(self: &Arc<Self>, now: Millis) -> Result<Place, Full> {
        match self.subscriptions.enter(0) {
            Ok(()) => Ok(Place(Arc::clone(self))),
            Err(full) => {
                self.reached(Bound::Subscriptions, now);
                Err(full)
            }
        }
    }

    /// Takes one event of that many bytes of what the tenant and the session may publish, or of neither, and says
    /// when it can be had.
    pub fn publish(&self, own: &mut PublishLimit, bytes: u64, now: Millis) -> Result<(), RetryAfter> {
        let mut rates = lock(&self.rates);
        match (own.wait(bytes, now), rates.publish.wait(bytes, now)) {
            (Ok(()), Ok(())) => {
                own.owe(bytes, now);
                rates.publish.owe(bytes, now);
                Ok(())
            }
            (Err(own), Ok(())) => Err(own),
            (own, Err(tenant)) => {
                drop(rates);
                self.reached(Bound::Publish, now);
                Err(own.err().map_or(tenant, |own| own.max(tenant)))
            }
        }
    }

    /// Whether one more publish may wait for the log. What waits is counted by [`Account::unanswered`].
    pub fn may_wait(&self, now: Millis) -> Result<(), Full> {
        if self.unanswered.load(Ordering::Relaxed) < UNANSWERED {
            return Ok(());
        }
        self.reached(Bound::Unanswered, now);
        Err(Full(UNANSWERED))
    }

    /// A publish that waits for the log, until what is returned is dropped.
    pub fn unanswered(self: &Arc<Self>) -> Unanswered {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        Unanswered(Arc::clone(self))
    }

    /// Whether history may be read for the tenant now, or when.
    pub fn may_replay(&self, now: Millis) -> Result<(), RetryAfter> {
        let ready = lock(&self.rates).replay.wait(1, now);
        if ready.is_err() {
            self.reached(Bound::Replay, now);
        }
        ready
    }

    /// So much history was read for the tenant. How much it would be was not known before: it may owe it.
    pub fn replayed(&self, bytes: u64, now: Millis) {
        lock(&self.rates).replay.owe(bytes, now);
    }

    fn change(&self, limits: TenantLimits, now: Millis) {
        self.sessions.limit(limits.sessions);
        self.subscriptions.limit(limits.subscriptions);
        let mut rates = lock(&self.rates);
        rates.publish.change(rate(limits.publish_events), rate(limits.publish_bytes), now);
        rates.replay.change(rate(limits.replay_bytes), now);
    }

    fn is_rested(&self, now: Millis) -> bool {
        let mut rates = lock(&self.rates);
        rates.publish.is_full(now) && rates.replay.is_full(now)
    }

    fn reached(&self, bound: Bound, now: Millis) {
        let said = &mut lock(&self.rates).said[bound as usize];
        let loud = said.is_none_or(|at| now - at >= QUIET || now < at);
        if loud {
            *said = Some(now);
        }
        (self.watch)(&self.tenant, bound, loud);
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

/// A session's room on its tenant's account, given back when dropped.
#[derive(Debug)]
pub struct Seat(Arc<Account>);

impl Seat {
    /// The tenant's account.
    pub fn account(&self) -> &Arc<Account> {
        &self.0
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.sessions.leave();
    }
}

/// A subscription's room on its tenant's account, given back when dropped.
#[derive(Debug)]
pub struct Place(Arc<Account>);

impl Place {
    /// The tenant's account.
    pub fn account(&self) -> &Arc<Account> {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.subscriptions.leave();
    }
}

/// A publish that waits for the log.
#[derive(Debug)]
pub struct Unanswered(Arc<Account>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.0.unanswered.fetch_sub(1, Ordering::Relaxed);
    }
}

/// So many at once.
struct Room {
    taken: AtomicU64,
    limit: AtomicU64,
}

impl Room {
    fn new(limit: Option<u64>) -> Self {
        Self { taken: AtomicU64::new(0), limit: AtomicU64::new(limit.unwrap_or(u64::MAX)) }
    }

    fn limit(&self, limit: Option<u64>) {
        self.limit.store(limit.unwrap_or(u64::MAX), Ordering::Release);
    }

    /// One more, if that is not too many; so many `beyond` the limit are not.
    fn enter(&self, beyond: u64) -> Result<(), Full> {
        let limit = self.limit.load(Ordering::Acquire);
        let room = |taken: u64| (taken < limit.saturating_add(beyond)).then_some(taken + 1);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).map(drop).map_err(|_| Full(limit))
    }

    fn leave(&self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A rate that nobody reaches stands for none.
fn rate(rate: Option<Rate>) -> Rate {
    rate.unwrap_or(Rate { per_second: u64::MAX / 1024, burst: u64::MAX / 1024 })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

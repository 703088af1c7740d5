//! A tenant can only ever see its own: whatever is drawn (tenants with nearly the same names, topics of every kind and
//! format, grants with conditions, tokens, filters, honest and forged records and events, cursors of others) and
//! whatever happens, each session gets exactly what a plain reference decision over the same log says, and what is
//! published is exactly what the reference says is to be appended.
//!
//! The chain under test is the bridge's own from configuration text, token text and raw records to the frames in the
//! outboxes. The reference (`reference`, `reading`, `judge`) is written from the specification over plain JSON values
//! and shares nothing with it.
//!
//! That it would see a fault was tried by making some, one at a time. The number of the first case that saw each: the gate
//! ignores the tenant (1) or the condition (0); repeated members do not fail a condition (3); a tenant that `tg_tenant` (2)
//! or another place (1) names is passed over; the filter's keys are ignored (0); index keys of all but one text of a list
//! are lost (1,128); a cursor of another tenant (11) or another topic (29) is taken; whoever may not replay begins at a time
//! (10); a renewed token (9) or new rules (2) change nothing for what is open; a revoked subject goes on (8); the condition
//! on what is published (33) or the stamp of its tenant (19) is passed over, or its condition reads another key than
//! readers see (2,208); totals show others' rows (1,641).
//!
//! `TIDEGATE_CASES` says how many cases; `TIDEGATE_CASE` plays the one of that number, as a failure names it.

mod chance;
mod client;
mod condition;
mod hear;
mod json;
mod judge;
mod log;
mod node;
mod publishes;
mod reading;
mod records;
mod reference;
mod sessions;
mod setting;
mod steps;
mod stream;
mod world;

use chance::Chance;
use node::Built;
use setting::Setting;
use world::{Tally, World};

/// Cases that share a setting: reading conditions is what costs most.
const OF_A_SETTING: usize = 100;

/// What must happen in any hundred cases.
const HAPPENS: [&str; 18] = [
    "event live",
    "event behind",
    "event by stream",
    "event by server-sent events",
    "from latest",
    "from earliest",
    "from a time",
    "from a cursor",
    "cursor refused",
    "subscribe denied",
    "event published",
    "publish refused",
    "event posted",
    "post refused",
    "totals",
    "view moved by policy",
    "session revoked",
    "session expired",
];

/// Names the case that failed.
struct Named(usize);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("case {} failed; TIDEGATE_CASE={} plays it alone", self.0, self.0);
        }
    }
}

fn asked(name: &str) -> Option<usize> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Plays cases; returns what happened in them.
fn play(cases: impl IntoIterator<Item = usize>) -> Tally {
    let mut settings: Option<(usize, Vec<Built>)> = None;
    let mut tally = Tally::new();
    for case in cases {
        let named = Named(case);
        let number = case / OF_A_SETTING;
        let known = settings.take().filter(|(known, _)| *known == number);
        let draw = || {
            let mut chance = Chance::new(number as u64 + 1);
            let setting = Setting::draw(&mut chance);
            let other = setting.regranted(&mut chance);
            (number, vec![Built::new(setting), Built::new(other)])
        };
        let (_, builts) = settings.insert(known.unwrap_or_else(draw));
        let mut world = World::new(builts, Chance::new(case as u64 ^ 0x7D1D_E6A7_E000_0000));
        world.loud = asked("TIDEGATE_CASE").is_some();
        world.play();
        for (what, count) in world.tally {
            *tally.entry(what).or_default() += count;
        }
        drop(named);
    }
    tally
}

#[test]
fn every_session_gets_exactly_its_own() {
    setting::begin_at(setting::NOW);
    if let Some(case) = asked("TIDEGATE_CASE") {
        play([case]);
        return;
    }
    let cases = asked("TIDEGATE_CASES").unwrap_or(500);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let of_worker = |worker: usize| (0..cases).filter(move |case| case / OF_A_SETTING % workers == worker);
    let mut tally = Tally::new();
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..workers).map(|worker| scope.spawn(move || play(of_worker(worker)))).collect();
        for (what, count) in running.into_iter().flat_map(|worker| worker.join().expect("no difference")) {
            *tally.entry(what).or_default() += count;
        }
    });
    println!("{cases} cases: {tally:#?}");
    for what in HAPPENS {
        assert!(cases < 100 || tally.contains_key(what), "{what}: never, which proves nothing");
    }
}

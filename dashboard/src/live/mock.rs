//! Invented figures, to work on the page without a bridge. Not part of what is shipped.
//!
//! The token says what to play: `denied`, `expired`, `invalid`, `connecting`, `reconnecting`, `log-away`, `empty`,
//! `imbalance`, or anything else for two lively tenants. What looks like a real token goes to the real bridge.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tidegate_protocol::frame::{LedgerReport, TopicReading};
use tidegate_protocol::ledger::{Column, Counts, Reading, Row, Sessions};

use super::feed::{Feed, Identity, News, Refusal};
use super::picture::Key;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;

use crate::browser::now;

const LINES: &[(&str, &str, &str, &str, f64, f64)] = &[
    ("acme", "orders", "order.created", "", 42.0, 0.02),
    ("acme", "orders", "order.paid", "", 28.0, 0.0),
    ("acme", "orders", "order.viewed", "", 9.0, 0.0),
    ("acme", "orders", "request.approve", "", 2.0, 0.3),
    ("acme", "carts", "cart.add", "", 17.0, 0.0),
    ("acme", "invoices", "invoice.ready", "invoice-printer", 4.0, 0.12),
    ("globex", "orders", "order.created", "", 21.0, 0.05),
    ("globex", "orders", "order.paid", "", 13.0, 0.0),
    ("globex", "shipments", "shipment.moved", "", 64.0, 0.004),
    ("globex", "invoices", "invoice.ready", "invoice-printer", 1.5, 0.4),
];

struct Mock {
    group_by: Rc<RefCell<(Vec<Column>, u32)>>,
    _interval: Option<Interval>,
}

impl Feed for Mock {
    fn group_by(&self, columns: &[Column]) {
        let mut group_by = self.group_by.borrow_mut();
        *group_by = (columns.to_vec(), group_by.1 + 1);
    }
}

pub(crate) fn open(token: &str, group_by: &[Column], hear: Rc<dyn Fn(News)>) -> Result<Box<dyn Feed>, Refusal> {
    match token {
        real if real.starts_with("ey") => return super::bridge::open(real, group_by, hear),
        "denied" => return Err(Refusal::Denied),
        "expired" => return Err(Refusal::Expired),
        "invalid" => return Err(Refusal::InvalidToken),
        "connecting" => return Ok(Box::new(Mock { group_by: Rc::default(), _interval: None })),
        _ => {}
    }
    let group_by = Rc::new(RefCell::new((group_by.to_vec(), 1)));
    let wanted = Rc::clone(&group_by);
    let play = token.to_owned();
    let world = Rc::new(RefCell::new(World::default()));
    let step = Cell::new(0_i64);
    let started = now() - 200_000;
    let tell = move || {
        if step.get() == 0 {
            hear(News::Open(Identity {
                tenant: "acme".into(),
                subject: "ops@acme.example".into(),
                node: "harbour-1".into(),
            }));
        }
        let second = step.get();
        step.set(second + 1);
        let second_at = started + second * 1_000;
        world.borrow_mut().advance(second, &play);
        let (columns, subscription) = wanted.borrow().clone();
        hear(News::Report(Box::new(world.borrow().report(&columns, subscription, second_at, &play))));
        if play == "reconnecting" && second == 200 {
            hear(News::Lost);
        }
        if play == "log-away" && second == 200 {
            hear(News::Log { available: false });
        }
    };
    let first = Cell::new(true);
    let interval = Interval::every(1_000, {
        let still = token == "reconnecting";
        move || {
            if first.replace(false) {
                (0..=200).for_each(|_| tell());
            } else if !still {
                tell();
            }
        }
    });
    Ok(Box::new(Mock { group_by, _interval: interval }))
}

#[derive(Default)]
struct World {
    lines: Vec<Counts>,
    seed: u32,
}

impl World {
    fn random(&mut self) -> f64 {
        self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(self.seed >> 8) / f64::from(1 << 24)
    }

    fn advance(&mut self, second: i64, play: &str) {
        self.lines.resize(LINES.len(), Counts::default());
        if play == "empty" {
            return;
        }
        for (place, &(_, _, _, consumer, rate, failing)) in LINES.iter().enumerate() {
            let wave = 1.0 + 0.45 * (second as f64 / 17.0 + place as f64).sin() + 0.2 * (second as f64 / 5.0).sin();
            let storm = if (second / 40) % 3 == 1 && failing > 0.0 { 4.0 } else { 1.0 };
            let whole = |value: f64, random: f64| (value + random).floor() as u64;
            let arrived = whole(rate * wave * (0.8 + 0.4 * self.random()), self.random());
            let settled = (self.lines[place].in_flight + arrived).saturating_sub(whole(3.0, self.random()));
            let bad = whole(settled as f64 * (failing * storm).min(0.8), self.random() * 0.9).min(settled);
            let left = if self.random() < 0.03 { settled.saturating_sub(bad).min(2) } else { 0 };
            let line = &mut self.lines[place];
            line.sent += arrived;
            line.received += arrived;
            line.consumed += settled - bad - left;
            line.failed += bad;
            line.abandoned += left;
            if consumer.is_empty() {
                line.given_up += bad;
            } else {
                line.dead_lettered += bad / 2;
                line.given_up += bad - bad / 2;
            }
            line.in_flight = line.received - line.fates();
        }
    }

    fn report(&self, columns: &[Column], subscription: u32, at: i64, play: &str) -> LedgerReport {
        let mut rows: Vec<Row> = Vec::new();
        let mut events = 0;
        for (line, counts) in LINES.iter().zip(&self.lines) {
            events += counts.received;
            if *counts == Counts::default() {
                continue;
            }
            let of = [line.0, line.1, line.2, line.3].map(|value| Some(value.to_owned()));
            let key = Key(of).folded(columns);
            match rows.iter_mut().find(|row| row.of == key.0) {
                Some(row) => row.counts.add(counts),
                None => rows.push(Row { of: key.0, counts: *counts }),
            }
        }
        if let ("imbalance", Some(row)) = (play, rows.get_mut(3)) {
            row.counts.consumed += 2;
        }
        let wrong = u64::from(play == "imbalance");
        let topic = |name: &str, part: u64, lag| {
            let events = events / part;
            let (tombstones, quarantined) = (events / 190, events / 900);
            let reading = Reading { records: events + tombstones + quarantined, events, tombstones, quarantined, lag };
            TopicReading { topic: name.to_owned(), reading }
        };
        let mut topics =
            vec![topic("orders", 4, 0), topic("carts", 11, 3), topic("invoices", 24, 0), topic("shipments", 6, 128)];
        topics[1].reading.records += wrong;
        LedgerReport {
            subscription,
            node: "harbour-1".into(),
            incarnation: "01".into(),
            at,
            rows,
            other: Counts::default(),
            topics,
            sessions: Sessions { open: 148, paused: 1, behind: 2 },
        }
    }
}

/// Runs something again and again until it is dropped.
struct Interval {
    id: i32,
    _run: Closure<dyn FnMut()>,
}

impl Interval {
    /// Runs it every so many milliseconds.
    fn every(ms: i32, run: impl FnMut() + 'static) -> Option<Self> {
        let run = Closure::<dyn FnMut()>::new(run);
        let id = web_sys::window()?
            .set_interval_with_callback_and_timeout_and_arguments_0(run.as_ref().unchecked_ref(), ms)
            .ok()?;
        Some(Self { id, _run: run })
    }
}

impl Drop for Interval {
    fn drop(&mut self) {
        if let Some(window) = web_sys::window() {
            window.clear_interval_with_handle(self.id);
        }
    }
}

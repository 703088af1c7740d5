//! The core of the npm package's bus: the machine, as `link.js` drives it.
//!
//! JavaScript tells what happened, each time with the time, and no later than the deadline that it is answered with. What
//! there is to do is told by `told.rs`, what belongs to what happened is looked at by `looked.rs`: so only numbers and
//! texts pass between the two, by as few functions as will do, for each one is a tenth of a kilobyte of a page's download.

use alloc::vec::Vec;

use core::panic::PanicInfo;

use lol_alloc::{FreeListAllocator, LockedAllocator};
use tidegate_protocol::frame::{BadFrame, FailureKind, From, ServerFrame};
use tidegate_protocol::json::Value;
use tidegate_protocol::ledger::Column;
use wasm_bindgen::prelude::*;

use super::looked::Looked;
use super::told::{self, What, put_number, put_problem, put_text};
use crate::machine::{Arrival, Handle, Machine, Options, Outcome, Transports, Want};

/// A few hundred blocks live here at a time; the standard allocator is 3 KiB more of a page's download.
#[global_allocator]
static ALLOCATOR: LockedAllocator<FreeListAllocator> = LockedAllocator::new(FreeListAllocator::new());

/// A page never sees what a panic says: the core ends where it is.
#[panic_handler]
fn end(_: &PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// What is looked at: the list of what belongs to what happened.
const SEEN: Looked = Looked::ROOT;

/// A connection for one bus.
#[wasm_bindgen]
pub struct Core {
    machine: Machine,
    /// The batch that is being dispatched.
    arrival: Option<Arrival>,
}

#[wasm_bindgen]
impl Core {
    /// A core at rest. It looks at `[client, handlerTimeout, transports]`; `transports`: 0 all that there are, 1 WebSockets
    /// only, 2 streams only.
    #[wasm_bindgen(constructor)]
    pub fn new(seed: u64, more_seed: u64) -> Self {
        let transports = match SEEN.count(2) {
            1 => Transports::WebSocket,
            2 => Transports::Stream,
            _ => Transports::Auto,
        };
        let options = Options { handler_timeout_ms: SEEN.count(1), transports, ..Options::new(SEEN.string(0)) };
        Self { machine: Machine::new(options, [seed, more_seed]), arrival: None }
    }

    /// Something happened; `what` by the numbers of `words.js`. Answers when to tell of a tick at the latest.
    pub fn tell(&mut self, now: f64, what: u8) -> f64 {
        if self.hear(now as u64, what).is_none() {
            told::effects(&mut self.machine, now as u64);
        }
        self.machine.deadline().map_or(f64::INFINITY, |at| at as f64)
    }
}

impl Core {
    /// Answers with something where effects come later: after what is to be dispatched, which may itself bring about some.
    fn hear(&mut self, now: u64, what: u8) -> Option<()> {
        let machine = &mut self.machine;
        match what {
            // `[ask, token, reason]`: a token, or why there is none.
            1 => machine.token(now, SEEN.count(0) as u32, SEEN.at(1).text().ok_or_else(|| SEEN.string(2))),
            2 => machine.socket_opened(now),
            // `[code, reason]`
            3 => machine.socket_closed(now, SEEN.count(0) as u16, &SEEN.string(1)),
            // Answered with the body of the request for a stream.
            4 => {
                put_text(&machine.stream_request(now));
                What::Answer.tell();
            }
            // Answered with a handle, or why there is none.
            5 => {
                match machine.subscribe(now, want()) {
                    Ok(handle) => put_number(handle.0),
                    Err(problem) => put_problem(&problem),
                }
                What::Answer.tell();
            }
            // `[handle]`
            6 => machine.unsubscribe(now, Handle(SEEN.count(0) as u32)),
            // `[handle]`, answered with its tokens.
            7 => {
                for token in machine.cursor(Handle(SEEN.count(0) as u32)).unwrap_or_default() {
                    put_text(&token);
                }
                What::Answer.tell();
            }
            // `[topic, event, key]`, answered with the call's number. JavaScript knows its own events when they come back.
            8 => {
                put_number(machine.offer(now, SEEN.string(0), SEEN.at(2).text(), SEEN.string(1)).0);
                What::Answer.tell();
            }
            // Answered with an id for an event.
            9 => {
                put_text(&machine.event_id(now));
                What::Answer.tell();
            }
            10 => machine.wake(now),
            11 => machine.close(now),
            12 => return self.frame(now),
            13 => self.dispatched(now),
            14 => self.settled(now),
            15 => machine.connect(now),
            _ => machine.tick(now),
        }
        None
    }

    /// `[name, body, bytes]`: a frame, with an empty name for what is none. A batch to dispatch is answered with its topic
    /// and the session's number.
    fn frame(&mut self, now: u64) -> Option<()> {
        let frame = match &*SEEN.string(0) {
            "" => Err(BadFrame::Shape),
            name => ServerFrame::read(name, &SEEN.at(1)),
        };
        match frame {
            Ok(Some(frame)) => {
                let batch = self.machine.receive(now, frame, SEEN.count(2) as usize)?;
                put_text(&batch.topic);
                put_number(batch.arrival.session);
                What::Answer.tell();
                self.arrival = Some(batch.arrival);
                return Some(());
            }
            Ok(None) => {}
            Err(bad) => self.machine.bad_frame(now, &bad),
        }
        None
    }

    /// `[entries, exceptions]`: how many there were in the batch, all dispatched; and by threes ordinal, outcome as
    /// `event.js` numbers them, and reason of what was not simply consumed.
    fn dispatched(&mut self, now: u64) {
        let list = SEEN.at(1);
        let mut exceptions = Vec::new();
        let mut at = 0;
        while at < list.length() {
            let outcome = match list.count(at + 1) {
                0 => Outcome::Consumed,
                2 => Outcome::Pending,
                3 => Outcome::failed(FailureKind::Threw, list.string(at + 2)),
                _ => Outcome::Unhandled,
            };
            exceptions.push((list.count(at) as u32, outcome));
            at += 3;
        }
        if let Some(arrival) = self.arrival {
            self.machine.dispatched(now, arrival, SEEN.count(0) as u32, exceptions);
        }
    }

    /// `[session, view, seq, ordinal, failure]`: what became of a delivery that was pending.
    fn settled(&mut self, now: u64) {
        let arrival =
            Arrival { session: SEEN.count(0) as u32, view: SEEN.count(1) as u32, seq: SEEN.count(2), bytes: 0 };
        let failure = SEEN.at(4).text();
        let outcome = failure.map_or(Outcome::Consumed, |reason| Outcome::failed(FailureKind::Rejected, reason));
        self.machine.settle(now, arrival, SEEN.count(3) as u32, outcome);
    }
}

/// `[topic, types, keys, time, cursor, group_by]`: what `subscribe` or `ledger` want. JavaScript has seen to their kinds.
fn want() -> Want {
    let mut columns = Vec::new();
    for name in SEEN.strings(5) {
        columns.extend(Column::from_name(&name));
    }
    let cursor = SEEN.strings(4);
    // The earliest is infinitely long ago.
    let from = match SEEN.at(3).number() {
        _ if !cursor.is_empty() => Some(From::Cursor(cursor)),
        Some(f64::NEG_INFINITY) => Some(From::Earliest),
        Some(f64::INFINITY) => Some(From::Latest),
        time => time.map(|time| From::Time(time as i64)),
    };
    Want {
        topic: SEEN.string(0),
        types: SEEN.strings(1),
        keys: SEEN.strings(2),
        from,
        group_by: columns,
        ..Want::default()
    }
}

//! The core of the npm package's bus: the machine, as `link.js` drives it.
//!
//! JavaScript tells what happened, each time with the time, then asks [`Core::next`] what to do until there is nothing
//! left, and tells a `tick` no later than [`Core::deadline`]. Only numbers and texts pass between the two, by as few
//! functions as will do: each one is a tenth of a kilobyte of a page's download.

use lol_alloc::{FreeListAllocator, LockedAllocator};
use tidegate_protocol::frame::{BadFrame, FailureKind, From, ServerFrame};
use tidegate_protocol::json::Value;
use tidegate_protocol::ledger::Column;
use wasm_bindgen::prelude::*;

use super::looked::Looked;
use super::told;
use crate::machine::{Arrival, Handle, Machine, Options, Outcome, Transports, Want};

/// A few hundred blocks live here at a time; the standard allocator is 3 KiB more of a page's download.
#[global_allocator]
static ALLOCATOR: LockedAllocator<FreeListAllocator> = LockedAllocator::new(FreeListAllocator::new());

/// A connection for one bus.
#[wasm_bindgen]
pub struct Core {
    machine: Machine,
    /// The batch that is being dispatched, and what of it was not simply consumed.
    arrival: Option<Arrival>,
    exceptions: Vec<(u32, Outcome)>,
}

// What JavaScript passes is copied in, so that it is owned here whether or not it is kept.
#[allow(clippy::needless_pass_by_value)]
#[wasm_bindgen]
impl Core {
    /// A core at rest. `transports`: 0 all that there are, 1 WebSockets only, 2 streams only.
    #[wasm_bindgen(constructor)]
    pub fn new(client: String, handler_timeout: f64, transports: u8, seed: u64, more_seed: u64) -> Self {
        let transports = match transports {
            1 => Transports::WebSocket,
            2 => Transports::Stream,
            _ => Transports::Auto,
        };
        let options = Options { handler_timeout_ms: handler_timeout as u64, transports, ..Options::new(client) };
        let machine = Machine::new(options, [seed, more_seed]);
        Self { machine, arrival: None, exceptions: Vec::new() }
    }

    /// Something happened, as what is looked at says in detail. Some questions are answered.
    pub fn tell(&mut self, now: f64, what: &str) -> Option<String> {
        let seen = Looked::root();
        let now = now as u64;
        let machine = &mut self.machine;
        match what {
            "connect" => machine.connect(now),
            "token" => machine.token(now, seen.count("ask") as u32, Ok(seen.string("token"))),
            "no_token" => machine.token(now, seen.count("ask") as u32, Err(seen.string("reason"))),
            "opened" => machine.socket_opened(now),
            "closed" => machine.socket_closed(now, seen.count("code") as u16, &seen.string("reason")),
            // The body of the request for a stream.
            "stream" => return Some(machine.stream_request(now)),
            // A handle, or why there is none.
            "subscribe" => {
                let subscribed = machine.subscribe(now, want(&seen));
                return Some(
                    subscribed.map_or_else(|problem| told::problem(&problem), |handle| told::number(handle.0)),
                );
            }
            "unsubscribe" => machine.unsubscribe(now, Handle(seen.count("handle") as u32)),
            "cursor" => return Some(joined(&machine.cursor(Handle(seen.count("handle") as u32))?)),
            // The call's number. JavaScript itself knows its own events when they come back.
            "publish" => {
                let key = seen.member("key").map(|_| seen.string("key"));
                let call = machine.offer(now, seen.string("topic"), key, seen.string("event"));
                return Some(told::number(call.0));
            }
            "id" => return Some(machine.event_id(now)),
            "wake" => machine.wake(now),
            "close" => machine.close(now),
            _ => machine.tick(now),
        }
        None
    }

    /// A frame came, whose body is looked at; an empty `name` for what is none. Answers with the topic of a batch to
    /// dispatch, of which [`Core::exception`] and [`Core::dispatched`] then tell.
    pub fn frame(&mut self, now: f64, name: &str, bytes: f64) -> Option<String> {
        let now = now as u64;
        let body = Looked::root();
        let frame = match name {
            "" => Err(BadFrame::Shape),
            _ => ServerFrame::read(name, &body),
        };
        match frame {
            Ok(Some(frame)) => {
                let batch = self.machine.receive(now, frame, bytes as usize)?;
                self.arrival = Some(batch.arrival);
                return Some((*batch.topic).to_owned());
            }
            Ok(None) => {}
            Err(bad) => self.machine.bad_frame(now, &bad),
        }
        None
    }

    /// The number of the session.
    pub fn session(&mut self) -> u32 {
        self.arrival.map_or(0, |arrival| arrival.session)
    }

    /// What became of an entry that was not simply consumed. The numbers are those of `event.js`.
    pub fn exception(&mut self, ordinal: u32, outcome: u8, reason: String) {
        let outcome = match outcome {
            0 => Outcome::Consumed,
            2 => Outcome::Pending,
            3 => Outcome::failed(FailureKind::Threw, reason),
            _ => Outcome::Unhandled,
        };
        self.exceptions.push((ordinal, outcome));
    }

    /// All entries of the batch were dispatched.
    pub fn dispatched(&mut self, now: f64, entries: u32) {
        let exceptions = std::mem::take(&mut self.exceptions);
        if let Some(arrival) = self.arrival {
            self.machine.dispatched(now as u64, arrival, entries, exceptions);
        }
    }

    /// What became of a delivery that was pending.
    pub fn settled(&mut self, now: f64, session: u32, view: u32, seq: f64, ordinal: u32, failure: Option<String>) {
        let outcome = failure.map_or(Outcome::Consumed, |reason| Outcome::failed(FailureKind::Rejected, reason));
        self.machine.settle(now as u64, Arrival { session, view, seq: seq as u64, bytes: 0 }, ordinal, outcome);
    }

    /// What to do next, if anything: a frame to send, or `["what", …]`.
    pub fn next(&mut self, now: f64) -> Option<String> {
        loop {
            let effect = self.machine.next_effect()?;
            let told = told::told(effect, now as u64, self.machine.transport(), self.machine.stream_token());
            if told.is_some() {
                return told;
            }
        }
    }

    /// When to tell a `tick` at the latest.
    pub fn deadline(&mut self) -> f64 {
        self.machine.deadline().map_or(f64::INFINITY, |at| at as f64)
    }
}

/// What the options of `subscribe` or `ledger` want. JavaScript has seen to their kinds.
fn want(options: &Looked) -> Want {
    let columns = options.strings("group_by").iter().filter_map(|name| Column::from_name(name)).collect();
    let cursor = options.strings("cursor");
    // The earliest is infinitely long ago.
    let from = match options.member("time").map(|_| options.double("time")) {
        _ if !cursor.is_empty() => Some(From::Cursor(cursor)),
        Some(f64::NEG_INFINITY) => Some(From::Earliest),
        Some(f64::INFINITY) => Some(From::Latest),
        time => time.map(|time| From::Time(time as i64)),
    };
    Want {
        topic: options.string("topic"),
        types: options.strings("types"),
        keys: options.strings("keys"),
        from,
        group_by: columns,
        ..Want::default()
    }
}

/// As `join`, which is as much code as a tenth of the machine.
fn joined(tokens: &[String]) -> String {
    let mut joined = String::new();
    for token in tokens {
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(token);
    }
    joined
}

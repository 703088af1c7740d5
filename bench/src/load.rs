//! Many sessions in one thread: one epoll reads them all, and reports are sent as the shipped client sends them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::ensure;
use mio::{Poll, Token};

use crate::connection::{Connection, Received};
use crate::event::Events;
use crate::report::WITHIN;

/// Credit of a session, as the bridge has it unless configured.
const CREDIT: usize = 256 * 1024;

/// Sessions, and where what they receive is counted.
pub(crate) struct Load {
    poll: Poll,
    events: mio::Events,
    connections: Vec<Connection>,
    /// Who must report when, in order.
    due: VecDeque<(Instant, usize)>,
    buffer: Vec<u8>,
    /// It asks again and again rather than sleep, so that no server has to wake it.
    pub(crate) awake: bool,
    pub(crate) received: Received,
}

impl Load {
    pub(crate) fn new(connections: Vec<Connection>) -> anyhow::Result<Self> {
        let load = Self {
            poll: Poll::new()?,
            // Few at once, so that the next event is sent in time.
            events: mio::Events::with_capacity(128),
            connections,
            due: VecDeque::new(),
            buffer: vec![0; 256 * 1024],
            awake: false,
            received: Received::new()?,
        };
        for (at, connection) in load.connections.iter().enumerate() {
            connection.wire.register(load.poll.registry(), Token(at))?;
        }
        Ok(load)
    }

    /// Waits at most so long for something to read, reads it, and reports what is due.
    pub(crate) fn turn(&mut self, wait: Duration) -> anyhow::Result<()> {
        let now = Instant::now();
        while let Some(&(at, connection)) = self.due.front().filter(|(at, _)| *at <= now) {
            self.due.pop_front();
            let connection = &mut self.connections[connection];
            // One that reported at half its credit meanwhile has an entry for its next report.
            if connection.unreported.is_due(now.max(at), CREDIT) {
                connection.report()?;
            }
        }
        let wait = self.due.front().map_or(wait, |(at, _)| wait.min(at.saturating_duration_since(now)));
        if self.awake {
            // Kafka runs on the same core.
            std::thread::yield_now();
        }
        self.poll.poll(&mut self.events, Some(if self.awake { Duration::ZERO } else { wait }))?;
        for event in &self.events {
            let at = event.token().0;
            let connection = &mut self.connections[at];
            if connection.read(&mut self.buffer, &mut self.received)? {
                self.due.push_back((now + WITHIN, at));
            }
            if connection.unreported.is_due(now, CREDIT) {
                connection.report()?;
            }
            ensure!(!connection.closed, "the server closed a session");
        }
        Ok(())
    }

    /// Lets a session publish the next event.
    pub(crate) fn publish(&mut self, session: usize, topic: &str, events: &mut Events) -> anyhow::Result<()> {
        self.connections[session].publish(topic, &events.bare())
    }

    /// Goes on for so long.
    pub(crate) fn run_for(&mut self, time: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.turn(until.saturating_duration_since(Instant::now()))?;
        }
        Ok(())
    }

    /// Goes on until so many events were received in all: when the last one came. Fails when nothing comes for
    /// `quiet`.
    pub(crate) fn receive(&mut self, entries: u64, quiet: Duration) -> anyhow::Result<Instant> {
        let mut moved = (Instant::now(), self.received.entries);
        while self.received.entries < entries {
            self.turn(Duration::from_millis(10))?;
            if self.received.entries > moved.1 {
                moved = (Instant::now(), self.received.entries);
            }
            ensure!(moved.0.elapsed() < quiet, "{entries} deliveries were expected and {} came", moved.1);
        }
        ensure!(self.received.entries == entries, "{entries} expected, {} came", self.received.entries);
        Ok(moved.0)
    }

    /// Reports all that is unreported.
    pub(crate) fn report_all(&mut self) -> anyhow::Result<()> {
        self.due.clear();
        self.connections.iter_mut().try_for_each(Connection::report)
    }
}

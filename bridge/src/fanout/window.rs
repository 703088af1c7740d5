//! The window: recent rounds, kept so that a reader who was away for a moment needs no read of the log.
//!
//! Rounds are shared with all shards; a shard's window holds references and an index by topic. It is bounded
//! in bytes and forgets the oldest round first.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use tidegate_gate::{Access, Decided, Decisions};
use tidegate_log::{Offsets, TopicKey};

use super::stretch::Stretches;
use crate::feed::{Entry, Round};

/// Recent rounds and where each topic's events lie in them.
#[derive(Debug)]
pub struct Window {
    rounds: VecDeque<Kept>,
    /// Number of the first round that is held.
    first_round: u64,
    bytes: usize,
    limit: usize,
    topics: HashMap<TopicKey, TopicWindow>,
    /// What was read of it lately.
    pub stretches: Stretches,
}

/// A round, and what of it the topics' windows refer to.
#[derive(Debug)]
pub struct Kept {
    /// The round.
    pub round: Arc<Round>,
    /// What was decided about its events, by their places in it. It takes a byte for each event and access, and goes with
    /// the round.
    decisions: RefCell<Decisions>,
    runs: Vec<Run>,
}

/// Entries of a round that follow each other and are of one partition. Records come so, many at a time.
#[derive(Debug)]
struct Run {
    topic: TopicKey,
    partition: i32,
    count: usize,
    /// The offset after its last.
    next: i64,
}

#[derive(Debug, Default)]
struct TopicWindow {
    entries: VecDeque<(u64, u32)>,
    /// Number of the first entry that is held, counted over the topic's life here.
    first: u64,
    /// From these offsets on the window holds everything.
    start: Offsets,
    /// Of each partition: (offset, number) of its first entry in each round that has one.
    marks: HashMap<i32, VecDeque<(i64, u64)>>,
}

impl Window {
    /// A window of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        let (rounds, topics, stretches) = (VecDeque::new(), HashMap::new(), Stretches::default());
        Self { rounds, first_round: 0, bytes: 0, limit, topics, stretches }
    }

    /// A topic (or new partitions of one) is read from here on.
    pub fn open(&mut self, topic: TopicKey, offsets: &Offsets) {
        self.topics.entry(topic).or_default().start.extend(offsets);
    }

    /// A topic is no longer read, or is another one now.
    pub fn close(&mut self, topic: TopicKey) {
        self.topics.remove(&topic);
        self.stretches.forget(topic);
    }

    /// Keeps a round.
    pub fn keep(&mut self, round: Arc<Round>) {
        if round.entries.is_empty() {
            return;
        }
        let number = self.first_round + self.rounds.len() as u64;
        let mut runs = Vec::new();
        let mut from = 0;
        for run in round.entries.chunk_by(|one, next| (one.topic, one.partition) == (next.topic, next.partition)) {
            let to = from + run.len();
            if let (Some(topic), [first, .., last] | [first @ last]) = (self.topics.get_mut(&run[0].topic), run) {
                topic.mark(first, number);
                topic.entries.extend((from..to).map(|index| (number, index as u32)));
                let (topic, partition, count) = (first.topic, first.partition, run.len());
                runs.push(Run { topic, partition, count, next: last.offset + 1 });
            }
            from = to;
        }
        self.bytes += round.size();
        self.rounds.push_back(Kept { round, decisions: RefCell::default(), runs });
        while self.bytes > self.limit {
            let Some(oldest) = self.rounds.pop_front() else { break };
            self.bytes -= oldest.round.size();
            oldest.runs.iter().for_each(|run| self.forget(run));
            self.first_round += 1;
        }
    }

    /// Forgets a run of the oldest round.
    fn forget(&mut self, run: &Run) {
        let Some(topic) = self.topics.get_mut(&run.topic) else { return };
        // A topic that was closed meanwhile has none of it.
        if topic.entries.front().is_some_and(|(number, _)| *number == self.first_round) {
            topic.entries.drain(..run.count);
            topic.first += run.count as u64;
            topic.start.insert(run.partition, run.next);
            let marks = topic.marks.entry(run.partition).or_default();
            while marks.front().is_some_and(|(_, number)| *number < topic.first) {
                marks.pop_front();
            }
        }
    }

    /// A partition in which the window begins after `position`, and where it begins.
    pub fn gap(&self, topic: TopicKey, position: &Offsets) -> Option<(i32, i64)> {
        let start = &self.topics.get(&topic)?.start;
        start.iter().map(|(&p, &o)| (p, o)).find(|(p, start)| position.get(p).is_some_and(|at| at < start))
    }

    /// Number of the topic's first entry held, and of the one after its last.
    pub fn range(&self, topic: TopicKey) -> std::ops::Range<u64> {
        self.topics.get(&topic).map_or(0..0, |t| t.first..t.first + t.entries.len() as u64)
    }

    /// Number of an entry before which there is none at or after `position`.
    pub fn seek(&self, topic: TopicKey, position: &Offsets) -> u64 {
        let Some(topic) = self.topics.get(&topic) else { return 0 };
        let end = topic.first + topic.entries.len() as u64;
        let first = |(partition, marks): (&i32, &VecDeque<(i64, u64)>)| {
            let Some(at) = position.get(partition) else { return topic.first };
            // The last round that begins at or before the position may hold it.
            let after = marks.partition_point(|(offset, _)| offset <= at);
            after.checked_sub(1).map_or(topic.first, |mark| marks[mark].1.max(topic.first))
        };
        topic.marks.iter().filter(|(_, marks)| !marks.is_empty()).map(first).min().unwrap_or(end)
    }

    /// An entry by its number: its round, and its place in it.
    pub fn entry(&self, topic: TopicKey, number: u64) -> Option<(&Kept, usize)> {
        let topic = self.topics.get(&topic)?;
        let &(round, index) = topic.entries.get(number.checked_sub(topic.first)? as usize)?;
        Some((self.rounds.get((round - self.first_round) as usize)?, index as usize))
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Kept {
    /// What was decided about its events under an equal access, where that is remembered.
    pub fn decided_under(&self, access: &Access) -> Option<RefMut<'_, Decided>> {
        let events = self.round.entries.len();
        RefMut::filter_map(self.decisions.borrow_mut(), |all| all.under(access, events)).ok()
    }
}

impl TopicWindow {
    /// Remembers where a partition's entries begin in the round of this number, if this is the first of them.
    fn mark(&mut self, entry: &Entry, round: u64) {
        let marks = self.marks.entry(entry.partition).or_default();
        let number = self.first + self.entries.len() as u64;
        let known = marks.back().and_then(|(_, at)| self.entries.get((at - self.first) as usize));
        if known.is_none_or(|(known, _)| *known != round) {
            marks.push_back((entry.offset, number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(window: &Window, number: u64) -> Option<i64> {
        let (kept, at) = window.entry(TopicKey(1), number)?;
        Some(kept.round.entries[at].offset)
    }

    fn round(offsets: std::ops::Range<i64>) -> Arc<Round> {
        let mut round = Round::default();
        for offset in offsets {
            round.put((TopicKey(1), 0, offset), "acme", "a.b", |out| out.push_str(&"x".repeat(100)));
            round.reach(TopicKey(1), 0, offset + 1);
        }
        Arc::new(round)
    }

    #[test]
    fn forgets_the_oldest_and_says_so() {
        let one = round(10..20);
        let mut window = Window::new(one.size() * 5 / 2);
        let at = |offset: i64| Offsets::from([(0, offset)]);
        window.open(TopicKey(1), &at(10));
        window.keep(one);
        window.keep(round(20..30));
        assert_eq!(window.gap(TopicKey(1), &at(10)), None);
        assert_eq!(window.gap(TopicKey(1), &at(9)), Some((0, 10)));
        window.keep(round(30..40));
        assert_eq!(window.gap(TopicKey(1), &at(15)), Some((0, 20)));
        assert_eq!(window.gap(TopicKey(1), &at(20)), None);
        assert_eq!([20, 25, 30, 40].map(|offset| window.seek(TopicKey(1), &at(offset))), [10, 10, 20, 20]);
        assert_eq!(window.range(TopicKey(1)), 10..30);
        assert_eq!(offset(&window, 10), Some(20));
        assert!(window.entry(TopicKey(1), 9).is_none());
    }

    #[test]
    fn partitions_in_turn_are_kept_and_forgotten_in_their_order() {
        let round = |from: i64| {
            let mut round = Round::default();
            for at in from..from + 6 {
                round.put((TopicKey(1), (at % 2) as i32, at), "acme", "a.b", |out| out.push_str(&"x".repeat(100)));
            }
            round.put((TopicKey(1), 1, from + 7), "acme", "a.b", |out| out.push('x'));
            round.put((TopicKey(2), 0, from), "acme", "a.b", |out| out.push('x'));
            Arc::new(round)
        };
        let mut window = Window::new(round(0).size() * 5 / 2);
        window.open(TopicKey(1), &Offsets::from([(0, 0), (1, 0)]));
        (0..4).for_each(|turn| window.keep(round(turn * 10)));
        assert_eq!(window.range(TopicKey(1)), 14..28);
        assert_eq!(window.topics[&TopicKey(1)].start, Offsets::from([(0, 15), (1, 18)]));
        let offsets: Vec<_> = (14..28).filter_map(|number| offset(&window, number)).collect();
        assert_eq!(offsets, [20, 21, 22, 23, 24, 25, 27, 30, 31, 32, 33, 34, 35, 37]);
        window.close(TopicKey(1));
        window.open(TopicKey(1), &Offsets::from([(0, 50), (1, 50)]));
        (5..7).for_each(|turn| window.keep(round(turn * 10)));
        assert_eq!(window.range(TopicKey(1)), 0..14);
    }

    #[test]
    fn another_topic_does_not_shift_it() {
        let mut window = Window::new(1 << 20);
        window.keep(round(0..3));
        window.open(TopicKey(1), &Offsets::from([(0, 3)]));
        window.keep(round(3..5));
        assert_eq!(window.range(TopicKey(1)), 0..2);
        assert_eq!(offset(&window, 0), Some(3));
    }
}

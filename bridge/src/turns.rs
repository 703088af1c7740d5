//! Turns: a queue that is fair between its lines, however long each is.
//!
//! What waits in one line is taken in its own order; lines are taken in turn. So whoever has one thing waiting comes
//! after at most one of each other line, though another may have thousands.

use std::collections::{BTreeSet, VecDeque};
use std::hash::Hash;

use hashbrown::HashMap;
use tidegate_protocol::timestamp::Millis;

/// Lines by `K`, of `T` that wait.
#[derive(Debug)]
pub struct Turns<K, T> {
    lines: HashMap<K, VecDeque<T>>,
    /// Lines that something waits in, each once, but for those that are parked.
    turn: VecDeque<K>,
    /// Lines that are passed over until a time.
    parked: BTreeSet<(Millis, K)>,
}

impl<K, T> Default for Turns<K, T> {
    fn default() -> Self {
        Self { lines: HashMap::new(), turn: VecDeque::new(), parked: BTreeSet::new() }
    }
}

impl<K: Hash + Ord + Clone, T> Turns<K, T> {
    /// Waits at the end of a line.
    pub fn push(&mut self, line: &K, waiting: T) {
        if let Some(known) = self.lines.get_mut(line) {
            known.push_back(waiting);
        } else {
            self.lines.insert(line.clone(), VecDeque::from([waiting]));
            self.turn.push_back(line.clone());
        }
    }

    /// All of these wait at the end of a line, in their order.
    pub fn extend(&mut self, line: &K, waiting: Vec<T>) {
        if let Some(known) = self.lines.get_mut(line) {
            known.extend(waiting);
        } else if !waiting.is_empty() {
            self.lines.insert(line.clone(), waiting.into());
            self.turn.push_back(line.clone());
        }
    }

    /// Takes at most so many of the line whose turn it is.
    pub fn take(&mut self, most: usize) -> Vec<T> {
        if self.front().is_none() {
            return Vec::new();
        }
        let Some(key) = self.turn.pop_front() else { return Vec::new() };
        let Some(line) = self.lines.get_mut(&key) else { return Vec::new() };
        let taken = line.drain(..most.min(line.len())).collect();
        if line.is_empty() {
            self.lines.remove(&key);
        } else {
            self.turn.push_back(key);
        }
        taken
    }

    /// Whose turn it is.
    pub fn front(&mut self) -> Option<&T> {
        while let Some(key) = self.turn.front()
            && self.lines.get(key).is_none_or(VecDeque::is_empty)
        {
            self.lines.remove(key);
            self.turn.pop_front();
        }
        self.lines.get(self.turn.front()?)?.front()
    }

    /// Takes whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
        self.front()?;
        let key = self.turn.pop_front()?;
        let line = self.lines.get_mut(&key)?;
        let taken = line.pop_front();
        if line.is_empty() {
            self.lines.remove(&key);
        } else {
            self.turn.push_back(key);
        }
        taken
    }

    /// Passes over the line whose turn it is, until a time.
    pub fn park(&mut self, until: Millis) {
        if let Some(key) = self.turn.pop_front() {
            self.parked.insert((until, key));
        }
    }

    /// Takes up the lines whose time has come, and says when the next one's does.
    pub fn unpark(&mut self, now: Millis) -> Option<Millis> {
        while let Some((until, key)) = self.parked.pop_first() {
            if until > now {
                self.parked.insert((until, key));
                return Some(until);
            }
            self.turn.push_back(key);
        }
        None
    }

    /// How many wait in a line.
    pub fn waiting(&self, line: &K) -> usize {
        self.lines.get(line).map_or(0, VecDeque::len)
    }

    /// Drops from a line what need not wait any more.
    pub fn retain(&mut self, line: &K, keep: impl FnMut(&T) -> bool) {
        if let Some(line) = self.lines.get_mut(line) {
            line.retain(keep);
        }
    }

    /// Whether nobody waits, but perhaps in lines that are parked.
    pub fn is_empty(&self) -> bool {
        self.turn.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn who_has_one_comes_after_one_of_each_other() {
        let mut turns = Turns::default();
        for n in 0..1000 {
            turns.push(&"storm", n);
        }
        turns.push(&"quiet", -1);
        assert_eq!([turns.pop(), turns.pop(), turns.pop()], [Some(0), Some(-1), Some(1)]);
    }

    #[test]
    fn some_of_a_line_are_taken_together() {
        let mut turns = Turns::default();
        turns.extend(&"a", vec![1, 2, 3, 4, 5]);
        turns.extend(&"b", vec![]);
        turns.extend(&"c", vec![6]);
        turns.extend(&"a", vec![7]);
        let taken: Vec<Vec<i32>> = std::iter::repeat_with(|| turns.take(4)).take(4).collect();
        assert_eq!(taken, [vec![1, 2, 3, 4], vec![6], vec![5, 7], vec![]]);
    }

    #[test]
    fn a_parked_line_is_passed_over_until_its_time() {
        let mut turns = Turns::default();
        turns.push(&"a", 1);
        turns.push(&"a", 2);
        turns.push(&"b", 3);
        turns.park(100);
        turns.push(&"a", 4);
        assert_eq!((turns.pop(), turns.pop(), turns.is_empty()), (Some(3), None, true));
        assert_eq!((turns.unpark(99), turns.pop()), (Some(100), None));
        assert_eq!(turns.unpark(100), None);
        assert_eq!([turns.pop(), turns.pop(), turns.pop(), turns.pop()], [Some(1), Some(2), Some(4), None]);
    }

    #[test]
    fn what_need_not_wait_is_dropped() {
        let mut turns = Turns::default();
        for n in 0..10 {
            turns.push(&(n % 2), n);
        }
        turns.retain(&0, |n| *n > 4);
        assert_eq!(turns.waiting(&0), 2);
        let taken: Vec<i32> = std::iter::from_fn(|| turns.pop()).collect();
        assert_eq!(taken, [6, 1, 8, 3, 5, 7, 9]);
        turns.push(&0, 1);
        turns.retain(&0, |_| false);
        turns.push(&0, 2);
        assert_eq!((turns.pop(), turns.pop()), (Some(2), None));
    }

    proptest! {
        /// Between two that one line gets, no other line that waits all the while gets more than one.
        #[test]
        fn no_line_is_passed_twice(lines in prop::collection::vec(0u8..5, 1..200)) {
            let mut turns = Turns::default();
            for (n, line) in lines.iter().enumerate() {
                turns.push(line, (*line, n));
            }
            let taken: Vec<(u8, usize)> = std::iter::from_fn(|| turns.pop()).collect();
            prop_assert_eq!(taken.len(), lines.len());
            for line in 0..5 {
                let places: Vec<usize> = (0..taken.len()).filter(|at| taken[*at].0 == line).collect();
                prop_assert!(places.iter().map(|at| taken[*at].1).is_sorted(), "in its own order");
                for pair in places.windows(2) {
                    let between = &taken[pair[0] + 1..pair[1]];
                    for other in 0..5 {
                        prop_assert!(between.iter().filter(|(of, _)| *of == other).count() <= 1);
                    }
                }
                if let Some(first) = places.first() {
                    prop_assert!(*first < 5);
                }
            }
        }
    }
}

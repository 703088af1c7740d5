//! How far a batch came: nearly always in one partition, so that it takes no memory of its own.

/// The next offset of each partition that a batch touched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reached {
    first: Option<(i32, i64)>,
    more: Vec<(i32, i64)>,
}

impl Reached {
    /// A partition was read up to `next`.
    pub fn insert(&mut self, partition: i32, next: i64) {
        let Some(first) = &mut self.first else { return self.first = Some((partition, next)) };
        match std::iter::once(first).chain(&mut self.more).find(|(known, _)| *known == partition) {
            Some((_, at)) => *at = next,
            None => self.more.push((partition, next)),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (i32, i64)> + Clone {
        self.first.iter().chain(&self.more).copied()
    }

    /// Moves each partition on to where `end` says it came, if it says.
    pub fn advance(&mut self, end: impl Fn(i32) -> Option<i64>) {
        for (partition, at) in self.first.iter_mut().chain(&mut self.more) {
            *at = end(*partition).map_or(*at, |end| end.max(*at));
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.first = None;
        self.more.clear();
    }
}

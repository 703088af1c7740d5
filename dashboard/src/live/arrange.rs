//! Which lines of the breakdown are shown, and in what order.

use std::cmp::Ordering;

use tidegate_protocol::ledger::Column;

use super::measure::Measure;
use super::picture::{Key, Line, Picture};

/// What the breakdown is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// A column's value.
    Column(Column),
    /// A total.
    Total(Measure),
    /// A rate.
    Rate(Measure),
}

/// What the breakdown is sorted by, and which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sort {
    /// By what.
    pub(crate) by: By,
    /// The largest first.
    pub(crate) descending: bool,
}

impl Sort {
    /// The order after a click on a heading: names begin with the first, figures with the largest, and a
    /// second click turns it round.
    #[must_use]
    pub(crate) fn clicked(self, by: By) -> Self {
        if self.by == by {
            Self { by, descending: !self.descending }
        } else {
            Self { by, descending: !matches!(by, By::Column(_)) }
        }
    }
}

/// The keys of the lines that hold every word of the filter, in order. Lines that do not balance come first.
pub(crate) fn arrange(picture: &Picture, filter: &str, sort: Sort) -> Vec<Key> {
    let words: Vec<_> = filter.split_whitespace().map(str::to_lowercase).collect();
    let mut lines: Vec<_> = picture.lines.iter().filter(|(key, _)| holds(key, &words)).collect();
    lines.sort_by(|(a, left), (b, right)| {
        let order = compare((a, left), (b, right), sort.by);
        let order = if sort.descending { order.reverse() } else { order };
        right.imbalance.is_some().cmp(&left.imbalance.is_some()).then(order).then_with(|| a.cmp(b))
    });
    lines.into_iter().map(|(key, _)| key.clone()).collect()
}

fn holds(key: &Key, words: &[String]) -> bool {
    let values: Vec<_> =
        Column::ALL.into_iter().filter_map(|column| key.shown(column)).map(str::to_lowercase).collect();
    words.iter().all(|word| values.iter().any(|value| value.contains(word)))
}

fn compare((a, left): (&Key, &Line), (b, right): (&Key, &Line), by: By) -> Ordering {
    let rate = |line: &Line, measure| line.rates.map_or(0.0, |rates| rates.of(measure));
    match by {
        By::Column(column) => a.column(column).cmp(&b.column(column)),
        By::Total(measure) => measure.of(&left.counts).cmp(&measure.of(&right.counts)),
        By::Rate(measure) => rate(left, measure).total_cmp(&rate(right, measure)),
    }
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::ledger::{Counts, Imbalance};

    use super::*;

    fn picture(lines: &[(&str, &str, u64)]) -> Picture {
        let mut picture = Picture::default();
        for &(tenant, kind, received) in lines {
            let key = Key([Some(tenant.into()), Some("orders".into()), Some(kind.into()), Some(String::new())]);
            let counts = Counts { received, ..Counts::default() };
            picture.lines.insert(key, Line { counts, ..Line::default() });
        }
        picture
    }

    fn kinds(keys: &[Key]) -> Vec<&str> {
        keys.iter().filter_map(|key| key.column(Column::Type)).collect()
    }

    #[test]
    fn every_word_must_be_found_somewhere() {
        let picture = picture(&[("acme", "order.created", 1), ("beta", "order.paid", 2), ("acme", "order.paid", 3)]);
        let sort = Sort { by: By::Column(Column::Tenant), descending: false };
        assert_eq!(kinds(&arrange(&picture, "PAID ac", sort)), ["order.paid"]);
        assert_eq!(arrange(&picture, "unnamed", sort).len(), 3);
        assert!(arrange(&picture, "gone", sort).is_empty());
    }

    #[test]
    fn what_does_not_balance_comes_first() {
        let mut picture = picture(&[("acme", "a.a", 1), ("acme", "b.b", 3), ("acme", "c.c", 2)]);
        let sort = Sort { by: By::Column(Column::Type), descending: false }.clicked(By::Total(Measure::Received));
        assert_eq!(kinds(&arrange(&picture, "", sort)), ["b.b", "c.c", "a.a"]);
        assert_eq!(kinds(&arrange(&picture, "", sort.clicked(sort.by))), ["a.a", "c.c", "b.b"]);
        if let Some(line) = picture.lines.values_mut().next() {
            line.imbalance = Some(Imbalance::Deliveries { received: 1, accounted: 0 });
        }
        assert_eq!(kinds(&arrange(&picture, "", sort)), ["a.a", "b.b", "c.c"]);
    }
}

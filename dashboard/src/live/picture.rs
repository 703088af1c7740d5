//! The newest snapshot of every node incarnation, and what they come to together.
//!
//! Snapshots are added, never corrected. The laws are looked at in each snapshot by itself, because two
//! nodes that are wrong in opposite directions would look right in the sum.

use std::collections::BTreeMap;

use tidegate_protocol::frame::LedgerReport;
use tidegate_protocol::ledger::{Column, Counts, Imbalance, Reading, Sessions};
use tidegate_protocol::timestamp::Millis;

use super::measure::Rates;

/// A node not heard of for this long no longer counts as present: its totals stay, its rates, sessions and
/// lag do not.
const PRESENT_MS: Millis = 5_000;

/// What a line is about: values in the order of [`Column::ALL`], `None` where not grouped by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key(pub(crate) [Option<String>; 4]);

impl Key {
    /// The value of a column.
    pub(crate) fn column(&self, column: Column) -> Option<&str> {
        self.0[column as usize].as_deref()
    }

    /// The same, without the columns that are not grouped by.
    #[must_use]
    pub(crate) fn folded(&self, group_by: &[Column]) -> Self {
        let mut key = Self::default();
        for &column in group_by {
            key.0[column as usize].clone_from(&self.0[column as usize]);
        }
        key
    }

    /// The key in test ids: values joined by `-`, `*` where not grouped by, nothing for an unnamed consumer.
    pub(crate) fn test_id(&self) -> String {
        let values: Vec<_> = self.0.iter().map(|value| value.as_deref().unwrap_or("*")).collect();
        format!("row-{}", values.join("-"))
    }

    /// The key for a person.
    pub(crate) fn label(&self) -> String {
        let values: Vec<_> = Column::ALL.into_iter().filter_map(|column| self.shown(column)).collect();
        if values.is_empty() { "everything".to_owned() } else { values.join(" › ") }
    }

    /// A column's value for a person; `None` where not grouped by.
    pub(crate) fn shown(&self, column: Column) -> Option<&str> {
        match (column, self.column(column)?) {
            (Column::Consumer, "") => Some("unnamed"),
            (_, value) => Some(value),
        }
    }
}

/// One line of the breakdown.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Line {
    /// Full totals.
    pub(crate) counts: Counts,
    /// What happened each second; `None` until two snapshots can be compared.
    pub(crate) rates: Option<Rates>,
    /// Law 1 does not hold in at least one snapshot that is part of this line.
    pub(crate) imbalance: Option<Imbalance>,
}

impl Line {
    fn add(&mut self, counts: &Counts, rates: Option<Rates>) {
        self.counts.add(counts);
        if let Some(rates) = rates {
            self.rates.get_or_insert(Rates::ZERO).add(&rates);
        }
        if let Err(imbalance) = counts.law_1() {
            self.imbalance.get_or_insert(imbalance);
        }
    }
}

/// What the feeds read of one topic.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct TopicLine {
    /// Full totals; the lag is that of the nodes that are present.
    pub(crate) reading: Reading,
    /// Records read each second.
    pub(crate) rate: Option<f64>,
    /// Law 3 does not hold in at least one snapshot.
    pub(crate) imbalance: Option<Imbalance>,
}

/// A law that does not hold, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Whose snapshot.
    pub(crate) node: String,
    /// Which line or topic of it.
    pub(crate) about: String,
    /// What is wrong.
    pub(crate) imbalance: Imbalance,
}

/// What is shown: all nodes together at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Picture {
    /// When the newest snapshot was taken, by its node's clock.
    pub(crate) at: Millis,
    /// Everything.
    pub(crate) totals: Line,
    /// By what is grouped by.
    pub(crate) lines: BTreeMap<Key, Line>,
    /// Lines too small to be told apart; `None` if there are none.
    pub(crate) other: Option<Line>,
    /// What the feeds read.
    pub(crate) topics: BTreeMap<String, TopicLine>,
    /// Sessions of the nodes that are present.
    pub(crate) sessions: Sessions,
    /// Names of the nodes that are present.
    pub(crate) nodes: Vec<String>,
    /// Every law that does not hold.
    pub(crate) findings: Vec<Finding>,
}

/// The newest snapshot of every node incarnation.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    lives: Vec<Life>,
}

/// One life of a node.
#[derive(Debug)]
struct Life {
    newest: LedgerReport,
    before: Option<LedgerReport>,
    heard: Millis,
}

impl Nodes {
    /// Takes a snapshot that arrived `now`. One older than what is known is passed over.
    pub(crate) fn take(&mut self, report: LedgerReport, now: Millis) {
        let known = self
            .lives
            .iter_mut()
            .find(|life| life.newest.node == report.node && life.newest.incarnation == report.incarnation);
        match known {
            Some(life) if life.newest.at > report.at => {}
            Some(life) => {
                life.before = Some(std::mem::replace(&mut life.newest, report));
                life.heard = now;
            }
            None => self.lives.push(Life { newest: report, before: None, heard: now }),
        }
    }

    /// All nodes together, grouped by these columns. A life that reported finer is folded.
    pub(crate) fn picture(&self, group_by: &[Column]) -> Picture {
        let mut picture = Picture::default();
        let mut other = Line::default();
        for life in &self.lives {
            let present = self.is_present(life);
            picture.at = picture.at.max(life.newest.at);
            life.add_lines(&mut picture, &mut other, group_by, present);
            life.add_topics(&mut picture, present);
            if present {
                picture.sessions.open += life.newest.sessions.open;
                picture.sessions.paused += life.newest.sessions.paused;
                picture.sessions.behind += life.newest.sessions.behind;
                picture.nodes.push(life.newest.node.clone());
            }
        }
        picture.nodes.sort_unstable();
        picture.other = (other.counts != Counts::default()).then_some(other);
        picture
    }

    /// Whether a life is still going on: heard of lately, and no later life of its node is known.
    fn is_present(&self, life: &Life) -> bool {
        let newest = self.lives.iter().map(|other| other.heard).max().unwrap_or_default();
        let succeeded = |other: &Life| other.newest.node == life.newest.node && other.heard > life.heard;
        newest - life.heard <= PRESENT_MS && !self.lives.iter().any(succeeded)
    }
}

impl Life {
    fn add_lines(&self, picture: &mut Picture, other: &mut Line, group_by: &[Column], present: bool) {
        let seconds = if present { self.seconds() } else { None };
        let total = sum(&self.newest);
        let total_rates = seconds.zip(self.before.as_ref()).map(|(s, before)| Rates::between(&sum(before), &total, s));
        picture.totals.add(&total, total_rates);

        // Only snapshots of one and the same grouping have lines that can be compared.
        let before = self.before.as_ref().filter(|before| before.subscription == self.newest.subscription);
        let comparable = seconds.zip(before);
        let earlier = before.map(|before| folded(before, group_by)).unwrap_or_default();
        for (key, counts) in folded(&self.newest, group_by) {
            let rates = comparable.and_then(|(seconds, before)| match earlier.get(&key) {
                Some(was) => Some(Rates::between(was, &counts, seconds)),
                // New since then, unless it may have come up from among the others.
                None => {
                    (before.other == Counts::default()).then(|| Rates::between(&Counts::default(), &counts, seconds))
                }
            });
            picture.lines.entry(key).or_default().add(&counts, rates);
        }
        let rates = comparable.map(|(seconds, before)| Rates::between(&before.other, &self.newest.other, seconds));
        other.add(&self.newest.other, rates);
        self.find_imbalances(picture, other, group_by);
    }

    /// Law 1 of every row by itself, before rows are folded together.
    fn find_imbalances(&self, picture: &mut Picture, other: &mut Line, group_by: &[Column]) {
        for row in &self.newest.rows {
            let Err(imbalance) = row.counts.law_1() else { continue };
            let key = Key(row.of.clone());
            picture.findings.push(self.finding(key.label(), &imbalance));
            if let Some(line) = picture.lines.get_mut(&key.folded(group_by)) {
                line.imbalance.get_or_insert(imbalance.clone());
            }
            picture.totals.imbalance.get_or_insert(imbalance);
        }
        if let Err(imbalance) = self.newest.other.law_1() {
            picture.findings.push(self.finding("other lines".to_owned(), &imbalance));
            other.imbalance.get_or_insert(imbalance.clone());
            picture.totals.imbalance.get_or_insert(imbalance);
        }
    }

    fn add_topics(&self, picture: &mut Picture, present: bool) {
        for topic in &self.newest.topics {
            let line = picture.topics.entry(topic.topic.clone()).or_default();
            let lag = if present { topic.reading.lag } else { 0 };
            line.reading.add(&Reading { lag, ..topic.reading });
            if let Err(imbalance) = topic.reading.law_3() {
                line.imbalance.get_or_insert(imbalance.clone());
                picture.findings.push(self.finding(format!("topic {}", topic.topic), &imbalance));
            }
            let Some((seconds, before)) = self.seconds().filter(|_| present).zip(self.before.as_ref()) else {
                continue;
            };
            let was = before.topics.iter().find(|was| was.topic == topic.topic);
            let was = was.map_or(0, |was| was.reading.records);
            *line.rate.get_or_insert(0.0) += (topic.reading.records as f64 - was as f64) / seconds;
        }
    }

    /// The time between the two snapshots that are known.
    fn seconds(&self) -> Option<f64> {
        let passed = self.newest.at - self.before.as_ref()?.at;
        (passed > 0).then_some(passed as f64 / 1_000.0)
    }

    fn finding(&self, about: String, imbalance: &Imbalance) -> Finding {
        Finding { node: self.newest.node.clone(), about, imbalance: imbalance.clone() }
    }
}

/// All of a snapshot's counts together.
fn sum(report: &LedgerReport) -> Counts {
    report.rows.iter().fold(report.other, |mut sum, row| {
        sum.add(&row.counts);
        sum
    })
}

/// A snapshot's rows, grouped by these columns.
fn folded(report: &LedgerReport, group_by: &[Column]) -> BTreeMap<Key, Counts> {
    let mut lines: BTreeMap<Key, Counts> = BTreeMap::new();
    for row in &report.rows {
        lines.entry(Key(row.of.clone()).folded(group_by)).or_default().add(&row.counts);
    }
    lines
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::frame::TopicReading;
    use tidegate_protocol::ledger::Row;

    use super::super::measure::Measure;
    use super::*;

    fn row(tenant: &str, kind: &str, consumed: u64) -> Row {
        let of = [Some(tenant), Some("orders"), Some(kind), Some("")].map(|value| value.map(str::to_owned));
        Row { of, counts: Counts { sent: consumed, received: consumed, consumed, ..Counts::default() } }
    }

    fn report(node: &str, incarnation: &str, at: Millis, rows: Vec<Row>) -> LedgerReport {
        LedgerReport { node: node.into(), incarnation: incarnation.into(), at, rows, ..LedgerReport::default() }
    }

    #[test]
    fn incarnations_add_up_and_only_the_newest_of_each_counts() {
        let mut nodes = Nodes::default();
        nodes.take(report("a", "1", 1_000, vec![row("acme", "x.y", 5)]), 1_000);
        nodes.take(report("a", "1", 2_000, vec![row("acme", "x.y", 7)]), 2_000);
        nodes.take(report("a", "1", 1_500, vec![row("acme", "x.y", 6)]), 2_100);
        nodes.take(report("a", "2", 3_000, vec![row("acme", "x.y", 1)]), 3_000);
        nodes.take(report("b", "1", 3_000, vec![row("acme", "x.y", 10)]), 3_000);
        let picture = nodes.picture(&Column::ALL);
        assert_eq!(picture.totals.counts.consumed, 18);
        assert_eq!(picture.lines.len(), 1);
        assert_eq!(picture.nodes, ["a", "b"]);
    }

    #[test]
    fn a_first_snapshot_has_no_rate_however_large_it_is() {
        let mut nodes = Nodes::default();
        nodes.take(report("a", "1", 1_000, vec![row("acme", "x.y", 1_000_000)]), 1_000);
        assert_eq!(nodes.picture(&Column::ALL).totals.rates, None);
        nodes.take(report("a", "1", 3_000, vec![row("acme", "x.y", 1_000_010)]), 3_000);
        let rate = nodes.picture(&Column::ALL).totals.rates.map(|rates| rates.of(Measure::Consumed));
        assert_eq!(rate, Some(5.0));
    }

    #[test]
    fn a_new_line_begins_at_zero_unless_it_may_come_from_the_others() {
        let mut nodes = Nodes::default();
        nodes.take(report("a", "1", 1_000, vec![row("acme", "x.y", 1)]), 1_000);
        nodes.take(report("a", "1", 2_000, vec![row("acme", "x.y", 1), row("acme", "x.z", 3)]), 2_000);
        let rate = |nodes: &Nodes, kind: &str| {
            let key = Key(row("acme", kind, 0).of);
            nodes.picture(&Column::ALL).lines[&key].rates.map(|rates| rates.of(Measure::Consumed))
        };
        assert_eq!(rate(&nodes, "x.z"), Some(3.0));

        let mut crowded = report("a", "1", 3_000, vec![row("acme", "x.y", 1)]);
        crowded.other = Counts { received: 9, consumed: 9, ..Counts::default() };
        nodes.take(crowded, 3_000);
        nodes.take(report("a", "1", 4_000, vec![row("acme", "x.y", 1), row("acme", "x.w", 9)]), 4_000);
        assert_eq!(rate(&nodes, "x.w"), None);
    }

    #[test]
    fn lines_are_folded_to_what_is_grouped_by() {
        let mut nodes = Nodes::default();
        nodes.take(report("a", "1", 1, vec![row("acme", "x.y", 1), row("acme", "x.z", 2), row("beta", "x.y", 4)]), 1);
        let picture = nodes.picture(&[Column::Tenant]);
        let lines: Vec<_> = picture.lines.iter().map(|(key, line)| (key.test_id(), line.counts.consumed)).collect();
        assert_eq!(lines, [("row-acme-*-*-*".to_owned(), 3), ("row-beta-*-*-*".to_owned(), 4)]);
    }

    #[test]
    fn opposite_errors_do_not_hide_each_other() {
        let mut nodes = Nodes::default();
        let mut wrong = row("acme", "x.y", 5);
        wrong.counts.received = 6;
        let mut opposite = row("acme", "x.y", 5);
        opposite.counts.received = 4;
        nodes.take(report("a", "1", 1, vec![wrong]), 1);
        nodes.take(report("b", "1", 1, vec![opposite]), 1);
        let picture = nodes.picture(&Column::ALL);
        assert_eq!(picture.totals.counts.law_1(), Ok(()));
        assert_eq!(picture.findings.len(), 2);
        assert_eq!(picture.findings[0].about, "acme › orders › x.y › unnamed");
        assert!(picture.totals.imbalance.is_some());
        assert!(picture.lines.values().all(|line| line.imbalance.is_some()));
    }

    #[test]
    fn a_silent_node_keeps_its_totals_but_not_its_sessions_or_lag() {
        let mut nodes = Nodes::default();
        let mut gone = report("a", "1", 1, vec![row("acme", "x.y", 5)]);
        gone.sessions.open = 3;
        let reading = Reading { records: 4, events: 4, lag: 8, ..Reading::default() };
        gone.topics = vec![TopicReading { topic: "orders".into(), reading }];
        nodes.take(gone, 1_000);
        nodes.take(report("b", "1", 1, vec![]), 7_000);
        let picture = nodes.picture(&Column::ALL);
        assert_eq!((picture.totals.counts.consumed, picture.sessions.open), (5, 0));
        assert_eq!((picture.topics["orders"].reading.records, picture.topics["orders"].reading.lag), (4, 0));
        assert_eq!(picture.nodes, ["b"]);
    }

    #[test]
    fn a_topic_that_breaks_law_3_is_named() {
        let mut nodes = Nodes::default();
        let mut wrong = report("a", "1", 1, vec![]);
        let reading = Reading { records: 4, events: 3, ..Reading::default() };
        wrong.topics = vec![TopicReading { topic: "orders".into(), reading }];
        nodes.take(wrong, 1);
        let picture = nodes.picture(&Column::ALL);
        assert_eq!(picture.findings[0].about, "topic orders");
        assert_eq!(picture.topics["orders"].imbalance, Some(Imbalance::Records { records: 4, accounted: 3 }));
    }
}

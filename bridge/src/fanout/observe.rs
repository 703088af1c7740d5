//! `$ledger`: the node's newest totals, for those who may observe, grouped as they asked.

use std::collections::{BTreeMap, HashMap};

use tidegate_protocol::frame::{LedgerReport, ServerFrame, TopicReading};
use tidegate_protocol::ledger::{Column, Counts, Row, Sessions};

use super::SessionKey;
use super::shard::Shard;
use crate::ledger::NodeSnapshot;
use tidegate_gate::Observe;

/// Rows of one report; the rest is added up as `other`.
const MAX_ROWS: usize = 200;

impl Shard {
    pub(super) fn ledger(&mut self, snapshot: &NodeSnapshot) {
        let mut subscribers: Vec<(SessionKey, u32, Observe, Vec<Column>)> = Vec::new();
        let sessions = &self.sessions;
        self.observers.retain(|key| sessions.get(*key).is_some_and(|session| !session.ledgers.is_empty()));
        for &key in &self.observers {
            let Some(session) = sessions.get(key) else { continue };
            // Newest only: who has not taken the last one yet gets a later one.
            if !session.outbox.borrow().is_empty() {
                continue;
            }
            let of = |l: &crate::session::LedgerSubscription| (key, l.id, l.observe.clone(), l.group_by.clone());
            subscribers.extend(session.ledgers.iter().map(of));
        }
        let mut made: HashMap<(Observe, Vec<Column>), LedgerReport> = HashMap::new();
        for (key, subscription, observe, group_by) in subscribers {
            let report =
                made.entry((observe, group_by)).or_insert_with_key(|(observe, by)| report(snapshot, observe, by));
            report.subscription = subscription;
            let report = report.clone();
            self.say(key, &ServerFrame::Ledger(report));
        }
    }
}

/// A node's totals as one observer may see them.
fn report(snapshot: &NodeSnapshot, observe: &Observe, group_by: &[Column]) -> LedgerReport {
    let mut groups: BTreeMap<[Option<String>; 4], Counts> = BTreeMap::new();
    for (key, counts) in snapshot.rows.iter().filter(|(key, _)| observe.sees(&key.tenant, &key.topic)) {
        let values = [&key.tenant, &key.topic, &key.event_type, &key.consumer];
        let mut of: [Option<String>; 4] = [const { None }; 4];
        for ((slot, column), value) in of.iter_mut().zip(Column::ALL).zip(values) {
            *slot = group_by.contains(&column).then(|| value.to_string());
        }
        groups.entry(of).or_default().add(counts);
    }
    let mut rows: Vec<Row> = groups.into_iter().map(|(of, counts)| Row { of, counts }).collect();
    let mut other = Counts::default();
    if rows.len() > MAX_ROWS {
        rows.sort_by_key(|row| std::cmp::Reverse(row.counts.sent));
        rows.drain(MAX_ROWS..).for_each(|row| other.add(&row.counts));
    }
    let mut sessions = Sessions::default();
    for (tenant, of) in &snapshot.sessions {
        if observe.all_tenants() || tenant == observe.tenant() {
            sessions.open += of.open;
            sessions.paused += of.paused;
            sessions.behind += of.behind;
        }
    }
    let topics = if observe.all_tenants() { snapshot.topics.clone() } else { BTreeMap::new() };
    let topics =
        topics.into_iter().map(|(topic, reading)| TopicReading { topic: topic.to_string(), reading }).collect();
    LedgerReport {
        subscription: 0,
        node: snapshot.node.to_string(),
        incarnation: snapshot.incarnation.to_string(),
        at: snapshot.at,
        rows,
        other,
        topics,
        sessions,
    }
}

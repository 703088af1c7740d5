//! The events of rounds, in lines: those of one topic and tenant together, in the order in which they came.
//!
//! A view gets events of one topic and one tenant only, so nothing comes out of order; and whatever is looked up for the
//! first event of a line (tenant, types, views) is in the processor's caches for all others.

use std::sync::Arc;

use hashbrown::HashMap;
use tidegate_log::TopicKey;

use super::index::Topics;
use crate::feed::{Entry, Round};

/// Events of rounds, by topic and tenant.
pub struct ByTenant<'r> {
    events: Vec<(&'r Round, &'r Entry)>,
    lines: Vec<Line>,
}

/// Events of one topic and tenant. (Tenants are told apart by their hashes here: two with the same one share a line.)
struct Line {
    physical: Arc<str>,
    /// Where it ends among all events; while lines are formed, where its next event belongs.
    end: usize,
}

impl<'r> ByTenant<'r> {
    /// The events of these rounds whose topic and tenant somebody of this shard reads.
    pub fn of(rounds: &'r [Arc<Round>], topics: &Topics) -> Self {
        let all = rounds.iter().flat_map(|round| round.entries.iter().map(move |entry| (&**round, entry)));
        let mut known: HashMap<(TopicKey, u64), Option<u32>> = HashMap::new();
        let mut lines: Vec<Line> = Vec::new();
        let mut lengths: Vec<usize> = Vec::new();
        let mut line_of: Vec<Option<u32>> = Vec::with_capacity(rounds.iter().map(|round| round.entries.len()).sum());
        let mut last = None;
        for (_, entry) in all.clone() {
            let of = (entry.topic, entry.tenant_hash);
            let line = match last {
                Some((same, line)) if same == of => line,
                _ => *known.entry(of).or_insert_with(|| {
                    let topic = topics.get(entry.topic).filter(|topic| topic.may_have(entry.tenant_hash))?;
                    lines.push(Line { physical: Arc::clone(&topic.physical), end: 0 });
                    lengths.push(0);
                    Some(lines.len() as u32 - 1)
                }),
            };
            last = Some((of, line));
            line_of.push(line);
            if let Some(line) = line {
                lengths[line as usize] += 1;
            }
        }
        let mut total = 0;
        for (line, length) in lines.iter_mut().zip(&lengths) {
            line.end = total;
            total += length;
        }
        // Each place is written to once; what stands there before is anything.
        let mut events: Vec<(&Round, &Entry)> = all.clone().next().map_or_else(Vec::new, |any| vec![any; total]);
        for (event, line) in all.zip(line_of) {
            if let Some(line) = line {
                let end = &mut lines[line as usize].end;
                events[*end] = event;
                *end += 1;
            }
        }
        Self { events, lines }
    }

    /// Each line: its topic's physical name, and its events.
    pub fn lines(&self) -> impl Iterator<Item = (&str, &[(&'r Round, &'r Entry)])> {
        let mut from = 0;
        self.lines.iter().map(move |line| {
            let events = &self.events[from..line.end];
            from = line.end;
            (&*line.physical, events)
        })
    }
}

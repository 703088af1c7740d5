//! A node's feed: what it reads, finds, is told to read by, and tells the shard, which takes it in its own time.

use std::sync::Arc;

use tidegate_log::Offsets;
use tokio::sync::mpsc;

use super::super::variants;
use super::{LOUD, Node, Told, World};
use crate::fanout::{Input, Renewal};
use crate::feed::Round;

impl World {
    /// The feed reads so many events, or (sometimes) only tells how far it came.
    pub fn feed(&mut self, at: usize, most: usize) {
        let Self { log, nodes, chance, .. } = self;
        let Node { keys, fed, told, rules, .. } = &mut nodes[at];
        let mut round = Round::default();
        let mut left = most;
        for (name, (life, offsets)) in fed.iter_mut() {
            let Some(topic) = log.topics.get(name).filter(|topic| topic.exists) else { continue };
            if topic.life != *life {
                continue;
            }
            let (key, spec) = (keys[name], rules.topics.spec(name).unwrap());
            for (number, partition) in topic.partitions.iter().enumerate() {
                let Some(position) = offsets.get_mut(&(number as i32)) else { continue };
                let mut next = *position;
                // The feed is never overtaken by retention here: it has prefetched what it reads.
                for event in partition.events.iter().filter(|e| e.offset >= next) {
                    if left == 0 {
                        break;
                    }
                    left -= 1;
                    event.push(key, &spec, &mut round);
                    *position = event.offset + 1;
                    round.reach(key, number as i32, *position);
                }
                next = *position;
                if left > 0 && partition.end > next && chance.once_in(2) {
                    *position = partition.end;
                    round.reach(key, number as i32, *position);
                }
            }
        }
        if !round.is_empty() {
            told.push_back(Told::Input(Input::Rounds(vec![Arc::new(round)])));
        }
    }

    /// The feed finds new partitions and topics made anew.
    pub fn discover(&mut self, at: usize) {
        let Self { log, nodes, .. } = self;
        let Node { keys, fed, told, .. } = &mut nodes[at];
        for (name, (life, offsets)) in fed.iter_mut() {
            let Some(topic) = log.topics.get(name).filter(|topic| topic.exists) else { continue };
            *life = topic.life;
            let new = (0..topic.partitions.len() as i32).filter(|partition| !offsets.contains_key(partition));
            // New ones are read from their beginning.
            let new: Offsets = new.map(|p| (p, topic.partitions[p as usize].earliest)).collect();
            if !new.is_empty() {
                offsets.extend(&new);
                let id = log.id(name).unwrap();
                told.push_back(Told::Input(Input::TopicOpened { topic: keys[name], id, offsets: new }));
            }
        }
    }

    /// The shard takes what the feed has told it.
    pub fn take(&mut self, at: usize, most: usize) {
        for _ in 0..most {
            match self.nodes[at].told.pop_front() {
                Some(Told::Input(mut input)) => {
                    // Rounds that wait are handled together.
                    while let (Input::Rounds(rounds), Some(Told::Input(Input::Rounds(more)))) =
                        (&mut input, self.nodes[at].told.front_mut())
                        && self.chance.once_in(2)
                    {
                        rounds.append(more);
                        self.nodes[at].told.pop_front();
                    }
                    self.input(at, input);
                }
                Some(Told::Rules(variant)) => self.renew(at, variant),
                None => return,
            }
        }
    }

    /// A node's configuration is read again: its feed reads by it from now on, and tells the shard in its turn.
    pub fn reload(&mut self, at: usize, variant: usize) {
        let node = &mut self.nodes[at];
        let older = std::mem::replace(&mut node.rules, variants::rules(variant));
        let same = |name: &String| {
            let (then, now) = (older.topics.spec(name), node.rules.topics.spec(name));
            then.zip(now).is_some_and(|(then, now)| then.same_events(&now))
        };
        node.keys.retain(|name, _| same(name));
        node.fed.retain(|name, _| same(name));
        node.told.push_back(Told::Rules(variant));
    }

    fn renew(&mut self, at: usize, variant: usize) {
        if LOUD.get() {
            println!("node {at} takes rules {variant}");
        }
        self.log.rules[at].push(variant);
        let (moment, node) = (self.moment(), &mut self.nodes[at]);
        let (told, _) = mpsc::channel(1);
        node.shard.renew(moment, &Renewal { rules: variants::rules(variant), options: node.options.clone(), told });
        self.settle(at);
    }

    /// A topic is deleted: every feed sees it after what it has read.
    pub fn delete(&mut self, name: &str) {
        if !self.log.topics.get(name).is_some_and(|topic| topic.exists) {
            return;
        }
        self.log.delete(name);
        for at in 0..self.nodes.len() {
            let node = &mut self.nodes[at];
            if let Some((_, offsets)) = node.fed.get_mut(name) {
                offsets.clear();
                let key = node.keys[name];
                node.told.push_back(Told::Input(Input::TopicClosed(key)));
            }
            self.take(at, usize::MAX);
        }
    }
}

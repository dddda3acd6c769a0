//! What the reading thread tells of itself: what it reads, how far, what is left.
//!
//! In: its slots, the client's statistics. Out: assignment and ends in the open batch; lag and tails to the other threads.

use std::collections::{BTreeSet, HashMap};

use super::super::Reading;
use super::super::partition::Partition;
use super::super::slot::Lost;
use super::Reader;
use crate::ingest::Position;

impl Reader {
    /// What is read and what should be, where either changed. A partition of a topic that is gone is not read, although
    /// its slot waits for the topic to come back.
    pub(super) fn tell_assigned(
        &mut self,
        changed: bool,
        missing: BTreeSet<u16>,
        incomplete: &BTreeSet<u16>,
    ) {
        let awaited: BTreeSet<u16> = missing.union(incomplete).copied().collect();
        if changed || missing != self.missing {
            let read = self.slots.iter().map(|s| &s.partition).filter(|p| !missing.contains(&p.topic));
            self.open.batch.assigned = Some(read.map(Partition::position).collect());
            self.open.touch();
        }
        if awaited != self.awaited {
            self.open.batch.awaited = Some(awaited.iter().copied().collect());
            self.open.touch();
        }
        self.missing = missing;
        self.awaited = awaited;
    }

    pub(super) fn weigh(&mut self, statistics: &rdkafka::Statistics) {
        let mut lag: HashMap<u16, i64> = HashMap::new();
        for slot in &mut self.slots {
            let partition = &mut slot.partition;
            let topic = statistics.topics.get(&self.topics[usize::from(partition.topic)]);
            let Some(seen) = topic.and_then(|t| t.partitions.get(&partition.partition)) else { continue };
            slot.asks_at = seen.next_offset;
            if slot.lost == Lost::No && partition.skip_to_end(seen.fetchq_cnt, seen.eof_offset) {
                slot.remember_last(&self.open.batch);
                self.open.batch.skipped_to.push(slot.partition.checkpoint());
                self.open.touch();
            }
            let partition = &slot.partition;
            let end = self.log_ends.get(&(partition.topic, partition.partition)).copied().unwrap_or(-1);
            if let high @ 0.. = seen.hi_offset.max(end) {
                *lag.entry(partition.topic).or_default() += (high - partition.next).max(0);
            }
        }
        let mut lag: Vec<(u16, i64)> = lag.into_iter().collect();
        lag.sort_unstable();
        self.shared.change_standing(|s| s.lag = lag);
        self.tell_reading();
    }

    fn tell_reading(&self) {
        let key = |p: &Partition| (p.topic, p.partition);
        let tails = self.slots.iter().filter_map(|s| Some((key(&s.partition), s.partition.tail()?)));
        let is_busy = self.paused || self.stalled_since.is_some() || self.open.full();
        let waiting = self.slots.iter().filter(|s| !is_busy && s.lost == Lost::No);
        let waits_at = waiting.map(|s| (key(&s.partition), s.reached())).collect();
        self.shared.tell_reading(Reading { tails: tails.collect(), waits_at });
    }

    /// Partitions at their end of log; none while the broker is gone, because nobody knows.
    pub(super) fn ends(&self) -> Vec<Position> {
        let known = self.broker_up != Some(false);
        let partitions = self.slots.iter().map(|s| &s.partition);
        let is_read = |p: &&Partition| known && p.at_end && !self.missing.contains(&p.topic);
        partitions.filter(is_read).map(Partition::position).collect()
    }
}

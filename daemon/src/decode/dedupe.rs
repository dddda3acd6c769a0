//! Audit and identity logs are delivered at least once: the same event twice is dropped, the same id with
//! other content is kept and counted.
//!
//! In: event ids, content hashes and event times. Out: which rows to keep, and entries to store. An id is remembered until
//! the settled instant is past its event: the same event is late from then on, whichever partition brings it and however
//! far that one lags. Bounded by DEDUPE_IDS_MAX.

use std::collections::BTreeSet;

use ahash::RandomState;
use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::limits;

/// What is remembered of one event: 24 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// xxh3 of source number and event id; of these and the content where the id was known with another one.
    pub key: u64,
    /// xxh3 of the event's bytes.
    pub content: u64,
    /// Microseconds.
    pub event_time: i64,
}

/// What an event is, given those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not seen before.
    New,
    /// Same id, same content: dropped and counted.
    Duplicate,
    /// Same id, a content not seen with it: kept and counted.
    Conflict,
}

/// Ids of the recent past.
#[derive(Debug, Default)]
pub struct Dedupe {
    contents: HashMap<u64, u64, RandomState>,
    /// Event time and key, the oldest first.
    order: BTreeSet<(i64, u64)>,
    unsaved: Vec<Seen>,
    forgotten: u64,
}

impl Dedupe {
    /// Judges one event of the topic numbered `topic`.
    pub fn judge(&mut self, topic: u16, event_id: &str, content: u64, event_time: i64) -> Verdict {
        let key = xxh3_64_with_seed(event_id.as_bytes(), u64::from(topic));
        // A second content of the same id is remembered under both: whichever comes first, each is kept once.
        let both = xxh3_64_with_seed(&content.to_le_bytes(), key);
        let known = self.contents.get(&key).copied();
        if known == Some(content) || self.contents.contains_key(&both) {
            return Verdict::Duplicate;
        }
        let (key, verdict) = known.map_or((key, Verdict::New), |_| (both, Verdict::Conflict));
        let seen = Seen { key, content, event_time };
        self.remember(seen);
        self.unsaved.push(seen);
        verdict
    }

    /// Puts back what was stored.
    pub fn restore(&mut self, seen: impl Iterator<Item = Seen>) {
        for entry in seen {
            self.remember(entry);
        }
    }

    /// Entries since the last call, as bytes to store.
    pub fn take_unsaved(&mut self) -> Vec<u8> {
        let entries = std::mem::take(&mut self.unsaved);
        entries
            .iter()
            .flat_map(|s| [s.key.to_le_bytes(), s.content.to_le_bytes(), s.event_time.to_le_bytes()])
            .flatten()
            .collect()
    }

    /// Everything still remembered, as bytes to store in place of older segments.
    pub fn export(&mut self) -> Vec<u8> {
        let seen = |(event_time, key): &(i64, u64)| {
            let content = self.contents.get(key).copied()?;
            Some(Seen { key: *key, content, event_time: *event_time })
        };
        self.unsaved = self.order.iter().filter_map(seen).collect();
        self.take_unsaved()
    }

    /// Forgets events before `settled`: they are late if they come again.
    pub fn forget_before(&mut self, settled: i64) {
        while let Some((event_time, key)) = self.order.first().copied()
            && event_time < settled
        {
            self.order.pop_first();
            self.contents.remove(&key);
        }
    }

    /// Ids that were forgotten for want of room since the last call.
    pub fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }

    fn remember(&mut self, seen: Seen) {
        self.contents.insert(seen.key, seen.content);
        self.order.insert((seen.event_time, seen.key));
        if self.order.len() > limits::DEDUPE_IDS_MAX
            && let Some((_, key)) = self.order.pop_first()
        {
            self.contents.remove(&key);
            self.forgotten += 1;
        }
    }
}

/// Entries of stored bytes; a torn tail is left out.
pub fn decode(bytes: &[u8]) -> impl Iterator<Item = Seen> + '_ {
    bytes.chunks_exact(24).map(|chunk| {
        let word =
            |i: usize| <[u8; 8]>::try_from(&chunk[i * 8..i * 8 + 8]).expect("eight of twenty-four bytes");
        Seen {
            key: u64::from_le_bytes(word(0)),
            content: u64::from_le_bytes(word(1)),
            event_time: i64::from_le_bytes(word(2)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    #[test]
    fn same_event_is_dropped_and_same_id_with_other_content_is_kept() {
        let mut dedupe = Dedupe::default();
        let verdicts =
            [(0, "a", 1), (0, "a", 1), (0, "a", 2), (1, "a", 1)].map(|(t, id, c)| dedupe.judge(t, id, c, 0));
        assert_eq!(verdicts, [Verdict::New, Verdict::Duplicate, Verdict::Conflict, Verdict::New]);
    }

    #[test]
    fn each_content_of_an_id_is_kept_once_in_whatever_order_they_come() {
        for contents in [[1, 2, 2, 1], [2, 1, 2, 1], [1, 1, 2, 2]] {
            let mut dedupe = Dedupe::default();
            let kept = contents.map(|content| dedupe.judge(0, "a", content, content as i64));
            assert_eq!(kept.iter().filter(|v| **v != Verdict::Duplicate).count(), 2, "{contents:?}");
            dedupe.forget_before(2);
            assert_eq!(dedupe.judge(0, "a", 2, 2), Verdict::Duplicate, "{contents:?}");
        }
    }

    #[test]
    fn what_was_stored_is_known_after_a_restart() {
        let mut before = Dedupe::default();
        before.judge(0, "a", 1, 7);
        let bytes = before.take_unsaved();
        let mut after = Dedupe::default();
        after.restore(decode(&bytes));
        assert_eq!(after.judge(0, "a", 1, 7), Verdict::Duplicate);
    }

    #[test]
    fn ids_are_known_until_their_events_are_late_however_far_another_partition_is_ahead() {
        let mut dedupe = Dedupe::default();
        dedupe.judge(0, "a", 1, 0);
        dedupe.judge(0, "b", 1, 200 * HOUR);
        assert_eq!(dedupe.judge(0, "a", 1, 0), Verdict::Duplicate);
        dedupe.forget_before(1);
        assert_eq!(dedupe.judge(0, "a", 1, 0), Verdict::New);
        assert_eq!(dedupe.judge(0, "b", 1, 200 * HOUR), Verdict::Duplicate);
    }

    #[test]
    fn beyond_the_bound_the_oldest_are_forgotten_and_counted() {
        let mut dedupe = Dedupe::default();
        let known = limits::DEDUPE_IDS_MAX as i64;
        for n in 0..known + 3 {
            assert_eq!(dedupe.judge(0, &n.to_string(), 1, n), Verdict::New);
        }
        assert_eq!((dedupe.take_forgotten(), dedupe.take_forgotten()), (3, 0));
        assert_eq!(dedupe.judge(0, "3", 1, 3), Verdict::Duplicate);
        assert_eq!(dedupe.judge(0, "0", 1, 0), Verdict::New);
        assert_eq!(dedupe.export().len(), 24 * limits::DEDUPE_IDS_MAX);
    }
}

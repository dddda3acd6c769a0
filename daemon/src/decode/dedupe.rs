//! Audit and identity logs are delivered at least once: the same event twice is dropped, the same id with
//! other content is kept and counted.
//!
//! In: event ids, content hashes and event times. Out: which rows to keep, and entries to store. Bounded by
//! DEDUPE_IDS_MAX and DEDUPE_WINDOW_SECONDS of event time.

use std::collections::VecDeque;

use ahash::RandomState;
use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::limits;

/// What is remembered of one event: 24 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// xxh3 of source number and event id.
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
    /// Same id, other content: kept and counted.
    Conflict,
}

/// Ids of the recent past.
#[derive(Debug, Default)]
pub struct Dedupe {
    contents: HashMap<u64, u64, RandomState>,
    order: VecDeque<Seen>,
    unsaved: Vec<Seen>,
    newest: i64,
}

impl Dedupe {
    /// Judges one event of the topic numbered `topic`.
    pub fn judge(&mut self, topic: u16, event_id: &str, content: u64, event_time: i64) -> Verdict {
        let key = xxh3_64_with_seed(event_id.as_bytes(), u64::from(topic));
        match self.contents.get(&key) {
            Some(known) if *known == content => Verdict::Duplicate,
            Some(_) => Verdict::Conflict,
            None => {
                let seen = Seen { key, content, event_time };
                self.remember(seen);
                self.unsaved.push(seen);
                Verdict::New
            }
        }
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
        self.unsaved = self.order.iter().copied().collect();
        self.take_unsaved()
    }

    fn remember(&mut self, seen: Seen) {
        self.contents.insert(seen.key, seen.content);
        self.order.push_back(seen);
        self.newest = self.newest.max(seen.event_time);
        let oldest = self.newest - limits::DEDUPE_WINDOW_SECONDS * 1_000_000;
        while self.order.front().is_some_and(|s| s.event_time < oldest)
            || self.order.len() > limits::DEDUPE_IDS_MAX
        {
            if let Some(old) = self.order.pop_front() {
                self.contents.remove(&old.key);
            }
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
    fn what_was_stored_is_known_after_a_restart() {
        let mut before = Dedupe::default();
        before.judge(0, "a", 1, 7);
        let bytes = before.take_unsaved();
        let mut after = Dedupe::default();
        after.restore(decode(&bytes));
        assert_eq!(after.judge(0, "a", 1, 7), Verdict::Duplicate);
    }

    #[test]
    fn ids_older_than_the_window_are_forgotten() {
        let mut dedupe = Dedupe::default();
        dedupe.judge(0, "a", 1, 0);
        dedupe.judge(0, "b", 1, 2 * HOUR);
        assert_eq!(dedupe.judge(0, "a", 1, 2 * HOUR), Verdict::New);
    }
}

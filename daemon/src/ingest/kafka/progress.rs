//! Whether what the broker has is read: a client can stop fetching a partition without an error.
//!
//! librdkafka 2.12.1 leaves a partition with a broker that does not lead it (its pull request 5593), or takes a leader
//! from memory that nobody wrote (its issue 5280), after leaders have moved; then only a new client reads on.
//! In: how far each partition is read, and where its log ends. Out: those that stand still. Pure: no client.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::limits;

/// Topic number and partition.
pub(super) type Key = (u16, i32);

/// How far one partition is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reached {
    /// NEXT offset.
    pub(super) next: i64,
    /// Where its client asks the broker next: it passes over messages of aborted transactions without a word.
    pub(super) asks_at: i64,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    looked_at: Option<Instant>,
    partitions: BTreeMap<Key, Standstill>,
}

/// One partition.
#[derive(Debug)]
struct Standstill {
    reached: Reached,
    /// End of log at the last look.
    high: i64,
    /// For so long nothing was read although there was something.
    stood: Duration,
    /// For so long that is nothing unusual.
    patience: Duration,
}

impl Standstill {
    fn new(reached: Reached, high: i64) -> Self {
        Self { reached, high, stood: Duration::ZERO, patience: Duration::from_millis(limits::STUCK_AFTER_MS) }
    }
}

impl Progress {
    /// One look. `read`: how far each partition is read that should be read right now; `ends`: where the logs ended just now.
    /// A partition that stands still is told again only after twice as long, until it moves. However long nobody looked, it
    /// counts as one interval: what is read meanwhile is told a moment later, as after a process was stopped.
    pub(super) fn look(
        &mut self,
        read: &BTreeMap<Key, Reached>,
        ends: &BTreeMap<Key, i64>,
        now: Instant,
    ) -> Vec<Key> {
        let since = now.duration_since(self.looked_at.replace(now).unwrap_or(now));
        let interval = since.min(Duration::from_millis(limits::METADATA_INTERVAL_MS));
        for (key, standstill) in &mut self.partitions {
            if !read.contains_key(key) || !ends.contains_key(key) {
                standstill.stood = Duration::ZERO;
            }
        }
        let mut stuck = Vec::new();
        for (key, reached) in read {
            let Some(high) = ends.get(key) else { continue };
            let known =
                self.partitions.entry(*key).or_insert_with(|| Standstill::new(*reached, reached.next));
            if known.reached != *reached {
                *known = Standstill::new(*reached, *high);
            } else if known.high <= reached.next {
                // What there is by now may have come a moment ago.
                known.stood = Duration::ZERO;
            } else {
                known.stood += interval;
            }
            if known.stood >= known.patience {
                stuck.push(*key);
                known.stood = Duration::ZERO;
                let most = Duration::from_millis(limits::STUCK_AGAIN_AFTER_MS_MAX);
                known.patience = known.patience.saturating_mul(2).min(most);
            }
            known.high = *high;
        }
        stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = (0, 3);
    const LOOK: Duration = Duration::from_millis(limits::METADATA_INTERVAL_MS);

    /// The seconds after which a partition is told, if it is looked at every five seconds; `at` says how far it is read and
    /// where it ends then.
    fn told(at: impl Fn(u64) -> (Option<i64>, i64)) -> Vec<u64> {
        told_at((0..120).step_by(5), at)
    }

    fn told_at(looks: impl IntoIterator<Item = u64>, at: impl Fn(u64) -> (Option<i64>, i64)) -> Vec<u64> {
        let (mut progress, start, mut told) = (Progress::default(), Instant::now(), Vec::new());
        for second in looks {
            let (next, high) = at(second);
            let read = next.map(|next| (KEY, Reached { next, asks_at: next })).into_iter().collect();
            let ends = BTreeMap::from([(KEY, high)]);
            let stuck = progress.look(&read, &ends, start + Duration::from_secs(second));
            told.extend(stuck.iter().map(|_| second));
        }
        told
    }

    #[test]
    fn partition_that_stands_still_before_its_end_is_told_at_growing_intervals() {
        assert_eq!(LOOK, Duration::from_secs(5), "the times below are multiples of it");
        assert_eq!(told(|_| (Some(7), 10)), [10, 30, 70]);
    }

    #[test]
    fn partition_at_its_end_or_read_or_hardly_fed_is_not_told() {
        assert_eq!(told(|_| (Some(10), 10)), [0; 0]);
        assert_eq!(told(|second| (Some(second as i64), 1_000)), [0; 0]);
        // A message at each look, read before the next.
        assert_eq!(told(|second| (Some(second as i64), second as i64 + 1)), [0; 0]);
    }

    #[test]
    fn partition_that_moved_is_told_as_soon_as_the_first_time() {
        let at = |second| if second < 40 { (Some(7), 10) } else { (Some(8), 10) };
        assert_eq!(told(at), [10, 30, 50, 70, 110]);
    }

    #[test]
    fn time_in_which_nobody_should_read_does_not_count() {
        let at = |second| (Some(7).filter(|_| !(10..60).contains(&second)), 10);
        assert_eq!(told(at), [65, 85]);
    }

    #[test]
    fn time_in_which_nobody_looked_counts_for_one_look() {
        // A process that was stopped for ten minutes: what was read up to then is all that is known just after.
        let at = |second| if second <= 600 { (Some(7), 10) } else { (Some(10), 10) };
        assert_eq!(told_at([0, 600, 605, 610], at), [0; 0]);
        assert_eq!(told_at([0, 600, 605, 610], |_| (Some(7), 10)), [605]);
    }

    #[test]
    fn client_that_passes_over_messages_without_a_word_does_not_stand_still() {
        let (mut progress, start) = (Progress::default(), Instant::now());
        let ends = BTreeMap::from([(KEY, 1_000)]);
        for second in (0..120).step_by(5) {
            let read = BTreeMap::from([(KEY, Reached { next: 7, asks_at: 7 + second as i64 })]);
            let stuck = progress.look(&read, &ends, start + Duration::from_secs(second));
            assert!(stuck.is_empty(), "{second} s");
        }
    }
}

//! Event time: how far every source has come, and when silence means there is nothing more.
//!
//! In: event times by partition, ends of log, the wall clock as a value. Out: the watermark, microseconds.
//! It never goes back. Nothing here reads a clock.

use std::collections::BTreeMap;

use crate::config::{Clock, TimeConfig};
use crate::ingest::Position;
use crate::limits;

/// No event can be older: 1970.
pub const START_OF_TIME: i64 = 0;

/// One partition's progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    newest_event: i64,
    /// Wall clock at which it was first seen at its end of log without a message since.
    at_end_since: Option<i64>,
    idle: bool,
    /// Wall clock of the first and the last of the messages of which none told a time that could be used.
    unusable: Option<(i64, i64)>,
    /// Whether it is read in this run. One that is only remembered may be gone, and holds nothing.
    is_read: bool,
}

const UNSEEN: Progress =
    Progress { newest_event: START_OF_TIME, at_end_since: None, idle: false, unusable: None, is_read: true };

/// A partition by topic number and partition number.
pub type Partition = (u16, i32);

/// The watermark of all sources.
#[derive(Debug)]
pub struct Watermark {
    time: TimeConfig,
    partitions: BTreeMap<Partition, Progress>,
    /// Topics whose partitions are not all known, and the wall clock at which that was first said.
    awaited: BTreeMap<u16, i64>,
    current: i64,
    newest_event: i64,
}

/// What is remembered across a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatermarkState {
    /// The watermark.
    pub current: i64,
    /// The newest event of all.
    pub newest_event: i64,
    /// Newest event and idleness by partition.
    pub partitions: Vec<(Partition, i64, bool)>,
}

impl Watermark {
    /// Before the first event.
    pub fn new(time: &TimeConfig) -> Self {
        Self {
            time: time.clone(),
            partitions: BTreeMap::new(),
            awaited: BTreeMap::new(),
            current: START_OF_TIME,
            newest_event: START_OF_TIME,
        }
    }

    /// Goes on where a state stopped.
    pub fn restore(&mut self, state: &WatermarkState) {
        self.current = state.current;
        self.newest_event = state.newest_event;
        for (partition, newest_event, _) in &state.partitions {
            let remembered = Progress { newest_event: *newest_event, is_read: false, ..UNSEEN };
            self.partitions.insert(*partition, remembered);
        }
    }

    /// What to remember.
    pub fn state(&self) -> WatermarkState {
        let partitions = self.partitions.iter().map(|(p, s)| (*p, s.newest_event, s.idle)).collect();
        WatermarkState { current: self.current, newest_event: self.newest_event, partitions }
    }

    /// These partitions are read and no others; one that has not spoken yet holds the watermark until it is idle.
    pub fn assign(&mut self, partitions: impl Iterator<Item = Partition>) {
        self.partitions.values_mut().for_each(|progress| progress.is_read = false);
        for partition in partitions {
            self.partitions.entry(partition).or_insert(UNSEEN).is_read = true;
        }
    }

    /// Partitions of these topics, and of no others, are not all known: a broker that has just started, an election, or
    /// a topic that is not there. Nothing moves for TOPIC_GRACE_MS: what they hold may be older than all the rest.
    pub fn await_topics(&mut self, topics: &[u16], now: i64) {
        self.awaited.retain(|topic, _| topics.contains(topic));
        for topic in topics {
            self.awaited.entry(*topic).or_insert(now);
        }
    }

    fn is_awaiting(&self, now: i64) -> bool {
        let grace = limits::TOPIC_GRACE_MS * 1_000;
        // A clock that was set back says nothing of when it began.
        self.awaited.values().any(|since| (0..grace).contains(&now.saturating_sub(*since)))
    }

    /// An event of a partition that is [`Watermark::alive`]. One too far ahead of the message's time moves nothing, nor
    /// does one ahead of `now` where the clock counts: a producer may write any time into a message. Returns whether it
    /// did.
    pub fn observe(
        &mut self,
        partition: Partition,
        event_time: i64,
        message_ms: Option<i64>,
        now: i64,
    ) -> bool {
        let message = message_ms.map(|ms| ms.saturating_mul(1_000));
        let known = match self.time.clock {
            Clock::Wall => Some(message.map_or(now, |at| at.min(now))),
            Clock::Log => message,
        };
        let bound = known.map(|at| at.saturating_add(limits::FUTURE_SKEW_SECONDS_MAX * 1_000_000));
        if bound.is_some_and(|bound| event_time > bound) {
            return false;
        }
        let progress = self.partitions.entry(partition).or_insert(UNSEEN);
        progress.unusable = None;
        progress.newest_event = progress.newest_event.max(event_time);
        self.newest_event = self.newest_event.max(event_time);
        true
    }

    /// A message shows that the partition is alive. Until an event of it is observed, it is one that tells no time.
    pub fn alive(&mut self, partition: Partition, now: i64) {
        let progress = self.partitions.entry(partition).or_insert(UNSEEN);
        progress.at_end_since = None;
        progress.idle = false;
        progress.unusable = Some((progress.unusable.map_or(now, |(first, _)| first), now));
    }

    /// No event is kept from this instant on: it would wait there for its time to come.
    pub fn future(&self, now: i64) -> i64 {
        let newest = match self.time.clock {
            Clock::Wall => self.newest_event.max(now),
            Clock::Log => self.newest_event,
        };
        newest.saturating_add(limits::FUTURE_KEPT_SECONDS_MAX * 1_000_000)
    }

    /// The partition stands at its end of log.
    pub fn at_end(&mut self, position: Position, now: i64) {
        let progress = self.partitions.entry((position.topic, position.partition)).or_insert(UNSEEN);
        progress.at_end_since.get_or_insert(now);
    }

    /// The broker is gone, or the clock has leapt: whether a partition stands at its end of log is not known until
    /// the source says it again. Silence alone never moves the watermark.
    pub fn forget_ends(&mut self) {
        for progress in self.partitions.values_mut() {
            progress.at_end_since = None;
            progress.idle = false;
            progress.unusable = None;
        }
    }

    /// While the clock counts, a partition that brings only what tells no time holds nobody up.
    fn is_unusable(&self, progress: &Progress, now: i64) -> bool {
        let grace = limits::UNUSABLE_GRACE_MS * 1_000;
        let tells_nothing = |(first, last): (i64, i64)| now - first >= grace && now - last < grace;
        self.time.clock == Clock::Wall && progress.unusable.is_some_and(tells_nothing)
    }

    /// Moves on: the minimum over partitions that are not idle, less the lateness; once all are idle, what
    /// the clock says. `now` is the wall clock, microseconds.
    pub fn advance(&mut self, now: i64) -> i64 {
        let idle_after = i64::from(self.time.idle_after_ms) * 1_000;
        for progress in self.partitions.values_mut().filter(|p| p.is_read) {
            progress.idle =
                progress.at_end_since.is_some_and(|since| now.saturating_sub(since) >= idle_after);
        }
        let holds = |p: &&Progress| p.is_read && !p.idle && !self.is_unusable(p, now);
        let behind = self.partitions.values().filter(holds).map(|progress| progress.newest_event).min();
        let lateness = i64::from(self.time.lateness_seconds) * 1_000_000;
        let reached = match (behind, self.time.clock) {
            _ if self.is_awaiting(now) => self.current,
            (Some(newest_event), _) => newest_event.saturating_sub(lateness),
            (None, _) if !self.reads_any() => START_OF_TIME,
            (None, Clock::Wall) => now.saturating_sub(lateness),
            (None, Clock::Log) => self.close_of_log(),
        };
        self.current = self.current.max(reached);
        self.current
    }

    /// One grid interval after the newest event: everything that came is seen.
    fn close_of_log(&self) -> i64 {
        if self.newest_event == START_OF_TIME {
            return START_OF_TIME;
        }
        let grid = i64::from(self.time.grid_seconds) * 1_000_000;
        self.newest_event.div_euclid(grid) * grid + grid
    }

    /// The watermark.
    pub fn current(&self) -> i64 {
        self.current
    }

    /// Whether every partition that is read is idle.
    pub fn is_idle(&self) -> bool {
        self.reads_any() && self.partitions.values().all(|p| p.idle || !p.is_read)
    }

    fn reads_any(&self) -> bool {
        self.partitions.values().any(|p| p.is_read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn watermark(clock: Clock) -> Watermark {
        Watermark::new(&TimeConfig { clock, grid_seconds: 60, lateness_seconds: 100, idle_after_ms: 1_000 })
    }

    fn end(partition: i32) -> Position {
        Position { topic: 0, partition, offset: 0 }
    }

    #[test]
    fn slowest_partition_holds_the_watermark_until_it_is_idle() {
        let mut watermark = watermark(Clock::Log);
        watermark.assign([(0, 0), (0, 1)].into_iter());
        watermark.observe((0, 0), 1_000 * SECOND, None, 0);
        assert_eq!(watermark.advance(0), START_OF_TIME, "partition 1 has not spoken");
        watermark.observe((0, 1), 500 * SECOND, None, 0);
        assert_eq!(watermark.advance(0), 400 * SECOND);
        watermark.at_end(end(1), 0);
        assert_eq!(watermark.advance(SECOND / 2), 400 * SECOND, "end of log is not yet idle");
        assert_eq!(watermark.advance(SECOND), 900 * SECOND);
    }

    #[test]
    fn all_idle_closes_the_log_or_follows_the_clock() {
        for (clock, expected) in [(Clock::Log, 1_020), (Clock::Wall, 4_900)] {
            let mut watermark = watermark(clock);
            watermark.observe((0, 0), 1_000 * SECOND, None, 0);
            watermark.at_end(end(0), 0);
            assert_eq!(watermark.advance(5_000 * SECOND), expected * SECOND);
        }
    }

    #[test]
    fn lost_broker_holds_the_watermark_until_the_end_of_log_is_seen_again() {
        let mut watermark = watermark(Clock::Log);
        watermark.observe((0, 0), 1_000 * SECOND, None, 0);
        watermark.at_end(end(0), 0);
        watermark.forget_ends();
        assert_eq!(watermark.advance(5_000 * SECOND), 900 * SECOND);
        watermark.at_end(end(0), 5_000 * SECOND);
        assert_eq!(watermark.advance(5_001 * SECOND), 1_020 * SECOND);
    }

    #[test]
    fn topic_that_is_not_known_yet_holds_the_watermark_for_a_while() {
        let (start, grace) = (5_000 * SECOND, limits::TOPIC_GRACE_MS * 1_000);
        for clock in [Clock::Log, Clock::Wall] {
            let mut watermark = watermark(clock);
            watermark.await_topics(&[1, 2], start);
            watermark.observe((0, 0), 1_000 * SECOND, None, 0);
            watermark.at_end(end(0), start);
            watermark.await_topics(&[2], start + SECOND);
            assert_eq!(watermark.advance(start + grace - 1), START_OF_TIME, "topic 2 may hold what is older");
            let after = watermark.advance(start + grace);
            assert_ne!(after, START_OF_TIME, "a name that nobody has holds nothing up");
        }
    }

    #[test]
    fn partition_that_is_remembered_and_not_read_holds_nothing() {
        let mut before = watermark(Clock::Log);
        before.observe((0, 0), 100 * SECOND, None, 0);
        before.observe((0, 1), 100 * SECOND, None, 0);
        let mut after = watermark(Clock::Log);
        after.restore(&before.state());
        assert!(!after.is_idle());
        after.assign([(0, 1)].into_iter());
        after.observe((0, 1), 1_000 * SECOND, None, 0);
        assert_eq!(after.advance(0), 900 * SECOND);
        after.at_end(end(1), 0);
        assert_eq!(after.advance(SECOND), 1_020 * SECOND);
        assert!(after.is_idle());
    }

    #[test]
    fn event_far_ahead_of_the_broker_moves_nothing() {
        let mut watermark = watermark(Clock::Log);
        assert!(watermark.observe((0, 0), 1_000 * SECOND, Some(1_000_000), 0));
        assert!(!watermark.observe((0, 0), 1_301 * SECOND, Some(1_000_000), 0));
        assert_eq!(watermark.advance(0), 900 * SECOND);
    }

    #[test]
    fn time_that_a_producer_writes_into_its_messages_is_not_believed_against_the_clock() {
        let mut watermark = watermark(Clock::Wall);
        let now = 1_000 * SECOND;
        assert!(watermark.observe((0, 0), now, Some(1_000_000), now));
        assert!(!watermark.observe((0, 0), 9_000 * SECOND, Some(9_000_000), now));
        assert_eq!(watermark.advance(now), 900 * SECOND);
        assert_eq!(watermark.future(now), now + limits::FUTURE_KEPT_SECONDS_MAX * SECOND);
    }

    #[test]
    fn partition_that_tells_no_time_holds_the_others_up_for_a_while_only() {
        let grace = limits::UNUSABLE_GRACE_MS * 1_000;
        let start = 5_000 * SECOND;
        let mut watermark = watermark(Clock::Wall);
        watermark.assign([(0, 0), (0, 1)].into_iter());
        let good = |watermark: &mut Watermark, now: i64| {
            watermark.alive((0, 0), now);
            watermark.observe((0, 0), now, None, now);
        };
        for now in (start..=start + grace).step_by(10_000_000) {
            good(&mut watermark, now);
            watermark.alive((0, 1), now);
            let held = now < start + grace;
            let expected = if held { START_OF_TIME } else { now - 100 * SECOND };
            assert_eq!(watermark.advance(now), expected);
        }
        let now = start + grace + SECOND;
        watermark.alive((0, 1), now);
        watermark.observe((0, 1), now - 200 * SECOND, None, now);
        good(&mut watermark, now);
        assert_eq!(
            watermark.advance(now),
            start + grace - 100 * SECOND,
            "it tells the time again, and holds"
        );
    }

    #[test]
    fn watermark_never_goes_back() {
        let mut watermark = watermark(Clock::Log);
        watermark.observe((0, 0), 1_000 * SECOND, None, 0);
        assert_eq!(watermark.advance(0), 900 * SECOND);
        watermark.observe((0, 1), 10 * SECOND, None, 0);
        assert_eq!(watermark.advance(0), 900 * SECOND);
    }
}

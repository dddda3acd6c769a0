//! One partition: where reading starts, and whether what arrives continues what was read.
//!
//! In: a checkpoint, the log's watermarks, offsets and payloads as they arrive. Out: a start, notices, verdicts.
//! Pure: no client, no clock.

use rdkafka::Offset;

use super::super::{Checkpoint, Position, Seam, SourceNotice, payload_hash};
use super::watermarks::Watermarks;

/// Where reading a partition starts, decided from its checkpoint and its watermarks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Placement {
    /// What is given to `assign`: where the seam is checked, the last message before `next`.
    pub(super) start: Offset,
    /// Next offset that counts as new.
    pub(super) next: i64,
    /// What that message must look like.
    pub(super) seam: Option<Seam>,
    /// What a person must know of it.
    pub(super) notice: Option<SourceNotice>,
}

/// The end of what was handed on. No message up to `last` is newer than `newest_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) last: Seam,
    pub(super) newest_ms: i64,
}

/// Where to start. Nothing of the log may have been read after `log` was asked for: where it ends before what was read,
/// it is another one.
pub(super) fn place(checkpoint: Option<&Checkpoint>, log: Watermarks) -> Placement {
    let Some(checkpoint) = checkpoint else {
        return Placement { start: Offset::Beginning, next: log.low, seam: None, notice: None };
    };
    let position = checkpoint.position;
    let next = position.offset;
    if next > log.high {
        return recreated(position, log.low);
    }
    if next < log.low {
        let notice = SourceNotice::RetentionGap { position, resumed_at: log.low, lost: log.low - next };
        return Placement { start: Offset::Offset(log.low), next: log.low, seam: None, notice: Some(notice) };
    }
    let seam = checkpoint.seam.filter(|seam| seam.offset >= log.low);
    let start = seam.map_or(next, |seam| seam.offset);
    Placement { start: Offset::Offset(start), next, seam, notice: None }
}

/// Where to start when the log seems to be another one than when `tail` was its end: at that message, to
/// compare it. What was read since is passed over, also what was read after `log` was asked for.
pub(super) fn place_in_doubt(checkpoint: &Checkpoint, tail: Tail, log: Watermarks) -> Placement {
    if log.high <= tail.last.offset {
        return place(Some(checkpoint), log);
    }
    let usual = place(Some(checkpoint), Watermarks { high: log.high.max(checkpoint.position.offset), ..log });
    if usual.notice.is_some() || tail.last.offset < log.low || tail.last.offset >= usual.next {
        return usual;
    }
    Placement { start: Offset::Offset(tail.last.offset), seam: Some(tail.last), ..usual }
}

/// Another log stands where ours was: everything in it is new.
fn recreated(position: Position, low: i64) -> Placement {
    let notice = SourceNotice::TopicRecreated { position, resumed_at: low };
    Placement { start: Offset::Beginning, next: low, seam: None, notice: Some(notice) }
}

/// What a message means for its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// New: to be handed on.
    New,
    /// Read before, as expected.
    Known,
    /// At the seam stands another message than the one that was read.
    AnotherLog,
}

/// How far one partition is read.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) topic: u16,
    pub(super) partition: i32,
    pub(super) next: i64,
    pub(super) at_end: bool,
    low: i64,
    seam: Option<Seam>,
    last: Option<Seam>,
    newest_ms: Option<i64>,
    quiet_looks: u8,
}

impl Partition {
    /// A partition that is read from `placement` on.
    pub(super) fn new(topic: u16, partition: i32, low: i64, placement: &Placement) -> Self {
        let mut new = Self {
            topic,
            partition,
            next: 0,
            at_end: false,
            low,
            seam: None,
            last: None,
            newest_ms: None,
            quiet_looks: 0,
        };
        new.restart(low, placement);
        new
    }

    /// Reading goes on from `placement`.
    pub(super) fn restart(&mut self, low: i64, placement: &Placement) {
        self.low = low;
        self.next = placement.next;
        self.seam = placement.seam;
        // Behind a notice stands another log, or one that lost what was read of it.
        self.last = self.last.or(placement.seam).filter(|_| placement.notice.is_none());
        self.newest_ms = self.newest_ms.max(self.last.and_then(|l| l.timestamp_ms));
        self.at_end = false;
        self.quiet_looks = 0;
    }

    /// The start after [`Arrival::AnotherLog`].
    pub(super) fn beginning(&self) -> (i64, Placement) {
        (self.low, recreated(self.position(), self.low))
    }

    /// NEXT offset.
    pub(super) fn position(&self) -> Position {
        Position { topic: self.topic, partition: self.partition, offset: self.next }
    }

    /// What the store would remember of it right now.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        Checkpoint { position: self.position(), seam: self.last }
    }

    /// The end of what was handed on, where the log tells times.
    pub(super) fn tail(&self) -> Option<Tail> {
        Some(Tail { last: self.last?, newest_ms: self.newest_ms? })
    }

    /// A message arrived.
    pub(super) fn arrive(&mut self, offset: i64, timestamp_ms: Option<i64>, payload: &[u8]) -> Arrival {
        if let Some(seam) = self.seam.take()
            && offset == seam.offset
        {
            let same_time = seam.timestamp_ms.is_none() || seam.timestamp_ms == timestamp_ms;
            let same = same_time && seam.payload_hash == payload_hash(payload);
            return if same { Arrival::Known } else { Arrival::AnotherLog };
        }
        if offset < self.next {
            return Arrival::Known;
        }
        self.next = offset + 1;
        self.newest_ms = self.newest_ms.max(timestamp_ms);
        self.at_end = false;
        self.quiet_looks = 0;
        Arrival::New
    }

    /// The end of log was reached; true if it was not known.
    pub(super) fn reach_end(&mut self) -> bool {
        self.seam = None;
        !std::mem::replace(&mut self.at_end, true)
    }

    /// Whether the log goes on is not known any more.
    pub(super) fn leave_end(&mut self) {
        self.at_end = false;
    }

    /// Remembers the last message that was handed on.
    pub(super) fn remember(&mut self, last: Seam) {
        self.last = Some(last);
    }

    /// One look at the client's statistics: an empty prefetch queue and where the client saw the end of log.
    /// True if the log ends in records that are not messages (transaction markers) and reading stands past
    /// them now. Two looks in a row, because a look may be older than the last restart.
    pub(super) fn skip_to_end(&mut self, prefetched: i64, end: i64) -> bool {
        if !self.at_end || prefetched != 0 || end <= self.next {
            self.quiet_looks = 0;
            return false;
        }
        self.quiet_looks += 1;
        if self.quiet_looks < 2 {
            return false;
        }
        self.quiet_looks = 0;
        self.next = end;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: Watermarks = Watermarks { low: 10, high: 20 };

    fn checkpoint(offset: i64, payload: &[u8]) -> Checkpoint {
        Checkpoint {
            position: Position { topic: 0, partition: 3, offset },
            seam: Some(seam(offset - 1, payload)),
        }
    }

    fn seam(offset: i64, payload: &[u8]) -> Seam {
        Seam { offset, payload_hash: payload_hash(payload), timestamp_ms: Some(7) }
    }

    fn check(offset: i64, start: Offset, next: i64, notice: Option<SourceNotice>) {
        let placement = place(Some(&checkpoint(offset, b"x")), LOG);
        assert_eq!((placement.start, placement.next, placement.notice), (start, next, notice), "at {offset}");
    }

    #[test]
    fn start_follows_from_checkpoint_and_watermarks() {
        let at = |offset| Position { topic: 0, partition: 3, offset };
        check(15, Offset::Offset(14), 15, None);
        check(20, Offset::Offset(19), 20, None);
        check(10, Offset::Offset(10), 10, None);
        let gap = SourceNotice::RetentionGap { position: at(4), resumed_at: 10, lost: 6 };
        check(4, Offset::Offset(10), 10, Some(gap));
        let other = SourceNotice::TopicRecreated { position: at(21), resumed_at: 10 };
        check(21, Offset::Beginning, 10, Some(other));
        assert_eq!(place(None, LOG).start, Offset::Beginning);
    }

    fn seam_at_15() -> Partition {
        Partition::new(0, 3, 10, &place(Some(&checkpoint(15, b"x")), LOG))
    }

    #[test]
    fn message_at_the_seam_is_compared_and_not_read_twice() {
        assert_eq!(seam_at_15().arrive(14, Some(7), b"x"), Arrival::Known);
        assert_eq!(seam_at_15().arrive(14, Some(7), b"y"), Arrival::AnotherLog);
        assert_eq!(seam_at_15().arrive(14, Some(8), b"x"), Arrival::AnotherLog);
    }

    #[test]
    fn doubted_log_is_compared_where_it_was_certain_and_nothing_is_read_twice() {
        let now = checkpoint(18, b"z");
        let tail = Tail { last: seam(14, b"x"), newest_ms: 7 };
        let placement = place_in_doubt(&now, tail, LOG);
        assert_eq!((placement.start, placement.next), (Offset::Offset(14), 18));
        let mut same = Partition::new(0, 3, 10, &placement);
        assert_eq!(same.arrive(14, Some(7), b"x"), Arrival::Known);
        assert_eq!(same.arrive(17, Some(9), b"z"), Arrival::Known);
        assert_eq!(same.arrive(18, Some(9), b"z"), Arrival::New);
        assert_eq!(Partition::new(0, 3, 10, &placement).arrive(14, Some(8), b"x"), Arrival::AnotherLog);
        let before_the_rest_was_read = Watermarks { low: 10, high: 16 };
        assert_eq!(place_in_doubt(&now, tail, before_the_rest_was_read), placement);
        let shorter = Watermarks { low: 10, high: 14 };
        assert!(matches!(
            place_in_doubt(&now, tail, shorter).notice,
            Some(SourceNotice::TopicRecreated { .. })
        ));
        let cut = Watermarks { low: 15, high: 20 };
        assert_eq!(place_in_doubt(&now, tail, cut), place(Some(&now), cut));
    }

    #[test]
    fn seam_that_was_compacted_away_is_no_other_log() {
        let mut partition = seam_at_15();
        assert_eq!(partition.arrive(17, Some(9), b"z"), Arrival::New);
        assert_eq!(partition.next, 18);
        assert_eq!(partition.arrive(16, Some(9), b"z"), Arrival::Known);
    }

    #[test]
    fn markers_at_the_end_count_as_read_after_two_quiet_looks() {
        let mut partition = seam_at_15();
        assert!(!partition.skip_to_end(0, 16));
        assert!(partition.reach_end());
        assert!(!partition.skip_to_end(0, 16));
        assert!(!partition.skip_to_end(1, 16));
        assert!(!partition.skip_to_end(0, 16));
        assert!(partition.skip_to_end(0, 16));
        assert_eq!(partition.next, 16);
    }

    #[test]
    fn last_message_is_compared_also_from_behind_markers() {
        let mut partition = seam_at_15();
        partition.reach_end();
        assert!(!partition.skip_to_end(0, 18) && partition.skip_to_end(0, 18));
        let checkpoint = partition.checkpoint();
        assert_eq!((checkpoint.position.offset, checkpoint.seam), (18, Some(seam(14, b"x"))));
        let placement = place(Some(&checkpoint), LOG);
        assert_eq!((placement.start, placement.next), (Offset::Offset(14), 18));
        let restarted = || Partition::new(0, 3, 10, &placement);
        assert_eq!(restarted().arrive(14, Some(7), b"y"), Arrival::AnotherLog);
        let mut same = restarted();
        assert_eq!(same.arrive(14, Some(7), b"x"), Arrival::Known);
        assert_eq!(same.arrive(18, Some(9), b"z"), Arrival::New);
        let cut = Watermarks { low: 16, high: 20 };
        let placement = place(Some(&checkpoint), cut);
        assert_eq!((placement.start, placement.next, placement.notice), (Offset::Offset(18), 18, None));
    }

    #[test]
    fn nothing_of_a_former_log_is_remembered() {
        let mut partition = seam_at_15();
        let shorter = Watermarks { low: 12, high: 14 };
        let placement = place(Some(&partition.checkpoint()), shorter);
        partition.restart(shorter.low, &placement);
        assert_eq!(partition.checkpoint().seam, None);
        assert_eq!(partition.next, 12);
    }

    #[test]
    fn end_that_is_not_known_any_more_skips_nothing() {
        let mut partition = seam_at_15();
        assert!(partition.reach_end());
        assert!(!partition.skip_to_end(0, 40));
        partition.leave_end();
        assert!(!partition.skip_to_end(0, 40));
        assert!(!partition.skip_to_end(0, 40));
        assert_eq!(partition.next, 15);
    }
}

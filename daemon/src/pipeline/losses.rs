//! Evidence that nobody will see, as detections are told of it.
//!
//! In: notices of the source, rows that found no room. Out: the table `losses`, and detections that read it due. They are
//! durable with the offsets behind which the evidence was.

use crate::ingest::Position;
use crate::limits::LOSSES_KEPT_SECONDS;
use crate::losses::{Loss, LossKey, LossKind};
use crate::metrics::QueryLabel;
use crate::pipeline::Pipeline;
use crate::rollup::watermark::START_OF_TIME;

/// Rows that found no room are told by the hour.
const OVERFLOW_MICROS: i64 = 3_600_000_000;

impl Pipeline {
    /// Messages that were gone before they were read; reading goes on at `resumed`. `now` is the wall clock, for a
    /// pipeline that has seen no event yet.
    pub(super) fn note_lost_messages(&mut self, kind: LossKind, resumed: Position, amount: i64, now: i64) {
        let topic = usize::from(resumed.topic);
        let subject = self.sources[topic].as_ref().map_or(&self.topics[topic], |source| &source.name).clone();
        let key = LossKey { since: self.seen_until(now), kind, subject };
        let sample = resumed.pack();
        self.losses.note(Loss { key, times: 1, amount, samples: Some((sample, sample)) });
        self.show_losses();
    }

    /// Rows that found no room since the last commit, counted and told.
    pub(super) fn note_overflow(&mut self, now: i64) {
        let overflow: Vec<u64> = self.rollups.take_overflow().collect();
        let since = self.seen_until(now).div_euclid(OVERFLOW_MICROS) * OVERFLOW_MICROS;
        let mut any = false;
        for (planned, count) in self.queries.rollups.iter().zip(overflow).filter(|(_, count)| *count > 0) {
            let rollup = planned.query.text.id.clone();
            let label = QueryLabel { query: rollup.clone() };
            self.metrics.rollup_overflow.get_or_create(&label).inc_by(count);
            let key = LossKey { since, kind: LossKind::Overflow, subject: rollup };
            let amount = i64::try_from(count).unwrap_or(i64::MAX);
            self.losses.note(Loss { key, times: 1, amount, samples: None });
            any = true;
        }
        if any {
            self.show_losses();
        }
    }

    /// Event time up to which everything was seen.
    pub(super) fn seen_until(&self, now: i64) -> i64 {
        match (self.rollups.settled(), self.watermark.state().newest_event) {
            (START_OF_TIME, START_OF_TIME) => now,
            (START_OF_TIME, newest) => newest,
            (settled, _) => settled,
        }
    }

    /// Forgets what detections cannot look back to any more.
    pub(super) fn forget_losses(&mut self) {
        self.losses.forget_before(self.rollups.settled().saturating_sub(LOSSES_KEPT_SECONDS * 1_000_000));
    }

    /// Puts what is known in place of what was; detections that read it are due at the next grid point.
    fn show_losses(&mut self) {
        self.queries.replace_losses(&self.losses);
        self.schedule_losses();
        let settled = self.rollups.settled();
        if settled == START_OF_TIME {
            return;
        }
        for (schedule, detection) in self.schedules.iter_mut().zip(&self.queries.detections) {
            if detection.reads_losses {
                schedule.add_all(schedule.after(settled));
            }
        }
    }

    /// Detections that read losses are due at the first grid point that sees one, and where it leaves their window.
    pub(super) fn schedule_losses(&mut self) {
        let settled = self.rollups.settled();
        for (schedule, detection) in self.schedules.iter_mut().zip(&self.queries.detections) {
            schedule.add_losses(&self.losses, detection, settled);
        }
    }

    /// What was lost, oldest first.
    pub fn losses(&self) -> impl Iterator<Item = &Loss> {
        self.losses.all()
    }
}

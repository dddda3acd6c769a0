//! How much time passes between turns of the reading thread, and since partitions at their end were told.
//!
//! In: the clock, which also counts while the machine sleeps. Out: whether something is due because of it.

use std::time::{Duration, Instant, SystemTime};

use crate::limits::{ENDS_TOLD_EVERY_MS, LEAP_MS};

/// The reading thread's times.
pub(super) struct Turns {
    last: SystemTime,
    ends_told: Instant,
}

impl Turns {
    /// The first turn begins.
    pub(super) fn new() -> Self {
        Self { last: SystemTime::now(), ends_told: Instant::now() }
    }

    /// A turn begins. How long there was none, if the process must have been stopped, or the machine asleep.
    pub(super) fn leap(&mut self) -> Option<Duration> {
        let away = self.last.elapsed().unwrap_or_default();
        self.last = SystemTime::now();
        (away >= Duration::from_millis(LEAP_MS.unsigned_abs())).then_some(away)
    }

    /// Ends are told.
    pub(super) fn ends_are_told(&mut self) {
        self.ends_told = Instant::now();
    }

    /// Whether somebody may have forgotten which partitions are at their end.
    pub(super) fn ends_are_due(&self) -> bool {
        self.ends_told.elapsed() >= Duration::from_millis(ENDS_TOLD_EVERY_MS)
    }
}

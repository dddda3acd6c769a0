//! Facts about clocks: a machine that slept, and events that are ahead of everybody's.
//!
//! In: a pipeline, the wall clock as a value. Out: what is late, and what is kept.

use shadowprod::config::Clock;
use shadowprod::ingest::RawBatch;

use crate::losses::{HOUR, House, START};

const SECOND: i64 = 1_000_000;

#[test]
fn what_was_written_while_the_process_was_stopped_is_not_late() {
    let mut house = House::new();
    let mut metrics = None;
    let mut pipeline = house.open_with(|parts| {
        parts.time.clock = Clock::Wall;
        metrics = Some(parts.metrics.clone());
    });
    let metrics = metrics.unwrap();
    let asleep = (START + HOUR) * SECOND;
    house.call_in(&mut pipeline, 0, None, asleep);
    // The clock has leapt to here: for five seconds no end is believed, and five more make a log idle.
    for seconds in [4, 6, 10, 12] {
        assert!(!pipeline.is_idle(), "{seconds} s");
        house.ends(&mut pipeline, asleep + seconds * SECOND);
    }
    assert!(pipeline.is_idle(), "at the end of its log for long enough");
    let awake = asleep + 8 * HOUR * SECOND;
    // The reading thread has not said yet what came.
    pipeline.step(&RawBatch::default(), awake).unwrap();
    assert!(!pipeline.is_idle());
    house.call_in(&mut pipeline, 2, None, awake + SECOND);
    assert_eq!((metrics.rollup_events.get(), metrics.rollup_late_events.get()), (2, 0));
}

#[test]
fn event_far_ahead_is_counted_and_not_kept() {
    let mut house = House::new();
    let mut metrics = None;
    let mut pipeline = house.open_with(|parts| metrics = Some(parts.metrics.clone()));
    let metrics = metrics.unwrap();
    let message_ms = Some(START * 1_000);
    for (hours, future) in [(0, 0), (23, 0), (25, 1), (24 * 365, 2), (1, 2)] {
        house.call_in(&mut pipeline, hours, message_ms, 0);
        assert_eq!(metrics.rollup_future_events.get(), future, "{hours} hours ahead");
    }
    assert_eq!(metrics.rollup_events.get(), 3);
}

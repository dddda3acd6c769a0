//! Facts about clocks: a machine that slept, and events that are ahead of everybody's.
//!
//! In: a pipeline, the wall clock as a value; the broker of [`crate::kafka`]. Out: what is late, and what is kept.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use shadowprod::config::Clock;
use shadowprod::ingest::RawBatch;

use crate::kafka::{Admin, new_producer, produce, shared, unique, until};
use crate::losses::{HOUR, House, START, record};
use crate::process::Daemon;

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
fn grid_that_is_more_than_a_day_behind_comes_nearer_before_more_is_read() {
    let mut house = House::new();
    // A step walks one grid point.
    let mut pipeline = house.open_with(|parts| parts.rhythm.settle_for = Some(Duration::ZERO));
    house.call(&mut pipeline, 0);
    while pipeline.is_behind() {
        pipeline.step(&RawBatch::default(), 0).unwrap();
    }
    house.call(&mut pipeline, 20);
    assert!(pipeline.is_behind() && !pipeline.is_outrun());
    house.call(&mut pipeline, 60);
    let mut steps = 0;
    while pipeline.is_outrun() {
        pipeline.step(&RawBatch::default(), 0).unwrap();
        steps += 1;
    }
    assert!(steps > 0 && pipeline.is_behind(), "{steps} steps");
}

#[test]
fn daemon_that_was_stopped_reads_in_time_what_was_written_meanwhile() {
    /// Longer than what a process takes for a leap.
    const STOPPED: Duration = Duration::from_secs(12);
    let Some((address, _shared)) = shared() else { return };
    let (dir, topic) = (tempfile::tempdir().unwrap(), unique("asleep"));
    Admin::new(&address).create(&topic, 1);
    let config = dir.path().join("shadowprod.toml");
    let registry = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/registry");
    let text = format!(
        "[kafka]\nbrokers = {address:?}\ngroup = {topic:?}\n[[source]]\nname = \"cloud\"\ntopic = {topic:?}\n\
         format = \"cloudtrail\"\n[registry]\npath = {registry:?}\n[state]\npath = \"state\"\n[time]\n\
         grid_seconds = 1\nlateness_seconds = 5\nidle_after_ms = 1000\n\
         [serve]\ngrpc = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n"
    );
    std::fs::write(&config, text).unwrap();
    let write = |number| {
        produce(&new_producer(&address), &topic, 0, [record(Timestamp::now(), number)]);
    };
    write(1);
    let daemon = Daemon::start(&config);
    let count = |name: &str| daemon.metric(&format!("shadowprod_rollup_{name}_total"));
    until("it is read", || (count("events") == 1.0).then_some(()));
    let idle = || {
        let at = daemon.metric("shadowprod_rollup_watermark_seconds");
        (Timestamp::now().as_second() as f64 - at < 8.0).then_some(())
    };
    until("the clock moves on at the end of the log", idle);
    daemon.signal("STOP");
    let stopped = Instant::now();
    write(2);
    until("the process is away", || (stopped.elapsed() >= STOPPED).then_some(()));
    daemon.signal("CONT");
    until("what was written meanwhile is read", || {
        (count("events") + count("late_events") == 2.0).then_some(())
    });
    assert_eq!(count("late_events"), 0.0);
    daemon.has_logged("this process was stopped");
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

//! Sends a world's messages no faster than they are read.
//!
//! In: messages, a way to produce one, and how many of each topic were read. Out: all of them, in order.
//! The embedded broker keeps 5 MiB or 100,000 entries a partition and drops the rest in silence, so what is
//! sent and not yet read stays well below that even where a topic's messages all meet in one partition.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::progress::Progress;
use crate::world::{World, WorldEvent};

/// Unread bytes a topic: below librdkafka's mock retention of 5 MiB a partition, with room for headers.
const UNREAD_BYTES_MAX: usize = 3 << 20;
/// Unread messages a topic: far below the mock's 100,000 entries.
const UNREAD_MESSAGES_MAX: usize = 20_000;
/// How often the reader is asked while it is behind.
const POLL: Duration = Duration::from_millis(2);
/// Without a single message read for this long, something is broken.
const STALL: Duration = Duration::from_secs(60);
/// Live traffic is sent in steps of this length.
const LIVE_STEP: Duration = Duration::from_secs(1);

/// What sending needs from outside.
pub trait Line {
    /// Sends one message; an error ends the demo.
    fn produce(&mut self, event: &WorldEvent) -> miette::Result<()>;

    /// Messages of this topic that the daemon has read so far.
    fn read(&self, topic: &str) -> u64;
}

/// Sent and not read, one topic.
#[derive(Debug, Default)]
struct Unread {
    lengths: VecDeque<usize>,
    bytes: usize,
    read: u64,
}

impl Unread {
    fn sent(&mut self, length: usize) {
        self.lengths.push_back(length);
        self.bytes += length;
    }

    /// The reader stands at `read` messages; whether it moved.
    fn advance(&mut self, read: u64) -> bool {
        let moved = read.saturating_sub(self.read);
        for _ in 0..moved {
            self.bytes -= self.lengths.pop_front().unwrap_or(0);
        }
        self.read += moved;
        moved > 0
    }

    fn is_full(&self) -> bool {
        self.bytes >= UNREAD_BYTES_MAX || self.lengths.len() >= UNREAD_MESSAGES_MAX
    }
}

/// Sends the whole history; returns the number of messages of each topic.
pub fn send_history(
    world: &World,
    line: &mut dyn Line,
    progress: &mut Progress,
) -> miette::Result<BTreeMap<&'static str, u64>> {
    let mut topics: BTreeMap<&'static str, Unread> = BTreeMap::new();
    for event in world.events() {
        let unread = topics.entry(event.topic).or_default();
        make_room(unread, event.topic, line)?;
        line.produce(&event)?;
        unread.sent(event.payload.len());
        progress.sent(event.at);
    }
    Ok(topics.into_iter().map(|(topic, unread)| (topic, unread.read + unread.lengths.len() as u64)).collect())
}

/// Sends what happens from `from` on, second by second, until told to stop.
pub fn send_live(
    world: &World,
    from: Timestamp,
    line: &mut dyn Line,
    stop: &AtomicBool,
) -> miette::Result<()> {
    let mut from = from;
    while !stop.load(Ordering::Relaxed) {
        let now = Timestamp::now();
        for event in world.events_between(from, now) {
            line.produce(&event)?;
        }
        from = now;
        thread::sleep(LIVE_STEP);
    }
    Ok(())
}

fn make_room(unread: &mut Unread, topic: &str, line: &dyn Line) -> miette::Result<()> {
    if !unread.is_full() {
        return Ok(());
    }
    let mut moved_at = Instant::now();
    loop {
        if unread.advance(line.read(topic)) {
            moved_at = Instant::now();
        }
        if !unread.is_full() {
            return Ok(());
        }
        if moved_at.elapsed() > STALL {
            miette::bail!(
                "nothing of topic {topic} was read for {} s: see the log above for what stopped the daemon",
                STALL.as_secs()
            );
        }
        thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A reader that reads one message each time it is asked.
    #[derive(Default)]
    struct Slow {
        sent: BTreeMap<&'static str, u64>,
        read: Cell<u64>,
        unread_max: u64,
    }

    impl Line for Slow {
        fn produce(&mut self, event: &WorldEvent) -> miette::Result<()> {
            let sent = self.sent.entry(event.topic).or_default();
            *sent += 1;
            self.unread_max = self.unread_max.max(sent.saturating_sub(self.read.get()));
            Ok(())
        }

        fn read(&self, _topic: &str) -> u64 {
            self.read.set(self.read.get() + 500);
            self.read.get()
        }
    }

    #[test]
    fn unread_messages_stay_below_what_the_broker_keeps() {
        let mut line = Slow::default();
        let mut unread = Unread::default();
        let event =
            WorldEvent { at: Timestamp::UNIX_EPOCH, topic: "gateway", key: 1, payload: "x".repeat(1_000) };
        for _ in 0..20_000 {
            make_room(&mut unread, "gateway", &line).unwrap();
            line.produce(&event).unwrap();
            unread.sent(event.payload.len());
        }
        assert!(
            line.unread_max as usize * event.payload.len() <= UNREAD_BYTES_MAX + 1_000,
            "{}",
            line.unread_max
        );
        assert_eq!(unread.read + unread.lengths.len() as u64, 20_000);
    }
}

//! Sends a world's messages: its history as fast as they are taken, then live traffic second by second.
//!
//! In: a world and a way to produce one message, which waits where the daemon is behind. Out: all of them,
//! in delivery order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use shadowprod_world::{World, WorldEvent};

use crate::cli::progress::Progress;

/// Live traffic is sent in steps of this length.
const LIVE_STEP: Duration = Duration::from_secs(1);

/// Sends one message, waiting while it cannot be taken; an error ends the demo.
pub type Produce<'p> = dyn FnMut(&WorldEvent) -> miette::Result<()> + 'p;

/// Sends the whole history; returns the number of messages of each topic.
pub fn send_history(
    world: &World,
    produce: &mut Produce<'_>,
    progress: &mut Progress,
) -> miette::Result<BTreeMap<&'static str, u64>> {
    let mut sent = BTreeMap::new();
    for event in world.events() {
        produce(&event)?;
        *sent.entry(event.topic).or_default() += 1;
        progress.passed(event.at);
    }
    Ok(sent)
}

/// Sends what happens from `from` on, second by second, until told to stop.
pub fn send_live(
    world: &World,
    from: Timestamp,
    produce: &mut Produce<'_>,
    stop: &AtomicBool,
) -> miette::Result<()> {
    let mut from = from;
    while !stop.load(Ordering::Relaxed) {
        let now = Timestamp::now();
        for event in world.events_between(from, now) {
            produce(&event)?;
        }
        from = now;
        thread::sleep(LIVE_STEP);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use miette::miette;

    use super::*;

    #[test]
    fn a_message_that_is_not_taken_ends_the_sending() {
        let world = crate::cli::demo::world(1, "2026-03-11T14:23:00Z".parse().unwrap());
        let mut taken = Vec::new();
        let mut produce = |event: &WorldEvent| {
            taken.push(event.clone());
            if taken.len() < 100 { Ok(()) } else { Err(miette!("the daemon reads no more")) }
        };
        let mut progress = Progress::new(world.start(), world.end(), "sent");
        let stopped = send_history(&world, &mut produce, &mut progress).unwrap_err().to_string();
        assert_eq!(stopped, "the daemon reads no more");
        assert_eq!(taken, world.events().take(100).collect::<Vec<_>>());
    }
}

//! One entity's events: who acts how, when, over which stretch of time, and what becomes of it when something is down.
//!
//! In: an hour. Out: that hour's messages with event time and delivery time. An hour depends on nothing but
//! the seed, the stream's name and the hour itself.

use std::ops::Range;

use jiff::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

use super::WorldEvent;
use super::dice::Dice;
use super::pattern::{Clock, HOUR, MINUTE, Pattern, SECOND};
use super::place::Place;
use super::template::{Mix, Moment};
use super::topics::Topic;

/// Audit logs are delivered at least once: this share arrives twice.
const TWICE: f64 = 0.004;
/// Longest time that an outage lasts.
const OUTAGE_MAX: i64 = 25 * MINUTE;

/// When something is down: the same for all whom it concerns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outages {
    /// Of which service or pilot; decides the draws.
    pub(crate) of: String,
    /// So many a week.
    pub(crate) per_week: f64,
}

impl Outages {
    /// The outages that touch this hour, as microseconds since 1970.
    pub(crate) fn in_hour(&self, seed: u64, hour: i64) -> Vec<Range<i64>> {
        let begun_in = |hour: i64| {
            let mut dice = Dice::of(seed ^ 0x6f75_7461_6765, &self.of, hour);
            let begins = hour * HOUR + dice.below(HOUR);
            let lasts = dice.between(2 * MINUTE, OUTAGE_MAX);
            dice.chance(self.per_week / (7.0 * 24.0)).then_some(begins..begins + lasts)
        };
        begun_in(hour - 1).into_iter().chain(begun_in(hour)).collect()
    }
}

/// What a stream's events become while something is down.
#[derive(Debug, Clone)]
struct Trouble {
    outages: Outages,
    mix: Mix,
    /// Each failed call is tried again so many times within 50 seconds.
    retries: u32,
}

/// One entity's events.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    pub(crate) name: String,
    key: u64,
    pub(crate) topic: Topic,
    pattern: Pattern,
    clock: Clock,
    active: Range<i64>,
    place: Place,
    mix: Mix,
    troubles: Vec<Trouble>,
}

impl Stream {
    /// `name` must be unique; it decides the draws. `entity` decides the partition.
    pub(crate) fn new(
        name: String,
        entity: &str,
        topic: Topic,
        pattern: Pattern,
        place: Place,
        mix: Mix,
    ) -> Self {
        Self {
            name,
            key: xxh3_64(entity.as_bytes()),
            topic,
            pattern,
            clock: Clock::default(),
            active: i64::MIN..i64::MAX,
            place,
            mix,
            troubles: Vec::new(),
        }
    }

    /// Only within these microseconds.
    pub(crate) fn within(&mut self, active: Range<i64>) -> &mut Self {
        self.active = active;
        self
    }

    /// By this clock instead of UTC.
    pub(crate) fn by(&mut self, clock: &Clock) -> &mut Self {
        self.clock = clock.clone();
        self
    }

    /// While that is down, records of this kind; each is tried again so many times.
    pub(crate) fn fails_with(&mut self, outages: &Outages, mix: Mix, retries: u32) -> &mut Self {
        self.troubles.push(Trouble { outages: outages.clone(), mix, retries });
        self
    }

    /// Appends (delivery time, event) for the events of `hour` that lie in `span`.
    pub(crate) fn hour(&self, seed: u64, hour: i64, span: &Range<i64>, into: &mut Vec<(i64, WorldEvent)>) {
        if self.active.end <= hour * HOUR || self.active.start >= (hour + 1) * HOUR {
            return;
        }
        let mut dice = Dice::of(seed, &self.name, hour);
        let times = self.pattern.times(hour, &self.clock, &mut dice);
        if times.is_empty() {
            return;
        }
        let down: Vec<(Vec<Range<i64>>, &Trouble)> =
            self.troubles.iter().map(|t| (t.outages.in_hour(seed, hour), t)).collect();
        for at in times {
            let trouble = down.iter().find(|(spans, _)| spans.iter().any(|s| s.contains(&at)));
            let (mix, retries) = trouble.map_or((&self.mix, 0), |(_, t)| (&t.mix, t.retries));
            self.write(seed, at, mix, span, into);
            for _ in 0..retries {
                let again = at + dice.between(2 * SECOND, 50 * SECOND);
                self.write(seed, again, mix, span, into);
            }
        }
    }

    /// An event has dice of its own: it is the same whether or not those before it are asked for.
    fn write(&self, seed: u64, at: i64, mix: &Mix, span: &Range<i64>, into: &mut Vec<(i64, WorldEvent)>) {
        if !span.contains(&at) || !self.active.contains(&at) {
            return;
        }
        let mut dice = Dice::of(seed, &self.name, at);
        let payload = mix.write(&mut Moment { at, place: self.place, dice: &mut dice });
        let delivered = at + dice.between(self.topic.delay().start, self.topic.delay().end);
        let event = WorldEvent {
            topic: self.topic.name(),
            key: self.key,
            at: Timestamp::from_microsecond(at).unwrap_or_default(),
            payload,
        };
        if self.topic.is_audit() && dice.chance(TWICE) {
            into.push((delivered + dice.between(40 * SECOND, 240 * SECOND), event.clone()));
        }
        into.push((delivered, event));
    }
}

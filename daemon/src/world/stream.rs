//! One entity's events: who acts how, when, over which stretch of time.
//!
//! In: an hour. Out: that hour's messages with event time and delivery time. An hour depends on nothing but
//! the seed, the stream's name and the hour itself.

use std::ops::Range;

use jiff::Timestamp;

use super::WorldEvent;
use super::cloudtrail::AwsUse;
use super::dice::Dice;
use super::entra::EntraUse;
use super::envoy::GatewayUse;
use super::okta::OktaUse;
use super::pattern::Pattern;

const SECOND: i64 = 1_000_000;
/// Audit logs are delivered at least once: this share arrives twice.
const TWICE: f64 = 0.004;

/// What one entity does.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Gateway(GatewayUse),
    Aws(AwsUse),
    Okta(OktaUse),
    Entra(EntraUse),
}

impl Act {
    pub(super) fn topic(&self) -> &'static str {
        match self {
            Self::Gateway(_) => "gateway",
            Self::Aws(_) => "cloudtrail",
            Self::Okta(_) => "okta",
            Self::Entra(_) => "entra",
        }
    }

    fn payload(&self, at: i64, dice: &mut Dice) -> String {
        match self {
            Self::Gateway(act) => act.line(at, dice),
            Self::Aws(act) => act.message(at, dice),
            Self::Okta(act) => act.event(at, dice),
            Self::Entra(act) => act.record(at, dice),
        }
    }

    /// How long the provider takes to deliver, microseconds.
    fn delay(&self, dice: &mut Dice) -> i64 {
        match self {
            Self::Gateway(_) => dice.below(5 * SECOND),
            Self::Aws(_) => 60 * SECOND + dice.below(360 * SECOND),
            Self::Okta(_) => 2 * SECOND + dice.below(60 * SECOND),
            Self::Entra(_) => 90 * SECOND + dice.below(180 * SECOND),
        }
    }
}

/// One entity's events.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    pub(super) name: String,
    key: u64,
    pattern: Pattern,
    active: Range<i64>,
    pub(super) act: Act,
}

impl Stream {
    /// `name` must be unique; it decides the draws. `key` decides the partition.
    pub(super) fn new(name: String, key: u64, pattern: Pattern, act: Act) -> Self {
        Self { name, key, pattern, active: i64::MIN..i64::MAX, act }
    }

    /// Only within these microseconds.
    pub(super) fn within(mut self, active: Range<i64>) -> Self {
        self.active = active;
        self
    }

    /// Appends (delivery time, event) for the events of `hour` that lie in `span`.
    pub(super) fn hour(&self, seed: u64, hour: i64, span: &Range<i64>, into: &mut Vec<(i64, WorldEvent)>) {
        let mut dice = Dice::of(seed, &self.name, hour);
        for at in self.pattern.times(hour, &mut dice) {
            let payload = self.act.payload(at, &mut dice);
            let delivered = at + self.act.delay(&mut dice);
            let twice = !matches!(self.act, Act::Gateway(_)) && dice.chance(TWICE);
            let again = delivered + 40 * SECOND + dice.below(200 * SECOND);
            if !span.contains(&at) || !self.active.contains(&at) {
                continue;
            }
            let event = WorldEvent {
                topic: self.act.topic(),
                key: self.key,
                at: Timestamp::from_microsecond(at).unwrap_or_default(),
                payload,
            };
            if twice {
                into.push((again, event.clone()));
            }
            into.push((delivered, event));
        }
    }
}

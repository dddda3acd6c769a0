//! When something happens: rates that follow the hour, the weekday, the time zone and its holidays.
//!
//! In: an hour since 1970, UTC, whose clock counts, and the dice. Out: the microseconds of that hour at which events
//! fall. An hour's times depend on that hour alone, so any stretch of time can be made on its own.

use std::sync::Arc;

use super::dice::Dice;

pub(crate) const SECOND: i64 = 1_000_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// Whose clock and whose holidays count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    /// Hours ahead of UTC, all year.
    pub(crate) ahead: i64,
    /// Days since 1970, by this clock, on which nobody works.
    pub(crate) holidays: Arc<[i64]>,
}

impl Clock {
    fn local(&self, hour: i64) -> i64 {
        hour + self.ahead
    }

    /// Monday to Friday, but for holidays.
    pub(crate) fn is_working_day(&self, hour: i64) -> bool {
        let local = self.local(hour);
        is_weekday(local) && !self.holidays.contains(&local.div_euclid(24))
    }

    /// On a working day from 8 to 18.
    pub(crate) fn is_working_hour(&self, hour: i64) -> bool {
        self.is_working_day(hour) && (8..18).contains(&hour_of_day(self.local(hour)))
    }

    /// The first instant of the next working day at or after `from`, at this hour of this clock.
    pub(crate) fn working_day(&self, from: i64, hour_of_day: i64) -> i64 {
        let mut day = (from.div_euclid(HOUR) + self.ahead).div_euclid(24);
        loop {
            let hour = day * 24 + hour_of_day - self.ahead;
            if hour * HOUR >= from && self.is_working_day(hour) {
                return hour * HOUR;
            }
            day += 1;
        }
    }
}

/// How often one entity acts.
#[derive(Debug, Clone)]
pub(crate) enum Pattern {
    /// This many an hour, day and night.
    Steady(f64),
    /// This many in a busy hour: quiet nights, half as much at weekends and on holidays.
    Customers(f64),
    /// This many an hour on working days from 8 to 18, nothing else.
    Office(f64),
    /// Once an hour at this minute, to the second: a cron job.
    Hourly(i64),
    /// Every so many minutes, to the second, day and night: a poller.
    Every(i64),
    /// Once a day at this hour and minute, so many events within a quarter of an hour: a nightly job.
    Daily(i64, i64, u32),
    /// In a working hour, with this chance, so many events within a quarter of an hour.
    Sittings(f64, u32),
    /// Every working day in each of these hours, so many events within a quarter of an hour.
    Appointments(Vec<i64>, u32),
    /// So many events in the 20 minutes after one moment, once.
    Storm(i64, u32),
    /// At exactly these moments.
    At(Vec<i64>),
}

impl Pattern {
    /// Event times within the hour, microseconds since 1970, in no particular order.
    pub(crate) fn times(&self, hour: i64, clock: &Clock, dice: &mut Dice) -> Vec<i64> {
        let start = hour * HOUR;
        let local = clock.local(hour);
        match self {
            Self::Steady(rate) => spread(start, HOUR, dice.around(*rate), dice),
            Self::Customers(rate) => {
                let rate = rate * customers(hour_of_day(local), clock.is_working_day(hour));
                spread(start, HOUR, dice.around(rate), dice)
            }
            Self::Office(rate) if clock.is_working_hour(hour) => {
                spread(start, HOUR, dice.around(*rate), dice)
            }
            Self::Hourly(minute) => vec![start + minute * MINUTE + dice.below(2 * SECOND)],
            Self::Every(minutes) => {
                let first = (hour * 60).rem_euclid(*minutes);
                let first = if first == 0 { 0 } else { minutes - first };
                (first..60)
                    .step_by(*minutes as usize)
                    .map(|m| start + m * MINUTE + dice.below(2 * SECOND))
                    .collect()
            }
            Self::Daily(at, minute, count) if hour_of_day(local) == *at => {
                spread(start + minute * MINUTE, 15 * MINUTE, *count, dice)
            }
            Self::Sittings(chance, count) if clock.is_working_hour(hour) && dice.chance(*chance) => {
                sitting(start, *count, dice)
            }
            Self::Appointments(hours, count)
                if clock.is_working_day(hour) && hours.contains(&hour_of_day(local)) =>
            {
                sitting(start, *count, dice)
            }
            Self::Storm(moment, count) if moment.div_euclid(HOUR) == hour => {
                spread(*moment, 20 * MINUTE, *count, dice)
            }
            Self::At(moments) => moments.iter().copied().filter(|m| m.div_euclid(HOUR) == hour).collect(),
            Self::Office(_)
            | Self::Daily(..)
            | Self::Sittings(..)
            | Self::Appointments(..)
            | Self::Storm(..) => Vec::new(),
        }
    }
}

fn spread(start: i64, width: i64, count: u32, dice: &mut Dice) -> Vec<i64> {
    (0..count).map(|_| start + dice.below(width)).collect()
}

/// A sitting stays inside one half hour.
fn sitting(start: i64, count: u32, dice: &mut Dice) -> Vec<i64> {
    let begins = start + dice.below(2) * 30 * MINUTE + dice.below(12 * MINUTE);
    let events = 1 + dice.below(i64::from(count)) as u32;
    spread(begins, 15 * MINUTE, events.max(count / 2), dice)
}

/// Share of the busiest hour's traffic that customers make.
fn customers(hour_of_day: i64, is_working_day: bool) -> f64 {
    let day = match hour_of_day {
        0..=4 => 0.15,
        5..=7 | 20..=23 => 0.4,
        8..=17 => 1.0,
        _ => 0.7,
    };
    if is_working_day { day } else { day * 0.5 }
}

/// 1 January 1970 was a Thursday.
pub(crate) fn is_weekday(hour: i64) -> bool {
    (hour.div_euclid(24) + 3).rem_euclid(7) < 5
}

pub(crate) fn hour_of_day(hour: i64) -> i64 {
    hour.rem_euclid(24)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday, 5 January 2026, 00:00 UTC.
    const MONDAY: i64 = 490_992;

    fn total(pattern: &Pattern, clock: &Clock, hours: std::ops::Range<i64>) -> usize {
        hours.map(|h| pattern.times(h, clock, &mut Dice::of(1, "test", h)).len()).sum()
    }

    #[test]
    fn office_work_stops_at_night_on_sunday_and_on_holidays() {
        let office = Pattern::Office(4.0);
        let utc = Clock::default();
        assert!(total(&office, &utc, MONDAY..MONDAY + 24) > 20);
        assert_eq!(total(&office, &utc, MONDAY..MONDAY + 8), 0);
        assert_eq!(total(&office, &utc, MONDAY - 24..MONDAY), 0);
        let holiday = Clock { ahead: 0, holidays: vec![MONDAY / 24].into() };
        assert_eq!(total(&office, &holiday, MONDAY..MONDAY + 24), 0);
    }

    #[test]
    fn work_follows_the_clock_of_the_place() {
        let singapore = Clock { ahead: 8, holidays: Arc::default() };
        let office = Pattern::Office(4.0);
        assert!(total(&office, &singapore, MONDAY..MONDAY + 8) > 20);
        assert_eq!(total(&office, &singapore, MONDAY + 11..MONDAY + 20), 0);
        let morning = singapore.working_day((MONDAY - 30) * HOUR, 9);
        assert_eq!(morning, (MONDAY + 1) * HOUR);
    }

    #[test]
    fn steady_rate_holds_on_average() {
        let events = total(&Pattern::Steady(0.5), &Clock::default(), MONDAY..MONDAY + 4_000);
        assert!((1_800..2_200).contains(&events), "{events}");
    }

    #[test]
    fn pollers_keep_their_interval_across_hours() {
        let every = Pattern::Every(25);
        let mut times: Vec<i64> = (MONDAY..MONDAY + 10)
            .flat_map(|h| every.times(h, &Clock::default(), &mut Dice::of(1, "test", h)))
            .map(|t| t.div_euclid(MINUTE))
            .collect();
        times.sort_unstable();
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 25), "{times:?}");
    }

    #[test]
    fn times_fall_into_the_hour_asked_for() {
        let patterns = [
            Pattern::Customers(9.0),
            Pattern::Hourly(7),
            Pattern::Appointments(vec![9], 6),
            Pattern::Every(7),
        ];
        for pattern in patterns {
            let hour = MONDAY + 9;
            let times = pattern.times(hour, &Clock::default(), &mut Dice::of(3, "test", hour));
            assert!(!times.is_empty());
            assert!(times.iter().all(|t| t.div_euclid(HOUR) == hour));
        }
    }
}

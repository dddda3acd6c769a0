//! When something happens: rates that follow the hour and the weekday, all in UTC.
//!
//! In: an hour since 1970 and the dice. Out: the microseconds of that hour at which events fall.
//! An hour's times depend on that hour alone, so any stretch of time can be made on its own.

use super::dice::Dice;

pub(super) const MINUTE: i64 = 60_000_000;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// How often one entity acts.
#[derive(Debug, Clone)]
pub(super) enum Pattern {
    /// This many an hour, day and night.
    Steady(f64),
    /// This many in a busy hour: quiet nights, half as much at weekends.
    Customers(f64),
    /// This many an hour on weekdays from 8 to 18, nothing else.
    Office(f64),
    /// Once an hour at this minute, to the second: a cron job.
    Hourly(i64),
    /// In a working hour, with this chance, so many events within a quarter of an hour.
    Sittings(f64, u32),
    /// Every weekday in each of these hours, so many events within a quarter of an hour.
    Appointments(&'static [i64], u32),
    /// So many events in the 20 minutes after one moment, once.
    Storm(i64, u32),
}

impl Pattern {
    /// Event times within the hour, microseconds since 1970, in no particular order.
    pub(super) fn times(&self, hour: i64, dice: &mut Dice) -> Vec<i64> {
        let start = hour * HOUR;
        match self {
            Self::Steady(rate) => spread(start, HOUR, dice.around(*rate), dice),
            Self::Customers(rate) => spread(start, HOUR, dice.around(rate * customers(hour)), dice),
            Self::Office(rate) if is_working_hour(hour) => spread(start, HOUR, dice.around(*rate), dice),
            Self::Hourly(minute) => vec![start + minute * MINUTE + dice.below(2_000_000)],
            Self::Sittings(chance, count) if is_working_hour(hour) && dice.chance(*chance) => {
                sitting(start, *count, dice)
            }
            Self::Appointments(hours, count) if is_weekday(hour) && hours.contains(&hour_of_day(hour)) => {
                sitting(start, *count, dice)
            }
            Self::Storm(moment, count) if moment.div_euclid(HOUR) == hour => {
                spread(*moment, 20 * MINUTE, *count, dice)
            }
            Self::Office(_) | Self::Sittings(..) | Self::Appointments(..) | Self::Storm(..) => Vec::new(),
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
fn customers(hour: i64) -> f64 {
    let day = match hour_of_day(hour) {
        0..=4 => 0.15,
        5..=7 | 20..=23 => 0.4,
        8..=17 => 1.0,
        _ => 0.7,
    };
    if is_weekday(hour) { day } else { day * 0.5 }
}

pub(super) fn is_working_hour(hour: i64) -> bool {
    is_weekday(hour) && (8..18).contains(&hour_of_day(hour))
}

/// 1 January 1970 was a Thursday.
pub(super) fn is_weekday(hour: i64) -> bool {
    (hour.div_euclid(24) + 3).rem_euclid(7) < 5
}

pub(super) fn hour_of_day(hour: i64) -> i64 {
    hour.rem_euclid(24)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday, 5 January 2026, 00:00 UTC.
    const MONDAY: i64 = 490_992;

    fn total(pattern: &Pattern, hours: std::ops::Range<i64>) -> usize {
        hours.map(|h| pattern.times(h, &mut Dice::of(1, "test", h)).len()).sum()
    }

    #[test]
    fn office_work_stops_at_night_and_on_sunday() {
        let office = Pattern::Office(4.0);
        assert!(total(&office, MONDAY..MONDAY + 24) > 20);
        assert_eq!(total(&office, MONDAY..MONDAY + 8), 0);
        assert_eq!(total(&office, MONDAY - 24..MONDAY), 0);
    }

    #[test]
    fn steady_rate_holds_on_average() {
        let events = total(&Pattern::Steady(0.5), MONDAY..MONDAY + 4_000);
        assert!((1_800..2_200).contains(&events), "{events}");
    }

    #[test]
    fn times_fall_into_the_hour_asked_for() {
        for pattern in [Pattern::Customers(9.0), Pattern::Hourly(7), Pattern::Appointments(&[9], 6)] {
            let hour = MONDAY + 9;
            let times = pattern.times(hour, &mut Dice::of(3, "test", hour));
            assert!(!times.is_empty());
            assert!(times.iter().all(|t| t.div_euclid(HOUR) == hour));
        }
    }
}

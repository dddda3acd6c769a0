//! The forms in which providers write an instant.
//!
//! In: text. Out: microseconds since 1970, UTC; `None` for anything else. A time without a zone is UTC.

/// Digits of a number that is milliseconds since 1970: from 2001 to 2286.
const EPOCH_MS_DIGITS: std::ops::RangeInclusive<usize> = 12..=13;

/// Reads `2025-12-31T16:37:40.479Z`, the same with a blank for `T`, with an offset, without a zone, with up
/// to nine digits of fraction; `1/9/2007 10:41:00 AM +01:00`; and milliseconds since 1970.
pub fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() >= 19 && bytes[4] == b'-' {
        return iso(bytes);
    }
    if EPOCH_MS_DIGITS.contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_digit) {
        return text.parse::<i64>().ok().map(|ms| ms * 1_000);
    }
    american(text)
}

fn iso(b: &[u8]) -> Option<i64> {
    let separators = b[7] == b'-' && matches!(b[10], b'T' | b't' | b' ') && b[13] == b':' && b[16] == b':';
    if !separators {
        return None;
    }
    let date = days(number(&b[0..4])?, number(&b[5..7])?, number(&b[8..10])?)?;
    let clock = clock(number(&b[11..13])?, number(&b[14..16])?, number(&b[17..19])?)?;
    let (micros, zone) = fraction(&b[19..])?;
    Some((date * 86_400 + clock - offset(zone)?) * 1_000_000 + micros)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |n, d| d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0')))
}

/// Days since 1970 of a date in the proleptic Gregorian calendar (Howard Hinnant's days_from_civil).
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, 28 + i64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *lengths.get(usize::try_from(month - 1).ok()?)?;
    if !(1..=length).contains(&day) || year < 1970 {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (y / 400, y % 400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

fn clock(hour: i64, minute: i64, second: i64) -> Option<i64> {
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3_600 + minute * 60 + second.min(59))
}

/// Microseconds of a fraction, and what follows it.
fn fraction(b: &[u8]) -> Option<(i64, &[u8])> {
    if !matches!(b.first(), Some(b'.' | b',')) {
        return Some((0, b));
    }
    let digits = b[1..].iter().take_while(|d| d.is_ascii_digit()).count();
    if !(1..=9).contains(&digits) {
        return None;
    }
    let value = number(&b[1..=digits])?;
    let micros = if digits <= 6 {
        value * 10_i64.pow(6 - digits as u32)
    } else {
        value / 10_i64.pow(digits as u32 - 6)
    };
    Some((micros, &b[digits + 1..]))
}

/// Seconds east of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    let zone = zone.trim_ascii();
    let (sign, rest) = match zone {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest.len() {
        2 => (number(rest)?, 0),
        4 => (number(&rest[..2])?, number(&rest[2..])?),
        5 if rest[2] == b':' => (number(&rest[..2])?, number(&rest[3..])?),
        _ => return None,
    };
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

/// `1/9/2007 10:41:00 AM +01:00`: month first.
fn american(text: &str) -> Option<i64> {
    let mut words = text.split_ascii_whitespace();
    let mut date = words.next()?.split('/').map(|n| number(n.as_bytes()).filter(|_| !n.is_empty()));
    let (month, day, year) = (date.next()??, date.next()??, date.next()??);
    let mut time = words.next()?.split(':').map(|n| number(n.as_bytes()).filter(|_| !n.is_empty()));
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let hour = match words.next()? {
        "AM" if (1..=12).contains(&hour) => hour % 12,
        "PM" if (1..=12).contains(&hour) => hour % 12 + 12,
        _ => return None,
    };
    let zone = offset(words.next().unwrap_or("").as_bytes())?;
    let complete = words.next().is_none() && year < 10_000;
    complete.then_some((days(year, month, day)? * 86_400 + clock(hour, minute, second)? - zone) * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_providers_is_read_and_nothing_else() {
        let good = [
            ("2025-12-31T16:37:40Z", "2025-12-31T16:37:40Z"),
            ("2025-12-31T16:37:40.479Z", "2025-12-31T16:37:40.479Z"),
            ("2025-01-15 09:30:45.123", "2025-01-15T09:30:45.123Z"),
            ("2020-11-25 21:27:03.496000000", "2020-11-25T21:27:03.496Z"),
            ("2023-07-26T22:58:30.9832019Z", "2023-07-26T22:58:30.983201Z"),
            ("2022-02-08 09:23:37+11:00", "2022-02-07T22:23:37Z"),
            ("2024-02-29T00:00:00-0130", "2024-02-29T01:30:00Z"),
            ("1/9/2007 10:41:00 AM +01:00", "2007-01-09T09:41:00Z"),
            ("1/9/2007 12:05:00 AM", "2007-01-09T00:05:00Z"),
            ("1767199060479", "2025-12-31T16:37:40.479Z"),
        ];
        for (text, expected) in good {
            let expected: jiff::Timestamp = expected.parse().unwrap();
            assert_eq!(parse(text), Some(expected.as_microsecond()), "{text}");
        }
        let bad = [
            "",
            "x",
            "2025-13-01T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "2025-01-01T24:00:00Z",
            "xxxx-xx-xxTxx:xx:xxZ",
            "2025-01-01T00:00:00.Z",
            "2025-01-01T00:00:00+99:00",
            "17671990",
            "13/9/2007 10:41:00 AM",
            "1/9/2007 13:41:00 PM",
        ];
        for text in bad {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

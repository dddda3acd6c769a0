//! The forms in which clouds, identity providers and gateways write an instant.
//!
//! In: text. Out: microseconds since 1970, or nothing where it is no instant between 1970 and 2262. A time
//! without a zone is UTC, as every producer of this form says. No clock is read.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, fmt::strtime, fmt::temporal::DateTimeParser};

static PARSER: DateTimeParser = DateTimeParser::new();

/// Month first, as Microsoft's en-US serialisation writes it: `1/9/2007 10:41:00 AM +01:00`.
const US_FORMS: [&str; 2] = ["%m/%d/%Y %I:%M:%S %p %:z", "%m/%d/%Y %I:%M:%S %p"];
/// The common log format: `02/Mar/2026:09:00:05 +0100`.
const COMMON_LOG_FORM: &str = "%d/%b/%Y:%H:%M:%S %z";
/// Beyond it nanoseconds in 64 bits end.
const MICROS_MAX: i64 = 9_223_372_036_854_775;

/// RFC 3339 (also with a space for `T`, any digits of fraction up to nine, no zone or ` UTC`), the US form, the common log
/// format, or epoch seconds, milli-, micro- or nanoseconds.
pub(super) fn micros(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if let Some(micros) = common_rfc3339(bytes).or_else(|| common_access_log(bytes)) {
        return Some(micros);
    }
    if bytes.iter().all(|b| b.is_ascii_digit() || *b == b'.') {
        return epoch(text).filter(|micros| *micros <= MICROS_MAX);
    }
    let text = text.trim().trim_end_matches(" UTC");
    let micros = match PARSER.parse_timestamp(text) {
        Ok(instant) => instant.as_microsecond(),
        Err(_) => {
            civil(text).or_else(|| american(text)).or_else(|| common_log(text)).or_else(|| epoch(text))?
        }
    };
    (0..=MICROS_MAX).contains(&micros).then_some(micros)
}

/// `2026-03-02T08:00:05Z`, with a fraction or without, of a day that every month has: what nearly every record holds,
/// read in a tenth of the time. The rest is left to the parser.
fn common_rfc3339(text: &[u8]) -> Option<i64> {
    let (stamp, rest) = text.split_first_chunk::<19>()?;
    if (stamp[4], stamp[7]) != (b'-', b'-') || !matches!(stamp[10], b'T' | b' ') {
        return None;
    }
    let day = common_day(number(&stamp[..4])?, number(&stamp[5..7])?, number(&stamp[8..10])?)?;
    let digits =
        rest.strip_prefix(b".").unwrap_or_default().iter().take_while(|b| b.is_ascii_digit()).count();
    let (fraction, zone) = match rest {
        [b'.', rest @ ..] if (1..=9).contains(&digits) => rest.split_at(digits),
        rest => (&rest[..0], rest),
    };
    let offset = match zone {
        b"" | b"Z" | b" UTC" => 0,
        [sign, h1, h2, b':', m1, m2] => offset(*sign, &[*h1, *h2], &[*m1, *m2])?,
        _ => return None,
    };
    let seconds = day * 86_400 + time_of_day(&stamp[11..])? - offset;
    (seconds >= 0).then(|| seconds * 1_000_000 + millionths(fraction))
}

/// Of at most nine digits of a second's fraction the first six, as microseconds.
fn millionths(fraction: &[u8]) -> i64 {
    let digits = fraction.iter().chain(b"000000").take(6);
    digits.fold(0, |n, b| n * 10 + i64::from(b - b'0'))
}

/// Seconds that a zone is ahead of UTC.
fn offset(sign: u8, hours: &[u8], minutes: &[u8]) -> Option<i64> {
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    match sign {
        b'+' if hours < 24 && minutes < 60 => Some(hours * 3_600 + minutes * 60),
        b'-' if hours < 24 && minutes < 60 => Some(-(hours * 3_600 + minutes * 60)),
        _ => None,
    }
}

/// `02/Mar/2026:08:00:05 +0000`, as above.
fn common_access_log(text: &[u8]) -> Option<i64> {
    const MONTHS: [&[u8; 3]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let text: &[u8; 26] = text.try_into().ok()?;
    if (text[2], text[6], text[11], text[20]) != (b'/', b'/', b':', b' ') {
        return None;
    }
    let month = MONTHS.iter().position(|name| text[3..6] == **name)? as i64 + 1;
    let day = common_day(number(&text[7..11])?, month, number(&text[..2])?)?;
    let offset = offset(text[21], &text[22..24], &text[24..])?;
    let seconds = day * 86_400 + time_of_day(&text[12..20])? - offset;
    (seconds >= 0).then_some(seconds * 1_000_000)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
}

/// Seconds since midnight of `08:00:05`.
fn time_of_day(text: &[u8]) -> Option<i64> {
    let (hour, minute, second) = (number(&text[..2])?, number(&text[3..5])?, number(&text[6..8])?);
    let is_time = hour < 24 && minute < 60 && second < 60 && (text[2], text[5]) == (b':', b':');
    is_time.then_some(hour * 3_600 + minute * 60 + second)
}

/// Days since 1970, of a day that every month has, within the years that are read here.
fn common_day(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_common = (1970..=2261).contains(&year) && (1..=12).contains(&month) && (1..=28).contains(&day);
    is_common.then(|| days(year, month, day))
}

/// Days since 1970. Years are counted from March, so that the day that leap years add is the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month < 3);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

fn civil(text: &str) -> Option<i64> {
    text.contains(':').then_some(())?;
    utc(PARSER.parse_datetime(text).ok()?)
}

fn utc(time: DateTime) -> Option<i64> {
    TimeZone::UTC.to_timestamp(time).ok().map(Timestamp::as_microsecond)
}

fn american(text: &str) -> Option<i64> {
    US_FORMS.iter().find_map(|form| {
        let parsed = strtime::parse(form, text).ok()?;
        if parsed.offset().is_some() {
            return parsed.to_timestamp().ok().map(Timestamp::as_microsecond);
        }
        utc(parsed.to_datetime().ok()?)
    })
}

fn common_log(text: &str) -> Option<i64> {
    let parsed = strtime::parse(COMMON_LOG_FORM, text).ok()?;
    parsed.to_timestamp().ok().map(Timestamp::as_microsecond)
}

/// The unit follows from the number of digits before the point: ten are seconds until the year 2286.
fn epoch(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: i64 = whole.parse().ok()?;
    match whole.len() {
        9..=10 => Some(count * 1_000_000 + millionths(fraction.as_bytes())),
        12..=13 => Some(count * 1_000),
        15..=16 => Some(count),
        18..=19 => Some(count / 1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::constant(1_772_000_000, 0);

    fn check(text: &str, expect: Option<&str>) {
        let expect = expect.map(|e| e.parse::<Timestamp>().unwrap().as_microsecond());
        assert_eq!(micros(text), expect, "{text}");
    }

    #[test]
    fn every_form_gives_the_same_instant() {
        for (text, expect) in [
            ("2026-03-02T08:00:05Z", "2026-03-02T08:00:05Z"),
            ("2026-03-02T08:00:05.123Z", "2026-03-02T08:00:05.123Z"),
            ("2026-03-02T08:00:05.1234567Z", "2026-03-02T08:00:05.123456Z"),
            ("2026-03-02T08:00:05.123456789+02:00", "2026-03-02T06:00:05.123456Z"),
            ("2026-03-02 08:00:05.123", "2026-03-02T08:00:05.123Z"),
            ("2026-03-02 08:00:05.123456700", "2026-03-02T08:00:05.123456Z"),
            ("2026-03-02 19:23:37+11:00", "2026-03-02T08:23:37Z"),
            ("1/9/2007 10:41:00 AM +01:00", "2007-01-09T09:41:00Z"),
            ("2026-03-02 08:00:05.123 UTC", "2026-03-02T08:00:05.123Z"),
            ("12/31/2025 12:05:09 PM", "2025-12-31T12:05:09Z"),
            ("02/Mar/2026:09:00:05 +0100", "2026-03-02T08:00:05Z"),
            ("1772438405", "2026-03-02T08:00:05Z"),
            ("1772438405.25", "2026-03-02T08:00:05.25Z"),
            ("1772438405123", "2026-03-02T08:00:05.123Z"),
            ("1772438405123456", "2026-03-02T08:00:05.123456Z"),
            ("1772438405123456789", "2026-03-02T08:00:05.123456Z"),
        ] {
            check(text, Some(expect));
        }
    }

    #[test]
    fn common_form_is_read_as_the_parser_reads_it() {
        for day in 0..(292 * 366) {
            let instant =
                Timestamp::from_microsecond(day * 86_400_000_000 + day * 7_919_003 % 86_400_000_000);
            let text = instant.as_ref().expect("within range").to_string();
            let parsed = PARSER.parse_timestamp(&text).expect("is a time").as_microsecond();
            assert!(common_rfc3339(text.as_bytes()).is_none_or(|micros| micros == parsed), "{text}");
            assert_eq!(micros(&text), (parsed <= MICROS_MAX).then_some(parsed), "{text}");
            let forms = [
                text.replace('Z', "+00:00"),
                text.replace('Z', "-00:00"),
                text.replace('T', " ").replace('Z', ""),
                text.replace('Z', " UTC"),
            ];
            let nanoseconds =
                format!("{:.9}", instant.as_ref().expect("within range")).replace("000Z", "789Z");
            for form in
                forms.iter().chain([&nanoseconds]).filter(|form| common_rfc3339(form.as_bytes()).is_some())
            {
                assert_eq!(micros(form), Some(parsed), "{form}");
            }
        }
        for text in ["2026-03-02T08:00:05.25+05:30", "2026-03-02T00:00:05-11:45", "1970-01-01T01:00:00+00:59"]
        {
            let parsed = PARSER.parse_timestamp(text).expect("is a time").as_microsecond();
            assert_eq!(common_rfc3339(text.as_bytes()), Some(parsed), "{text}");
        }
        for text in ["1970-01-01T00:00:00+00:01", "2026-03-02T08:00:05+24:00", "2026-03-02T08:00:05+1:00"] {
            assert_eq!(common_rfc3339(text.as_bytes()), None, "{text}");
        }
        let access_log = |text: &str| common_access_log(text.as_bytes());
        for day in 0..400 {
            let instant = START.checked_add(jiff::SignedDuration::from_secs(day * 90_061)).expect("in range");
            let text = instant.strftime("%d/%b/%Y:%H:%M:%S -0730").to_string();
            let expected = instant.as_microsecond() + 27_000_000_000;
            assert_eq!(micros(&text), Some(expected), "{text}");
            assert!(access_log(&text).is_none_or(|micros| micros == expected), "{text}");
        }
        assert_eq!(access_log("02/Mar/2026:08:00:05 +0000"), micros("2026-03-02T08:00:05Z"));
        for text in ["32/Mar/2026:08:00:05 +0000", "02/mar/2026:08:00:05 +0000", "01/Jan/1970:00:00:05 +0100"]
        {
            assert_eq!(access_log(text), None, "{text}");
        }
        for text in
            ["2026-02-29T08:00:05Z", "2026-04-31T08:00:05Z", "2026-03-02T24:00:00Z", "2026-03-02T08:00:05.Z"]
        {
            assert_eq!(common_rfc3339(text.as_bytes()), None, "{text}");
        }
        assert!(common_rfc3339(b"2026-03-02T08:00:05.123456Z").is_some());
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-13-02T08:00:05Z",
            "2026-03-02",
            "xx/xx/2026",
            "02/Mar/2026:09:00:05",
            "32/Mar/2026:09:00:05 +0000",
            "0001-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "9999-12-31T23:59:59Z",
            "12345",
            "1772438405.é",
            "1772438405.2.5",
            "9999999999999999",
            ".",
            "99999999999999999999",
            "-1772438405",
        ] {
            check(text, None);
        }
    }
}

//! Records of every format for the decode bench: the fixtures' own, again and again with other values.
//!
//! In: a format's lines of fixtures/decode and a seed. Out: as many lines as wanted, the same for the same seed.
//! Digits vary, words stay, so that every line is still a record of its format: ids are new in each line, other
//! values come from VARIANTS of their own kind, times lie within an hour.

use std::ops::Range;

use fastrand::Rng;

/// Values that one value of a fixture stands for, ids aside.
const VARIANTS: u64 = 64;
/// A value this long that is little but digits is an id.
const ID_BYTES_MIN: usize = 16;
const ID_DIGITS_MIN: usize = 8;
/// Numbers at least this long, quoted or not, are times and ids; shorter ones may be states and classes, which
/// decide how a record is read.
const NUMBER_DIGITS_MIN: usize = 10;
/// Digits that stay in front of a long number: the time it may be stays within days.
const NUMBER_DIGITS_KEPT: usize = 5;

/// `count` lines made of `shapes`, in turn.
pub fn lines(shapes: &[String], count: usize, seed: u64) -> Vec<String> {
    let mut random = Rng::with_seed(seed);
    (0..count).map(|line| vary(&shapes[line % shapes.len()], &mut random)).collect()
}

/// The same lines, of which one in `every` is broken: cut off, of the wrong quotes, or followed by more.
pub fn with_malformed(lines: &[String], every: usize) -> Vec<String> {
    let broken = |line: &str, number: usize| match number / every % 4 {
        0 => line[..line.floor_char_boundary(line.len() / 2)].to_owned(),
        1 => line[..line.len() - 1].to_owned(),
        2 => line.replacen('"', "'", 1),
        _ => format!("{line}}}"),
    };
    let one = |(number, line): (usize, &String)| {
        if number % every == every - 1 { broken(line, number) } else { line.clone() }
    };
    lines.iter().enumerate().map(one).collect()
}

fn vary(line: &str, random: &mut Rng) -> String {
    let mut bytes = line.as_bytes().to_vec();
    for value in values(line) {
        match bytes.get(value.start.wrapping_sub(1)) {
            Some(b'"') => vary_text(&mut bytes[value], random),
            Some(_) | None => vary_number(&mut bytes[value], random),
        }
    }
    String::from_utf8(bytes).expect("digits took the place of digits")
}

/// Where strings that are no names and long numbers stand in `line`.
fn values(line: &str) -> Vec<Range<usize>> {
    let (bytes, mut found, mut at) = (line.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        let start = at + 1;
        if bytes[at] == b'"' {
            at = start;
            while bytes[at] != b'"' {
                at += if bytes[at] == b'\\' { 2 } else { 1 };
            }
            let is_name = line[at + 1..].trim_start().starts_with(':');
            found.extend((!is_name).then_some(start..at));
        } else if bytes[at].is_ascii_digit() {
            let digits = run(&bytes[at..]);
            found.extend((digits >= NUMBER_DIGITS_MIN).then_some(at..at + digits));
            at += digits - 1;
        }
        at += 1;
    }
    found
}

fn run(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| b.is_ascii_digit()).count()
}

fn vary_number(digits: &mut [u8], random: &mut Rng) {
    digits[NUMBER_DIGITS_KEPT..].iter_mut().for_each(|digit| *digit = random.u8(b'0'..=b'9'));
}

fn vary_text(text: &mut [u8], random: &mut Rng) {
    let is_short_number = text.len() < NUMBER_DIGITS_MIN && run(text) == text.len();
    let has_escaped_code = text.windows(2).any(|pair| pair == br"\u");
    if is_short_number || has_escaped_code || vary_times(text, random) {
        return;
    }
    let mut digits = if is_id(text) {
        random.fork()
    } else {
        let own = text.iter().fold(random.u64(..VARIANTS), |hash, b| hash.wrapping_mul(31) ^ u64::from(*b));
        Rng::with_seed(own)
    };
    let mut at = 0;
    while at < text.len() {
        let length = run(&text[at..]);
        let kept = if length >= NUMBER_DIGITS_MIN { NUMBER_DIGITS_KEPT } else { 1 };
        for digit in text[at..at + length].iter_mut().skip(kept) {
            *digit = digits.u8(b'0'..=b'9');
        }
        at += length + 1;
    }
}

fn is_id(text: &[u8]) -> bool {
    text.len() >= ID_BYTES_MIN
        && text.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
        && text.iter().filter(|b| b.is_ascii_digit()).count() >= ID_DIGITS_MIN
}

/// Minutes and seconds of every `hh:mm:ss`; whether there was one. A year may stand right before it: `2026:08:00:05`.
fn vary_times(text: &mut [u8], random: &mut Rng) -> bool {
    let is_time = |w: &[u8]| {
        w.iter().enumerate().all(|(i, b)| if i % 3 == 2 { *b == b':' } else { b.is_ascii_digit() })
    };
    let of_year = |at: usize| text[..at].ends_with(b"20") && text.get(at + 8) == Some(&b':');
    let places: Vec<usize> =
        text.windows(8).enumerate().filter(|(at, w)| is_time(w) && !of_year(*at)).map(|(at, _)| at).collect();
    for at in &places {
        for tens in [at + 3, at + 6] {
            text[tens] = random.u8(b'0'..=b'5');
            text[tens + 1] = random.u8(b'0'..=b'9');
        }
    }
    !places.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: &str = r#"{"at1":"2026-03-02T08:00:05.123Z","id":"5d000000-0000-4000-8000-000000000001","ip":"10.20.30.40","status":200,"ms":1772438465000,"é":"\u00e9 1234"}"#;

    #[test]
    fn digits_vary_where_they_may_and_lines_are_the_same_for_the_same_seed() {
        let made = lines(&[SHAPE.to_owned()], 1_000, 1);
        assert_eq!(made, lines(&[SHAPE.to_owned()], 1_000, 1));
        assert_ne!(made, lines(&[SHAPE.to_owned()], 1_000, 2));
        for line in &made {
            assert_eq!(line.len(), SHAPE.len());
            assert!(line.starts_with(r#"{"at1":"2026-03-02T08:"#), "{line}");
            assert!(line.contains(r#""status":200,"ms":17724"#), "{line}");
            assert!(line.ends_with(r#""é":"\u00e9 1234"}"#), "{line}");
        }
        let distinct = |at: Range<usize>| {
            let mut parts: Vec<&str> = made.iter().map(|line| &line[at.clone()]).collect();
            parts.sort_unstable();
            parts.dedup();
            parts.len()
        };
        let place = |part: &str| SHAPE.find(part).map(|at| at..at + part.len()).unwrap();
        assert_eq!(distinct(place("5d000000-0000-4000-8000-000000000001")), made.len());
        assert!((2..=VARIANTS as usize).contains(&distinct(place("10.20.30.40"))));
    }

    #[test]
    fn one_line_in_so_many_is_malformed() {
        let made = lines(&[SHAPE.to_owned()], 100, 1);
        let broken = with_malformed(&made, 20);
        let changed: Vec<usize> = (0..made.len()).filter(|at| made[*at] != broken[*at]).collect();
        assert_eq!(changed, [19, 39, 59, 79, 99]);
    }
}

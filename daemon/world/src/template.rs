//! Records with blanks: what all events of a stream share is written once, what differs is drawn for each.
//!
//! In: a record as JSON whose blanks were made by the functions of [`blank`]. Out: text. A blank may stand anywhere in
//! a JSON string; one made by [`blank::integer`] or as an epoch time is a number and stands alone.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::Offset;
use serde_json::Value;

use super::dice::Dice;
use super::pattern::{HOUR, MINUTE};
use super::place::Place;

/// Begins a blank within a string, in the private use area of Unicode: no record holds it otherwise.
const OPEN: char = '\u{e000}';
/// Begins a blank that stands for a number: the quotes around it go.
const OPEN_BARE: char = '\u{e001}';
const CLOSE: char = '\u{e002}';
const SEPARATOR: char = '\u{e003}';

/// What decides the values of one event.
pub(crate) struct Moment<'a> {
    /// Event time, microseconds since 1970.
    pub(crate) at: i64,
    pub(crate) place: Place,
    pub(crate) dice: &'a mut Dice,
}

/// How a format writes a time, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `2026-03-01T08:00:00Z`
    Seconds,
    /// `2026-03-01T08:00:00.123Z`
    Millis,
    /// `2026-03-01T08:00:00.123456Z`
    Micros,
    /// `2026-03-01T08:00:00.1234560Z`, as .NET writes it
    Ticks,
    /// `2026-03-01T08:00:00.123456000Z`
    Nanos,
    /// `2026-03-01T08:00:00.123456`, without a zone
    NoZone,
    /// `01/Mar/2026:08:00:00 +0000`, the common log format
    Common,
    /// Milliseconds since 1970, a number
    EpochMillis,
    /// Seconds since 1970 with milliseconds behind the point, a number
    EpochSeconds,
}

impl Form {
    const ALL: [Self; 9] = [
        Self::Seconds,
        Self::Millis,
        Self::Micros,
        Self::Ticks,
        Self::Nanos,
        Self::NoZone,
        Self::Common,
        Self::EpochMillis,
        Self::EpochSeconds,
    ];

    /// Appends `at`, microseconds since 1970.
    pub(crate) fn write(self, at: i64, out: &mut String) {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        if self.is_number() {
            return write_epoch(at.div_euclid(1_000), self == Self::EpochSeconds, out);
        }
        let time = Offset::UTC.to_datetime(Timestamp::from_microsecond(at).unwrap_or_default());
        let (day, month, year) = (time.day() as u64, time.month() as u64, time.year() as u64);
        if self == Self::Common {
            digits(out, day, 2);
            out.push('/');
            out.push_str(MONTHS[month as usize - 1]);
            out.push('/');
            digits(out, year, 4);
            out.push(':');
        } else {
            digits(out, year, 4);
            out.push('-');
            digits(out, month, 2);
            out.push('-');
            digits(out, day, 2);
            out.push('T');
        }
        digits(out, time.hour() as u64, 2);
        out.push(':');
        digits(out, time.minute() as u64, 2);
        out.push(':');
        digits(out, time.second() as u64, 2);
        let micros = at.rem_euclid(1_000_000) as u64;
        match self {
            Self::Seconds => out.push('Z'),
            Self::Common => out.push_str(" +0000"),
            Self::Millis => fraction(out, micros / 1_000, 3, "Z"),
            Self::Micros => fraction(out, micros, 6, "Z"),
            Self::Ticks => fraction(out, micros * 10, 7, "Z"),
            Self::Nanos => fraction(out, micros * 1_000, 9, "Z"),
            Self::NoZone => fraction(out, micros, 6, ""),
            Self::EpochMillis | Self::EpochSeconds => {}
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Self::EpochMillis | Self::EpochSeconds)
    }
}

fn write_epoch(millis: i64, in_seconds: bool, out: &mut String) {
    let (seconds, rest) = (millis.div_euclid(1_000), millis.rem_euclid(1_000));
    let written = if in_seconds { write!(out, "{seconds}.{rest:03}") } else { write!(out, "{millis}") };
    written.expect("writing to a String cannot fail");
}

fn fraction(out: &mut String, value: u64, width: usize, zone: &str) {
    out.push('.');
    digits(out, value, width);
    out.push_str(zone);
}

/// Appends `value` with leading zeros.
fn digits(out: &mut String, value: u64, width: usize) {
    let mut rest = value;
    let mut text = [b'0'; 10];
    for place in text[..width].iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend(text[..width].iter().map(|digit| char::from(*digit)));
}

/// The letters of an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alphabet {
    /// 0 to 9
    Digits,
    /// 0 to f
    Hex,
    /// Capitals and digits, as in AWS ids
    Upper,
    /// Mixed letters and digits, as in Okta ids
    Mixed,
}

impl Alphabet {
    const ALL: [Self; 4] = [Self::Digits, Self::Hex, Self::Upper, Self::Mixed];
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Blank {
    Time(Form),
    /// The start of the hour, less so many seconds: when a session of that hour began.
    HourStart(Form, i64),
    Uuid,
    Letters(Alphabet, usize),
    Number(i64, i64),
    Address,
    OneOf(Arc<[Box<str>]>),
    /// The same letters within each period: named, of so many hours, as they were so many hours ago, of an alphabet, so
    /// many.
    Periodic(String, i64, i64, Alphabet, usize),
    /// A UUID that is the same within each period of so many microseconds.
    PeriodicUuid(String, i64),
    /// Hex digits that are the same within each period of so many microseconds: named, so long, so many.
    PeriodicHex(String, i64, usize),
}

/// Makes blanks.
pub(crate) mod blank {
    use super::{Alphabet, CLOSE, Form, MINUTE, OPEN, OPEN_BARE, SEPARATOR};

    fn mark(open: char, fields: &[&str]) -> String {
        let mut text = String::from(open);
        text.push_str(&fields.join(&SEPARATOR.to_string()));
        text.push(CLOSE);
        text
    }

    fn open_for(form: Form) -> char {
        if form.is_number() { OPEN_BARE } else { OPEN }
    }

    /// The event's time.
    pub(crate) fn time(form: Form) -> String {
        mark(open_for(form), &["time", &(form as usize).to_string()])
    }

    /// The start of the event's hour, less so many seconds.
    pub(crate) fn hour_start(form: Form, seconds_before: i64) -> String {
        mark(open_for(form), &["hour", &(form as usize).to_string(), &seconds_before.to_string()])
    }

    /// A UUID.
    pub(crate) fn uuid() -> String {
        mark(OPEN, &["uuid"])
    }

    /// So many letters.
    pub(crate) fn letters(alphabet: Alphabet, count: usize) -> String {
        mark(OPEN, &["letters", &(alphabet as usize).to_string(), &count.to_string()])
    }

    /// A number from `from` to below `to`, as text: `"17"`.
    pub(crate) fn number(from: i64, to: i64) -> String {
        mark(OPEN, &["number", &from.to_string(), &to.to_string()])
    }

    /// A number from `from` to below `to`: `17`. It must be the whole value.
    pub(crate) fn integer(from: i64, to: i64) -> String {
        mark(OPEN_BARE, &["number", &from.to_string(), &to.to_string()])
    }

    /// The address that the stream's place has at that moment.
    pub(crate) fn address() -> String {
        mark(OPEN, &["address"])
    }

    /// One of these, each as likely.
    pub(crate) fn one_of<S: AsRef<str>>(choices: &[S]) -> String {
        let choices: Vec<&str> = choices.iter().map(AsRef::as_ref).collect();
        mark(OPEN, &[&["one"], &choices[..]].concat())
    }

    /// Letters that stay the same for so many hours: a session's id, a token's.
    pub(crate) fn periodic(name: &str, hours: i64, alphabet: Alphabet, count: usize) -> String {
        lagging(name, hours, 0, alphabet, count)
    }

    /// Letters that stay the same for so many hours, as they were so many hours ago: a token that was got then.
    pub(crate) fn lagging(name: &str, hours: i64, ago: i64, alphabet: Alphabet, count: usize) -> String {
        let (hours, ago) = (hours.to_string(), ago.to_string());
        mark(OPEN, &["periodic", name, &hours, &ago, &(alphabet as usize).to_string(), &count.to_string()])
    }

    /// A UUID that stays the same for so many minutes: of a call and its retries.
    pub(crate) fn periodic_uuid(name: &str, minutes: i64) -> String {
        mark(OPEN, &["again", name, &(minutes * MINUTE).to_string()])
    }

    /// A UUID of this very event, the same wherever it stands in what is written about it.
    pub(crate) fn event_uuid(name: &str) -> String {
        mark(OPEN, &["again", name, "1"])
    }

    /// Hex digits that stay the same for so many minutes: of a call and its retries.
    pub(crate) fn periodic_hex(name: &str, minutes: i64, count: usize) -> String {
        mark(OPEN, &["again", name, &(minutes * MINUTE).to_string(), &count.to_string()])
    }
}

impl Blank {
    /// Reads what [`blank`] wrote.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split(SEPARATOR).collect();
        let form = |text: &str| Form::ALL.get(text.parse::<usize>().ok()?).copied();
        let alphabet = |text: &str| Alphabet::ALL.get(text.parse::<usize>().ok()?).copied();
        Some(match fields.as_slice() {
            ["time", f] => Self::Time(form(f)?),
            ["hour", f, before] => Self::HourStart(form(f)?, before.parse().ok()?),
            ["uuid"] => Self::Uuid,
            ["letters", a, count] => Self::Letters(alphabet(a)?, count.parse().ok()?),
            ["number", from, to] => Self::Number(from.parse().ok()?, to.parse().ok()?),
            ["address"] => Self::Address,
            ["one", choices @ ..] => Self::OneOf(choices.iter().map(|&c| c.into()).collect()),
            ["periodic", name, hours, ago, a, count] => Self::Periodic(
                (*name).to_owned(),
                hours.parse().ok()?,
                ago.parse().ok()?,
                alphabet(a)?,
                count.parse().ok()?,
            ),
            ["again", name, micros] => Self::PeriodicUuid((*name).to_owned(), micros.parse().ok()?),
            ["again", name, micros, count] => {
                Self::PeriodicHex((*name).to_owned(), micros.parse().ok()?, count.parse().ok()?)
            }
            _ => return None,
        })
    }

    fn write(&self, moment: &mut Moment<'_>, out: &mut String) {
        match self {
            Self::Time(form) => form.write(moment.at, out),
            Self::HourStart(form, before) => {
                form.write(moment.at.div_euclid(HOUR) * HOUR - before * 1_000_000, out);
            }
            Self::Uuid => moment.dice.write_uuid(out),
            Self::Letters(alphabet, count) => moment.dice.write_letters(*alphabet, *count, out),
            Self::Number(from, to) => {
                write!(out, "{}", from + moment.dice.below(to - from))
                    .expect("writing to a String cannot fail");
            }
            Self::Address => moment.place.write_address(moment.at, out),
            Self::OneOf(choices) => out.push_str(moment.dice.pick::<Box<str>>(choices)),
            Self::Periodic(name, hours, ago, alphabet, count) => {
                let period = (moment.at - ago * HOUR).div_euclid(hours * HOUR);
                Dice::of(1, name, period).write_letters(*alphabet, *count, out);
            }
            Self::PeriodicUuid(name, micros) => {
                Dice::of(2, name, moment.at.div_euclid(*micros)).write_uuid(out);
            }
            Self::PeriodicHex(name, micros, count) => {
                let period = moment.at.div_euclid(*micros);
                Dice::of(3, name, period).write_letters(Alphabet::Hex, *count, out);
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Arc<str>),
    Blank(Blank),
}

/// A record with blanks, prepared for writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    pieces: Box<[Piece]>,
    /// Bytes that a record takes, about.
    length: usize,
}

impl Template {
    /// The record as one line of JSON.
    pub(crate) fn new(record: &Value) -> Self {
        Self::of_text(&record.to_string())
    }

    /// Any text; blanks that are numbers lose the quotes around them.
    pub(crate) fn of_text(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find([OPEN, OPEN_BARE]) {
            let is_bare = rest[open..].starts_with(OPEN_BARE);
            let marked = &rest[open + OPEN.len_utf8()..];
            let close = marked.find(CLOSE).expect("whoever opens a blank closes it");
            let blank = Blank::parse(&marked[..close]).expect("blanks are made by the functions of `blank`");
            let (mut before, mut after) = (&rest[..open], &marked[close + CLOSE.len_utf8()..]);
            if is_bare {
                before = before.strip_suffix('"').unwrap_or(before);
                after = after.strip_prefix('"').unwrap_or(after);
            }
            pieces.push(Piece::Text(before.into()));
            pieces.push(Piece::Blank(blank));
            rest = after;
        }
        pieces.push(Piece::Text(rest.into()));
        Self { length: text.len() + 32, pieces: pieces.into() }
    }

    /// The record of one event.
    pub(crate) fn write(&self, moment: &mut Moment<'_>) -> String {
        let mut out = String::with_capacity(self.length);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Blank(blank) => blank.write(moment, &mut out),
            }
        }
        out
    }
}

/// What records have in common, each kept once: most of a record is what all of its kind say.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    texts: HashSet<Arc<str>>,
    choices: HashSet<Arc<[Box<str>]>>,
}

impl Pool {
    /// The same records, of which what others have too is shared with them.
    pub(crate) fn shared(&mut self, mut mix: Mix) -> Mix {
        for piece in mix.templates.iter_mut().flat_map(|(_, template)| &mut template.pieces) {
            match piece {
                Piece::Text(text) => keep_one(&mut self.texts, text),
                Piece::Blank(Blank::OneOf(choices)) => keep_one(&mut self.choices, choices),
                Piece::Blank(_) => {}
            }
        }
        mix.templates.shrink_to_fit();
        mix
    }
}

fn keep_one<T: ?Sized + Eq + std::hash::Hash>(known: &mut HashSet<Arc<T>>, value: &mut Arc<T>) {
    match known.get(value) {
        Some(same) => *value = same.clone(),
        None => {
            known.insert(value.clone());
        }
    }
}

/// Records of which one is drawn for each event, the likelier the larger its weight.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Mix {
    templates: Vec<(u32, Template)>,
    total: u32,
}

impl Mix {
    /// One kind of record only.
    pub(crate) fn of(record: &Value) -> Self {
        Self::default().and(1, record)
    }

    /// One more kind of record.
    pub(crate) fn and(self, weight: u32, record: &Value) -> Self {
        self.and_template(weight, Template::new(record))
    }

    /// One more kind of record.
    pub(crate) fn and_template(mut self, weight: u32, template: Template) -> Self {
        self.templates.push((weight, template));
        self.total += weight;
        self
    }

    /// The record of one event.
    pub(crate) fn write(&self, moment: &mut Moment<'_>) -> String {
        let mut drawn = moment.dice.below(i64::from(self.total)) as u32;
        for (weight, template) in &self.templates {
            if drawn < *weight {
                return template.write(moment);
            }
            drawn -= weight;
        }
        unreachable!("a number below the sum of the weights lies within one of them")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn write(record: &Value, at: &str) -> Value {
        let at: Timestamp = at.parse().expect("a constant time");
        let mut dice = Dice::of(1, "test", 0);
        let mut moment = Moment { at: at.as_microsecond(), place: Place::Vpn, dice: &mut dice };
        serde_json::from_str(&Template::new(record).write(&mut moment)).expect("a record is JSON")
    }

    #[test]
    fn every_form_of_time_is_that_time() {
        let times: Vec<String> = Form::ALL.iter().map(|form| blank::time(*form)).collect();
        let written = write(&json!(times), "2026-03-01T08:04:05.123456Z");
        assert_eq!(
            written,
            json!([
                "2026-03-01T08:04:05Z",
                "2026-03-01T08:04:05.123Z",
                "2026-03-01T08:04:05.123456Z",
                "2026-03-01T08:04:05.1234560Z",
                "2026-03-01T08:04:05.123456000Z",
                "2026-03-01T08:04:05.123456",
                "01/Mar/2026:08:04:05 +0000",
                1_772_352_245_123_i64,
                1_772_352_245.123
            ])
        );
    }

    #[test]
    fn numbers_lose_their_quotes_and_texts_keep_them() {
        let record = json!({ "n": blank::integer(7, 8), "t": format!("a{}b", blank::number(7, 8)) });
        assert_eq!(write(&record, "2026-03-01T00:00:00Z"), json!({ "n": 7, "t": "a7b" }));
    }

    #[test]
    fn periodic_letters_change_with_their_period_only() {
        let record = json!({ "s": blank::periodic("session", 2, Alphabet::Hex, 12) });
        let first = write(&record, "2026-03-01T00:00:00Z");
        assert_eq!(first, write(&record, "2026-03-01T01:59:59Z"));
        assert_ne!(first, write(&record, "2026-03-01T02:00:00Z"));
        assert_eq!(first["s"].as_str().map(str::len), Some(12));
    }

    #[test]
    fn addresses_and_choices_are_filled_in() {
        let record = json!({ "ip": format!("{}:443", blank::address()), "c": blank::one_of(&["x\"y"]) });
        let written = write(&json!({ "ip": record["ip"] }), "2026-03-01T00:00:00Z");
        assert_eq!(written["ip"], "203.0.113.130:443");
        assert_eq!(write(&json!([blank::one_of(&["x", "x"])]), "2026-03-01T00:00:00Z"), json!(["x"]));
    }
}

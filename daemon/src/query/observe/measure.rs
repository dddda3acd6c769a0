//! Values of expressions, row by row: what they are, how far apart, how they are written.
//!
//! In: columns that the engine returned. Out: [`Measure`]s. A null is "not observed" and never zero.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampMicrosecondType};
use serde::Serialize;

use super::Measure;
use crate::limits::EXPLAIN_CELL_CHARS_MAX;
use crate::query::dissect::condition::Compare;
use crate::sketch;

/// What a margin is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// What is compared is a number.
    Number,
    /// What is compared is an instant.
    Seconds,
}

impl Unit {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Number, Self::Seconds];

    /// The word it travels as.
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Seconds => "seconds",
        }
    }
}

/// A value of one row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Null,
    Number(f64),
    /// Microseconds since 1970.
    Time(i64),
    Text(String),
}

impl Scalar {
    pub(super) fn at(column: &ArrayRef, row: usize) -> Self {
        let one = column.slice(row, 1);
        if one.is_null(0) {
            return Self::Null;
        }
        let kind = one.data_type().clone();
        let read = |to: &DataType| cast(&one, to).ok().filter(|value| value.is_valid(0));
        if kind.is_numeric() {
            let number = read(&DataType::Float64);
            return number.map_or(Self::Null, |n| Self::Number(n.as_primitive::<Float64Type>().value(0)));
        }
        if matches!(kind, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64) {
            let time = read(&DataType::Timestamp(TimeUnit::Microsecond, None));
            let micros = |t: ArrayRef| t.as_primitive::<TimestampMicrosecondType>().value(0);
            return time.map_or(Self::Null, |t| Self::Time(micros(t)));
        }
        if kind == DataType::Binary {
            return Self::Text(sketch::shown(one.as_binary::<i32>().value(0)));
        }
        let text = read(&DataType::Utf8);
        text.map_or(Self::Null, |text| Self::Text(text.as_string::<i32>().value(0).to_owned()))
    }

    /// As people read it; `None` where nothing was observed.
    pub(super) fn shown(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Number(number) => Some(number_shown(*number)),
            Self::Time(micros) => {
                let time = jiff::Timestamp::from_microsecond(*micros);
                Some(time.map_or_else(|_| micros.to_string(), |time| time.to_string()))
            }
            Self::Text(text) => Some(cut(text)),
        }
    }

    fn minus(&self, other: &Self) -> Option<(f64, Unit)> {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => Some((a - b, Unit::Number)),
            (Self::Time(a), Self::Time(b)) => Some(((a - b) as f64 / 1e6, Unit::Seconds)),
            _ => None,
        }
    }

    /// The size against which a distance from this is large or small.
    fn size(&self) -> f64 {
        match self {
            Self::Number(number) => number.abs().max(1e-9),
            Self::Time(_) => 86_400.0,
            Self::Null | Self::Text(_) => 1.0,
        }
    }
}

/// At most EXPLAIN_CELL_CHARS_MAX characters of a text.
pub fn cut(text: &str) -> String {
    match text.char_indices().nth(EXPLAIN_CELL_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Whole numbers without a point, others with at most six digits after it.
pub(super) fn number_shown(number: f64) -> String {
    if number == number.trunc() && number.abs() < 1e15 {
        return format!("{number:.0}");
    }
    let text = format!("{number:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    // What rounds to nothing is still something.
    if text == "0" || text == "-0" { format!("{number:e}") } else { text.to_owned() }
}

/// Both sides on one row.
pub(super) fn measure(compare: Compare, sides: &[Scalar], parameters: Vec<String>) -> Measure {
    let shown = |index: usize| sides.get(index).and_then(Scalar::shown);
    let (margin, unit) = margin(compare, sides).unzip();
    let (margin, unit) = (margin.map(clean), unit.unwrap_or(Unit::Number));
    let wanted = match compare {
        Compare::Other => None,
        Compare::Within => shown(1).zip(shown(2)).map(|(low, high)| format!("{low} to {high}")),
        _ => shown(1),
    };
    Measure { actual: shown(0), compare: word(compare).to_owned(), wanted, margin, unit, parameters }
}

fn word(compare: Compare) -> &'static str {
    match compare {
        Compare::AtLeast => ">=",
        Compare::Above => ">",
        Compare::AtMost => "<=",
        Compare::Below => "<",
        Compare::Equal => "=",
        Compare::Within => "within",
        Compare::Other => "",
    }
}

fn margin(compare: Compare, sides: &[Scalar]) -> Option<(f64, Unit)> {
    let less = |a: usize, b: usize| sides.get(a)?.minus(sides.get(b)?);
    match compare {
        Compare::AtLeast | Compare::Above => less(0, 1),
        Compare::AtMost | Compare::Below => less(1, 0),
        Compare::Equal => less(0, 1).map(|(distance, unit)| (-distance.abs(), unit)),
        Compare::Within => {
            let ((low, unit), (high, _)) = (less(0, 1)?, less(2, 0)?);
            Some((low.min(high), unit))
        }
        Compare::Other => None,
    }
}

/// What binary fractions add behind the twelfth digit is not a distance.
fn clean(distance: f64) -> f64 {
    let rounded = (distance * 1e12).round() / 1e12;
    if rounded == 0.0 { 0.0 } else { rounded }
}

/// How much a comparison that is not true is short, against the size of its threshold; 1 where that cannot be said.
pub(super) fn shortfall(compare: Compare, sides: &[Scalar]) -> f64 {
    let short = margin(compare, sides).map(|(margin, _)| (-margin).max(0.0));
    match (short, sides.get(1)) {
        (Some(short), Some(threshold)) => short / threshold.size(),
        _ => 1.0,
    }
}

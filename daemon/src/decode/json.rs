//! Lenient pieces of JSON, borrowed from the text wherever it holds no escapes.
//!
//! In: one JSON value as `&str`. Out: typed structs made of [`Text`], [`Number`], [`Flag`], [`Nested`],
//! [`First`], [`Many`] and [`Items`], or a [`Refusal`]. No generic tree is built, no value gets into an error's words.

mod elements;
mod scan;

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

pub(super) use elements::{First, Many, Raw};

use super::RejectReason;
use crate::limits::{ENVELOPE_EVENTS_MAX, JSON_DEPTH_MAX};

/// Why one JSON value is not an event. `detail` names fields and places, never a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: RejectReason,
    pub(super) detail: Cow<'static, str>,
}

impl Refusal {
    pub(super) fn new(reason: RejectReason, detail: &'static str) -> Self {
        Self { reason, detail: Cow::Borrowed(detail) }
    }
}

/// Reads exactly one JSON value. What a type does not name is skipped without recursion, so the stack that
/// this needs depends on the type and never on the input.
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Refusal> {
    parse_seed(text, PhantomData)
}

/// Like [`parse`], along what `seed` wants.
pub(super) fn parse_seed<'a, S>(text: &'a str, seed: S) -> Result<S::Value, Refusal>
where
    S: DeserializeSeed<'a> + Copy,
{
    if let Ok(value) = scan::read(text, seed) {
        return Ok(value);
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = seed.deserialize(&mut deserializer).map_err(|error| refusal(&error))?;
    deserializer.end().map_err(|error| refusal(&error))?;
    Ok(value)
}

/// The JSON value at the start of `text`, and what follows it.
pub(super) fn split_first(text: &str) -> Result<(&str, &str), Refusal> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    match values.next() {
        Some(value) => Ok((value.map_err(|error| refusal(&error))?.get(), &text[values.byte_offset()..])),
        None => Err(Refusal::new(RejectReason::Empty, "no payload")),
    }
}

/// Reads the JSON that a field holds as a string; `otherwise` names the field where it is none.
pub(super) fn parse_written<'a, T: Deserialize<'a>>(
    written: &'a str,
    otherwise: &'static str,
) -> Result<T, Refusal> {
    check_depth(written)?;
    parse(written).map_err(|refusal| match refusal.reason {
        RejectReason::BadField => refusal,
        reason => Refusal::new(reason, otherwise),
    })
}

/// Refuses an event that nests deeper than JSON_DEPTH_MAX.
pub(super) fn check_depth(text: &str) -> Result<(), Refusal> {
    if depth_exceeds(text, JSON_DEPTH_MAX) {
        return Err(Refusal::new(RejectReason::TooDeep, "nested deeper than the bound"));
    }
    Ok(())
}

fn refusal(error: &serde_json::Error) -> Refusal {
    let words = error.to_string();
    let (reason, what) = if words.starts_with("trailing characters") {
        (RejectReason::TrailingBytes, "more bytes after the JSON value")
    } else if words.starts_with("number out of range") {
        (RejectReason::BadField, "number out of range")
    } else if words.starts_with("duplicate field") {
        (RejectReason::BadField, words.split(" at line ").next().unwrap_or("duplicate field"))
    } else if error.is_eof() {
        (RejectReason::NotJson, "ends inside the JSON value")
    } else if error.is_data() {
        (RejectReason::UnknownFormat, "not a JSON object")
    } else {
        (RejectReason::NotJson, "not JSON")
    };
    let detail = format!("{what} at line {} column {}", error.line(), error.column());
    Refusal { reason, detail: Cow::Owned(detail) }
}

/// Whether brackets nest deeper than `depth_max`. Counting all openers settles it for ordinary records.
fn depth_exceeds(text: &str, depth_max: usize) -> bool {
    let bytes = text.as_bytes();
    let openers: usize = bytes.chunks(usize::from(u8::MAX)).map(openers).sum();
    openers > depth_max && deepest(bytes, depth_max) > depth_max
}

/// How many `{` and `[` are among at most 255 bytes: in a byte, so that many are counted at once.
fn openers(bytes: &[u8]) -> usize {
    usize::from(bytes.iter().map(|byte| u8::from(byte | 0x20 == b'{')).sum::<u8>())
}

fn deepest(bytes: &[u8], enough: usize) -> usize {
    let (mut depth, mut deepest, mut in_string, mut at) = (0_usize, 0, false, 0);
    while at < bytes.len() && deepest <= enough {
        match bytes[at] {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    deepest
}

/// First of `values` that is not absent, else absent.
pub(super) fn first_of<'a>(values: &[&'a str]) -> &'a str {
    values.iter().find(|value| !value.is_empty()).copied().unwrap_or_default()
}

/// Text of a string, number or boolean; "" stands for absent. Providers write the words `null`, `unknown`
/// and `-` for nothing: those are absent too, and so are objects and arrays where text was expected.
#[derive(Debug, Default)]
pub(super) struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    /// "" where absent.
    pub(super) fn get(&self) -> &str {
        &self.0
    }

    /// The integer that it is.
    pub(super) fn number(&self) -> Number {
        Number::of(&self.0)
    }

    /// The boolean that it is.
    pub(super) fn flag(&self) -> Flag {
        Flag::of(&self.0)
    }

    /// The same, borrowed from nothing.
    pub(super) fn into_owned(self) -> Text<'static> {
        Text(Cow::Owned(self.0.into_owned()))
    }
}

fn is_nothing(text: &str) -> bool {
    match text.len() {
        0 => true,
        1 => text == "-",
        4 => text.eq_ignore_ascii_case("null"),
        7 => text.eq_ignore_ascii_case("unknown"),
        _ => false,
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

pub(super) struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Text<'de>, E> {
        Ok(if is_nothing(v) { Text::default() } else { Text(Cow::Borrowed(v)) })
    }

    fn visit_str<E>(self, v: &str) -> Result<Text<'de>, E> {
        Ok(if is_nothing(v) { Text::default() } else { Text(Cow::Owned(v.to_owned())) })
    }

    fn visit_bool<E>(self, v: bool) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(if v { "true" } else { "false" })))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(v.to_string())))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(v.to_string())))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(v.to_string())))
    }

    fn visit_unit<E>(self) -> Result<Text<'de>, E> {
        Ok(Text::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Text<'de>, A::Error> {
        drain_seq(seq).map(|()| Text::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Text<'de>, A::Error> {
        drain_map(map).map(|()| Text::default())
    }
}

fn drain_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

fn drain_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

/// An integer written as number or string.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    /// Missing, null, or one of the words for nothing.
    #[default]
    Absent,
    /// An integer.
    Value(i64),
    /// There is something, but no integer.
    Unreadable,
}

impl Number {
    /// The integer, if there is one.
    pub(super) fn value(self) -> Option<i64> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Unreadable => None,
        }
    }

    /// The integer that `text` is.
    pub(super) fn of(text: &str) -> Self {
        if is_nothing(text) {
            return Self::Absent;
        }
        text.trim().parse().map_or(Self::Unreadable, Self::Value)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

struct NumberVisitor;

impl<'de> Visitor<'de> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_i64<E>(self, v: i64) -> Result<Number, E> {
        Ok(Number::Value(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Number, E> {
        Ok(i64::try_from(v).map_or(Number::Unreadable, Number::Value))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Number, E> {
        let whole = v.fract() == 0.0 && v.abs() < 9.0e15;
        Ok(if whole { Number::Value(v as i64) } else { Number::Unreadable })
    }

    fn visit_str<E>(self, v: &str) -> Result<Number, E> {
        Ok(Number::of(v))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Number, E> {
        Ok(Number::Unreadable)
    }

    fn visit_unit<E>(self) -> Result<Number, E> {
        Ok(Number::Absent)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Number, A::Error> {
        drain_seq(seq).map(|()| Number::Unreadable)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Number, A::Error> {
        drain_map(map).map(|()| Number::Unreadable)
    }
}

/// A boolean written as boolean, number or word (`"true"`, `"False"`, `"Yes"`); `None` where it says nothing.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flag(pub(super) Option<bool>);

impl Flag {
    /// Present and true.
    pub(super) fn is_set(self) -> bool {
        self.0 == Some(true)
    }

    fn of(text: &str) -> Self {
        let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
        Self(match () {
            () if is(&["true", "yes", "1"]) => Some(true),
            () if is(&["false", "no", "0"]) => Some(false),
            () => None,
        })
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::deserialize(deserializer).map(|text| text.flag())
    }
}

/// An object; or the text that some producers write in its place (a JSON string); else absent.
#[derive(Debug, Default)]
pub(super) enum Nested<'a, T> {
    /// Missing, null, or of another kind.
    #[default]
    Absent,
    /// The object.
    Object(T),
    /// A string, which may hold the object's JSON.
    Written(Cow<'a, str>),
}

impl<T> Nested<'_, T> {
    /// The object, if it is one.
    pub(super) fn object(&self) -> Option<&T> {
        match self {
            Self::Object(object) => Some(object),
            Self::Absent | Self::Written(_) => None,
        }
    }
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for Nested<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NestedVisitor(PhantomData))
    }
}

struct NestedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for NestedVisitor<T> {
    type Value = Nested<'de, T>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Nested::Object)
    }

    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Self::Value, E> {
        Ok(Nested::Written(Cow::Borrowed(v)))
    }

    fn visit_str<E>(self, v: &str) -> Result<Self::Value, E> {
        Ok(Nested::Written(Cow::Owned(v.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        drain_seq(seq).map(|()| Nested::Absent)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Nested::Absent)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Nested::Absent)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Nested::Absent)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Nested::Absent)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Nested::Absent)
    }
}

/// The JSON of each element of an array, unparsed, so that a bad one cannot take its neighbours down.
#[derive(Debug, Default)]
pub(super) struct Items<'a> {
    /// At most ENVELOPE_EVENTS_MAX of them.
    pub(super) elements: Vec<&'a str>,
    /// Whether there were more.
    pub(super) overflowed: bool,
}

impl<'a> Items<'a> {
    /// An envelope of one.
    pub(super) fn one(element: &'a str) -> Self {
        Self { elements: vec![element], overflowed: false }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ItemsVisitor)
    }
}

struct ItemsVisitor;

impl<'de> Visitor<'de> for ItemsVisitor {
    type Value = Items<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Items<'de>, A::Error> {
        let mut items = Items::default();
        while items.elements.len() < ENVELOPE_EVENTS_MAX {
            let Some(element) = seq.next_element::<Raw<'_>>()? else { return Ok(items) };
            items.elements.push(element.0);
        }
        items.overflowed = seq.next_element::<IgnoredAny>()?.is_some();
        drain_seq(seq).map(|()| items)
    }
}

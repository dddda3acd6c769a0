//! A serde deserializer for one JSON text that is valid UTF-8, made for records of many short strings.
//!
//! In: `&str`. Out: what the type asked for, or [`Unsure`]: the text is no JSON, does not fit the type, or has
//! something that this leaves to serde_json. Whatever it accepts, serde_json accepts with the same outcome; the rest is
//! serde_json's to judge and to put into words.

use std::fmt;

use memchr::memchr;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::elements::RAW_NAME;

/// Brackets inside a value that no type asks for, at most: one bit each.
const SKIPPED_DEPTH_MAX: u32 = u64::BITS;
/// Digits of an integer that cannot overflow.
const PLAIN_DIGITS_MAX: usize = 18;
/// One in each byte, and the highest bit of each.
const ONES: u64 = u64::MAX / 255;
const HIGHS: u64 = ONES << 7;

/// Not read here. What is wrong, if anything is, serde_json says.
#[derive(Debug)]
pub(super) struct Unsure;

impl fmt::Display for Unsure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("to be read by serde_json")
    }
}

impl std::error::Error for Unsure {}

impl Error for Unsure {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// What `seed` makes of `text`, which is exactly one JSON value.
pub(super) fn read<'de, S: DeserializeSeed<'de>>(text: &'de str, seed: S) -> Result<S::Value, Unsure> {
    let mut scan = Scan { text, at: 0 };
    let value = seed.deserialize(&mut scan)?;
    scan.skip_blanks();
    if scan.at == text.len() { Ok(value) } else { Err(Unsure) }
}

/// A place in the text. Always at a character boundary between two tokens.
struct Scan<'de> {
    text: &'de str,
    at: usize,
}

/// A string's text between its quotes.
struct Quoted<'de> {
    text: &'de str,
    escaped: bool,
}

impl<'de> Scan<'de> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// The first byte of the next token, which stays.
    fn next(&mut self) -> Result<u8, Unsure> {
        self.skip_blanks();
        self.peek().ok_or(Unsure)
    }

    fn take(&mut self, wanted: u8) -> Result<(), Unsure> {
        if self.next()? != wanted {
            return Err(Unsure);
        }
        self.at += 1;
        Ok(())
    }

    fn take_word(&mut self, word: &str) -> Result<(), Unsure> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(Unsure);
        }
        self.at += word.len();
        Ok(())
    }

    /// The string that opens here.
    fn quoted(&mut self) -> Result<Quoted<'de>, Unsure> {
        let start = self.at + 1;
        let (mut end, mut escaped) = (special(self.text.as_bytes(), start), false);
        loop {
            match self.text.as_bytes().get(end) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    end = special(self.text.as_bytes(), self.escape_end(end)?);
                }
                Some(_) | None => return Err(Unsure),
            }
        }
        self.at = end + 1;
        Ok(Quoted { text: self.text.get(start..end).ok_or(Unsure)?, escaped })
    }

    fn escape_end(&self, backslash: usize) -> Result<usize, Unsure> {
        match self.text.as_bytes().get(backslash + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(backslash + 2),
            Some(b'u') => {
                let digits = self.text.as_bytes().get(backslash + 2..backslash + 6).ok_or(Unsure)?;
                if digits.iter().all(u8::is_ascii_hexdigit) { Ok(backslash + 6) } else { Err(Unsure) }
            }
            Some(_) | None => Err(Unsure),
        }
    }

    fn visit_quoted<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Unsure> {
        let Quoted { text, escaped } = self.quoted()?;
        if !escaped {
            return visitor.visit_borrowed_str(text);
        }
        visitor.visit_string(unescape(text)?)
    }

    /// The number that starts here, and whether it is an integer of few digits.
    fn number(&mut self) -> Result<(&'de str, bool), Unsure> {
        let (text, start) = (self.text, self.at);
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let whole = self.digits()?;
        if whole > 1 && text.as_bytes()[self.at - whole] == b'0' {
            return Err(Unsure);
        }
        let mut plain = whole <= PLAIN_DIGITS_MAX && !(negative && text.as_bytes()[self.at - whole] == b'0');
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
            plain = false;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
            plain = false;
        }
        Ok((&text[start..self.at], plain))
    }

    fn digits(&mut self) -> Result<usize, Unsure> {
        let rest = &self.text.as_bytes()[self.at..];
        let count = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(Unsure) } else { Ok(count) }
    }

    fn visit_number<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Unsure> {
        let (text, plain) = self.number()?;
        if !plain {
            return serde_json::Deserializer::from_str(text).deserialize_any(visitor).map_err(|_| Unsure);
        }
        let magnitude = |digits: &str| digits.bytes().fold(0_u64, |n, b| n * 10 + u64::from(b - b'0'));
        match text.strip_prefix('-') {
            Some(digits) => visitor.visit_i64(-(magnitude(digits) as i64)),
            None => visitor.visit_u64(magnitude(text)),
        }
    }

    /// Past the value that starts here, checking its grammar.
    fn skip_value(&mut self) -> Result<(), Unsure> {
        let (mut depth, mut objects) = (0, 0_u64);
        loop {
            match self.next()? {
                b'"' => {
                    self.quoted()?;
                }
                b'{' | b'[' if depth == SKIPPED_DEPTH_MAX => return Err(Unsure),
                open @ (b'{' | b'[') => {
                    self.at += 1;
                    let is_object = open == b'{';
                    if self.next()? != closing(is_object) {
                        (depth, objects) = (depth + 1, objects << 1 | u64::from(is_object));
                        if is_object {
                            self.skip_name()?;
                        }
                        continue;
                    }
                    self.at += 1;
                }
                b't' => self.take_word("true")?,
                b'f' => self.take_word("false")?,
                b'n' => self.take_word("null")?,
                _ => {
                    self.number()?;
                }
            }
            loop {
                if depth == 0 {
                    return Ok(());
                }
                let in_object = objects & 1 == 1;
                let byte = self.next()?;
                self.at += 1;
                if byte == b',' {
                    if in_object {
                        self.skip_name()?;
                    }
                    break;
                }
                if byte != closing(in_object) {
                    return Err(Unsure);
                }
                (depth, objects) = (depth - 1, objects >> 1);
            }
        }
    }

    fn skip_name(&mut self) -> Result<(), Unsure> {
        if self.next()? != b'"' {
            return Err(Unsure);
        }
        self.quoted()?;
        self.take(b':')
    }
}

/// A string's text with its escapes, which are well-formed, read. Surrogates without their other half are serde_json's.
fn unescape(mut text: &str) -> Result<String, Unsure> {
    let mut plain = String::with_capacity(text.len());
    while let Some(at) = memchr(b'\\', text.as_bytes()) {
        plain.push_str(&text[..at]);
        let (escape, rest) = text[at + 1..].split_at_checked(1).ok_or(Unsure)?;
        text = rest;
        plain.push(match escape {
            "b" => '\u{8}',
            "f" => '\u{c}',
            "n" => '\n',
            "r" => '\r',
            "t" => '\t',
            "u" => code_point(&mut text)?,
            itself => itself.chars().next().ok_or(Unsure)?,
        });
    }
    plain.push_str(text);
    Ok(plain)
}

/// The character whose escape `text` goes on with, without its `\u`; takes a pair's second half too.
fn code_point(text: &mut &str) -> Result<char, Unsure> {
    let high = code_unit(text)?;
    if let Some(character) = char::from_u32(high) {
        return Ok(character);
    }
    *text = text.strip_prefix("\\u").ok_or(Unsure)?;
    let units = [high, code_unit(text)?].map(|unit| unit as u16);
    let mut characters = char::decode_utf16(units);
    match (characters.next(), characters.next()) {
        (Some(Ok(character)), None) => Ok(character),
        _ => Err(Unsure),
    }
}

fn code_unit(text: &mut &str) -> Result<u32, Unsure> {
    let (digits, rest) = text.split_at_checked(4).ok_or(Unsure)?;
    *text = rest;
    u32::from_str_radix(digits, 16).map_err(|_| Unsure)
}

fn closing(is_object: bool) -> u8 {
    if is_object { b'}' } else { b']' }
}

/// The first place from `at` on of a quote, a backslash or a control character; else the end or beyond.
fn special(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        // Bytes with a borrow are exact up to and including the first: only that one is looked at.
        let is = |byte: u8| {
            let other = word ^ (ONES * u64::from(byte));
            other.wrapping_sub(ONES) & !other
        };
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (is(b'"') | is(b'\\') | control) & HIGHS;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..0x20);
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(is_special).unwrap_or(rest.len())
}

impl<'de> Deserializer<'de> for &mut Scan<'de> {
    type Error = Unsure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unsure> {
        match self.next()? {
            b'"' => self.visit_quoted(visitor),
            b'{' => {
                self.at += 1;
                let value = visitor.visit_map(Members { scan: self, first: true })?;
                self.take(b'}').map(|()| value)
            }
            b'[' => {
                self.at += 1;
                let value = visitor.visit_seq(Members { scan: self, first: true })?;
                self.take(b']').map(|()| value)
            }
            b'n' => self.take_word("null").and_then(|()| visitor.visit_unit()),
            b't' => self.take_word("true").and_then(|()| visitor.visit_bool(true)),
            b'f' => self.take_word("false").and_then(|()| visitor.visit_bool(false)),
            _ => self.visit_number(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unsure> {
        if self.next()? == b'n' {
            return self.take_word("null").and_then(|()| visitor.visit_none());
        }
        visitor.visit_some(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unsure> {
        self.skip_value().and_then(|()| visitor.visit_unit())
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unsure> {
        if name != RAW_NAME {
            return visitor.visit_newtype_struct(self);
        }
        self.skip_blanks();
        let (text, start) = (self.text, self.at);
        self.skip_value()?;
        visitor.visit_borrowed_str(&text[start..self.at])
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Unsure> {
        Err(Unsure)
    }

    /// Only what is a string is read as one: a byte buffer may hold broken surrogates.
    fn deserialize_bytes<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Unsure> {
        Err(Unsure)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Unsure> {
        Err(Unsure)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string unit unit_struct seq tuple
        tuple_struct map struct identifier
    }
}

/// What is between two brackets.
struct Members<'s, 'de> {
    scan: &'s mut Scan<'de>,
    first: bool,
}

impl Members<'_, '_> {
    /// Whether a further member starts here; what closes them stays.
    fn another(&mut self, close: u8) -> Result<bool, Unsure> {
        let byte = self.scan.next()?;
        if byte == close {
            return Ok(false);
        }
        if !std::mem::take(&mut self.first) {
            self.scan.take(b',')?;
            // No value starts with a closing bracket: a trailing comma fails where the member is read.
        }
        Ok(true)
    }
}

impl<'de> MapAccess<'de> for Members<'_, 'de> {
    type Error = Unsure;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Unsure> {
        if !self.another(b'}')? {
            return Ok(None);
        }
        if self.scan.next()? != b'"' {
            return Err(Unsure);
        }
        seed.deserialize(Name(self.scan)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Unsure> {
        self.scan.take(b':')?;
        seed.deserialize(&mut *self.scan)
    }
}

impl<'de> SeqAccess<'de> for Members<'_, 'de> {
    type Error = Unsure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Unsure> {
        if !self.another(b']')? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.scan).map(Some)
    }
}

/// A member's name: always a string.
struct Name<'s, 'de>(&'s mut Scan<'de>);

impl<'de> Deserializer<'de> for Name<'_, 'de> {
    type Error = Unsure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unsure> {
        self.0.visit_quoted(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map struct identifier ignored_any option newtype_struct enum
    }
}

#[cfg(test)]
mod tests {
    use std::marker::PhantomData;
    use std::path::Path;

    use serde::de::IgnoredAny;
    use serde_json::Value;

    use super::*;

    /// What is accepted here is what serde_json makes of it.
    fn check(text: &str) -> bool {
        let value = read(text, PhantomData::<Value>);
        if let Ok(value) = &value {
            assert_eq!(serde_json::from_str::<Value>(text).ok().as_ref(), Some(value), "{text}");
        }
        if read(text, PhantomData::<IgnoredAny>).is_ok() {
            assert!(serde_json::from_str::<IgnoredAny>(text).is_ok(), "{text}");
        }
        value.is_ok()
    }

    fn fixture_lines() -> Vec<String> {
        let formats = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/decode");
        let inputs = formats.read_dir().unwrap().map(|f| f.unwrap().path().join("input.jsonl"));
        inputs
            .flat_map(|f| std::fs::read_to_string(f).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn every_valid_record_is_read_here_and_never_by_serde_json() {
        for line in fixture_lines().iter().filter(|line| serde_json::from_str::<Value>(line).is_ok()) {
            assert!(check(line), "{line}");
        }
    }

    #[test]
    fn mutated_records_are_accepted_only_where_serde_json_accepts_them() {
        const BYTES: &[u8] = b"\"\\{}[]:,0-1.eE+tfnu \n\t\x01\x7f/";
        let mut random = 1_u64;
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % below
        };
        let mut accepted = 0;
        for line in fixture_lines() {
            for _ in 0..60 {
                let mut bytes = line.clone().into_bytes();
                for _ in 0..=next(2) {
                    let at = next(bytes.len());
                    match next(3) {
                        0 => bytes[at] = BYTES[next(BYTES.len())],
                        1 => bytes.insert(at, BYTES[next(BYTES.len())]),
                        _ => drop(bytes.remove(at)),
                    }
                }
                accepted += String::from_utf8(bytes).is_ok_and(|text| check(&text)) as usize;
            }
        }
        assert!(accepted > 1_000, "{accepted}");
    }

    #[test]
    fn hard_cases_are_judged_as_serde_json_judges_them() {
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        for text in [
            "",
            " ",
            "1",
            " [ ] ",
            "{}",
            "[1,]",
            "{\"a\":1,}",
            "{,}",
            "[,1]",
            "01",
            "-",
            "-0",
            "-01",
            "1.",
            ".5",
            "1e",
            "1e5",
            "1e999",
            "-1e-7",
            "123456789012345678",
            "1234567890123456789",
            "18446744073709551616",
            "-9223372036854775809",
            "\"\\u00e9\"",
            "\"\\ud800\"",
            "\"\\ud83d\\ude00\"",
            "\"\\ude00\\ud83d\"",
            "\"\\ud83d\\ud83d\"",
            "\"\\ud83dx\"",
            "\"\\b\\f\\n\\r\\t\\/\\\\\\\"é\\u00E9\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"a\tb\"",
            "\"é\u{7f}\"",
            "nul",
            "nulll",
            "true1",
            "[true false]",
            "{\"a\" 1}",
            "{\"a\":}",
            "{1:2}",
            "[1}",
            "{\"a\":[1}]",
            "\"open",
            "{\"a\":\"\\\\\",\"b\":2}",
            "{\"a\":1,\"a\":2}",
            "[\"\\\"\"]",
            "1 2",
            &deep,
        ] {
            check(text);
        }
    }
}

//! Reads tables of a TOML file key by key, so that every mistake has a line and none hides another.
//!
//! In: parsed TOML with spans. Out: typed values with their [`Place`]. A value that could not be read is
//! reported here, once, and stands in as empty: later checks skip empty text.

mod dated;

use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::errors::{Place, Problems, nearest};
use super::facts::Validity;
use crate::limits::{REGISTRY_ID_BYTES_MAX, REGISTRY_LIST_MAX, REGISTRY_TEXT_BYTES_MAX};

/// One text and where its lines start.
pub(crate) struct TextFile {
    name: Arc<str>,
    text: String,
    line_starts: Vec<usize>,
}

impl TextFile {
    pub(crate) fn new(name: &str, text: String) -> Self {
        let newlines = memchr::memchr_iter(b'\n', text.as_bytes()).map(|i| i + 1);
        let line_starts = std::iter::once(0).chain(newlines).collect();
        Self { name: name.into(), text, line_starts }
    }

    pub(crate) fn place(&self, span: Range<usize>) -> Place {
        Place { file: self.name.clone(), line: self.line_starts.partition_point(|s| *s <= span.start) }
    }

    /// The whole text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The span with which `line`, from 1, is named where a parser tells lines only.
    pub(super) fn span_of(&self, line: usize) -> Range<usize> {
        let last = self.line_starts.last().copied().unwrap_or(0);
        let start = self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or(last);
        start..start
    }

    /// The parsed document; syntax errors are reported, all of them.
    pub(crate) fn parse(&self, problems: &mut Problems) -> Spanned<DeTable<'_>> {
        let (document, errors) = DeTable::parse_recoverable(&self.text);
        for error in errors {
            let place = self.place(error.span().unwrap_or(0..0));
            let message = format!("not valid TOML: {}", error.message().replace('\n', ", "));
            problems.error(&place, message, "correct the syntax; see toml.io".to_owned());
        }
        document
    }
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Located<T> {
    pub value: T,
    pub place: Place,
}

/// One table of a file, such as one `[[pilot]]`, read key by key.
pub(crate) struct Entry<'a> {
    file: &'a TextFile,
    label: &'a str,
    table: &'a DeTable<'a>,
    span: Range<usize>,
    asked: Vec<&'static str>,
}

/// Calls `each` for every table under a key of the document; reports keys that are not in `kinds`.
pub(crate) fn each_entry<'a>(
    file: &'a TextFile,
    document: &'a DeTable<'a>,
    kinds: &[&'static str],
    problems: &mut Problems,
    mut each: impl FnMut(&str, Entry<'_>, &mut Problems),
) {
    for (key, value) in document {
        let kind: &str = key.get_ref();
        let place = file.place(key.span());
        if !kinds.contains(&kind) {
            problems.error(&place, format!("unknown table `{}`", shown(kind)), choices(kind, kinds));
            continue;
        }
        let label = format!("[[{kind}]]");
        let Some(items) = value.get_ref().as_array() else {
            let fix = format!("write {label} with two brackets: there may be many");
            problems.error(
                &place,
                format!("`{kind}` is {}, expected an array of tables", type_of(value)),
                fix,
            );
            continue;
        };
        for item in items {
            match Entry::new(file, &label, item) {
                Some(entry) => each(kind, entry, problems),
                None => not_a_table(&file.place(item.span()), &label, item, problems),
            }
        }
    }
}

fn not_a_table(place: &Place, label: &str, item: &Spanned<DeValue<'_>>, problems: &mut Problems) {
    let message = format!("{label} holds {}, expected a table", type_of(item));
    problems.error(place, message, "write { key = value, ... }".to_owned());
}

impl<'a> Entry<'a> {
    /// `None` where `item` is no table; `label` is what mistakes call it.
    pub(super) fn new(file: &'a TextFile, label: &'a str, item: &'a Spanned<DeValue<'a>>) -> Option<Self> {
        let table = item.get_ref().as_table()?;
        Some(Self { file, label, table, span: item.span(), asked: Vec::new() })
    }

    /// Where the table starts.
    pub(crate) fn place(&self) -> Place {
        self.file.place(self.span.clone())
    }

    fn get(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.push(key);
        self.table.get(key)
    }

    /// Notes that `key` is read elsewhere.
    pub(crate) fn has(&mut self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    fn required(&mut self, key: &'static str, problems: &mut Problems) -> Option<&'a Spanned<DeValue<'a>>> {
        let found = self.get(key);
        if found.is_none() {
            let message = format!("{} lacks `{key}`", self.label);
            problems.error(&self.place(), message, format!("add `{key} = ...`"));
        }
        found
    }

    fn wrong_type(&self, key: &str, found: &Spanned<DeValue<'_>>, expected: &str, problems: &mut Problems) {
        let message = format!("{} `{key}` is {}, expected {expected}", self.label, type_of(found));
        problems.error(
            &self.file.place(found.span()),
            message,
            format!("write `{key} = {}`", example(expected)),
        );
    }

    /// Text that must be there; empty after an error.
    pub(crate) fn text(&mut self, key: &'static str, problems: &mut Problems) -> Located<String> {
        let found = self.required(key, problems);
        let read = found.and_then(|v| self.read_text(key, v, problems));
        read.unwrap_or_else(|| Located { value: String::new(), place: self.place() })
    }

    /// Text that may be there.
    pub(crate) fn text_if_any(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<Located<String>> {
        let found = self.get(key)?;
        self.read_text(key, found, problems)
    }

    fn read_text(
        &self,
        key: &str,
        found: &Spanned<DeValue<'_>>,
        problems: &mut Problems,
    ) -> Option<Located<String>> {
        let Some(text) = found.get_ref().as_str() else {
            self.wrong_type(key, found, "text", problems);
            return None;
        };
        let place = self.file.place(found.span());
        if text.trim().is_empty() || text.len() > REGISTRY_TEXT_BYTES_MAX {
            let message = format!(
                "{} `{key}` has {} bytes, expected 1 to {REGISTRY_TEXT_BYTES_MAX} that are not all blank",
                self.label,
                text.len()
            );
            problems.error(&place, message, format!("give `{key}` a value of that length"));
            return None;
        }
        Some(Located { value: text.to_owned(), place })
    }

    /// An id: text without blanks or control characters; empty after an error.
    pub(crate) fn id(&mut self, key: &'static str, problems: &mut Problems) -> Located<String> {
        let id = self.text(key, problems);
        if is_id(&id.value) || id.value.is_empty() {
            return id;
        }
        let message = format!(
            "{} `{key}` is `{}`, expected up to {REGISTRY_ID_BYTES_MAX} bytes without blanks",
            self.label,
            shown(&id.value)
        );
        problems.error(&id.place, message, "use letters, digits, `-`, `_`, `.`, `@`".to_owned());
        Located { value: String::new(), ..id }
    }

    /// A member of a closed set that must be there.
    pub(crate) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
        problems: &mut Problems,
    ) -> Option<T> {
        let text = self.text(key, problems);
        if text.value.is_empty() {
            return None;
        }
        let found = words.iter().find(|(name, _)| *name == text.value);
        if found.is_none() {
            let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
            let message = format!("{} has unknown {key} `{}`", self.label, shown(&text.value));
            problems.error(&text.place, message, choices(&text.value, &names));
        }
        found.map(|(_, member)| *member)
    }

    /// true or false; false where absent.
    pub(crate) fn flag(&mut self, key: &'static str, problems: &mut Problems) -> bool {
        let Some(found) = self.get(key) else { return false };
        let flag = found.get_ref().as_bool();
        if flag.is_none() {
            self.wrong_type(key, found, "true or false", problems);
        }
        flag.unwrap_or(false)
    }

    /// true or false that must be there.
    pub(crate) fn flag_required(&mut self, key: &'static str, problems: &mut Problems) -> bool {
        match self.required(key, problems) {
            Some(_) => self.flag(key, problems),
            None => false,
        }
    }

    /// A number within `range`.
    pub(crate) fn number(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<f64>,
        problems: &mut Problems,
    ) -> Option<f64> {
        let found = self.get(key)?;
        let value = match found.get_ref() {
            DeValue::Integer(i) => i64::from_str_radix(i.as_str(), i.radix()).ok().map(|i| i as f64),
            DeValue::Float(x) => x.as_str().parse::<f64>().ok(),
            DeValue::String(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                self.wrong_type(key, found, "a number", problems);
                return None;
            }
        };
        let within = value.filter(|v| range.contains(v));
        if within.is_none() {
            let (low, high) = (range.start(), range.end());
            let message = format!("{} `{key}` is out of range, expected {low} to {high}", self.label);
            let fix = format!("write a number from {low} to {high}");
            problems.error(&self.file.place(found.span()), message, fix);
        }
        within
    }

    /// A number without a fraction within `range`.
    pub(crate) fn whole_number(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<f64>,
        problems: &mut Problems,
    ) -> Option<f64> {
        let number = self.number(key, range, problems)?;
        if number.fract() != 0.0 {
            let place = self.table.get(key).map_or_else(|| self.place(), |v| self.file.place(v.span()));
            let message = format!("{} `{key}` is no whole number", self.label);
            problems.error(&place, message, "write a number without a fraction".to_owned());
            return None;
        }
        Some(number)
    }

    /// A number within `range` that must be there.
    pub(crate) fn number_required(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<f64>,
        problems: &mut Problems,
    ) -> Option<f64> {
        self.required(key, problems)?;
        self.number(key, range, problems)
    }

    /// Microseconds since 1970 of a time that may be there.
    pub(crate) fn time_if_any(&mut self, key: &'static str, problems: &mut Problems) -> Option<i64> {
        let found = self.get(key)?;
        let text = match found.get_ref() {
            DeValue::String(s) => s.to_string(),
            DeValue::Datetime(d) => d.to_string(),
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                self.wrong_type(key, found, "a time", problems);
                return None;
            }
        };
        match text.parse::<Timestamp>() {
            Ok(time) => Some(time.as_microsecond()),
            Err(_) => {
                let message =
                    format!("{} `{key}` is `{}`, expected a time with an offset", self.label, shown(&text));
                let fix = format!("write `{key} = {}`", example("a time"));
                problems.error(&self.file.place(found.span()), message, fix);
                None
            }
        }
    }

    /// Microseconds since 1970 of a time that must be there; 0 after an error.
    pub(crate) fn time(&mut self, key: &'static str, problems: &mut Problems) -> i64 {
        if self.required(key, problems).is_none() {
            return 0;
        }
        self.time_if_any(key, problems).unwrap_or(0)
    }

    /// The interval from `from` to `to`, each absent for always.
    pub(crate) fn validity(&mut self, problems: &mut Problems) -> Validity {
        let from = self.time_if_any("from", problems).unwrap_or(i64::MIN);
        let to = self.time_if_any("to", problems).unwrap_or(i64::MAX);
        self.ordered("from", from, "to", to, problems);
        Validity { from, to }
    }

    /// Reports an interval that ends before it starts.
    pub(crate) fn ordered(&self, start: &str, from: i64, end: &str, to: i64, problems: &mut Problems) {
        if from < to {
            return;
        }
        let message = format!("{} has `{end}` at or before `{start}`: it never holds", self.label);
        let place = self.table.get(end).map_or_else(|| self.place(), |v| self.file.place(v.span()));
        problems.error(&place, message, format!("make `{end}` later than `{start}`"));
    }

    /// Texts that may be there.
    pub(crate) fn list(&mut self, key: &'static str, problems: &mut Problems) -> Vec<Located<String>> {
        let Some(found) = self.get(key) else { return Vec::new() };
        let Some(items) = found.get_ref().as_array() else {
            self.wrong_type(key, found, "a list of texts", problems);
            return Vec::new();
        };
        self.short_enough(key, found, items.len(), problems);
        let kept = items.iter().take(REGISTRY_LIST_MAX);
        kept.filter_map(|item| self.read_text(key, item, problems)).collect()
    }

    /// One text or a list of at least one that may be there.
    pub(crate) fn texts_if_any(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<Vec<Located<String>>> {
        let found = self.get(key)?;
        if found.get_ref().as_array().is_none() {
            return Some(self.read_text(key, found, problems).into_iter().collect());
        }
        let texts = self.list(key, problems);
        if found.get_ref().as_array().is_some_and(|items| items.is_empty()) {
            let message = format!("{} `{key}` is an empty list: it never holds", self.label);
            problems.error(&self.file.place(found.span()), message, "name at least one text".to_owned());
        }
        Some(texts)
    }

    fn short_enough(&self, key: &str, found: &Spanned<DeValue<'_>>, length: usize, problems: &mut Problems) {
        if length > REGISTRY_LIST_MAX {
            let message =
                format!("{} `{key}` has {length} entries, expected at most {REGISTRY_LIST_MAX}", self.label);
            let place = self.file.place(found.span());
            problems.error(&place, message, "use prefixes that end in `*`, or split the entry".to_owned());
        }
    }

    /// Texts that must be there; the list may be empty.
    pub(crate) fn list_required(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Vec<Located<String>> {
        match self.required(key, problems) {
            Some(_) => self.list(key, problems),
            None => Vec::new(),
        }
    }

    /// Calls `each` for every table in the array under `key`.
    pub(crate) fn tables(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
        mut each: impl FnMut(Entry<'_>, &mut Problems),
    ) {
        let Some(found) = self.get(key) else { return };
        let Some(items) = found.get_ref().as_array() else {
            self.wrong_type(key, found, "a list of tables", problems);
            return;
        };
        let label = format!("{} {key}", self.label);
        self.short_enough(key, found, items.len(), problems);
        for item in items.iter().take(REGISTRY_LIST_MAX) {
            match Entry::new(self.file, &label, item) {
                Some(entry) => each(entry, problems),
                None => not_a_table(&self.file.place(item.span()), &label, item, problems),
            }
        }
    }

    /// Calls `each` for the table under `key`; `false` where the value is no table.
    pub(crate) fn table_if_any(&mut self, key: &'static str, each: impl FnOnce(Entry<'_>)) -> bool {
        let Some(found) = self.get(key) else { return false };
        let label = format!("{} {key}", self.label);
        let Some(entry) = Entry::new(self.file, &label, found) else { return false };
        each(entry);
        true
    }

    /// Reports keys that nobody asked for. Call it last.
    pub(crate) fn finish(self, problems: &mut Problems) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if !self.asked.contains(&name) {
                let message = format!("{} has unknown key `{}`", self.label, shown(name));
                problems.error(&self.file.place(key.span()), message, choices(name, &self.asked));
            }
        }
    }
}

/// What to write instead of `found`.
pub(crate) fn choices(found: &str, allowed: &[&str]) -> String {
    let mut allowed = allowed.to_vec();
    allowed.sort_unstable();
    allowed.dedup();
    match nearest(found, allowed.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("use one of {}", allowed.join(", ")),
    }
}

/// Text from a file as it may be printed: no control characters, at most 80 characters.
pub(crate) fn shown(text: &str) -> String {
    let clean = text.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let mut shown: String = clean.collect();
    if text.chars().nth(80).is_some() {
        shown.push('…');
    }
    shown
}

fn is_id(text: &str) -> bool {
    text.len() <= REGISTRY_ID_BYTES_MAX && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn type_of(value: &Spanned<DeValue<'_>>) -> &'static str {
    match value.get_ref() {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn example(expected: &str) -> &'static str {
    match expected {
        "text" => "\"...\"",
        "a number" => "1",
        "true or false" => "true",
        "a time" => "\"2026-01-05T00:00:00Z\"",
        "a list of texts" => "[\"...\"]",
        "a list of tables" => "[{ ... }]",
        _ => "...",
    }
}

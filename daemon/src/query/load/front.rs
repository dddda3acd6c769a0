//! The front matter of a query file: TOML in its leading comment.
//!
//! In: the text of a `.sql` file. Out: typed keys with their places, and the SQL after them. Every mistake is
//! reported with the line on which it stands in the `.sql` file; none hides another.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::registry::errors::{Place, Problems};
use crate::registry::reader::{TextFile, choices, shown};

const FENCE: &str = "-- ---";

/// A query file cut in two. Both parts keep the file's line numbers.
pub(super) struct Halves {
    /// The front matter as TOML, empty lines standing for everything else.
    pub front: TextFile,
    /// What follows it.
    pub sql: String,
    /// Line of the file on which `sql` starts, from 1.
    pub sql_line: usize,
}

/// Cuts `text`; `None` after an error.
pub(super) fn cut(name: &str, text: &str, problems: &mut Problems) -> Option<Halves> {
    let mut fences = text.lines().enumerate().filter(|(_, line)| line.trim_end() == FENCE).map(|(i, _)| i);
    let (Some(0), Some(closing)) = (fences.next(), fences.next()) else {
        let place = Place { file: name.into(), line: 1 };
        let message = format!(
            "the front matter is missing: expected TOML in `-- ` lines between two lines `{FENCE}`, the first of them line 1"
        );
        problems.error(
            &place,
            message,
            format!("start the file with `{FENCE}`, `-- id = \"...\"`, ..., `{FENCE}`"),
        );
        return None;
    };
    let mut toml = String::from("\n");
    for (index, line) in text.lines().enumerate().take(closing).skip(1) {
        let Some(content) = line.strip_prefix("--") else {
            let place = Place { file: name.into(), line: index + 1 };
            problems.error(
                &place,
                "a line of the front matter is not a comment".to_owned(),
                "start it with `-- `".to_owned(),
            );
            return None;
        };
        toml.push_str(content.strip_prefix(' ').unwrap_or(content));
        toml.push('\n');
    }
    let sql = text.lines().skip(closing + 1).fold(String::new(), |sql, line| sql + line + "\n");
    Some(Halves { front: TextFile::new(name, toml), sql, sql_line: closing + 2 })
}

/// The keys of a front matter, asked for one by one.
pub(super) struct Keys<'a> {
    file: &'a TextFile,
    table: &'a DeTable<'a>,
    asked: Vec<&'static str>,
}

impl<'a> Keys<'a> {
    /// The keys of a parsed front matter.
    pub(super) fn new(file: &'a TextFile, table: &'a DeTable<'a>) -> Self {
        Self { file, table, asked: Vec::new() }
    }

    fn get(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.push(key);
        self.table.get(key)
    }

    /// Where the value of `key` stands; the first line where there is none.
    pub(super) fn place(&self, key: &str) -> Place {
        self.file.place(self.table.get(key).map_or(0..0, Spanned::span))
    }

    fn wrong(&self, key: &str, expected: &str, fix: &str, problems: &mut Problems) {
        let found = self.table.get(key).map_or("missing", |v| v.get_ref().type_str());
        let message = format!("front matter `{key}` is {found}, expected {expected}");
        problems.error(&self.place(key), message, fix.to_owned());
    }

    /// Text that must be there; empty after an error.
    pub(super) fn text(&mut self, key: &'static str, problems: &mut Problems) -> String {
        let found = self.get(key).and_then(|v| v.get_ref().as_str()).filter(|t| !t.trim().is_empty());
        if found.is_none() {
            self.wrong(key, "a text", &format!("write `-- {key} = \"...\"`"), problems);
        }
        found.unwrap_or_default().to_owned()
    }

    /// Text that may be there.
    pub(super) fn optional(&mut self, key: &'static str, problems: &mut Problems) -> Option<String> {
        self.table.contains_key(key).then(|| self.text(key, problems)).or_else(|| {
            self.asked.push(key);
            None
        })
    }

    /// One of `words`; the first where the key is absent.
    pub(super) fn word(
        &mut self,
        key: &'static str,
        words: &[&'static str],
        problems: &mut Problems,
    ) -> &'static str {
        let Some(found) = self.get(key) else { return words[0] };
        let text = found.get_ref().as_str().unwrap_or_default();
        words.iter().find(|w| **w == text).copied().unwrap_or_else(|| {
            self.wrong(key, &format!("one of {}", words.join(", ")), &choices(text, words), problems);
            words[0]
        })
    }

    /// A whole number within `range` that must be there; the least of the range after an error.
    pub(super) fn whole(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i64>,
        problems: &mut Problems,
    ) -> i64 {
        let found = self.get(key).and_then(|v| whole_of(v.get_ref())).filter(|n| range.contains(n));
        found.unwrap_or_else(|| {
            let expected = format!("a whole number from {} to {}", range.start(), range.end());
            self.wrong(key, &expected, &format!("write `-- {key} = {}`", range.start()), problems);
            *range.start()
        })
    }

    /// true or false; false where absent.
    pub(super) fn flag(&mut self, key: &'static str, problems: &mut Problems) -> bool {
        let Some(found) = self.get(key) else { return false };
        found.get_ref().as_bool().unwrap_or_else(|| {
            self.wrong(key, "true or false", &format!("write `-- {key} = true`"), problems);
            false
        })
    }

    /// Texts; none where absent.
    pub(super) fn texts(&mut self, key: &'static str, problems: &mut Problems) -> Vec<String> {
        self.list(key, "a list of texts", problems, |v| v.as_str().map(str::to_owned))
    }

    /// Positive whole numbers; none where absent.
    pub(super) fn wholes(&mut self, key: &'static str, problems: &mut Problems) -> Vec<i64> {
        self.list(key, "a list of whole numbers above 0", problems, |v| whole_of(v).filter(|n| *n > 0))
    }

    fn list<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        problems: &mut Problems,
        read: impl Fn(&DeValue<'_>) -> Option<T>,
    ) -> Vec<T> {
        let Some(found) = self.get(key) else { return Vec::new() };
        let items = found.get_ref().as_array();
        let read = items.and_then(|items| items.iter().map(|i| read(i.get_ref())).collect());
        read.unwrap_or_else(|| {
            self.wrong(key, expected, &format!("write `-- {key} = [...]`"), problems);
            Vec::new()
        })
    }

    /// `[parameters]`: finite numbers by name, with their places.
    pub(super) fn parameters(&mut self, problems: &mut Problems) -> BTreeMap<String, (f64, Place)> {
        let Some(found) = self.get("parameters") else { return BTreeMap::new() };
        let Some(table) = found.get_ref().as_table() else {
            self.wrong(
                "parameters",
                "a table",
                "write `-- [parameters]` and below it `-- name = 1.0`",
                problems,
            );
            return BTreeMap::new();
        };
        let mut parameters = BTreeMap::new();
        for (name, value) in table {
            let place = self.file.place(value.span());
            let number = number_of(value.get_ref()).filter(|n| n.is_finite());
            if number.is_none() {
                let (name, found) = (shown(name.get_ref()), value.get_ref().type_str());
                let message = format!("parameter `{name}` is {found}, expected a number");
                problems.error(&place, message, format!("write `-- {name} = 1.0`"));
            }
            parameters.insert(name.get_ref().to_string(), (number.unwrap_or_default(), place));
        }
        parameters
    }

    /// Reports keys that nobody asked for. Call it last.
    pub(super) fn finish(self, problems: &mut Problems) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if !self.asked.contains(&name) {
                let message = format!("front matter has unknown key `{}`", shown(name));
                problems.error(&self.file.place(key.span()), message, choices(name, &self.asked));
            }
        }
    }
}

fn whole_of(value: &DeValue<'_>) -> Option<i64> {
    value.as_integer().and_then(|i| i64::from_str_radix(i.as_str(), i.radix()).ok())
}

fn number_of(value: &DeValue<'_>) -> Option<f64> {
    let whole = whole_of(value).map(|n| n as f64);
    whole.or_else(|| value.as_float().and_then(|f| f.as_str().parse().ok()))
}

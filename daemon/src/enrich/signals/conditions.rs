//! How the signal tables compare the value of a column.
//!
//! In: an entry of a table. Out: a comparison, ready to be made in ASCII lower case, or what is wrong with it.

use crate::registry::errors::Problems;
use crate::registry::reader::Entry;

/// A column and what it is compared with.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    /// Place in the list of columns that the entry may look at.
    pub column: usize,
    pub test: Test,
}

/// A condition and perhaps another, both of which must hold.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    pub(super) condition: Condition,
    pub(super) also: Option<Condition>,
}

impl Mark {
    /// Whether it holds for one row, given as to [`Condition::holds`].
    pub(super) fn holds(&self, lower: &[Option<String>]) -> bool {
        self.condition.holds(lower) && self.also.as_ref().is_none_or(|also| also.holds(lower))
    }
}

impl Condition {
    /// Whether it holds for one row; `lower` is in the order of the columns and in ASCII lower case.
    pub(super) fn holds(&self, lower: &[Option<String>]) -> bool {
        lower[self.column].as_deref().is_some_and(|value| self.test.matches(value))
    }

    /// The column and comparison of an entry that must have them.
    pub(super) fn read(
        entry: &mut Entry<'_>,
        columns: &[&'static str],
        problems: &mut Problems,
    ) -> Option<Self> {
        let words: Vec<(&'static str, usize)> = columns.iter().enumerate().map(|(i, n)| (*n, i)).collect();
        let column = entry.word("column", &words, problems);
        let test = Test::read(entry, problems);
        Some(Self { column: column?, test: test? })
    }

    /// The second condition of an entry, if it has one.
    pub(super) fn read_also(
        entry: &mut Entry<'_>,
        columns: &[&'static str],
        problems: &mut Problems,
    ) -> Option<Self> {
        let mut also = None;
        let asked_for_more = entry.has("also");
        let is_table = entry.table_if_any("also", |mut table| {
            also = Self::read(&mut table, columns, problems);
            table.finish(problems);
        });
        if asked_for_more && !is_table {
            let fix = "write also = { column = \"...\", equals = \"...\" }".to_owned();
            problems.error(&entry.place(), "`also` is not a table".to_owned(), fix);
        }
        also
    }
}

/// One comparison with any of some texts, which are in ASCII lower case, or with none in particular.
#[derive(Debug, Clone)]
pub(super) struct Test {
    comparison: Comparison,
    texts: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
enum Comparison {
    Equals,
    Prefix,
    Suffix,
    Contains,
    Word,
    /// Whatever it is.
    Present,
}

const COMPARISONS: [(&str, Comparison); 5] = [
    ("equals", Comparison::Equals),
    ("prefix", Comparison::Prefix),
    ("suffix", Comparison::Suffix),
    ("contains", Comparison::Contains),
    ("word", Comparison::Word),
];

impl Test {
    /// Whether any of the texts fits; `value` is in ASCII lower case.
    pub(super) fn matches(&self, value: &str) -> bool {
        let fits = |text: &String| match self.comparison {
            Comparison::Equals => value == text,
            Comparison::Prefix => value.starts_with(text.as_str()),
            Comparison::Suffix => value.ends_with(text.as_str()),
            Comparison::Contains => value.contains(text.as_str()),
            Comparison::Word => value.split(' ').any(|word| word == text),
            Comparison::Present => true,
        };
        self.texts.iter().any(fits)
    }

    /// How many texts a value is compared with.
    pub(super) fn text_count(&self) -> usize {
        self.texts.len()
    }

    /// The one comparison of an entry.
    pub(super) fn read(entry: &mut Entry<'_>, problems: &mut Problems) -> Option<Self> {
        let mut found = Vec::new();
        for (key, comparison) in COMPARISONS {
            if let Some(texts) = entry.texts_if_any(key, problems) {
                let texts = texts.into_iter().map(|text| text.value.to_ascii_lowercase()).collect();
                found.push(Self { comparison, texts });
            }
        }
        if entry.flag("present", problems) {
            found.push(Self { comparison: Comparison::Present, texts: vec![String::new()] });
        }
        if found.len() != 1 {
            let message = format!("{} comparisons, expected exactly one", found.len());
            let fix = "give one of equals, prefix, suffix, contains, word, or present = true".to_owned();
            problems.error(&entry.place(), message, fix);
            return None;
        }
        found.pop()
    }
}

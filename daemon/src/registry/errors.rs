//! What is wrong with a folder of TOML files, collected and printed the way a compiler does.
//!
//! In: findings of the reader and the checks. Out: [`RegistryErrors`]. Nothing here stops at the first mistake.

use std::fmt;
use std::sync::Arc;

use crate::limits::REGISTRY_ERRORS_MAX;

/// Where something stands: a file and a line from 1; line 0 means the file or folder as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// File as it was named, relative folders kept.
    pub file: Arc<str>,
    /// Line from 1, or 0.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}

/// One mistake, for a person.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegistryError {
    /// File as it was named.
    pub file: String,
    /// Line from 1; 0 means the file or folder as a whole.
    pub line: usize,
    /// What was found and what was expected.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.message)?;
        match self.line {
            0 => writeln!(f, "  --> {}", self.file)?,
            line => writeln!(f, "  --> {}:{line}", self.file)?,
        }
        write!(f, "  fix: {}", self.fix)
    }
}

/// Every mistake of one load, in file and line order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryErrors {
    /// The first REGISTRY_ERRORS_MAX of them.
    pub errors: Vec<RegistryError>,
    /// How many more there were.
    pub more: usize,
}

impl fmt::Display for RegistryErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.errors.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n\n" };
            write!(f, "{separator}error: {error}")?;
        }
        if self.more > 0 {
            write!(f, "\n\nand {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for RegistryErrors {}

/// Collects mistakes and warnings while files are read and checked.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    errors: Vec<RegistryError>,
    more: usize,
    warnings: Vec<RegistryError>,
}

impl Problems {
    pub(crate) fn error(&mut self, place: &Place, message: String, fix: String) {
        if self.errors.len() >= REGISTRY_ERRORS_MAX {
            self.more += 1;
            return;
        }
        self.errors.push(RegistryError { file: place.file.to_string(), line: place.line, message, fix });
    }

    pub(crate) fn warning(&mut self, place: &Place, message: String, fix: String) {
        if self.warnings.len() < REGISTRY_ERRORS_MAX {
            let (file, line) = (place.file.to_string(), place.line);
            self.warnings.push(RegistryError { file, line, message, fix });
        }
    }

    /// Whether another error would still be kept: dear explanations are only worked out then.
    pub(crate) fn has_room(&self) -> bool {
        self.errors.len() < REGISTRY_ERRORS_MAX
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// The warnings if there was no error, both in file and line order.
    pub(crate) fn finish(mut self) -> Result<Vec<RegistryError>, RegistryErrors> {
        self.errors.sort();
        self.warnings.sort();
        if self.errors.is_empty() {
            return Ok(self.warnings);
        }
        Err(RegistryErrors { errors: self.errors, more: self.more })
    }
}

/// The candidate nearest to `word`, if it is near enough to have been meant.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near_enough = word.chars().count().div_ceil(3).max(1);
    candidates
        .into_iter()
        .filter(|c| c.len().abs_diff(word.len()) <= near_enough * 4)
        .map(|c| (edit_distance(word, c), c))
        .filter(|(distance, _)| *distance <= near_enough)
        .min()
        .map(|(_, c)| c)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_word_is_suggested_only_when_near() {
        let keys = ["owner", "team", "profile"];
        for (word, expected) in [
            ("ower", Some("owner")),
            ("temas", Some("team")),
            ("xyzzy", None),
            ("", None),
            ("ownér", Some("owner")),
        ] {
            assert_eq!(nearest(word, keys), expected, "{word}");
        }
    }

    #[test]
    fn errors_beyond_the_bound_are_counted() {
        let mut problems = Problems::default();
        let place = Place { file: "a.toml".into(), line: 3 };
        for _ in 0..REGISTRY_ERRORS_MAX + 5 {
            problems.error(&place, "m".into(), "f".into());
        }
        let errors = problems.finish().unwrap_err();
        assert_eq!((errors.errors.len(), errors.more), (REGISTRY_ERRORS_MAX, 5));
        assert!(errors.to_string().ends_with("and 5 more"));
    }
}

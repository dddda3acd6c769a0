//! Texts with an optional `*` at the end, and an index that finds those that a value matches.
//!
//! In: patterns from the registry. Out: what was filed under each that matches. A lookup costs one hash for
//! the exact value and one for each distinct prefix length, however many patterns there are.

use std::collections::HashMap;

/// An exact text, or the start of one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// The whole text.
    Exact(String),
    /// Its start; written with a `*` at the end.
    Prefix(String),
}

impl Pattern {
    /// Reads `text` or `text*`. `None` for a `*` elsewhere and for a bare `*`, which would claim everything.
    pub fn parse(text: &str) -> Option<Self> {
        let (body, is_prefix) = text.strip_suffix('*').map_or((text, false), |start| (start, true));
        if body.is_empty() || body.contains('*') {
            return None;
        }
        let body = body.to_owned();
        Some(if is_prefix { Self::Prefix(body) } else { Self::Exact(body) })
    }

    /// Whether `text` is meant.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => text == exact,
            Self::Prefix(start) => text.starts_with(start.as_str()),
        }
    }

    /// The text without the `*`.
    pub fn text(&self) -> &str {
        let (Self::Exact(text) | Self::Prefix(text)) = self;
        text
    }

    /// The same pattern in ASCII lower case.
    pub fn to_lower(&self) -> Self {
        match self {
            Self::Exact(text) => Self::Exact(text.to_ascii_lowercase()),
            Self::Prefix(text) => Self::Prefix(text.to_ascii_lowercase()),
        }
    }
}

/// What is filed under patterns, found by value.
#[derive(Debug)]
pub struct PatternIndex<T> {
    exact: HashMap<String, Vec<T>>,
    prefixes: HashMap<String, Vec<T>>,
    /// Ascending and unique, so that what is found comes in a fixed order.
    prefix_lengths: Vec<usize>,
}

impl<T> Default for PatternIndex<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), prefixes: HashMap::new(), prefix_lengths: Vec::new() }
    }
}

impl<T> PatternIndex<T> {
    /// Files `item` under `pattern`.
    pub fn insert(&mut self, pattern: &Pattern, item: T) {
        match pattern {
            Pattern::Exact(text) => self.exact.entry(text.clone()).or_default().push(item),
            Pattern::Prefix(text) => {
                if let Err(place) = self.prefix_lengths.binary_search(&text.len()) {
                    self.prefix_lengths.insert(place, text.len());
                }
                self.prefixes.entry(text.clone()).or_default().push(item);
            }
        }
    }

    /// Everything filed under a pattern that `value` matches: exact ones first, then ever longer prefixes.
    pub fn find<'a>(&'a self, value: &'a str) -> impl Iterator<Item = &'a T> {
        let lengths = self.prefix_lengths.iter().take_while(|length| **length <= value.len());
        let prefixes = lengths.filter_map(|length| self.prefixes.get(value.get(..*length)?));
        self.exact.get(value).into_iter().chain(prefixes).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_is_exact_or_a_start() {
        for (pattern, text, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/*", "a/b/c", true),
            ("a/*", "a/", true),
            ("a/*", "a", false),
            ("é*", "é1", true),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(text), expected, "{pattern} {text}");
        }
        for refused in ["", "*", "a*b", "**", "*a"] {
            assert_eq!(Pattern::parse(refused), None, "{refused}");
        }
    }

    #[test]
    fn index_finds_what_its_patterns_match() {
        let mut index = PatternIndex::default();
        for pattern in ["abc", "a*", "ab*", "é*", "abc*"] {
            index.insert(&Pattern::parse(pattern).unwrap(), pattern);
        }
        for (value, expected) in
            [("abc", vec!["abc", "a*", "ab*", "abc*"]), ("ax", vec!["a*"]), ("é", vec!["é*"]), ("", vec![])]
        {
            assert_eq!(index.find(value).copied().collect::<Vec<_>>(), expected, "{value}");
        }
    }
}

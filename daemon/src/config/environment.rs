//! Environment variables that override keys: `SHADOWPROD__KAFKA__BROKERS` is `kafka.brokers`.
//!
//! In: variables. Out: the path and the values that each may mean. Two underscores nest, a number is a place in
//! a list, and below `properties` one underscore is the dot of a Kafka property.

use toml::de::DeValue;

use super::tree::Step;

const PREFIX: &str = "SHADOWPROD__";

/// One override.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Override {
    pub(super) path: Vec<Step>,
    pub(super) variable: String,
    /// As it was set.
    pub(super) raw: String,
}

impl Override {
    /// As TOML where it is a number, a truth value or a list; as text otherwise.
    pub(super) fn value(&self) -> DeValue<'_> {
        let value = match DeValue::parse(&self.raw) {
            Ok(value) => value.into_inner(),
            Err(_) => return self.text(),
        };
        match value {
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Array(_) => value,
            DeValue::String(_) | DeValue::Datetime(_) | DeValue::Table(_) => self.text(),
        }
    }

    /// As text, whatever it looks like.
    pub(super) fn text(&self) -> DeValue<'_> {
        DeValue::String(self.raw.as_str().into())
    }
}

/// The process's environment, as far as names are text.
pub(super) fn process() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
}

/// The overrides among `variables`, list elements in order.
pub(super) fn overrides(variables: impl IntoIterator<Item = (String, String)>) -> Vec<Override> {
    let mut found: Vec<Override> = variables
        .into_iter()
        .filter_map(|(variable, raw)| {
            let path = path(variable.strip_prefix(PREFIX)?);
            Some(Override { path, variable, raw })
        })
        .collect();
    found.sort();
    found
}

fn path(name: &str) -> Vec<Step> {
    let words: Vec<String> = name.split("__").map(str::to_lowercase).collect();
    let is_property = words.len() == 3 && words[0] == "kafka" && words[1].starts_with("properties");
    let step = |(i, word): (usize, String)| match word.parse() {
        Ok(index) => Step::Index(index),
        Err(_) if is_property && i == 2 => Step::Key(word.replace('_', ".")),
        Err(_) => Step::Key(word),
    };
    words.into_iter().enumerate().map(step).collect()
}

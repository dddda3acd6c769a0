//! From text and environment to a [`Config`], collecting every mistake instead of stopping at the first.
//!
//! In: TOML text, overrides. Out: a validated config or all problems in order. What cannot be read is reported,
//! taken out of the document, and reading starts over; values are never repeated in a message.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use toml::de::{Error, ValueDeserializer};

use super::environment::{self, Override};
use super::tree::{Document, Step, label};
use super::{Config, ConfigProblem, Place, validate};

/// Structural mistakes reported of one file; nobody reads further.
const PROBLEMS_MAX: usize = 100;

/// Mistakes so far, and the tables in which something was taken out: what they now lack is no new mistake.
#[derive(Default)]
pub(super) struct Problems {
    pub(super) all: Vec<ConfigProblem>,
    pub(super) damaged: Vec<Range<usize>>,
}

impl Problems {
    pub(super) fn add(&mut self, place: Place, message: impl Into<String>, fix: impl Into<String>) {
        self.all.push(ConfigProblem { place, message: message.into(), fix: fix.into() });
    }

    /// By line, then those of the environment.
    fn in_order(mut self) -> Vec<ConfigProblem> {
        self.all.sort_by_key(|p| match &p.place {
            Place::Text { line, column, .. } => (0, *line, *column),
            Place::Variable(_) => (1, 0, 0),
        });
        self.all
    }
}

/// Reads and validates; `folder` is what relative paths are relative to. The config is what could be read, and
/// fit for use only where there is no problem; `None` where the text is no TOML.
pub(super) fn read(
    text: &str,
    variables: impl IntoIterator<Item = (String, String)>,
    folder: &Path,
) -> (Option<Config>, Vec<ConfigProblem>) {
    let mut problems = Problems::default();
    let overrides = environment::overrides(variables);
    let mut document = match Document::parse(text) {
        Ok(document) => document,
        Err(errors) => {
            for (place, message) in errors {
                problems.add(place, format!("not valid TOML: {message}"), "correct the syntax, see toml.io");
            }
            return (None, problems.in_order());
        }
    };
    let as_text = overlay(&mut document, &overrides, &mut problems);
    let config = deserialize(&mut document, as_text, &mut problems);
    let resolved = config.map(|config| resolve(config, folder));
    if let Some(config) = &resolved {
        validate::validate(config, &document, &mut problems);
    }
    (resolved, problems.in_order())
}

fn resolve(mut config: Config, folder: &Path) -> Config {
    let secrets = config.kafka.properties_file.values_mut();
    let queries = config.queries.iter_mut().map(|q| &mut q.path);
    let paths = secrets.chain(queries).chain([&mut config.registry.path, &mut config.state.path]);
    for path in paths.filter(|path| !path.as_os_str().is_empty()) {
        *path = folder.join(&path);
    }
    config
}

/// Puts the overrides into the document; returns those that are no text yet, by variable, for a second try.
fn overlay<'t>(
    document: &mut Document<'t>,
    overrides: &'t [Override],
    problems: &mut Problems,
) -> BTreeMap<&'t str, &'t Override> {
    let mut as_text = BTreeMap::new();
    for entry in overrides {
        let value = entry.value();
        if !value.is_str() {
            as_text.insert(entry.variable.as_str(), entry);
        }
        if document.set(&entry.path, &entry.variable, value).is_none() {
            let place = Place::Variable(entry.variable.clone());
            let message = format!("`{}` cannot be set here", label(&entry.path));
            problems.add(
                place,
                message,
                "number list elements from 0 without a hole, and name keys of tables",
            );
        }
    }
    as_text
}

fn deserialize<'t>(
    document: &mut Document<'t>,
    mut as_text: BTreeMap<&'t str, &'t Override>,
    problems: &mut Problems,
) -> Option<Config> {
    for _ in 0..PROBLEMS_MAX {
        let error = match Config::deserialize(ValueDeserializer::from(document.root.clone())) {
            Ok(config) => return Some(config),
            Err(error) => error,
        };
        let span = error.span().unwrap_or(0..0);
        let place = document.place(&span);
        let Some(path) = document.path_at(&span) else {
            problems.add(place, error.message(), "compare with the example in the README");
            return None;
        };
        if !try_as_text(document, &place, &path, &mut as_text) {
            take_out(document, place, &path, &error, problems);
        }
    }
    None
}

/// A variable that looks like a number or a list may be meant as text.
fn try_as_text<'t>(
    document: &mut Document<'t>,
    place: &Place,
    path: &[Step],
    as_text: &mut BTreeMap<&'t str, &'t Override>,
) -> bool {
    let Place::Variable(variable) = place else { return false };
    let Some(entry) = as_text.remove(variable.as_str()) else { return false };
    document.set(path, variable, entry.text()).is_some()
}

fn take_out(
    document: &mut Document<'_>,
    place: Place,
    path: &[Step],
    error: &Error,
    problems: &mut Problems,
) {
    let found = document.get(path).map_or("nothing", |value| value.type_str());
    let (message, fix) = explain(error.message(), &label(path), found);
    problems.add(place, message, fix);
    let parent = &path[..path.len().saturating_sub(1)];
    problems.damaged.push(document.locate(parent).value);
    document.remove(path);
}

/// serde's words made ours. Its list of allowed words is kept, its copy of the value is not.
fn explain(error: &str, label: &str, found: &str) -> (String, String) {
    let words: Vec<&str> = error.split('`').skip(1).step_by(2).collect();
    if error.starts_with("unknown field") {
        let word = label.rsplit('.').next().unwrap_or(label);
        return (format!("unknown key `{label}`"), choices(word, words.get(1..).unwrap_or(&[])));
    }
    if error.starts_with("unknown variant") {
        let word = words.first().copied().unwrap_or("");
        return (format!("unknown {label} `{word}`"), choices(word, words.get(1..).unwrap_or(&[])));
    }
    match error.rsplit_once("expected ") {
        Some((_, expected)) => {
            let expected = plain(expected);
            (format!("`{label}` is {}, expected {expected}", article(found)), format!("write {expected}"))
        }
        None => {
            (format!("`{label}`: {error}"), "write an address and a port such as 127.0.0.1:9464".to_owned())
        }
    }
}

fn article(kind: &str) -> String {
    let vowel = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if vowel { "an" } else { "a" })
}

fn plain(expected: &str) -> &str {
    match expected {
        "u32" => "a number from 0 to 4294967295",
        "a string" | "path string" => "text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list in [ ]",
        "a map" => "a table",
        "socket address" => "an address and a port such as \"127.0.0.1:9464\"",
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
}

/// What to write instead of `found`.
pub(super) fn choices(found: &str, allowed: &[&str]) -> String {
    let scored = allowed.iter().map(|word| (strsim::normalized_damerau_levenshtein(found, word), word));
    match scored.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((score, word)) if score >= 0.5 => format!("did you mean `{word}`?"),
        Some(_) | None => format!("use one of {}", allowed.join(", ")),
    }
}

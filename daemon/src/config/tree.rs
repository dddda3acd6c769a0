//! The TOML document with the place of every key and value.
//!
//! In: text. Out: a tree that can be searched by place and by path, and changed. Nothing here knows what a
//! key means.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::Place;

/// One step of a path into the document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// `source.0.topic` as steps; property names, which hold dots themselves, are pushed by the caller.
pub(super) fn steps(path: &str) -> Vec<Step> {
    path.split('.')
        .map(|word| word.parse().map_or_else(|_| Step::Key(word.to_owned()), Step::Index))
        .collect()
}

/// A path for a person: keys only, because the line says which element is meant.
pub(super) fn label(path: &[Step]) -> String {
    let keys = path.iter().filter_map(|step| match step {
        Step::Key(key) if key.contains('.') => Some(format!("\"{key}\"")),
        Step::Key(key) => Some(key.clone()),
        Step::Index(_) => None,
    });
    keys.collect::<Vec<_>>().join(".")
}

/// A key or element: where its name and its value stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spans {
    pub(super) key: Range<usize>,
    pub(super) value: Range<usize>,
}

/// Text, its tree, and the environment variables that changed the tree.
pub(super) struct Document<'t> {
    text: &'t str,
    pub(super) root: Spanned<DeValue<'t>>,
    variables: Vec<String>,
}

impl<'t> Document<'t> {
    /// The tree, or all syntax errors as place and message.
    pub(super) fn parse(text: &'t str) -> Result<Self, Vec<(Place, String)>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let root = Spanned::new(table.span(), DeValue::Table(table.into_inner()));
        let document = Self { text, root, variables: Vec::new() };
        if errors.is_empty() {
            return Ok(document);
        }
        let end = text.len()..text.len();
        let place = |e: &toml::de::Error| document.place(&e.span().unwrap_or_else(|| end.clone()));
        Err(errors.iter().map(|e| (place(e), e.message().replace('\n', ", "))).collect())
    }

    /// Sets what `path` names; `None` where something else than a table or list stands in its way, or where it
    /// would leave a hole in a list.
    pub(super) fn set(&mut self, path: &[Step], variable: &str, value: DeValue<'t>) -> Option<()> {
        let start = self.text.len() + 1 + self.variables.len(); // beyond the text; the length tells levels apart
        self.variables.push(variable.to_owned());
        let mut at = &mut self.root;
        for (i, step) in path.iter().enumerate() {
            let empty = match path.get(i + 1) {
                Some(Step::Index(_)) => DeValue::Array(DeArray::new()),
                Some(Step::Key(_)) | None => DeValue::Table(DeTable::new()),
            };
            at = child(at, step, Spanned::new(start..start + i, empty))?;
        }
        *at = Spanned::new(start..start + path.len().saturating_sub(1), value);
        Some(())
    }

    /// Where a place in the tree stands for a person.
    pub(super) fn place(&self, span: &Range<usize>) -> Place {
        if let Some(variable) =
            span.start.checked_sub(self.text.len() + 1).and_then(|i| self.variables.get(i))
        {
            return Place::Variable(variable.clone());
        }
        let before = &self.text[..self.text.floor_char_boundary(span.start)];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let line_rest = self.text[before.len()..].lines().next().unwrap_or("");
        let covered = span.len().min(line_rest.len());
        Place::Text {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            length: line_rest[..line_rest.floor_char_boundary(covered)].chars().count().max(1),
        }
    }

    /// Where `path` stands, or the nearest table above it that is there.
    pub(super) fn locate(&self, path: &[Step]) -> Spans {
        let mut found = Spans { key: self.root.span(), value: self.root.span() };
        let mut at = &self.root;
        for step in path {
            let next = match (at.get_ref(), step) {
                (DeValue::Table(table), Step::Key(key)) => table
                    .get_key_value(key.as_str())
                    .map(|(key, value)| (Spans { key: key.span(), value: value.span() }, value)),
                (DeValue::Array(list), Step::Index(i)) => {
                    list.get(*i).map(|value| (Spans { key: value.span(), value: value.span() }, value))
                }
                (_, _) => None,
            };
            let Some((spans, value)) = next else { break };
            (found, at) = (spans, value);
        }
        found
    }

    /// The value at `path`.
    pub(super) fn get(&self, path: &[Step]) -> Option<&DeValue<'t>> {
        let mut at = self.root.get_ref();
        for step in path {
            at = match step {
                Step::Key(key) => at.get(key.as_str())?.get_ref(),
                Step::Index(i) => at.get(*i)?.get_ref(),
            };
        }
        Some(at)
    }

    /// Path of the key or value that stands exactly at `span`.
    pub(super) fn path_at(&self, span: &Range<usize>) -> Option<Vec<Step>> {
        let mut path = Vec::new();
        search(self.root.get_ref(), span, &mut path).then_some(path)
    }

    /// Removes one key or element.
    pub(super) fn remove(&mut self, path: &[Step]) {
        let Some((last, parents)) = path.split_last() else { return };
        let mut at = &mut self.root;
        for step in parents {
            let missing = Spanned::new(0..0, DeValue::Boolean(false));
            let Some(next) = child(at, step, missing) else { return };
            at = next;
        }
        match (at.get_mut(), last) {
            (DeValue::Table(table), Step::Key(key)) => drop(table.remove(key.as_str())),
            (DeValue::Array(list), Step::Index(i)) => {
                let all = std::mem::replace(list, DeArray::new()).into_iter().enumerate();
                *list = all.filter(|(n, _)| n != i).map(|(_, value)| value).collect();
            }
            (_, _) => {}
        }
    }
}

/// The child of `at`, created as `empty` where a table lacks it or a list ends just before it.
fn child<'a, 't>(
    at: &'a mut Spanned<DeValue<'t>>,
    step: &Step,
    empty: Spanned<DeValue<'t>>,
) -> Option<&'a mut Spanned<DeValue<'t>>> {
    match (at.get_mut(), step) {
        (DeValue::Table(table), Step::Key(key)) => {
            Some(table.entry(Spanned::new(empty.span(), Cow::Owned(key.clone()))).or_insert(empty))
        }
        (DeValue::Array(list), Step::Index(i)) => {
            if *i == list.len() {
                list.push(empty);
            }
            list.get_mut(*i)
        }
        (_, _) => None,
    }
}

fn search(at: &DeValue<'_>, span: &Range<usize>, path: &mut Vec<Step>) -> bool {
    let mut found = |step: Step, key: Option<Range<usize>>, value: &Spanned<DeValue<'_>>| {
        path.push(step);
        let hit = key.as_ref() == Some(span) || value.span() == *span || search(value.get_ref(), span, path);
        if !hit {
            path.pop();
        }
        hit
    };
    match at {
        DeValue::Table(table) => {
            table.iter().any(|(k, v)| found(Step::Key(k.get_ref().to_string()), Some(k.span()), v))
        }
        DeValue::Array(list) => list.iter().enumerate().any(|(i, v)| found(Step::Index(i), None, v)),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => false,
    }
}

//! One entity of a catalog: its envelope, the references in it, and the tables that it becomes.
//!
//! In: a document. Out: an [`Entity`], or nothing where the document is none. Sources: Backstage's pages
//! "Descriptor Format of Catalog Entities" (envelope, metadata) and "Entity References".

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::registry::entries::Parts;
use crate::registry::errors::{Place, Problems};
use crate::registry::reader::{Entry, TextFile, shown};
use crate::registry::yaml::{Node, Value};

/// What our annotations start with.
pub(super) const PREFIX: &str = "shadowprod.io/";

const DEFAULT_NAMESPACE: &str = "default";

/// A text of an entity and its line.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub value: String,
    pub line: usize,
}

/// A document with `kind` and `metadata.name`.
pub(super) struct Entity<'a> {
    pub file: &'a TextFile,
    pub root: &'a Node,
    /// As written; compared in lower case.
    pub kind: String,
    /// In lower case.
    pub namespace: String,
    pub name: Text,
}

impl<'a> Entity<'a> {
    /// `None` where the document is no entity. One with annotations of ours has to be.
    pub(super) fn read(file: &'a TextFile, root: &'a Node, problems: &mut Problems) -> Option<Self> {
        let metadata = root.get("metadata");
        let kind = root.get("kind").and_then(Node::text);
        let name = metadata.and_then(|m| m.get("name")).and_then(|n| Some((n.text()?, n.line)));
        let namespace = metadata.and_then(|m| m.get("namespace")).and_then(Node::text);
        if let (Some(kind), Some((name, line)), Some(_)) = (kind, name, root.get("apiVersion")) {
            let namespace = namespace.unwrap_or(DEFAULT_NAMESPACE).to_lowercase();
            let name = Text { value: name.to_owned(), line };
            return Some(Self { file, root, kind: kind.to_owned(), namespace, name });
        }
        let annotations = metadata.and_then(|m| m.get("annotations")).map_or(&[][..], Node::pairs);
        if let Some((key, _)) = annotations.iter().find(|(key, _)| key.text.starts_with(PREFIX)) {
            let message = format!(
                "annotation `{}` stands in a document without apiVersion, kind and metadata.name",
                shown(&key.text)
            );
            let fix =
                "make it an entity: `apiVersion: backstage.io/v1alpha1`, `kind: Component`, `metadata: name`";
            problems.error(&file.place(file.span_of(key.line)), message, fix.to_owned());
        }
        None
    }

    /// Whether it is of `kind`, which is in lower case.
    pub(super) fn is(&self, kind: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind)
    }

    /// Whether it may own others.
    pub(super) fn is_owner(&self) -> bool {
        self.is("group") || self.is("user")
    }

    /// Our id of it: the name, after the namespace where that is not the default one.
    pub(super) fn id(&self) -> String {
        id_of(&self.namespace, &self.name.value)
    }

    pub(super) fn place(&self, line: usize) -> Place {
        self.file.place(self.file.span_of(line))
    }

    /// The node under `path`, unless something on the way is missing or null.
    pub(super) fn at(&self, path: &[&str]) -> Option<&'a Node> {
        path.iter().try_fold(self.root, |node, key| node.get(key))
    }

    /// The text under `path` that may be there; what is no text is reported.
    pub(super) fn text(&self, path: &[&str], problems: &mut Problems) -> Option<Text> {
        let node = self.at(path)?;
        self.text_of(&path.join("."), node, problems)
    }

    /// The texts of the list under `path`.
    pub(super) fn texts(&self, path: &[&str], problems: &mut Problems) -> Vec<Text> {
        let Some(node) = self.at(path) else { return Vec::new() };
        match &node.value {
            Value::List(items) => {
                items.iter().filter_map(|item| self.text_of(&path.join("."), item, problems)).collect()
            }
            Value::Null | Value::Text(_) | Value::Mapping(_) => {
                let message =
                    format!("`{}` is {}, expected a list of texts", path.join("."), node.type_name());
                problems.error(&self.place(node.line), message, "write `[one, another]`".to_owned());
                Vec::new()
            }
        }
    }

    /// The text of a node that was named `name`.
    pub(super) fn text_of(&self, name: &str, node: &Node, problems: &mut Problems) -> Option<Text> {
        let Some(value) = node.text() else {
            let message = format!("`{}` is {}, expected a text", shown(name), node.type_name());
            problems.error(&self.place(node.line), message, "write one text, in quotes".to_owned());
            return None;
        };
        Some(Text { value: value.to_owned(), line: node.line })
    }
}

/// `[<kind>:][<namespace>/]<name>`, of a group or a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub is_user: bool,
    /// Our id of what it names.
    pub id: String,
}

impl Reference {
    /// Reads a reference that stands in `namespace`; what it lacks is filled in as Backstage does: the
    /// same namespace, and the kind that the field expects. `None` where it names another kind, or nothing.
    pub(super) fn parse(text: &str, expects_user: bool, namespace: &str) -> Option<Self> {
        let text = text.trim();
        let (kind, rest) = text.split_once(':').map_or((None, text), |(kind, rest)| (Some(kind), rest));
        let (namespace, name) =
            rest.split_once('/').map_or((namespace, rest), |(namespace, name)| (namespace, name));
        let is_user = match kind {
            None => expects_user,
            Some(kind) if kind.eq_ignore_ascii_case("user") => true,
            Some(kind) if kind.eq_ignore_ascii_case("group") => false,
            Some(_) => return None,
        };
        let is_whole = !name.is_empty() && !namespace.is_empty();
        is_whole.then(|| Self { is_user, id: id_of(&namespace.to_lowercase(), name) })
    }
}

fn id_of(namespace: &str, name: &str) -> String {
    if namespace == DEFAULT_NAMESPACE { name.to_owned() } else { format!("{namespace}/{name}") }
}

/// A table as a TOML file would have held it, its values with the lines of the YAML file.
pub(super) struct Table<'a> {
    file: &'a TextFile,
    keys: DeTable<'static>,
}

impl<'a> Table<'a> {
    pub(super) fn new(file: &'a TextFile) -> Self {
        Self { file, keys: DeTable::new() }
    }

    pub(super) fn text(&mut self, key: &'static str, text: Text) {
        self.put(key, text.line, DeValue::String(Cow::Owned(text.value)));
    }

    pub(super) fn flag(&mut self, key: &'static str, flag: bool, line: usize) {
        self.put(key, line, DeValue::Boolean(flag));
    }

    pub(super) fn texts(&mut self, key: &'static str, texts: Vec<Text>, line: usize) {
        let value =
            |text: Text| Spanned::new(self.file.span_of(text.line), DeValue::String(Cow::Owned(text.value)));
        let items: DeArray<'static> = texts.into_iter().map(value).collect();
        self.put(key, line, DeValue::Array(items));
    }

    /// Each table with its line.
    pub(super) fn tables(&mut self, key: &'static str, tables: Vec<(Table<'_>, usize)>, line: usize) {
        let value = |(table, line): (Table<'_>, usize)| {
            Spanned::new(self.file.span_of(line), DeValue::Table(table.keys))
        };
        let items: DeArray<'static> = tables.into_iter().map(value).collect();
        self.put(key, line, DeValue::Array(items));
    }

    fn put(&mut self, key: &'static str, line: usize, value: DeValue<'static>) {
        let span = self.file.span_of(line);
        self.keys.insert(Spanned::new(span.clone(), Cow::Borrowed(key)), Spanned::new(span, value));
    }

    /// Reads it as the table `kind` of a TOML file; mistakes call it `label`.
    pub(super) fn read_as(
        self,
        kind: &str,
        label: &str,
        line: usize,
        parts: &mut Parts,
        problems: &mut Problems,
    ) {
        let item = Spanned::new(self.file.span_of(line), DeValue::Table(self.keys));
        let entry = Entry::new(self.file, label, &item).expect("the value is a table");
        parts.read(kind, entry, problems);
    }
}

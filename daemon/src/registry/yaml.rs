//! Reads YAML into trees in which every scalar is the text that was written, and every node knows its line.
//!
//! In: a text of any origin. Out: one [`Node`] a document; a file with a mistake gives none. No scalar becomes a
//! boolean or a number here: `no`, `on` and `012` stay what they are. An alias shares the node that it names, and
//! counts as if that was written out again.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::errors::Problems;
use super::reader::{TextFile, shown};
use crate::limits::{YAML_DEPTH_MAX, YAML_DOCUMENTS_MAX, YAML_NODES_MAX};

/// One node of a document.
#[derive(Debug)]
pub(super) struct Node {
    /// From 1.
    pub line: usize,
    pub value: Value,
    /// Nodes from here downwards, itself and what aliases stand for included.
    size: usize,
    /// Levels from here downwards, itself included.
    depth: usize,
}

/// What a node holds.
#[derive(Debug)]
pub(super) enum Value {
    /// Nothing, `~` or `null`, without quotes.
    Null,
    Text(String),
    List(Vec<Rc<Node>>),
    /// In the order of the file; no key comes twice.
    Mapping(Vec<(Key, Rc<Node>)>),
}

/// The key of a value.
#[derive(Debug)]
pub(super) struct Key {
    pub text: String,
    /// From 1.
    pub line: usize,
}

impl Node {
    /// The value under `key`, unless it is null.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        let (_, node) = self.pairs().iter().find(|(k, _)| k.text == key)?;
        Some(&**node).filter(|node| !matches!(node.value, Value::Null))
    }

    /// The pairs of a mapping; none where it is something else.
    pub(super) fn pairs(&self) -> &[(Key, Rc<Node>)] {
        match &self.value {
            Value::Mapping(pairs) => pairs,
            Value::Null | Value::Text(_) | Value::List(_) => &[],
        }
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Null | Value::List(_) | Value::Mapping(_) => None,
        }
    }

    /// What it is, for a person.
    pub(super) fn type_name(&self) -> &'static str {
        match self.value {
            Value::Null => "empty",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }
}

/// The documents of `file`. One mistake is reported and leaves none of them; of keys that come twice, each is.
pub(super) fn documents(file: &TextFile, problems: &mut Problems) -> Vec<Rc<Node>> {
    let mut composer = Composer::default();
    let outcome = composer.compose(file.text());
    for mistake in composer.twins.into_iter().chain(outcome.err()) {
        problems.error(&file.place(file.span_of(mistake.line)), mistake.message, mistake.fix);
    }
    composer.documents
}

struct Mistake {
    line: usize,
    message: String,
    fix: String,
}

fn refuse<T>(line: usize, message: String, fix: &str) -> Result<T, Mistake> {
    Err(Mistake { line, message, fix: fix.to_owned() })
}

/// A list or a mapping whose end has not come.
struct Open {
    line: usize,
    anchor: usize,
    is_mapping: bool,
    items: Vec<Rc<Node>>,
}

/// Puts nodes together from what the parser tells.
#[derive(Default)]
struct Composer {
    documents: Vec<Rc<Node>>,
    open: Vec<Open>,
    /// Of the present document.
    anchors: HashMap<usize, Rc<Node>>,
    nodes: usize,
    twins: Vec<Mistake>,
}

impl Composer {
    fn compose(&mut self, text: &str) -> Result<(), Mistake> {
        let outcome = Parser::new_from_str(text).try_for_each(|event| match event {
            Ok((event, span)) => self.take(event, span.start.line()),
            Err(error) => {
                let (line, column) = (error.marker().line(), error.marker().col() + 1);
                let message = format!("not valid YAML at column {column}: {}", shown(error.info()));
                refuse(line, message, "correct the syntax; see yaml.org/spec/1.2.2")
            }
        });
        if outcome.is_err() {
            self.documents.clear();
        }
        outcome
    }

    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Mistake> {
        match event {
            Event::DocumentStart(_) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain && tag.is_none();
                let value = if is_plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
                    Value::Null
                } else {
                    Value::Text(text.into_owned())
                };
                return self.add(Node { line, value, size: 1, depth: 1 }, anchor);
            }
            Event::SequenceStart(anchor, _) => return self.start(line, anchor, false),
            Event::MappingStart(anchor, _) => return self.start(line, anchor, true),
            Event::SequenceEnd | Event::MappingEnd => return self.end(),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return refuse(
                        line,
                        "an alias names nothing that ended before it in this document".to_owned(),
                        WRITE_OUT,
                    );
                };
                self.count(line, node.size)?;
                return self.place(node, line);
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn start(&mut self, line: usize, anchor: usize, is_mapping: bool) -> Result<(), Mistake> {
        self.open.push(Open { line, anchor, is_mapping, items: Vec::new() });
        within_depth(line, self.open.len())
    }

    fn end(&mut self) -> Result<(), Mistake> {
        let Open { line, anchor, is_mapping, items } =
            self.open.pop().expect("the parser ends what it started");
        let size = items.iter().fold(1, |sum: usize, item| sum.saturating_add(item.size));
        let depth = 1 + items.iter().map(|item| item.depth).max().unwrap_or(0);
        let value = if is_mapping { Value::Mapping(self.pairs(items)?) } else { Value::List(items) };
        self.add(Node { line, value, size, depth }, anchor)
    }

    /// Keys and values by turns.
    fn pairs(&mut self, items: Vec<Rc<Node>>) -> Result<Vec<(Key, Rc<Node>)>, Mistake> {
        let mut pairs = Vec::with_capacity(items.len() / 2);
        let mut lines: HashMap<String, usize> = HashMap::new();
        for pair in items.chunks_exact(2) {
            let (line, value) = (pair[0].line, pair[1].clone());
            let Some(text) = pair[0].text() else {
                let message = format!("a key is {}, expected a text", pair[0].type_name());
                return refuse(line, message, "write `key: value`, and texts with braces in quotes");
            };
            match lines.get(text) {
                Some(first) => self.twins.push(Mistake {
                    line,
                    message: format!("key `{}` comes twice, expected once: line {first}", shown(text)),
                    fix: "remove one of the two, or start a new document with `---`".to_owned(),
                }),
                None => {
                    lines.insert(text.to_owned(), line);
                    pairs.push((Key { text: text.to_owned(), line }, value));
                }
            }
        }
        Ok(pairs)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Mistake> {
        let line = node.line;
        self.count(line, 1)?;
        let node = Rc::new(node);
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.place(node, line)
    }

    fn count(&mut self, line: usize, nodes: usize) -> Result<(), Mistake> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= YAML_NODES_MAX {
            return Ok(());
        }
        let message = format!("more than {YAML_NODES_MAX} values with aliases written out");
        refuse(line, message, "split the file, or remove aliases of aliases")
    }

    /// Files a finished node where it belongs; an alias may stand for a deep one.
    fn place(&mut self, node: Rc<Node>, line: usize) -> Result<(), Mistake> {
        within_depth(line, self.open.len() + node.depth)?;
        match self.open.last_mut() {
            Some(parent) => parent.items.push(node),
            None if self.documents.len() >= YAML_DOCUMENTS_MAX => {
                return refuse(line, format!("more than {YAML_DOCUMENTS_MAX} documents"), "split the file");
            }
            None => self.documents.push(node),
        }
        Ok(())
    }
}

const WRITE_OUT: &str = "write out what is meant";

fn within_depth(line: usize, depth: usize) -> Result<(), Mistake> {
    if depth <= YAML_DEPTH_MAX {
        return Ok(());
    }
    refuse(line, format!("nested deeper than {YAML_DEPTH_MAX} levels"), WRITE_OUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> (Vec<Rc<Node>>, Vec<(usize, String)>) {
        let mut problems = Problems::default();
        let found = documents(&TextFile::new("x.yaml", text.to_owned()), &mut problems);
        let errors = problems.finish().err().map_or_else(Vec::new, |e| e.errors);
        (found, errors.into_iter().map(|e| (e.line, e.message)).collect())
    }

    #[test]
    fn scalars_stay_what_was_written() {
        let text = "a: no\nb: on\nc: 012\nd: 1e3\ne: 'null'\nf: ~\ng:\nh: !!str null\ni: |\n  two\n  lines\n";
        let (found, errors) = load(text);
        assert_eq!(errors, []);
        let texts: Vec<Option<&str>> = found[0].pairs().iter().map(|(_, node)| node.text()).collect();
        let kept = ["no", "on", "012", "1e3", "null"].map(Some).into_iter();
        let expected: Vec<_> = kept.chain([None, None, Some("null"), Some("two\nlines\n")]).collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn mistake_names_its_line() {
        for (text, line, message) in [
            ("a: 1\nb: {c: [\n", 3, "not valid YAML at column"),
            ("a: 1\n\tb: 2\n", 1, "not valid YAML at column"),
            ("a: 1\nb: 2\na: 3\n", 3, "key `a` comes twice, expected once: line 1"),
            ("x: {p: 1, p: 2}\n", 1, "key `p` comes twice"),
            ("a: 1\n? [b]\n: 2\n", 2, "a key is a list"),
            ("a: {{ value }}\n", 1, "a key is a mapping"),
            ("a: &x\n  b: *x\n", 2, "names nothing that ended before it"),
            ("a: &x 1\n---\nb: *x\n", 3, "names nothing that ended before it"),
            ("a: *nobody\n", 1, "not valid YAML"),
        ] {
            let (_, errors) = load(text);
            assert_eq!(errors.len(), 1, "{text}: {errors:?}");
            assert!(errors[0].0 == line && errors[0].1.contains(message), "{text}: {errors:?}");
        }
    }

    #[test]
    fn alias_is_shared_and_a_bomb_is_refused() {
        let (found, errors) = load("a: &x [1, 2]\nb: *x\n");
        assert_eq!(errors, []);
        let pairs = found[0].pairs();
        assert!(Rc::ptr_eq(&pairs[0].1, &pairs[1].1));

        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..12 {
            let alias = format!("*a{}", i - 1);
            bomb.push_str(&format!("a{i}: &a{i} [{}]\n", [alias.as_str(); 9].join(", ")));
        }
        let (found, errors) = load(&bomb);
        assert!(found.is_empty());
        assert_eq!(errors, [(6, "more than 500000 values with aliases written out".to_owned())]);
    }

    #[test]
    fn depth_and_documents_are_bounded() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let mut chain = "a0: &a0 [x]\n".to_owned();
        for i in 1..YAML_DEPTH_MAX {
            chain.push_str(&format!("a{i}: &a{i} [*a{}]\n", i - 1));
        }
        for (text, expected) in [
            (nested(YAML_DEPTH_MAX), None),
            (nested(YAML_DEPTH_MAX + 1), Some("nested deeper")),
            (chain, Some("nested deeper")),
            ("--- 1\n".repeat(YAML_DOCUMENTS_MAX), None),
            ("--- 1\n".repeat(YAML_DOCUMENTS_MAX + 1), Some("documents")),
        ] {
            let (found, errors) = load(&text);
            assert_eq!(found.is_empty(), expected.is_some());
            assert_eq!(errors.len(), usize::from(expected.is_some()), "{errors:?}");
            assert!(errors.iter().all(|(_, message)| message.contains(expected.unwrap_or_default())));
        }
    }
}

//! The registry as files: what this company's governance has decided, as TOML.
//!
//! In: facts, one call each. Out: (file name, text) pairs in the registry's format. Nothing here judges.

use std::fmt::Write as _;

use jiff::Timestamp;

/// One TOML value, already written.
pub(crate) struct Literal(String);

pub(crate) fn text(value: &str) -> Literal {
    Literal(format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
}

pub(crate) fn flag(value: bool) -> Literal {
    Literal(value.to_string())
}

pub(crate) fn number(value: i64) -> Literal {
    Literal(value.to_string())
}

/// Microseconds since 1970 as a quoted RFC 3339 time in whole seconds.
pub(crate) fn time(micros: i64) -> Literal {
    text(&format!("{:.0}", Timestamp::from_microsecond(micros).unwrap_or_default()))
}

pub(crate) fn list<S: AsRef<str>>(values: &[S]) -> Literal {
    let quoted: Vec<String> = values.iter().map(|v| text(v.as_ref()).0).collect();
    Literal(format!("[{}]", quoted.join(", ")))
}

/// `{ key = value, ... }`.
pub(crate) fn inline(entries: &[(&str, Literal)]) -> Literal {
    let written: Vec<String> = entries.iter().map(|(k, v)| format!("{k} = {}", v.0)).collect();
    Literal(format!("{{ {} }}", written.join(", ")))
}

pub(crate) fn array(values: Vec<Literal>) -> Literal {
    let written: Vec<String> = values.into_iter().map(|v| format!("\n    {},", v.0)).collect();
    Literal(format!("[{}\n]", written.concat()))
}

/// Files under construction.
#[derive(Debug, Default)]
pub(crate) struct Governance {
    files: Vec<(&'static str, String)>,
}

impl Governance {
    /// Appends `[[kind]]` with these entries to `file`.
    pub(crate) fn table(&mut self, file: &'static str, kind: &str, entries: &[(&str, Literal)]) {
        let index = self.files.iter().position(|(name, _)| *name == file).unwrap_or_else(|| {
            self.files.push((file, String::new()));
            self.files.len() - 1
        });
        let out = &mut self.files[index].1;
        if !out.is_empty() {
            out.push('\n');
        }
        writeln!(out, "[[{kind}]]").expect("writing to a String cannot fail");
        for (key, value) in entries {
            writeln!(out, "{key} = {}", value.0).expect("writing to a String cannot fail");
        }
    }

    /// (file name, text) in the order in which the files were begun.
    pub(crate) fn into_files(self) -> Vec<(String, String)> {
        self.files.into_iter().map(|(name, text)| (name.to_owned(), text)).collect()
    }
}

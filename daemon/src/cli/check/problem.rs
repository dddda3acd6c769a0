//! One problem as a compiler shows it: what, where, the line itself with a caret, and the fix.
//!
//! In: messages of config, registry, signals and queries. Out: text or JSON. Lines that may hold a secret are
//! shown without their value; text from files is shown without control characters.

use std::fmt::Write;
use std::fs;

/// How bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// The daemon refuses this.
    Error,
    /// The daemon runs, but a person should look.
    Warning,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// What is wrong, where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) level: Level,
    /// A file, or `environment variable X`.
    pub(super) place: String,
    /// From 1; 0 means the place as a whole.
    pub(super) line: usize,
    /// From 1; 0 means the line as a whole.
    pub(super) column: usize,
    /// Characters covered.
    pub(super) length: usize,
    pub(super) message: String,
    /// Empty where the message says it.
    pub(super) fix: String,
}

impl Problem {
    /// An error about a place as a whole.
    pub(super) fn error(
        place: impl Into<String>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Error,
            place: place.into(),
            line: 0,
            column: 0,
            length: 0,
            message: message.into(),
            fix: fix.into(),
        }
    }

    /// The same, at a line.
    pub(super) fn at_line(self, line: usize) -> Self {
        Self { line, ..self }
    }

    /// Several lines, the last one empty.
    pub(super) fn rendered(&self, colours: bool) -> String {
        let paint = Paint { colours };
        let level = paint.level(self.level);
        let mut text = format!("{level}{}\n", paint.bold(&format!(": {}", clean(&self.message))));
        let gutter = " ".repeat(self.line.to_string().len());
        writeln!(text, "{gutter}{} {}", paint.blue("-->"), self.where_it_is()).expect(WRITING);
        if let Some((line, column, length)) = self.shown_line() {
            let bar = paint.blue("|");
            let caret = paint.caret(self.level, &"^".repeat(length));
            let number = paint.blue(&self.line.to_string());
            writeln!(text, "{gutter} {bar}\n{number} {bar} {line}").expect(WRITING);
            writeln!(text, "{gutter} {bar} {}{caret}", " ".repeat(column - 1)).expect(WRITING);
        }
        if !self.fix.is_empty() {
            writeln!(text, "{gutter} {} fix: {}", paint.blue("="), clean(&self.fix)).expect(WRITING);
        }
        text
    }

    /// One object: level, file, line, column, message, fix.
    pub(super) fn json(&self) -> serde_json::Value {
        let position = |n: usize| if n == 0 { None } else { Some(n) };
        serde_json::json!({
            "level": self.level.name(),
            "file": self.place,
            "line": position(self.line),
            "column": position(self.column),
            "message": self.message,
            "fix": self.fix,
        })
    }

    fn where_it_is(&self) -> String {
        match (self.line, self.column) {
            (0, _) => self.place.clone(),
            (line, 0) => format!("{}:{line}", self.place),
            (line, column) => format!("{}:{line}:{column}", self.place),
        }
    }

    /// The line of the file, and column and length of what to underline. A line that nobody can read, as in a
    /// file without line breaks, is not shown.
    fn shown_line(&self) -> Option<(String, usize, usize)> {
        let text = fs::read_to_string(&self.place).ok()?;
        let line = text.lines().nth(self.line.checked_sub(1)?)?;
        if line.len() > LINE_BYTES_SHOWN_MAX {
            return None;
        }
        let shown = clean(&without_secret(line));
        let width = shown.chars().count();
        if self.column > 0 && self.column <= width {
            return Some((shown, self.column, self.length.clamp(1, width + 1 - self.column)));
        }
        let indent = shown.chars().take_while(|c| c.is_whitespace()).count();
        Some((shown, indent + 1, (width - indent).max(1)))
    }
}

/// Bytes of a line that is still shown: several rows of a terminal.
const LINE_BYTES_SHOWN_MAX: usize = 500;
const WRITING: &str = "writing to a String cannot fail";
/// A key of this kind, or an address with a user in it, may stand beside a secret.
const SECRET_WORDS: &[&str] = &["password", "secret", "token", "jaas", "key.pem", "://"];

/// The line with everything after `=` masked, if it may hold a secret.
fn without_secret(line: &str) -> String {
    let lower = line.to_lowercase();
    let suspicious = SECRET_WORDS.iter().any(|word| lower.contains(word)) && !lower.contains("_file");
    match line.split_once('=') {
        Some((key, value)) if suspicious && (!lower.contains("://") || value.contains('@')) => {
            format!("{key}= ***")
        }
        Some(_) | None => line.to_owned(),
    }
}

/// Without control characters; a tab is one blank, so that columns stay.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c == '\t' { ' ' } else { c })
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

struct Paint {
    colours: bool,
}

impl Paint {
    fn level(&self, level: Level) -> String {
        self.caret(level, level.name())
    }

    fn caret(&self, level: Level, text: &str) -> String {
        match level {
            Level::Error => self.sgr("1;31", text),
            Level::Warning => self.sgr("1;33", text),
        }
    }

    fn bold(&self, text: &str) -> String {
        self.sgr("1", text)
    }

    fn blue(&self, text: &str) -> String {
        self.sgr("34", text)
    }

    /// A Select Graphic Rendition sequence (ECMA-48) around `text`.
    fn sgr(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

//! Why a query cannot be planned or run, at its place in its file.
//!
//! In: what the engine or our rules say. Out: [`PlanError`]s that point into the file.

use std::fmt;

use datafusion::error::DataFusionError;

use crate::query::QueryText;

/// Why a query cannot be planned or run. Names the file; `Display` is for people.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The SQL is refused by the planner or by our rules.
    #[error("{path}:{line}: {message}")]
    Refused {
        /// The query's file.
        path: String,
        /// Line in that file, from 1.
        line: usize,
        /// What was found and what to do.
        message: String,
    },
    /// The engine failed while running.
    #[error("query `{id}` failed: {source}")]
    Run {
        /// The query.
        id: String,
        /// DataFusion's words.
        #[source]
        source: Box<DataFusionError>,
    },
    /// The engine cannot start.
    #[error("query engine: {0}")]
    Engine(#[source] std::io::Error),
}

impl PlanError {
    pub(in crate::query) fn refused(text: &QueryText, message: impl fmt::Display) -> Self {
        let message = message.to_string();
        let line = line_in(&message).or_else(|| line_of_named(&text.sql, &message)).unwrap_or(1);
        Self::at(text, line, message)
    }

    /// What the engine says of `text`, at the place that it points to.
    pub(in crate::query) fn refused_by_engine(text: &QueryText, error: &DataFusionError) -> Self {
        let message = match error.find_root() {
            DataFusionError::SQL(error, _) => return Self::not_valid_sql(text, &error.to_string()),
            _ => error.strip_backtrace(),
        };
        match error.diagnostic().and_then(|d| d.span) {
            Some(span) => Self::at(text, span.start.line as usize, message),
            None => Self::refused(text, message),
        }
    }

    /// The parser says `sql parser error: Expected: ... at Line: 3, Column: 7`.
    fn not_valid_sql(text: &QueryText, parser: &str) -> Self {
        let what =
            parser.trim_start_matches("sql parser error: ").split(" at Line: ").next().unwrap_or(parser);
        Self::at(text, line_in(parser).unwrap_or(1), format!("not valid SQL: {what}; correct the syntax"))
    }

    fn at(text: &QueryText, line: usize, message: String) -> Self {
        let line = text.sql_line + line.saturating_sub(1);
        Self::Refused { path: text.path.display().to_string(), line, message }
    }
}

/// DataFusion's parser says `Line: 3, Column: 7`.
fn line_in(message: &str) -> Option<usize> {
    let after = message.split("Line: ").nth(1)?;
    after.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}

/// Line of the SQL with the first word that `message` puts in backticks.
fn line_of_named(sql: &str, message: &str) -> Option<usize> {
    let word = message.split('`').nth(1)?;
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    sql.lines().position(|line| line.split(|c| !is_word(c)).any(|found| found == word)).map(|i| i + 1)
}

/// The engine's failure while it ran query `id`.
pub(in crate::query) fn failed(id: &str, source: DataFusionError) -> PlanError {
    PlanError::Run { id: id.to_owned(), source: Box::new(source) }
}

//! Tables whose rows are numbered one by one and forgotten from the oldest on: a number that is missing is a row that
//! was lost, which no checksum of a row can show.
//!
//! In: the numbers of the rows that were read, in order. Out: the first row that should have been among them.

use rusqlite::{Connection, OptionalExtension};

use super::StoreError;

/// The tables that are numbered so.
pub(super) const NUMBERED: [&str; 3] = ["change", "dead_letter", "control"];

/// It may be without rows though numbers were given out: the others keep their newest.
const EMPTIED: &str = "dead_letter";

/// The highest number that a table of NUMBERED ever gave out, 0 before the first. It is under the control checksum.
pub(super) fn last(connection: &Connection, table: &str) -> rusqlite::Result<i64> {
    let last = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = ?1")?
        .query_row([table], |row| row.get(0))
        .optional()?;
    Ok(last.unwrap_or(0))
}

/// Follows the numbers of one table.
pub(super) struct Numbers {
    table: &'static str,
    next: Option<i64>,
}

impl Numbers {
    /// The first is to be `first`.
    pub(super) fn from(table: &'static str, first: i64) -> Self {
        Self { table, next: Some(first) }
    }

    /// The first may be any.
    pub(super) fn of(table: &'static str) -> Self {
        Self { table, next: None }
    }

    /// A row was read.
    pub(super) fn see(&mut self, number: i64) -> Result<(), StoreError> {
        match self.next.replace(number.saturating_add(1)) {
            Some(missing) if missing != number => Err(self.damaged(missing, "it is missing")),
            Some(_) | None => Ok(()),
        }
    }

    /// No row is left to be read, and `last` is the highest number given out.
    pub(super) fn end(&self, last: i64) -> Result<(), StoreError> {
        match self.next {
            Some(next) if next <= last => Err(self.damaged(next, "it is missing")),
            Some(next) if next > last + 1 => Err(self.damaged(next - 1, "its number was never given out")),
            None if last > 0 && self.table != EMPTIED => Err(self.damaged(last, "it is missing")),
            Some(_) | None => Ok(()),
        }
    }

    fn damaged(&self, number: i64, found: &str) -> StoreError {
        StoreError::CorruptRow { table: self.table, key: number.to_string(), found: found.to_owned() }
    }
}

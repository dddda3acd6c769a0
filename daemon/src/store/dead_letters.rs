//! Dead letters on their way out: durable with the step that rejected them, gone once the broker has them.
//!
//! In: letters of a commit, how far they were delivered. Out: rows of `dead_letter`, in the caller's transaction, and
//! what waits. Where DEAD_LETTERS_WAITING_MAX wait already, new ones are dropped and counted: those that are durable
//! are not forgotten, and a flood while no broker answers costs nothing.

use rusqlite::{Connection, params};

use super::numbers::{self, Numbers};
use super::{Quarantined, StoreError, checksum};
use crate::limits;

/// One reject in the form in which it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// `<topic>/<partition>/<offset>/<index>`: the message's key, by which readers drop repeats.
    pub id: String,
    /// Reject reason.
    pub reason: String,
    /// JSON.
    pub body: String,
}

/// Letters that are not yet durable, and how many did not fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetters {
    letters: Vec<DeadLetter>,
    dropped: u64,
    delivered: Option<u64>,
}

impl DeadLetters {
    /// Whether there is nothing to make durable.
    pub fn is_empty(&self) -> bool {
        self.letters.is_empty() && self.dropped == 0 && self.delivered.is_none()
    }

    /// Adds a letter, or counts it where there is no room.
    pub fn add(&mut self, rejected: &Quarantined) {
        if self.letters.len() >= limits::DEAD_LETTERS_WAITING_MAX {
            self.dropped += 1;
            return;
        }
        self.letters.push(DeadLetter {
            id: rejected.id(),
            reason: rejected.reject.reason.name().to_owned(),
            body: rejected.to_json().to_string(),
        });
    }

    /// The broker has every letter up to this number.
    pub fn delivered(&mut self, up_to: u64) {
        self.delivered = self.delivered.max(Some(up_to));
    }
}

/// Removes what is delivered, adds what is new; returns how many letters were dropped.
pub(super) fn write(
    connection: &Connection,
    letters: &DeadLetters,
    rows_max: usize,
) -> rusqlite::Result<u64> {
    if let Some(up_to) = letters.delivered {
        connection.prepare_cached("DELETE FROM dead_letter WHERE seq <= ?1")?.execute([up_to as i64])?;
    }
    if letters.letters.is_empty() {
        return Ok(letters.dropped);
    }
    let room = rows_max.saturating_sub(waiting(connection)? as usize).min(letters.letters.len());
    let mut insert = connection.prepare_cached(
        "INSERT INTO dead_letter (id, reason, body, checksum) VALUES (?1, ?2, ?3, xxh3(?1, ?2, ?3))",
    )?;
    for letter in &letters.letters[..room] {
        insert.execute(params![letter.id, letter.reason, letter.body])?;
    }
    Ok(letters.dropped + (letters.letters.len() - room) as u64)
}

/// How many are not yet known to be delivered.
pub(super) fn waiting(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT count(*) FROM dead_letter")?
        .query_row([], |row| row.get::<_, i64>(0))
        .map(|rows| rows as u64)
}

/// At most `limit` letters with their numbers, which are higher than `after`, in order.
pub(super) fn after(
    connection: &Connection,
    after: u64,
    limit: usize,
) -> Result<Vec<(u64, DeadLetter)>, StoreError> {
    let sql = format!(
        "SELECT seq, id, reason, body, {} FROM dead_letter WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        checksum::fits("dead_letter")
    );
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query((after as i64, limit as i64))?;
    let (mut numbers, mut letters) = (Numbers::of("dead_letter"), Vec::new());
    while let Some(row) = rows.next()? {
        let letter = DeadLetter { id: row.get(1)?, reason: row.get(2)?, body: row.get(3)? };
        if !row.get::<_, bool>(4)? {
            return Err(StoreError::differs("dead_letter", letter.id));
        }
        let seq: i64 = row.get(0)?;
        numbers.see(seq)?;
        letters.push((seq as u64, letter));
    }
    if letters.len() < limit {
        numbers.end(numbers::last(connection, "dead_letter")?)?;
    }
    Ok(letters)
}

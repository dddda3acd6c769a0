//! The few rows on which everything else hangs, under one checksum: offsets, event time, versions, topic numbers.
//!
//! In: a connection. Out: the checksum written, or whether it still fits. SQLite does not check what its pages hold: a
//! flipped bit in an offset would be read as another offset.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use xxhash_rust::xxh3::Xxh3;

use super::{StoreError, sqlite};

/// Key in `meta`.
const CHECKSUM: &str = "control_checksum";
/// Every row that is read at a start and has no checksum of its own, in an order of its own.
const ROWS: [&str; 6] = [
    "SELECT key, value FROM meta WHERE key <> 'control_checksum' ORDER BY key",
    "SELECT number, name FROM topic ORDER BY number",
    "SELECT topic, partition, next_offset, last_payload_hash, last_timestamp_ms FROM checkpoint
     ORDER BY topic, partition",
    "SELECT topic, partition, next_offset, newest_event_micros, idle FROM clock_partition ORDER BY topic, partition",
    "SELECT kind, id, version, sha256 FROM version_in_force ORDER BY kind, id",
    "SELECT rollup, since_micros FROM rollup_start ORDER BY rollup",
];

/// Writes the checksum of what is there; the last statement of whoever changes any of it.
pub(super) fn seal(connection: &Connection) -> rusqlite::Result<()> {
    let (checksum, _) = compute(connection)?;
    sqlite::set_meta(connection, CHECKSUM, &checksum)
}

/// How many rows there are; an error if they are not those that were written. A state from before there was a checksum
/// has none to differ from.
pub(super) fn check(connection: &Connection) -> Result<u64, StoreError> {
    let (found, rows) = compute(connection)?;
    match sqlite::meta(connection, CHECKSUM)? {
        Some(expected) if expected != found => {
            Err(StoreError::CorruptControl { found: found as u64, expected: expected as u64 })
        }
        Some(_) | None => Ok(rows),
    }
}

fn compute(connection: &Connection) -> rusqlite::Result<(i64, u64)> {
    let (mut hasher, mut count) = (Xxh3::new(), 0);
    for sql in ROWS {
        if sql.contains("FROM rollup_start") && !has_rollup_starts(connection)? {
            hasher.update(&[u8::MAX]);
            continue;
        }
        let mut select = connection.prepare_cached(sql)?;
        let columns = select.column_count();
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            (0..columns).try_for_each(|column| add(&mut hasher, row, column))?;
            count += 1;
        }
        // Where one table ends and the next begins.
        hasher.update(&[u8::MAX]);
    }
    Ok((hasher.digest() as i64, count))
}

/// Type, length and bytes: no two rows look the same to the checksum.
fn add(hasher: &mut Xxh3, row: &Row<'_>, column: usize) -> rusqlite::Result<()> {
    let mut put = |kind: u8, bytes: &[u8]| {
        hasher.update(&[kind]);
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    match row.get_ref(column)? {
        ValueRef::Null => put(0, &[]),
        ValueRef::Integer(number) => put(1, &number.to_le_bytes()),
        ValueRef::Real(number) => put(2, &number.to_le_bytes()),
        ValueRef::Text(text) => put(3, text),
        ValueRef::Blob(bytes) => put(4, bytes),
    }
    Ok(())
}

/// A state that was last written before there were any, and read by somebody who may not add the table, has none.
fn has_rollup_starts(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'rollup_start'")?
        .query_row([], |row| row.get(0))
}

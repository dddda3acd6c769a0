//! The few rows on which everything else hangs, under one checksum: offsets, event time, versions, topic numbers, which
//! segments there are, the schema, what was lost.
//!
//! In: a connection. Out: the checksum written, or whether it still fits.

use rusqlite::Connection;

use super::checksum::Checksum;
use super::{StoreError, sqlite};

/// Key in `meta`.
const CHECKSUM: &str = "control_checksum";
/// Every row that is read back and has no checksum of its own, in an order of its own.
const ROWS: [&str; 12] = [
    "SELECT key, value FROM meta WHERE key <> 'control_checksum' ORDER BY key",
    "SELECT number, name FROM topic ORDER BY number",
    "SELECT topic, partition, next_offset, last_payload_hash, last_timestamp_ms FROM checkpoint
     ORDER BY topic, partition",
    "SELECT topic, partition, next_offset, newest_event_micros, idle FROM clock_partition ORDER BY topic, partition",
    "SELECT kind, id, version, sha256 FROM version_in_force ORDER BY kind, id",
    "SELECT rollup, since_micros FROM rollup_start ORDER BY rollup",
    "SELECT id, rollup, version, sha256, checksum FROM segment ORDER BY id",
    "SELECT topic, reason, rejects FROM reject_count ORDER BY topic, reason",
    // The highest numbers given out, which are never used twice.
    "SELECT name, seq FROM sqlite_sequence ORDER BY name",
    "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name",
    "SELECT since_micros, kind, subject, times, amount, sample_first, sample_last FROM loss
     ORDER BY since_micros, kind, subject",
    "SELECT topic, partition, last_offset FROM checkpoint ORDER BY topic, partition",
];

/// Writes the checksum of what is there; the last statement of whoever changes any of it.
pub(super) fn seal(connection: &Connection) -> rusqlite::Result<()> {
    let (checksum, _) = compute(connection, &ROWS)?;
    sqlite::set_meta(connection, CHECKSUM, &checksum)
}

/// How many rows there are; an error if they are not those that were written.
pub(super) fn check(connection: &Connection) -> Result<u64, StoreError> {
    check_all(connection, &ROWS)
}

/// The same, as an older version of the schema wrote it: version 3 was the first.
pub(super) fn check_older(connection: &Connection, version: i64) -> Result<u64, StoreError> {
    let rows = if version == 3 { 10 } else { 11 };
    check_all(connection, &ROWS[..rows])
}

fn check_all(connection: &Connection, selects: &[&str]) -> Result<u64, StoreError> {
    let (found, rows) = compute(connection, selects)?;
    let expected = sqlite::meta(connection, CHECKSUM)?.unwrap_or_default();
    if expected != found {
        let (found, expected) = (found.cast_unsigned(), expected.cast_unsigned());
        return Err(StoreError::CorruptControl { found, expected });
    }
    Ok(rows)
}

fn compute(connection: &Connection, selects: &[&str]) -> rusqlite::Result<(i64, u64)> {
    let (mut checksum, mut count) = (Checksum::default(), 0);
    for sql in selects {
        let mut select = connection.prepare_cached(sql)?;
        let columns = select.column_count();
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            for column in 0..columns {
                checksum.add(row.get_ref(column)?);
            }
            count += 1;
        }
        checksum.end_list();
    }
    Ok((checksum.value(), count))
}

//! States of former versions of this program, made what this version reads.
//!
//! In: a database of an older schema version, in the caller's transaction. Out: the same content under SCHEMA_VERSION, or
//! an error and nothing changed. A version that is not known is refused by name.

use rusqlite::Connection;
use xxhash_rust::xxh3::xxh3_64;

use super::checksum::{self, TABLES};
use super::{StoreError, control, sqlite};

/// The oldest version that is migrated.
pub(super) const OLDEST: i64 = 2;

/// Version 2 had no checksum over the rows of five tables, one over the body alone in `finding`, none over the rows on
/// which everything hangs, and in its first months no `rollup_start`.
const FROM_2: &str = "
    CREATE TABLE IF NOT EXISTS rollup_start (rollup TEXT PRIMARY KEY, since_micros INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    ALTER TABLE finding_past ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE change ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE quarantine ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE dead_letter ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE control ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;";

/// Version 3 did not remember what was lost.
const FROM_3: &str = "
    CREATE TABLE loss (
        since_micros INTEGER NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, times INTEGER NOT NULL,
        amount INTEGER NOT NULL, sample_first INTEGER, sample_last INTEGER,
        PRIMARY KEY (since_micros, kind, subject)
    ) STRICT, WITHOUT ROWID;";

/// Version 4 knew a partition's last message only where it stood right before the next offset.
const FROM_4: &str = "
    ALTER TABLE checkpoint ADD COLUMN last_offset INTEGER;
    UPDATE checkpoint SET last_offset = next_offset - 1 WHERE last_payload_hash IS NOT NULL;";

/// Brings a database from version `from`, at least OLDEST, to SCHEMA_VERSION.
pub(super) fn migrate(connection: &Connection, from: i64) -> Result<(), StoreError> {
    if from == 2 {
        check_bodies(connection)?;
        connection.execute_batch(FROM_2)?;
        for (table, _) in TABLES {
            connection.execute(&checksum::set(table, "true"), [])?;
        }
    } else {
        control::check_older(connection, from)?;
    }
    if from <= 3 {
        connection.execute_batch(FROM_3)?;
    }
    connection.execute_batch(FROM_4)?;
    sqlite::set_meta(connection, "schema_version", &sqlite::SCHEMA_VERSION)?;
    Ok(control::seal(connection)?)
}

/// No new checksum is put on what the old one says is damaged.
fn check_bodies(connection: &Connection) -> Result<(), StoreError> {
    let mut select =
        connection.prepare("SELECT finding_id, body, checksum FROM finding ORDER BY finding_id")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let body: String = row.get(1)?;
        if xxh3_64(body.as_bytes()).cast_signed() != row.get::<_, i64>(2)? {
            return Err(StoreError::differs("finding", row.get(0)?));
        }
    }
    Ok(())
}

//! Reads back what the last commit left.
//!
//! In: a connection. Out: [`Recovered`], or the first damaged row by name. Nothing here writes.

use rusqlite::{Connection, OptionalExtension, Row};

use super::{ClockState, Recovered, StoreError, Versions};
use super::{checksum, control, history, read, segments, sqlite};
use crate::findings::Tracked;
use crate::ingest::{Checkpoint, Position, Seam};
use crate::losses::{Loss, LossKey, LossKind};

/// Tables that are searched by an index, or whose rows do not show that one of them is gone. Together they are small:
/// findings, PAGE_WALK_KEYS_MAX, QUARANTINE_ROWS_MAX and DEAD_LETTERS_WAITING_MAX rows.
const PAGES_CHECKED: [&str; 4] = ["finding", "finding_past", "quarantine", "dead_letter"];

/// Everything but the segments, which are many and large; each body checked.
pub(super) fn recover(connection: &Connection) -> Result<Recovered, StoreError> {
    control::check(connection)?;
    for table in PAGES_CHECKED {
        sqlite::check_pages(connection, table)?;
    }
    history::check_newest(connection)?;
    Ok(Recovered {
        checkpoints: checkpoints(connection)?,
        topics: topics(connection)?,
        segments: segments::ids(connection)?,
        tracked: tracked(connection)?,
        losses: losses(connection)?,
        clock: clock(connection)?,
        versions: versions(connection)?,
        change_seq: read::latest_seq(connection)?,
    })
}

/// Topic names by number.
pub(super) fn topics(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut select = connection.prepare_cached("SELECT name FROM topic ORDER BY number")?;
    select.query_map([], |row| row.get(0))?.collect()
}

fn position(row: &Row<'_>) -> rusqlite::Result<Position> {
    Ok(Position { topic: row.get(0)?, partition: row.get(1)?, offset: row.get(2)? })
}

/// NEXT offsets by partition.
pub(super) fn checkpoints(connection: &Connection) -> rusqlite::Result<Vec<Checkpoint>> {
    let mut select = connection.prepare(
        "SELECT topic, partition, next_offset, last_offset, last_payload_hash, last_timestamp_ms FROM checkpoint
         ORDER BY topic, partition",
    )?;
    let read = |row: &Row<'_>| {
        let (offset, hash): (Option<i64>, Option<i64>) = (row.get(3)?, row.get(4)?);
        let timestamp_ms = row.get(5)?;
        let seam = offset.zip(hash).map(|(offset, hash)| {
            let payload_hash = hash.cast_unsigned();
            Seam { offset, payload_hash, timestamp_ms }
        });
        Ok(Checkpoint { position: position(row)?, seam })
    };
    select.query_map([], read)?.collect()
}

fn clock(connection: &Connection) -> rusqlite::Result<ClockState> {
    let mut select = connection.prepare(
        "SELECT topic, partition, next_offset, newest_event_micros, idle FROM clock_partition
         ORDER BY topic, partition",
    )?;
    let partitions = select.query_map([], |row| Ok((position(row)?, row.get(3)?, row.get(4)?)))?;
    Ok(ClockState {
        watermark_micros: sqlite::meta(connection, "watermark_micros")?.unwrap_or(0),
        partitions: partitions.collect::<rusqlite::Result<_>>()?,
        newest_event_micros: sqlite::meta(connection, "newest_event_micros")?.unwrap_or(0),
    })
}

fn losses(connection: &Connection) -> Result<Vec<Loss>, StoreError> {
    let mut select = connection.prepare(
        "SELECT since_micros, kind, subject, times, amount, sample_first, sample_last FROM loss
         ORDER BY since_micros",
    )?;
    let mut rows = select.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(1)?;
        let Some(kind) = LossKind::parse(&name) else {
            let found = format!("kind {name}, of which this program knows nothing");
            return Err(StoreError::CorruptRow {
                table: "loss",
                key: row.get::<_, i64>(0)?.to_string(),
                found,
            });
        };
        let key = LossKey { since: row.get(0)?, kind, subject: row.get(2)? };
        let samples = row.get::<_, Option<i64>>(5)?.zip(row.get(6)?);
        all.push(Loss { key, times: row.get(3)?, amount: row.get(4)?, samples });
    }
    Ok(all)
}

/// Every finding with what its lifecycle remembers.
pub(super) fn tracked(connection: &Connection) -> Result<Vec<Tracked>, StoreError> {
    let fits = checksum::fits("finding");
    let mut select =
        connection.prepare(&format!("SELECT finding_id, body, {fits} FROM finding ORDER BY finding_id"))?;
    let mut rows = select.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(tracked_row(row)?);
    }
    Ok(all)
}

/// From columns finding_id, body, and whether the checksum fits.
pub(super) fn tracked_row(row: &Row<'_>) -> Result<Tracked, StoreError> {
    let (key, body): (String, String) = (row.get(0)?, row.get(1)?);
    let damaged = |found: String| StoreError::CorruptRow { table: "finding", key, found };
    if !row.get::<_, bool>(2)? {
        return Err(damaged("checksum differs".to_owned()));
    }
    serde_json::from_str(&body).map_err(|e| damaged(e.to_string()))
}

/// Registry and queries in force, and since when rollups have rows.
pub(super) fn versions(connection: &Connection) -> rusqlite::Result<Option<Versions>> {
    let registry = connection
        .query_row("SELECT sha256 FROM version_in_force WHERE kind = 'registry'", [], |row| row.get(0))
        .optional()?;
    let Some(registry) = registry else { return Ok(None) };
    let mut select = connection
        .prepare("SELECT id, version, sha256 FROM version_in_force WHERE kind = 'query' ORDER BY id")?;
    let queries = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let queries = queries.collect::<rusqlite::Result<_>>()?;
    let mut select = connection.prepare("SELECT rollup, since_micros FROM rollup_start ORDER BY rollup")?;
    let starts = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Some(Versions { registry, queries, starts: starts.collect::<rusqlite::Result<_>>()? }))
}

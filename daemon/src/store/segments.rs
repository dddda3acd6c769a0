//! Blobs that are read back as they were written or not at all: rollup segments.
//!
//! In: the bytes of a segment. Out: the same, each checked against the xxh3-64 stored beside it.
//! Nothing here knows what a segment means.

use rusqlite::{Connection, Row, params};
use xxhash_rust::xxh3::xxh3_64;

use super::StoreError;

/// Rollup rows to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSegment {
    /// Id of the rollup.
    pub rollup: String,
    /// Its version.
    pub version: u32,
    /// SHA-256 of its file, hex: rows of another text are not merged with these.
    pub sha256: String,
    /// Arrow IPC stream.
    pub bytes: Vec<u8>,
}

/// Rollup rows as they were kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSegment {
    /// Number given by the store, never used twice.
    pub id: i64,
    /// Id of the rollup.
    pub rollup: String,
    /// Its version.
    pub version: u32,
    /// SHA-256 of its file, hex.
    pub sha256: String,
    /// Arrow IPC stream.
    pub bytes: Vec<u8>,
}

/// Adds segments and removes those they replace; returns the new ids in order.
pub(super) fn write(
    connection: &Connection,
    segments: &[NewSegment],
    dropped: &[i64],
) -> rusqlite::Result<Vec<i64>> {
    let mut delete = connection.prepare_cached("DELETE FROM segment WHERE id = ?1")?;
    for id in dropped {
        delete.execute([id])?;
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO segment (rollup, version, sha256, checksum, bytes) VALUES (?, ?, ?, ?, ?)",
    )?;
    let mut ids = Vec::with_capacity(segments.len());
    for s in segments {
        let checksum = xxh3_64(&s.bytes) as i64;
        ids.push(insert.insert(params![s.rollup, s.version, s.sha256, checksum, s.bytes])?);
    }
    Ok(ids)
}

/// All segments in the order in which they were written; a damaged one is an error that names it.
pub(super) fn read(connection: &Connection) -> Result<Vec<StoredSegment>, StoreError> {
    let mut select =
        connection.prepare("SELECT id, rollup, version, sha256, bytes, checksum FROM segment ORDER BY id")?;
    let mut rows = select.query([])?;
    let mut segments = Vec::new();
    while let Some(row) = rows.next()? {
        segments.push(stored(row)?);
    }
    Ok(segments)
}

/// Ids of all segments in the order in which they were written.
pub(super) fn ids(connection: &Connection) -> rusqlite::Result<Vec<i64>> {
    let mut select = connection.prepare("SELECT id FROM segment ORDER BY id")?;
    select.query_map([], |row| row.get(0))?.collect()
}

/// Ids of the segments of these rollups, in order.
pub(super) fn ids_of(connection: &Connection, rollups: &[String]) -> rusqlite::Result<Vec<i64>> {
    let mut select = connection.prepare_cached("SELECT id FROM segment WHERE rollup = ?1 ORDER BY id")?;
    let mut ids = Vec::new();
    for rollup in rollups {
        for id in select.query_map([rollup], |row| row.get(0))? {
            ids.push(id?);
        }
    }
    Ok(ids)
}

/// One segment by id, checked.
pub(super) fn read_one(connection: &Connection, id: i64) -> Result<StoredSegment, StoreError> {
    let mut select = connection
        .prepare_cached("SELECT id, rollup, version, sha256, bytes, checksum FROM segment WHERE id = ?1")?;
    let mut rows = select.query([id])?;
    rows.next()?.map_or(Err(StoreError::NoSegment { id }), stored)
}

fn stored(row: &Row<'_>) -> Result<StoredSegment, StoreError> {
    let segment = StoredSegment {
        id: row.get(0)?,
        rollup: row.get(1)?,
        version: row.get(2)?,
        sha256: row.get(3)?,
        bytes: row.get(4)?,
    };
    let (found, expected) = (xxh3_64(&segment.bytes), row.get::<_, i64>(5)? as u64);
    if found != expected {
        let StoredSegment { id, rollup, .. } = segment;
        return Err(StoreError::CorruptSegment { id, rollup, found, expected });
    }
    Ok(segment)
}

//! Blobs that are read back as they were written or not at all: rollup segments and remembered event ids.
//!
//! In: Arrow IPC bytes and dedupe entries. Out: the same, each checked against the xxh3-64 stored beside it.
//! Nothing here knows what a segment means.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};
use xxhash_rust::xxh3::xxh3_64;

use super::StoreError;
use crate::limits;

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

/// One event id already seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DedupeEntry {
    /// Name of the source.
    pub source: String,
    /// The source's own id of the event.
    pub event_id: String,
    /// xxh3-64 of the event's bytes.
    pub content_hash: u64,
    /// Microseconds since 1970.
    pub event_time: i64,
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
        segments.push(segment);
    }
    Ok(segments)
}

/// Remembers event ids: one row a source, because a row an event would cost more than decoding it.
pub(super) fn write_dedupe(
    connection: &Connection,
    entries: &[DedupeEntry],
    ids_max: usize,
    watermark_micros: i64,
) -> rusqlite::Result<()> {
    let mut by_source: BTreeMap<&str, Vec<&DedupeEntry>> = BTreeMap::new();
    for entry in entries {
        by_source.entry(&entry.source).or_default().push(entry);
    }
    for (source, entries) in by_source {
        write_dedupe_row(connection, source, &entries, ids_max)?;
    }
    forget_dedupe_before(
        connection,
        watermark_micros.saturating_sub(limits::DEDUPE_WINDOW_SECONDS * 1_000_000),
    )
}

fn write_dedupe_row(
    connection: &Connection,
    source: &str,
    entries: &[&DedupeEntry],
    ids_max: usize,
) -> rusqlite::Result<()> {
    let before: Option<i64> = connection
        .prepare_cached(
            "SELECT rows_through FROM dedupe WHERE source = ?1 ORDER BY rows_through DESC LIMIT 1",
        )?
        .query_row([source], |row| row.get(0))
        .optional()?;
    let rows_through = before.unwrap_or(0) + entries.len() as i64;
    let bytes = dedupe_bytes(entries);
    let newest = entries.iter().map(|e| e.event_time).max();
    connection
        .prepare_cached(
            "INSERT INTO dedupe (source, rows_through, newest_event_micros, checksum, bytes) VALUES (?, ?, ?, ?, ?)",
        )?
        .execute(params![source, rows_through, newest, xxh3_64(&bytes) as i64, bytes])?;
    connection
        .prepare_cached("DELETE FROM dedupe WHERE source = ?1 AND rows_through <= ?2")?
        .execute(params![source, rows_through - ids_max as i64])
        .map(drop)
}

/// A repeat of an event that old is late anyway, so its id need not be remembered.
fn forget_dedupe_before(connection: &Connection, micros: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM dedupe WHERE newest_event_micros < ?1")?
        .execute([micros])
        .map(drop)
}

fn dedupe_bytes(entries: &[&DedupeEntry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend((entry.event_id.len() as u32).to_le_bytes());
        bytes.extend(entry.event_id.as_bytes());
        bytes.extend(entry.content_hash.to_le_bytes());
        bytes.extend(entry.event_time.to_le_bytes());
    }
    bytes
}

/// All remembered event ids, oldest first.
pub(super) fn read_dedupe(connection: &Connection) -> Result<Vec<DedupeEntry>, StoreError> {
    let mut select = connection.prepare("SELECT seq, source, bytes, checksum FROM dedupe ORDER BY seq")?;
    let mut rows = select.query([])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let (source, bytes): (String, Vec<u8>) = (row.get(1)?, row.get(2)?);
        let intact = xxh3_64(&bytes) as i64 == row.get::<_, i64>(3)?;
        if !intact || read_dedupe_row(&source, &bytes, &mut entries).is_none() {
            let key = row.get::<_, i64>(0)?.to_string();
            return Err(StoreError::CorruptRow {
                table: "dedupe",
                key,
                found: "checksum differs".to_owned(),
            });
        }
    }
    Ok(entries)
}

fn read_dedupe_row(source: &str, mut bytes: &[u8], entries: &mut Vec<DedupeEntry>) -> Option<()> {
    while !bytes.is_empty() {
        let length = u32::from_le_bytes(*bytes.split_off(..4)?.as_array()?) as usize;
        let event_id = std::str::from_utf8(bytes.split_off(..length)?).ok()?.to_owned();
        let content_hash = u64::from_le_bytes(*bytes.split_off(..8)?.as_array()?);
        let event_time = i64::from_le_bytes(*bytes.split_off(..8)?.as_array()?);
        entries.push(DedupeEntry { source: source.to_owned(), event_id, content_hash, event_time });
    }
    Some(())
}

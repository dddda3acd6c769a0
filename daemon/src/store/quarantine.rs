//! What was not decoded: exact counts, and a sample that no flood can take over.
//!
//! In: rejects, one by one. Out: rows of `quarantine` and `reject_count`, written in the caller's transaction.
//! A kind is a topic and a reason. Each keeps the rejects whose positions hash lowest, a uniform sample; while all
//! kinds together are over their bound, the largest gives way. Which rows stay depends on the rejects alone, never
//! on batches or their order, so a replay keeps the same ones.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use xxhash_rust::xxh3::xxh3_64;

use crate::decode::{Reject, RejectReason};
use crate::limits;

/// Topic number and reason.
type Kind = (u16, RejectReason);

/// How many rows are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct SampleBounds {
    pub(super) rows: usize,
    pub(super) kind_rows: usize,
}

impl Default for SampleBounds {
    fn default() -> Self {
        Self { rows: limits::QUARANTINE_ROWS_MAX, kind_rows: limits::QUARANTINE_KIND_ROWS_MAX }
    }
}

/// Rejects that are not yet durable: all counted, a sample kept.
#[derive(Debug, Clone, Default)]
pub struct Rejects {
    bounds: SampleBounds,
    counts: BTreeMap<Kind, u64>,
    kept: BTreeMap<Kind, BTreeMap<i64, Kept>>,
    rows: usize,
}

#[derive(Debug, Clone)]
struct Kept {
    reject: Reject,
    at_micros: i64,
}

impl Rejects {
    /// None yet, with bounds of its own.
    #[cfg(test)]
    pub(super) fn within(bounds: SampleBounds) -> Self {
        Self { bounds, ..Self::default() }
    }

    /// Whether nothing was rejected.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Counts a reject that was read at `at_micros`, microseconds since 1970, and keeps it where it is of the sample.
    pub fn add(&mut self, reject: Reject, at_micros: i64) {
        let kind = (reject.position.topic, reject.reason);
        *self.counts.entry(kind).or_default() += 1;
        let rows = self.kept.entry(kind).or_default();
        let rank = rank(&reject);
        if rows.len() >= self.bounds.kind_rows && rows.last_key_value().is_none_or(|(last, _)| *last <= rank)
        {
            return;
        }
        self.rows += usize::from(rows.insert(rank, Kept { reject, at_micros }).is_none());
        if rows.len() > self.bounds.kind_rows {
            rows.pop_last();
            self.rows -= 1;
        }
        if self.rows > self.bounds.rows {
            self.give_way();
        }
    }

    fn give_way(&mut self) {
        let size =
            |rows: &&mut BTreeMap<i64, Kept>| (rows.len(), rows.last_key_value().map(|(rank, _)| *rank));
        if let Some(largest) = self.kept.values_mut().max_by_key(size) {
            largest.pop_last();
            self.rows -= 1;
        }
    }
}

/// Place in the sample: a hash of where it stood. Not of the topic, whose number differs between states.
fn rank(reject: &Reject) -> i64 {
    let mut place = [0; 16];
    place[..4].copy_from_slice(&reject.position.partition.to_le_bytes());
    place[4..12].copy_from_slice(&reject.position.offset.to_le_bytes());
    place[12..].copy_from_slice(&reject.index.to_le_bytes());
    (xxh3_64(&place) >> 1) as i64
}

/// Writes counts and sample; costs nothing where there are none.
pub(super) fn write(
    connection: &Connection,
    rejects: &Rejects,
    bounds: SampleBounds,
) -> rusqlite::Result<()> {
    if rejects.is_empty() {
        return Ok(());
    }
    count(connection, &rejects.counts)?;
    for (kind, rows) in &rejects.kept {
        write_kind(connection, *kind, rows, bounds.kind_rows)?;
    }
    trim(connection, bounds.rows)
}

fn count(connection: &Connection, counts: &BTreeMap<Kind, u64>) -> rusqlite::Result<()> {
    let mut add = connection.prepare_cached(
        "INSERT INTO reject_count (topic, reason, rejects) VALUES (?1, ?2, ?3)
         ON CONFLICT (topic, reason) DO UPDATE SET rejects = rejects + ?3",
    )?;
    for ((topic, reason), count) in counts {
        add.execute(params![topic, reason.name(), *count as i64])?;
    }
    Ok(())
}

/// A place that was read before, in a topic since recreated, is written over.
fn write_kind(
    connection: &Connection,
    (topic, reason): Kind,
    rows: &BTreeMap<i64, Kept>,
    rows_max: usize,
) -> rusqlite::Result<()> {
    let last = last_of_sample(connection, topic, reason, rows_max)?;
    let mut insert = connection.prepare_cached(
        "INSERT OR REPLACE INTO quarantine (topic, partition, \"offset\", envelope_index, reason, rank, rejected_micros,
                                            format, message_hash, content_hash, detail, payload)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    for (rank, Kept { reject, at_micros }) in rows.range(..=last) {
        insert.execute(params![
            topic,
            reject.position.partition,
            reject.position.offset,
            reject.index,
            reason.name(),
            rank,
            at_micros,
            reject.format.map(|format| format.name()),
            reject.message_hash as i64,
            reject.content_hash as i64,
            reject.detail,
            reject.payload,
        ])?;
    }
    let last = last_of_sample(connection, topic, reason, rows_max)?;
    connection
        .prepare_cached("DELETE FROM quarantine WHERE topic = ?1 AND reason = ?2 AND rank > ?3")?
        .execute(params![topic, reason.name(), last])
        .map(drop)
}

/// Rank of the last row that a full sample of this kind holds.
fn last_of_sample(
    connection: &Connection,
    topic: u16,
    reason: RejectReason,
    rows_max: usize,
) -> rusqlite::Result<i64> {
    let last = connection
        .prepare_cached(
            "SELECT rank FROM quarantine WHERE topic = ?1 AND reason = ?2 ORDER BY rank LIMIT 1 OFFSET ?3",
        )?
        .query_row(params![topic, reason.name(), rows_max as i64 - 1], |row| row.get(0));
    match last {
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(i64::MAX),
        last => last,
    }
}

/// While there are too many rows, the largest kind loses its last one.
fn trim(connection: &Connection, rows_max: usize) -> rusqlite::Result<()> {
    let rows: i64 =
        connection.prepare_cached("SELECT count(*) FROM quarantine")?.query_row([], |row| row.get(0))?;
    let excess = rows - rows_max as i64;
    if excess <= 0 {
        return Ok(());
    }
    connection
        .prepare_cached(
            "DELETE FROM quarantine WHERE id IN (
                 SELECT id FROM (SELECT id, rank, row_number() OVER (PARTITION BY topic, reason ORDER BY rank) AS place
                                 FROM quarantine)
                 ORDER BY place DESC, rank DESC LIMIT ?1)",
        )?
        .execute([excess])
        .map(drop)
}

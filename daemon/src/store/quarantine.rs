//! What was not decoded: exact counts, and a sample that no flood can take over.
//!
//! In: rejects, one by one. Out: rows of `quarantine` and `reject_count`, written in the caller's transaction, and
//! what is in them.
//! A kind is a topic and a reason. Each keeps the rejects whose positions hash lowest, a uniform sample; while all
//! kinds together are over their bound, the largest gives way. Which rows stay depends on the rejects alone, never
//! on batches or their order, so a replay keeps the same ones.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, Row, named_params, params};
use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

use super::{StoreError, checksum};
use crate::decode::{Format, Reject, RejectReason, RejectedPayload};
use crate::ingest::Position;
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
    kept: BTreeMap<Kind, BTreeMap<i64, Quarantined>>,
    rows: usize,
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

    /// Counts a reject, and keeps it where it is of the sample.
    pub fn add(&mut self, rejected: Quarantined) {
        let reject = &rejected.reject;
        let kind = (reject.position.topic, reject.reason);
        *self.counts.entry(kind).or_default() += 1;
        let rows = self.kept.entry(kind).or_default();
        let rank = rank(reject);
        if rows.len() >= self.bounds.kind_rows && rows.last_key_value().is_none_or(|(last, _)| *last <= rank)
        {
            return;
        }
        self.rows += usize::from(rows.insert(rank, rejected).is_none());
        if rows.len() > self.bounds.kind_rows {
            rows.pop_last();
            self.rows -= 1;
        }
        if self.rows > self.bounds.rows {
            self.give_way();
        }
    }

    fn give_way(&mut self) {
        let size = |rows: &&mut BTreeMap<i64, Quarantined>| {
            (rows.len(), rows.last_key_value().map(|(rank, _)| *rank))
        };
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
    rows: &BTreeMap<i64, Quarantined>,
    rows_max: usize,
) -> rusqlite::Result<()> {
    let last = last_of_sample(connection, topic, reason, rows_max)?;
    let mut insert = connection.prepare_cached(
        "INSERT OR REPLACE INTO quarantine (topic, partition, \"offset\", envelope_index, reason, rank, rejected_micros,
                                            source, format, message_hash, content_hash, detail, payload, checksum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,
                 xxh3(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13))",
    )?;
    for (rank, Quarantined { reject, at_micros, .. }) in rows.range(..=last) {
        insert.execute(params![
            topic,
            reject.position.partition,
            reject.position.offset,
            reject.index,
            reason.name(),
            rank,
            at_micros,
            reject.source,
            reject.format.map(|format| format.name()),
            reject.message_hash as i64,
            reject.content_hash as i64,
            reject.detail,
            reject.payload.masked(),
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

/// Which rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuarantineQuery {
    /// Name of a source or of its topic.
    pub source: Option<String>,
    /// Why it was rejected.
    pub reason: Option<RejectReason>,
    /// Read at or after it, microseconds since 1970.
    pub since_micros: Option<i64>,
}

/// One reject as it is kept and told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Topic name.
    pub topic: String,
    /// The reject; secrets in its payload are masked.
    pub reject: Reject,
    /// When it was read, microseconds since 1970.
    pub at_micros: i64,
}

impl Quarantined {
    /// `<topic>/<partition>/<offset>/<index>`: the same after any replay.
    pub fn id(&self) -> String {
        let Reject { position, index, .. } = &self.reject;
        format!("{}/{}/{}/{index}", self.topic, position.partition, position.offset)
    }

    /// When it was read.
    pub fn at(&self) -> Timestamp {
        Timestamp::from_microsecond(self.at_micros).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// The form in which programs get it.
    pub fn to_json(&self) -> serde_json::Value {
        let Reject { position, index, source, reason, detail, format, payload, .. } = &self.reject;
        json!({
            "id": self.id(),
            "reason": reason.name(),
            "detail": detail,
            "source": source,
            "topic": self.topic,
            "partition": position.partition,
            "offset": position.offset,
            "index": index,
            "ingested_at": self.at().to_string(),
            "format": format.map(|format| format.name()),
            "payload": payload.masked(),
        })
    }
}

/// Rows in the order in which they were read, the newest last.
pub(super) fn list(connection: &Connection, query: &QuarantineQuery) -> Result<Vec<Quarantined>, StoreError> {
    let sql = format!(
        "SELECT topic, partition, \"offset\", envelope_index, reason, rejected_micros, source, format,
                message_hash, content_hash, detail, payload, name, {}
         FROM quarantine JOIN topic ON number = topic
         WHERE (:source IS NULL OR source = :source OR name = :source)
           AND (:reason IS NULL OR reason = :reason)
           AND (:since IS NULL OR rejected_micros >= :since)
         ORDER BY rejected_micros, name, partition, \"offset\", envelope_index",
        checksum::fits("quarantine")
    );
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query(named_params! {
        ":source": query.source,
        ":reason": query.reason.map(RejectReason::name),
        ":since": query.since_micros,
    })?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(quarantined(row)?);
    }
    Ok(found)
}

fn quarantined(row: &Row<'_>) -> Result<Quarantined, StoreError> {
    let topic: String = row.get(12)?;
    let position = Position { topic: row.get(0)?, partition: row.get(1)?, offset: row.get(2)? };
    let damaged = |found: String| StoreError::CorruptRow {
        table: "quarantine",
        key: format!("{topic}/{}/{}", position.partition, position.offset),
        found,
    };
    if !row.get::<_, bool>(13)? {
        return Err(damaged("checksum differs".to_owned()));
    }
    let (reason, format): (String, Option<String>) = (row.get(4)?, row.get(7)?);
    let reason = RejectReason::parse(&reason).ok_or_else(|| damaged(format!("unknown reason {reason:?}")))?;
    let format =
        format.map(|name| Format::parse(&name).ok_or_else(|| damaged(format!("unknown format {name:?}"))));
    let reject = Reject {
        position,
        index: row.get(3)?,
        source: row.get(6)?,
        reason,
        detail: row.get(10)?,
        format: format.transpose()?,
        message_hash: row.get::<_, i64>(8)? as u64,
        content_hash: row.get::<_, i64>(9)? as u64,
        payload: RejectedPayload::of_masked(row.get(11)?),
    };
    let at_micros = row.get(5)?;
    Ok(Quarantined { topic, reject, at_micros })
}

/// Everything ever rejected by that source, or by all, for that reason, or for any.
pub(super) fn total(connection: &Connection, query: &QuarantineQuery) -> rusqlite::Result<u64> {
    connection
        .prepare_cached(
            "SELECT coalesce(sum(c.rejects), 0) FROM reject_count c JOIN topic t ON t.number = c.topic
             WHERE (:reason IS NULL OR c.reason = :reason)
               AND (:source IS NULL OR t.name = :source
                    OR c.topic IN (SELECT topic FROM quarantine WHERE source = :source))",
        )?
        .query_row(
            named_params! { ":source": query.source, ":reason": query.reason.map(RejectReason::name) },
            |row| row.get::<_, i64>(0),
        )
        .map(|total| total as u64)
}

//! The append-only history: each revision carries the hash of the one before it.
//!
//! In: changes that belong to the history. Out: rows of `revision`, and whether they still fit together.
//! No revision is ever changed or removed. The chain shows accident and careless edits; whoever can rewrite
//! the whole file can rewrite the chain, so export the head hash where that matters.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

use super::StoreError;
use crate::findings::{ChangeKind, Finding, FindingChange};

/// Hash before the first revision.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One entry of the history.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// Counts from 1 over all findings.
    pub seq: u64,
    /// What happened.
    pub change: FindingChange,
    /// SHA-256 over the hash before and this entry, hex.
    pub hash: String,
}

/// A revision or change as it stands in its table.
pub(super) struct ChangeRow {
    pub(super) seq: i64,
    finding_id: String,
    kind: String,
    at: String,
    body: String,
}

impl ChangeRow {
    /// From columns seq, finding_id, kind, at, body.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            finding_id: row.get(1)?,
            kind: row.get(2)?,
            at: row.get(3)?,
            body: row.get(4)?,
        })
    }

    /// The change that was written, if its checksum fits.
    pub(super) fn decode(&self, table: &'static str, fits: bool) -> Result<FindingChange, StoreError> {
        let damaged = |found: String| StoreError::CorruptRow { table, key: self.seq.to_string(), found };
        if !fits {
            return Err(damaged("checksum differs".to_owned()));
        }
        let kind =
            ChangeKind::parse(&self.kind).ok_or_else(|| damaged(format!("unknown kind {:?}", self.kind)))?;
        let at: Timestamp = self.at.parse().map_err(|e| damaged(format!("time {:?}: {e}", self.at)))?;
        let finding: Finding = serde_json::from_str(&self.body).map_err(|e| damaged(e.to_string()))?;
        Ok(FindingChange { kind, at, finding })
    }

    fn hash(&self, previous: &str) -> String {
        let mut hasher = Sha256::new();
        let seq = self.seq.to_string();
        for part in [previous, &seq, &self.finding_id, &self.kind, &self.at, &self.body] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hex(&hasher.finalize())
    }
}

/// Lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}

/// Adds the history's part of `changes` to the chain.
pub(super) fn append(connection: &Connection, changes: &[FindingChange]) -> Result<(), StoreError> {
    let (mut seq, mut previous) = head(connection)?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO revision (seq, finding_id, kind, at, body, prev_hash, hash) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?;
    for change in changes.iter().filter(|c| c.kind.is_history()) {
        seq += 1;
        let row = ChangeRow {
            seq,
            finding_id: change.finding.finding_id.clone(),
            kind: change.kind.name().to_owned(),
            at: change.at.to_string(),
            body: finding_json(&change.finding),
        };
        let hash = row.hash(&previous);
        insert.execute(params![seq, row.finding_id, row.kind, row.at, row.body, previous, hash])?;
        previous = hash;
    }
    super::sqlite::set_meta(connection, "revision_head", &previous)?;
    Ok(())
}

/// A finding as it is stored and told.
pub(super) fn finding_json(finding: &Finding) -> String {
    serde_json::to_string(finding).expect("a finding has string keys and finite numbers only")
}

/// Number and hash of the newest revision; 0 and the hash before the first where there is none.
pub(super) fn head(connection: &Connection) -> rusqlite::Result<(i64, String)> {
    let last = connection
        .prepare_cached("SELECT seq, hash FROM revision ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(last.unwrap_or((0, GENESIS.to_owned())))
}

/// Recomputes every hash; returns how many revisions there are, or the first that does not fit.
pub(super) fn verify(connection: &Connection) -> Result<u64, StoreError> {
    walk(connection, |_, _| Ok(()))
}

/// Shows `look` every revision and its hash, in the order in which they were written, up to the first that does not fit
/// what came before it. Returns how many there are.
fn walk(
    connection: &Connection,
    mut look: impl FnMut(&ChangeRow, &str) -> Result<(), StoreError>,
) -> Result<u64, StoreError> {
    let mut select = connection
        .prepare("SELECT seq, finding_id, kind, at, body, prev_hash, hash FROM revision ORDER BY seq")?;
    let mut rows = select.query([])?;
    let (mut count, mut previous) = (0, GENESIS.to_owned());
    while let Some(row) = rows.next()? {
        let (revision, prev_hash, hash) = hashed(row)?;
        count += 1;
        check(&revision, count, prev_hash == previous && hash == revision.hash(&previous))?;
        look(&revision, &hash)?;
        previous = hash;
    }
    check_head(connection, count, &previous)?;
    Ok(count)
}

/// Whether the newest revision is what was written last: the next one is chained to it.
pub(super) fn check_newest(connection: &Connection) -> Result<(), StoreError> {
    let mut select = connection.prepare(
        "SELECT seq, finding_id, kind, at, body, prev_hash, hash FROM revision ORDER BY seq DESC LIMIT 1",
    )?;
    let mut rows = select.query([])?;
    let Some(row) = rows.next()? else { return check_head(connection, 0, GENESIS) };
    let (revision, prev_hash, hash) = hashed(row)?;
    let seq = revision.seq.cast_unsigned();
    check(&revision, seq, hash == revision.hash(&prev_hash))?;
    check_head(connection, seq, &hash)
}

/// A row with the hash before it and its own: columns seq, finding_id, kind, at, body, prev_hash, hash.
fn hashed(row: &Row<'_>) -> rusqlite::Result<(ChangeRow, String, String)> {
    Ok((ChangeRow::read(row)?, row.get(5)?, row.get(6)?))
}

fn check(revision: &ChangeRow, expected_seq: u64, fits: bool) -> Result<(), StoreError> {
    let broken = |found: &str| StoreError::BrokenChain { seq: expected_seq, found: found.to_owned() };
    if u64::try_from(revision.seq) != Ok(expected_seq) {
        return Err(broken("it is missing"));
    }
    fits.then_some(()).ok_or_else(|| broken("its hash does not fit its content and the revision before it"))
}

fn check_head(connection: &Connection, count: u64, last: &str) -> Result<(), StoreError> {
    let head: Option<String> = connection
        .query_row("SELECT value FROM meta WHERE key = 'revision_head'", [], |row| row.get(0))
        .optional()?;
    if head.as_deref().unwrap_or(GENESIS) == last {
        return Ok(());
    }
    let found = "it is missing: the newest revisions were removed".to_owned();
    Err(StoreError::BrokenChain { seq: count + 1, found })
}

/// The history of every finding, in the order in which it was written.
pub(super) fn all(connection: &Connection) -> Result<Vec<Revision>, StoreError> {
    let mut found = Vec::new();
    walk(connection, |row, hash| {
        let change = row.decode("revision", true)?;
        found.push(Revision { seq: row.seq as u64, change, hash: hash.to_owned() });
        Ok(())
    })?;
    Ok(found)
}

//! The parts of one commit, each a few rows, all inside the caller's transaction.
//!
//! In: a transaction and a [`Commit`]. Out: the numbers it gave out. Nothing here begins or ends a transaction.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::{Bounds, ClockState, Commit, CommitOutcome, ControlEvent, StoreError, Versions};
use super::{checksum, dead_letters, history, quarantine, segments, sqlite};
use crate::crash_points::{CrashPoint, CrashPoints};
use crate::findings::{ChangeKind, FindingChange, Severity, Tracked};
use crate::ingest::Checkpoint;
use crate::limits;
use crate::losses::Loss;

/// Writes everything in `commit`.
pub(super) fn write(
    connection: &Connection,
    commit: &Commit,
    bounds: &Bounds,
    crash: &CrashPoints,
) -> Result<CommitOutcome, StoreError> {
    let number = sqlite::meta(connection, "commit_number")?.unwrap_or(0) + 1;
    sqlite::set_meta(connection, "commit_number", &number)?;
    write_checkpoints(connection, &commit.checkpoints)?;
    crash.pass(CrashPoint::OffsetsWritten);
    write_clock(connection, &commit.clock)?;
    write_losses(connection, &commit.losses, commit.losses_since)?;
    crash.pass(CrashPoint::ClockWritten);
    let segment_ids = segments::write(connection, &commit.segments, &commit.dropped_segments)?;
    crash.pass(CrashPoint::SegmentsWritten);
    remove_withdrawn(connection, &commit.changes)?;
    write_tracked(connection, &commit.tracked, number)?;
    forget_walks(connection, bounds.page_walk_keys)?;
    crash.pass(CrashPoint::FindingsWritten);
    write_changes(connection, &commit.changes, bounds.changes)?;
    crash.pass(CrashPoint::ChangesWritten);
    if commit.changes.iter().any(|c| c.kind.is_history()) {
        history::append(connection, &commit.changes)?;
    }
    crash.pass(CrashPoint::HistoryWritten);
    quarantine::write(connection, &commit.rejects, bounds.quarantine)?;
    crash.pass(CrashPoint::QuarantineWritten);
    let dropped_letters = dead_letters::write(connection, &commit.dead_letters, bounds.dead_letters)?;
    crash.pass(CrashPoint::DeadLettersWritten);
    write_control(connection, &commit.control, bounds.control_rows)?;
    crash.pass(CrashPoint::JournalWritten);
    if let Some(versions) = &commit.versions {
        write_versions(connection, versions)?;
    }
    crash.pass(CrashPoint::VersionsWritten);
    Ok(CommitOutcome { change_seq: super::read::latest_seq(connection)?, segment_ids, dropped_letters })
}

/// Gives new names the next numbers, in name order.
pub(super) fn register_topics(connection: &Connection, names: &[String]) -> Result<Vec<u16>, StoreError> {
    let mut known: HashMap<String, u16> = super::recover::topics(connection)?.into_iter().zip(0..).collect();
    let mut new: Vec<&String> = names.iter().filter(|name| !known.contains_key(*name)).collect();
    new.sort();
    new.dedup();
    let found = known.len() + new.len();
    if found > usize::from(limits::TOPICS_MAX) {
        return Err(StoreError::TooManyTopics { found });
    }
    let mut insert = connection.prepare_cached("INSERT INTO topic (number, name) VALUES (?, ?)")?;
    for name in new {
        let number = known.len() as u16;
        insert.execute(params![number, name])?;
        known.insert(name.clone(), number);
    }
    Ok(names.iter().map(|name| known[name]).collect())
}

fn write_checkpoints(connection: &Connection, checkpoints: &[Checkpoint]) -> rusqlite::Result<()> {
    let mut upsert = connection.prepare_cached(
        "INSERT OR REPLACE INTO checkpoint
             (topic, partition, next_offset, last_offset, last_payload_hash, last_timestamp_ms)
         VALUES (?, ?, ?, ?, ?, ?)",
    )?;
    for Checkpoint { position: at, seam } in checkpoints {
        let (offset, hash) = (seam.map(|s| s.offset), seam.map(|s| s.payload_hash.cast_signed()));
        let timestamp_ms = seam.and_then(|s| s.timestamp_ms);
        upsert.execute(params![at.topic, at.partition, at.offset, offset, hash, timestamp_ms])?;
    }
    Ok(())
}

fn write_clock(connection: &Connection, clock: &ClockState) -> rusqlite::Result<()> {
    sqlite::set_meta(connection, "watermark_micros", &clock.watermark_micros)?;
    sqlite::set_meta(connection, "newest_event_micros", &clock.newest_event_micros)?;
    connection.prepare_cached("DELETE FROM clock_partition")?.execute([])?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO clock_partition (topic, partition, next_offset, newest_event_micros, idle)
         VALUES (?, ?, ?, ?, ?)",
    )?;
    for (at, newest, idle) in &clock.partitions {
        insert.execute(params![at.topic, at.partition, at.offset, newest, idle])?;
    }
    Ok(())
}

fn write_losses(connection: &Connection, losses: &[Loss], since: i64) -> rusqlite::Result<()> {
    let mut upsert = connection.prepare_cached(
        "INSERT OR REPLACE INTO loss (since_micros, kind, subject, times, amount, sample_first, sample_last)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?;
    for Loss { key, times, amount, samples } in losses {
        let (first, last) = samples.unzip();
        upsert.execute(params![key.since, key.kind.name(), key.subject, times, amount, first, last])?;
    }
    connection.prepare_cached("DELETE FROM loss WHERE since_micros < ?1")?.execute([since]).map(drop)
}

fn remove_withdrawn(connection: &Connection, changes: &[FindingChange]) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM finding WHERE finding_id = ?1")?;
    for change in changes.iter().filter(|c| c.kind == ChangeKind::Withdrawn) {
        delete.execute([&change.finding.finding_id])?;
    }
    Ok(())
}

fn write_tracked(connection: &Connection, tracked: &[Tracked], number: i64) -> rusqlite::Result<()> {
    let mut upsert = connection.prepare_cached(
        "INSERT INTO finding (finding_id, detection, subject_kind, subject_id, severity, state, owner, last_seen,
                              created_commit, key_commit, body, checksum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10, 0)
         ON CONFLICT (finding_id) DO UPDATE SET severity = ?5, state = ?6, owner = ?7, last_seen = ?8,
             key_commit = iif(severity = ?5 AND last_seen = ?8, key_commit, ?9), body = ?10",
    )?;
    let seal = checksum::set("finding", "finding_id = ?1");
    let mut seal = connection.prepare_cached(&seal)?;
    for t in tracked {
        let body = serde_json::to_string(t).expect("a finding has string keys and finite numbers only");
        let (f, severity, last_seen) =
            (&t.finding, rank(t.finding.severity), t.finding.last_seen.as_microsecond());
        keep_former_place(connection, &f.finding_id, severity, last_seen, number)?;
        upsert.execute(params![
            f.finding_id,
            f.detection,
            f.subject.kind,
            f.subject.id,
            severity,
            f.state.name(),
            f.owner.person,
            last_seen,
            number,
            body,
        ])?;
        seal.execute([&f.finding_id])?;
    }
    Ok(())
}

/// Remembers where a finding stood in the list, if this commit moves it.
fn keep_former_place(
    connection: &Connection,
    id: &str,
    severity: i64,
    last_seen: i64,
    number: i64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO finding_past (finding_id, until_commit, severity, last_seen, checksum)
             SELECT finding_id, ?4, severity, last_seen, xxh3(finding_id, ?4, severity, last_seen) FROM finding
             WHERE finding_id = ?1 AND (severity <> ?2 OR last_seen <> ?3)",
        )?
        .execute(params![id, severity, last_seen, number])
        .map(drop)
}

/// 1 for low to 4 for critical, so that SQL can compare them.
pub(super) fn rank(severity: Severity) -> i64 {
    match severity {
        Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    }
}

/// Bounds `finding_past`; page tokens from before `walk_floor` are refused from then on.
fn forget_walks(connection: &Connection, keys_max: usize) -> rusqlite::Result<()> {
    let floor: Option<i64> = connection
        .prepare_cached(
            "SELECT max(until_commit) FROM finding_past WHERE seq <= (SELECT max(seq) FROM finding_past) - ?1",
        )?
        .query_row([keys_max as i64], |row| row.get(0))?;
    let Some(floor) = floor else { return Ok(()) };
    connection.prepare_cached("DELETE FROM finding_past WHERE until_commit <= ?1")?.execute([floor])?;
    sqlite::set_meta(connection, "walk_floor", &floor)
}

fn write_changes(connection: &Connection, changes: &[FindingChange], kept_max: u64) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO change (seq, finding_id, kind, at, body, checksum)
         VALUES (?1, ?2, ?3, ?4, ?5, xxh3(?1, ?2, ?3, ?4, ?5))",
    )?;
    let latest = super::read::latest_seq(connection)?;
    for (c, seq) in changes.iter().zip(latest + 1..) {
        let body = history::finding_json(&c.finding);
        insert.execute(params![seq as i64, c.finding.finding_id, c.kind.name(), c.at.to_string(), body])?;
    }
    connection
        .prepare_cached("DELETE FROM change WHERE seq <= (SELECT max(seq) FROM change) - ?1")?
        .execute([kept_max as i64])
        .map(drop)
}

fn write_control(connection: &Connection, events: &[ControlEvent], rows_max: usize) -> rusqlite::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO control (at_seq, kind, body, checksum) VALUES (?1, ?2, ?3, xxh3(?1, ?2, ?3))",
    )?;
    for event in events {
        insert.execute(params![event.at_seq as i64, event.kind, event.body])?;
    }
    connection
        .prepare_cached("DELETE FROM control WHERE seq <= (SELECT max(seq) FROM control) - ?1")?
        .execute([rows_max as i64])
        .map(drop)
}

fn write_versions(connection: &Connection, versions: &Versions) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM version_in_force")?.execute([])?;
    let mut insert = connection
        .prepare_cached("INSERT INTO version_in_force (kind, id, version, sha256) VALUES (?, ?, ?, ?)")?;
    insert.execute(params!["registry", "", 0, versions.registry])?;
    for (id, version, sha256) in &versions.queries {
        insert.execute(params!["query", id, version, sha256])?;
    }
    connection.prepare_cached("DELETE FROM rollup_start")?.execute([])?;
    let mut insert =
        connection.prepare_cached("INSERT INTO rollup_start (rollup, since_micros) VALUES (?, ?)")?;
    for start in &versions.starts {
        insert.execute(params![start.0, start.1])?;
    }
    Ok(())
}

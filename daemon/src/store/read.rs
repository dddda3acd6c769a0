//! Committed state for threads that serve and notify.
//!
//! In: questions. Out: findings, changes, revisions. A [`Reader`] changes nothing and never waits for the
//! writer; a page token walks the list as it stood when its first page was read.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, named_params};
use xxhash_rust::xxh3::xxh3_64;

use super::dead_letters::{self, DeadLetter};
use super::history::{self, ChangeRow, Revision};
use super::numbers::{self, Numbers};
use super::quarantine::{self, QuarantineQuery, Quarantined};
use super::segments::{self, StoredSegment};
use super::{Shared, StoreError, checksum, locked, recover, sqlite, write};
use crate::findings::{Finding, FindingChange, FindingState, Severity, Tracked};
use crate::ingest::Checkpoint;
use crate::limits;

/// Findings in a page where the client does not say.
const PAGE_SIZE_DEFAULT: u32 = 100;

/// Which findings, and how many. Order: severity from the worst, last seen from the newest, id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Detection id.
    pub detection: Option<String>,
    /// `pilot`, `credential`, `caller` or `source`.
    pub subject_kind: Option<String>,
    /// Pilot id or keyed hash.
    pub subject_id: Option<String>,
    /// Open or resolved.
    pub state: Option<FindingState>,
    /// This one or worse.
    pub severity_min: Option<Severity>,
    /// Person id in the registry.
    pub owner: Option<String>,
    /// At most PAGE_SIZE_MAX; 0 means 100.
    pub page_size: u32,
    /// From the page before; the rest of the query must be the same.
    pub page_token: Option<String>,
}

/// Some findings.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// In the order of [`ListQuery`].
    pub findings: Vec<Finding>,
    /// Where to go on; `None` at the end.
    pub next_page_token: Option<String>,
}

/// The changes asked for are not kept any more, or never were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "change {asked} is not kept: the oldest kept is {oldest}, the newest {latest}; list the findings again"
)]
pub struct Gap {
    /// The number after which changes were asked for.
    pub asked: u64,
    /// The oldest change kept; `latest + 1` where there is none.
    pub oldest: u64,
    /// The newest change.
    pub latest: u64,
}

/// Reads committed state from any thread, on a connection of its own.
pub struct Reader {
    connection: Shared,
}

impl Reader {
    /// Opens the state in `dir` read-only; a store must have been opened there before.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Ok(Self { connection: Arc::new(Mutex::new(sqlite::open_reader(dir)?)) })
    }

    /// A store in memory has one connection, which its readers share.
    pub(super) fn sharing(connection: Shared) -> Self {
        Self { connection }
    }

    /// Names this state: 32 hex digits, new whenever a state folder is created. Resume tokens carry it.
    pub fn instance(&self) -> Result<String, StoreError> {
        let connection = locked(&self.connection);
        let sql = "SELECT value FROM meta WHERE key = 'instance'";
        Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }

    /// One page. With a token it goes on in the list as it stood at the first page: every finding that was
    /// there then and still matches comes exactly once, as it is now.
    pub fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        let connection = locked(&self.connection);
        let snapshot = connection.unchecked_transaction()?;
        let cursor = match &query.page_token {
            Some(token) => Cursor::parse(token, query).ok_or(StoreError::BadPageToken)?,
            None => Cursor::first(sqlite::meta(&snapshot, "commit_number")?.unwrap_or(0)),
        };
        if cursor.as_of < sqlite::meta(&snapshot, "walk_floor")?.unwrap_or(0) {
            return Err(StoreError::BadPageToken);
        }
        page(&snapshot, query, &cursor)
    }

    /// One finding.
    pub fn get(&self, id: &str) -> Result<Option<Finding>, StoreError> {
        let connection = locked(&self.connection);
        let fits = checksum::fits("finding");
        let sql = format!("SELECT finding_id, body, {fits} FROM finding WHERE finding_id = ?1");
        let mut select = connection.prepare_cached(&sql)?;
        let mut rows = select.query([id])?;
        rows.next()?.map(|row| Ok(recover::tracked_row(row)?.finding)).transpose()
    }

    /// At most `limit` changes after `seq`, oldest first, or why they cannot be told without a hole.
    pub fn changes_after(
        &self,
        seq: u64,
        limit: usize,
    ) -> Result<Result<Vec<(u64, FindingChange)>, Gap>, StoreError> {
        let connection = locked(&self.connection);
        let snapshot = connection.unchecked_transaction()?;
        let latest = latest_seq(&snapshot)?;
        let oldest = oldest_seq(&snapshot)?.unwrap_or(latest + 1);
        if seq > latest || seq + 1 < oldest {
            return Ok(Err(Gap { asked: seq, oldest, latest }));
        }
        let fits = checksum::fits("change");
        let sql = format!(
            "SELECT seq, finding_id, kind, at, body, {fits} FROM change WHERE seq > ?1 ORDER BY seq LIMIT ?2"
        );
        let mut select = snapshot.prepare_cached(&sql)?;
        let mut rows = select.query((seq as i64, limit as i64))?;
        let (mut numbers, mut changes) = (Numbers::from("change", seq as i64 + 1), Vec::new());
        while let Some(row) = rows.next()? {
            let change = ChangeRow::read(row)?;
            numbers.see(change.seq)?;
            changes.push((change.seq as u64, change.decode("change", row.get(5)?)?));
        }
        if changes.len() < limit {
            numbers.end(latest as i64)?;
        }
        Ok(Ok(changes))
    }

    /// NEXT offsets by partition.
    pub fn checkpoints(&self) -> Result<Vec<Checkpoint>, StoreError> {
        Ok(recover::checkpoints(&locked(&self.connection))?)
    }

    /// A segment by its id, checked against its checksum.
    pub fn segment(&self, id: i64) -> Result<StoredSegment, StoreError> {
        segments::read_one(&locked(&self.connection), id)
    }

    /// Number of the newest change, 0 before the first.
    pub fn latest_seq(&self) -> Result<u64, StoreError> {
        Ok(latest_seq(&locked(&self.connection))?)
    }

    /// The history of every finding, in the order in which it was written.
    pub fn history(&self) -> Result<Vec<Revision>, StoreError> {
        let connection = locked(&self.connection);
        history::all(&*connection.unchecked_transaction()?)
    }

    /// All open findings, in the order of [`ListQuery`].
    pub fn open_findings(&self) -> Result<Vec<Finding>, StoreError> {
        let connection = locked(&self.connection);
        let sql = format!(
            "SELECT finding_id, body, {} FROM finding WHERE state = 'open'
             ORDER BY severity DESC, last_seen DESC, finding_id",
            checksum::fits("finding")
        );
        let mut select = connection.prepare_cached(&sql)?;
        let mut rows = select.query([])?;
        let mut findings = Vec::new();
        while let Some(row) = rows.next()? {
            findings.push(recover::tracked_row(row)?.finding);
        }
        Ok(findings)
    }

    /// How many findings of at least this severity are open.
    pub fn open_count(&self, severity_min: Severity) -> Result<u64, StoreError> {
        let connection = locked(&self.connection);
        let sql = "SELECT count(*) FROM finding WHERE state = 'open' AND severity >= ?1";
        let mut select = connection.prepare_cached(sql)?;
        let count: i64 = select.query_row([write::rank(severity_min)], |row| row.get(0))?;
        Ok(count as u64)
    }

    /// Rejects by reason since the state was created, in name order.
    pub fn reject_totals(&self) -> Result<Vec<(String, u64)>, StoreError> {
        reject_totals(&locked(&self.connection))
    }

    /// At most `limit` dead letters with their numbers, which are higher than `after`, in order.
    pub fn dead_letters(&self, after: u64, limit: usize) -> Result<Vec<(u64, DeadLetter)>, StoreError> {
        let connection = locked(&self.connection);
        dead_letters::after(&*connection.unchecked_transaction()?, after, limit)
    }

    /// How many dead letters are not yet known to be delivered.
    pub fn dead_letters_waiting(&self) -> Result<u64, StoreError> {
        Ok(dead_letters::waiting(&locked(&self.connection))?)
    }

    /// Kept rejects, the newest last, and how many were ever rejected by that source for that reason.
    pub fn quarantined(&self, query: &QuarantineQuery) -> Result<(Vec<Quarantined>, u64), StoreError> {
        let connection = locked(&self.connection);
        let snapshot = connection.unchecked_transaction()?;
        sqlite::check_pages(&snapshot, "quarantine")?;
        Ok((quarantine::list(&snapshot, query)?, quarantine::total(&snapshot, query)?))
    }
}

/// Number of the newest change, 0 before the first.
pub(super) fn latest_seq(connection: &Connection) -> rusqlite::Result<u64> {
    numbers::last(connection, "change").map(|seq| seq as u64)
}

fn oldest_seq(connection: &Connection) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached("SELECT min(seq) FROM change")?
        .query_row([], |row| row.get::<_, Option<i64>>(0))
        .map(|seq| seq.map(|seq| seq as u64))
}

/// Rejects by reason since the state was created, in name order.
pub(super) fn reject_totals(connection: &Connection) -> Result<Vec<(String, u64)>, StoreError> {
    let mut select = connection
        .prepare_cached("SELECT reason, sum(rejects) FROM reject_count GROUP BY reason ORDER BY reason")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Findings by their place as of `:as_of`, which a later commit may have moved. [`page_sql`] writes
/// out what fits.
const PAGE_SQL: &str = "
    WITH place AS (
        SELECT finding_id, severity, last_seen, true AS fits FROM finding WHERE key_commit <= :as_of
        UNION ALL
        SELECT p.finding_id, p.severity, p.last_seen, (SELECT PAST_FITS FROM finding_past WHERE seq = p.seq)
        FROM finding f JOIN finding_past p
            ON p.finding_id = f.finding_id
            AND p.until_commit = (SELECT min(until_commit) FROM finding_past
                                  WHERE finding_id = f.finding_id AND until_commit > :as_of)
        WHERE f.key_commit > :as_of AND f.created_commit <= :as_of
    )
    SELECT f.finding_id, f.body, place.fits AND (SELECT FITS FROM finding WHERE finding_id = f.finding_id),
           place.severity, place.last_seen
    FROM place JOIN finding f ON f.finding_id = place.finding_id
    WHERE (place.severity < :severity
           OR (place.severity = :severity AND place.last_seen < :last_seen)
           OR (place.severity = :severity AND place.last_seen = :last_seen AND place.finding_id > :finding_id))
      AND (:detection IS NULL OR f.detection = :detection)
      AND (:subject_kind IS NULL OR f.subject_kind = :subject_kind)
      AND (:subject_id IS NULL OR f.subject_id = :subject_id)
      AND (:state IS NULL OR f.state = :state)
      AND (:severity_min IS NULL OR f.severity >= :severity_min)
      AND (:owner IS NULL OR f.owner = :owner)
    ORDER BY place.severity DESC, place.last_seen DESC, place.finding_id
    LIMIT :limit";

fn page_sql() -> String {
    PAGE_SQL.replace("PAST_FITS", &checksum::fits("finding_past")).replace("FITS", &checksum::fits("finding"))
}

fn page(connection: &Connection, query: &ListQuery, cursor: &Cursor) -> Result<Page, StoreError> {
    let size = match query.page_size {
        0 => PAGE_SIZE_DEFAULT,
        asked => asked.min(limits::PAGE_SIZE_MAX),
    } as usize;
    let mut select = connection.prepare_cached(&page_sql())?;
    let mut rows = select.query(named_params! {
        ":as_of": cursor.as_of,
        ":severity": cursor.severity,
        ":last_seen": cursor.last_seen,
        ":finding_id": cursor.finding_id,
        ":detection": query.detection,
        ":subject_kind": query.subject_kind,
        ":subject_id": query.subject_id,
        ":state": query.state.map(FindingState::name),
        ":severity_min": query.severity_min.map(write::rank),
        ":owner": query.owner,
        ":limit": size as i64 + 1,
    })?;
    let mut findings = Vec::with_capacity(size);
    let mut last = cursor.clone();
    while let Some(row) = rows.next()? {
        if findings.len() == size {
            return Ok(Page { findings, next_page_token: Some(last.token(query)) });
        }
        let Tracked { finding, .. } = recover::tracked_row(row)?;
        last = Cursor {
            as_of: cursor.as_of,
            severity: row.get(3)?,
            last_seen: row.get(4)?,
            finding_id: finding.finding_id.clone(),
        };
        findings.push(finding);
    }
    Ok(Page { findings, next_page_token: None })
}

/// The last finding of a page, by its place as of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cursor {
    as_of: i64,
    severity: i64,
    last_seen: i64,
    finding_id: String,
}

impl Cursor {
    fn first(as_of: i64) -> Self {
        Self { as_of, severity: i64::MAX, last_seen: i64::MAX, finding_id: String::new() }
    }

    /// Opaque to clients: a version, the commit, the question and the place.
    fn token(&self, query: &ListQuery) -> String {
        let question = question_hash(query);
        let place = format!("{}.{}.{}", self.as_of, self.severity, self.last_seen);
        format!("1.{question:016x}.{place}.{}", self.finding_id)
    }

    fn parse(token: &str, query: &ListQuery) -> Option<Self> {
        let mut parts = token.splitn(6, '.');
        parts.next().filter(|version| *version == "1")?;
        let question = u64::from_str_radix(parts.next()?, 16).ok()?;
        let mut number = || parts.next()?.parse().ok();
        let (as_of, severity, last_seen) = (number()?, number()?, number()?);
        let finding_id = parts.next()?.to_owned();
        (question == question_hash(query)).then_some(Self { as_of, severity, last_seen, finding_id })
    }
}

/// Of everything but the page: a token answers the question that it was given for.
fn question_hash(query: &ListQuery) -> u64 {
    let question = ListQuery { page_size: 0, page_token: None, ..query.clone() };
    xxh3_64(format!("{question:?}").as_bytes())
}

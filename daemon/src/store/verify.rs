//! A state folder, checked from end to end against what was written beside it.
//!
//! In: a state folder, also one that a daemon writes to. Out: of each part how much there is, and what is wrong with it.
//! Nothing is changed, and all parts are of one commit.

use std::path::Path;

use rusqlite::{Connection, Row};

use super::numbers::{self, NUMBERED, Numbers};
use super::{StoreError, checksum, control, history, recover, segments, sqlite};
use crate::limits::VERIFY_DAMAGE_MAX;

/// How an error of the store goes on once it has said what is wrong.
const WHAT_TO_DO: &str = "; move the state folder away";

/// Tables of which each row has a checksum and nothing more is known.
const ROWS: [(Part, &[&str]); 3] = [
    (Part::Changes, &["change"]),
    (Part::Quarantine, &["quarantine", "dead_letter"]),
    (Part::Journal, &["control", "finding_past"]),
];

/// A part of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// SQLite's own pages, indexes and references.
    Pages,
    /// Offsets, event time, versions in force, topic numbers.
    Control,
    /// Rows of rollups.
    Segments,
    /// Findings as they are.
    Findings,
    /// What became of them, hash-chained.
    History,
    /// What watchers are told.
    Changes,
    /// Rejected payloads, also those on their way to the dead-letter topic.
    Quarantine,
    /// Decisions that did not come from the logs, and former places of findings in the list.
    Journal,
}

impl Part {
    /// As it is told.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pages => "pages",
            Self::Control => "control",
            Self::Segments => "segments",
            Self::Findings => "findings",
            Self::History => "history",
            Self::Changes => "changes",
            Self::Quarantine => "quarantine",
            Self::Journal => "journal",
        }
    }

    /// What to do where it is damaged.
    pub fn fix(self) -> &'static str {
        match self {
            Self::Pages | Self::Control | Self::Segments | Self::Findings => {
                "stop the daemon, move the state folder away and start it again: state is rebuilt from what Kafka \
                 still has; or put a back-up in its place, from which it goes on"
            }
            Self::History => {
                "the daemon runs on where the newest revision is sound, for it reads back no other; keep the folder, it shows \
                 what was changed, and compare it with a back-up or with findings that were sent"
            }
            Self::Changes | Self::Quarantine | Self::Journal => {
                "the daemon runs on and refuses to hand out the damaged rows; put a back-up in its place, or move the \
                 state folder away and start again: state is rebuilt from what Kafka still has"
            }
        }
    }
}

/// What came out of one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Which.
    pub part: Part,
    /// How much of it there is: pages, rows, segments, findings, revisions.
    pub count: u64,
    /// What is wrong, the first VERIFY_DAMAGE_MAX places.
    pub damage: Vec<String>,
    /// How many places more.
    pub more: u64,
}

/// What came out of a state folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Each part.
    pub parts: Vec<Checked>,
    /// Hash of the newest revision, hex: write it down elsewhere, and a rewritten history shows.
    pub head: String,
}

impl Verified {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.parts.iter().all(|part| part.damage.is_empty())
    }
}

/// Checks every part of the state in `dir`. Errors: there is no state, or none of this program's, or it cannot be read at all.
pub fn verify(dir: &Path) -> Result<Verified, StoreError> {
    let mut connection = sqlite::open_reader(dir)?;
    let snapshot = connection.transaction()?;
    let mut parts = vec![
        pages(&snapshot)?,
        control_rows(&snapshot)?,
        all_segments(&snapshot)?,
        all_findings(&snapshot)?,
        whole_history(&snapshot)?,
    ];
    for (part, tables) in ROWS {
        parts.push(all_rows(&snapshot, part, tables)?);
    }
    Ok(Verified { parts, head: history::head(&snapshot)?.1 })
}

/// Collects damage up to its bound.
struct Finds(Checked);

impl Finds {
    fn of(part: Part) -> Self {
        Self(Checked { part, count: 0, damage: Vec::new(), more: 0 })
    }

    fn note(&mut self, damage: impl ToString) {
        if self.0.damage.len() < VERIFY_DAMAGE_MAX {
            let damage = damage.to_string();
            // What to do is said once a part.
            let what = damage.split_once(WHAT_TO_DO).map_or(damage.as_str(), |(what, _)| what);
            self.0.damage.push(what.to_owned());
        } else {
            self.0.more += 1;
        }
    }

    /// Counts one more, or says what is wrong with it.
    fn count<T>(&mut self, outcome: Result<T, impl ToString>) {
        self.0.count += 1;
        if let Err(damage) = outcome {
            self.note(damage);
        }
    }
}

/// Shows `look` every row of a query, up to where it cannot be read on.
fn each(
    connection: &Connection,
    sql: &str,
    finds: &mut Finds,
    mut look: impl FnMut(&Row<'_>, &mut Finds) -> rusqlite::Result<()>,
) -> Result<(), StoreError> {
    let mut select = connection.prepare(sql)?;
    let mut rows = select.query([])?;
    loop {
        let seen = rows.next().and_then(|row| row.map(|row| look(row, finds)).transpose());
        match seen {
            Ok(Some(())) => {}
            Ok(None) => return Ok(()),
            Err(damage) => {
                finds.note(damage);
                return Ok(());
            }
        }
    }
}

fn pages(connection: &Connection) -> Result<Checked, StoreError> {
    let mut finds = Finds::of(Part::Pages);
    let pages: i64 =
        connection.query_row("SELECT page_count FROM pragma_page_count()", [], |row| row.get(0))?;
    finds.0.count = pages.cast_unsigned();
    each(connection, "PRAGMA integrity_check(1000)", &mut finds, |line, finds| {
        match line.get::<_, String>(0)?.as_str() {
            "ok" => {}
            damage => finds.note(damage),
        }
        Ok(())
    })?;
    Ok(finds.0)
}

fn control_rows(connection: &Connection) -> Result<Checked, StoreError> {
    let mut finds = Finds::of(Part::Control);
    match control::check(connection) {
        Ok(rows) => finds.0.count = rows,
        Err(damage) => finds.note(damage),
    }
    Ok(finds.0)
}

/// One at a time: together they may be larger than memory.
fn all_segments(connection: &Connection) -> Result<Checked, StoreError> {
    let mut finds = Finds::of(Part::Segments);
    each(connection, "SELECT id FROM segment ORDER BY id", &mut finds, |row, finds| {
        finds.count(segments::read_one(connection, row.get(0)?));
        Ok(())
    })?;
    Ok(finds.0)
}

fn all_findings(connection: &Connection) -> Result<Checked, StoreError> {
    let mut finds = Finds::of(Part::Findings);
    let sql =
        format!("SELECT finding_id, body, {} FROM finding ORDER BY finding_id", checksum::fits("finding"));
    each(connection, &sql, &mut finds, |row, finds| {
        finds.count(recover::tracked_row(row));
        Ok(())
    })?;
    Ok(finds.0)
}

fn all_rows(connection: &Connection, part: Part, tables: &[&'static str]) -> Result<Checked, StoreError> {
    let mut finds = Finds::of(part);
    for table in tables {
        let sql = format!("SELECT rowid, {} FROM {table} ORDER BY rowid", checksum::fits(table));
        let mut numbers = Numbers::of(table);
        let numbered = NUMBERED.contains(table);
        each(connection, &sql, &mut finds, |row, finds| {
            let (key, fits): (i64, bool) = (row.get(0)?, row.get(1)?);
            finds.count(fits.then_some(()).ok_or_else(|| StoreError::differs(table, key.to_string())));
            if numbered {
                numbers.see(key).unwrap_or_else(|lost| finds.note(lost));
            }
            Ok(())
        })?;
        if numbered {
            let last = numbers::last(connection, table).map_err(StoreError::from);
            last.and_then(|last| numbers.end(last)).unwrap_or_else(|lost| finds.note(lost));
        }
    }
    Ok(finds.0)
}

/// Ends at the first revision that does not fit: none after it can.
fn whole_history(connection: &Connection) -> Result<Checked, StoreError> {
    let mut finds = Finds::of(Part::History);
    match history::verify(connection) {
        Ok(revisions) => finds.0.count = revisions,
        Err(damage) => finds.note(damage),
    }
    Ok(finds.0)
}

//! Queries as files: loading, safety, planning, running, reloading. The only module that imports DataFusion.
//!
//! In: `queries/rollups/*.sql`, `queries/detections/*.sql`. Out: planned queries that turn batches into batches.
//! No query reads a clock, a file or a URL.

pub mod cases;
pub mod conditions;
mod dissect;
pub mod functions;
#[cfg(test)]
mod hostile;
pub mod load;
pub mod observe;
mod parts;
pub mod plan;
mod shape;
mod slot;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::findings::lifecycle::Rule;

pub use parts::{Read, Worked};

/// What both kinds of query share.
#[derive(Debug, Clone)]
pub struct QueryText {
    /// Id in the front matter; also the file's stem and, for rollups, the table's name with `_` for `-`.
    pub id: String,
    /// Version in the front matter: raise it whenever the meaning changes.
    pub version: u32,
    /// The file, or `builtin:...`.
    pub path: PathBuf,
    /// The SQL after the front matter.
    pub sql: String,
    /// Line of the file on which `sql` starts, from 1: errors point into the file.
    pub sql_line: usize,
    /// SHA-256 of the whole file, hex.
    pub sha256: String,
    /// Parameters by name; written `$name` in SQL.
    pub parameters: BTreeMap<String, f64>,
}

impl QueryText {
    /// The table that a rollup of this id is in SQL.
    pub fn table(&self) -> String {
        self.id.replace('-', "_")
    }
}

/// `SELECT ... FROM events GROUP BY ...` with mergeable aggregates only.
#[derive(Debug, Clone)]
pub struct RollupQuery {
    /// Id, version, SQL, parameters.
    pub text: QueryText,
    /// Output column that holds the time bucket (`date_bin`), microseconds.
    pub bucket: String,
    /// Width of one bucket, seconds.
    pub bucket_seconds: i64,
    /// Output column by which detections are restricted to subjects, such as `pilot`, `credential`, `caller` or `source`.
    pub subject: String,
    /// Buckets older than this behind the watermark are dropped.
    pub retention_seconds: i64,
    /// Output column of a token that the subject gave out: who presents it is then of its family.
    pub issues: Option<String>,
    /// Output column of a token that the subject presented.
    pub presents: Option<String>,
}

/// One SELECT over rollups, registry tables and losses that names subjects.
#[derive(Debug, Clone)]
pub struct DetectionQuery {
    /// Id, version, SQL, parameters.
    pub text: QueryText,
    /// One line for people.
    pub title: String,
    /// `pilot`, `credential` or `source`.
    pub subject_kind: String,
    /// How far back it looks, seconds: when a bucket leaves this window its subject is evaluated again.
    pub window_seconds: i64,
    /// Further ages of a bucket, seconds, at which the answer may change although nothing happened: the end
    /// of a learning week, say. The query compares bucket columns with `as_of()` less exactly these.
    pub revisit_seconds: Vec<i64>,
    /// Rollups that it reads and whose new rows alone change no answer: what a credential did before is judged
    /// when something drives the question. Their rows make nobody due but when they leave retention.
    pub background: Vec<String>,
    /// WITH parts with a column named as the subject kind: of subjects that are not in each of them the query says
    /// nothing, ever. They are asked first, each of those whom the one before named, so that all else is worked out for
    /// few.
    pub candidates: Vec<String>,
    /// Grid of on-time evaluation, seconds; rounded up to the base grid where it is finer or between its points.
    pub grid_seconds: i64,
    /// Whether every known subject is evaluated at each grid point (queries that look across subjects).
    pub all_subjects: bool,
    /// Whether it is evaluated at each grid point while rows of its window are kept, also where no event says so:
    /// queries whose answer changes as time passes.
    pub every_grid_point: bool,
    /// Whether its findings, whose subjects are sources, say that a source is silent: while one is open, findings with
    /// samples from that source's topics do not resolve. It is evaluated before the others.
    pub tells_silence: bool,
    /// How long a finding must have been below `hold` before it resolves, seconds.
    pub close_after_seconds: i64,
    /// Within this time after resolving, a new hit reopens the same episode, seconds.
    pub reopen_within_seconds: i64,
    /// Role whose holder is paged: `pilot_owner`, `control_owner`, `credential_owner`, ...
    pub owner_role: String,
    /// active, or shadow: evaluated and counted, pages nobody.
    pub mode: Mode,
    /// ids of frameworks, as DOMAIN's table has them: `CSF GV.RR-02`, `ATT&CK T1078.004`.
    pub frameworks: Vec<String>,
    /// Cases that the file carries.
    pub cases: Vec<load::Case>,
}

impl DetectionQuery {
    /// How its findings live.
    pub fn rule(&self) -> Rule {
        Rule {
            detection: self.text.id.clone(),
            version: self.text.version,
            subject_kind: self.subject_kind.clone(),
            close_after: self.close_after_seconds * 1_000_000,
            reopen_within: self.reopen_within_seconds * 1_000_000,
        }
    }
}

/// Whether a detection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Findings are stored, served and notified.
    #[default]
    Active,
    /// Evaluated and counted only.
    Shadow,
}

/// All queries in force, in id order.
#[derive(Debug, Clone, Default)]
pub struct QueryTexts {
    /// Rollups.
    pub rollups: Vec<RollupQuery>,
    /// Detections.
    pub detections: Vec<DetectionQuery>,
}

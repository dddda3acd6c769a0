//! Findings: what a hit becomes over time.
//!
//! In: hits of one detection at one grid point, and the findings already known. Out: [`FindingChange`]s.
//! A pure state machine: no clock, no store, no network. The JSON of [`Finding`] is the JSON mapping of the
//! gRPC message `shadowprod.v1.Finding` with snake_case names.

pub mod lifecycle;
pub mod silence;

use jiff::Timestamp;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// How bad. Travels as a lower-case word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nobody needs to look today.
    Low,
    /// This week.
    Medium,
    /// Today: pages.
    High,
    /// Now: pages.
    Critical,
}

impl Severity {
    /// Least to worst.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The word it travels as.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// Inverse of [`Severity::name`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == word)
    }
}

/// Where a finding is in its life. Travels as a lower-case word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingState {
    /// The evidence holds.
    Open,
    /// The evidence left the window, or a person said so.
    Resolved,
}

impl FindingState {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Open, Self::Resolved];

    /// The word it travels as.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
        }
    }

    /// Inverse of [`FindingState::name`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == word)
    }
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    /// `pilot`, `credential` or `source`.
    pub kind: String,
    /// Pilot id, or keyed hash of a credential.
    pub id: String,
}

/// Whom to page, and why that person.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Owner {
    /// Person id in the registry; empty where nobody could be found.
    pub person: String,
    /// Role that made this person the one to page, such as `pilot_owner`.
    pub role: String,
    /// Where to reach them for this severity.
    pub contact: String,
}

/// One piece of evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// A number the score or the decision was made of; `value` is null where it could not be observed.
    Term {
        /// Column of the detection without `term_`.
        name: String,
        /// Its value.
        #[serde(deserialize_with = "exact_option")]
        value: Option<f64>,
    },
    /// Something a person wants to know, as text.
    Fact {
        /// Column of the detection without `fact_`.
        name: String,
        /// Its text.
        value: String,
    },
    /// Exactly which query said so.
    Query {
        /// Detection id.
        id: String,
        /// Version in its front matter.
        version: u32,
        /// SHA-256 of the file's bytes, hex.
        sha256: String,
        /// Parameters, sorted by name.
        parameters: Vec<Parameter>,
    },
    /// Time the evidence spans.
    Range {
        /// Start of the window looked at.
        from: Timestamp,
        /// The grid point: everything before it was seen.
        to: Timestamp,
    },
    /// A message behind it.
    Sample {
        /// Kafka topic or file name without ending.
        topic: String,
        /// Partition.
        partition: i32,
        /// Offset.
        offset: i64,
    },
}

/// One parameter of a query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Name in the front matter.
    pub name: String,
    /// Value in force.
    #[serde(deserialize_with = "exact")]
    pub value: f64,
}

/// What a person and a program read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Hash of detection id, subject and episode: the same after any replay. `f_` + 32 hex digits.
    pub finding_id: String,
    /// Detection id.
    pub detection: String,
    /// Its version.
    pub detection_version: u32,
    /// What it is about.
    pub subject: Subject,
    /// How bad.
    pub severity: Severity,
    /// 0..1.
    #[serde(deserialize_with = "exact")]
    pub score: f64,
    /// Share of the score's weight that could be observed, 0..1.
    #[serde(deserialize_with = "exact")]
    pub coverage: f64,
    /// Open or resolved.
    pub state: FindingState,
    /// Whom to page.
    pub owner: Owner,
    /// False while only an early look has seen it; the grid confirms or withdraws it.
    pub confirmed: bool,
    /// First event of the evidence.
    pub first_seen: Timestamp,
    /// Last event of the evidence.
    pub last_seen: Timestamp,
    /// Counts from 1; a later, separate run of the same problem has the next number.
    pub episode: u32,
    /// How often this episode was reopened.
    pub reopened: u32,
    /// Terms, facts, query, range, samples, in that order.
    pub evidence: Vec<Evidence>,
    /// One line.
    pub title: String,
    /// Why, in sentences.
    pub explanation: String,
}

/// What happened to a finding. `kind` travels as a lower-case word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// An early look saw it; not confirmed.
    Early,
    /// The grid saw it: part of the history.
    Opened,
    /// Severity, owner or score step changed: part of the history.
    Updated,
    /// Only counts and times moved: not part of the history.
    Refreshed,
    /// The evidence left: part of the history.
    Resolved,
    /// The same episode again: part of the history.
    Reopened,
    /// An early finding that the grid did not confirm: the finding disappears.
    Withdrawn,
}

impl ChangeKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Early,
        Self::Opened,
        Self::Updated,
        Self::Refreshed,
        Self::Resolved,
        Self::Reopened,
        Self::Withdrawn,
    ];

    /// The word it travels as.
    pub fn name(self) -> &'static str {
        match self {
            Self::Early => "early",
            Self::Opened => "opened",
            Self::Updated => "updated",
            Self::Refreshed => "refreshed",
            Self::Resolved => "resolved",
            Self::Reopened => "reopened",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Inverse of [`ChangeKind::name`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == word)
    }

    /// Whether it belongs to the append-only history, which depends on the events and on nothing else.
    pub fn is_history(self) -> bool {
        match self {
            Self::Opened | Self::Updated | Self::Resolved | Self::Reopened => true,
            Self::Early | Self::Refreshed | Self::Withdrawn => false,
        }
    }
}

/// One step in a finding's life, to be stored and told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FindingChange {
    /// What happened.
    pub kind: ChangeKind,
    /// Event time of the grid point (or of the newest event, for early ones).
    pub at: Timestamp,
    /// The finding after it.
    pub finding: Finding,
}

/// How strongly a row of a detection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Opens a finding or keeps one open.
    Fire,
    /// Keeps an open finding open; opens none.
    Hold,
}

/// One row of a detection: a subject and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Subject id.
    pub subject: String,
    /// Fire or hold.
    pub level: Level,
    /// 0..1.
    pub score: f64,
    /// 0..1.
    pub coverage: f64,
    /// How bad.
    pub severity: Severity,
    /// Whom to page.
    pub owner: Owner,
    /// First event of the evidence.
    pub first_seen: Timestamp,
    /// Last event of the evidence.
    pub last_seen: Timestamp,
    /// One line.
    pub title: String,
    /// Sentences.
    pub explanation: String,
    /// Terms, facts, query, samples; the range is the lifecycle's.
    pub evidence: Vec<Evidence>,
}

/// A finding and what its lifecycle must remember: the state that survives a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tracked {
    /// The finding.
    pub finding: Finding,
    /// Grid point since which no evidence was seen while it is open.
    pub quiet_since: Option<Timestamp>,
    /// Grid point at which it resolved.
    pub resolved_at: Option<Timestamp>,
    /// Newest event when an early look opened it; the grid has not spoken yet.
    pub early_at: Option<Timestamp>,
}

/// A number as it was written. serde_json's own parser may be off by one unit in the last place, and a
/// finding that is read back must be the one that was written, byte for byte.
fn exact<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let text = Box::<RawValue>::deserialize(deserializer)?;
    text.get().parse().map_err(D::Error::custom)
}

fn exact_option<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let text = Option::<Box<RawValue>>::deserialize(deserializer)?;
    text.map(|text| text.get().parse().map_err(D::Error::custom)).transpose()
}

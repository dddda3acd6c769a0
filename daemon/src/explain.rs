//! Why a detection fires on a subject, or does not.
//!
//! In: a [`Snapshot`] of what one detection sees, a subject, its finding if there is one. Out: an [`Explanation`].
//! The pipeline only copies rows; all else is done on the thread that asks. Nothing here changes anything, and
//! nothing here knows a detection: what is said follows from its SQL.

mod blame;
mod seen;
mod snapshot;

use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;

use crate::detect::{self, Context, DetectError};
use crate::findings::{Evidence, Finding, FindingState, Hit, Level, Parameter, Severity, Subject};
use crate::query::DetectionQuery;
use crate::query::observe::{self, Asked, Node, ObserveError, Role, Stage};
use crate::rollup::RollupError;

pub use seen::SeenTable;
pub use snapshot::{Ask, Question, Snapshot, When, take};

/// Why there is no explanation.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// No detection in force has this id.
    #[error("no detection `{asked}` is in force{hint}. In force: {known}")]
    NoDetection {
        /// What was asked for.
        asked: String,
        /// `; did you mean ...`, or nothing.
        hint: String,
        /// All ids.
        known: String,
    },
    /// The watermark has not moved yet.
    #[error("no event has been read yet, so there is no instant to answer for; ask again when there are")]
    TooEarly,
    /// More rows than a copy may hold.
    #[error(
        "`{detection}` reads {rows} rows of the state, and one explanation copies at most {max}; it looks across \
         subjects, so no fewer will do"
    )]
    TooLarge {
        /// Detection id.
        detection: String,
        /// Rows it reads.
        rows: usize,
        /// EXPLAIN_INPUT_ROWS_MAX.
        max: usize,
    },
    /// The pipeline is gone or did not answer in time.
    #[error("the pipeline did not answer in time; it may be catching up. Ask again")]
    NoAnswer,
    /// The query.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// Its output.
    #[error(transparent)]
    Detect(#[from] DetectError),
    /// Its input.
    #[error(transparent)]
    Rollup(#[from] RollupError),
}

/// What a detection says of a subject. Travels as a lower-case word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A row that says 'fire': opens a finding.
    Fires,
    /// A row that says 'hold': keeps an open finding open.
    Holds,
    /// No row.
    Silent,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Fires, Self::Holds, Self::Silent];

    /// The word it travels as.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fires => "fires",
            Self::Holds => "holds",
            Self::Silent => "silent",
        }
    }
}

/// A number of the row that came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Term {
    /// Column of the detection without `term_`.
    pub name: String,
    /// Its value; `None`: not observed.
    pub value: Option<f64>,
}

/// The row that came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// 0..1.
    pub score: f64,
    /// 0..1.
    pub coverage: f64,
    /// How bad.
    pub severity: Severity,
    /// In the order of the query.
    pub terms: Vec<Term>,
}

/// A condition, or a part of one, for want of which nothing fires.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Short {
    /// Stage in which it stands.
    pub stage: String,
    /// What it does.
    pub role: Role,
    /// Line of the file.
    pub line: u64,
    /// Rows or groups of the subject that were asked.
    pub asked: u64,
    /// Whether it stands in an OR: it or another of these would be enough.
    pub is_alternative: bool,
    /// The part that is not true, on the row that comes closest.
    pub node: Node,
}

/// A place behind which no row of the subject is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct End {
    /// The first stage without a row.
    pub stage: String,
    /// Why, in words.
    pub why: String,
}

/// Why a detection fires on a subject, or does not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// Detection id.
    pub detection: String,
    /// Its version in force.
    pub version: u32,
    /// SHA-256 of the file in force, hex.
    pub sha256: String,
    /// The file, or `builtin:...`.
    pub file: String,
    /// Its SQL, without front matter.
    pub sql: String,
    /// Line of the file on which `sql` starts.
    pub sql_line: u64,
    /// Parameters in force, sorted by name.
    pub parameters: Vec<Parameter>,
    /// Whom it is about.
    pub subject: Subject,
    /// The instant for which it was evaluated.
    pub as_of: Timestamp,
    /// What it says.
    pub verdict: Verdict,
    /// Its row, if there is one.
    pub outcome: Option<Outcome>,
    /// What keeps it from firing: conditions.
    pub short: Vec<Short>,
    /// What keeps it from firing: where rows end without a condition.
    pub ends: Vec<End>,
    /// What a reader must know besides, in sentences.
    pub notes: Vec<String>,
    /// The finding that is explained.
    pub finding: Option<Finding>,
    /// Stages in the order in which they are computed.
    pub stages: Vec<Stage>,
    /// Rows of the subject that were read.
    pub tables: Vec<SeenTable>,
}

/// Explains what `snapshot` holds of its subject. Blocks; takes no longer than until `give_up`, one step aside.
pub fn explain(
    snapshot: &Snapshot,
    finding: Option<&Finding>,
    give_up: Instant,
) -> Result<Explanation, ExplainError> {
    let Snapshot { query, tables, subject, as_of, .. } = snapshot;
    let asked = Asked { query, tables, subject, as_of: *as_of, give_up };
    let seen = observe::observe(&asked)?;
    let context = Context { registry: &snapshot.registry, topics: &[] };
    let hits = detect::hits_of(&seen.output, query, context)?;
    let hit = hits.into_iter().find(|hit| hit.subject == *subject);
    let verdict = match &hit {
        Some(Hit { level: Level::Fire, .. }) => Verdict::Fires,
        Some(Hit { level: Level::Hold, .. }) => Verdict::Holds,
        None => Verdict::Silent,
    };
    let outcome = hit.map(outcome_of);
    let (short, ends) = blame::of(&seen.stages, verdict, subject);
    let differ = |finding| differences(finding, query, verdict, outcome.as_ref());
    let mut notes = finding.map(differ).unwrap_or_default();
    notes.splice(0..0, snapshot.notes(notes.is_empty()));
    notes.extend(snapshot.stranger().filter(|_| verdict == Verdict::Silent));
    Ok(Explanation {
        detection: query.text.id.clone(),
        version: query.text.version,
        sha256: query.text.sha256.clone(),
        file: query.text.path.display().to_string(),
        sql: query.text.sql.clone(),
        sql_line: query.text.sql_line as u64,
        parameters: parameters_of(query),
        subject: Subject { kind: query.subject_kind.clone(), id: subject.clone() },
        as_of: snapshot::instant(*as_of),
        verdict,
        outcome,
        short,
        ends,
        notes,
        finding: finding.cloned(),
        tables: seen::tables(snapshot, &seen),
        stages: seen.stages,
    })
}

fn parameters_of(query: &DetectionQuery) -> Vec<Parameter> {
    let parameter = |(name, value): (&String, &f64)| Parameter { name: name.clone(), value: *value };
    query.text.parameters.iter().map(parameter).collect()
}

fn outcome_of(hit: Hit) -> Outcome {
    Outcome {
        score: hit.score,
        coverage: hit.coverage,
        severity: hit.severity,
        terms: terms_of(&hit.evidence).map(|(name, value)| Term { name: name.to_owned(), value }).collect(),
    }
}

fn terms_of(evidence: &[Evidence]) -> impl Iterator<Item = (&str, Option<f64>)> {
    evidence.iter().filter_map(|evidence| match evidence {
        Evidence::Term { name, value } => Some((name.as_str(), *value)),
        Evidence::Fact { .. } | Evidence::Query { .. } | Evidence::Range { .. } | Evidence::Sample { .. } => {
            None
        }
    })
}

/// The grid point, or for an early finding the newest event, as of which a finding's body was made.
pub fn made_at(finding: &Finding) -> Option<Timestamp> {
    finding.evidence.iter().find_map(|evidence| match evidence {
        Evidence::Range { to, .. } => Some(*to),
        Evidence::Term { .. } | Evidence::Fact { .. } | Evidence::Query { .. } | Evidence::Sample { .. } => {
            None
        }
    })
}

/// In what the finding differs from what is seen today.
fn differences(
    finding: &Finding,
    query: &DetectionQuery,
    verdict: Verdict,
    outcome: Option<&Outcome>,
) -> Vec<String> {
    let mut notes: Vec<String> = query_differences(finding, query).into_iter().collect();
    if finding.state == FindingState::Resolved {
        notes.push("The finding is resolved: it is explained as of when it was last seen.".to_owned());
    }
    let Some(outcome) = outcome else {
        notes.push(
            "What the state holds today gives no row for that instant: rows of it have moved on or are no longer kept."
                .to_owned(),
        );
        return notes;
    };
    if verdict == Verdict::Holds {
        notes.push(
            "The row says 'hold' as of that instant: it keeps the finding open, and would open none."
                .to_owned(),
        );
    }
    if outcome.score != finding.score {
        notes.push(format!(
            "Evaluated again, the score is {}; the finding says {}. The rows have changed since.",
            outcome.score, finding.score
        ));
    }
    let changed = terms_of(&finding.evidence).filter_map(|(name, was)| {
        let is = outcome.terms.iter().find(|term| term.name == name)?.value;
        (is != was).then(|| format!("{name} {} (was {})", number(is), number(was)))
    });
    let changed: Vec<String> = changed.collect();
    if !changed.is_empty() {
        notes.push(format!("Terms that differ from the finding's: {}.", changed.join(", ")));
    }
    notes
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "not observed".to_owned(), |value| value.to_string())
}

fn query_differences(finding: &Finding, query: &DetectionQuery) -> Option<String> {
    let made_by = finding.evidence.iter().find_map(|evidence| match evidence {
        Evidence::Query { version, sha256, .. } => Some((*version, sha256)),
        Evidence::Term { .. } | Evidence::Fact { .. } | Evidence::Range { .. } | Evidence::Sample { .. } => {
            None
        }
    });
    let (version, sha256) = made_by.filter(|(_, sha256)| **sha256 != query.text.sha256)?;
    Some(format!(
        "The query has changed since: version {version} with SHA-256 {sha256} made the finding, and its text is not \
         kept. What follows is version {} in force, with its own parameters.",
        query.text.version
    ))
}

//! One case through the real thing: rollups absorb its events, the grid is walked up to its instant, findings
//! live their lives.
//!
//! In: queries and a case. Out: a [`CaseReport`] that says in words what does not hold. Nothing is stored.

use std::sync::Arc;

use crate::detect::{self, Context, Round};
use crate::findings::lifecycle::{Evaluated, Lifecycle, Rule};
use crate::findings::silence::Silence;
use crate::findings::{Evidence, Finding, FindingState, Hit, Level};
use crate::losses::Losses;
use crate::query::cases::{Case, CaseKind, Expectation, enriched};
use crate::query::plan::QuerySet;
use crate::query::{DetectionQuery, QueryTexts};
use crate::registry::Registry;
use crate::rollup::schedule::{Due, Schedule};
use crate::rollup::watermark::START_OF_TIME;
use crate::rollup::{Rollups, SubjectId, View};

/// What does not hold, in words.
type Failure = String;

/// What came of one case.
#[derive(Debug)]
pub(super) struct CaseReport {
    /// Detection id.
    pub detection: String,
    /// Name of the case.
    pub case: String,
    /// What it proves.
    pub kind: CaseKind,
    /// File and line.
    pub place: String,
    /// What does not hold; empty if all does.
    pub failures: Vec<String>,
}

/// Whether all queries can be planned and return what findings need; otherwise why not, in words.
pub(super) fn plan(texts: &QueryTexts) -> Result<(), Failure> {
    let empty = Registry::from_texts(Vec::new()).map_err(|e| e.to_string())?;
    planned(texts, &empty).map(drop)
}

fn planned(texts: &QueryTexts, registry: &Registry) -> Result<QuerySet, Failure> {
    let queries = QuerySet::plan(texts, &registry.tables())
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    for detection in &queries.detections {
        detect::check_output(&detection.output)
            .map_err(|message| format!("{}: {message}", detection.query.text.path.display()))?;
    }
    Ok(queries)
}

/// A detection and the rollups that it names, planned once for all its cases.
pub(super) struct Stand {
    queries: QuerySet,
}

impl Stand {
    /// Plans `detection` with those rollups of `texts`.
    pub(super) fn new(texts: &QueryTexts, detection: &DetectionQuery) -> Result<Self, Failure> {
        let empty = Registry::from_texts(Vec::new()).map_err(|e| e.to_string())?;
        let mut texts = QueryTexts { rollups: texts.rollups.clone(), detections: vec![detection.clone()] };
        texts.rollups.retain(|rollup| detection.text.sql.contains(&rollup.text.table()));
        planned(&texts, &empty).map(|queries| Self { queries })
    }

    /// Puts a case's registry, losses and grid in force.
    fn prepare(&mut self, registry: &Registry, losses: &Losses, grid_seconds: i64) {
        self.queries.replace_registry(&registry.tables());
        self.queries.replace_losses(losses);
        Arc::make_mut(&mut self.queries.detections[0].query).grid_seconds = grid_seconds;
    }
}

/// Runs `case` of the detection that `stand` has planned.
pub(super) fn run_case(stand: &mut Stand, detection: &DetectionQuery, case: &Case) -> CaseReport {
    let failures =
        Run::start(stand, case).and_then(|run| run.finish(case)).unwrap_or_else(|failure| vec![failure]);
    CaseReport {
        detection: detection.text.id.clone(),
        case: case.name.clone(),
        kind: case.kind,
        place: case.place.clone(),
        failures,
    }
}

/// The stages between enrichment and the store, for one detection.
struct Run<'s> {
    registry: Arc<Registry>,
    queries: &'s QuerySet,
    rollups: Rollups,
    /// Of the one detection.
    schedules: Vec<Schedule>,
    rule: Rule,
    lifecycle: Lifecycle,
}

impl<'s> Run<'s> {
    fn start(stand: &'s mut Stand, case: &Case) -> Result<Self, Failure> {
        let files = vec![(format!("registry of {}", case.place), case.registry.clone())];
        let registry = Registry::from_texts(files).map_err(|e| e.to_string())?;
        stand.prepare(&registry, &case.losses, case.grid_seconds);
        let queries = &stand.queries;
        let query = &queries.detections[0].query;
        let rule = query.rule();
        let rollups = Rollups::new(queries);
        let mut schedules = rollups.schedules(queries);
        for boundary in registry.boundaries().into_iter().filter(|b| *b <= case.as_of) {
            let at = schedules[0].at_or_after(boundary);
            schedules[0].add_all(at);
        }
        schedules[0].add_losses(&case.losses, &queries.detections[0], START_OF_TIME);
        let registry = Arc::new(registry);
        Ok(Self { registry, queries, rollups, schedules, rule, lifecycle: Lifecycle::default() })
    }

    fn finish(mut self, case: &Case) -> Result<Vec<Failure>, Failure> {
        let absorbed = self.absorb(&case.events, case)?;
        if absorbed != (case.events.len() as u64, 0) {
            return Err(format!(
                "of {} events in time {absorbed:?} were rolled up and late",
                case.events.len()
            ));
        }
        self.walk(case.as_of)?;
        let hits = self.evaluate(None, case.as_of)?;
        let mut failures = self.compare(case, &hits);
        if !case.late.is_empty() {
            failures.extend(self.come_late(case, &hits)?);
        }
        Ok(failures)
    }

    /// How many were rolled up and how many were late.
    fn absorb(
        &mut self,
        events: &[crate::query::cases::CaseEvent],
        case: &Case,
    ) -> Result<(u64, u64), Failure> {
        let batch = enriched(events, case.grid_seconds);
        let absorbed = self.rollups.absorb(self.queries, &batch).map_err(|e| e.to_string())?;
        Ok((absorbed.rolled_up, absorbed.late))
    }

    /// Walks the grid points at which something is due, as the pipeline does.
    fn walk(&mut self, until: i64) -> Result<(), Failure> {
        while let Some(at) = self.next_point(until) {
            self.settle(at)?;
            if let Some(due) = self.schedules[0].take(at, &self.rollups) {
                self.tick(at, due)?;
            }
        }
        self.settle(until)
    }

    fn settle(&mut self, at: i64) -> Result<(), Failure> {
        self.rollups.settle(at, self.queries, &mut self.schedules).map_err(|e| e.to_string())
    }

    fn next_point(&self, until: i64) -> Option<i64> {
        let due = self.schedules[0].next(&self.rollups).filter(|at| *at <= until);
        [due, self.rollups.next_grid_point(until)].into_iter().flatten().min()
    }

    fn tick(&mut self, at: i64, due: Due) -> Result<(), Failure> {
        let ids: Option<Vec<SubjectId>> = match due {
            Due::Some(ids) if !self.queries.detections[0].query.all_subjects => {
                let ids = ids.into_iter().collect();
                Some(detect::concerned(self.queries, 0, &self.rollups, ids, View::Settled))
            }
            Due::Some(_) | Due::All => None,
        };
        let hits = self.evaluate(ids.as_deref(), at)?;
        let names = ids.map(|ids| self.names(&ids));
        let evaluated = names.as_deref().map_or(Evaluated::All, Evaluated::Some);
        let instant = jiff::Timestamp::from_microsecond(at).map_err(|e| e.to_string())?;
        let outcome = self.lifecycle.apply_grid(&self.rule, instant, evaluated, hits, &Silence::default());
        for (at, subject) in outcome.wakes {
            let query = &self.queries.detections[0].query;
            self.schedules[0].add_wake(at, &subject, query, &mut self.rollups);
        }
        Ok(())
    }

    fn names(&self, ids: &[SubjectId]) -> Vec<String> {
        let Some(subjects) = self.rollups.subjects(&self.rule.subject_kind) else { return Vec::new() };
        let mut names: Vec<String> = ids.iter().map(|id| subjects.name(*id).to_string()).collect();
        names.sort_unstable();
        names
    }

    fn evaluate(&self, ids: Option<&[SubjectId]>, at: i64) -> Result<Vec<Hit>, Failure> {
        let context = Context { registry: &self.registry, topics: &["case".to_owned()] };
        let whole = detect::evaluate(self.queries, 0, &self.rollups, ids, View::Settled, at, context)
            .map_err(|e| e.to_string())?;
        let mut round = Round::new(View::Settled, at);
        let narrowed = round.evaluate(self.queries, 0, &self.rollups, ids, context);
        if narrowed.map_err(|e| e.to_string())? != whole {
            return Err("the front matter's `candidates` leaves out a subject that the query says something of: name a \
                part that holds them all, or leave the key out"
                .to_owned());
        }
        Ok(whole)
    }

    /// Late events are counted, and nothing that is known of the time before changes.
    fn come_late(&mut self, case: &Case, before: &[Hit]) -> Result<Option<Failure>, Failure> {
        let absorbed = self.absorb(&case.late, case)?;
        let after = self.evaluate(None, case.as_of)?;
        if absorbed == (0, case.late.len() as u64) && after == before {
            return Ok(None);
        }
        let (rolled_up, late) = absorbed;
        Ok(Some(format!(
            "expected {} events to be counted late and to change nothing, came {late} late, {rolled_up} rolled up, rows {}",
            case.late.len(),
            if after == before { "unchanged" } else { "changed" }
        )))
    }

    fn compare(&self, case: &Case, hits: &[Hit]) -> Vec<Failure> {
        let findings: Vec<&Finding> = self.lifecycle.all().map(|t| &t.finding).collect();
        let found = |subject: &str| findings.iter().find(|f| f.subject.id == subject);
        let mut failures = Vec::new();
        for expected in &case.expects {
            let differences = match found(&expected.subject) {
                Some(finding) => differences(expected, finding),
                None => vec!["no finding ever opened".to_owned()],
            };
            if !differences.is_empty() {
                let lines = differences.join("\n          ");
                let seen = seen_of(&expected.subject, hits);
                failures.push(format!("expected {}\n    came: {lines}\n    row:  {seen}", shown(expected)));
            }
        }
        for finding in findings {
            if !case.expects.iter().any(|e| e.subject == finding.subject.id) {
                let seen = seen_of(&finding.subject.id, hits);
                let summary = summary_of(finding);
                failures.push(format!(
                    "expected no finding about `{}`\n    came: {summary}\n    row:  {seen}",
                    finding.subject.id
                ));
            }
        }
        failures
    }
}

fn shown(expected: &Expectation) -> String {
    let state = if expected.resolved { "resolved" } else { "open" };
    let mut text = format!("a finding about `{}`, {state}", expected.subject);
    if let Some(severity) = expected.severity {
        text.push_str(&format!(", {}", severity.name()));
    }
    if let Some(score) = expected.score_min {
        text.push_str(&format!(", score at least {score}"));
    }
    if let Some(score) = expected.score_max {
        text.push_str(&format!(", score at most {score}"));
    }
    if let Some(coverage) = expected.coverage {
        text.push_str(&format!(", coverage {coverage}"));
    }
    if let Some(at) = expected.first_seen {
        text.push_str(&format!(", seen first at {at}"));
    }
    if let Some(part) = &expected.explains {
        text.push_str(&format!(", explained with \"{part}\""));
    }
    text
}

fn differences(expected: &Expectation, finding: &Finding) -> Vec<String> {
    let resolved = finding.state == FindingState::Resolved;
    let same = resolved == expected.resolved
        && expected.severity.is_none_or(|s| s == finding.severity)
        && expected.score_min.is_none_or(|s| finding.score >= s)
        && expected.score_max.is_none_or(|s| finding.score <= s)
        && expected.coverage.is_none_or(|c| (finding.coverage - c).abs() < 5e-5)
        && expected.first_seen.is_none_or(|at| at == finding.first_seen);
    let explained = expected.explains.as_ref().is_none_or(|part| finding.explanation.contains(part));
    let mut differences = Vec::new();
    if !same {
        differences.push(summary_of(finding));
    }
    if !explained {
        differences.push(format!("explained with \"{}\"", finding.explanation));
    }
    differences
}

fn summary_of(finding: &Finding) -> String {
    let (state, severity) = (finding.state.name(), finding.severity.name());
    let Finding { score, coverage, first_seen, explanation, .. } = finding;
    format!(
        "{state}, {severity}, score {score}, coverage {coverage}, seen first at {first_seen}, \"{explanation}\""
    )
}

/// What the query says of a subject at the end: its level and terms.
fn seen_of(subject: &str, hits: &[Hit]) -> String {
    let Some(hit) = hits.iter().find(|h| h.subject == subject) else {
        return "the query returns none at the end".to_owned();
    };
    let level = match hit.level {
        Level::Fire => "fire",
        Level::Hold => "hold",
    };
    let terms = hit.evidence.iter().filter_map(|e| match e {
        Evidence::Term { name, value: Some(value) } => Some(format!("{name} {value}")),
        Evidence::Term { name, value: None } => Some(format!("{name} not observed")),
        Evidence::Fact { .. } | Evidence::Query { .. } | Evidence::Range { .. } | Evidence::Sample { .. } => {
            None
        }
    });
    let terms: Vec<String> = terms.collect();
    format!("{level}, score {}, {}", hit.score, terms.join(", "))
}

#[cfg(test)]
mod explained;

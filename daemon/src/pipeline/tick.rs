//! Ticks: the grid, which writes history, and the early look, which only opens.
//!
//! In: how far the watermark has come. Out: finding changes, uncommitted. The cost of a tick follows what
//! changed, not what is kept.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use crate::crash_points::CrashPoint;
use crate::detect::{self, Context, DetectError, Round};
use crate::findings::lifecycle::{Evaluated, Outcome, Rule, judged_at};
use crate::findings::silence::Silence;
use crate::findings::{ChangeKind, FindingChange, Hit};
use crate::limits;
use crate::metrics::{DetectionKindLabel, KindLabel, QueryLabel};
use crate::pipeline::{Pipeline, PipelineError};
use crate::query::Mode;
use crate::query::plan::{PlannedDetection, QuerySet};
use crate::rollup::schedule::Due;
use crate::rollup::watermark::START_OF_TIME;
use crate::rollup::{SubjectId, View};

impl Pipeline {
    /// Walks the grid points that the watermark has passed and at which something is due, as far as the rhythm gives
    /// time: the rest waits for the next step.
    pub(super) fn settle(&mut self, now: i64) -> Result<(), PipelineError> {
        let watermark = self.watermark.advance(now);
        let behind = self.behind();
        let is_growing = behind > mem::replace(&mut self.behind, behind);
        if watermark == START_OF_TIME || behind <= 0 {
            return Ok(());
        }
        let times = if is_growing { limits::SETTLE_STEP_BEHIND } else { 1 };
        let settle_for = self.rhythm.settle_for.map(|most| most.saturating_mul(times));
        let started = Instant::now();
        let until = self.grid_point(watermark);
        let mut reached = watermark;
        while let Some(at) = self.next_point(until) {
            self.tick(at)?;
            if settle_for.is_some_and(|most| started.elapsed() >= most) {
                reached = at;
                break;
            }
        }
        self.rollups.settle(self.grid_point(reached), &self.queries, &mut self.schedules)?;
        self.dedupe.forget_before(self.rollups.settled());
        self.forget_losses();
        self.metrics.rollup_watermark_seconds.set(reached as f64 / 1e6);
        Ok(())
    }

    fn next_point(&self, until: i64) -> Option<i64> {
        let due = self.schedules.iter().filter_map(|s| s.next(&self.rollups)).min().filter(|at| *at <= until);
        let rows = self.rollups.next_grid_point(until);
        [due, rows].into_iter().flatten().min()
    }

    fn tick(&mut self, at: i64) -> Result<(), PipelineError> {
        let started = Instant::now();
        self.rollups.settle(at, &self.queries, &mut self.schedules)?;
        self.crash.pass(CrashPoint::GridPointSettled);
        let mut round = Round::new(View::Settled, at);
        self.evaluate_due(at, true, &Silence::default(), &mut round)?;
        let silence = self.silence(at);
        self.evaluate_due(at, false, &silence, &mut round)?;
        self.crash.pass(CrashPoint::GridPointEvaluated);
        let held = self.lifecycle.held(at, &silence);
        self.metrics.findings_held.set(i64::try_from(held).unwrap_or(i64::MAX));
        self.metrics.detect_tick_seconds.observe(started.elapsed().as_secs_f64());
        Ok(())
    }

    /// Evaluates what is due of the detections that tell silence, or of the others.
    fn evaluate_due(
        &mut self,
        at: i64,
        tells: bool,
        silence: &Silence,
        round: &mut Round,
    ) -> Result<(), PipelineError> {
        for index in 0..self.schedules.len() {
            if self.queries.detections[index].query.tells_silence == tells
                && let Some(due) = self.schedules[index].take(at, &self.rollups)
            {
                self.evaluate_grid(index, at, due, silence, round)?;
            }
        }
        Ok(())
    }

    fn evaluate_grid(
        &mut self,
        index: usize,
        at: i64,
        due: Due,
        silence: &Silence,
        round: &mut Round,
    ) -> Result<(), PipelineError> {
        let rule = self.rules[index].clone();
        let ids: Option<Vec<SubjectId>> = match due {
            Due::All => None,
            Due::Some(_) if self.queries.detections[index].query.all_subjects => None,
            Due::Some(ids) => {
                let ids = ids.into_iter().collect();
                Some(detect::concerned(&self.queries, index, &self.rollups, ids, View::Settled))
            }
        };
        let Some(hits) = self.evaluate(index, ids.as_deref(), round, "grid")? else {
            self.schedules[index].retry_after(at, ids.as_deref());
            return Ok(());
        };
        self.schedules[index].succeeded();
        if ids.is_none() {
            let unseen = hits.iter().filter(|hit| hit.coverage == 0.0).count();
            let label = QueryLabel { query: rule.detection.clone() };
            self.metrics.detect_not_observable.get_or_create(&label).set(unseen as i64);
        }
        let names = ids.map(|ids| self.remembered(&rule, &ids));
        let evaluated = names.as_deref().map_or(Evaluated::All, Evaluated::Some);
        let outcome = self.lifecycle.apply_grid(&rule, timestamp(at), evaluated, hits, silence);
        self.take_outcome(index, &rule, outcome);
        Ok(())
    }

    /// Which topics are or were silent as of `at`. Nothing is made of what a detection in shadow mode says.
    fn silence(&self, at: i64) -> Silence {
        let tell = active(&self.queries).filter(|detection| detection.query.tells_silence);
        let detections = tell.map(|detection| detection.query.text.id.as_str());
        let sources = self.topics.iter().zip(&self.sources);
        let named =
            sources.filter_map(|(topic, source)| Some((topic.as_str(), source.as_ref()?.name.as_str())));
        Silence::as_of(at, &self.lifecycle, detections, named)
    }

    /// Names of those of `ids`, which are in order, of whom the detection has a finding.
    fn remembered(&self, rule: &Rule, ids: &[SubjectId]) -> Vec<String> {
        let Some(subjects) = self.rollups.subjects(&rule.subject_kind) else { return Vec::new() };
        let mut names: Vec<String> = if ids.len() < self.lifecycle.count(&rule.detection) {
            let known = |name: &&Arc<str>| self.lifecycle.get(&rule.detection, name).is_some();
            ids.iter().map(|id| subjects.name(*id)).filter(known).map(|name| name.to_string()).collect()
        } else {
            let is_meant =
                |name: &&String| subjects.find(name).is_some_and(|id| ids.binary_search(&id).is_ok());
            let names = self.lifecycle.of(&rule.detection).map(|tracked| &tracked.finding.subject.id);
            names.filter(is_meant).cloned().collect()
        };
        names.sort_unstable();
        names
    }

    fn take_outcome(&mut self, index: usize, rule: &Rule, outcome: Outcome) {
        if self.queries.detections[index].query.mode == Mode::Active {
            let waiting = outcome.waiting.into_iter().map(|subject| (rule.detection.clone(), subject));
            self.uncommitted.waiting.extend(waiting);
        }
        for (at, subject) in outcome.wakes {
            let query = &self.queries.detections[index].query;
            self.schedules[index].add_wake(at, &subject, query, &mut self.rollups);
        }
        let confirmed = KindLabel { kind: "confirmed" };
        self.metrics.findings_early.get_or_create(&confirmed).inc_by(outcome.confirmed);
        self.take_changes(index, outcome.changes);
    }

    /// What changed is remembered with its lifecycle, and, unless the detection is in shadow mode, told.
    fn take_changes(&mut self, index: usize, changes: Vec<FindingChange>) {
        let shadow = self.queries.detections[index].query.mode == Mode::Shadow;
        self.count_changes(&changes);
        if !shadow {
            self.uncommitted.changes.extend(changes);
        }
    }

    fn count_changes(&self, changes: &[FindingChange]) {
        for FindingChange { kind, finding, .. } in changes {
            let label = DetectionKindLabel { detection: finding.detection.clone(), kind: kind.name() };
            self.metrics.findings_changes.get_or_create(&label).inc();
            if *kind == ChangeKind::Withdrawn {
                self.metrics.findings_early.get_or_create(&KindLabel { kind: "withdrawn" }).inc();
            }
        }
    }

    /// Ends the findings of detections that are in shadow mode or gone.
    pub(super) fn end_inactive(&mut self) {
        let told = told(&self.queries);
        let at = timestamp(self.seen_until(0));
        let changes = self.lifecycle.end_inactive(at, |detection| told.contains(detection));
        self.count_changes(&changes);
        self.uncommitted.changes.extend(changes);
    }

    /// After each rhythm's while: subjects that changed and have no finding yet, as of the newest event. A look that takes
    /// long is followed by a longer while: whoever has fallen behind catches up, and the grid says the same a little later.
    pub(super) fn look_early(&mut self, now: i64) -> Result<(), PipelineError> {
        let Some(every) = self.rhythm.early_every else { return Ok(()) };
        // A clock that was set back is no reason to wait for it.
        let rest = self
            .early_look
            .took
            .saturating_mul(self.rhythm.early_rest)
            .min(limits::EARLY_REST_MS_MAX * 1_000);
        if (0..every.max(rest)).contains(&(now - self.early_look.at)) {
            return Ok(());
        }
        self.early_look.at = now;
        let started = Instant::now();
        self.look_early_now()?;
        self.early_look.took = i64::try_from(started.elapsed().as_micros()).unwrap_or(i64::MAX);
        Ok(())
    }

    fn look_early_now(&mut self) -> Result<(), PipelineError> {
        let as_of = self.watermark.state().newest_event.saturating_add(1);
        let touched = self.rollups.take_touched();
        let mut round = Round::new(View::Everything, as_of);
        for index in 0..self.rules.len() {
            let detection = &self.queries.detections[index];
            if detection.query.all_subjects {
                continue;
            }
            let kind = &detection.query.subject_kind;
            let driven_by = detection.driven_by.iter().filter(|i| self.rollups.is_about(**i, kind));
            let changed: BTreeSet<SubjectId> = driven_by.flat_map(|i| &touched[*i]).copied().collect();
            self.look_early_at(index, changed.into_iter().collect(), as_of, &mut round)?;
        }
        Ok(())
    }

    fn look_early_at(
        &mut self,
        index: usize,
        touched: Vec<SubjectId>,
        as_of: i64,
        round: &mut Round,
    ) -> Result<(), PipelineError> {
        let rule = self.rules[index].clone();
        let Some(subjects) = self.rollups.subjects(&rule.subject_kind) else { return Ok(()) };
        let unknown = |id: &SubjectId| self.lifecycle.get(&rule.detection, subjects.name(*id)).is_none();
        let mut ids = detect::concerned(&self.queries, index, &self.rollups, touched, View::Everything);
        ids.retain(unknown);
        if ids.is_empty() {
            return Ok(());
        }
        let Some(hits) = self.evaluate(index, Some(&ids), round, "early")? else {
            return Ok(());
        };
        let changes = self.lifecycle.apply_early(&rule, timestamp(as_of), hits);
        for early in &changes {
            // Its grid point may lie before this look, and nothing else may be due of it for long.
            let query = &self.queries.detections[index].query;
            let (at, subject) = (judged_at(early.at), &early.finding.subject.id);
            self.schedules[index].add_wake(at, subject, query, &mut self.rollups);
        }
        self.take_changes(index, changes);
        Ok(())
    }

    /// Runs one detection. One that fails on what it saw is counted and said, and stops nobody else.
    fn evaluate(
        &self,
        index: usize,
        ids: Option<&[SubjectId]>,
        round: &mut Round,
        kind: &'static str,
    ) -> Result<Option<Vec<Hit>>, PipelineError> {
        let detection = self.rules[index].detection.clone();
        let label = DetectionKindLabel { detection: detection.clone(), kind };
        self.metrics.detect_evaluations.get_or_create(&label).inc();
        let context = Context { registry: &self.registry, topics: &self.topics };
        let started = Instant::now();
        let hits = round.evaluate(&self.queries, index, &self.rollups, ids, context);
        let taken = started.elapsed().as_secs_f64();
        self.metrics.detect_evaluation_seconds.get_or_create(&label).inc_by(taken);
        match hits {
            Ok(hits) => Ok(Some(hits)),
            Err(error @ (DetectError::Query(_) | DetectError::Output { .. })) => {
                // It is tried again at each grid point.
                if !self.schedules[index].retries() {
                    tracing::error!(%detection, %error, "detection failed; what was due of it is due again");
                }
                self.metrics.detect_errors.get_or_create(&QueryLabel { query: detection }).inc();
                Ok(None)
            }
            Err(error @ DetectError::Rollup(_)) => Err(error.into()),
        }
    }
}

/// Detections whose findings are told.
fn active(queries: &QuerySet) -> impl Iterator<Item = &PlannedDetection> {
    queries.detections.iter().filter(|detection| detection.query.mode == Mode::Active)
}

/// Their ids.
pub(super) fn told(queries: &QuerySet) -> BTreeSet<&str> {
    active(queries).map(|detection| detection.query.text.id.as_str()).collect()
}

fn timestamp(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
}

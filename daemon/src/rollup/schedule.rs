//! What is to be evaluated when: the reason why a tick costs what changed and not what is kept.
//!
//! In: rows that were settled, rows that grow old, findings that wait to close. Out: for each detection the next
//! grid point at which something is due, and the subjects concerned. Which rows grow old when is read off the rollups'
//! buckets; nothing is kept of it for each row.

use std::collections::BTreeMap;

use ahash::RandomState;
use hashbrown::HashSet;

use crate::losses::Losses;
use crate::query::DetectionQuery;
use crate::query::plan::PlannedDetection;
use crate::rollup::SubjectId;
use crate::rollup::intervals::Buckets;
use crate::rollup::state::{Rollups, window_micros};

/// Subjects due at one grid point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// These.
    Some(HashSet<SubjectId, RandomState>),
    /// Every subject known.
    All,
}

/// Grid points of one detection at which something is due.
#[derive(Debug)]
pub struct Schedule {
    grid_micros: i64,
    due: BTreeMap<i64, Due>,
    run: Option<Run>,
    ages: Vec<Ages>,
    /// Every grid point up to here at which a bucket reached one of the ages was taken.
    aged_until: i64,
    /// What was due was not answered, and is due again.
    retries: bool,
}

/// Ages of a rollup's buckets at which a detection's answer may change by itself.
#[derive(Debug)]
pub(super) struct Ages {
    /// Index of the rollup.
    pub(super) rollup: usize,
    /// Microseconds.
    pub(super) micros: Vec<i64>,
    /// Whether only the rows' own subjects are concerned.
    pub(super) own: bool,
}

/// Grid points in a row at which every subject is due.
#[derive(Debug, Clone, Copy)]
struct Run {
    next: i64,
    until: i64,
}

impl Schedule {
    /// Nothing due yet, on a grid of `grid_seconds`; ages are looked at after `settled`.
    pub(super) fn new(grid_seconds: i64, ages: Vec<Ages>, settled: i64) -> Self {
        Self {
            grid_micros: grid_seconds * 1_000_000,
            due: BTreeMap::new(),
            run: None,
            ages,
            aged_until: settled,
            retries: false,
        }
    }

    /// The first grid point that sees everything before `instant`: at or after it.
    pub fn at_or_after(&self, instant: i64) -> i64 {
        let floor = instant.div_euclid(self.grid_micros) * self.grid_micros;
        if floor == instant { floor } else { floor + self.grid_micros }
    }

    /// Whether `instant` is a point of the grid.
    pub fn is_point(&self, instant: i64) -> bool {
        instant.rem_euclid(self.grid_micros) == 0
    }

    /// Whether every subject is due at the first grid point after `settled`; or some, of whom a state remembers nothing.
    pub fn awaits_all(&self, settled: i64) -> bool {
        self.retries || self.due.range(..=self.after(settled)).any(|(_, due)| *due == Due::All)
    }

    /// The first grid point after `instant`.
    pub fn after(&self, instant: i64) -> i64 {
        instant.div_euclid(self.grid_micros) * self.grid_micros + self.grid_micros
    }

    /// `subject` is due at `grid_point`.
    pub fn add(&mut self, grid_point: i64, subject: SubjectId) {
        if let Due::Some(subjects) =
            self.due.entry(grid_point).or_insert_with(|| Due::Some(HashSet::default()))
        {
            subjects.insert(subject);
        }
    }

    /// Every subject is due at `grid_point`.
    pub fn add_all(&mut self, grid_point: i64) {
        self.due.insert(grid_point, Due::All);
    }

    /// Every subject is due at each grid point from `grid_point` to `until`; a run that is under way grows.
    pub fn add_run(&mut self, grid_point: i64, until: i64) {
        let run = self.run.unwrap_or(Run { next: grid_point, until });
        let next = if run.next <= run.until { run.next.min(grid_point) } else { run.next.max(grid_point) };
        self.run = Some(Run { next, until: run.until.max(until) });
    }

    /// `subject` is due at or after `instant`, for its finding waits to close. Where all subjects are always asked, it may
    /// be one that no rollup knows: all are due.
    pub fn add_wake(&mut self, instant: i64, subject: &str, query: &DetectionQuery, rollups: &mut Rollups) {
        let at = self.at_or_after(instant);
        if query.all_subjects {
            return self.add_all(at);
        }
        if let Some(id) = rollups.subject_number(&query.subject_kind, subject) {
            self.add(at, id);
        }
    }

    /// Where the detection reads losses, every subject is due at the first grid point that sees one, and where it has left
    /// the window; points up to `settled` are over.
    pub fn add_losses(&mut self, losses: &Losses, detection: &PlannedDetection, settled: i64) {
        let window = window_micros(&detection.query);
        for loss in losses.all().filter(|_| detection.reads_losses) {
            let since = loss.key.since;
            let points = [self.after(since), self.at_or_after(since.saturating_add(window))];
            points.into_iter().filter(|at| *at > settled).for_each(|at| self.add_all(at));
        }
    }

    /// What was due at `grid_point`, these subjects or all, got no answer: it is due at the next one.
    pub fn retry_after(&mut self, grid_point: i64, subjects: Option<&[SubjectId]>) {
        self.retries = true;
        let at = self.after(grid_point);
        match subjects {
            Some(subjects) => subjects.iter().for_each(|subject| self.add(at, *subject)),
            None => self.add_all(at),
        }
    }

    /// Whether something got no answer yet.
    pub fn retries(&self) -> bool {
        self.retries
    }

    /// What was due got its answer.
    pub fn succeeded(&mut self) {
        self.retries = false;
    }

    /// The next grid point with something due.
    pub fn next(&self, rollups: &Rollups) -> Option<i64> {
        let run = self.run.filter(|run| run.next <= run.until).map(|run| run.next);
        let due = self.due.first_key_value().map(|(at, _)| *at);
        let aged = self.ages.iter().filter_map(|ages| self.next_aged(ages, rollups.buckets(ages.rollup)));
        aged.chain(run).chain(due).min()
    }

    /// What is due at or before `grid_point`, taken out.
    pub fn take(&mut self, grid_point: i64, rollups: &Rollups) -> Option<Due> {
        let mut taken = self.take_run(grid_point);
        for ages in &self.ages {
            let aged = self.aged(ages, rollups.buckets(ages.rollup), grid_point);
            taken = both(taken, aged);
        }
        self.aged_until = self.aged_until.max(grid_point);
        while self.due.first_key_value().is_some_and(|(at, _)| *at <= grid_point) {
            let (_, due) = self.due.pop_first()?;
            taken = both(taken, Some(due));
        }
        taken
    }

    /// Grid points at which a bucket's being of this age may show: what compares with `<` and what does with `<=`.
    fn points(&self, bucket: i64, age: i64) -> [i64; 2] {
        let reached = bucket.saturating_add(age);
        [self.at_or_after(reached), self.after(reached)]
    }

    fn next_aged(&self, ages: &Ages, buckets: &Buckets) -> Option<i64> {
        let of_age = |age: &i64| {
            let from = self.aged_until.saturating_sub(*age).saturating_sub(self.grid_micros);
            let points = buckets.range(from..).flat_map(|(bucket, _)| self.points(*bucket, *age));
            points.into_iter().find(|at| *at > self.aged_until)
        };
        ages.micros.iter().filter_map(of_age).min()
    }

    fn aged(&self, ages: &Ages, buckets: &Buckets, until: i64) -> Option<Due> {
        let mut subjects: Option<HashSet<SubjectId, RandomState>> = None;
        for age in &ages.micros {
            let from = self.aged_until.saturating_sub(*age).saturating_sub(self.grid_micros);
            for (bucket, of_bucket) in buckets.range(from..=until.saturating_sub(*age)) {
                let is_due = |at: i64| at > self.aged_until && at <= until;
                if self.points(*bucket, *age).into_iter().any(is_due) {
                    subjects.get_or_insert_default().extend(of_bucket.iter().filter(|_| ages.own));
                }
            }
        }
        subjects.map(|subjects| if ages.own { Due::Some(subjects) } else { Due::All })
    }

    fn take_run(&mut self, grid_point: i64) -> Option<Due> {
        let after = self.after(grid_point);
        let run = self.run.as_mut().filter(|run| run.next <= run.until && run.next <= grid_point)?;
        run.next = after;
        Some(Due::All)
    }
}

fn both(a: Option<Due>, b: Option<Due>) -> Option<Due> {
    match (a, b) {
        (Some(Due::Some(mut a)), Some(Due::Some(b))) => {
            a.extend(b);
            Some(Due::Some(a))
        }
        (Some(_), Some(_)) => Some(Due::All),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::QueryTexts;
    use crate::query::plan::QuerySet;

    const MINUTE: i64 = 60_000_000;

    /// A rollup of one hour buckets, one row each in the buckets that begin at `hours`.
    fn buckets(hours: &[i64]) -> Buckets {
        hours.iter().map(|hour| (hour * 60 * MINUTE, HashSet::from([*hour as SubjectId]))).collect()
    }

    fn schedule(grid_seconds: i64, ages: &[i64]) -> Schedule {
        let ages = Ages { rollup: 0, micros: ages.to_vec(), own: true };
        Schedule::new(grid_seconds, vec![ages], 0)
    }

    #[test]
    fn a_window_that_ends_on_a_grid_point_is_due_at_it_and_at_the_next() {
        let schedule = schedule(60, &[]);
        assert_eq!(schedule.points(0, MINUTE), [MINUTE, 2 * MINUTE]);
        assert_eq!(schedule.points(1, MINUTE), [2 * MINUTE, 2 * MINUTE]);
        assert_eq!(schedule.after(60_000_000), 120_000_000);
        assert_eq!(schedule.at_or_after(60_000_000), 60_000_000);
        assert_eq!(schedule.at_or_after(60_000_001), 120_000_000);
    }

    #[test]
    fn every_bucket_is_due_when_it_reaches_an_age_and_once_only() {
        let (kept, day) = (buckets(&[-30, -3, 0, 1, 5]), 24 * 60 * MINUTE);
        let mut schedule = schedule(7 * 60, &[2 * 60 * MINUTE, day]);
        let mut taken = Vec::new();
        while let Some(at) = schedule.next_aged(&schedule.ages[0], &kept) {
            let Some(Due::Some(due)) = schedule.aged(&schedule.ages[0], &kept, at) else {
                panic!("nothing due at {at}")
            };
            taken.extend(due.into_iter().map(|subject| (subject as i32, at)));
            schedule.aged_until = at;
        }
        let mut expected = Vec::new();
        for (bucket, age) in [-30, -3, 0, 1, 5].into_iter().flat_map(|b| [(b, 120), (b, 24 * 60)]) {
            let mut points = schedule.points(i64::from(bucket) * 60 * MINUTE, age * MINUTE).to_vec();
            points.dedup();
            expected.extend(points.into_iter().filter(|at| *at > 0).map(|at| (bucket, at)));
        }
        taken.sort_unstable();
        expected.sort_unstable();
        assert_eq!(taken, expected);
    }

    #[test]
    fn steps_over_several_points_take_all_of_them() {
        let kept = buckets(&[-1, 0, 1, 2]);
        let schedule = schedule(60, &[2 * 60 * MINUTE]);
        let due = schedule.aged(&schedule.ages[0], &kept, 3 * 60 * MINUTE);
        assert_eq!(due, Some(Due::Some([u32::MAX, 0, 1].into_iter().collect())));
        assert_eq!(schedule.aged(&schedule.ages[0], &kept, 60 * MINUTE - 1), None);
    }

    /// Rollups without rows: nothing grows old.
    fn no_rows() -> Rollups {
        let queries = QuerySet::plan(&QueryTexts::default(), &[]).map_err(|errors| format!("{errors:?}"));
        Rollups::new(&queries.expect("no query, nothing to refuse"))
    }

    #[test]
    fn all_swallows_some_and_everything_up_to_the_point_is_taken() {
        let rollups = no_rows();
        let mut schedule = Schedule::new(60, Vec::new(), 0);
        schedule.add(60_000_000, 1);
        schedule.add(120_000_000, 2);
        schedule.add_all(120_000_000);
        schedule.add(180_000_000, 3);
        assert_eq!(schedule.take(120_000_000, &rollups), Some(Due::All));
        assert_eq!(schedule.next(&rollups), Some(180_000_000));
        let some = both(Some(Due::Some(HashSet::from_iter([1]))), Some(Due::Some(HashSet::from_iter([2]))));
        assert_eq!(some, Some(Due::Some(HashSet::from_iter([1, 2]))));
    }

    #[test]
    fn what_got_no_answer_is_due_again_also_after_a_start() {
        let rollups = no_rows();
        let mut schedule = Schedule::new(60, Vec::new(), 0);
        schedule.retry_after(MINUTE, Some(&[7]));
        assert!(schedule.awaits_all(MINUTE), "a state remembers nobody of whom something is due");
        assert_eq!(schedule.take(2 * MINUTE, &rollups), Some(Due::Some(HashSet::from_iter([7]))));
        schedule.succeeded();
        assert!(!schedule.awaits_all(2 * MINUTE));
        schedule.retry_after(2 * MINUTE, None);
        assert_eq!(schedule.take(3 * MINUTE, &rollups), Some(Due::All));
    }

    #[test]
    fn run_is_due_at_each_grid_point_until_it_ends_and_begins_again() {
        let rollups = no_rows();
        let mut schedule = Schedule::new(60, Vec::new(), 0);
        schedule.add_run(MINUTE, 2 * MINUTE);
        schedule.add_run(2 * MINUTE, 3 * MINUTE);
        let mut points = Vec::new();
        while let Some(at) = schedule.next(&rollups) {
            points.push(at / MINUTE);
            assert_eq!(schedule.take(at, &rollups), Some(Due::All));
        }
        assert_eq!(points, [1, 2, 3]);
        schedule.add(9 * MINUTE, 1);
        schedule.add_run(8 * MINUTE, 8 * MINUTE);
        assert_eq!(schedule.next(&rollups), Some(8 * MINUTE));
        assert_eq!(schedule.take(8 * MINUTE, &rollups), Some(Due::All));
        assert_eq!(schedule.next(&rollups), Some(9 * MINUTE));
    }
}

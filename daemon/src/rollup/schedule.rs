//! What is to be evaluated when: the reason why a tick costs what changed and not what is kept.
//!
//! In: rows that were settled, windows that will run out, findings that wait to close. Out: for each
//! detection the next grid point at which something is due, and the subjects concerned.

use std::collections::BTreeMap;

use ahash::RandomState;
use hashbrown::HashSet;

use crate::rollup::table::SubjectId;

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
}

/// Grid points in a row at which every subject is due.
#[derive(Debug, Clone, Copy)]
struct Run {
    next: i64,
    until: i64,
}

impl Schedule {
    /// Nothing due yet, on a grid of `grid_seconds`.
    pub fn new(grid_seconds: i64) -> Self {
        Self { grid_micros: grid_seconds * 1_000_000, due: BTreeMap::new(), run: None }
    }

    /// The first grid point that sees everything before `instant`: at or after it.
    pub fn at_or_after(&self, instant: i64) -> i64 {
        let floor = instant.div_euclid(self.grid_micros) * self.grid_micros;
        if floor == instant { floor } else { floor + self.grid_micros }
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

    /// The next grid point with something due.
    pub fn next(&self) -> Option<i64> {
        let run = self.run.filter(|run| run.next <= run.until).map(|run| run.next);
        let due = self.due.first_key_value().map(|(at, _)| *at);
        run.into_iter().chain(due).min()
    }

    /// What is due at or before `grid_point`, taken out.
    pub fn take(&mut self, grid_point: i64) -> Option<Due> {
        let mut taken = self.take_run(grid_point);
        while self.due.first_key_value().is_some_and(|(at, _)| *at <= grid_point) {
            let (_, due) = self.due.pop_first()?;
            taken = Some(match (taken, due) {
                (None, due) => due,
                (Some(Due::Some(mut a)), Due::Some(b)) => {
                    a.extend(b);
                    Due::Some(a)
                }
                (Some(_), _) => Due::All,
            });
        }
        taken
    }

    fn take_run(&mut self, grid_point: i64) -> Option<Due> {
        let after = self.after(grid_point);
        let run = self.run.as_mut().filter(|run| run.next <= run.until && run.next <= grid_point)?;
        run.next = after;
        Some(Due::All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_ends_on_a_grid_point_is_due_at_the_next() {
        let schedule = Schedule::new(60);
        assert_eq!(schedule.after(60_000_000), 120_000_000);
        assert_eq!(schedule.at_or_after(60_000_000), 60_000_000);
        assert_eq!(schedule.at_or_after(60_000_001), 120_000_000);
    }

    #[test]
    fn all_swallows_some_and_everything_up_to_the_point_is_taken() {
        let mut schedule = Schedule::new(60);
        schedule.add(60_000_000, 1);
        schedule.add(120_000_000, 2);
        schedule.add_all(120_000_000);
        schedule.add(180_000_000, 3);
        assert_eq!(schedule.take(120_000_000), Some(Due::All));
        assert_eq!(schedule.next(), Some(180_000_000));
    }

    #[test]
    fn run_is_due_at_each_grid_point_until_it_ends_and_begins_again() {
        const MINUTE: i64 = 60_000_000;
        let mut schedule = Schedule::new(60);
        schedule.add_run(MINUTE, 2 * MINUTE);
        schedule.add_run(2 * MINUTE, 3 * MINUTE);
        let mut points = Vec::new();
        while let Some(at) = schedule.next() {
            points.push(at / MINUTE);
            assert_eq!(schedule.take(at), Some(Due::All));
        }
        assert_eq!(points, [1, 2, 3]);
        schedule.add(9 * MINUTE, 1);
        schedule.add_run(8 * MINUTE, 8 * MINUTE);
        assert_eq!(schedule.next(), Some(8 * MINUTE));
        assert_eq!(schedule.take(8 * MINUTE), Some(Due::All));
        assert_eq!(schedule.next(), Some(9 * MINUTE));
    }
}

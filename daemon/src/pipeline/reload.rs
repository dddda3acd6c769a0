//! The one back-edge besides positions: a new registry or query set, applied between two steps.
//!
//! In: what a watcher read and validated. Out: the pipeline with it in force, journalled. What does not
//! plan is refused and the last good one stays.

use std::sync::Arc;

use crate::findings::lifecycle::Lifecycle;
use crate::metrics::KindLabel;
use crate::pipeline::{Pipeline, PipelineError};
use crate::query::QueryTexts;
use crate::query::plan::{PlanError, QuerySet};
use crate::registry::Registry;
use crate::rollup::Rollups;
use crate::rollup::segments::SegmentLevels;

impl Pipeline {
    /// Puts a registry in force: events from here on are attributed by it, and what it may change is looked
    /// at again at the next grid point.
    pub fn replace_registry(&mut self, registry: Arc<Registry>, now: i64) {
        self.queries.replace_registry(&registry.tables());
        self.enricher.replace_registry(registry.clone());
        self.journal("registry", registry.version(), now);
        self.registry = registry;
        self.schedule_registry();
        self.schedule_boundaries();
        self.metrics.registry_reloads.get_or_create(&KindLabel { kind: "applied" }).inc();
    }

    /// Plans and puts queries in force, or refuses them and keeps the last good ones. A rollup whose file is
    /// unchanged keeps its rows.
    pub fn replace_queries(
        &mut self,
        texts: &QueryTexts,
        now: i64,
    ) -> Result<Result<(), Vec<PlanError>>, PipelineError> {
        let mut queries = match QuerySet::plan(texts, &self.registry.tables()) {
            Ok(queries) => queries,
            Err(errors) => {
                self.metrics.query_reloads.get_or_create(&KindLabel { kind: "refused" }).inc();
                return Ok(Err(errors));
            }
        };
        queries.look_on(self.time.grid_seconds);
        queries.replace_losses(&self.losses);
        // A commit and a merge know rollups by numbers that are about to change. Of findings that nobody was told of, in
        // shadow mode, nothing is known from now on, as after a start.
        self.begin_commit(|| now)?;
        self.end_commit(|| now)?;
        self.abandon_merge();
        self.lifecycle = Lifecycle::restore(self.store.tracked()?);
        let old_rollups = std::mem::replace(&mut self.rollups, Rollups::new(&queries));
        self.rollups = Rollups::adopt(old_rollups, &self.queries, &queries)?;
        let mut old_levels = std::mem::take(&mut self.levels);
        let before = self.versions();
        self.levels = queries
            .rollups
            .iter()
            .map(|new| {
                let same =
                    |r: &crate::query::plan::PlannedRollup| r.query.text.sha256 == new.query.text.sha256;
                let old = self.queries.rollups.iter().position(same);
                old.map_or_else(SegmentLevels::default, |i| std::mem::take(&mut old_levels[i]))
            })
            .collect();
        self.superseded.extend(old_levels.iter_mut().flat_map(SegmentLevels::take_all));
        self.queries = queries;
        self.start_rollups(&before);
        self.schedule_from(&before);
        self.end_inactive();
        self.journal("queries", &texts.version(), now);
        self.metrics.query_reloads.get_or_create(&KindLabel { kind: "applied" }).inc();
        Ok(Ok(()))
    }

    fn journal(&mut self, kind: &str, body: &str, now: i64) {
        let event = self.control(kind, &format!("{body} at {now}"));
        self.uncommitted.control.push(event);
    }
}

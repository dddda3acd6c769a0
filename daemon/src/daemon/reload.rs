//! Registry and queries that change while the daemon runs.
//!
//! In: files that changed, or somebody's word that they did. Out: commands to the pipeline, and what the log, readiness
//! and metrics say. What is not valid is refused; the last good one stays in force.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use super::{Command, DaemonError};
use crate::config::Config;
use crate::folder::FolderWatcher;
use crate::metrics::{KindLabel, Metrics};
use crate::query::QueryTexts;
use crate::query::load::QueryErrors;
use crate::registry::{Registry, RegistryErrors};
use crate::serve::Health;

/// What watches the files, and reads them again when told to.
#[derive(Clone)]
pub struct Reloader {
    watchers: Arc<(FolderWatcher<Registry>, Option<FolderWatcher<QueryTexts>>)>,
    commands: SyncSender<Command>,
    metrics: Arc<Metrics>,
}

impl Reloader {
    /// Watches what `config` names, which is in force as it was read a moment ago.
    pub(super) fn start(
        config: &Config,
        commands: &SyncSender<Command>,
        metrics: &Arc<Metrics>,
        health: &Arc<Health>,
    ) -> Result<Self, DaemonError> {
        metrics.registry_current.set(1);
        metrics.query_current.set(1);
        health.set("registry", Ok(()));
        health.set("queries", Ok(()));
        let registry = watch_registry(config, commands, metrics, health)?;
        let queries = watch_queries(config, commands, metrics, health)?;
        let watchers = Arc::new((registry, queries));
        Ok(Self { watchers, commands: commands.clone(), metrics: metrics.clone() })
    }

    /// Reads registry and queries now, as if their files had changed, and waits until what is valid is in force. What
    /// was refused before is refused and said again; what is in force and has not changed stays as it is.
    pub fn reload(&self) {
        let (registry, queries) = &*self.watchers;
        registry.reload(self.is_registry_refused());
        queries.iter().for_each(|queries| queries.reload(self.are_queries_refused()));
        let (reply, applied) = sync_channel(1);
        // A pipeline that has ended applies nothing, and answers by its end.
        if self.commands.send(Command::Applied(reply)).is_ok() {
            let _ended = applied.recv();
        }
    }

    /// Whether the registry's files are not what is in force.
    pub fn is_registry_refused(&self) -> bool {
        self.metrics.registry_current.get() == 0
    }

    /// Whether the queries' files are not what is in force.
    pub fn are_queries_refused(&self) -> bool {
        self.metrics.query_current.get() == 0
    }
}

fn watch_registry(
    config: &Config,
    commands: &SyncSender<Command>,
    metrics: &Arc<Metrics>,
    health: &Arc<Health>,
) -> Result<FolderWatcher<Registry>, DaemonError> {
    let (sender, seen, counts) = (commands.clone(), health.clone(), metrics.clone());
    let on_registry = move |loaded: Result<Registry, RegistryErrors>| match loaded {
        Ok(registry) => {
            tracing::info!("a new registry is in force from the next batch on");
            counts.registry_current.set(1);
            seen.set("registry", Ok(()));
            let _ = sender.send(Command::Registry(Arc::new(registry)));
        }
        Err(errors) => {
            tracing::error!("registry refused, the last good one stays in force:\n{errors}");
            counts.registry_reloads.get_or_create(&KindLabel { kind: "refused" }).inc();
            counts.registry_current.set(0);
            seen.degrade("registry", errors.to_string());
        }
    };
    FolderWatcher::start(&config.registry.path, Box::new(on_registry))
        .map_err(|e| DaemonError::Watch { path: config.registry.path.clone(), reason: e.to_string() })
}

fn watch_queries(
    config: &Config,
    commands: &SyncSender<Command>,
    metrics: &Arc<Metrics>,
    health: &Arc<Health>,
) -> Result<Option<FolderWatcher<QueryTexts>>, DaemonError> {
    let Some(queries) = &config.queries else { return Ok(None) };
    let (sender, seen, counts) = (commands.clone(), health.clone(), metrics.clone());
    let on_queries = move |loaded: Result<QueryTexts, QueryErrors>| match loaded {
        Ok(texts) => drop(sender.send(Command::Queries(texts))),
        Err(errors) => refuse_queries(&counts, &seen, &errors.to_string()),
    };
    FolderWatcher::start(&queries.path, Box::new(on_queries))
        .map(Some)
        .map_err(|e| DaemonError::Watch { path: queries.path.clone(), reason: e.to_string() })
}

/// Queries that cannot be read or planned: log, metrics and readiness say so.
pub(super) fn refuse_queries(metrics: &Metrics, health: &Health, reason: &str) {
    tracing::error!("queries refused, the last good ones stay in force:\n{reason}");
    metrics.query_reloads.get_or_create(&KindLabel { kind: "refused" }).inc();
    metrics.query_current.set(0);
    health.degrade("queries", reason.to_owned());
}

//! Looks at everything a config names, part by part; a mistake in one part hides none in another.
//!
//! In: the config's path. Out: a [`Report`]. What a broken part would have given is replaced by something empty,
//! and errors that only follow from that are left out.

use std::path::Path;

use super::problem::{Level, Problem};
use super::{Report, counted};
use crate::config::{Config, ConfigError, ConfigProblem, Place};
use crate::query::QueryTexts;
use crate::query::plan::{PlanError, QuerySet};
use crate::registry::{Registry, RegistryError};

/// Checks the config at `path` and all that it names; asks the brokers if `connect`.
pub(super) fn inspect(path: &Path, connect: bool) -> Result<Report, ConfigError> {
    let mut report = Report::default();
    let (config, problems) = Config::examine(path)?;
    report.problems.extend(problems.into_iter().map(|p| of_config(path, p)));
    let Some(config) = config else {
        report.looked_at.push("the config".to_owned());
        return Ok(report);
    };
    report.looked_at.push(counted(config.sources.len(), "source"));
    let registry = registry(&config, &mut report);
    queries(&config, registry.as_ref(), &mut report);
    if connect {
        brokers(&config, &mut report);
    }
    Ok(report)
}

fn of_config(path: &Path, problem: ConfigProblem) -> Problem {
    let error = |place: String| Problem::error(place, problem.message, problem.fix);
    match problem.place {
        Place::Text { line, column, length } => {
            Problem { line, column, length, ..error(path.display().to_string()) }
        }
        Place::Variable(name) => error(format!("environment variable {name}")),
    }
}

/// The registry that the config names; `None` where it is not valid.
fn registry(config: &Config, report: &mut Report) -> Option<Registry> {
    if config.registry.path.as_os_str().is_empty() {
        return None;
    }
    match Registry::load(&config.registry.path) {
        Ok(registry) => {
            report.looked_at.push(counted(registry.pilots().len(), "pilot"));
            let warnings = registry.warnings().iter().map(|w| of_registry(w, Level::Warning));
            report.problems.extend(warnings);
            Some(registry)
        }
        Err(errors) => {
            report.looked_at.push("the registry".to_owned());
            report.problems.extend(errors.errors.iter().map(|e| of_registry(e, Level::Error)));
            if errors.more > 0 {
                let place = config.registry.path.display().to_string();
                report.problems.push(Problem::error(place, format!("{} more errors", errors.more), ""));
            }
            None
        }
    }
}

fn of_registry(error: &RegistryError, level: Level) -> Problem {
    let problem = Problem::error(error.file.as_str(), error.message.as_str(), error.fix.as_str());
    Problem { level, ..problem.at_line(error.line) }
}

/// Plans every query against the registry's tables, which have the same columns when they are empty.
fn queries(config: &Config, registry: Option<&Registry>, report: &mut Report) {
    let texts = match &config.queries {
        None => QueryTexts::builtin(),
        Some(queries) => match QueryTexts::load(&queries.path) {
            Ok(texts) => texts,
            Err(errors) => {
                report.looked_at.push("the queries".to_owned());
                report.problems.push(Problem::error(
                    queries.path.display().to_string(),
                    errors.to_string(),
                    "",
                ));
                return;
            }
        },
    };
    report.looked_at.push(counted(texts.rollups.len(), "rollup"));
    report.looked_at.push(counted(texts.detections.len(), "detection"));
    let empty = Registry::from_texts(Vec::new()).ok();
    let Some(tables) = registry.or(empty.as_ref()).map(Registry::tables) else { return };
    if let Err(errors) = QuerySet::plan(&texts, &tables) {
        let broken = broken_rollups(&texts, &errors);
        let own = errors.into_iter().filter(|e| !follows_from(e, &broken));
        report.problems.extend(own.map(of_plan));
    }
}

/// Tables of rollups that could not be planned.
fn broken_rollups(texts: &QueryTexts, errors: &[PlanError]) -> Vec<String> {
    let is_broken = |path: String| {
        errors.iter().any(|e| matches!(e, PlanError::Refused { path: broken, .. } if *broken == path))
    };
    let rollups = texts.rollups.iter().filter(|r| is_broken(r.text.path.display().to_string()));
    rollups.map(|r| r.text.id.replace('-', "_")).collect()
}

/// Whether a detection was refused only because the table of a broken rollup is missing.
fn follows_from(error: &PlanError, broken: &[String]) -> bool {
    match error {
        PlanError::Refused { message, .. } => {
            message.contains("not found") && broken.iter().any(|table| message.contains(table.as_str()))
        }
        PlanError::Run { .. } | PlanError::Engine(_) => false,
    }
}

fn of_plan(error: PlanError) -> Problem {
    match error {
        PlanError::Refused { path, line, message } => Problem::error(path, message, "").at_line(line),
        other @ (PlanError::Run { .. } | PlanError::Engine(_)) => {
            Problem::error("queries", other.to_string(), "")
        }
    }
}

fn brokers(config: &Config, report: &mut Report) {
    if config.kafka.brokers.is_empty() {
        let message = "`kafka.brokers` is missing: there is nothing to connect to";
        report.problems.push(Problem::error("kafka", message, "add [kafka] with brokers = \"host:port\""));
    }
}

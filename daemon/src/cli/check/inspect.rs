//! Looks at everything a config names, part by part; a mistake in one part hides none in another.
//!
//! In: the config's path. Out: a [`Report`]. What a broken part would have given is replaced by something empty,
//! and errors that only follow from that are left out.

use std::path::Path;
use std::time::Duration;

use arrow::record_batch::RecordBatch;

use super::problem::{Level, Problem};
use super::{Report, counted};
use crate::config::{Config, ConfigError, ConfigProblem, Place};
use crate::detect;
use crate::enrich::Signals;
use crate::ingest::{SourceError, kafka};
use crate::query::plan::{PlanError, QuerySet};
use crate::query::{QueryText, QueryTexts};
use crate::registry::reader::choices;
use crate::registry::{Registry, RegistryError, RegistryErrors};

/// Long enough for a TLS handshake across an ocean, short enough for a person who waits.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

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
    signals(&config, &mut report);
    queries(&config, registry.as_ref(), &mut report);
    if connect {
        ask_brokers(path, &config, CONNECT_DEADLINE, &mut report);
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
            if registry.network_files().len() > 0 {
                report.looked_at.push(counted(registry.network_files().len(), "network file"));
            }
            let catalog = registry.catalog();
            if catalog.entities > 0 {
                let (all, skipped) = (catalog.entities, catalog.skipped);
                report.looked_at.push(format!("{} ({skipped} skipped)", counted(all, "catalog document")));
            }
            let warnings = registry.warnings().iter().map(|w| of_registry(w, Level::Warning));
            report.problems.extend(warnings);
            Some(registry)
        }
        Err(errors) => {
            report.looked_at.push("the registry".to_owned());
            add_all(&errors, &config.registry.path, report);
            None
        }
    }
}

fn add_all(errors: &RegistryErrors, folder: &Path, report: &mut Report) {
    report.problems.extend(errors.errors.iter().map(|e| of_registry(e, Level::Error)));
    if errors.more > 0 {
        let place = folder.display().to_string();
        report.problems.push(Problem::error(place, format!("{} more errors", errors.more), ""));
    }
}

/// The signal tables beside the queries, which are files of the same kind as the registry's.
fn signals(config: &Config, report: &mut Report) {
    let folder = config.signals_path();
    if let Err(errors) = Signals::load(folder.as_deref()) {
        add_all(&errors.0, folder.as_deref().unwrap_or(Path::new("builtin")), report);
    }
}

fn of_registry(error: &RegistryError, level: Level) -> Problem {
    let problem = Problem::error(error.file.as_str(), error.message.as_str(), error.fix.as_str());
    Problem { level, ..problem.at_line(error.line) }
}

/// Plans every query against the registry's tables, which have the same columns when they are empty.
fn queries(config: &Config, registry: Option<&Registry>, report: &mut Report) {
    let (texts, outcome) = match &config.queries {
        None => (QueryTexts::builtin(), Ok(())),
        Some(queries) => QueryTexts::examine(&queries.path),
    };
    report.looked_at.push(counted(texts.rollups.len(), "rollup"));
    report.looked_at.push(counted(texts.detections.len(), "detection"));
    let mut broken = Vec::new();
    if let Err(errors) = outcome {
        let more = errors.more;
        broken.extend(errors.errors.iter().filter_map(|e| table_of(&e.file)));
        let own = errors.errors.into_iter();
        report.problems.extend(own.map(|e| Problem::error(e.file, e.message, e.fix).at_line(e.line)));
        if more > 0 {
            report.problems.push(Problem::error("queries", format!("{more} more errors"), ""));
        }
    }
    let empty = Registry::from_texts(Vec::new()).ok();
    let Some(tables) = registry.or(empty.as_ref()).map(Registry::tables) else { return };
    let known: Vec<String> =
        tables.iter().map(|(name, _)| (*name).to_owned()).chain(tables_of(&texts)).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let errors = plan(texts, &tables);
    broken.extend(errors.iter().filter_map(|e| match e {
        PlanError::Refused { path, .. } => table_of(path),
        PlanError::Run { .. } | PlanError::Engine(_) => None,
    }));
    let own = errors.into_iter().filter(|e| !follows_from(e, &broken));
    report.problems.extend(own.map(|e| of_plan(e, &known)));
}

/// Everything that keeps queries from being planned, and detections from being read once they are. Planning
/// stops at broken rollups, so what is broken is taken out and the rest is planned again.
fn plan(mut texts: QueryTexts, tables: &[(&'static str, RecordBatch)]) -> Vec<PlanError> {
    let mut errors = Vec::new();
    loop {
        let found = match QuerySet::plan(&texts, tables) {
            Ok(set) => unreadable(&set),
            Err(found) => found,
        };
        let before = texts.rollups.len() + texts.detections.len();
        texts.rollups.retain(|r| !is_about(&found, &r.text));
        texts.detections.retain(|d| !is_about(&found, &d.text));
        errors.extend(found);
        if texts.rollups.len() + texts.detections.len() == before {
            return errors;
        }
    }
}

fn is_about(errors: &[PlanError], text: &QueryText) -> bool {
    let file = text.path.display().to_string();
    errors.iter().any(|e| matches!(e, PlanError::Refused { path, .. } if *path == file))
}

/// Detections whose output lacks a column or has one of another type.
fn unreadable(set: &QuerySet) -> Vec<PlanError> {
    let refused = |text: &QueryText, message| {
        let (path, line) = (text.path.display().to_string(), text.sql_line);
        PlanError::Refused { path, line, message }
    };
    let outputs = set.detections.iter().map(|d| (&d.query.text, detect::check_output(&d.output)));
    outputs.filter_map(|(text, outcome)| outcome.err().map(|message| refused(text, message))).collect()
}

fn tables_of(texts: &QueryTexts) -> impl Iterator<Item = String> {
    texts.rollups.iter().map(|r| r.text.table()).chain(["events".to_owned()])
}

/// The table that a rollup's file stands for.
fn table_of(file: &str) -> Option<String> {
    let path = Path::new(file);
    let is_rollup = path.parent()?.file_name()? == "rollups" && path.extension()? == "sql";
    is_rollup.then_some(path.file_stem()?.to_str()?.replace('-', "_"))
}

/// Whether a detection was refused only because the table of a broken rollup is missing.
fn follows_from(error: &PlanError, broken: &[String]) -> bool {
    match error {
        PlanError::Refused { message, .. } => {
            missing_table(message).is_some_and(|t| broken.iter().any(|b| b == t))
        }
        PlanError::Run { .. } | PlanError::Engine(_) => false,
    }
}

/// DataFusion says `table 'datafusion.public.x' not found`.
fn missing_table(message: &str) -> Option<&str> {
    message.split_once("table '")?.1.split_once("' not found")?.0.rsplit('.').next()
}

fn of_plan(error: PlanError, tables: &[&str]) -> Problem {
    match error {
        PlanError::Refused { path, line, message } => {
            let (message, fix) = in_our_words(&message, tables);
            Problem::error(path, message, fix).at_line(line)
        }
        other @ (PlanError::Run { .. } | PlanError::Engine(_)) => {
            Problem::error("queries", other.to_string(), "")
        }
    }
}

/// DataFusion's words for what is written wrongly most often, with a fix; others as they are.
fn in_our_words(message: &str, tables: &[&str]) -> (String, String) {
    if let Some(table) = missing_table(message) {
        return (format!("there is no table `{table}`"), choices(table, tables));
    }
    if let Some((_, rest)) = message.split_once("No field named ") {
        let (column, rest) = rest.split_once(". ").unwrap_or((rest.trim_end_matches('.'), ""));
        let fields = rest.split_once("Valid fields are ").map_or("", |(_, fields)| fields);
        let names: Vec<&str> =
            fields.split([',', '"', ';', ' ', '\n']).filter(|f| !f.is_empty()).map(bare).collect();
        let column = column.replace('"', "");
        return (format!("there is no column `{column}` here"), choices(bare(&column), &names));
    }
    match message.rsplit_once("; ") {
        Some((message, fix)) => (message.to_owned(), fix.to_owned()),
        None => (message.to_owned(), "correct the query; `shadowprod test` runs its cases".to_owned()),
    }
}

/// A column's name without its table.
fn bare(column: &str) -> &str {
    column.trim_end_matches('.').rsplit('.').next().unwrap_or(column)
}

/// Asks the brokers for the topics that the config names.
pub(super) fn ask_brokers(path: &Path, config: &Config, deadline: Duration, report: &mut Report) {
    let at = |key: &str| line_with(path, key);
    let error = |message: String, fix: &str| Problem::error(path.display().to_string(), message, fix);
    if config.kafka.brokers.is_empty() {
        let message = "`kafka.brokers` is missing: there is nothing to connect to".to_owned();
        report.problems.push(error(message, "add [kafka] with brokers = \"host:port\""));
        return;
    }
    let topics: Vec<String> = config
        .sources
        .iter()
        .map(|s| &s.topic)
        .chain(config.dead_letter.iter().map(|d| &d.topic))
        .filter(|t| !t.is_empty())
        .cloned()
        .collect();
    match kafka::probe(&config.kafka, &topics, deadline) {
        Ok(states) => {
            let partitions = states.iter().map(|s| s.partitions.len()).sum();
            report.looked_at.push(counted(partitions, "partition"));
            let unreadable = states.into_iter().filter_map(|s| Some((s.topic, s.problem?)));
            report.problems.extend(unreadable.map(|(topic, problem)| {
                error(format!("topic `{topic}`: {problem}"), "").at_line(at(&format!("\"{topic}\"")))
            }));
        }
        Err(SourceError::Unreachable { brokers, reason }) => {
            let message = format!("no broker answers at {brokers}: {reason}");
            report
                .problems
                .push(error(message, "start the broker, or correct the addresses").at_line(at("brokers")));
        }
        Err(other) => report.problems.push(error(other.to_string(), "").at_line(at("[kafka"))),
    }
}

/// The first line of the config that holds `word` outside a comment; 0 where none does, as when the
/// environment says it.
fn line_with(path: &Path, word: &str) -> usize {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let holds = |line: &str| line.split('#').next().is_some_and(|code| code.contains(word));
    text.lines().position(holds).map_or(0, |i| i + 1)
}

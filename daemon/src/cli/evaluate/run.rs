//! Reads worlds through the daemon's pipeline.
//!
//! In: folders, and detections besides the config's own. Out: a [`WorldVerdict`] each, in the order of the folders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use jiff::Timestamp;
use miette::{Context, IntoDiagnostic, miette};
use serde::de::DeserializeOwned;
use shadowprod_world::{Label, LookAlike, Manifest};

use crate::cli::judge::{Sighting, Verdict, judge, sightings, subject_id};
use crate::cli::replay;
use crate::config::Config;
use crate::enrich::CredentialKey;
use crate::limits;
use crate::metrics::Metrics;
use crate::query::{DetectionQuery, QueryTexts};

/// A detection that runs besides the config's own and is judged by the labels of one of those.
#[derive(Debug, Clone)]
pub(super) struct Extra {
    pub(super) query: DetectionQuery,
    pub(super) stands_for: String,
}

/// What came out of one world.
#[derive(Debug)]
pub(super) struct WorldVerdict {
    pub(super) input: PathBuf,
    pub(super) manifest: Manifest,
    pub(super) events: u64,
    /// By detection id, those of [`Extra`] among them.
    pub(super) verdicts: BTreeMap<String, Verdict>,
    /// Of an extra detection, the one that it stands for.
    pub(super) stands_for: BTreeMap<String, String>,
}

/// As many as there are cores.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Reads all worlds, `jobs` at a time.
pub(super) fn all(
    inputs: &[PathBuf],
    extras: &[Extra],
    jobs: usize,
    grid_seconds: Option<u32>,
) -> miette::Result<Vec<WorldVerdict>> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, miette::Result<WorldVerdict>)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(inputs.len()) {
            scope.spawn(|| {
                while let Some((index, input)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    inputs.get(index).map(|input| (index, input))
                } {
                    let verdict = one(input, extras, grid_seconds);
                    done.lock().expect("nobody panics with it").push((index, verdict));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("nobody panics with it");
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, verdict)| verdict).collect()
}

fn one(input: &Path, extras: &[Extra], grid_seconds: Option<u32>) -> miette::Result<WorldVerdict> {
    let started = Instant::now();
    let manifest: Manifest = read_lines(&input.join("world.json"))?
        .pop()
        .ok_or_else(|| miette!("{}: world.json is empty", input.display()))?;
    let labels: Vec<Label> = read_lines(&input.join("expected.ndjson"))?;
    let look_alikes: Vec<LookAlike> = read_lines(&input.join("look_alikes.ndjson"))?;
    let mut config = Config::load(&input.join("shadowprod.toml")).map_err(|e| miette!("{e}"))?;
    if let Some(seconds) = grid_seconds {
        config.time.grid_seconds = seconds;
    }
    let metrics = Arc::new(Metrics::new());
    let besides: Vec<DetectionQuery> = extras.iter().map(|e| e.query.clone()).collect();
    let pipeline = replay::run(&config, input, limits::BATCH_MESSAGES_MAX, metrics.clone(), &besides)
        .map_err(|e| miette!("{}: {e}", input.display()))?;
    let seen = sightings(&pipeline.history().map_err(|e| miette!("{e}"))?);
    let key = CredentialKey::from_file_or_create(&config.state.path.join("credential.key"))
        .map_err(|e| miette!("{e}"))?;
    let ids = detections(&config)?;
    let stands_for: BTreeMap<String, String> =
        extras.iter().map(|e| (e.query.text.id.clone(), e.stands_for.clone())).collect();
    let mut verdicts = BTreeMap::new();
    for id in ids.iter().chain(stands_for.keys()) {
        let judged_as = stands_for.get(id).unwrap_or(id);
        verdicts.insert(id.clone(), judge_one(id, judged_as, &labels, &look_alikes, &seen, &key));
    }
    let events = metrics.rollup_events.get();
    let seconds = started.elapsed().as_secs();
    eprintln!("{}: {events} events in {seconds} s", input.display());
    Ok(WorldVerdict { input: input.to_owned(), manifest, events, verdicts, stands_for })
}

fn judge_one(
    id: &str,
    judged_as: &str,
    labels: &[Label],
    look_alikes: &[LookAlike],
    seen: &[Sighting],
    key: &CredentialKey,
) -> Verdict {
    let mine = |detection: &str| detection == judged_as;
    let labels: Vec<Label> = labels
        .iter()
        .filter(|l| mine(&l.detection))
        .map(|l| Label { detection: id.to_owned(), ..l.clone() })
        .collect();
    let look_alikes: Vec<LookAlike> = look_alikes
        .iter()
        .filter(|l| mine(&l.detection))
        .map(|l| LookAlike { detection: id.to_owned(), ..l.clone() })
        .collect();
    let seen: Vec<Sighting> = seen.iter().filter(|s| s.finding.detection == id).cloned().collect();
    judge(&labels, &look_alikes, &seen, &subject_id(key))
}

fn detections(config: &Config) -> miette::Result<Vec<String>> {
    let texts = match &config.queries {
        Some(queries) => QueryTexts::load(&queries.path).map_err(|e| miette!("{e}"))?,
        None => QueryTexts::builtin(),
    };
    Ok(texts.detections.into_iter().map(|d| d.text.id).collect())
}

fn read_lines<T: DeserializeOwned>(path: &Path) -> miette::Result<Vec<T>> {
    let text = std::fs::read_to_string(path).into_diagnostic().wrap_err_with(|| {
        format!("{} cannot be read: name a folder that `shadowprod generate` wrote", path.display())
    })?;
    (1..)
        .zip(text.lines())
        .map(|(number, line)| {
            serde_json::from_str(line)
                .into_diagnostic()
                .wrap_err_with(|| format!("{} line {number}", path.display()))
        })
        .collect()
}

/// Weeks of history.
pub(super) fn weeks(manifest: &Manifest) -> f64 {
    let day = |at: Timestamp| at.as_second() as f64 / 86_400.0;
    (day(manifest.end) - day(manifest.start)) / 7.0
}

//! Reads worlds through the daemon's pipeline.
//!
//! In: folders or plans, and detections besides the config's own. Out: a [`WorldVerdict`] each, in their order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use miette::{Context, IntoDiagnostic, miette};
use serde::de::DeserializeOwned;
use shadowprod_world::{Label, LookAlike, Manifest, Plan, World, WorldEvent};

use crate::cli::judge::{Sighting, Verdict, judge, sightings, subject_id};
use crate::cli::{generate, replay};
use crate::config::{Config, PathConfig};
use crate::enrich::CredentialKey;
use crate::ingest::{Position, RawBatch, Source, SourceError};
use crate::limits;
use crate::metrics::{DetectionKindLabel, Metrics};
use crate::pipeline::Pipeline;
use crate::query::{DetectionQuery, QueryTexts};

/// Where a world comes from.
#[derive(Debug, Clone)]
pub(super) enum Input {
    /// A folder that `generate` wrote.
    Folder(PathBuf),
    /// Made while it is read.
    Plan(Plan),
}

/// What the worlds are read with.
#[derive(Debug)]
pub(super) struct Bench {
    /// Folder of queries, for its signal tables; the built-in ones if absent.
    pub(super) folder: Option<PathBuf>,
    /// Queries that run, extra detections among them.
    pub(super) texts: QueryTexts,
    /// By id of a detection that is judged by the labels of another: that other.
    pub(super) stands_for: BTreeMap<String, String>,
    /// In place of the config's.
    pub(super) grid_seconds: Option<u32>,
}

impl Bench {
    /// One more detection, judged by the labels of `stands_for`.
    pub(super) fn add(&mut self, query: DetectionQuery, stands_for: &str) {
        self.stands_for.insert(query.text.id.clone(), stands_for.to_owned());
        self.texts.detections.push(query);
    }
}

/// What came out of one world.
#[derive(Debug)]
pub(super) struct WorldVerdict {
    pub(super) manifest: Manifest,
    pub(super) events: u64,
    /// By detection id, extra ones among them.
    pub(super) verdicts: BTreeMap<String, Verdict>,
    /// By detection id: how often it was evaluated.
    pub(super) evaluations: BTreeMap<String, Evaluations>,
}

/// What a detection cost.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Evaluations {
    pub(super) count: u64,
    pub(super) seconds: f64,
}

/// As many as there are cores.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Reads all worlds, `jobs` at a time.
pub(super) fn all(inputs: &[Input], bench: &Bench, jobs: usize) -> miette::Result<Vec<WorldVerdict>> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, miette::Result<WorldVerdict>)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(inputs.len()) {
            scope.spawn(|| {
                while let Some((index, input)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    inputs.get(index).map(|input| (index, input))
                } {
                    let verdict = one(input, bench);
                    done.lock().expect("nobody panics with it").push((index, verdict));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("nobody panics with it");
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, verdict)| verdict).collect()
}

/// What there is to know of a world before its logs are read.
struct Known {
    manifest: Manifest,
    labels: Vec<Label>,
    look_alikes: Vec<LookAlike>,
    config: Config,
}

fn one(input: &Input, bench: &Bench) -> miette::Result<WorldVerdict> {
    let started = Instant::now();
    let metrics = Arc::new(Metrics::new());
    let open = |config: &Config| {
        replay::open(config, metrics.clone(), Some(&bench.texts)).map_err(|e| miette!("{e}"))
    };
    let verdict = match input {
        Input::Folder(folder) => {
            let known = read_folder(folder, bench)?;
            let mut pipeline = open(&known.config)?;
            replay::read_files(&mut pipeline, &known.config, folder, limits::BATCH_MESSAGES_MAX)
                .map_err(|e| miette!("{}: {e}", folder.display()))?;
            judge_all(&known, &pipeline, bench, &metrics)?
        }
        Input::Plan(plan) => {
            let world = World::new(plan);
            // Registry, config and credential key; the logs are never files.
            let folder = tempfile::tempdir().into_diagnostic()?;
            generate::write_settings(&world, folder.path()).into_diagnostic()?;
            let known = read_folder(folder.path(), bench)?;
            let mut pipeline = open(&known.config)?;
            read_world(&mut pipeline, &world)?;
            judge_all(&known, &pipeline, bench, &metrics)?
        }
    };
    let (seed, seconds) = (verdict.manifest.seed, started.elapsed().as_secs());
    eprintln!("seed {seed}: {} events in {seconds} s", verdict.events);
    Ok(verdict)
}

fn read_folder(folder: &Path, bench: &Bench) -> miette::Result<Known> {
    let manifest = read_lines(&folder.join("world.json"))?
        .pop()
        .ok_or_else(|| miette!("{}: world.json is empty", folder.display()))?;
    let mut config = Config::load(&folder.join("shadowprod.toml")).map_err(|e| miette!("{e}"))?;
    config.time.grid_seconds = bench.grid_seconds.unwrap_or(config.time.grid_seconds);
    config.queries = bench.folder.as_ref().map(|path| PathConfig { path: path.clone() });
    Ok(Known {
        manifest,
        labels: read_lines(&folder.join("expected.ndjson"))?,
        look_alikes: read_lines(&folder.join("look_alikes.ndjson"))?,
        config,
    })
}

fn read_world(pipeline: &mut Pipeline, world: &World) -> miette::Result<()> {
    let numbers: BTreeMap<String, u16> = (0..).zip(pipeline.topics()).map(|(n, t)| (t.clone(), n)).collect();
    let next = numbers.values().map(|topic| Position { topic: *topic, partition: 0, offset: 0 }).collect();
    let mut source = WorldSource { events: world.events(), numbers, next, begun: false, ended: false };
    replay::read_all(pipeline, &mut source).map_err(|e| miette!("{e}"))
}

/// A world's messages in delivery order, as if each topic had one partition.
struct WorldSource<E> {
    events: E,
    /// By topic.
    numbers: BTreeMap<String, u16>,
    /// By topic number: next to be read.
    next: Vec<Position>,
    begun: bool,
    ended: bool,
}

impl<E: Iterator<Item = WorldEvent> + Send> Source for WorldSource<E> {
    fn next_batch(&mut self, _wait: Duration) -> Result<Option<RawBatch>, SourceError> {
        if self.ended {
            return Ok(None);
        }
        let mut batch = RawBatch::default();
        if !std::mem::replace(&mut self.begun, true) {
            batch.assigned = Some(self.next.clone());
        }
        while batch.messages.len() < limits::BATCH_MESSAGES_MAX
            && batch.payloads.len() < limits::BATCH_BYTES_MAX
        {
            let Some(event) = self.events.next() else {
                self.ended = true;
                break;
            };
            let number = self.numbers[event.topic];
            let position = self.next.iter_mut().find(|p| p.topic == number).expect("every topic has one");
            batch.push(*position, None, event.payload.as_bytes());
            position.offset += 1;
        }
        if self.ended {
            batch.ends = self.next.clone();
        }
        Ok(Some(batch))
    }

    fn committed(&mut self, _positions: &[Position]) {}

    fn close(self: Box<Self>, _deadline: Duration) {}
}

fn judge_all(
    known: &Known,
    pipeline: &Pipeline,
    bench: &Bench,
    metrics: &Metrics,
) -> miette::Result<WorldVerdict> {
    let Known { manifest, labels, look_alikes, config } = known;
    let seen = sightings(&pipeline.history().map_err(|e| miette!("{e}"))?);
    let key = CredentialKey::from_file_or_create(&config.state.path.join("credential.key"))
        .map_err(|e| miette!("{e}"))?;
    let verdict_on = |id: &str| {
        let judged_as = bench.stands_for.get(id).map_or(id, String::as_str);
        (id.to_owned(), judge_one(id, judged_as, labels, look_alikes, &seen, &key))
    };
    let verdicts = pipeline.detections().map(verdict_on).collect();
    let evaluations = pipeline.detections().map(|id| (id.to_owned(), evaluations(metrics, id))).collect();
    let events = metrics.rollup_events.get();
    Ok(WorldVerdict { manifest: *manifest, events, verdicts, evaluations })
}

fn evaluations(metrics: &Metrics, id: &str) -> Evaluations {
    let label = DetectionKindLabel { detection: id.to_owned(), kind: "grid" };
    Evaluations {
        count: metrics.detect_evaluations.get_or_create(&label).get(),
        seconds: metrics.detect_evaluation_seconds.get_or_create(&label).get(),
    }
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

//! Config → build → run → drain. The only file that knows every part.
//!
//! In: a [`Config`]. Out: a running daemon with a handle to stop it. The pipeline has a thread of its own;
//! serving has a runtime of its own; neither waits for the other.

mod reload;
mod runner;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use crate::config::{Config, SourceConfig};
use crate::decode::{Format, OwnLayout, SourceFormat, SourceSpec};
use crate::enrich::{CredentialKey, KeyError, SignalErrors, Signals};
use crate::ingest::kafka::{KafkaSource, Outgoing};
use crate::ingest::{SourceError, Topics};
use crate::limits::{EXPLAIN_WAITING_MAX, SETTLE_STEP_MS};
use crate::metrics::Metrics;
use crate::notify::dead_letters::{self, Delivering};
use crate::notify::{self, NotifyError, Notifying};
use crate::pipeline::{Parts, Pipeline, PipelineError, Rhythm};
use crate::query::QueryTexts;
use crate::query::load::QueryErrors;
use crate::registry::{Registry, RegistryErrors};
use crate::rollup::Partition;
use crate::serve::{self, Health, ServeError, Serving};
use crate::store::{Store, StoreError};

pub use reload::Reloader;
use runner::Runner;

/// Time for the source's client to close.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);
/// Commands that wait for the pipeline; more would mean that reloads come faster than steps.
const COMMANDS_MAX: usize = 64;
/// An early look at most this often, microseconds: a finding is heard of well within a second.
const EARLY_EVERY_MICROS: i64 = 200_000;
/// Early looks get at most a quarter of the pipeline's time: where they take long it has fallen behind, or soon would.
const EARLY_REST: i64 = 4;
/// A commit at least this often while there is something to commit, microseconds.
const COMMIT_EVERY_MICROS: i64 = 500_000;

/// Why the daemon cannot start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The registry is not valid.
    #[error(transparent)]
    Registry(#[from] RegistryErrors),
    /// A query file is not valid.
    #[error(transparent)]
    Queries(#[from] QueryErrors),
    /// The pipeline.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The source.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The state folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A signal table is not valid.
    #[error(transparent)]
    Signals(#[from] SignalErrors),
    /// The credential key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// An address cannot be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// `[notify]` is not valid or a thread could not be started.
    #[error(transparent)]
    Notify(#[from] NotifyError),
    /// A watcher on a folder.
    #[error("cannot watch {path}: {reason}")]
    Watch {
        /// Which folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A thread or runtime could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
    /// The pipeline's thread is gone.
    #[error("the pipeline thread panicked: a bug; the state is that of the last commit")]
    Panicked,
}

/// What the world tells the pipeline between two steps.
enum Command {
    Registry(Arc<Registry>),
    Queries(QueryTexts),
    DeadLettersDelivered(u64),
    /// Everything told before is applied or refused: say so.
    Applied(SyncSender<()>),
    Stop,
}

/// How far the pipeline has come, for whoever looks after the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Turns of its loop: one at least every 50 ms, with and without anything to read, with and without a broker.
    pub turns: u64,
    /// Messages not yet read, as far as the broker has said.
    pub lag: i64,
    /// Whether the broker answers.
    pub broker_up: bool,
    /// Wall clock of the last commit of this run, microseconds since 1970; 0 before the first.
    pub committed_micros: i64,
}

/// Microseconds since 1970 by the wall clock.
pub fn wall_clock() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

/// The parts of a pipeline for `config`, with state in `store_dir` or, without one, in memory.
pub fn parts(config: &Config, metrics: Arc<Metrics>, store_dir: Option<&Path>) -> Result<Parts, DaemonError> {
    let registry = Arc::new(Registry::load(&config.registry.path)?);
    let queries = config.queries.as_ref().map(|q| q.path.as_path());
    let texts = queries.map_or_else(|| Ok(QueryTexts::builtin()), QueryTexts::load)?;
    let signals = Arc::new(Signals::load(config.signals_path().as_deref())?);
    let state = &config.state.path;
    std::fs::create_dir_all(state).map_err(|source| StoreError::Folder { path: state.clone(), source })?;
    let key = CredentialKey::from_file_or_create(&config.state.path.join("credential.key"))?;
    let (store, recovered) = match store_dir {
        Some(dir) => Store::open_to_crash(dir, config.crash.clone())?,
        None => Store::in_memory()?,
    };
    // Somebody waits for what a pipeline with a state of its own says.
    let rhythm = Rhythm {
        early_every: store_dir.map(|_| EARLY_EVERY_MICROS),
        early_rest: EARLY_REST,
        commit_every: COMMIT_EVERY_MICROS,
        settle_for: store_dir.map(|_| Duration::from_millis(SETTLE_STEP_MS)),
    };
    let sources = config.sources.iter().map(|s| (s.topic.clone(), source_spec(s, config))).collect();
    Ok(Parts {
        sources,
        time: config.time.clone(),
        rhythm,
        texts,
        registry,
        signals,
        key,
        metrics,
        memory_bytes: config.state.memory_mib << 20,
        crash: config.crash.clone(),
        store,
        recovered,
    })
}

/// What decode is told of one source.
pub fn source_spec(source: &SourceConfig, config: &Config) -> SourceSpec {
    let format = match config.layouts.get(&source.format) {
        Some(layout) => SourceFormat::Own(Arc::new(OwnLayout::new(&source.format, layout))),
        None => Format::parse(&source.format).into(),
    };
    SourceSpec {
        name: source.name().to_owned(),
        account: source.account.clone(),
        dedupe: source.dedupe.unwrap_or_else(|| is_deduped_by_default(&format)),
        format,
    }
}

/// Gateways send once and often give no id; of a layout of the user's own nothing is known.
fn is_deduped_by_default(format: &SourceFormat) -> bool {
    match format {
        SourceFormat::Auto => true,
        SourceFormat::Known(format) => format.is_audit_or_identity(),
        SourceFormat::Own(_) => false,
    }
}

/// Threads that serve; the pipeline never runs on them.
const SERVING_THREADS: usize = 2;
/// Parts whose word counts for readiness.
const COMPONENTS: &[&str] = &["pipeline", "broker", "registry", "queries", "rollups", "memory"];

/// A daemon at work.
pub struct RunningDaemon {
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Readiness by component.
    pub health: Arc<Health>,
    serving: Serving,
    runtime: tokio::runtime::Runtime,
    shutdown: watch::Sender<bool>,
    commands: SyncSender<Command>,
    committed: watch::Receiver<u64>,
    durable: watch::Receiver<BTreeMap<Partition, i64>>,
    topics: Topics,
    pipeline: JoinHandle<Result<(), DaemonError>>,
    notifying: Notifying,
    delivering: Option<Delivering>,
    reloader: Reloader,
    progress: watch::Receiver<Progress>,
}

/// Builds every part and starts it. Returns once the addresses answer.
pub fn start(config: &Config) -> Result<RunningDaemon, DaemonError> {
    let metrics = Arc::new(Metrics::new());
    let health = Arc::new(Health::new(COMPONENTS));
    serve::check(&config.serve)?;
    let settings = notify::Settings::of(&config.notify)?;
    let (commands, received) = sync_channel(COMMANDS_MAX);
    // Files are watched before they are read: what changes while the state is loaded waits to be put in force.
    let reloader = Reloader::start(config, &commands, &metrics, &health)?;
    let mut pipeline = Pipeline::open(parts(config, metrics.clone(), Some(&config.state.path))?)?;
    if config.dead_letter.is_some() {
        pipeline.keep_dead_letters();
    }
    let topics: Topics = pipeline.topics().into();
    let source = KafkaSource::start(
        &config.kafka,
        topics.clone(),
        &read_topics(config, &topics),
        pipeline.checkpoints()?,
    )?;
    let (told, committed) = watch::channel(0);
    let (shutdown, stopping) = watch::channel(false);
    let (positions, durable) = watch::channel(BTreeMap::new());
    let runtime = runtime()?;
    let state = &config.state.path;
    let (asking, questions) = sync_channel(EXPLAIN_WAITING_MAX);
    let serving = serve::start(
        state,
        &config.serve,
        metrics.clone(),
        health.clone(),
        committed.clone(),
        stopping.clone(),
        asking,
    );
    let serving = runtime.block_on(serving)?;
    let notifying = notify::start(&settings, state, metrics.clone(), committed.clone(), stopping)?;
    let delivering = start_delivering(config, &commands, &metrics, &committed)?;
    let (seen, progress) = watch::channel(Progress::default());
    let runner = Runner {
        pipeline,
        source: Box::new(source),
        commands: received,
        questions,
        told,
        seen,
        positions,
        topics: topics.clone(),
        metrics: metrics.clone(),
        health: health.clone(),
        crash: config.crash.clone(),
    };
    let pipeline = std::thread::Builder::new().name("pipeline".to_owned()).spawn(move || runner.run());
    let pipeline = pipeline.map_err(DaemonError::Thread)?;
    Ok(RunningDaemon {
        metrics,
        health,
        serving,
        runtime,
        shutdown,
        commands,
        committed,
        durable,
        topics,
        pipeline,
        notifying,
        delivering,
        reloader,
        progress,
    })
}

/// The thread that sends dead letters, where the config names a topic for them.
fn start_delivering(
    config: &Config,
    commands: &SyncSender<Command>,
    metrics: &Arc<Metrics>,
    committed: &watch::Receiver<u64>,
) -> Result<Option<Delivering>, DaemonError> {
    let Some(dead_letter) = &config.dead_letter else { return Ok(None) };
    let commands = commands.clone();
    let on_delivered = move |up_to: u64| commands.try_send(Command::DeadLettersDelivered(up_to)).is_ok();
    let (to, state) = ((&config.kafka, dead_letter.topic.as_str()), &config.state.path);
    let outgoing = Outgoing::open(to.0, to.1)?;
    let (metrics, committed) = (metrics.clone(), committed.clone());
    let started = dead_letters::start(outgoing, to, state, metrics, committed, Box::new(on_delivered))?;
    Ok(Some(started))
}

fn runtime() -> Result<tokio::runtime::Runtime, DaemonError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(SERVING_THREADS)
        .thread_name("serve")
        .enable_all()
        .build()
        .map_err(DaemonError::Thread)
}

/// Numbers of the config's topics: the state may know more from earlier configs.
pub fn read_topics(config: &Config, topics: &[String]) -> Vec<u16> {
    let number = |name: &String| topics.iter().position(|t| t == name).map(|i| i as u16);
    config.sources.iter().filter_map(|s| number(&s.topic)).collect()
}

impl RunningDaemon {
    /// Where gRPC and HTTP answer.
    pub fn addresses(&self) -> (std::net::SocketAddr, std::net::SocketAddr) {
        (self.serving.grpc, self.serving.http)
    }

    /// Number of the newest durable change.
    pub fn committed(&self) -> watch::Receiver<u64> {
        self.committed.clone()
    }

    /// NEXT offset of every partition, as of the last commit.
    pub fn durable(&self) -> Vec<(String, i32, i64)> {
        let name = |topic: u16| self.topics[usize::from(topic)].clone();
        self.durable
            .borrow()
            .iter()
            .map(|((topic, partition), next)| (name(*topic), *partition, *next))
            .collect()
    }

    /// How far the pipeline has come.
    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// What reads registry and queries again.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Whether the pipeline still runs.
    pub fn is_running(&self) -> bool {
        !self.pipeline.is_finished()
    }

    /// Stops reading, commits, closes; returns why the pipeline ended if it ended by itself.
    pub fn stop(self) -> Result<(), DaemonError> {
        // First, so that the last commit knows what has arrived.
        self.delivering.into_iter().for_each(Delivering::end);
        // The pipeline may be gone already; then there is nobody to tell.
        let _ = self.commands.send(Command::Stop);
        let ended = self.pipeline.join();
        self.shutdown.send_replace(true);
        self.notifying.ended();
        self.runtime.block_on(self.serving.ended(CLOSE_DEADLINE));
        ended.unwrap_or(Err(DaemonError::Panicked))
    }
}

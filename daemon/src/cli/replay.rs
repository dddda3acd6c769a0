//! `shadowprod replay`: the daemon's pipeline over files.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use miette::{IntoDiagnostic, miette};

use crate::config::{Clock, Config};
use crate::daemon::{self, DaemonError};
use crate::findings::Finding;
use crate::ingest::files::FileSource;
use crate::ingest::{Source, Topics};
use crate::limits;
use crate::metrics::Metrics;
use crate::pipeline::Pipeline;
use crate::query::QueryTexts;

/// Runs the daemon's own pipeline over files and prints the findings as NDJSON, one a line.
///
/// Reads DIR/<topic>.jsonl (partition 0) and DIR/<topic>.p<N>.jsonl (partition N) for every topic of the
/// config; with .gz after the name it may be compressed. State is kept in memory; no network is used. The
/// findings are byte for byte those of a daemon that read the same messages from Kafka. What was read,
/// rejected and late is summed up on stderr.
#[derive(Debug, clap::Args)]
pub struct ReplayArguments {
    /// The daemon's TOML file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Folder with one file a topic
    #[arg(long, value_name = "DIR")]
    input: PathBuf,
    /// Messages in one batch; the findings do not depend on it
    #[arg(long, value_name = "N", default_value_t = limits::BATCH_MESSAGES_MAX)]
    batch_messages: usize,
}

/// Runs the command.
pub fn main(arguments: &ReplayArguments) -> miette::Result<ExitCode> {
    super::start_quiet_logging();
    let config = Config::load(&arguments.config).map_err(|e| miette!("{e}"))?;
    let metrics = Arc::new(Metrics::new());
    let findings = replay(&config, &arguments.input, arguments.batch_messages, metrics.clone())
        .map_err(|e| miette!("{e}"))?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for finding in &findings {
        serde_json::to_writer(&mut out, finding).into_diagnostic()?;
        out.write_all(b"\n").into_diagnostic()?;
    }
    out.flush().into_diagnostic()?;
    eprintln!("{}", summary(&metrics, findings.len()));
    Ok(ExitCode::SUCCESS)
}

/// Findings, resolved ones too, over the files of `input`, ordered by detection, subject and episode.
pub fn replay(
    config: &Config,
    input: &Path,
    batch_messages: usize,
    metrics: Arc<Metrics>,
) -> Result<Vec<Finding>, DaemonError> {
    let mut pipeline = open(config, metrics, None)?;
    read_files(&mut pipeline, config, input, batch_messages)?;
    Ok(pipeline.findings()?)
}

/// A pipeline with state in memory, whose time is that of the log; `texts` are run in place of the config's own.
pub fn open(
    config: &Config,
    metrics: Arc<Metrics>,
    texts: Option<&QueryTexts>,
) -> Result<Pipeline, DaemonError> {
    let mut config = config.clone();
    config.time.clock = Clock::Log;
    config.time.idle_after_ms = 0;
    let mut parts = daemon::parts(&config, metrics, None)?;
    if let Some(texts) = texts {
        parts.texts = texts.clone();
    }
    Ok(Pipeline::open(parts)?)
}

/// Takes the files of `input` to their end.
pub fn read_files(
    pipeline: &mut Pipeline,
    config: &Config,
    input: &Path,
    batch_messages: usize,
) -> Result<(), DaemonError> {
    let topics: Topics = pipeline.topics().into();
    let mut source = FileSource::open(input, &topics, &daemon::read_topics(config, &topics), batch_messages)?;
    read_all(pipeline, &mut source)
}

/// Takes a source to its end.
pub(super) fn read_all(pipeline: &mut Pipeline, source: &mut dyn Source) -> Result<(), DaemonError> {
    while let Some(batch) = source.next_batch(Duration::ZERO)? {
        pipeline.step(&batch, 0)?;
        if pipeline.commit_is_due(0) {
            pipeline.commit(|| 0)?;
        }
    }
    pipeline.commit(|| 0)?;
    Ok(())
}

fn summary(metrics: &Metrics, findings: usize) -> String {
    let rejects: u64 = crate::decode::RejectReason::ALL
        .iter()
        .map(|r| metrics.decode_rejects.get_or_create(&crate::metrics::KindLabel { kind: r.name() }).get())
        .sum();
    format!(
        "{} events rolled up, {} late, {} duplicates, {rejects} rejects, {findings} findings",
        metrics.rollup_events.get(),
        metrics.rollup_late_events.get(),
        metrics.decode_duplicates.get(),
    )
}

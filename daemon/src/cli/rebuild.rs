//! `shadowprod rebuild`: rows of rollups whose query changed, made anew from the log while the daemon is stopped.
//!
//! In: the config, the state folder, the logs from their beginning. Out: one commit into the state, and for each rollup
//! what became of it. Nothing is changed where anything fails.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use miette::{IntoDiagnostic, miette};

use super::OutputFormat;
use crate::config::Config;
use crate::daemon;
use crate::ingest::files::FileSource;
use crate::ingest::kafka::KafkaSource;
use crate::ingest::{Source, SourceError, SourceNotice, Topics};
use crate::limits;
use crate::metrics::Metrics;
use crate::pipeline::{Finished, Pipeline, Rebuild, Rebuilt};
use crate::store::Reader;

/// Longest wait for a batch.
const BATCH_WAIT: Duration = Duration::from_millis(50);
/// Time for the source's client to close.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);
/// Without a new message for so long, nothing will come: a broker that restarts is back sooner.
const PATIENCE: Duration = Duration::from_secs(60);
/// Lines printed where there is no terminal.
const LINES: u64 = 8;

/// Makes the rows of rollups anew from Kafka: after their query changed, or of a new one.
///
/// Stop the daemon first. Every topic is read from its beginning up to exactly where the daemon stopped, with today's
/// queries, registry and signals; then the rows of the rollups asked for are replaced in one commit. Offsets, findings,
/// history and other rollups stay as they are, and if anything fails, all of it does. When the daemon starts again,
/// detections that read these rollups look at all their subjects at the next point of their grid.
///
/// Without ROLLUP, those are rebuilt that warm up: whose rows do not go back as far as the detections that read them.
/// Where Kafka has less than that, it is said from which event time on the rows are complete, to within the lateness of
/// the config, and the rollup warms up from there. Events that came too late for the daemon are among the rebuilt rows:
/// which ones those were is not recorded.
#[derive(Debug, clap::Args)]
pub struct RebuildArguments {
    /// Rollups by id; without any, those that warm up
    #[arg(value_name = "ROLLUP")]
    rollups: Vec<String>,
    /// The daemon's TOML file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Read DIR/<topic>.jsonl, as replay does, and not Kafka; line N holds what stood at offset N, from 0
    #[arg(long, value_name = "DIR")]
    input: Option<PathBuf>,
    /// Also replaces rows that go back further than the log does
    #[arg(long)]
    force: bool,
    /// How to print: text for people, json (one object a rollup) for programs
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
}

/// Runs the command.
pub fn main(arguments: &RebuildArguments) -> miette::Result<ExitCode> {
    super::start_logging_at("error", false);
    let config = Config::load(&arguments.config).map_err(|e| miette!("{e}"))?;
    // Opening the state as its writer would create it.
    Reader::open(&config.state.path).map_err(|e| miette!("{e}"))?;
    let parts = daemon::parts(&config, Arc::new(Metrics::new()), Some(&config.state.path));
    let parts = parts.map_err(|e| miette!(help = "a rebuild needs the daemon to be stopped", "{e}"))?;
    let pipeline = Pipeline::open(parts).map_err(|e| miette!("{e}"))?;
    let rebuild = pipeline.rebuild(&arguments.rollups).map_err(|e| miette!("{e}"))?;
    if rebuild.wanted().next().is_none() {
        eprintln!(
            "nothing to rebuild: every rollup goes back as far as detections look; name those to rebuild anyway"
        );
        return Ok(ExitCode::SUCCESS);
    }
    let finished = read(rebuild, &config, arguments.input.as_deref(), arguments.force)?;
    print(&finished, arguments.format).into_diagnostic()?;
    Ok(ExitCode::SUCCESS)
}

fn read(
    mut rebuild: Rebuild,
    config: &Config,
    input: Option<&Path>,
    force: bool,
) -> miette::Result<Finished> {
    let topics: Topics = rebuild.topics().into();
    let mut source = source(config, input, &topics, &rebuild.read_topics()).map_err(|e| miette!("{e}"))?;
    let names: Vec<&str> = rebuild.wanted().collect();
    eprintln!("rebuilding {}", names.join(", "));
    let mut shown = Shown::new();
    let mut patience = Patience::new();
    while !rebuild.is_done() {
        let Some(batch) = source.next_batch(BATCH_WAIT).map_err(|e| miette!("{e}"))? else { break };
        patience.heard(&batch.notices);
        rebuild.absorb(batch).map_err(|e| miette!("{e}"))?;
        shown.show(rebuild.progress());
        patience.check(&rebuild)?;
    }
    source.close(CLOSE_DEADLINE);
    shown.finish(rebuild.progress());
    rebuild.finish(force).map_err(|e| miette!("{e}"))
}

fn source(
    config: &Config,
    input: Option<&Path>,
    topics: &Topics,
    read: &[u16],
) -> Result<Box<dyn Source>, SourceError> {
    Ok(match input {
        Some(dir) => Box::new(FileSource::open(dir, topics, read, limits::BATCH_MESSAGES_MAX)?),
        None => Box::new(KafkaSource::start(&config.kafka, topics.clone(), read, Vec::new())?),
    })
}

/// Whether anything still comes.
struct Patience {
    last: (u64, u64),
    since: Instant,
    /// The last thing that the source said.
    notice: Option<SourceNotice>,
}

impl Patience {
    fn new() -> Self {
        Self { last: (0, 0), since: Instant::now(), notice: None }
    }

    fn heard(&mut self, notices: &[SourceNotice]) {
        self.notice = notices.last().cloned().or(self.notice.take());
    }

    fn check(&mut self, rebuild: &Rebuild) -> miette::Result<()> {
        if rebuild.progress() != self.last {
            self.last = rebuild.progress();
            self.since = Instant::now();
        }
        if self.since.elapsed() < PATIENCE {
            return Ok(());
        }
        let unread = rebuild.unread();
        let (topic, partition) = unread.first().cloned().unwrap_or_default();
        let said =
            self.notice.as_ref().map_or(String::new(), |notice| format!("; the source said {notice:?}"));
        Err(miette!(
            help = "start the broker, or correct [kafka] in the config; nothing was changed",
            "no message for {PATIENCE:?}, and {} partitions are not read to where the daemon stopped, among them \
             {topic}/{partition}{said}",
            unread.len()
        ))
    }
}

/// A bar on a terminal, a line now and then otherwise.
struct Shown {
    bar: Option<ProgressBar>,
    lines: u64,
}

impl Shown {
    fn new() -> Self {
        Self { bar: std::io::stderr().is_terminal().then(bar), lines: 0 }
    }

    fn show(&mut self, (read, all): (u64, u64)) {
        match &self.bar {
            Some(bar) => {
                bar.set_length(all);
                bar.set_position(read);
            }
            None if all > 0 && read * LINES / all > self.lines => {
                self.lines = read * LINES / all;
                eprintln!("read {read} of {all} messages");
            }
            None => {}
        }
    }

    fn finish(self, (read, all): (u64, u64)) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            eprintln!("read {read} of {all} messages");
        }
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:32} {human_pos} of {human_len} messages, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}

fn print(finished: &Finished, format: OutputFormat) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for rebuilt in &finished.rebuilt {
        match format {
            OutputFormat::Text => writeln!(out, "{}", sentence(rebuilt))?,
            OutputFormat::Json => writeln!(out, "{}", json(rebuilt))?,
        }
    }
    for left in &finished.left {
        eprintln!("left as it is: {left}");
    }
    if finished.forgotten > 0 {
        eprintln!(
            "{} event ids were forgotten for want of room, as one topic ran far ahead of another: what was delivered \
             again of these events counts twice in the new rows",
            finished.forgotten
        );
    }
    Ok(())
}

fn instant(micros: i64) -> String {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX).to_string()
}

fn sentence(rebuilt: &Rebuilt) -> String {
    let Rebuilt { rollup, rows_before, rows_after, complete_since, warming_until } = rebuilt;
    let since = complete_since.map_or("complete".to_owned(), |since| {
        format!("complete since {}: the log has no more", instant(since))
    });
    let until = warming_until.map_or("warm".to_owned(), |until| format!("warming until {}", instant(until)));
    format!("{rollup}: {rows_before} rows before, {rows_after} now; {since}; {until}")
}

fn json(rebuilt: &Rebuilt) -> serde_json::Value {
    serde_json::json!({
        "rollup": rebuilt.rollup,
        "rows_before": rebuilt.rows_before,
        "rows_after": rebuilt.rows_after,
        "complete_since": rebuilt.complete_since.map(instant),
        "warming_until": rebuilt.warming_until.map(instant),
    })
}

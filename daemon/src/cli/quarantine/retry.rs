//! `shadowprod quarantine retry`: rejected messages, read again and decoded with today's program and config.
//!
//! In: kept rejects, the logs they came from. Out: for each whether it decodes now, remembered beside the state.
//! No event leaves this command, and no payload is printed.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::{FilterArguments, Opened, StateArguments, Stopped, print_json, report};
use crate::cli::OutputFormat;
use crate::cli::findings::table::printable;
use crate::config::Config;
use crate::daemon;
use crate::decode::{Decoder, Reject, SourceSpec};
use crate::ingest::files::FileSource;
use crate::ingest::{Position, RawBatch, Source, SourceError, Topics, kafka, payload_hash};
use crate::limits;
use crate::store::{QuarantineQuery, Quarantined, Retries, Retry};

/// Arguments of `quarantine retry`.
#[derive(Debug, Args)]
pub(super) struct RetryArguments {
    /// Ids of rejects as list shows them; without any, all that match the filter
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    state: StateArguments,
    #[command(flatten)]
    filter: FilterArguments,
    /// Read the messages from DIR/<topic>.jsonl, as replay does, and not from Kafka
    #[arg(long, value_name = "DIR")]
    input: Option<PathBuf>,
}

/// What became of one reject.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It gives an event now.
    Decodes,
    /// It is still rejected, for this reason.
    Rejected(String),
    /// Its message is no longer in the log.
    Gone,
    /// Where it stood is another message: the topic was recreated.
    Replaced,
}

impl Outcome {
    fn name(&self) -> &'static str {
        match self {
            Self::Decodes => "decodes",
            Self::Rejected(_) => "rejected",
            Self::Gone => "gone",
            Self::Replaced => "replaced",
        }
    }

    fn retry(&self, at_micros: i64) -> Retry {
        let detail = match self {
            Self::Decodes | Self::Gone | Self::Replaced => String::new(),
            Self::Rejected(why) => why.clone(),
        };
        Retry { at_micros, outcome: self.name().to_owned(), detail }
    }
}

/// Runs the command.
pub(super) fn retry(arguments: &RetryArguments) -> Result<ExitCode, Stopped> {
    let opened = arguments.state.open()?;
    let (kept, _) = opened.rejects(&QuarantineQuery::default())?;
    let wanted = wanted(&opened, arguments, &kept)?;
    let outcomes = outcomes(&opened.config, arguments.input.as_deref(), &wanted).map_err(report)?;
    let now = Timestamp::now().as_microsecond();
    let retried: Vec<(&Quarantined, Retry)> =
        wanted.iter().zip(&outcomes).map(|(reject, outcome)| (reject, outcome.retry(now))).collect();
    let mut retries = Retries::open(&opened.config.state.path).map_err(report)?;
    retries.remember(&retried, &kept).map_err(report)?;
    for (reject, retry) in &retried {
        print(arguments.state.format, reject, retry)?;
    }
    let decoding = outcomes.iter().filter(|outcome| **outcome == Outcome::Decodes).count();
    eprintln!(
        "{decoding} of {} decode now; see `shadowprod quarantine retry --help` for counting them",
        outcomes.len()
    );
    Ok(if decoding == outcomes.len() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn wanted(
    opened: &Opened,
    arguments: &RetryArguments,
    kept: &[Quarantined],
) -> Result<Vec<Quarantined>, Stopped> {
    let (mut wanted, _) = opened.rejects(&arguments.filter.query())?;
    if let Some(unknown) = arguments.ids.iter().find(|id| kept.iter().all(|reject| reject.id() != **id)) {
        return Err(report(format!(
            "{unknown}: no such reject is kept; `shadowprod quarantine list` shows the ids"
        )));
    }
    if !arguments.ids.is_empty() {
        wanted.retain(|reject| arguments.ids.contains(&reject.id()));
    }
    Ok(wanted)
}

fn print(format: OutputFormat, reject: &Quarantined, retry: &Retry) -> std::io::Result<()> {
    match format {
        OutputFormat::Json => print_json(reject, Some(retry)),
        OutputFormat::Text => {
            let (source, id) = (printable(&reject.reject.source), printable(&reject.id()));
            let line = format!("{}\t{source}\t{id}\t{}", retry.outcome, printable(&retry.detail));
            writeln!(std::io::stdout().lock(), "{line}")
        }
    }
}

/// The outcome of each of `rejects`, in their order.
fn outcomes(
    config: &Config,
    input: Option<&Path>,
    rejects: &[Quarantined],
) -> Result<Vec<Outcome>, SourceError> {
    let mut topics: Vec<String> = rejects.iter().map(|reject| reject.topic.clone()).collect();
    topics.sort();
    topics.dedup();
    let mut again = Again::new(config, &topics);
    // Topic numbers are those of this command, not of the state.
    let mut places: BTreeMap<Position, Vec<usize>> = BTreeMap::new();
    for (index, reject) in rejects.iter().enumerate() {
        let topic = topics.partition_point(|topic| *topic < reject.topic) as u16;
        places.entry(Position { topic, ..reject.reject.position }).or_default().push(index);
    }
    let mut outcomes: Vec<Outcome> = rejects.iter().map(|_| Outcome::Gone).collect();
    let each = |position: Position, message: Option<&[u8]>| {
        for index in &places[&position] {
            outcomes[*index] = message.map_or(Outcome::Gone, |message| {
                again.judge(position.topic, &rejects[*index].reject, message)
            });
        }
    };
    let wanted: Vec<Position> = places.keys().copied().collect();
    match input {
        None => kafka::fetch(&config.kafka, &topics, &wanted, each)?,
        Some(dir) => read_files(dir, topics.into(), &wanted, each)?,
    }
    Ok(outcomes)
}

/// What [`kafka::fetch`] does, of files.
fn read_files(
    dir: &Path,
    topics: Topics,
    wanted: &[Position],
    mut each: impl FnMut(Position, Option<&[u8]>),
) -> Result<(), SourceError> {
    let numbers: Vec<u16> = (0..topics.len() as u16).collect();
    if numbers.is_empty() {
        return Ok(());
    }
    let mut source = FileSource::open(dir, &topics, &numbers, limits::BATCH_MESSAGES_MAX)?;
    while let Some(batch) = source.next_batch(Duration::ZERO)? {
        for message in batch.messages.iter().filter(|m| wanted.binary_search(&m.position).is_ok()) {
            each(message.position, Some(batch.payload(message)));
        }
    }
    Ok(())
}

/// Today's decoder.
struct Again {
    decoder: Decoder,
}

impl Again {
    fn new(config: &Config, topics: &[String]) -> Self {
        let spec = |topic: &String| -> Option<SourceSpec> {
            config
                .sources
                .iter()
                .find(|source| source.topic == *topic)
                .map(|source| daemon::source_spec(source, config))
        };
        Self { decoder: Decoder::new(topics.iter().map(spec).collect()) }
    }

    /// What `message`, which stands where `reject` stood, gives today.
    fn judge(&mut self, topic: u16, reject: &Reject, message: &[u8]) -> Outcome {
        if payload_hash(message) != reject.message_hash {
            return Outcome::Replaced;
        }
        let mut batch = RawBatch::default();
        batch.push(Position { topic, ..reject.position }, None, message);
        let decoded = self.decoder.decode(&batch);
        if decoded.content_hashes.contains(&reject.content_hash) {
            return Outcome::Decodes;
        }
        // What was one value may be an envelope now: then what is in it counts.
        let same = decoded.rejects.iter().find(|today| today.content_hash == reject.content_hash);
        match same.or(decoded.rejects.first()) {
            Some(today) => Outcome::Rejected(format!("{}: {}", today.reason.name(), today.detail)),
            None => Outcome::Decodes,
        }
    }
}

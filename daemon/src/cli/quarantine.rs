//! `shadowprod quarantine`: what could not be decoded, why, and whether it can be today.
//!
//! In: the state folder that a config names, read while the daemon runs or after. Out: tables or plain lines, NDJSON
//! for programs, with secrets masked. The state is never written; outcomes of a retry stand beside it.

mod retry;
mod table;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use jiff::{Span, SpanRelativeTo, Timestamp};
use miette::miette;

use super::OutputFormat;
use crate::config::Config;
use crate::decode::RejectReason;
use crate::store::{QuarantineQuery, Quarantined, Reader, Retries, Retry};

/// Arguments of `shadowprod quarantine`.
#[derive(Debug, Args)]
pub struct QuarantineArguments {
    #[command(subcommand)]
    command: QuarantineCommand,
}

#[derive(Debug, Subcommand)]
enum QuarantineCommand {
    /// Lists what was rejected, the newest last
    ///
    /// Every reject is counted. Of each topic and reason some hundreds are kept, a sample where there are more, so that
    /// one bad producer does not push out what others got wrong.
    List(ListArguments),
    /// Shows one reject with its payload, secrets masked; exit code 1 if none with this id is kept
    Show(ShowArguments),
    /// Reads rejected messages again and says which of them decode today
    ///
    /// The kept payloads have their secrets masked, so the messages are read again where they stood: from Kafka, or
    /// from files with --input. Each is decoded with this program and this config. The outcome is remembered and shown
    /// by list and show. The exit code is 0 if all of them decode, 1 if not.
    ///
    /// The events do not get into the findings of a running daemon: most would be later than its lateness, and its
    /// findings would no longer be those that its logs give. To have them counted, start the daemon with an empty state
    /// folder, which reads what Kafka still has with today's formats, or run `shadowprod replay` over exported logs.
    Retry(retry::RetryArguments),
}

/// Which state and how to print.
#[derive(Debug, Args)]
struct StateArguments {
    /// The daemon's TOML file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How to print: text for people, json (one object a line) for programs
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
}

/// Which rejects.
#[derive(Debug, Args)]
struct FilterArguments {
    /// Rejects of this source, by its name or its topic
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Rejects for this reason
    #[arg(long, value_name = "REASON", value_parser = PossibleValuesParser::new(RejectReason::ALL.map(RejectReason::name)))]
    reason: Option<String>,
    /// Rejects read since then: a time such as 2026-03-10T18:00:00Z, or a span such as 2h or 3d
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
}

#[derive(Debug, Args)]
struct ListArguments {
    #[command(flatten)]
    state: StateArguments,
    #[command(flatten)]
    filter: FilterArguments,
}

#[derive(Debug, Args)]
struct ShowArguments {
    /// Id of the reject as list shows it: topic/partition/offset/index
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    state: StateArguments,
}

fn since(word: &str) -> Result<Timestamp, String> {
    if let Ok(time) = word.parse::<Timestamp>() {
        return Ok(time);
    }
    let expected = || "expected a time such as 2026-03-10T18:00:00Z, or a span such as 2h or 3d".to_owned();
    let span: Span = word.parse().map_err(|_| expected())?;
    let span = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| expected())?;
    Timestamp::now().checked_sub(span.abs()).map_err(|_| expected())
}

/// Runs the command.
pub fn main(arguments: &QuarantineArguments) -> miette::Result<ExitCode> {
    super::start_quiet_logging();
    let outcome = match &arguments.command {
        QuarantineCommand::List(a) => list(a),
        QuarantineCommand::Show(a) => show(a),
        QuarantineCommand::Retry(a) => retry::retry(a),
    };
    match outcome {
        Err(Stopped::ReaderGone) => Ok(ExitCode::SUCCESS),
        Err(Stopped::Report(report)) => Err(report),
        Ok(code) => Ok(code),
    }
}

/// Why a command stopped early.
enum Stopped {
    /// Whoever read the output has enough: `quarantine list | head`.
    ReaderGone,
    /// Anything that a person must know.
    Report(miette::Report),
}

impl From<std::io::Error> for Stopped {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::Report(miette!("cannot write the output: {error}")),
        }
    }
}

fn report(error: impl std::fmt::Display) -> Stopped {
    Stopped::Report(miette!("{error}"))
}

/// What the state folder holds.
struct Opened {
    config: Config,
    reader: Reader,
}

impl StateArguments {
    fn open(&self) -> Result<Opened, Stopped> {
        let config = Config::load(&self.config).map_err(report)?;
        let reader = Reader::open(&config.state.path).map_err(report)?;
        Ok(Opened { config, reader })
    }
}

impl Opened {
    /// Rejects that match, and how many there ever were.
    fn rejects(&self, query: &QuarantineQuery) -> Result<(Vec<Quarantined>, u64), Stopped> {
        self.reader.quarantined(query).map_err(report)
    }

    /// What the last retry said of each, by id.
    fn retries(&self, rejects: &[Quarantined]) -> Result<BTreeMap<String, Retry>, Stopped> {
        Retries::of(&self.config.state.path, rejects).map_err(report)
    }
}

impl FilterArguments {
    fn query(&self) -> QuarantineQuery {
        QuarantineQuery {
            source: self.source.clone(),
            reason: self.reason.as_deref().and_then(RejectReason::parse),
            since_micros: self.since.map(Timestamp::as_microsecond),
        }
    }
}

fn list(arguments: &ListArguments) -> Result<ExitCode, Stopped> {
    let query = arguments.filter.query();
    let opened = arguments.state.open()?;
    let (rejects, total) = opened.rejects(&query)?;
    let retries = opened.retries(&rejects)?;
    match arguments.state.format {
        OutputFormat::Text => table::write_rejects(&rejects, &retries)?,
        OutputFormat::Json => {
            rejects.iter().try_for_each(|reject| print_json(reject, retries.get(&reject.id())))?;
        }
    }
    if std::io::stdout().is_terminal() {
        eprintln!("{}", summary(rejects.len(), total, &query));
    }
    Ok(ExitCode::SUCCESS)
}

fn summary(shown: usize, total: u64, query: &QuarantineQuery) -> String {
    match query.since_micros {
        Some(_) => format!("{shown} kept since then, of {total} rejected in all"),
        None => format!("{shown} kept of {total} rejected"),
    }
}

fn show(arguments: &ShowArguments) -> Result<ExitCode, Stopped> {
    let opened = arguments.state.open()?;
    let (rejects, _) = opened.rejects(&QuarantineQuery::default())?;
    let retries = opened.retries(&rejects)?;
    let Some(reject) = rejects.iter().find(|reject| reject.id() == arguments.id) else {
        eprintln!("{}: no such reject is kept; `shadowprod quarantine list` shows the ids", arguments.id);
        return Ok(ExitCode::from(1));
    };
    match arguments.state.format {
        OutputFormat::Text => table::write_reject(reject, retries.get(&arguments.id))?,
        OutputFormat::Json => print_json(reject, retries.get(&arguments.id))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn print_json(reject: &Quarantined, retry: Option<&Retry>) -> std::io::Result<()> {
    let mut value = reject.to_json();
    value["retry"] = retry.map_or(serde_json::Value::Null, |retry| {
        let at = Timestamp::from_microsecond(retry.at_micros).unwrap_or(Timestamp::UNIX_EPOCH);
        serde_json::json!({"at": at.to_string(), "outcome": retry.outcome, "detail": retry.detail})
    });
    writeln!(std::io::stdout().lock(), "{value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_time_or_a_span() {
        let hours_ago = |word: &str| (Timestamp::now() - since(word).unwrap()).get_seconds() as f64 / 3_600.0;
        assert_eq!(since("2026-03-10T18:00:00Z").unwrap().to_string(), "2026-03-10T18:00:00Z");
        assert!((hours_ago("2h") - 2.0).abs() < 0.1);
        assert!((hours_ago("3d") - 72.0).abs() < 0.1);
        assert!((hours_ago("1h 30m") - 1.5).abs() < 0.1);
        assert!(since("yesterday").unwrap_err().contains("2h or 3d"));
    }
}

//! `shadowprod evaluate`: how good the detections are, measured over worlds whose truth is known.
//!
//! In: folders that `generate` wrote, or seeds. Out: precision, recall, time to detect of each detection, beside what simple rules
//! would have said; as a table, as JSON, as a page.

mod interval;
mod page;
mod report;
mod run;
mod sweep;
mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;
use miette::{Context, IntoDiagnostic};
use shadowprod_world::Plan;

use self::report::Report;
use self::run::{Bench, Input, WorldVerdict};
use super::OutputFormat;
use super::generate::{self, ScaleArgument};
use crate::config::TimeConfig;
use crate::query::QueryTexts;

/// Measures precision, recall and time to detect over generated companies.
///
/// Each DIR is a folder that `shadowprod generate` wrote. The daemon's own pipeline reads its logs, in memory; what comes
/// out is compared with expected.ndjson. A finding counts once a subject, however often it was reopened; found is what
/// was told at or after the incident began. Precision and recall carry Wilson's 95% intervals. Beside the detections
/// stand two rules as simple as people write them first, judged by the same labels.
///
/// With --sweep every parameter of one detection is varied in turn and the same table is printed for each value: how
/// sharp a threshold is, and what a signal or term adds (its weight or cap set to 0).
#[derive(Debug, clap::Args)]
pub struct EvaluateArguments {
    /// Folder that `generate` wrote; may be given several times
    #[arg(long, value_name = "DIR", required_unless_present = "seeds", num_args = 1..)]
    input: Vec<PathBuf>,
    /// Instead of folders, the worlds of these seeds, made while they are read: 101-120, or 7
    #[arg(long, value_name = "N-M", conflicts_with = "input", value_parser = seeds)]
    seeds: Option<std::ops::RangeInclusive<u64>>,
    /// With --seeds: how large the companies are
    #[arg(long, value_enum, default_value_t = ScaleArgument::Company)]
    scale: ScaleArgument,
    /// With --seeds: days of history
    #[arg(long, value_name = "D", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
    /// With --seeds: instant at which the histories end
    #[arg(long, value_name = "TIME", default_value = generate::END)]
    end: Timestamp,
    /// How to print: text for people, json (one object) for programs
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
    /// Write the report as a page with plots, too
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Worlds read at the same time
    #[arg(long, value_name = "N", default_value_t = run::cores())]
    jobs: usize,
    /// Vary each parameter of this detection instead
    #[arg(long, value_name = "DETECTION", conflicts_with_all = ["html", "only"])]
    sweep: Option<String>,
    /// With --sweep: vary only this parameter; may be given several times
    #[arg(long, value_name = "NAME", requires = "sweep")]
    parameter: Vec<String>,
    /// Run and judge only this detection; may be given several times
    #[arg(long, value_name = "DETECTION")]
    only: Vec<String>,
    /// Folder with rollups/, detections/ and signals/; the built-in queries if absent
    #[arg(long, value_name = "DIR")]
    queries: Option<PathBuf>,
    /// Seconds between grid points, in place of the config's: a coarser grid is faster, and tells later
    #[arg(long, value_name = "SECONDS", value_parser = divisor_of_an_hour)]
    grid_seconds: Option<u32>,
}

/// Runs the command.
pub fn main(arguments: &EvaluateArguments) -> miette::Result<ExitCode> {
    super::start_quiet_logging();
    match &arguments.sweep {
        Some(detection) => sweep(arguments, detection),
        None => evaluate(arguments),
    }
}

fn evaluate(arguments: &EvaluateArguments) -> miette::Result<ExitCode> {
    let mut bench = bench(arguments, &arguments.only)?;
    let baselines = QueryTexts::baselines();
    for query in baselines.detections {
        let stands_for = match query.subject_kind.as_str() {
            "credential" => shadowprod_world::SHARED_CREDENTIAL,
            _ => shadowprod_world::UNPROMOTED,
        };
        if bench.texts.detections.iter().any(|d| d.text.id == stands_for) {
            bench.add(query, stands_for);
        }
    }
    if !bench.stands_for.is_empty() {
        bench.texts.rollups.extend(baselines.rollups);
        bench.texts.rollups.sort_by(|a, b| a.text.id.cmp(&b.text.id));
    }
    let verdicts = all(arguments, &bench)?;
    let report = Report::new(&verdicts, &bench.stands_for);
    match arguments.format {
        OutputFormat::Json => println!("{}", serde_json::to_string(&report).into_diagnostic()?),
        OutputFormat::Text => print!("{}", table::Text(&report)),
    }
    if let Some(path) = &arguments.html {
        std::fs::write(path, page::html(&report))
            .into_diagnostic()
            .wrap_err_with(|| format!("{} cannot be written: name a file that can be", path.display()))?;
        eprintln!("wrote {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn sweep(arguments: &EvaluateArguments, detection: &str) -> miette::Result<ExitCode> {
    let mut bench = bench(arguments, &[detection.to_owned()])?;
    let query = &bench.texts.detections[0].clone();
    let known = &query.text.parameters;
    if let Some(unknown) = arguments.parameter.iter().find(|name| !known.contains_key(*name)) {
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        miette::bail!("{detection} has no parameter `{unknown}`; it has {}", names.join(", "));
    }
    let is_varied =
        |name: &str| arguments.parameter.is_empty() || arguments.parameter.iter().any(|p| p == name);
    let variants = sweep::variants(query, is_varied);
    for variant in &variants {
        bench.add(variant.query.clone(), detection);
    }
    let verdicts = all(arguments, &bench)?;
    let rows = sweep::rows(query, &variants, &Report::new(&verdicts, &bench.stands_for));
    match arguments.format {
        OutputFormat::Json => println!("{}", serde_json::to_string(&rows).into_diagnostic()?),
        OutputFormat::Text => print!("{}", sweep::Text(&rows)),
    }
    Ok(ExitCode::SUCCESS)
}

/// The detections of these ids, all if none is given, and nothing besides.
fn bench(arguments: &EvaluateArguments, ids: &[String]) -> miette::Result<Bench> {
    let mut texts = super::test::read(arguments.queries.as_deref())?;
    texts.detections = super::test::selected(&texts, ids)?.into_iter().cloned().collect();
    let (folder, grid_seconds) = (arguments.queries.clone(), arguments.grid_seconds);
    Ok(Bench { folder, texts, stands_for: BTreeMap::new(), grid_seconds })
}

fn all(arguments: &EvaluateArguments, bench: &Bench) -> miette::Result<Vec<WorldVerdict>> {
    let EvaluateArguments { scale, days, end, .. } = arguments;
    let plan = |seed| Input::Plan(Plan { seed, scale: (*scale).into(), days: *days, end: *end });
    let inputs: Vec<Input> = match &arguments.seeds {
        Some(seeds) => seeds.clone().map(plan).collect(),
        None => arguments.input.iter().cloned().map(Input::Folder).collect(),
    };
    run::all(&inputs, bench, arguments.jobs.max(1))
}

/// As the config wants `time.grid_seconds`.
fn divisor_of_an_hour(text: &str) -> Result<u32, String> {
    let seconds = text.parse::<u32>().map_err(|e| e.to_string())?;
    let refusal = || format!("{seconds} is no divisor of 3600: write 60, 300 or 900, say");
    TimeConfig::is_grid(seconds).then_some(seconds).ok_or_else(refusal)
}

/// `101-120`, or one seed.
fn seeds(text: &str) -> Result<std::ops::RangeInclusive<u64>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.trim().parse::<u64>().map_err(|e| format!("{text:?}: {e}; write 101-120"));
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(format!("{first} comes after {last}: write the smaller first"));
    }
    Ok(first..=last)
}

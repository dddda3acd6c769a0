//! `shadowprod check`: validates config, registry and queries, and points at what is wrong.
//!
//! In: a config file. Out: every problem with file, line, column and fix, then one line of summary; exit code 0
//! if there is no error, 1 if there is, 2 if the config cannot be read at all. Without `--connect` nothing
//! leaves this machine; nothing is ever changed.

mod inspect;
mod problem;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use miette::{IntoDiagnostic, miette};

use super::OutputFormat;
use problem::{Level, Problem};

/// Arguments of `shadowprod check`.
#[derive(Debug, clap::Args)]
pub struct CheckArguments {
    /// The daemon's config file; what it names is checked with it
    #[arg(long, short, env = "SHADOWPROD_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// Also asks the brokers for the topics, with a deadline of ten seconds
    #[arg(long)]
    connect: bool,
    /// How to print: text for people, json (one object a line) for programs
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
}

/// Runs the command.
pub fn main(arguments: &CheckArguments) -> miette::Result<ExitCode> {
    let report = inspect::inspect(&arguments.config, arguments.connect)
        .map_err(|error| miette!(help = "name the config file that the daemon is started with", "{error}"))?;
    let mut out = std::io::stdout().lock();
    match arguments.format {
        OutputFormat::Text => write_text(&mut out, &report, colours_wanted()),
        OutputFormat::Json => write_json(&mut out, &report),
    }
    .into_diagnostic()?;
    Ok(ExitCode::from(u8::from(report.errors() > 0)))
}

/// What was looked at, and what is wrong with it.
#[derive(Debug, Default)]
struct Report {
    /// `4 sources`, `12 pilots`, ...
    looked_at: Vec<String>,
    problems: Vec<Problem>,
}

impl Report {
    fn errors(&self) -> usize {
        self.problems.iter().filter(|p| p.level == Level::Error).count()
    }

    fn summary(&self) -> String {
        let errors = self.errors();
        let counts = [counted(errors, "error"), counted(self.problems.len() - errors, "warning")].join(", ");
        format!("checked {}: {counts}", self.looked_at.join(", "))
    }
}

/// `1 error`, `2 errors`, `no errors`.
fn counted(count: usize, noun: &str) -> String {
    match count {
        0 => format!("no {noun}s"),
        1 => format!("1 {noun}"),
        many => format!("{many} {noun}s"),
    }
}

fn colours_wanted() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn write_text(out: &mut impl Write, report: &Report, colours: bool) -> std::io::Result<()> {
    for problem in &report.problems {
        writeln!(out, "{}", problem.rendered(colours))?;
    }
    writeln!(out, "{}", report.summary())
}

fn write_json(out: &mut impl Write, report: &Report) -> std::io::Result<()> {
    for problem in &report.problems {
        writeln!(out, "{}", problem.json())?;
    }
    let errors = report.errors();
    let warnings = report.problems.len() - errors;
    let summary = serde_json::json!({ "checked": report.looked_at, "errors": errors, "warnings": warnings });
    writeln!(out, "{}", serde_json::json!({ "summary": summary }))
}

#[cfg(test)]
mod tests;

//! The command line: one file a subcommand.
//!
//! In: arguments. Out: an exit code: 0 fine, 1 the answer is no, 2 usage or config.

pub mod check;
pub mod decode;
pub mod demo;
pub mod evaluate;
pub mod explain;
pub mod findings;
pub mod generate;
mod judge;
mod progress;
pub mod quarantine;
pub mod rebuild;
pub mod replay;
pub mod run;
pub mod schema;
pub mod state;
pub mod test;
pub mod verify;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use miette::IntoDiagnostic;

use crate::config::Config;

/// Says which AI pilots run in production although nobody promoted them.
///
/// shadowprod reads API gateway, cloud audit and identity logs from Kafka, compares them with a registry of
/// pilots and promotions, and reports unpromoted pilots with production traffic, businesses that depend on
/// them, and credentials that people and workloads share.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people: tables on a terminal, plain lines otherwise.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// Which state folder, and how to print what is said of it.
#[derive(Debug, clap::Args)]
struct StateFolder {
    /// The daemon's TOML file, which names the state folder
    #[arg(short, long, value_name = "FILE", env = "SHADOWPROD_CONFIG", required_unless_present = "state")]
    config: Option<PathBuf>,
    /// The state folder itself: a back-up, say
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    state: Option<PathBuf>,
    /// How to print: text for people, json (one object) for programs
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
}

impl StateFolder {
    fn path(&self) -> miette::Result<PathBuf> {
        match (&self.state, &self.config) {
            (Some(state), _) => Ok(state.clone()),
            (None, Some(config)) => Ok(Config::load(config).into_diagnostic()?.state.path),
            (None, None) => unreachable!("clap asks for one of them"),
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows everything at work: an embedded broker, a small company's traffic, findings on screen
    Demo(demo::DemoArguments),
    /// Runs the daemon
    Run(run::RunArguments),
    /// Validates config, registry and queries, and points at what is wrong
    Check(check::CheckArguments),
    /// Runs the cases that detections carry
    Test(test::TestArguments),
    /// Runs the same pipeline over files and prints the findings as NDJSON; no network
    Replay(replay::ReplayArguments),
    /// Writes an invented company's logs, registry and what must be found in them
    Generate(generate::GenerateArguments),
    /// Measures precision, recall and time to detect over generated companies
    Evaluate(evaluate::EvaluateArguments),
    /// Shows what shadowprod sees in your logs, as NDJSON
    Decode(decode::DecodeArguments),
    /// Prints the tables that queries read: columns, types, meanings
    Schema(schema::SchemaArguments),
    /// Lists or watches the findings of a running daemon
    Findings(findings::FindingsArguments),
    /// Says why a finding is there: the query, the rows it saw, each condition with both its sides
    Explain(explain::ExplainArguments),
    /// Says what a subject lacks for a detection to fire on it, and by how much
    WhyNot(explain::WhyNotArguments),
    /// Lists what could not be decoded, shows it, tries it again
    Quarantine(quarantine::QuarantineArguments),
    /// Checks a state folder from end to end: pages, offsets, rollup rows, findings, the chain of history
    Verify(verify::VerifyArguments),
    /// Exports a state folder, also of a running daemon, or imports one elsewhere
    State(state::StateArguments),
    /// Makes the rows of rollups whose query changed anew from Kafka, while the daemon is stopped
    Rebuild(rebuild::RebuildArguments),
}

/// Parses the process's arguments and runs the command.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::Demo(a) => demo::main(&a),
        Command::Run(a) => run::main(&a),
        Command::Check(a) => check::main(&a),
        Command::Test(a) => test::main(&a),
        Command::Replay(a) => replay::main(&a),
        Command::Generate(a) => generate::main(&a),
        Command::Evaluate(a) => evaluate::main(&a),
        Command::Decode(a) => decode::main(&a),
        Command::Schema(a) => schema::main(&a),
        Command::Findings(a) => findings::main(&a),
        Command::Explain(a) => explain::main(&a),
        Command::WhyNot(a) => explain::main_why_not(&a),
        Command::Quarantine(a) => quarantine::main(&a),
        Command::Verify(a) => verify::main(&a),
        Command::State(a) => state::main(&a),
        Command::Rebuild(a) => rebuild::main(&a),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("{error:?}");
        ExitCode::from(2)
    })
}

/// Warnings and errors only, for commands whose own output is what a person came for.
fn start_quiet_logging() {
    start_logging_at("warn", false);
}

/// Log lines on stderr; RUST_LOG sets the level, which is `info` otherwise.
fn start_logging(json: bool) {
    start_logging_at("info", json);
}

fn start_logging_at(level: &str, json: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into());
    let coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(coloured);
    let started = if json { builder.json().try_init() } else { builder.try_init() };
    started.unwrap_or_else(|e| eprintln!("logging was already started: {e}"));
}

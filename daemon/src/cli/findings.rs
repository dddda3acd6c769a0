//! `shadowprod findings`: asks a running daemon over gRPC.
//!
//! In: a server's address and a filter. Out: a table on a terminal, one line a finding elsewhere, NDJSON for
//! programs. Text that came out of logs is printed without control characters.

pub mod table;
mod watch;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use miette::IntoDiagnostic;

pub use table::print_findings_table;

use super::OutputFormat;
use crate::findings::{Finding, Severity};
use crate::serve::client::{Client, ClientError, Wanted};

/// `f_` and 32 hex digits.
const ID_LENGTH: usize = 34;

/// Arguments of `shadowprod findings`.
#[derive(Debug, Args)]
pub struct FindingsArguments {
    #[command(subcommand)]
    command: FindingsCommand,
}

#[derive(Debug, Subcommand)]
enum FindingsCommand {
    /// Lists findings, worst first
    List(ListArguments),
    /// Shows the open findings, then every change as it happens; reconnects without missing one
    Watch(WatchArguments),
    /// Shows one finding with its evidence; exit code 1 if there is none with this id
    Show(ShowArguments),
}

/// Where the daemon is and how to print.
#[derive(Debug, Args)]
pub(super) struct ServerArguments {
    /// gRPC address of the daemon
    #[arg(long, default_value = "http://127.0.0.1:50551", env = "SHADOWPROD_SERVER", value_name = "URL")]
    pub(super) server: String,
    /// How to print: text for people, json (one object a line) for programs
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub(super) format: OutputFormat,
}

/// Which findings.
#[derive(Debug, Args)]
struct FilterArguments {
    /// Findings in this state
    #[arg(long, value_enum, default_value_t = StateWanted::Open)]
    state: StateWanted,
    /// Findings of this detection, such as unpromoted-production-traffic
    #[arg(long, value_name = "ID")]
    detection: Option<String>,
    /// Findings at least this bad: low, medium, high or critical
    #[arg(long, value_name = "SEVERITY", value_parser = severity)]
    severity: Option<Severity>,
    /// Findings that this person of the registry is paged for
    #[arg(long, value_name = "PERSON")]
    owner: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StateWanted {
    /// The evidence holds
    Open,
    /// The evidence left the window
    Resolved,
    /// Both
    All,
}

#[derive(Debug, Args)]
struct ListArguments {
    #[command(flatten)]
    server: ServerArguments,
    #[command(flatten)]
    filter: FilterArguments,
}

#[derive(Debug, Args)]
struct WatchArguments {
    #[command(flatten)]
    server: ServerArguments,
    #[command(flatten)]
    filter: FilterArguments,
    /// Go on after this token (`resume_token` of the JSON output) instead of with the open findings
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TOKEN")]
    resume: String,
}

#[derive(Debug, Args)]
struct ShowArguments {
    /// Id of the finding, or as much of its beginning as only one finding has
    #[arg(value_name = "FINDING_ID")]
    finding_id: String,
    #[command(flatten)]
    server: ServerArguments,
}

/// Runs the command.
pub fn main(arguments: &FindingsArguments) -> miette::Result<ExitCode> {
    block_on(async {
        match &arguments.command {
            FindingsCommand::List(a) => list(a).await,
            FindingsCommand::Watch(a) => watch::watch(a).await,
            FindingsCommand::Show(a) => show(a).await,
        }
    })
}

/// Runs a client's command to its end: what was not found is said and exits with 1.
pub(super) fn block_on(command: impl Future<Output = Result<ExitCode, Stopped>>) -> miette::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().into_diagnostic()?;
    match runtime.block_on(command) {
        Ok(code) => Ok(code),
        Err(Stopped::ReaderGone) => Ok(ExitCode::SUCCESS),
        Err(Stopped::Client(ClientError::NotFound(problem))) => {
            eprintln!("{problem}");
            Ok(ExitCode::from(1))
        }
        Err(Stopped::Client(error)) => Err(miette::Report::msg(error.to_string())),
        Err(Stopped::Output(error)) => Err(miette::Report::msg(format!("cannot write the output: {error}"))),
    }
}

/// Why a command stopped early.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The daemon.
    Client(ClientError),
    /// Whoever read the output has enough: `findings list | head`.
    ReaderGone,
    /// The output.
    Output(std::io::Error),
}

impl From<ClientError> for Stopped {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<std::io::Error> for Stopped {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe { Self::ReaderGone } else { Self::Output(error) }
    }
}

impl FilterArguments {
    fn wanted(&self) -> Wanted {
        let state = match self.state {
            StateWanted::Open => "open",
            StateWanted::Resolved => "resolved",
            StateWanted::All => "",
        };
        Wanted {
            state: state.to_owned(),
            detection: self.detection.clone().unwrap_or_default(),
            severity_min: self.severity.map(|s| s.name().to_owned()).unwrap_or_default(),
            owner: self.owner.clone().unwrap_or_default(),
        }
    }

    fn matches(&self, finding: &Finding) -> bool {
        let state = self.wanted().state;
        (state.is_empty() || state == finding.state.name())
            && self.detection.as_ref().is_none_or(|d| *d == finding.detection)
            && self.severity.is_none_or(|s| finding.severity >= s)
            && self.owner.as_ref().is_none_or(|o| *o == finding.owner.person)
    }
}

fn severity(word: &str) -> Result<Severity, String> {
    Severity::parse(word).ok_or_else(|| "expected low, medium, high or critical".to_owned())
}

async fn list(arguments: &ListArguments) -> Result<ExitCode, Stopped> {
    let mut client = Client::connect(&arguments.server.server).await?;
    let findings = client.list(&arguments.filter.wanted()).await?;
    match arguments.server.format {
        OutputFormat::Text => {
            table::write_findings(&findings)?;
            if findings.is_empty() && std::io::stdout().is_terminal() {
                eprintln!("no findings match");
            }
        }
        OutputFormat::Json => findings.iter().try_for_each(print_json)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(arguments: &ShowArguments) -> Result<ExitCode, Stopped> {
    let mut client = Client::connect(&arguments.server.server).await?;
    let finding = find(&mut client, &arguments.finding_id).await?;
    match arguments.server.format {
        OutputFormat::Text => table::write_finding(&finding)?,
        OutputFormat::Json => print_json(&finding)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// By id, or by the beginning of one as tables show it.
pub(super) async fn find(client: &mut Client, id: &str) -> Result<Finding, ClientError> {
    let not_found = match client.get(id).await {
        Err(error @ ClientError::NotFound(_)) if !id.is_empty() && id.len() < ID_LENGTH => error,
        answer => return answer,
    };
    let mut found = client.list(&Wanted::default()).await?;
    found.retain(|finding| finding.finding_id.starts_with(id));
    match found.len() {
        0 => Err(not_found),
        1 => Ok(found.remove(0)),
        many => {
            Err(ClientError::NotFound(format!("{id}: {many} findings begin like this; give more of the id")))
        }
    }
}

pub(super) fn print_json(value: &impl serde::Serialize) -> std::io::Result<()> {
    let line = serde_json::to_string(value).expect("a finding has text keys and finite numbers only");
    writeln!(std::io::stdout().lock(), "{line}")
}

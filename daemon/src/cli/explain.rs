//! `shadowprod explain` and `shadowprod why-not`: why a detection fires on a subject, or does not.
//!
//! In: a finding's id, or a detection and a subject; a running daemon that holds the rows. Out: an explanation as
//! tables, or as JSON. Text that came out of logs is printed without control characters.

mod page;
mod stages;

use std::process::ExitCode;

use clap::Args;

use super::OutputFormat;
use super::findings::{ServerArguments, block_on, find, print_json};
use crate::explain::Explanation;
use crate::serve::client::{Client, ClientError};

/// Says why a finding is there: the query, the rows it saw, and each condition with both its sides.
///
/// The running daemon evaluates the finding's detection again, as of the grid point that made the finding, over
/// the rows that it holds today. Where the rows have moved on since, or are no longer kept, or the query has
/// changed, it says so. Exit code 1 if there is no finding with this id.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// Id of the finding, or as much of its beginning as only one finding has
    #[arg(value_name = "FINDING_ID")]
    finding_id: String,
    #[command(flatten)]
    server: ServerArguments,
}

/// Says what a subject lacks for a detection to fire on it, and by how much.
///
/// The running daemon evaluates the detection as of the newest grid point and follows the subject through it, CTE
/// by CTE. It names the conditions that are not true on the row that comes closest, or where the subject's rows end.
/// If the detection does fire on the subject, it says that.
#[derive(Debug, Args)]
pub struct WhyNotArguments {
    /// Id of the detection, such as unpromoted-production-traffic
    #[arg(value_name = "DETECTION")]
    detection: String,
    /// Id of the subject, whole: a pilot, a caller, a source, or the c_... of a credential
    #[arg(value_name = "SUBJECT")]
    subject: String,
    #[command(flatten)]
    server: ServerArguments,
}

/// Runs `explain`.
pub fn main(arguments: &ExplainArguments) -> miette::Result<ExitCode> {
    run(&arguments.server, async |client| {
        let finding = find(client, &arguments.finding_id).await?;
        client.explain(&finding.finding_id).await
    })
}

/// Runs `why-not`.
pub fn main_why_not(arguments: &WhyNotArguments) -> miette::Result<ExitCode> {
    run(&arguments.server, async |client| client.why_not(&arguments.detection, &arguments.subject).await)
}

fn run(
    server: &ServerArguments,
    ask: impl AsyncFn(&mut Client) -> Result<Explanation, ClientError>,
) -> miette::Result<ExitCode> {
    block_on(async {
        let mut client = Client::connect(&server.server).await?;
        let explanation = ask(&mut client).await?;
        match server.format {
            OutputFormat::Text => page::write(&explanation)?,
            OutputFormat::Json => print_json(&explanation)?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

#[cfg(test)]
mod tests;

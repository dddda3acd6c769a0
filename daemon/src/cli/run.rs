//! `shadowprod run`.

use std::process::ExitCode;

/// Arguments of `shadowprod run`.
#[derive(Debug, clap::Args)]
pub struct RunArguments {}

/// Runs the command.
pub fn main(_arguments: &RunArguments) -> miette::Result<ExitCode> {
    Ok(ExitCode::from(2))
}

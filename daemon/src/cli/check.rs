//! `shadowprod check`.

use std::process::ExitCode;

/// Arguments of `shadowprod check`.
#[derive(Debug, clap::Args)]
pub struct CheckArguments {}

/// Runs the command.
pub fn main(_arguments: &CheckArguments) -> miette::Result<ExitCode> {
    Ok(ExitCode::from(2))
}

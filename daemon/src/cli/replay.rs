//! `shadowprod replay`.

use std::process::ExitCode;

/// Arguments of `shadowprod replay`.
#[derive(Debug, clap::Args)]
pub struct ReplayArguments {}

/// Runs the command.
pub fn main(_arguments: &ReplayArguments) -> miette::Result<ExitCode> {
    Ok(ExitCode::from(2))
}

//! `shadowprod findings`.

use std::process::ExitCode;

/// Arguments of `shadowprod findings`.
#[derive(Debug, clap::Args)]
pub struct FindingsArguments {}

/// Runs the command.
pub fn main(_arguments: &FindingsArguments) -> miette::Result<ExitCode> {
    Ok(ExitCode::from(2))
}

//! `shadowprod demo`.

use std::process::ExitCode;

/// Arguments of `shadowprod demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArguments {}

/// Runs the command.
pub fn main(_arguments: &DemoArguments) -> miette::Result<ExitCode> {
    Ok(ExitCode::from(2))
}

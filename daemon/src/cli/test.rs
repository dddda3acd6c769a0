//! `shadowprod test`.

use std::process::ExitCode;

/// Arguments of `shadowprod test`.
#[derive(Debug, clap::Args)]
pub struct TestArguments {}

/// Runs the command.
pub fn main(_arguments: &TestArguments) -> miette::Result<ExitCode> {
    Ok(ExitCode::from(2))
}

//! `shadowprod decode`.

use std::process::ExitCode;

/// Arguments of `shadowprod decode`.
#[derive(Debug, clap::Args)]
pub struct DecodeArguments {}

/// Runs the command.
pub fn main(_arguments: &DecodeArguments) -> miette::Result<ExitCode> {
    Ok(ExitCode::from(2))
}

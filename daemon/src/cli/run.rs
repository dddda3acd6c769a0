//! stub
/// S
#[derive(Debug, clap::Args)]
pub struct RunArguments {}
/// S
pub fn main(_arguments: &RunArguments) -> miette::Result<std::process::ExitCode> {
    super::start_logging(false);
    Ok(std::process::ExitCode::from(2))
}

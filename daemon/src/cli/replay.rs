//! stub
/// S
#[derive(Debug, clap::Args)]
pub struct ReplayArguments {}
/// S
pub fn main(_arguments: &ReplayArguments) -> miette::Result<std::process::ExitCode> {
    super::start_logging(false);
    Ok(std::process::ExitCode::from(2))
}

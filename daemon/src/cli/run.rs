//! `shadowprod run`: the daemon, until it is told to stop.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use miette::{IntoDiagnostic, miette};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::daemon;

/// How often the pipeline's thread is looked after.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Reads the topics of the config from Kafka, keeps findings durable, serves them over gRPC and HTTP.
///
/// State is kept in the folder that the config names; a restart goes on where the last run stopped. Registry
/// and queries are reloaded when their files change; what is not valid is refused with a message, and the
/// last good one stays in force. Stop it with Ctrl-C or SIGTERM.
#[derive(Debug, clap::Args)]
pub struct RunArguments {
    /// The daemon's TOML file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Log lines as JSON
    #[arg(long)]
    log_json: bool,
}

/// Runs the command.
pub fn main(arguments: &RunArguments) -> miette::Result<ExitCode> {
    super::start_logging(arguments.log_json);
    let config = Config::load(&arguments.config).map_err(|e| miette!("{e}"))?;
    let running = daemon::start(&config).map_err(|e| miette!("{e}"))?;
    let (grpc, http) = running.addresses();
    tracing::info!("reading {} topics from {}", config.sources.len(), config.kafka.brokers);
    tracing::info!("gRPC on http://{grpc}, metrics and health on http://{http}");
    wait_for_stop(&running)?;
    tracing::info!("stopping: the last commit comes first");
    match running.stop() {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("{error}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Returns on SIGINT, SIGTERM, or when the pipeline has ended by itself.
fn wait_for_stop(running: &daemon::RunningDaemon) -> miette::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().into_diagnostic()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).into_diagnostic()?;
        let mut interrupt = signal(SignalKind::interrupt()).into_diagnostic()?;
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                () = tokio::time::sleep(LOOK_EVERY) => if !running.is_running() { return Ok(()) },
            }
        }
    })
}

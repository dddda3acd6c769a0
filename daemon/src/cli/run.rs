//! `shadowprod run`: the daemon, until it is told to stop.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use miette::{IntoDiagnostic, miette};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::crash_points::CrashPoints;
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
    let mut config = Config::load(&arguments.config).map_err(|e| miette!("{e}"))?;
    config.crash = CrashPoints::from_environment().into_diagnostic()?;
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
        let mut stop = std::pin::pin!(stop_signal());
        while running.is_running() {
            let stopped = tokio::time::timeout(LOOK_EVERY, &mut stop).await;
            if stopped.is_ok() {
                break;
            }
        }
    });
    Ok(())
}

/// Resolves when the process is asked to stop: SIGINT or SIGTERM.
pub(super) async fn stop_signal() {
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
        tracing::error!("signals cannot be watched; end the process with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

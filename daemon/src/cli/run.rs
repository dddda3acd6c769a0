//! `shadowprod run`: the daemon, until it is told to stop.
//!
//! In: a config, signals. Out: a daemon at work, an exit code, and what systemd is told. A signal that can be obeyed never
//! waits for the pipeline.

mod signals;
mod systemd;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use miette::{IntoDiagnostic, miette};
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::config::Config;
use crate::crash_points::CrashPoints;
use crate::daemon::{self, DaemonError, RunningDaemon};
use crate::limits::STOP_SECONDS_MAX;
use signals::{Asked, Signals, StopSignals};
use systemd::Systemd;

/// How often the pipeline's thread is looked after at least.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Reads the topics of the config from Kafka, keeps findings durable, serves them over gRPC and HTTP.
///
/// State is kept in the folder that the config names; a restart goes on where the last run stopped. Registry
/// and queries are reloaded when their files change, and at SIGHUP at once; what is not valid is refused with a
/// message, and the last good one stays in force.
///
/// Stop it with Ctrl-C or SIGTERM: the last commit is made and clients are closed, within 30 seconds. A second such
/// signal, or the deadline, ends the process at once with exit code 1: the state is that of the last commit then, and
/// the next start goes on from it. Under systemd it says when it is ready, reloads and stops, and answers the watchdog
/// for as long as the pipeline turns.
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().into_diagnostic()?;
    runtime.block_on(run(config))
}

async fn run(config: Config) -> miette::Result<ExitCode> {
    // Before anything else: from here on no hang-up ends the process.
    let mut signals = Signals::listen().into_diagnostic()?;
    let mut systemd = Systemd::new(Instant::now());
    let Some(running) = start(config, &mut signals).await? else {
        systemd.stopping("before it had started");
        return Ok(ExitCode::SUCCESS);
    };
    let (grpc, http) = running.addresses();
    tracing::info!("gRPC on http://{grpc}, metrics and health on http://{http}");
    systemd.ready();
    look_after(&running, &mut signals, &mut systemd).await;
    tracing::info!("stopping: the last commit comes first; a second signal ends it at once");
    systemd.stopping("the last commit comes first");
    Ok(stop(running, &mut signals).await)
}

/// The daemon, or `None` if it is told to stop before its addresses answer. Reading a large state back takes a while.
async fn start(config: Config, signals: &mut Signals) -> miette::Result<Option<RunningDaemon>> {
    tracing::info!("reading {} topics from {}", config.sources.len(), config.kafka.brokers);
    let mut started = beside("start", move || daemon::start(&config))?;
    tokio::select! {
        started = &mut started => match started {
            Ok(running) => running.map(Some).map_err(|e| miette!("{e}")),
            Err(_) => Err(miette!("{}", DaemonError::Panicked)),
        },
        () = signals.stop() => {
            tracing::info!("stopped before it had started");
            started.close();
            // It may have started this moment; it has a runtime, which must not end on this one.
            if let Ok(Ok(running)) = started.try_recv() {
                let _stopping = beside("stop", move || running.stop())?;
            }
            Ok(None)
        }
    }
}

/// Returns on SIGINT, SIGTERM, or when the pipeline has ended by itself.
async fn look_after(running: &RunningDaemon, signals: &mut Signals, systemd: &mut Systemd) {
    let mut look = interval(LOOK_EVERY.min(systemd.look_every()));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reload: Option<oneshot::Receiver<()>> = None;
    let mut again = false;
    while running.is_running() {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Stop => return,
                Asked::Reload => again = true,
            },
            () = done(&mut reload) => {
                reload = None;
                tracing::info!("reloaded");
                systemd.ready();
            }
            _ = look.tick() => systemd.look(running, Instant::now()),
        }
        if again && reload.is_none() {
            again = false;
            tracing::info!("SIGHUP: reading registry and queries again");
            systemd.reloading();
            let reloader = running.reloader();
            reload = beside("reload", move || reloader.reload())
                .inspect_err(|error| tracing::error!(%error, "cannot reload"))
                .ok();
        }
    }
}

/// When the reload that is under way has ended; never without one.
async fn done(reload: &mut Option<oneshot::Receiver<()>>) {
    match reload {
        // It ends by an answer or by its thread's end.
        Some(reload) => drop(reload.await),
        None => std::future::pending().await,
    }
}

/// Stops in good order, or at once at a second signal or the deadline.
async fn stop(running: RunningDaemon, signals: &mut Signals) -> ExitCode {
    let stopped = match beside("stop", move || running.stop()) {
        Ok(stopped) => stopped,
        Err(error) => return at_once(&error.to_string()),
    };
    ended(stopped, signals.stop(), Duration::from_secs(STOP_SECONDS_MAX)).await
}

/// The exit code: that of the stop if it comes first, or else of an end at once.
async fn ended(
    stopped: oneshot::Receiver<Result<(), DaemonError>>,
    second_signal: impl Future<Output = ()>,
    deadline: Duration,
) -> ExitCode {
    tokio::select! {
        stopped = stopped => match stopped.unwrap_or(Err(DaemonError::Panicked)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        () = second_signal => at_once("a second signal"),
        () = sleep(deadline) => at_once(&format!("not stopped within {deadline:?}")),
    }
}

/// Threads that are still at work end with the process.
fn at_once(reason: &str) -> ExitCode {
    eprintln!(
        "{reason}: ending at once; the state is that of the last commit, nothing is lost, and the next start goes on \
         from there"
    );
    ExitCode::FAILURE
}

/// Runs what blocks on a thread of its own; its outcome, or an error if the thread panics.
fn beside<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> miette::Result<oneshot::Receiver<T>> {
    let (told, outcome) = oneshot::channel();
    let work = move || {
        // Nobody waits any more where the process ends at once.
        let _ = told.send(work());
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(work).into_diagnostic()?;
    Ok(outcome)
}

/// Resolves when the process is asked to stop: SIGINT or SIGTERM.
pub(super) async fn stop_signal() {
    match StopSignals::listen() {
        Ok(mut signals) => signals.next().await,
        Err(error) => {
            tracing::error!(%error, "signals cannot be watched; end the process with SIGKILL");
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[test]
    fn stop_ends_by_itself_or_at_a_second_signal_or_at_the_deadline() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let check =
            |stopped: Option<Result<(), DaemonError>>, second: bool, deadline_ms: u64, code: ExitCode| {
                let (told, outcome) = oneshot::channel();
                // Kept where the stop never ends.
                let _told = match stopped {
                    Some(stopped) => told.send(stopped).map_or(None, |()| None),
                    None => Some(told),
                };
                let deadline = Duration::from_millis(deadline_ms);
                let found = runtime.block_on(async {
                    match second {
                        true => ended(outcome, ready(()), deadline).await,
                        false => ended(outcome, pending(), deadline).await,
                    }
                });
                assert_eq!(found, code);
            };
        check(Some(Ok(())), false, 60_000, ExitCode::SUCCESS);
        check(Some(Err(DaemonError::Panicked)), false, 60_000, ExitCode::FAILURE);
        check(None, true, 60_000, ExitCode::FAILURE);
        check(None, false, 10, ExitCode::FAILURE);
    }
}

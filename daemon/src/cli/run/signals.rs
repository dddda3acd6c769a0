//! What a person or a supervisor tells the process.
//!
//! In: SIGINT, SIGTERM, SIGHUP. Out: stop, reload. None of them ends the process by itself.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the process is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// To end: SIGINT or SIGTERM.
    Stop,
    /// To read registry and queries again: SIGHUP. Several that nobody has waited for are one.
    Reload,
}

/// Signals that end the process, from the moment on at which they are listened to.
pub(super) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Takes SIGINT and SIGTERM over from the system.
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The next of them.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// All signals that the daemon obeys.
pub(super) struct Signals {
    stop: StopSignals,
    hang_up: Signal,
}

impl Signals {
    /// Takes them over: from here on a hang-up does not end the process.
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self { stop: StopSignals::listen()?, hang_up: signal(SignalKind::hangup())? })
    }

    /// The next SIGINT or SIGTERM.
    pub(super) async fn stop(&mut self) {
        self.stop.next().await;
    }

    /// The next of any of them.
    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            () = self.stop.next() => Asked::Stop,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }
}

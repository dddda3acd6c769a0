//! What systemd is told: sd_notify(3), by datagrams to `$NOTIFY_SOCKET`.
//!
//! In: how far the pipeline is. Out: READY, RELOADING, STOPPING, STATUS, WATCHDOG. Without systemd nothing is sent. A
//! process that is alive and does not get on is never reported as well.

use std::time::Duration;

use jiff::{Timestamp, TimestampRound, Unit};
use sd_notify::NotifyState;
use tokio::time::Instant;

use crate::daemon::{Progress, RunningDaemon};

/// The shortest time between two looks that anybody can ask for.
const LOOK_EVERY_MIN: Duration = Duration::from_millis(1);
/// A status is told at most this often.
const STATUS_EVERY: Duration = Duration::from_secs(2);

/// The service manager's view of this process.
pub(super) struct Systemd {
    watchdog: Option<Watchdog>,
    status: String,
    status_due: Instant,
    failed: bool,
}

impl Systemd {
    /// As the environment says: `$NOTIFY_SOCKET`, `$WATCHDOG_USEC`, `$WATCHDOG_PID`.
    pub(super) fn new(now: Instant) -> Self {
        let watchdog = sd_notify::watchdog_enabled().map(|timeout| Watchdog::new(timeout, now));
        Self { watchdog, status: String::new(), status_due: now, failed: false }
    }

    /// How often [`Systemd::look`] must be called for the watchdog to hear in time.
    pub(super) fn look_every(&self) -> Duration {
        self.watchdog.as_ref().map_or(Duration::MAX, |watchdog| LOOK_EVERY_MIN.max(watchdog.every / 2))
    }

    /// The addresses answer, or a reload has ended.
    pub(super) fn ready(&mut self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// A reload begins: [`Systemd::ready`] follows. With the time, by which systemd tells this from an earlier one.
    pub(super) fn reloading(&mut self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!(%error, "cannot tell systemd of a reload"),
        }
    }

    /// The process ends, in this manner.
    pub(super) fn stopping(&mut self, how: &str) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status(&format!("stopping: {how}"))]);
    }

    /// Answers the watchdog if the pipeline got on, and tells the status if it changed.
    pub(super) fn look(&mut self, running: &RunningDaemon, now: Instant) {
        let progress = running.progress();
        if self.watchdog.as_mut().is_some_and(|watchdog| watchdog.is_answered(progress.turns, now)) {
            self.tell(&[NotifyState::Watchdog]);
        }
        if now < self.status_due {
            return;
        }
        self.status_due = now + STATUS_EVERY;
        let reloader = running.reloader();
        let status = status(progress, reloader.is_registry_refused(), reloader.are_queries_refused());
        if status != self.status {
            self.tell(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }

    /// A socket that does not take it is no reason to stop; it is said once.
    fn tell(&mut self, words: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(words)
            && !std::mem::replace(&mut self.failed, true)
        {
            tracing::warn!(%error, "cannot tell systemd how the daemon is");
        }
    }
}

/// For people: `systemctl status` shows it.
fn status(progress: Progress, registry_refused: bool, queries_refused: bool) -> String {
    let Progress { lag, broker_up, committed_micros, .. } = progress;
    let reading = match broker_up {
        true => format!("{lag} messages behind"),
        false => "the broker does not answer; it is tried again".to_owned(),
    };
    let second = TimestampRound::new().smallest(Unit::Second);
    let committed = Timestamp::from_microsecond(committed_micros).and_then(|at| at.round(second));
    let committed = match committed {
        Ok(at) if committed_micros > 0 => format!("last commit {at}"),
        Ok(_) | Err(_) => "nothing committed yet".to_owned(),
    };
    let refused = match (registry_refused, queries_refused) {
        (false, false) => "",
        (true, false) => "; registry refused, see the log",
        (false, true) => "; queries refused, see the log",
        (true, true) => "; registry and queries refused, see the log",
    };
    format!("{reading}; {committed}{refused}")
}

/// Decides whether systemd hears that all is well: for turns of the pipeline's loop, and for nothing else.
struct Watchdog {
    /// Half of the time after which systemd restarts the process.
    every: Duration,
    due: Instant,
    turns: u64,
}

impl Watchdog {
    fn new(timeout: Duration, now: Instant) -> Self {
        Self { every: timeout / 2, due: now, turns: 0 }
    }

    /// Whether to answer now: it is time, and the loop has turned since the last answer.
    fn is_answered(&mut self, turns: u64, now: Instant) -> bool {
        if now < self.due || turns == self.turns {
            return false;
        }
        self.turns = turns;
        self.due = now + self.every;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watchdog_is_answered_for_turns_and_not_for_being_alive() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut watchdog = Watchdog::new(Duration::from_secs(2), start);
        assert!(!watchdog.is_answered(0, at(0)), "it has not turned yet");
        let mut check = |turns, ms, answered: bool, why: &str| {
            assert_eq!(watchdog.is_answered(turns, at(ms)), answered, "{why}");
        };
        check(1, 10, true, "the first turn");
        check(5, 500, false, "it is not time");
        check(20, 1_010, true, "it is time, and it turned");
        check(20, 2_010, false, "it hangs");
        check(20, 3_600_000, false, "however long it hangs");
        check(21, 3_600_001, true, "it turns again, and is answered for at once");
        check(21, 3_602_000, false, "one turn is good for one answer");
    }

    #[test]
    fn status_says_lag_last_commit_and_what_is_refused() {
        let progress =
            Progress { turns: 9, lag: 12, broker_up: true, committed_micros: 1_770_000_000_600_000 };
        assert_eq!(status(progress, false, false), "12 messages behind; last commit 2026-02-02T02:40:01Z");
        let away = Progress { broker_up: false, committed_micros: 0, ..progress };
        assert_eq!(
            status(away, true, false),
            "the broker does not answer; it is tried again; nothing committed yet; registry refused, see the log"
        );
    }
}

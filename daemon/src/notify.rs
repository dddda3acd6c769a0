//! Telling people: every Alertmanager hears of the open findings, again and again, from its own thread.
//!
//! In: committed findings, the number of the newest durable change. Out: posts, counted as delivered or failed.
//! Level-triggered: nothing is queued, so nothing can be lost or pile up. The pipeline never waits for this.

pub mod alertmanager;
pub mod dead_letters;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};

use crate::config::NotifyConfig;
use crate::findings::{Finding, FindingState, Severity};
use crate::limits::{ALERTS_MAX, PAGE_SIZE_MAX};
use crate::metrics::{KindLabel, Metrics};
use crate::store::{ListQuery, Reader, StoreError};
use alertmanager::{Board, Poster};

/// Everything is sent again this often: well inside [`alertmanager::HOLDS`].
const RESEND_EVERY: Duration = Duration::from_secs(30);
/// Commits that come faster than this are told together.
const GAP_MIN: Duration = Duration::from_secs(1);
/// An Alertmanager that fails is tried again after GAP_MIN, twice that, and so on up to this.
const BACKOFF_MAX: Duration = RESEND_EVERY;

/// Why notification cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// Not a severity.
    #[error("[notify] severity_min = \"{found}\": expected one of low, medium, high, critical")]
    Severity {
        /// What was configured.
        found: String,
    },
    /// Not the address of an Alertmanager.
    #[error("[notify] alertmanagers: `{found}` {problem}; expected a base URL such as http://127.0.0.1:9093")]
    Url {
        /// What was configured.
        found: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No thread could be started.
    #[error("cannot start the thread that notifies {url}: {source}")]
    Thread {
        /// Which Alertmanager.
        url: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// A validated `[notify]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where alerts are posted, one per Alertmanager.
    pub urls: Vec<String>,
    /// Findings below it are not told.
    pub severity_min: Severity,
}

impl Settings {
    /// Validates; `severity_min` is high where the config is silent.
    pub fn of(config: &NotifyConfig) -> Result<Self, NotifyError> {
        let severity_min = match &config.severity_min {
            None => Severity::High,
            Some(word) => {
                Severity::parse(word).ok_or_else(|| NotifyError::Severity { found: word.clone() })?
            }
        };
        let urls =
            config.alertmanagers.iter().map(|base| alertmanager::url(base)).collect::<Result<_, _>>()?;
        Ok(Self { urls, severity_min })
    }
}

/// Threads at work, one per Alertmanager.
#[derive(Debug)]
pub struct Notifying {
    threads: Vec<JoinHandle<()>>,
}

impl Notifying {
    /// Waits for the threads after `shutdown` turned true: at most as long as one post takes.
    pub fn ended(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread that notifies has panicked");
            }
        }
    }
}

/// Starts one thread per Alertmanager. An instance that does not answer delays no other.
pub fn start(
    settings: &Settings,
    state_dir: &Path,
    metrics: Arc<Metrics>,
    committed: Receiver<u64>,
    shutdown: Receiver<bool>,
) -> Result<Notifying, NotifyError> {
    let mut threads = Vec::new();
    for url in &settings.urls {
        let notifier = Notifier {
            source: Source { dir: state_dir.to_owned(), reader: None, severity_min: settings.severity_min },
            poster: Poster::new(url.clone()),
            board: Board::default(),
            metrics: metrics.clone(),
            committed: committed.clone(),
            shutdown: shutdown.clone(),
            failures: 0,
        };
        let thread = std::thread::Builder::new().name("notify".to_owned()).spawn(move || notifier.run());
        threads.push(thread.map_err(|source| NotifyError::Thread { url: url.clone(), source })?);
    }
    Ok(Notifying { threads })
}

/// What is read for one Alertmanager.
struct Source {
    dir: PathBuf,
    reader: Option<Reader>,
    severity_min: Severity,
}

impl Source {
    /// The open findings that page, worst first, at most ALERTS_MAX, and how many there are beyond it.
    fn findings(&mut self) -> Result<(Vec<Finding>, u64), StoreError> {
        let reader = self.reader.take().map_or_else(|| Reader::open(&self.dir), Ok)?;
        let mut findings = Vec::new();
        let mut page_token = None;
        while findings.len() < ALERTS_MAX {
            let page = reader.list(&ListQuery {
                state: Some(FindingState::Open),
                severity_min: Some(self.severity_min),
                page_size: PAGE_SIZE_MAX,
                page_token,
                ..ListQuery::default()
            })?;
            findings.extend(page.findings);
            page_token = page.next_page_token;
            if page_token.is_none() {
                break;
            }
        }
        findings.truncate(ALERTS_MAX);
        let is_full = findings.len() == ALERTS_MAX;
        let open = if is_full { reader.open_count(self.severity_min)? } else { 0 };
        self.reader = Some(reader);
        Ok((findings, open.saturating_sub(ALERTS_MAX as u64)))
    }
}

/// One Alertmanager's thread.
struct Notifier {
    source: Source,
    poster: Poster,
    board: Board,
    metrics: Arc<Metrics>,
    committed: Receiver<u64>,
    shutdown: Receiver<bool>,
    failures: u32,
}

impl Notifier {
    fn run(mut self) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "cannot wait for commits; nobody is notified"),
        };
        let mut not_before = Instant::now();
        let mut resend_at = not_before;
        loop {
            let wait = wait(&mut self.committed, &mut self.shutdown, not_before, resend_at);
            if !runtime.block_on(wait) {
                return;
            }
            let told = self.tell(Instant::now() >= resend_at);
            let now = Instant::now();
            not_before = now + self.pause();
            match told {
                Told::Nothing => {}
                Told::Everything => resend_at = now + RESEND_EVERY,
                Told::Failed => resend_at = not_before,
            }
        }
    }

    /// Reads, and posts where something changed or the last post grows old.
    fn tell(&mut self, resend: bool) -> Told {
        let now = Timestamp::now();
        match self.source.findings() {
            Ok((findings, beyond)) => {
                self.metrics.notify_untold.set(i64::try_from(beyond).unwrap_or(i64::MAX));
                self.board.put(&findings, now);
            }
            Err(error) => {
                tracing::error!(%error, "cannot read the findings to notify of");
                return self.outcome("failed", Told::Failed);
            }
        }
        if !resend && !self.board.changed() {
            return Told::Nothing;
        }
        let alerts = self.board.alerts(now);
        if alerts.is_empty() {
            return Told::Everything;
        }
        match self.poster.post(&alerts) {
            Ok(()) => {
                self.board.delivered(now);
                self.outcome("delivered", Told::Everything)
            }
            Err(problem) => {
                if self.failures == 0 {
                    tracing::warn!(url = self.poster.url(), problem, "an Alertmanager was not notified");
                }
                self.outcome("failed", Told::Failed)
            }
        }
    }

    fn outcome(&mut self, kind: &'static str, told: Told) -> Told {
        self.metrics.notify_posts.get_or_create(&KindLabel { kind }).inc();
        match told {
            Told::Failed => self.failures = self.failures.saturating_add(1),
            Told::Nothing | Told::Everything => {
                if self.failures > 0 {
                    tracing::info!(url = self.poster.url(), "the Alertmanager is notified again");
                }
                self.failures = 0;
            }
        }
        told
    }

    fn pause(&self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        GAP_MIN.saturating_mul(1 << doublings).min(BACKOFF_MAX)
    }
}

/// What became of one look at the findings.
enum Told {
    /// Nothing changed.
    Nothing,
    /// The Alertmanager knows everything.
    Everything,
    /// It does not: try again.
    Failed,
}

/// Waits until `not_before`, then for a commit or for `resend_at`; false when the daemon ends.
async fn wait(
    committed: &mut Receiver<u64>,
    shutdown: &mut Receiver<bool>,
    not_before: Instant,
    resend_at: Instant,
) -> bool {
    let reason = async {
        sleep_until(not_before).await;
        tokio::select! {
            commit = committed.changed() => commit.is_ok(),
            () = sleep_until(resend_at) => true,
        }
    };
    tokio::select! {
        _ = shutdown.wait_for(|ends| *ends) => false,
        go_on = reason => go_on,
    }
}

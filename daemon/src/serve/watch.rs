//! One watcher: the open findings, then every change, read from the store at the watcher's own pace.
//!
//! In: where to begin, what became durable. Out: responses into a short queue. Nothing is kept in memory for
//! a slow watcher: it reads the store again when it is ready, and a gap there ends it with an error.

use std::sync::Arc;
use std::time::Duration;

use shadowprod_proto::v1::watch_findings_response::Event;
use shadowprod_proto::v1::{Bookmark, WatchFindingsRequest, WatchFindingsResponse};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tonic::Status;

use super::convert::{change_message, finding_message};
use super::reads::Reads;
use super::refusal;
use super::token::{self, Resume};
use crate::findings::{Finding, FindingChange, FindingState};
use crate::limits::WATCH_READ_MAX;
use crate::metrics::Metrics;
use crate::store::{Gap, ListQuery, Page, StoreError};

/// A quiet watch hears a bookmark this often.
const BOOKMARK_EVERY: Duration = Duration::from_secs(15);

/// What a watcher wants to hear of; empty matches everything.
pub(super) struct Filter {
    detection: String,
    subject_kind: String,
    subject_id: String,
}

impl Filter {
    /// Of a request.
    pub(super) fn of(request: &WatchFindingsRequest) -> Self {
        Self {
            detection: request.detection.clone(),
            subject_kind: request.subject_kind.clone(),
            subject_id: request.subject_id.clone(),
        }
    }

    fn matches(&self, finding: &Finding) -> bool {
        let same = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
        same(&self.detection, &finding.detection)
            && same(&self.subject_kind, &finding.subject.kind)
            && same(&self.subject_id, &finding.subject.id)
    }

    fn open_findings(&self, page_token: Option<String>) -> ListQuery {
        let wanted = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        ListQuery {
            detection: wanted(&self.detection),
            subject_kind: wanted(&self.subject_kind),
            subject_id: wanted(&self.subject_id),
            state: Some(FindingState::Open),
            page_size: WATCH_READ_MAX,
            page_token,
            ..ListQuery::default()
        }
    }
}

/// One connected watcher.
pub(super) struct Watcher {
    /// Where findings are read.
    pub(super) reads: Arc<Reads>,
    /// What it wants to hear of.
    pub(super) filter: Filter,
    /// Number of the newest durable change.
    pub(super) committed: watch::Receiver<u64>,
    /// Whether the daemon ends.
    pub(super) shutdown: watch::Receiver<bool>,
    /// Towards the client; closed when the client goes.
    pub(super) responses: mpsc::Sender<Result<WatchFindingsResponse, Status>>,
    /// Its place among WATCHERS_MAX.
    pub(super) place: Place,
}

/// A place among WATCHERS_MAX, counted while it is held.
pub(super) struct Place {
    metrics: Arc<Metrics>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// Counts a watcher in.
    pub(super) fn taken(metrics: Arc<Metrics>, permit: OwnedSemaphorePermit) -> Self {
        metrics.serve_watchers.inc();
        Self { metrics, _permit: permit }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.serve_watchers.dec();
    }
}

/// Why a watch ends.
enum End {
    /// The client went.
    Gone,
    /// The client is told why.
    Told(Status),
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Told(status)
    }
}

impl Watcher {
    /// Tells until the client goes or an error must be told.
    pub(super) async fn run(mut self, begin: Resume) {
        let mut shutdown = self.shutdown.clone();
        let end = tokio::select! {
            end = self.tell(begin) => end,
            _ = shutdown.wait_for(|ends| *ends) => End::Told(refusal::shutting_down()),
        };
        if let End::Told(status) = end {
            // The queue may be full and its client slow: the last word must not keep the place for ever.
            let _ = tokio::time::timeout(BOOKMARK_EVERY, self.responses.send(Err(status))).await;
        }
        drop(self.place);
    }

    async fn tell(&mut self, begin: Resume) -> End {
        match self.tell_all(begin).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn tell_all(&mut self, begin: Resume) -> Result<std::convert::Infallible, End> {
        let mut after = match begin {
            Resume::Current => self.tell_current().await?,
            Resume::After(number) => number,
        };
        loop {
            self.committed.borrow_and_update();
            after = self.tell_changes(after).await?;
            self.send(Resume::After(after), Event::Bookmark(Bookmark {})).await?;
            after = self.tell_until_quiet(after).await?;
        }
    }

    /// Sends the open findings; returns the change from which on to tell: anything that moved meanwhile is
    /// told again as a change.
    async fn tell_current(&mut self) -> Result<u64, End> {
        let latest = self.latest().await?;
        let mut page_token = None;
        loop {
            let page = self.open_findings(page_token).await?;
            for finding in &page.findings {
                self.send(Resume::Current, Event::Current(finding_message(finding))).await?;
            }
            page_token = page.next_page_token;
            if page_token.is_none() {
                return Ok(latest);
            }
        }
    }

    /// A watcher that takes very long over the open findings outlives what the store remembers of their order.
    async fn open_findings(&self, page_token: Option<String>) -> Result<Page, End> {
        let query = self.filter.open_findings(page_token);
        let page = self.reads.read(move |reader| reader.list(&query)).await;
        Ok(page.map_err(|error| match error {
            StoreError::BadPageToken => refusal::expired_token("the open findings moved on during the watch"),
            other => refusal::store_failed(&other),
        })?)
    }

    /// Tells of changes until none came for [`BOOKMARK_EVERY`].
    async fn tell_until_quiet(&mut self, mut after: u64) -> Result<u64, End> {
        loop {
            let news = tokio::select! {
                news = tokio::time::timeout(BOOKMARK_EVERY, self.committed.changed()) => news,
                () = self.responses.closed() => return Err(End::Gone),
            };
            match news {
                Err(_quiet) => return Ok(after),
                Ok(Err(_writer_gone)) => return Err(refusal::shutting_down().into()),
                Ok(Ok(())) => after = self.tell_changes(after).await?,
            }
        }
    }

    /// Tells of every durable change after this number; returns the last one's.
    async fn tell_changes(&mut self, mut after: u64) -> Result<u64, End> {
        loop {
            let changes = self.changes_after(after).await?;
            let Some((last, _)) = changes.last() else { return Ok(after) };
            let last = *last;
            for (number, change) in changes.iter().filter(|(_, c)| self.filter.matches(&c.finding)) {
                self.send(Resume::After(*number), Event::Change(change_message(change))).await?;
            }
            after = last;
        }
    }

    async fn changes_after(&self, after: u64) -> Result<Vec<(u64, FindingChange)>, End> {
        let read = self.reads.read(move |reader| reader.changes_after(after, WATCH_READ_MAX as usize));
        let changes = read.await.map_err(|error| refusal::store_failed(&error))?;
        let gone = |gap: Gap| match gap.asked > gap.latest {
            true => refusal::expired_token("the token is ahead of the store, which was reset or restored"),
            false => refusal::expired_token("the changes after the token are no longer kept"),
        };
        Ok(changes.map_err(gone)?)
    }

    async fn latest(&self) -> Result<u64, End> {
        let latest = self.reads.read(|reader| reader.latest_seq()).await;
        Ok(latest.map_err(|error| refusal::store_failed(&error))?)
    }

    async fn send(&self, resume: Resume, event: Event) -> Result<(), End> {
        let resume_token = token::encode(self.reads.instance(), resume);
        let response = WatchFindingsResponse { resume_token, event: Some(event) };
        self.responses.send(Ok(response)).await.map_err(|_closed| End::Gone)
    }
}

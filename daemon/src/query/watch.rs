//! Notices that the folder of queries changed and reads it again.
//!
//! In: file system events below the folder, gathered until it is quiet, or somebody's word. Out: the new texts, or why
//! there are none; the receiver keeps the last good ones. Replace files inside the folder: one that is replaced itself is
//! read at a word only.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};

use super::QueryTexts;
use super::load::QueryErrors;
use crate::limits::RELOAD_QUIET_MS;

/// What is called with each reload, on the thread that read.
pub type OnChange = Box<dyn Fn(Result<QueryTexts, QueryErrors>) + Send>;

/// Watches until it is dropped.
pub struct QueryWatcher {
    watched: Arc<Mutex<Watched>>,
    _debouncer: Debouncer<RecommendedWatcher, RecommendedCache>,
}

/// Why a folder cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {folder}: {source}; correct the path, or raise the system's limit of watches")]
pub struct WatchError {
    folder: String,
    #[source]
    source: notify::Error,
}

impl QueryWatcher {
    /// Starts watching `folder`; `on_change` hears of every later state of the queries that differs from the
    /// one before, good or bad. It does not hear of the present one.
    pub fn start(folder: &Path, on_change: OnChange) -> Result<Self, WatchError> {
        let fail = |source| WatchError { folder: folder.display().to_string(), source };
        let watched = Arc::new(Mutex::new(Watched { folder: folder.to_owned(), last: None, on_change }));
        let events_watched = watched.clone();
        let on_events = move |events: DebounceEventResult| {
            if may_be_change(&events) {
                locked(&events_watched).reload(false);
            }
        };
        let quiet = Duration::from_millis(RELOAD_QUIET_MS);
        let mut debouncer = new_debouncer(quiet, None, on_events).map_err(fail)?;
        // Read once it is watched: no change falls between.
        let mut first = locked(&watched);
        debouncer.watch(folder, RecursiveMode::Recursive).map_err(fail)?;
        first.last = Some(seen(&QueryTexts::load(folder)));
        drop(first);
        Ok(Self { watched, _debouncer: debouncer })
    }

    /// Reads the folder now and tells of it as of a change; with `again` also if it is as it was.
    pub fn reload(&self, again: bool) {
        locked(&self.watched).reload(again);
    }
}

/// The last known state of the queries and who hears of the next.
struct Watched {
    folder: PathBuf,
    /// `None` before it was first read.
    last: Option<Result<String, QueryErrors>>,
    on_change: OnChange,
}

impl Watched {
    fn reload(&mut self, again: bool) {
        let loaded = QueryTexts::load(&self.folder);
        let now = Some(seen(&loaded));
        if again || now != self.last {
            self.last = now;
            (self.on_change)(loaded);
        }
    }
}

fn locked(watched: &Mutex<Watched>) -> MutexGuard<'_, Watched> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

fn seen(loaded: &Result<QueryTexts, QueryErrors>) -> Result<String, QueryErrors> {
    loaded.as_ref().map(QueryTexts::version).map_err(Clone::clone)
}

/// Reading a file is an event, too; only what may have changed one counts. Lost events count as change.
fn may_be_change(events: &DebounceEventResult) -> bool {
    let Ok(events) = events else { return true };
    events.iter().any(|event| match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;

    use super::*;

    const ROLLUP: &str = "-- ---\n-- id = \"calls\"\n-- version = 1\n-- title = \"Calls\"\n-- bucket = \"day\"\n-- bucket_seconds = 86400\n-- subject = \"pilot\"\n-- retention_days = 2\n-- ---\nSELECT date_bin(INTERVAL '1 day', event_time) AS day, pilot, count(*) AS n FROM events GROUP BY 1, 2\n";

    #[test]
    fn changed_folder_is_read_again_and_a_broken_file_is_said() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for folder in ["rollups", "detections"] {
            fs::create_dir(dir.path().join(folder)).expect("created");
        }
        let file = dir.path().join("rollups/calls.sql");
        fs::write(&file, ROLLUP).expect("written");
        let (sender, heard) = mpsc::channel();
        let on_change = Box::new(move |loaded| sender.send(loaded).expect("the test listens"));
        let watcher = QueryWatcher::start(dir.path(), on_change).expect("the folder exists");
        let next = || heard.recv_timeout(Duration::from_secs(20)).expect("the watcher speaks");
        fs::write(&file, ROLLUP.replace("version = 1", "version = 2")).expect("written");
        assert_eq!(next().map(|t| t.rollups[0].text.version), Ok(2));
        fs::write(&file, ROLLUP.replace("retention", "retantion")).expect("written");
        let errors = next().map(|t| t.version()).expect_err("the key is misspelt").to_string();
        assert!(
            errors.contains("calls.sql:8") && errors.contains("did you mean `retention_days`"),
            "{errors}"
        );
        watcher.reload(false);
        watcher.reload(true);
        assert!(next().is_err(), "asked again, it is said again");
        assert!(heard.try_recv().is_err(), "and else only once");
        fs::write(&file, ROLLUP).expect("written");
        assert!(next().is_ok());
    }
}

//! Notices that the folder of queries changed and reads it again.
//!
//! In: file system events below the folder, gathered until it is quiet. Out: the new texts, or why there are
//! none; the receiver keeps the last good ones. Replace files inside the folder, not the folder itself.

use std::path::Path;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};

use super::QueryTexts;
use super::load::QueryErrors;
use crate::limits::RELOAD_QUIET_MS;

/// What is called with each reload, on the watcher's own thread.
pub type OnChange = Box<dyn Fn(Result<QueryTexts, QueryErrors>) + Send>;

/// Watches until it is dropped.
pub struct QueryWatcher {
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
        let owned = folder.to_owned();
        let mut last = seen(&QueryTexts::load(&owned));
        let on_events = move |events: DebounceEventResult| {
            if !may_be_change(&events) {
                return;
            }
            let loaded = QueryTexts::load(&owned);
            let now = seen(&loaded);
            if now != last {
                last = now;
                on_change(loaded);
            }
        };
        let quiet = Duration::from_millis(RELOAD_QUIET_MS);
        let mut debouncer = new_debouncer(quiet, None, on_events).map_err(fail)?;
        debouncer.watch(folder, RecursiveMode::Recursive).map_err(fail)?;
        Ok(Self { _debouncer: debouncer })
    }
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
        let _watcher = QueryWatcher::start(dir.path(), on_change).expect("the folder exists");
        let next = || heard.recv_timeout(Duration::from_secs(20)).expect("the watcher speaks");
        fs::write(&file, ROLLUP.replace("version = 1", "version = 2")).expect("written");
        assert_eq!(next().map(|t| t.rollups[0].text.version), Ok(2));
        fs::write(&file, ROLLUP.replace("retention", "retantion")).expect("written");
        let errors = next().map(|t| t.version()).expect_err("the key is misspelt").to_string();
        assert!(
            errors.contains("calls.sql:8") && errors.contains("did you mean `retention_days`"),
            "{errors}"
        );
        fs::write(&file, ROLLUP).expect("written");
        assert!(next().is_ok());
    }
}

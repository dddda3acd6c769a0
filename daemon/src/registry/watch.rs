//! Notices that a registry's folder changed and reads it again.
//!
//! In: file system events below a folder, gathered until it is quiet. Out: the new registry, or why there is
//! none; the receiver keeps the last good one. Replace files inside the folder, not the folder itself.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};

use super::{Registry, RegistryErrors};
use crate::limits::RELOAD_QUIET_MS;

/// What is called with each reload, on the watcher's own thread.
pub type OnChange = Box<dyn Fn(Result<Arc<Registry>, RegistryErrors>) + Send>;

/// Watches until it is dropped.
pub struct RegistryWatcher {
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

impl RegistryWatcher {
    /// Starts watching `folder`; `on_change` hears of every later state of the files that differs from the
    /// one before, good or bad. It does not hear of the present one.
    pub fn start(folder: &Path, on_change: OnChange) -> Result<Self, WatchError> {
        let fail = |source| WatchError { folder: folder.display().to_string(), source };
        let owned = folder.to_owned();
        let mut last = Registry::load(&owned).map(|r| r.version().to_owned());
        let on_events = move |events: DebounceEventResult| {
            if !is_change(&events) {
                return;
            }
            let loaded = Registry::load(&owned);
            let now = loaded.as_ref().map(|r| r.version().to_owned()).map_err(Clone::clone);
            if now != last {
                last = now;
                on_change(loaded.map(Arc::new));
            }
        };
        let quiet = Duration::from_millis(RELOAD_QUIET_MS);
        let mut debouncer = new_debouncer(quiet, None, on_events).map_err(fail)?;
        debouncer.watch(folder, RecursiveMode::Recursive).map_err(fail)?;
        Ok(Self { _debouncer: debouncer })
    }
}

/// Reading a file is an event, too; only what may have changed one counts. Lost events count as change.
fn is_change(events: &DebounceEventResult) -> bool {
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

    const TEAM: &str = "[[person]]\nid = \"a\"\nname = \"A\"\nemail = \"a@a.example\"\n";

    #[test]
    fn each_new_state_is_told_once_and_a_broken_one_as_errors() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("people.toml");
        fs::write(&file, TEAM).unwrap();
        let (sender, receiver) = mpsc::channel();
        let tell = move |loaded| sender.send(loaded).expect("the test waits");
        let watcher = RegistryWatcher::start(folder.path(), Box::new(tell)).unwrap();
        let wait = || receiver.recv_timeout(Duration::from_secs(30)).unwrap();

        fs::write(&file, TEAM.replace("\"a\"", "\"b\"")).unwrap();
        let registry = wait().unwrap();
        assert_eq!(registry.people().collect::<Vec<_>>(), ["b"]);

        fs::write(&file, "[[person]]\nid = 1\n").unwrap();
        assert!(wait().unwrap_err().to_string().contains("people.toml:2"));

        let draft = folder.path().join(".draft");
        fs::write(&draft, TEAM).unwrap();
        fs::rename(&draft, &file).unwrap();
        assert_eq!(wait().unwrap().people().collect::<Vec<_>>(), ["a"]);
        drop(watcher);
        assert!(receiver.try_recv().is_err());
    }
}

//! Notices that a registry changed and reads it again: its folder, and the files outside that it names.
//!
//! In: file system events, gathered until it is quiet, or somebody's word. Out: the new registry, or why there is none;
//! the receiver keeps the last good one. Replace files inside the folder: one that is replaced itself is read at a word
//! only.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{
    DebounceEventResult, DebouncedEvent, Debouncer, RecommendedCache, new_debouncer,
};

use super::load::load;
use super::{Registry, RegistryErrors};
use crate::limits::RELOAD_QUIET_MS;

/// What is called with each reload, on the thread that read.
pub type OnChange = Box<dyn Fn(Result<Arc<Registry>, RegistryErrors>) + Send>;

type Events = Debouncer<RecommendedWatcher, RecommendedCache>;

/// Watches until it is dropped.
pub struct RegistryWatcher {
    watched: Arc<Mutex<Watched>>,
    _events: Arc<Mutex<Option<Events>>>,
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
        let events = Arc::new(Mutex::new(None));
        let watched = Arc::new(Mutex::new(Watched {
            folder: folder.to_owned(),
            files: Vec::new(),
            last: None,
            events: Arc::downgrade(&events),
            on_change,
        }));
        let events_watched = watched.clone();
        let on_events = move |events: DebounceEventResult| {
            let mut watched = locked(&events_watched);
            if watched.is_change(&events) {
                watched.reload(false);
            }
        };
        let quiet = Duration::from_millis(RELOAD_QUIET_MS);
        let mut debouncer = new_debouncer(quiet, None, on_events).map_err(fail)?;
        // Read once it is watched: no change falls between.
        let mut first = locked(&watched);
        debouncer.watch(folder, RecursiveMode::Recursive).map_err(fail)?;
        *events.lock().unwrap_or_else(PoisonError::into_inner) = Some(debouncer);
        first.last = Some(version_of(&first.load()));
        drop(first);
        Ok(Self { watched, _events: events })
    }

    /// Reads the registry now and tells of it as of a change; with `again` also if it is as it was.
    pub fn reload(&self, again: bool) {
        locked(&self.watched).reload(again);
    }
}

fn locked(watched: &Mutex<Watched>) -> MutexGuard<'_, Watched> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The last known state of a registry, where it lies, and who hears of the next.
struct Watched {
    folder: PathBuf,
    /// Files that the registry named when it was last read.
    files: Vec<PathBuf>,
    /// `None` before it was first read.
    last: Option<Result<String, RegistryErrors>>,
    events: Weak<Mutex<Option<Events>>>,
    on_change: OnChange,
}

impl Watched {
    /// Reads the registry as it is now, and watches the folders of the files that it names.
    fn load(&mut self) -> Result<Registry, RegistryErrors> {
        let loaded = load(&self.folder);
        self.files = loaded.files;
        if let Some(events) = self.events.upgrade()
            && let Some(events) = &mut *events.lock().unwrap_or_else(PoisonError::into_inner)
        {
            watch_folders_of(&self.files, &self.folder, events);
        }
        loaded.outcome
    }

    /// Reads the registry as it is now and tells of it if it differs from its last known state.
    fn reload(&mut self, again: bool) {
        let loaded = self.load();
        let now = Some(version_of(&loaded));
        if again || now != self.last {
            self.last = now;
            (self.on_change)(loaded.map(Arc::new));
        }
    }

    /// Lost events count as change.
    fn is_change(&self, events: &DebounceEventResult) -> bool {
        let Ok(events) = events else { return true };
        events.iter().any(|event| may_change_files(event) && self.concerns(event))
    }

    /// Folders of files outside hold other people's files, too.
    fn concerns(&self, event: &DebouncedEvent) -> bool {
        let folder = std::path::absolute(&self.folder).unwrap_or_else(|_| self.folder.clone());
        let is_named = |path: &PathBuf| self.files.iter().any(|file| file.file_name() == path.file_name());
        event.paths.is_empty() || event.paths.iter().any(|path| path.starts_with(&folder) || is_named(path))
    }
}

fn version_of(loaded: &Result<Registry, RegistryErrors>) -> Result<String, RegistryErrors> {
    loaded.as_ref().map(|registry| registry.version().to_owned()).map_err(Clone::clone)
}

/// A file is watched through its folder, so that one that is replaced or appears later is seen.
fn watch_folders_of(files: &[PathBuf], folder: &Path, events: &mut Events) {
    for parent in files.iter().filter(|file| !file.starts_with(folder)).filter_map(|file| file.parent()) {
        if let Err(error) = events.watch(parent, RecursiveMode::NonRecursive) {
            let folder = parent.display();
            tracing::warn!(%folder, %error, "cannot watch it; what changes there counts from the next reload on");
        }
    }
}

/// Reading a file is an event, too; only what may have changed one counts.
fn may_change_files(event: &DebouncedEvent) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
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
        watcher.reload(false);
        watcher.reload(true);
        assert!(wait().is_err(), "asked again, it is said again");
        assert!(receiver.try_recv().is_err(), "and else only once");

        let draft = folder.path().join(".draft");
        fs::write(&draft, TEAM).unwrap();
        fs::rename(&draft, &file).unwrap();
        assert_eq!(wait().unwrap().people().collect::<Vec<_>>(), ["a"]);
        drop(watcher);
        assert!(receiver.try_recv().is_err());
    }

    #[test]
    fn catalog_entities_are_watched_too() {
        let entity = |email: &str| {
            format!(
                "apiVersion: backstage.io/v1alpha1\nkind: User\nmetadata: {{name: zoe}}\nspec: {{profile: {{email: {email}}}}}\n"
            )
        };
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("people.toml"), TEAM).unwrap();
        let (sender, receiver) = mpsc::channel();
        let tell = move |loaded| sender.send(loaded).expect("the test waits");
        let _watcher = RegistryWatcher::start(folder.path(), Box::new(tell)).unwrap();
        let wait = || receiver.recv_timeout(Duration::from_secs(30)).unwrap();

        let file = folder.path().join("catalog-info.yaml");
        fs::write(&file, entity("zoe@a.example")).unwrap();
        assert_eq!(wait().unwrap().people().collect::<Vec<_>>(), ["a", "zoe"]);

        fs::write(&file, entity("[zoe@a.example]")).unwrap();
        assert!(wait().unwrap_err().to_string().contains("catalog-info.yaml:4"));

        fs::remove_file(&file).unwrap();
        assert_eq!(wait().unwrap().people().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn file_that_the_registry_names_is_part_of_it_wherever_it_lies() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let ranges = elsewhere.path().join("ips.txt");
        fs::write(&ranges, "198.51.100.0/24\n").unwrap();
        fs::write(folder.path().join("people.toml"), TEAM).unwrap();
        let (sender, receiver) = mpsc::channel();
        let tell = move |loaded| sender.send(loaded).expect("the test waits");
        let _watcher = RegistryWatcher::start(folder.path(), Box::new(tell)).unwrap();
        let wait = || receiver.recv_timeout(Duration::from_secs(30)).unwrap();
        let provider = |registry: &Registry, address: &str| {
            registry.cloud(address.parse().unwrap()).map(|range| range.provider)
        };

        let named = format!("[[network_file]]\nformat = \"cloudflare\"\npath = \"{}\"\n", ranges.display());
        fs::write(folder.path().join("estate.toml"), named).unwrap();
        let registry = wait().unwrap();
        assert_eq!(provider(&registry, "198.51.100.7"), Some("cloudflare"));

        fs::write(elsewhere.path().join("draft"), "203.0.113.0/24\n").unwrap();
        fs::rename(elsewhere.path().join("draft"), &ranges).unwrap();
        let changed = wait().unwrap();
        assert_eq!(provider(&changed, "198.51.100.7"), None);
        assert_eq!(provider(&changed, "203.0.113.7"), Some("cloudflare"));
        assert_ne!(registry.version(), changed.version());

        fs::remove_file(&ranges).unwrap();
        assert!(wait().unwrap_err().to_string().contains("ips.txt: cannot be read"));

        fs::write(&ranges, "203.0.113.0/24\n").unwrap();
        assert_eq!(wait().unwrap().version(), changed.version());
    }
}

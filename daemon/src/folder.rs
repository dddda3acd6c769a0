//! Notices that a folder, or a file outside that its files name, changed, and has it read again.
//!
//! In: file system events, gathered until it is quiet, or somebody's word. Out: each later state, or why there is none;
//! the receiver keeps the last good one. Replace files inside the folder: one that is replaced itself is read at a word
//! only.

use std::collections::BTreeSet;
use std::mem;
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher, recommended_watcher};

use crate::limits::{RELOAD_BURST_MS_MAX, RELOAD_QUIET_MS};

/// A link beside files from a Kubernetes volume through which all of them are replaced at once
/// (AtomicWriter in k8s.io/kubernetes/pkg/volume/util).
const VOLUME_LINK: &str = "..data";

/// What is read from a folder, whole or not at all.
pub trait FromFolder: Sized + 'static {
    /// Every mistake in the files.
    type Errors: Clone + PartialEq + Send;

    /// Reads the folder as it is now.
    fn read(folder: &Path) -> Loaded<Self>;

    /// The same for the same content, and for no other.
    fn version(&self) -> String;
}

/// What came of reading a folder.
pub struct Loaded<T: FromFolder> {
    /// What was read, or every mistake.
    pub outcome: Result<T, T::Errors>,
    /// Every file that the folder's files name, whether or not it could be read.
    pub files: Vec<PathBuf>,
}

/// What is called with each reload, on the thread that read.
pub type OnChange<T> = Box<dyn Fn(Result<T, <T as FromFolder>::Errors>) + Send>;

/// Why a folder cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {folder}: {source}; correct the path, or raise the system's limit of watches")]
pub struct WatchError {
    folder: String,
    #[source]
    source: notify::Error,
}

/// Watches until it is dropped.
pub struct FolderWatcher<T: FromFolder>(Arc<Mutex<Watched<T>>>);

impl<T: FromFolder> FolderWatcher<T> {
    /// Starts watching `folder`; `on_change` hears of every later state of the files that differs from the
    /// one before, good or bad. It does not hear of the present one.
    pub fn start(folder: &Path, on_change: OnChange<T>) -> Result<Self, WatchError> {
        let fail = |source| WatchError { folder: folder.display().to_string(), source };
        let (changed, changes) = sync_channel(1);
        let mut events = recommended_watcher(handler(changed.clone(), |_| true)).map_err(fail)?;
        events.watch(folder, RecursiveMode::Recursive).map_err(fail)?;
        let outside = Arc::new(Mutex::new(BTreeSet::new()));
        let named = outside.clone();
        let is_named = move |path: &Path| names(&locked(&named), path);
        let mut watched = Watched {
            folder: folder.to_owned(),
            outside,
            parents: BTreeSet::new(),
            last: None,
            _events: events,
            events_outside: recommended_watcher(handler(changed, is_named)).map_err(fail)?,
            on_change,
        };
        // Read once it is watched: no change falls between.
        watched.last = Some(version_of(&watched.read()));
        let watched = Arc::new(Mutex::new(watched));
        let reader = Arc::downgrade(&watched);
        let reload = move || {
            let watched = reader.upgrade();
            watched.is_some_and(|watched| {
                locked(&watched).reload(false);
                true
            })
        };
        thread::Builder::new()
            .name("folder".to_owned())
            .spawn(move || reload_when_quiet(&changes, reload))
            .map_err(|error| fail(notify::Error::io(error)))?;
        Ok(Self(watched))
    }

    /// Reads the folder now and tells of it as of a change; with `again` also if it is as it was.
    pub fn reload(&self, again: bool) {
        locked(&self.0).reload(again);
    }
}

/// The last known state of a folder, where it lies, and who hears of the next.
struct Watched<T: FromFolder> {
    folder: PathBuf,
    /// Files outside that the folder's files named when they were last read.
    outside: Arc<Mutex<BTreeSet<PathBuf>>>,
    /// Folders of such files that are watched, too.
    parents: BTreeSet<PathBuf>,
    /// `None` before it was first read.
    last: Option<Result<String, T::Errors>>,
    _events: RecommendedWatcher,
    /// A watcher of its own: in one, a folder that is watched under two paths is told under the last of them only.
    events_outside: RecommendedWatcher,
    on_change: OnChange<T>,
}

impl<T: FromFolder> Watched<T> {
    /// Reads the folder as it is now and tells of it if it differs from its last known state.
    fn reload(&mut self, again: bool) {
        let outcome = self.read();
        let now = Some(version_of(&outcome));
        if again || now != self.last {
            self.last = now;
            (self.on_change)(outcome);
        }
    }

    /// Reads the folder as it is now, and watches the folders of the files that it names.
    fn read(&mut self) -> Result<T, T::Errors> {
        loop {
            let Loaded { outcome, files } = T::read(&self.folder);
            let outside = files.into_iter().filter(|file| lies_outside(file, &self.folder));
            let outside: BTreeSet<PathBuf> = outside.collect();
            let before = mem::replace(&mut *locked(&self.outside), outside.clone());
            // What changed between reading a file and watching it was seen by nobody.
            if !self.watches_more(&outside) && outside.is_subset(&before) {
                return outcome;
            }
        }
    }

    /// A file is watched through its folder, so that one that is replaced or appears later is seen. Whether a folder is
    /// watched that was not before.
    fn watches_more(&mut self, files: &BTreeSet<PathBuf>) -> bool {
        let parents: BTreeSet<&Path> = files.iter().filter_map(|file| file.parent()).collect();
        let mut watches_more = false;
        for parent in parents {
            // Also one that is watched: it may have been made anew.
            match self.events_outside.watch(parent, RecursiveMode::NonRecursive) {
                Ok(()) => watches_more |= self.parents.insert(parent.to_owned()),
                Err(error) => {
                    let folder = parent.display();
                    tracing::warn!(%folder, %error, "cannot watch it; what changes there counts from the next reload on");
                    self.parents.remove(parent);
                }
            }
        }
        watches_more
    }
}

/// Whether a file may lie elsewhere than below `folder`, as `folder/../other/file` does.
fn lies_outside(file: &Path, folder: &Path) -> bool {
    file.strip_prefix(folder)
        .map_or(true, |below| below.components().any(|part| part == Component::ParentDir))
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn version_of<T: FromFolder>(outcome: &Result<T, T::Errors>) -> Result<String, T::Errors> {
    outcome.as_ref().map(T::version).map_err(Clone::clone)
}

/// Says through `changed` that there was a change since it was last taken from there.
fn handler(
    changed: SyncSender<()>,
    concerns: impl Fn(&Path) -> bool + Send + 'static,
) -> impl Fn(notify::Result<Event>) + Send + 'static {
    move |event| {
        if is_change(&event, &concerns) {
            // One that waits already stands for this one, too.
            let _ = changed.try_send(());
        }
    }
}

/// Lost events count as change.
fn is_change(event: &notify::Result<Event>, concerns: impl Fn(&Path) -> bool) -> bool {
    let Ok(event) = event else { return true };
    may_change_files(event.kind) && (event.paths.is_empty() || event.paths.iter().any(|path| concerns(path)))
}

/// Folders of files outside hold other people's files, too.
fn names(files: &BTreeSet<PathBuf>, path: &Path) -> bool {
    path.ends_with(VOLUME_LINK) || files.iter().any(|file| file.file_name() == path.file_name())
}

/// Reading a file is an event, too; only what may have changed one counts.
fn may_change_files(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

/// Calls `reload` after each burst of changes, until it says that there is nothing to reload or nobody tells of changes.
fn reload_when_quiet(changes: &Receiver<()>, reload: impl Fn() -> bool) {
    while changes.recv().is_ok() {
        let first = Instant::now();
        let burst = Duration::from_millis(RELOAD_BURST_MS_MAX);
        while first.elapsed() < burst {
            match changes.recv_timeout(Duration::from_millis(RELOAD_QUIET_MS)) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        if !reload() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::mpsc;

    use super::*;
    use crate::query::QueryTexts;
    use crate::registry::Registry;

    const TEAM: &str = "[[person]]\nid = \"a\"\nname = \"A\"\nemail = \"a@a.example\"\n";
    const ROLLUP: &str = "-- ---\n-- id = \"calls\"\n-- version = 1\n-- title = \"Calls\"\n-- bucket = \"day\"\n-- bucket_seconds = 86400\n-- subject = \"pilot\"\n-- retention_days = 2\n-- ---\nSELECT date_bin(INTERVAL '1 day', event_time) AS day, pilot, count(*) AS n FROM events GROUP BY 1, 2\n";

    /// A registry's file that names `ranges`.
    fn naming(ranges: &str) -> String {
        format!("[[network_file]]\nformat = \"cloudflare\"\npath = \"{ranges}\"\n")
    }

    /// Watches `folder`; what is told of it arrives here.
    fn watch<T>(folder: &Path) -> (FolderWatcher<T>, Receiver<Result<T, T::Errors>>)
    where
        T: FromFolder + Send,
    {
        let (sender, receiver) = mpsc::channel();
        let tell = move |loaded| sender.send(loaded).expect("the test waits");
        (FolderWatcher::start(folder, Box::new(tell)).expect("the folder exists"), receiver)
    }

    /// Puts a file there at once: a reader finds the old text or the new one, however busy the machine is.
    fn put(file: &Path, text: &str) {
        let draft = file.with_file_name(".draft");
        fs::write(&draft, text).unwrap();
        fs::rename(&draft, file).unwrap();
    }

    #[test]
    fn each_new_state_is_told_once_and_a_broken_one_as_errors() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("people.toml");
        put(&file, TEAM);
        let (watcher, receiver) = watch::<Registry>(folder.path());
        let wait = || receiver.recv_timeout(Duration::from_secs(30)).unwrap();

        put(&file, &TEAM.replace("\"a\"", "\"b\""));
        let registry = wait().unwrap();
        assert_eq!(registry.people().collect::<Vec<_>>(), ["b"]);

        put(&file, "[[person]]\nid = 1\n");
        assert!(wait().unwrap_err().to_string().contains("people.toml:2"));
        watcher.reload(false);
        watcher.reload(true);
        assert!(wait().is_err(), "asked again, it is said again");
        assert!(receiver.try_recv().is_err(), "and else only once");

        put(&file, TEAM);
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
        put(&folder.path().join("people.toml"), TEAM);
        let (_watcher, receiver) = watch::<Registry>(folder.path());
        let wait = || receiver.recv_timeout(Duration::from_secs(30)).unwrap();

        let file = folder.path().join("catalog-info.yaml");
        put(&file, &entity("zoe@a.example"));
        assert_eq!(wait().unwrap().people().collect::<Vec<_>>(), ["a", "zoe"]);

        put(&file, &entity("[zoe@a.example]"));
        assert!(wait().unwrap_err().to_string().contains("catalog-info.yaml:4"));

        fs::remove_file(&file).unwrap();
        assert_eq!(wait().unwrap().people().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn file_that_the_registry_names_is_part_of_it_wherever_it_lies() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let ranges = elsewhere.path().join("ips.txt");
        put(&ranges, "198.51.100.0/24\n");
        put(&folder.path().join("people.toml"), TEAM);
        let (_watcher, receiver) = watch::<Registry>(folder.path());
        let wait = || receiver.recv_timeout(Duration::from_secs(30)).unwrap();
        let provider = |registry: &Registry, address: &str| {
            registry.cloud(address.parse().unwrap()).map(|range| range.provider)
        };

        put(&folder.path().join("estate.toml"), &naming(ranges.to_str().unwrap()));
        let registry = wait().unwrap();
        assert_eq!(provider(&registry, "198.51.100.7"), Some("cloudflare"));

        put(&ranges, "203.0.113.0/24\n");
        let changed = wait().unwrap();
        assert_eq!(provider(&changed, "198.51.100.7"), None);
        assert_eq!(provider(&changed, "203.0.113.7"), Some("cloudflare"));
        assert_ne!(registry.version(), changed.version());

        fs::remove_file(&ranges).unwrap();
        assert!(wait().unwrap_err().to_string().contains("ips.txt: cannot be read"));

        put(&ranges, "203.0.113.0/24\n");
        assert_eq!(wait().unwrap().version(), changed.version());
    }

    #[test]
    fn file_beside_the_folder_is_watched_however_its_path_is_written() {
        let root = tempfile::tempdir().unwrap();
        let [folder, beside] = ["registry", "published"].map(|name| root.path().join(name));
        for folder in [&folder, &beside] {
            fs::create_dir(folder).unwrap();
        }
        put(&beside.join("ips.txt"), "198.51.100.0/24\n");
        put(&folder.join("estate.toml"), &naming("../published/ips.txt"));
        let (_watcher, receiver) = watch::<Registry>(&folder);

        put(&beside.join("ips.txt"), "203.0.113.0/24\n");
        let changed = receiver.recv_timeout(Duration::from_secs(30)).unwrap().unwrap();
        assert!(changed.cloud("203.0.113.7".parse().unwrap()).is_some());
    }

    #[test]
    fn folder_that_a_named_file_shows_under_another_path_is_watched_all_the_same() {
        let root = tempfile::tempdir().unwrap();
        let [folder, link] = ["registry-7", "registry"].map(|name| root.path().join(name));
        fs::create_dir(&folder).unwrap();
        symlink(&folder, &link).unwrap();
        put(&folder.join("ips.txt"), "198.51.100.0/24\n");
        put(&folder.join("estate.toml"), &naming(folder.join("ips.txt").to_str().unwrap()));
        let (_watcher, receiver) = watch::<Registry>(&link);

        put(&folder.join("people.toml"), TEAM);
        let changed = receiver.recv_timeout(Duration::from_secs(30)).unwrap().unwrap();
        assert_eq!(changed.people().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn file_that_is_replaced_through_the_link_of_a_volume_is_read_again() {
        let (folder, volume) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let of_volume = |name: &str| volume.path().join(name);
        let version = |name: &str, ranges: &str| {
            fs::create_dir(of_volume(name)).unwrap();
            put(&of_volume(name).join("ips.txt"), ranges);
            symlink(name, of_volume("..data_tmp")).unwrap();
            fs::rename(of_volume("..data_tmp"), of_volume(VOLUME_LINK)).unwrap();
        };
        version("..1", "198.51.100.0/24\n");
        symlink("..data/ips.txt", of_volume("ips.txt")).unwrap();
        put(&folder.path().join("estate.toml"), &naming(of_volume("ips.txt").to_str().unwrap()));
        let (_watcher, receiver) = watch::<Registry>(folder.path());

        version("..2", "203.0.113.0/24\n");
        let changed = receiver.recv_timeout(Duration::from_secs(30)).unwrap().unwrap();
        assert!(changed.cloud("203.0.113.7".parse().unwrap()).is_some());
    }

    #[test]
    fn changed_queries_are_read_again_and_a_broken_file_is_said() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for folder in ["rollups", "detections"] {
            fs::create_dir(dir.path().join(folder)).expect("created");
        }
        let file = dir.path().join("rollups/calls.sql");
        put(&file, ROLLUP);
        let (watcher, heard) = watch::<QueryTexts>(dir.path());
        let next = || heard.recv_timeout(Duration::from_secs(20)).expect("the watcher speaks");
        put(&file, &ROLLUP.replace("version = 1", "version = 2"));
        assert_eq!(next().map(|t| t.rollups[0].text.version), Ok(2));
        put(&file, &ROLLUP.replace("retention", "retantion"));
        let errors = next().map(|t| t.version()).expect_err("the key is misspelt").to_string();
        assert!(
            errors.contains("calls.sql:8") && errors.contains("did you mean `retention_days`"),
            "{errors}"
        );
        watcher.reload(false);
        watcher.reload(true);
        assert!(next().is_err(), "asked again, it is said again");
        assert!(heard.try_recv().is_err(), "and else only once");
        put(&file, ROLLUP);
        assert!(next().is_ok());
    }

    #[test]
    fn change_that_is_undone_after_it_was_read_is_told_too() {
        let folder = tempfile::tempdir().unwrap();
        put(&folder.path().join("people.toml"), TEAM);
        let (watcher, receiver) = watch::<Registry>(folder.path());
        let wait = || receiver.recv_timeout(Duration::from_secs(30)).unwrap();

        let more = folder.path().join("more.toml");
        put(&more, &TEAM.replace("\"a\"", "\"b\""));
        watcher.reload(false);
        assert_eq!(wait().unwrap().people().collect::<Vec<_>>(), ["a", "b"]);
        fs::remove_file(&more).unwrap();
        assert_eq!(wait().unwrap().people().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn burst_without_an_end_is_read_all_the_same() {
        let (changed, changes) = sync_channel(1);
        let (sender, read) = mpsc::channel();
        let reader = thread::spawn(move || reload_when_quiet(&changes, || sender.send(()).is_ok()));
        let first = Instant::now();
        loop {
            let _waits = changed.try_send(());
            if read.recv_timeout(Duration::from_millis(RELOAD_QUIET_MS / 30)).is_ok() {
                break;
            }
            assert!(first.elapsed() < Duration::from_secs(60), "never quiet and never read");
        }
        drop((changed, read));
        reader.join().unwrap();
    }
}

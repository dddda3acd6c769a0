//! Facts about copies of a state: they hold all of one commit, and what is not that copy any more is refused.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::store::copy::{CopyAction, CopyError, FORMAT_VERSION, Manifest, export, import};
use crate::store::sqlite::FolderLock;
use crate::store::verify::{Part, verify};

const KEY: [u8; 32] = [7; 32];

/// A state with a commit of everything, and a folder for copies of it.
struct Install {
    dir: tempfile::TempDir,
    store: Store,
}

impl Install {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut store = fresh(&dir.path().join("state"));
        store.commit(&full_commit()).unwrap();
        std::fs::write(dir.path().join("state/credential.key"), KEY).unwrap();
        Self { dir, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The copy `copy` of the state.
    fn export(&self) -> Manifest {
        export(&self.path("state"), &self.path("copy")).unwrap()
    }

    fn import(&self) -> Result<Manifest, CopyError> {
        import(&self.path("copy"), &self.path("other"))
    }

    /// Why an import is refused; nothing that a daemon could go on from is there afterwards.
    fn refused(&self) -> CopyError {
        let error = self.import().expect_err("it is refused");
        for name in ["shadowprod.db", "credential.key"] {
            assert!(!self.path("other").join(name).exists(), "{name} after {error}");
        }
        error
    }

    fn entries(&self, name: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(name)).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn edit_manifest(&self, edit: impl FnOnce(&mut serde_json::Value)) {
        let path = self.path("copy/manifest.json");
        let mut manifest = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        edit(&mut manifest);
        std::fs::write(path, manifest.to_string()).unwrap();
    }
}

/// What a daemon would go on from.
fn recovered(dir: &Path) -> (Recovered, String, Vec<Revision>) {
    let (store, recovered) = Store::open(dir).unwrap();
    let instance = store.reader().unwrap().instance().unwrap();
    (recovered, instance, store.history().unwrap())
}

#[test]
fn imported_state_is_the_exported_one_and_goes_on() {
    let install = Install::new();
    let manifest = install.export();
    assert_eq!(install.entries("copy"), ["credential.key", "manifest.json", "shadowprod.db"]);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&install.path("copy")), mode(&install.path("copy/credential.key"))), (0o700, 0o600));
    assert_eq!(manifest.format, FORMAT_VERSION);
    assert_eq!(manifest.next_offsets["okta.system"][&4], 1_000);
    assert_eq!(manifest.findings, 1);
    assert_eq!(manifest.history_head, verify(&install.path("state")).unwrap().head);
    assert_eq!(install.import().unwrap(), manifest);
    let Install { dir, store } = install;
    drop(store);
    let there = recovered(&dir.path().join("other"));
    assert_eq!(format!("{:?}", recovered(&dir.path().join("state"))), format!("{there:?}"));
    let key = dir.path().join("other/credential.key");
    assert_eq!(std::fs::read(&key).unwrap(), KEY);
    assert_eq!(mode(&key), 0o600);
    let (mut other, _) = Store::open(&dir.path().join("other")).unwrap();
    let next = other.commit(&step(ChangeKind::Updated, finding("f_1", Severity::Low, 9))).unwrap();
    assert_eq!(next.change_seq, 2, "numbers go on");
    assert_eq!(other.verify_chain().unwrap(), 2);
}

#[test]
fn flipped_byte_is_refused_wherever_it_is() {
    for name in ["shadowprod.db", "credential.key", "manifest.json"] {
        let install = Install::new();
        install.export();
        let path = install.path("copy").join(name);
        let whole = std::fs::read(&path).unwrap();
        let step = (whole.len() / 40).max(1);
        // The last byte of a manifest is the end of its last line.
        for at in (0..whole.len() - 1).step_by(step) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            std::fs::write(&path, &flipped).unwrap();
            let said = serde_json::from_slice::<Manifest>(&flipped);
            let is_harmless = said.is_ok_and(|m| name == "manifest.json" && has_same_content(&m, &whole));
            if !is_harmless {
                install.refused();
            }
        }
        std::fs::write(&path, whole).unwrap();
        install.import().unwrap();
    }
}

/// White space, or the version of the program in words.
fn has_same_content(flipped: &Manifest, whole: &[u8]) -> bool {
    let whole: Manifest = serde_json::from_slice(whole).unwrap();
    Manifest { program: String::new(), ..flipped.clone() } == Manifest { program: String::new(), ..whole }
}

#[test]
fn half_a_copy_is_refused_and_says_what_is_missing() {
    for (name, says) in [
        ("manifest.json", "is missing: the folder is no export, or not a whole one"),
        ("shadowprod.db", "shadowprod.db: is missing"),
        ("credential.key", "credential.key: is missing"),
    ] {
        let install = Install::new();
        install.export();
        std::fs::remove_file(install.path("copy").join(name)).unwrap();
        let error = install.refused();
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(error.action(), CopyAction::RefuseContent);
    }
    let install = Install::new();
    install.export();
    let database = std::fs::OpenOptions::new().write(true).open(install.path("copy/shadowprod.db")).unwrap();
    database.set_len(8_192).unwrap();
    assert!(install.refused().to_string().contains("8192 bytes, exported with"));
}

#[test]
fn copy_whose_sums_were_mended_is_checked_from_end_to_end() {
    for (statement, says) in [
        ("UPDATE checkpoint SET next_offset = 7", "control damaged"),
        ("UPDATE segment SET bytes = zeroblob(300) WHERE id = 2", "segments damaged"),
        ("UPDATE finding SET body = replace(body, 'high', 'low')", "findings damaged"),
        ("UPDATE meta SET value = 'x' WHERE key = 'revision_head'", "damaged"),
    ] {
        let install = Install::new();
        install.export();
        assert_eq!(sql(&install.path("copy"), statement), 1, "{statement}");
        let again = export(&install.path("copy"), &install.path("never")).unwrap_err();
        assert!(matches!(again, CopyError::DamagedState { .. }), "{again}");
        assert!(!install.path("never").exists());
        let bytes = std::fs::read(install.path("copy/shadowprod.db")).unwrap();
        let sha256 =
            sha2::Digest::finalize(sha2::Digest::chain_update(<sha2::Sha256 as sha2::Digest>::new(), &bytes));
        install.edit_manifest(|manifest| {
            manifest["files"][1]["bytes"] = bytes.len().into();
            manifest["files"][1]["sha256"] = crate::store::history::hex(&sha256).into();
        });
        let error = install.refused().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn manifest_that_speaks_of_another_state_is_refused() {
    for (key, value) in [
        ("next_offsets", serde_json::json!({"okta.system": {"4": 1_001}})),
        ("history_head", "00".into()),
        ("findings", 2.into()),
    ] {
        let install = Install::new();
        install.export();
        install.edit_manifest(|manifest| manifest[key] = value);
        assert!(install.refused().to_string().contains("in the database differ"), "{key}");
    }
}

#[test]
fn other_versions_are_refused_by_name() {
    for (key, says) in [
        ("format", "format version 99, this program reads version 1"),
        ("schema", "schema version 99 of shadowprod 0.1.0, this program reads version 5"),
    ] {
        let install = Install::new();
        install.export();
        install.edit_manifest(|manifest| {
            manifest[key] = 99.into();
            if key == "format" {
                manifest["a_key_of_then"] = true.into();
            }
        });
        let error = install.refused();
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(error.action(), CopyAction::RefuseArguments);
    }
}

#[test]
fn nothing_is_overwritten() {
    let install = Install::new();
    install.export();
    let again = export(&install.path("state"), &install.path("copy")).unwrap_err();
    assert!(again.to_string().contains("exists already; name a folder that does not"), "{again}");
    let onto = |name: &str| import(&install.path("copy"), &install.path(name)).unwrap_err();
    let running = onto("state").to_string();
    assert!(running.contains(&format!("in use by process {}", std::process::id())), "{running}");
    for (name, entry) in [("a", "shadowprod.db"), ("b", "credential.key"), ("c", "shadowprod.db-wal")] {
        std::fs::create_dir(install.path(name)).unwrap();
        std::fs::write(install.path(name).join(entry), "x").unwrap();
        let error = onto(name);
        assert!(error.to_string().contains(&format!("holds {entry} already")), "{error}");
        assert_eq!(std::fs::read(install.path(name).join(entry)).unwrap(), b"x");
        assert_eq!(error.action(), CopyAction::RefuseArguments);
    }
    assert_eq!(install.entries("a"), ["lock", "shadowprod.db"], "nothing is left behind");
}

#[test]
fn import_that_was_cut_off_can_be_done_again() {
    let install = Install::new();
    install.export();
    let other = install.path("other");
    std::fs::create_dir_all(other.join(".shadowprod-partial-x")).unwrap();
    std::fs::write(other.join(".shadowprod-partial-x/shadowprod.db"), "half").unwrap();
    std::fs::copy(install.path("copy/credential.key"), other.join("credential.key")).unwrap();
    drop(FolderLock::acquire(&other).unwrap());
    install.import().unwrap();
    assert_eq!(install.entries("other"), ["credential.key", "lock", "shadowprod.db"]);
}

#[test]
fn export_that_fails_leaves_nothing() {
    let install = Install::new();
    let entries = install.entries(".");
    let no_state = export(&install.path("nowhere"), &install.path("copy")).unwrap_err();
    assert!(matches!(no_state, CopyError::Store(StoreError::NoState { .. })), "{no_state}");
    std::fs::remove_file(install.path("state/credential.key")).unwrap();
    let no_key = export(&install.path("state"), &install.path("copy")).unwrap_err();
    assert!(no_key.to_string().contains("credential.key"), "{no_key}");
    assert_eq!(install.entries("."), entries);
}

#[test]
fn export_under_a_writer_is_one_commit() {
    let Install { dir, mut store } = Install::new();
    let state = dir.path().join("state");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut second = 0;
            while !done.load(Ordering::Relaxed) {
                second += 1;
                let mut commit = step(ChangeKind::Updated, finding("f_2", Severity::Low, second));
                let other = step(ChangeKind::Updated, finding("f_3", Severity::Low, second));
                commit.changes.extend(other.changes);
                commit.tracked.extend(other.tracked);
                commit.checkpoints = full_commit().checkpoints;
                commit.checkpoints[0].position.offset = 1_000 + second;
                store.commit(&commit).unwrap();
            }
            second
        });
        let mut seen = Vec::new();
        for n in 0..8 {
            let copy = dir.path().join(format!("copy-{n}"));
            let manifest = export(&state, &copy).unwrap();
            let commits = manifest.next_offsets["okta.system"][&4] - 1_000;
            let connection = Connection::open(copy.join("shadowprod.db")).unwrap();
            let sql = "SELECT count(*) FROM finding WHERE finding_id > 'f_1' AND last_seen = ?1";
            let newest = at(commits).as_microsecond();
            let fits: i64 = connection.query_row(sql, [newest], |row| row.get(0)).unwrap();
            let verified = verify(&copy).unwrap();
            let history = verified.parts.iter().find(|part| part.part == Part::History).unwrap();
            seen.push((commits, fits, history.count));
        }
        // The writer must end before anything may fail, or the scope waits for it for ever.
        done.store(true, Ordering::Relaxed);
        assert!(writer.join().unwrap() > 0);
        assert!(seen.first() < seen.last(), "the writer wrote meanwhile: {seen:?}");
        for (commits, fits, revisions) in seen {
            assert!(commits == 0 || fits == 2, "findings and offsets are of one commit, the {commits}th");
            assert_eq!(revisions, 1 + 2 * commits as u64);
        }
    });
}

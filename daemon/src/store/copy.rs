//! A state as a folder that can be carried elsewhere: database, credential key and a manifest that says what they are.
//!
//! In: a state folder, also one that a daemon writes to; or such a copy and a folder without a state. Out: the one or
//! the other, whole and durable or not at all. Nothing is overwritten, and what was changed on its way is refused.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::sqlite::{self, FolderLock};
use super::verify::verify;
use super::{StoreError, history, recover};
use crate::limits::TEXT_FILE_BYTES_MAX;

/// Raised whenever a copy's files or its manifest change their meaning.
pub const FORMAT_VERSION: u32 = 1;
/// Without it credentials hash differently, and findings are not the same.
const KEY_NAME: &str = "credential.key";
/// Files of a copy beside its manifest, in the order in which an import puts them in place: the database makes it a state.
const FILES: [&str; 2] = [KEY_NAME, sqlite::FILE_NAME];
const MANIFEST_NAME: &str = "manifest.json";
/// Folders with this prefix hold what is not yet whole; after a crash they are left over.
const PARTIAL_PREFIX: &str = ".shadowprod-partial-";
/// The owner only: the key is a secret.
const SECRET_MODE: u32 = 0o600;
/// The owner only: a copy holds the key.
const FOLDER_MODE: u32 = 0o700;
/// As the system's umask says.
const USUAL_MODE: u32 = 0o666;

/// What a copy is, as it stands in its `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT_VERSION`] of the program that wrote it.
    pub format: u32,
    /// Version of that program.
    pub program: String,
    /// Its version of the database's schema.
    pub schema: i64,
    /// The other files.
    pub files: Vec<CopiedFile>,
    /// Topic, partition, NEXT offset.
    pub next_offsets: BTreeMap<String, BTreeMap<i32, i64>>,
    /// Hash of the newest revision, hex.
    pub history_head: String,
    /// Findings, all episodes.
    pub findings: u64,
}

/// A file of a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopiedFile {
    /// Within the folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Of its content, hex.
    pub sha256: String,
}

/// All that is read of a manifest before it is known to be of this format.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Why there is no copy, or no state of one.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The state folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file or folder.
    #[error("{}: {source}; it must be readable, its folder exist and be writable by this user, with room for a copy", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// SQLite could not write the copy.
    #[error("{}: {source}; make room for the database once more, and check the state with `shadowprod verify`", path.display())]
    Database {
        /// The copy.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// There is something where the copy is to be.
    #[error("{}: exists already; name a folder that does not, or move this one away", path.display())]
    Exists {
        /// What exists.
        path: PathBuf,
    },
    /// There is something where the state is to be.
    #[error("state folder {}: holds {entry} already; name an empty folder, or move this one away: an import replaces nothing", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
        /// What it holds.
        entry: String,
    },
    /// Written by a program that lays copies out differently.
    #[error(
        "{}: format version {found}, this program reads version {FORMAT_VERSION}; import it with the version of \
         shadowprod that wrote it",
        path.display()
    )]
    FormatVersion {
        /// The manifest.
        path: PathBuf,
        /// In it.
        found: u32,
    },
    /// Written by a program with another database.
    #[error(
        "{}: schema version {found} of shadowprod {program}, this program reads version {}; import it with the version \
         that wrote it",
        path.display(),
        sqlite::SCHEMA_VERSION
    )]
    SchemaVersion {
        /// The manifest.
        path: PathBuf,
        /// In it.
        found: i64,
        /// Which program wrote it.
        program: String,
    },
    /// What was exported does not hold what was written into it.
    #[error("state folder {}: {found}; nothing was exported; `shadowprod verify` says what to do", path.display())]
    DamagedState {
        /// The state folder.
        path: PathBuf,
        /// What is wrong.
        found: String,
    },
    /// The copy is not what was exported, or not all of it.
    #[error("{}: {found}; nothing was imported: copy the folder here again, or export it again", path.display())]
    DamagedCopy {
        /// The copy or one of its files.
        path: PathBuf,
        /// What is wrong.
        found: String,
    },
}

/// What to do about a [`CopyError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyAction {
    /// A person must change an argument, a folder or the program.
    RefuseArguments,
    /// The arguments are fine; what they name is damaged.
    RefuseContent,
}

impl CopyError {
    /// The one place that says what each error leads to.
    pub fn action(&self) -> CopyAction {
        match self {
            Self::Store(_)
            | Self::File { .. }
            | Self::Database { .. }
            | Self::Exists { .. }
            | Self::Occupied { .. }
            | Self::FormatVersion { .. }
            | Self::SchemaVersion { .. } => CopyAction::RefuseArguments,
            Self::DamagedState { .. } | Self::DamagedCopy { .. } => CopyAction::RefuseContent,
        }
    }
}

/// Copies the state in `state`, as of one commit, into the new folder `out`.
///
/// # Errors
/// There is no state, it is damaged, or `out` exists or cannot be written. Then there is no `out`.
pub fn export(state: &Path, out: &Path) -> Result<Manifest, CopyError> {
    if out.symlink_metadata().is_ok() {
        return Err(CopyError::Exists { path: out.to_owned() });
    }
    let beside = match out.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    };
    let partial = partial_in(beside)?;
    let dir = partial.path();
    copy_database(state, dir)?;
    let key = transfer(&state.join(KEY_NAME), &dir.join(KEY_NAME))?;
    require_sound(dir).map_err(|found| CopyError::DamagedState { path: state.to_owned(), found })?;
    let manifest = Manifest::of(dir, vec![key, digest(&dir.join(sqlite::FILE_NAME))?])?;
    manifest.write(dir)?;
    sync(dir)?;
    move_to(dir, out)?;
    // It does not lie there any more.
    let _moved = partial.keep();
    sync(beside)?;
    Ok(manifest)
}

/// Puts the state that was exported to `from` into `state`, a folder that holds none.
///
/// # Errors
/// The copy is damaged or of another version, or `state` holds something or is in use. Then there is no state in it.
pub fn import(from: &Path, state: &Path) -> Result<Manifest, CopyError> {
    let manifest = Manifest::read(from)?;
    // Made where needed. Held until the state is whole, so that no daemon starts on a part of it.
    let _lock = FolderLock::acquire(state)?;
    require_vacant(state, &manifest)?;
    // Within the folder, which may be a file system of its own.
    let partial = partial_in(state)?;
    let dir = partial.path();
    for name in FILES {
        let path = from.join(name);
        let damaged = |found: String| CopyError::DamagedCopy { path: path.clone(), found };
        if !path.exists() {
            return Err(damaged("is missing".to_owned()));
        }
        let found = transfer(&path, &dir.join(name))?;
        manifest.require_same(&found).map_err(damaged)?;
    }
    let damaged = |found| CopyError::DamagedCopy { path: from.to_owned(), found };
    require_sound(dir).map_err(damaged)?;
    let found = Manifest::of(dir, manifest.files.clone())?;
    manifest.require_content(&found).map_err(damaged)?;
    for name in FILES {
        move_to(&dir.join(name), &state.join(name))?;
        sync(state)?;
    }
    Ok(manifest)
}

impl Manifest {
    /// Of the database in `dir` and these files.
    fn of(dir: &Path, files: Vec<CopiedFile>) -> Result<Self, StoreError> {
        let connection = sqlite::open_reader(dir)?;
        let topics = recover::topics(&connection)?;
        let mut next_offsets: BTreeMap<String, BTreeMap<i32, i64>> = BTreeMap::new();
        for at in recover::checkpoints(&connection)?.into_iter().map(|checkpoint| checkpoint.position) {
            // A number without a name is damage, which was looked for.
            let Some(topic) = topics.get(usize::from(at.topic)) else { continue };
            next_offsets.entry(topic.clone()).or_default().insert(at.partition, at.offset);
        }
        let findings: i64 = connection.query_row("SELECT count(*) FROM finding", [], |row| row.get(0))?;
        Ok(Self {
            format: FORMAT_VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            schema: sqlite::SCHEMA_VERSION,
            files,
            next_offsets,
            history_head: history::head(&connection)?.1,
            findings: findings.cast_unsigned(),
        })
    }

    /// The last file of a copy: without it there is none.
    fn write(&self, dir: &Path) -> Result<(), CopyError> {
        let path = dir.join(MANIFEST_NAME);
        let text = serde_json::to_string_pretty(self).expect("texts and whole numbers are always JSON");
        let written = create(&path, USUAL_MODE).and_then(|mut file| {
            writeln!(file, "{text}")?;
            file.sync_all()
        });
        written.map_err(|source| CopyError::File { path, source })
    }

    fn read(from: &Path) -> Result<Self, CopyError> {
        let path = from.join(MANIFEST_NAME);
        let damaged = |found: String| CopyError::DamagedCopy { path: path.clone(), found };
        if from.is_dir() && !path.exists() {
            return Err(damaged("is missing: the folder is no export, or not a whole one".to_owned()));
        }
        let mut text = String::new();
        File::open(&path)
            .and_then(|file| file.take(TEXT_FILE_BYTES_MAX).read_to_string(&mut text))
            .map_err(|source| CopyError::File { path: path.clone(), source })?;
        let Format { format: found } = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
        if found != FORMAT_VERSION {
            return Err(CopyError::FormatVersion { path, found });
        }
        let manifest: Self = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
        if manifest.schema != sqlite::SCHEMA_VERSION {
            let Self { schema: found, program, .. } = manifest;
            return Err(CopyError::SchemaVersion { path, found, program });
        }
        Ok(manifest)
    }

    fn file(&self, name: &str) -> Option<&CopiedFile> {
        self.files.iter().find(|file| file.name == name)
    }

    /// Whether a file is as it was exported.
    fn require_same(&self, found: &CopiedFile) -> Result<(), String> {
        let expected = self.file(&found.name).ok_or_else(|| format!("{MANIFEST_NAME} does not name it"))?;
        if found.bytes != expected.bytes {
            return Err(format!("{} bytes, exported with {}", found.bytes, expected.bytes));
        }
        let same = found.sha256 == expected.sha256;
        same.then_some(())
            .ok_or_else(|| format!("SHA-256 {}, exported with {}", found.sha256, expected.sha256))
    }

    /// Whether the manifest speaks of the database beside it.
    fn require_content(&self, found: &Self) -> Result<(), String> {
        let same = [
            ("NEXT offsets", self.next_offsets == found.next_offsets),
            ("head of the history", self.history_head == found.history_head),
            ("number of findings", self.findings == found.findings),
        ];
        let differs = same.iter().find(|(_, same)| !same);
        differs.map_or(Ok(()), |(what, _)| {
            Err(format!("the {what} in {MANIFEST_NAME} and in the database differ"))
        })
    }
}

/// One commit's database, without the pages that hold nothing, in one file.
fn copy_database(state: &Path, dir: &Path) -> Result<(), CopyError> {
    let path = dir.join(sqlite::FILE_NAME);
    let connection = sqlite::open_reader(state)?;
    let written = path
        .to_str()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the folder's name is not UTF-8"))
        .map_err(|source| CopyError::File { path: path.clone(), source })?;
    // The file stays opened for reading only; this word would forbid writing to any.
    connection.pragma_update(None, "query_only", false).map_err(StoreError::from)?;
    match connection.execute("VACUUM INTO ?1", [written]) {
        Ok(_) => sync(&path),
        Err(source) if source.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt) => {
            Err(CopyError::DamagedState { path: state.to_owned(), found: source.to_string() })
        }
        Err(source) => Err(CopyError::Database { path, source }),
    }
}

/// Every part as `shadowprod verify` checks it, or what is wrong first.
fn require_sound(dir: &Path) -> Result<(), String> {
    let verified = verify(dir).map_err(|error| error.to_string())?;
    let damage = verified.parts.iter().find_map(|part| Some((part.part, part.damage.first()?)));
    damage.map_or(Ok(()), |(part, damage)| Err(format!("{} damaged: {damage}", part.name())))
}

/// Nothing but what an import that did not come to its end leaves behind, which is removed.
fn require_vacant(state: &Path, manifest: &Manifest) -> Result<(), CopyError> {
    let failed = |source| CopyError::File { path: state.to_owned(), source };
    for entry in fs::read_dir(state).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let entry = name.to_string_lossy();
        if entry.starts_with(PARTIAL_PREFIX) {
            fs::remove_dir_all(state.join(&name)).map_err(failed)?;
            continue;
        }
        let is_same_key =
            || Ok::<_, CopyError>(manifest.file(KEY_NAME) == Some(&digest(&state.join(KEY_NAME))?));
        if entry == sqlite::LOCK_NAME || (entry == KEY_NAME && is_same_key()?) {
            continue;
        }
        return Err(CopyError::Occupied { path: state.to_owned(), entry: entry.into_owned() });
    }
    Ok(())
}

fn partial_in(dir: &Path) -> Result<tempfile::TempDir, CopyError> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PARTIAL_PREFIX).permissions(Permissions::from_mode(FOLDER_MODE));
    let made = builder.tempdir_in(dir);
    made.map_err(|source| CopyError::File { path: dir.to_owned(), source })
}

/// Copies a file, durably; what was written.
fn transfer(from: &Path, to: &Path) -> Result<CopiedFile, CopyError> {
    let mode = if to.file_name() == Some(OsStr::new(KEY_NAME)) { SECRET_MODE } else { USUAL_MODE };
    let file = create(to, mode).map_err(|source| CopyError::File { path: to.to_owned(), source })?;
    let (copied, file) = hashed(from, file)?;
    file.sync_all().map_err(|source| CopyError::File { path: to.to_owned(), source })?;
    Ok(copied)
}

fn create(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

fn digest(path: &Path) -> Result<CopiedFile, CopyError> {
    hashed(path, io::sink()).map(|(file, _)| file)
}

/// Passes a file on and says what it was.
fn hashed<W: Write>(from: &Path, to: W) -> Result<(CopiedFile, W), CopyError> {
    let mut hashing = Hashing { to, hasher: Sha256::new() };
    let bytes = File::open(from)
        .and_then(|mut file| io::copy(&mut file, &mut hashing))
        .map_err(|source| CopyError::File { path: from.to_owned(), source })?;
    let name = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok((CopiedFile { name, bytes, sha256: history::hex(&hashing.hasher.finalize()) }, hashing.to))
}

struct Hashing<W> {
    to: W,
    hasher: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn move_to(from: &Path, to: &Path) -> Result<(), CopyError> {
    fs::rename(from, to).map_err(|source| CopyError::File { path: to.to_owned(), source })
}

/// Makes a file's content or a folder's names durable.
fn sync(path: &Path) -> Result<(), CopyError> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|source| CopyError::File { path: path.to_owned(), source })
}

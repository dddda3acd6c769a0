//! Reads a registry from a folder or from texts in memory.
//!
//! In: every `*.toml`, `*.yaml` and `*.yml` of a folder, at any depth, hidden entries left out. Out: a [`Registry`], or every
//! mistake in all of the files. Nothing here keeps half of a registry.

use std::fmt::Write;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::Registry;
use super::backstage;
use super::check::assemble;
use super::entries::{KINDS, Parts};
use super::errors::{Place, Problems, RegistryErrors};
use super::published::{NetworkFile, Published};
use super::reader::{TextFile, each_entry};
use crate::folder::{FromFolder, Loaded};
use crate::limits::{REGISTRY_DEPTH_MAX, REGISTRY_FILES_MAX, TEXT_FILE_BYTES_MAX};

/// What the files of a registry end in: our own tables, and catalog entities of Backstage.
const EXTENSIONS: &[&str] = &["toml", "yaml", "yml"];

impl FromFolder for Registry {
    type Errors = RegistryErrors;

    /// Every file with one of EXTENSIONS below `folder`.
    fn read(folder: &Path) -> Loaded<Self> {
        let mut problems = Problems::default();
        let texts = read_texts(folder, EXTENSIONS, &mut problems);
        if texts.is_empty() && problems.is_empty() {
            let place = whole(folder);
            let fix = "put at least one file with [[pilot]] tables there, or correct the path".to_owned();
            problems.error(&place, "no *.toml, *.yaml or *.yml file in this folder".to_owned(), fix);
        }
        build(texts, &format!("{}/", folder.display()), Source::Folder, problems)
    }

    fn version(&self) -> String {
        self.version().to_owned()
    }
}

/// Builds a registry from texts in memory.
pub(super) fn from_texts(texts: Vec<(String, String)>) -> Result<Registry, RegistryErrors> {
    build(texts, "", Source::Memory, Problems::default()).outcome
}

/// Where the texts are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Files below a folder, which may name other files.
    Folder,
    /// Somebody else's text, for which no file is opened.
    Memory,
}

/// Builds a registry from named texts; `root` is what the names have in common.
fn build(
    mut texts: Vec<(String, String)>,
    root: &str,
    source: Source,
    mut problems: Problems,
) -> Loaded<Registry> {
    texts.sort();
    let mut version_parts = texts.clone();
    let kinds: Vec<&'static str> = KINDS.iter().map(|(kind, _)| *kind).collect();
    let mut parts = Parts::default();
    let (catalog, own): (Vec<_>, Vec<_>) = texts.into_iter().partition(|(name, _)| is_yaml(name));
    for (name, text) in own {
        let file = TextFile::new(&name, text);
        let document = file.parse(&mut problems);
        each_entry(&file, document.get_ref(), &kinds, &mut problems, |kind, entry, problems| {
            parts.read(kind, entry, problems);
        });
    }
    let catalog = catalog.into_iter().map(|(name, text)| TextFile::new(&name, text)).collect::<Vec<_>>();
    parts.catalog = backstage::read(&catalog, &mut parts, &mut problems);
    let published = Published::read(&parts.network_files, source, &mut problems);
    let digests = published.files.iter().map(|(path, digest)| (path.display().to_string(), digest.clone()));
    version_parts.extend(digests);
    let files = parts.network_files.iter().map(NetworkFile::resolved).collect();
    Loaded { outcome: assemble(parts, published, version_of(&version_parts, root), problems), files }
}

fn is_yaml(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e == "yaml" || e == "yml")
}

/// SHA-256 over names below `root` and contents, each with its length before it: the same wherever the
/// folder lies.
pub(crate) fn version_of(texts: &[(String, String)], root: &str) -> String {
    let mut hash = Sha256::new();
    let parts = texts.iter().flat_map(|(name, text)| [name.strip_prefix(root).unwrap_or(name), text]);
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize())
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a String cannot fail");
        hex
    })
}

/// Every file below `folder` that ends in one of `extensions`, with its text; what cannot be read is reported.
pub(crate) fn read_texts(
    folder: &Path,
    extensions: &[&str],
    problems: &mut Problems,
) -> Vec<(String, String)> {
    let mut files = Vec::new();
    list(folder, 0, extensions, &mut files, problems);
    files.sort();
    files.iter().filter_map(|file| read_text(file, problems)).collect()
}

fn list(folder: &Path, depth: usize, extensions: &[&str], files: &mut Vec<PathBuf>, problems: &mut Problems) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            let fix = "correct the path or its permissions".to_owned();
            problems.error(&whole(folder), format!("cannot read this folder: {error}"), fix);
            return;
        }
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden {
            continue;
        }
        let is_folder = path.symlink_metadata().is_ok_and(|m| m.is_dir());
        if is_folder && depth < REGISTRY_DEPTH_MAX {
            list(&path, depth + 1, extensions, files, problems);
        } else if is_folder {
            problems.error(
                &whole(&path),
                format!("folders are nested deeper than {REGISTRY_DEPTH_MAX}"),
                "move the files up".to_owned(),
            );
        } else if path.extension().is_some_and(|e| extensions.iter().any(|x| e == *x)) {
            files.push(path);
        }
        if files.len() > REGISTRY_FILES_MAX {
            let message = format!("more than {REGISTRY_FILES_MAX} files");
            problems.error(&whole(folder), message, "join files, or correct the path".to_owned());
            files.clear();
            return;
        }
    }
}

fn read_text(path: &Path, problems: &mut Problems) -> Option<(String, String)> {
    let mut text = String::new();
    let read =
        fs::File::open(path).and_then(|file| file.take(TEXT_FILE_BYTES_MAX + 1).read_to_string(&mut text));
    match read {
        Ok(bytes) if bytes as u64 > TEXT_FILE_BYTES_MAX => {
            let message = format!("file is larger than {TEXT_FILE_BYTES_MAX} bytes");
            problems.error(&whole(path), message, "split it into several files".to_owned());
            None
        }
        Ok(_) => Some((path.display().to_string(), text)),
        Err(error) => {
            let fix = "make it a readable UTF-8 text, or remove it".to_owned();
            problems.error(&whole(path), format!("cannot read this file: {error}"), fix);
            None
        }
    }
}

fn whole(path: &Path) -> Place {
    Place { file: Arc::from(path.display().to_string()), line: 0 }
}

//! Networks that others publish: the address ranges of clouds, and who announces an address.
//!
//! In: files that the user downloads and names with [[network_file]]. Out: cloud and region of an address, its
//! autonomous system. Nothing here opens a connection, and a file with one mistake refuses the registry.

mod autonomous_systems;
mod cloud_ranges;

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

pub use autonomous_systems::AutonomousSystem;
use autonomous_systems::Database;
pub use cloud_ranges::CloudRange;
use cloud_ranges::{CloudRanges, Publisher};

use super::errors::{Place, Problems};
use super::load::{Source, hex};
use crate::limits::{AS_DATABASE_BYTES_MAX, NETWORK_FILES_MAX, RANGES_FILE_BYTES_MAX};

/// What a [[network_file]] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileFormat {
    /// Address ranges in the form in which this cloud publishes its own.
    Ranges(Publisher),
    /// Autonomous systems, MaxMind DB.
    AutonomousSystems,
}

impl FileFormat {
    pub(super) const WORDS: &[(&'static str, Self)] = &[
        ("aws", Self::Ranges(Publisher::Aws)),
        ("google", Self::Ranges(Publisher::Google)),
        ("azure", Self::Ranges(Publisher::Azure)),
        ("cloudflare", Self::Ranges(Publisher::Cloudflare)),
        ("asn", Self::AutonomousSystems),
    ];

    fn bytes_max(self) -> u64 {
        match self {
            Self::Ranges(_) => RANGES_FILE_BYTES_MAX,
            Self::AutonomousSystems => AS_DATABASE_BYTES_MAX,
        }
    }

    /// Where to get such a file.
    fn origin(self) -> &'static str {
        match self {
            Self::Ranges(publisher) => publisher.origin(),
            Self::AutonomousSystems => {
                "an ASN database in the MaxMind DB format, such as GeoLite2-ASN or IPinfo Lite"
            }
        }
    }
}

/// One [[network_file]].
#[derive(Debug)]
pub(super) struct NetworkFile {
    pub(super) format: FileFormat,
    /// As written.
    pub(super) path: PathBuf,
    /// Where it is named.
    pub(super) place: Place,
}

impl NetworkFile {
    /// Relative paths are relative to the file that names them.
    pub(super) fn resolved(&self) -> PathBuf {
        let folder = Path::new(&*self.place.file).parent().unwrap_or(Path::new(""));
        folder.join(&self.path)
    }
}

/// What all files together say.
#[derive(Debug, Default)]
pub(super) struct Published {
    ranges: CloudRanges,
    databases: Vec<Database>,
    /// Path of each file and SHA-256 of its content, hex.
    pub(super) files: Vec<(PathBuf, String)>,
}

impl Published {
    /// Reads every file. A registry in memory names none.
    pub(super) fn read(named: &[NetworkFile], source: Source, problems: &mut Problems) -> Self {
        let mut published = Self::default();
        for (i, file) in named.iter().enumerate() {
            if source == Source::Memory {
                let message = "[[network_file]] outside a registry's folder".to_owned();
                problems.error(&file.place, message, "declare the addresses with [[network]]".to_owned());
            } else if i == NETWORK_FILES_MAX {
                let message = format!("more than {NETWORK_FILES_MAX} [[network_file]] entries");
                problems.error(&file.place, message, "join or remove files".to_owned());
            } else if i < NETWORK_FILES_MAX {
                published.add(file, problems);
            }
        }
        published
    }

    fn add(&mut self, file: &NetworkFile, problems: &mut Problems) {
        let path = file.resolved();
        let bytes = match read_bytes(&path, file.format.bytes_max()) {
            Ok(bytes) => bytes,
            Err(reason) => {
                let message = format!("[[network_file]] {}: {reason}", path.display());
                problems.error(&file.place, message, "correct `path`, or put the file there".to_owned());
                return;
            }
        };
        self.files.push((path.clone(), digest(&bytes)));
        let added = match file.format {
            FileFormat::Ranges(publisher) => self.ranges.add(publisher, &bytes),
            FileFormat::AutonomousSystems => {
                Database::open(bytes).map(|database| self.databases.push(database))
            }
        };
        if let Err(mistake) = added {
            let place = Place { file: Arc::from(path.display().to_string()), line: mistake.line };
            let fix = format!("download it again: {}", file.format.origin());
            problems.error(&place, mistake.message, fix);
        }
    }

    /// The longest published range that holds `address`.
    pub(super) fn cloud(&self, address: IpAddr) -> Option<&CloudRange> {
        self.ranges.find(address)
    }

    /// Who announces `address`, by the first database that knows.
    pub(super) fn autonomous_system(&self, address: IpAddr) -> Option<AutonomousSystem<'_>> {
        self.databases.iter().find_map(|database| database.find(address))
    }
}

/// What is wrong with the content of a file.
#[derive(Debug, PartialEq, Eq)]
struct Mistake {
    /// From 1; 0 where it is about the file as a whole.
    line: usize,
    message: String,
}

impl Mistake {
    fn whole(message: impl Into<String>) -> Self {
        Self { line: 0, message: message.into() }
    }
}

fn read_bytes(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes));
    match read {
        Ok(count) if count as u64 > bytes_max => Err(format!("is larger than {bytes_max} bytes")),
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!("cannot be read: {error}")),
    }
}

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
pub(crate) mod tests;

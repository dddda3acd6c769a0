//! Where raw credentials end: from here on there is a keyed hash, and a label without secrets.
//!
//! In: kind and raw value of a credential. Out: `c_` and 32 hex digits of HMAC-SHA-256 under a key of this
//! installation. The raw value is never stored, logged or remembered between batches.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Key of the keyed hash: 32 bytes, one per installation.
#[derive(Clone)]
pub struct CredentialKey {
    /// Prepared with the key, to be cloned for each hash.
    mac: Hmac<Sha256>,
}

impl std::fmt::Debug for CredentialKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CredentialKey")
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read, or not be made.
    #[error("credential key {}: {source}; make the folder writable, or put a file of 32 random bytes there", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is no key.
    #[error("credential key {}: has {found} bytes, expected 32; restore it from a backup, or remove it to start with new credential ids", path.display())]
    Length {
        /// Which.
        path: PathBuf,
        /// Its bytes, at most 33.
        found: usize,
    },
}

impl CredentialKey {
    /// A key given as bytes: for tests and reproducible replays.
    pub fn from_bytes(key: [u8; 32]) -> Self {
        Self { mac: Hmac::new_from_slice(&key).expect("HMAC takes keys of any length") }
    }

    /// The key in `path`; if there is none, 32 random bytes, written with mode 0600.
    pub fn from_file_or_create(path: &Path) -> Result<Self, KeyError> {
        let fail = |source| KeyError::File { path: path.to_owned(), source };
        match read_key(path) {
            Ok(bytes) => Self::from_slice(path, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create_key(path).map_err(fail)?;
                let bytes = read_key(path).map_err(fail)?;
                Self::from_slice(path, &bytes)
            }
            Err(error) => Err(fail(error)),
        }
    }

    fn from_slice(path: &Path, bytes: &[u8]) -> Result<Self, KeyError> {
        let key: [u8; 32] =
            bytes.try_into().map_err(|_| KeyError::Length { path: path.to_owned(), found: bytes.len() })?;
        Ok(Self::from_bytes(key))
    }

    /// Tells this key from others and nothing of it.
    pub fn fingerprint(&self) -> String {
        self.id("key", "")
    }

    /// The id of a credential: equal for equal kind and value, and telling nothing of the value.
    pub fn id(&self, kind: &str, secret: &str) -> String {
        let mut mac = self.mac.clone();
        mac.update(kind.as_bytes());
        mac.update(&[0]);
        mac.update(secret.as_bytes());
        let digest = mac.finalize().into_bytes();
        let mut id = String::with_capacity(34);
        id.push_str("c_");
        for byte in &digest[..16] {
            write!(id, "{byte:02x}").expect("writing to a String cannot fail");
        }
        id
    }
}

fn read_key(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(33);
    fs::File::open(path)?.take(33).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes beside `path` first, so that a crash never leaves half a key, and never replaces one that
/// another process made meanwhile.
fn create_key(path: &Path) -> io::Result<()> {
    let mut key = [0; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(&key)?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What a person may read of a credential: principal (else consumer) and session name. A part that holds the
/// raw value is left out unless the kind's value is a public identifier; control characters never pass.
pub(super) fn label(
    kind: &str,
    secret: &str,
    principal: Option<&str>,
    consumer: Option<&str>,
    session_name: Option<&str>,
) -> String {
    let is_public = |part: &&str| names_its_holder(kind) || !part.contains(secret);
    let who = principal.filter(is_public).or(consumer.filter(is_public));
    let parts = [who, session_name.filter(is_public)];
    let label = parts.into_iter().flatten().collect::<Vec<_>>().join(" / ");
    if label.is_empty() {
        return kind.to_owned();
    }
    label.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Whether what identifies a credential of this kind is a name that everybody may see.
fn names_its_holder(kind: &str) -> bool {
    matches!(
        kind,
        "role_session" | "console" | "service_principal" | "user_object" | "gateway_key" | "principal"
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn key_file_is_made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credential.key");
        let first = CredentialKey::from_file_or_create(&path).unwrap();
        let again = CredentialKey::from_file_or_create(&path).unwrap();
        assert_eq!(first.fingerprint(), again.fingerprint());
        assert_ne!(first.fingerprint(), CredentialKey::from_bytes([0; 32]).fingerprint());
        assert_eq!(first.id("static_key", "x"), again.id("static_key", "x"));
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.len(), metadata.permissions().mode() & 0o777), (32, 0o600));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(!format!("{first:?}").contains("mac"));
    }

    #[test]
    fn short_key_file_is_refused_with_a_fix() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credential.key");
        fs::write(&path, "short").unwrap();
        let error = CredentialKey::from_file_or_create(&path).unwrap_err().to_string();
        assert!(error.contains("has 5 bytes, expected 32"), "{error}");
        let absent = folder.path().join("absent").join("key");
        let error = CredentialKey::from_file_or_create(&absent).unwrap_err().to_string();
        assert!(error.contains("make the folder writable"), "{error}");
    }

    #[test]
    fn id_is_the_standard_hmac() {
        // Computed with Python's hmac module.
        let id = CredentialKey::from_bytes([0; 32]).id("static_key", "AKIA");
        assert_eq!(id, "c_2bdf5c8fed36a2a2394e234805d67c56");
    }
}

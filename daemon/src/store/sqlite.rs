//! The SQLite file: opening it, its schema version, and the lock that keeps a second daemon out.
//!
//! In: a state folder. Out: connections with the settings that durability needs. No row is read or written
//! here but the ones in `meta`.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, ToSql, TransactionBehavior};

use super::{StoreError, checksum, control, migrate};
use crate::crash_points::{CrashPoint, CrashPoints};

/// Raised whenever `schema.sql` changes its meaning.
pub(super) const SCHEMA_VERSION: i64 = 5;
const SCHEMA: &str = include_str!("schema.sql");
/// The database in a state folder.
pub(super) const FILE_NAME: &str = "shadowprod.db";
/// Who holds it is the folder's one writer.
pub(super) const LOCK_NAME: &str = "lock";
/// Statements kept prepared per connection: more than there are in this module.
const STATEMENTS_MAX: usize = 64;
/// How long a connection waits for another's short lock, such as a checkpoint of the write-ahead log.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// The write-ahead log is brought into the database once it has so many bytes: a commit then waits for as many to be
/// written and fsynced.
const WAL_BYTES_MAX: u64 = 4 << 20;

/// Held while a store is open. The system releases it when the process ends, however it ends.
pub(super) struct FolderLock {
    file: File,
}

/// Closing the file would not do: a child that another thread is starting holds a copy of it until it executes its
/// program, and the lock lives as long as any copy (`flock(2)`). Unlocking ends it for all of them.
impl Drop for FolderLock {
    fn drop(&mut self) {
        // Fails for a file that is not locked at most, and then there is nothing to release.
        let _released = self.file.unlock();
    }
}

impl FolderLock {
    /// Creates `dir` where needed and locks `<dir>/lock` for this process.
    pub(super) fn acquire(dir: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Folder { path: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(failed)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(dir.join(LOCK_NAME))
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { path: dir.to_owned(), holder: holder(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).map_err(failed)?;
        write!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { file })
    }
}

fn holder(file: &mut File) -> String {
    let mut process = String::new();
    match file.read_to_string(&mut process) {
        Ok(_) if !process.is_empty() => format!("process {process}"),
        Ok(_) | Err(_) => "another process".to_owned(),
    }
}

/// The writer's connection: write-ahead log, every commit fsynced.
pub(super) fn open_writer(dir: &Path, crash: &CrashPoints) -> Result<Connection, StoreError> {
    let path = dir.join(FILE_NAME);
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&path, flags)?;
    let mode = switch_to_log(&connection).map_err(|source| unreadable(&path, source))?;
    if mode != "wal" {
        let found = format!("journal mode {mode}: this file system cannot hold a write-ahead log");
        return Err(StoreError::NotOurs { path, found });
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    // SQLite's own checkpoints tell nobody that they failed.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    prepare(&connection)?;
    // What a crash left in the log may be in the system's cache alone, if it was an fsync that failed: it is written
    // anew before anybody is told of it.
    checkpoint(&connection).map_err(|error| match error {
        StoreError::Database(source) => unreadable(&path, source),
        other => other,
    })?;
    ensure_schema(&mut connection, &path, crash)?;
    Ok(connection)
}

/// Returns the mode that is in force. Whether the switch worked is known when its statement ends, after the row with
/// the mode that it is to be.
fn switch_to_log(connection: &Connection) -> rusqlite::Result<String> {
    let mut switch = connection.prepare("PRAGMA journal_mode = WAL")?;
    let modes: Vec<String> = switch.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(modes.into_iter().next_back().unwrap_or_default())
}

/// Brings the write-ahead log into the database once it has WAL_BYTES_MAX. As long as somebody reads a commit of before,
/// what came after it stays in the log.
pub(super) fn keep_log_short(
    connection: &Connection,
    dir: &Path,
    crash: &CrashPoints,
) -> Result<(), StoreError> {
    let log = dir.join(format!("{FILE_NAME}-wal"));
    let bytes = std::fs::metadata(&log).map_err(|source| StoreError::Folder { path: log, source })?.len();
    if bytes < WAL_BYTES_MAX {
        return Ok(());
    }
    crash.pass(CrashPoint::CheckpointBegun);
    checkpoint(connection)
}

/// Fails where anything of it could not be written. Where somebody still reads from the log it is not waited for: what can
/// be written is, and the log stays as long as it is until the next time.
fn checkpoint(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(Duration::ZERO)?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(connection.busy_timeout(BUSY_TIMEOUT)?)
}

/// The same schema without a file.
pub(super) fn open_memory() -> Result<Connection, StoreError> {
    let mut connection = Connection::open_in_memory()?;
    prepare(&connection)?;
    ensure_schema(&mut connection, Path::new(":memory:"), &CrashPoints::default())?;
    Ok(connection)
}

/// A connection that sees committed state only and can change nothing.
pub(super) fn open_reader(dir: &Path) -> Result<Connection, StoreError> {
    let path = dir.join(FILE_NAME);
    if !path.exists() {
        return Err(StoreError::NoState { path: dir.to_owned() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags)?;
    prepare(&connection)?;
    connection.pragma_update(None, "query_only", true)?;
    check_version(&connection, &path)?;
    Ok(connection)
}

/// What every connection of ours has.
pub(super) fn prepare(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    checksum::register(connection)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(())
}

fn ensure_schema(connection: &mut Connection, path: &Path, crash: &CrashPoints) -> Result<(), StoreError> {
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|source| unreadable(path, source))?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if tables == 0 {
        transaction.execute_batch(SCHEMA)?;
        set_meta(&transaction, "schema_version", &SCHEMA_VERSION)?;
        transaction
            .execute("INSERT INTO meta (key, value) VALUES ('instance', lower(hex(randomblob(16))))", [])?;
        control::seal(&transaction)?;
        crash.pass(CrashPoint::SchemaCreated);
    } else {
        match version(&transaction, path)? {
            SCHEMA_VERSION => return Ok(()),
            older @ migrate::OLDEST..SCHEMA_VERSION => {
                tracing::info!("state of schema version {older} becomes one of version {SCHEMA_VERSION}");
                migrate::migrate(&transaction, older)?;
            }
            found => return Err(other_version(path, found)),
        }
    }
    Ok(transaction.commit()?)
}

fn check_version(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    match version(connection, path)? {
        SCHEMA_VERSION => Ok(()),
        found => Err(other_version(path, found)),
    }
}

fn version(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    meta(connection, "schema_version")
        .ok()
        .flatten()
        .ok_or_else(|| not_ours(path, "a database without our schema version"))
}

fn other_version(path: &Path, found: i64) -> StoreError {
    let fix = if (migrate::OLDEST..SCHEMA_VERSION).contains(&found) {
        "start its daemon on this state once: it migrates it"
    } else {
        "run the version that wrote it, or point state.path at an empty folder to rebuild from Kafka"
    };
    StoreError::SchemaVersion { path: path.to_owned(), found, expected: SCHEMA_VERSION, fix }
}

fn not_ours(path: &Path, found: &str) -> StoreError {
    StoreError::NotOurs { path: path.to_owned(), found: found.to_owned() }
}

fn unreadable(path: &Path, source: rusqlite::Error) -> StoreError {
    match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => not_ours(path, "not a SQLite database"),
        Some(_) | None => StoreError::Database(source),
    }
}

/// Whether the pages of one table and its indexes fit together: no row is gone, and every index finds every row.
pub(super) fn check_pages(connection: &Connection, table: &'static str) -> Result<(), StoreError> {
    let sql = format!("PRAGMA integrity_check({table})");
    let found: String = connection.query_row(&sql, [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(StoreError::CorruptPages { table, found }) }
}

/// A number in `meta`; `None` where it was never set.
pub(super) fn meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}

/// A text in `meta`; `None` where it was never set.
pub(super) fn meta_text(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}

/// Sets one value in `meta`.
pub(super) fn set_meta(connection: &Connection, key: &str, value: &dyn ToSql) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2",
        )?
        .execute(rusqlite::params![key, value])
        .map(drop)
}

/// Bytes of the database and its write-ahead log on disk.
pub(super) fn folder_bytes(dir: &Path) -> Result<u64, StoreError> {
    let mut bytes = 0;
    for name in [FILE_NAME.to_owned(), format!("{FILE_NAME}-wal")] {
        let path: PathBuf = dir.join(name);
        match std::fs::metadata(&path) {
            Ok(file) => bytes += file.len(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(StoreError::Folder { path, source }),
        }
    }
    Ok(bytes)
}

/// Bytes of a database in memory.
pub(super) fn page_bytes(connection: &Connection) -> Result<u64, StoreError> {
    let sql = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
    Ok(connection.query_row(sql, [], |row| row.get::<_, i64>(0))? as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_ends_with_its_holder_though_a_child_has_a_copy_of_the_file() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let lock = FolderLock::acquire(dir.path()).expect("nobody holds it");
        let second = FolderLock::acquire(dir.path());
        assert!(matches!(second, Err(StoreError::Locked { .. })));
        let copy = lock.file.try_clone().expect("a file can be copied");
        drop(lock);
        FolderLock::acquire(dir.path()).expect("its holder is gone");
        drop(copy);
    }
}

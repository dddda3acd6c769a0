//! One checksum over several values: what a row holds, or many rows.
//!
//! In: SQLite's values. Out: xxh3-64 of them, also as the SQL function `xxh3(...)` of every connection of ours. SQLite
//! does not check what its pages hold: a flipped bit in a row would be read as another value.

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;
use xxhash_rust::xxh3::Xxh3;

/// The columns of each table that has a `checksum` column over them, as the arguments of `xxh3`.
pub(super) const TABLES: [(&str, &str); 6] = [
    (
        "finding",
        "finding_id, detection, subject_kind, subject_id, severity, state, owner, last_seen, created_commit, \
         key_commit, body",
    ),
    ("finding_past", "finding_id, until_commit, severity, last_seen"),
    ("change", "seq, finding_id, kind, at, body"),
    (
        "quarantine",
        "topic, partition, \"offset\", envelope_index, reason, rank, rejected_micros, source, format, message_hash, \
         content_hash, detail, payload",
    ),
    ("dead_letter", "id, reason, body"),
    ("control", "at_seq, kind, body"),
];

/// A checksum that grows.
#[derive(Default)]
pub(super) struct Checksum(Xxh3);

impl Checksum {
    /// Type, length and bytes: no two lists of values look the same to it.
    pub(super) fn add(&mut self, value: ValueRef<'_>) {
        let mut put = |kind: u8, bytes: &[u8]| {
            self.0.update(&[kind]);
            self.0.update(&(bytes.len() as u64).to_le_bytes());
            self.0.update(bytes);
        };
        match value {
            ValueRef::Null => put(0, &[]),
            ValueRef::Integer(number) => put(1, &number.to_le_bytes()),
            ValueRef::Real(number) => put(2, &number.to_le_bytes()),
            ValueRef::Text(text) => put(3, text),
            ValueRef::Blob(bytes) => put(4, bytes),
        }
    }

    /// Where one list of rows ends and the next begins.
    pub(super) fn end_list(&mut self) {
        self.0.update(&[u8::MAX]);
    }

    /// As SQLite stores it.
    pub(super) fn value(&self) -> i64 {
        self.0.digest().cast_signed()
    }
}

/// Those columns of one table.
pub(super) fn columns(table: &str) -> &'static str {
    TABLES
        .iter()
        .find(|(name, _)| *name == table)
        .map(|(_, columns)| *columns)
        .expect("a table with checksums")
}

/// A statement that gives rows of a table the checksum of what they hold.
pub(super) fn set(table: &str, which: &str) -> String {
    format!("UPDATE {table} SET checksum = xxh3({}) WHERE {which}", columns(table))
}

/// An expression: whether a row of a table is what was written.
pub(super) fn fits(table: &str) -> String {
    format!("checksum IS xxh3({})", columns(table))
}

/// Makes `xxh3(...)` known to a connection. Not to be used in the schema, which an analyst opens with other programs.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("xxh3", -1, flags, |arguments| {
        let mut checksum = Checksum::default();
        (0..arguments.len()).for_each(|index| checksum.add(arguments.get_raw(index)));
        Ok(checksum.value())
    })
}

//! What `quarantine retry` found out, beside the state and not in it.
//!
//! In: outcomes. Out: `retries.db`. The daemon is the one writer of its own database: a command that held a lock
//! there could make a commit fail. So outcomes have a file of their own, which the daemon never opens.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

use super::{Quarantined, StoreError, sqlite};

const FILE_NAME: &str = "retries.db";
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS retry (
    id TEXT PRIMARY KEY,
    message_hash INTEGER NOT NULL,
    retried_micros INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT, WITHOUT ROWID";

/// The last retry of one reject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// When, microseconds since 1970.
    pub at_micros: i64,
    /// One word.
    pub outcome: String,
    /// For a person: why it does not decode.
    pub detail: String,
}

/// Outcomes by the id of the reject.
pub struct Retries {
    connection: Connection,
}

impl Retries {
    /// Opens or creates the outcomes beside the state in `dir`.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open(dir.join(FILE_NAME))?;
        sqlite::prepare(&connection)?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self { connection })
    }

    /// What is known of `rejects`, by id; creates nothing.
    pub fn of(dir: &Path, rejects: &[Quarantined]) -> Result<BTreeMap<String, Retry>, StoreError> {
        let path = dir.join(FILE_NAME);
        if !path.exists() {
            return Ok(BTreeMap::new());
        }
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        sqlite::prepare(&connection)?;
        let mut select =
            connection.prepare("SELECT id, message_hash, retried_micros, outcome, detail FROM retry")?;
        let mut rows = select.query([])?;
        let known: BTreeMap<String, u64> = rejects.iter().map(|r| (r.id(), r.reject.message_hash)).collect();
        let mut found = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let (id, hash): (String, i64) = (row.get(0)?, row.get(1)?);
            if known.get(&id) == Some(&(hash as u64)) {
                let retry = Retry { at_micros: row.get(2)?, outcome: row.get(3)?, detail: row.get(4)? };
                found.insert(id, retry);
            }
        }
        Ok(found)
    }

    /// Remembers the outcomes of some of `kept`, all rejects that are kept, and forgets those of any others.
    pub fn remember(
        &mut self,
        outcomes: &[(&Quarantined, Retry)],
        kept: &[Quarantined],
    ) -> Result<(), StoreError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (reject, retry) in outcomes {
            let hash = reject.reject.message_hash as i64;
            transaction
                .prepare_cached("INSERT OR REPLACE INTO retry VALUES (?, ?, ?, ?, ?)")?
                .execute(params![reject.id(), hash, retry.at_micros, retry.outcome, retry.detail])?;
        }
        transaction.execute("CREATE TEMP TABLE kept (id TEXT PRIMARY KEY) WITHOUT ROWID", [])?;
        for reject in kept {
            transaction.prepare_cached("INSERT OR IGNORE INTO kept VALUES (?)")?.execute([reject.id()])?;
        }
        transaction.execute("DELETE FROM retry WHERE id NOT IN (SELECT id FROM kept)", [])?;
        transaction.execute("DROP TABLE kept", [])?;
        Ok(transaction.commit()?)
    }
}

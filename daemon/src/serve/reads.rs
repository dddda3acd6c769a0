//! Reading committed findings without holding up the runtime.
//!
//! In: a question. Out: its answer, read from SQLite on a blocking thread. At most READERS_MAX questions are
//! answered at the same time; the others wait. Nothing here writes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;

use crate::limits::READERS_MAX;
use crate::store::{Reader, StoreError};

/// A small pool of read-only connections.
pub struct Reads {
    dir: PathBuf,
    instance: String,
    idle: Mutex<Vec<Reader>>,
    permits: Arc<Semaphore>,
}

impl Reads {
    /// Opens the store in this folder. Blocks.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let reader = Reader::open(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            instance: reader.instance()?,
            idle: Mutex::new(vec![reader]),
            permits: Arc::new(Semaphore::new(READERS_MAX)),
        })
    }

    /// Id of the store that was opened: another for every state folder.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Answers on a blocking thread. A reader that failed is not used again.
    pub async fn read<T, W>(self: &Arc<Self>, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    {
        let permit = self.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let reads = self.clone();
        let answer = tokio::task::spawn_blocking(move || {
            let reader = reads.take()?;
            let answer = work(&reader)?;
            reads.give_back(reader);
            drop(permit);
            Ok(answer)
        });
        match answer.await {
            Ok(answer) => answer,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Cancelled: the runtime ends, and this task with it.
                Err(_) => std::future::pending().await,
            },
        }
    }

    fn take(&self) -> Result<Reader, StoreError> {
        let idle = self.idle.lock().expect("nobody panics while holding it").pop();
        idle.map_or_else(|| Reader::open(&self.dir), Ok)
    }

    fn give_back(&self, reader: Reader) {
        self.idle.lock().expect("nobody panics while holding it").push(reader);
    }
}

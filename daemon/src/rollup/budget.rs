//! What all rollups together may hold, in bytes.
//!
//! In: what is added and taken away. Out: whether a new group still fits. The last fifth is kept for subjects that are
//! known already: a flood of new ones must not take the room of those whose findings are open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes in use, and how many there may be. Clones share them.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Shares>);

#[derive(Debug)]
struct Shares {
    used: AtomicUsize,
    max: usize,
}

impl Budget {
    /// At most so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Shares { used: AtomicUsize::new(0), max: bytes_max }))
    }

    /// For rows that are gone again in a moment, and for tests.
    pub fn unlimited() -> Self {
        Self::new(usize::MAX)
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Bytes that there may be.
    pub fn max(&self) -> usize {
        self.0.max
    }

    /// Whether a group of a subject fits, which is known or not.
    pub fn has_room(&self, known: bool) -> bool {
        self.used() < if known { self.0.max } else { self.0.max / 5 * 4 }
    }

    /// So many bytes more.
    pub(super) fn add(&self, bytes: usize) {
        self.0.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes fewer.
    pub(super) fn take(&self, bytes: usize) {
        self.0.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

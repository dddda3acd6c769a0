//! Stored segments of a rollup become one, or one becomes several, on a thread of its own: the pipeline does not wait.
//!
//! In: which segments. Out: those that replace them, for the first commit after they are ready. Until that commit, and
//! after a crash before it, the old ones stand. A round takes what is due of every rollup: each commit adds a segment to
//! most of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::limits::SEGMENT_BYTES_MAX;
use crate::pipeline::background::Background;
use crate::pipeline::{Pipeline, PipelineError};
use crate::rollup::Folding;
use crate::rollup::segments::{self, Encoded, Mergeable, Part};
use crate::store::{NewSegment, Reader};

/// A round takes no more segments once it has so many bytes, by the bounds of their size classes.
const ROUND_BYTES: usize = 8 * SEGMENT_BYTES_MAX;

/// A round under way.
pub(super) struct Merging {
    /// Rollup, and which of its segments.
    taken: Vec<(usize, Mergeable)>,
    /// Before `thread`: what is dropped first lets the thread end soon.
    _abandon: AbandonOnDrop,
    thread: Background<Result<Vec<Vec<Encoded>>, PipelineError>>,
}

/// Nobody reads what a round comes to when its pipeline is gone.
struct AbandonOnDrop(Arc<AtomicBool>);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Segments in place of others.
pub(super) struct Merged {
    pub(super) index: usize,
    pub(super) segments: Vec<(Part, NewSegment)>,
    pub(super) replaces: Vec<i64>,
}

impl Pipeline {
    /// Starts the next round, if anything is due and none is under way.
    pub(super) fn start_merge(&mut self) -> Result<(), PipelineError> {
        if self.merging.is_some() {
            return Ok(());
        }
        let taken = self.take_mergeable();
        if taken.is_empty() {
            return Ok(());
        }
        let reader = self.store.reader()?;
        let work = taken.iter().map(|(index, m)| (self.rollups.folding(*index), m.part, m.ids.clone()));
        let work: Vec<_> = work.collect();
        let is_abandoned = Arc::new(AtomicBool::new(false));
        let stops = is_abandoned.clone();
        let merge_all = move || {
            let merge =
                |(folding, part, ids): (Folding, Part, Vec<i64>)| merge(&reader, folding, part, &ids, &stops);
            work.into_iter().map(merge).collect()
        };
        let thread = Background::begin("merge", merge_all)?;
        self.merging = Some(Merging { taken, _abandon: AbandonOnDrop(is_abandoned), thread });
        Ok(())
    }

    /// What is due, one after the other of each rollup, until a round has enough. The next round goes on there.
    fn take_mergeable(&mut self) -> Vec<(usize, Mergeable)> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        let (rollups, mut without) = (self.levels.len(), 0);
        while without < rollups && bytes < ROUND_BYTES {
            let index = self.merges_next % rollups;
            self.merges_next = index + 1;
            match self.levels[index].take_mergeable() {
                Some(mergeable) => {
                    bytes += mergeable.bytes_max();
                    taken.push((index, mergeable));
                    without = 0;
                }
                None => without += 1,
            }
        }
        taken
    }

    /// What a round came to, once it is ready.
    pub(super) fn merged(&mut self) -> Result<Vec<Merged>, PipelineError> {
        let Some(Merging { taken, thread, .. }) = self.merging.take_if(|merging| merging.thread.is_done())
        else {
            return Ok(Vec::new());
        };
        let merged = taken.into_iter().zip(thread.wait()?).map(|((index, mergeable), encoded)| {
            let segments = encoded.into_iter().map(|e| (e.part, self.segment_of(index, e.bytes))).collect();
            Merged { index, segments, replaces: mergeable.ids }
        });
        Ok(merged.collect())
    }

    /// Leaves the segments as they are: rollups are about to get other numbers.
    pub(super) fn abandon_merge(&mut self) {
        if let Some(Merging { taken, .. }) = self.merging.take() {
            // The newest first: each goes before those that came since.
            for (index, mergeable) in taken.into_iter().rev() {
                self.levels[index].put_back(mergeable);
            }
        }
    }
}

/// The rows of these segments, folded; nothing once it is abandoned.
fn merge(
    reader: &Reader,
    mut folding: Folding,
    part: Part,
    ids: &[i64],
    is_abandoned: &AtomicBool,
) -> Result<Vec<Encoded>, PipelineError> {
    for id in ids {
        if is_abandoned.load(Ordering::Relaxed) {
            return Ok(Vec::new());
        }
        segments::decode(&reader.segment(*id)?.bytes)?.iter().try_for_each(|rows| folding.add(rows))?;
    }
    Ok(folding.finish_as_segments(part)?)
}

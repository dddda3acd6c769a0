//! Stored segments of a rollup become one, or one becomes several, on a thread of its own, one merge at a time: the
//! pipeline does not wait.
//!
//! In: which segments. Out: those that replace them, for the first commit after they are ready. Until that commit, and
//! after a crash before it, the old ones stand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::pipeline::{Pipeline, PipelineError};
use crate::rollup::Folding;
use crate::rollup::segments::{self, Encoded, Mergeable, Part, SegmentLevels};
use crate::store::{NewSegment, Reader};

/// A merge under way.
pub(super) struct Merging {
    index: usize,
    taken: Mergeable,
    is_abandoned: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Vec<Encoded>, PipelineError>>>,
}

/// Segments in place of others.
pub(super) struct Merged {
    pub(super) index: usize,
    pub(super) segments: Vec<(Part, NewSegment)>,
    pub(super) replaces: Vec<i64>,
}

impl Pipeline {
    /// Starts the next merge, if one is due and none is under way.
    pub(super) fn start_merge(&mut self) -> Result<(), PipelineError> {
        if self.merging.is_some() {
            return Ok(());
        }
        let mergeable =
            |(index, levels): (usize, &mut SegmentLevels)| Some((index, levels.take_mergeable()?));
        let Some((index, taken)) = self.levels.iter_mut().enumerate().find_map(mergeable) else {
            return Ok(());
        };
        let (reader, folding) = (self.store.reader()?, self.rollups.folding(index));
        let is_abandoned = Arc::new(AtomicBool::new(false));
        let (part, ids, stops) = (taken.part, taken.ids.clone(), is_abandoned.clone());
        let thread = std::thread::Builder::new().name("merge".to_owned());
        let thread = thread.spawn(move || merge(&reader, folding, part, &ids, &stops));
        let thread = Some(thread.map_err(PipelineError::Thread)?);
        self.merging = Some(Merging { index, taken, is_abandoned, thread });
        Ok(())
    }

    /// What a merge came to, once it is ready.
    pub(super) fn merged(&mut self) -> Result<Option<Merged>, PipelineError> {
        let is_ready = |merging: &mut Merging| merging.thread.as_ref().is_none_or(JoinHandle::is_finished);
        let Some(mut merging) = self.merging.take_if(is_ready) else { return Ok(None) };
        let Some(thread) = merging.thread.take() else { return Ok(None) };
        let encoded = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let (index, replaces) = (merging.index, std::mem::take(&mut merging.taken.ids));
        let segments = encoded.into_iter().map(|e| (e.part, self.segment_of(index, e.bytes)));
        Ok(Some(Merged { index, segments: segments.collect(), replaces }))
    }

    /// Leaves the segments as they are: rollups are about to get other numbers.
    pub(super) fn abandon_merge(&mut self) {
        if let Some(mut merging) = self.merging.take() {
            self.levels[merging.index].put_back(std::mem::take(&mut merging.taken));
        }
    }
}

impl Drop for Merging {
    /// Nobody reads the state any more when its pipeline is gone.
    fn drop(&mut self) {
        self.is_abandoned.store(true, Ordering::Relaxed);
        // What it would have said is of no use to anybody.
        let _ = self.thread.take().map(JoinHandle::join);
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

//! Stored segments of a rollup become one on a thread of its own, one merge at a time: the pipeline does not wait.
//!
//! In: which segments. Out: the one that replaces them, for the first commit after it is ready. Until that commit, and
//! after a crash before it, the old ones stand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::pipeline::{Pipeline, PipelineError};
use crate::rollup::{Folding, segments};
use crate::store::{NewSegment, Reader};

/// A merge under way.
pub(super) struct Merging {
    index: usize,
    class: u32,
    ids: Vec<i64>,
    is_abandoned: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Vec<u8>, PipelineError>>>,
}

/// A segment in place of others.
pub(super) struct Merged {
    pub(super) index: usize,
    pub(super) segment: NewSegment,
    pub(super) replaces: Vec<i64>,
}

impl Pipeline {
    /// Starts the next merge, if one is due and none is under way.
    pub(super) fn start_merge(&mut self) -> Result<(), PipelineError> {
        if self.merging.is_some() {
            return Ok(());
        }
        let mergeable = |(index, levels): (usize, &mut segments::SegmentLevels)| {
            levels.take_mergeable().map(|(class, ids)| (index, class, ids))
        };
        let Some((index, class, ids)) = self.levels.iter_mut().enumerate().find_map(mergeable) else {
            return Ok(());
        };
        let (reader, folding) = (self.store.reader()?, self.rollups.folding(index));
        let is_abandoned = Arc::new(AtomicBool::new(false));
        let (named, stops) = (ids.clone(), is_abandoned.clone());
        let thread = std::thread::Builder::new().name("merge".to_owned());
        let thread = thread.spawn(move || merge(&reader, folding, &named, &stops));
        let thread = Some(thread.map_err(PipelineError::Thread)?);
        self.merging = Some(Merging { index, class, ids, is_abandoned, thread });
        Ok(())
    }

    /// What a merge came to, once it is ready.
    pub(super) fn merged(&mut self) -> Result<Option<Merged>, PipelineError> {
        let is_ready = |merging: &mut Merging| merging.thread.as_ref().is_none_or(JoinHandle::is_finished);
        let Some(mut merging) = self.merging.take_if(is_ready) else { return Ok(None) };
        let Some(thread) = merging.thread.take() else { return Ok(None) };
        let bytes = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let (index, replaces) = (merging.index, std::mem::take(&mut merging.ids));
        Ok(Some(Merged { index, segment: self.segment_of(index, bytes), replaces }))
    }

    /// Leaves the segments as they are: rollups are about to get other numbers.
    pub(super) fn abandon_merge(&mut self) {
        if let Some(mut merging) = self.merging.take() {
            self.levels[merging.index].put_back(merging.class, std::mem::take(&mut merging.ids));
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

/// The rows of these segments as one; nothing once it is abandoned.
fn merge(
    reader: &Reader,
    mut folding: Folding,
    ids: &[i64],
    is_abandoned: &AtomicBool,
) -> Result<Vec<u8>, PipelineError> {
    for id in ids {
        if is_abandoned.load(Ordering::Relaxed) {
            return Ok(Vec::new());
        }
        segments::decode(&reader.segment(*id)?.bytes)?.iter().try_for_each(|rows| folding.add(rows))?;
    }
    Ok(segments::encode(&folding.finish()?)?)
}

//! All stored rows back into their tables, several rollups at the same time: what a restart waits for.
//!
//! In: partial rows in the order in which they were stored. Out: the same rollups as if they were loaded one after the other.
//! Subjects are numbered on the calling thread, in that order: they get the same numbers each time.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use arrow::array::UInt32Array;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::rollup::intervals::Intervals;
use crate::rollup::{RollupError, Rollups};

/// Rows and their subjects by number.
type Numbered = (RecordBatch, UInt32Array);

impl Rollups {
    /// [`Rollups::load`] of everything in `stored`: rollup and rows. Memory beside the tables: two batches a rollup.
    pub fn load_all<E: From<RollupError>>(
        &mut self,
        stored: impl IntoIterator<Item = Result<(usize, RecordBatch), E>>,
    ) -> Result<(), E> {
        let settled = self.settled;
        let layouts: Vec<_> = self.states.iter().map(|state| (state.kind, state.layout.clone())).collect();
        let mut overflow = vec![0; layouts.len()];
        std::thread::scope(|scope| {
            let loaders = self.states.iter_mut().map(|state| spawn(scope, state, settled));
            let (senders, threads): (Vec<_>, Vec<_>) =
                loaders.collect::<Result<Vec<_>, RollupError>>()?.into_iter().unzip();
            for read in stored {
                let (index, rows) = read?;
                let (kind, layout) = &layouts[index];
                let subjects = &mut self.kinds[*kind].1;
                let numbers = layout.numbers(&rows, |name| subjects.number(name));
                if layout.links() {
                    overflow[index] += self.links[*kind].add(layout, &rows, subjects);
                }
                if senders[index].send((rows, numbers)).is_err() {
                    // Its thread ended: it says why.
                    break;
                }
            }
            drop(senders);
            let ends = threads.into_iter().map(ScopedJoinHandle::join);
            ends.map(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .try_for_each(|loaded| Ok::<(), E>(loaded.map_err(RollupError::from)?))
        })?;
        for (state, overflow) in self.states.iter_mut().zip(overflow) {
            state.count_overflow(overflow);
        }
        Ok(())
    }
}

/// What one rollup is sent, and the thread that loads it.
type Loader<'scope> = (SyncSender<Numbered>, ScopedJoinHandle<'scope, Result<(), ArrowError>>);

fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    state: &'scope mut Intervals,
    settled: i64,
) -> Result<Loader<'scope>, RollupError> {
    let (sender, receiver) = sync_channel::<Numbered>(1);
    let work = move || receiver.iter().try_for_each(|(rows, numbers)| state.load(&rows, settled, &numbers));
    Ok((sender, Builder::new().name("load".to_owned()).spawn_scoped(scope, work)?))
}

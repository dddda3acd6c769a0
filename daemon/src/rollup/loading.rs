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
            let mut loaders: Vec<Loader<'_>> = self.states.iter_mut().map(Loader::Waiting).collect();
            for read in stored {
                let (index, rows) = read?;
                let (kind, layout) = &layouts[index];
                let subjects = &mut self.kinds[*kind].1;
                let numbers = layout.numbers(&rows, |name| subjects.number(name));
                if layout.links() {
                    overflow[index] += self.links[*kind].add(layout, &rows, subjects);
                }
                loaders[index].load((rows, numbers), settled, scope)?;
            }
            loaders.into_iter().try_for_each(Loader::finish).map_err(E::from)
        })?;
        for (state, overflow) in self.states.iter_mut().zip(overflow) {
            state.count_overflow(overflow);
        }
        Ok(())
    }
}

/// One rollup while rows are loaded.
enum Loader<'scope> {
    Waiting(&'scope mut Intervals),
    Loading(SyncSender<Numbered>, ScopedJoinHandle<'scope, Result<(), ArrowError>>),
    Ended,
}

impl<'scope> Loader<'scope> {
    fn load(
        &mut self,
        rows: Numbered,
        settled: i64,
        scope: &'scope Scope<'scope, '_>,
    ) -> Result<(), RollupError> {
        let (sender, thread) = match std::mem::replace(self, Self::Ended) {
            Self::Waiting(state) => {
                let (sender, receiver) = sync_channel::<Numbered>(1);
                let work = move || {
                    receiver.iter().try_for_each(|(rows, numbers)| state.load(&rows, settled, &numbers))
                };
                (sender, Builder::new().name("load".to_owned()).spawn_scoped(scope, work)?)
            }
            Self::Loading(sender, thread) => (sender, thread),
            Self::Ended => return Ok(()),
        };
        let is_taken = sender.send(rows).is_ok();
        *self = Self::Loading(sender, thread);
        // It ended: it says why.
        if is_taken { Ok(()) } else { std::mem::replace(self, Self::Ended).finish() }
    }

    fn finish(self) -> Result<(), RollupError> {
        let Self::Loading(sender, thread) = self else { return Ok(()) };
        drop(sender);
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?)
    }
}

//! Work on a thread of its own that never outlives whoever began it.
//!
//! In: a piece of work. Out: whether it is done, and what it came to. Who drops a pipeline may open its state next: all
//! that reads or writes it has ended by then.

use std::thread::{Builder, JoinHandle};

use crate::pipeline::PipelineError;

/// Work under way; dropping it waits for its end.
pub(super) struct Background<T>(Option<JoinHandle<T>>);

impl<T: Send + 'static> Background<T> {
    /// Begins `work` on a thread of this name.
    pub(super) fn begin(
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Self, PipelineError> {
        let thread = Builder::new().name(name.to_owned()).spawn(work);
        Ok(Self(Some(thread.map_err(PipelineError::Thread)?)))
    }

    /// Whether its outcome is there.
    pub(super) fn is_done(&self) -> bool {
        self.0.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Its outcome, once it is there. A panic of the work goes on here.
    pub(super) fn wait(mut self) -> T {
        let thread = self.0.take().expect("only waiting takes the thread, and that ends this value");
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl<T> Drop for Background<T> {
    fn drop(&mut self) {
        // What it would have said is of no use to anybody.
        let _ = self.0.take().map(JoinHandle::join);
    }
}

//! Rollups: the state of the system. Enriched events go in, mergeable rows by key and time come out.
//!
//! In: [`EnrichedBatch`](crate::schema::EnrichedBatch). Out: rows of settled time for the grid, rows of all
//! time for an early look, partial rows to be stored. Events behind the watermark are counted, never added.

pub mod budget;
pub mod intervals;
pub mod layout;
mod links;
mod loading;
pub mod schedule;
pub mod segments;
mod sketches;
pub mod state;
mod subjects;
pub mod table;
pub mod watermark;

pub use budget::Budget;
pub use state::{Absorbed, Folding, RollupError, Rollups, View};
pub use subjects::{SubjectId, Subjects};
pub use table::Selection;
pub use watermark::{Partition, Watermark, WatermarkState};

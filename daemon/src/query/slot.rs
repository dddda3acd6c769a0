//! A table that holds still while a plan stays and its rows change.
//!
//! In: rows, put in place before a run. Out: what the engine reads of them.

use std::sync::{Arc, Mutex};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;

/// A table whose rows are put in place before each run.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    schema: SchemaRef,
    batches: Arc<Mutex<Vec<RecordBatch>>>,
}

impl Slot {
    /// A table without rows.
    pub(super) fn empty(schema: SchemaRef) -> Self {
        Self { schema, batches: Arc::default() }
    }

    /// A table of these rows.
    pub(super) fn holding(batch: &RecordBatch) -> Self {
        let slot = Self::empty(batch.schema());
        slot.put(vec![batch.clone()]);
        slot
    }

    /// Puts rows in place of those that it holds.
    pub(super) fn put(&self, batches: Vec<RecordBatch>) {
        *self.batches.lock().expect("no code panics while it holds a slot") = batches;
    }

    /// The rows.
    pub(super) fn get(&self) -> Vec<RecordBatch> {
        self.batches.lock().expect("no code panics while it holds a slot").clone()
    }

    /// What the engine registers.
    pub(super) fn table(&self) -> Result<Arc<StreamingTable>, DataFusionError> {
        StreamingTable::try_new(self.schema.clone(), vec![Arc::new(self.clone())]).map(Arc::new)
    }
}

impl PartitionStream for Slot {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let stream = futures::stream::iter(self.get().into_iter().map(Ok));
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), stream))
    }
}

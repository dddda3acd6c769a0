//! Counting distinct values in SQL: `hll_sketch` in rollups, `hll_merge` and `hll_estimate` in detections.
//!
//! In: texts, whole numbers, sketches. Out: sketches as bytes, estimates. What a sketch is, how exact and who can
//! skew it is said in [`crate::sketch`]. Rows without a value count for nothing: a sketch of none is null.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, EmitTo, GroupsAccumulator,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::sketch::{self, Sketch, SketchError};

/// `hll_sketch(x)`: a sketch of the distinct values of a text or BIGINT. `hll_merge(sketch)`: one of all that several
/// hold.
pub(super) fn aggregates() -> Vec<AggregateUDF> {
    let signature = || Signature::user_defined(Volatility::Immutable);
    [Takes::Values, Takes::Sketches]
        .map(|takes| AggregateUDF::from(SketchAggregate { takes, signature: signature() }))
        .into()
}

/// `hll_estimate(sketch)`: how many distinct values there were; 0 for null, as `count(DISTINCT ...)` of no rows.
pub(super) fn estimate() -> ScalarUDF {
    let signature = Signature::exact(vec![DataType::Binary], Volatility::Immutable);
    ScalarUDF::from(EstimateFunction { signature })
}

fn failed(error: SketchError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct EstimateFunction {
    signature: Signature,
}

impl ScalarUDFImpl for EstimateFunction {
    fn name(&self) -> &str {
        "hll_estimate"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let sketches = arrays[0].as_binary::<i32>().iter();
        let counts = sketches.map(|bytes| bytes.map_or(Ok(0), sketch::estimate).map_err(failed));
        let counts: Int64Array = counts.collect::<Result<Vec<i64>>>()?.into();
        Ok(ColumnarValue::Array(Arc::new(counts)))
    }
}

/// What an aggregate makes a sketch of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Takes {
    Values,
    Sketches,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SketchAggregate {
    takes: Takes,
    signature: Signature,
}

impl AggregateUDFImpl for SketchAggregate {
    fn name(&self) -> &str {
        match self.takes {
            Takes::Values => "hll_sketch",
            Takes::Sketches => "hll_merge",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name();
        let [given] = given else { return plan_err!("`{name}` takes one argument") };
        let value = match given {
            DataType::Dictionary(_, value) => value,
            other => other,
        };
        match (self.takes, value) {
            (Takes::Values, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null) => {
                Ok(vec![DataType::Utf8])
            }
            (Takes::Values, whole) if whole.is_signed_integer() => Ok(vec![DataType::Int64]),
            (Takes::Values, _) => plan_err!("`{name}` takes text or BIGINT, not {given}; cast it"),
            (Takes::Sketches, DataType::Binary | DataType::Null) => Ok(vec![DataType::Binary]),
            (Takes::Sketches, _) => plan_err!("`{name}` takes sketches of `hll_sketch`, not {given}"),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneSketch::default()))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(GroupSketches::default()))
    }
}

/// Sketches by group.
#[derive(Debug, Default)]
struct GroupSketches(Vec<Option<Sketch>>);

impl GroupSketches {
    /// Adds the values, or the sketches, of a column to the group of their row; rows of no group are left out.
    fn add(&mut self, column: &ArrayRef, group_of: impl Fn(usize) -> Option<usize>) -> Result<()> {
        let rows = (0..column.len()).filter(|row| column.is_valid(*row));
        let rows = rows.filter_map(|row| Some((row, group_of(row)?)));
        match column.data_type() {
            DataType::Utf8 => {
                let texts = column.as_string::<i32>();
                rows.for_each(|(row, group)| self.of(group).add_text(texts.value(row)));
            }
            DataType::Int64 => {
                let numbers = column.as_primitive::<Int64Type>();
                rows.for_each(|(row, group)| self.of(group).add_number(numbers.value(row)));
            }
            _ => {
                let sketches = column.as_binary::<i32>();
                for (row, group) in rows {
                    self.of(group).absorb(sketches.value(row)).map_err(failed)?;
                }
            }
        }
        Ok(())
    }

    fn of(&mut self, group: usize) -> &mut Sketch {
        self.0[group].get_or_insert_default()
    }

    fn grow(&mut self, groups: usize) {
        self.0.resize_with(groups.max(self.0.len()), || None);
    }

    fn emit(&mut self, emit_to: EmitTo) -> ArrayRef {
        let sketches = emit_to.take_needed(&mut self.0);
        let bytes = sketches.iter().map(|sketch| sketch.as_ref().map(Sketch::to_bytes));
        Arc::new(bytes.collect::<BinaryArray>())
    }

    fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<Option<Sketch>>()
            + self.0.iter().flatten().map(Sketch::size).sum::<usize>()
    }
}

fn passes(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

impl GroupsAccumulator for GroupSketches {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        self.add(&values[0], |row| passes(filter, row).then(|| group_indices[row]))
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.update_batch(values, group_indices, None, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(self.emit(emit_to))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.emit(emit_to)])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut rows = Self::default();
        rows.grow(values[0].len());
        rows.add(&values[0], |row| passes(filter, row).then_some(row))?;
        Ok(vec![rows.emit(EmitTo::All)])
    }

    fn size(&self) -> usize {
        self.bytes()
    }
}

/// The sketch of a query without groups.
#[derive(Debug)]
struct OneSketch(GroupSketches);

impl Default for OneSketch {
    fn default() -> Self {
        Self(GroupSketches(vec![None]))
    }
}

impl Accumulator for OneSketch {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.add(&values[0], |_| Some(0))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Binary(self.0.0[0].as_ref().map(Sketch::to_bytes)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn size(&self) -> usize {
        self.0.bytes()
    }
}

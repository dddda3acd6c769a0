//! The functions that our SQL has beyond DataFusion's own, and the list of all that it may use.
//!
//! In: masks, sketches and the instant of evaluation. Out: scalar functions and aggregates. None reads a clock: `as_of()` gives the
//! grid point that the pipeline set before it ran the query.

mod sketches;

use std::any::type_name;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// Scalar functions a query may call. Everything else (files, randomness, clocks, versions) is refused.
pub const SCALAR_FUNCTIONS: &[&str] = &[
    "abs",
    "as_of",
    "btrim",
    "ceil",
    "coalesce",
    "concat",
    "concat_ws",
    "contains",
    "date_bin",
    "date_part",
    "date_trunc",
    "ends_with",
    "exp",
    "floor",
    "greatest",
    "hll_estimate",
    "least",
    "left",
    "length",
    "character_length",
    "ln",
    "lower",
    "ltrim",
    "mask_cadence_cv",
    "mask_longest_gap",
    "nullif",
    "popcount",
    "power",
    "regexp_like",
    "replace",
    "right",
    "round",
    "rtrim",
    "signum",
    "split_part",
    "sqrt",
    "starts_with",
    "strpos",
    "substr",
    "to_char",
    "trunc",
    "upper",
    "nvl",
    "nvl2",
];

/// Aggregates a rollup may use: those whose partial results merge by the same or a simpler operation.
pub const MERGEABLE_AGGREGATES: &[&str] = &["count", "sum", "min", "max", "bool_or", "bit_or", "hll_sketch"];

/// Aggregates a detection may use besides.
pub const DETECTION_AGGREGATES: &[&str] = &[
    "avg",
    "bool_and",
    "hll_merge",
    "median",
    "stddev",
    "stddev_pop",
    "var_pop",
    "string_agg",
    "array_agg",
    "first_value",
    "last_value",
];

/// The instant of evaluation, shared by `as_of()` and whoever runs a query. Microseconds since 1970.
#[derive(Debug, Clone, Default)]
pub struct AsOf(Arc<AtomicI64>);

impl AsOf {
    /// Sets the instant for every query that runs after this.
    pub fn set(&self, micros: i64) {
        self.0.store(micros, Ordering::Relaxed);
    }

    fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All aggregates of ours.
pub fn aggregates() -> Vec<AggregateUDF> {
    sketches::aggregates()
}

/// All scalar functions of ours, `as_of()` bound to `as_of`.
pub fn all(as_of: &AsOf) -> Vec<ScalarUDF> {
    vec![
        ScalarUDF::from(AsOfFunction {
            as_of: as_of.clone(),
            signature: Signature::nullary(Volatility::Volatile),
        }),
        ScalarUDF::from(MaskFunction::new("popcount", 1, DataType::Int64, popcount)),
        ScalarUDF::from(MaskFunction::new("mask_cadence_cv", 1, DataType::Float64, cadence_cv)),
        ScalarUDF::from(MaskFunction::new("mask_longest_gap", 2, DataType::Int64, longest_gap)),
        sketches::estimate(),
    ]
}

#[derive(Debug)]
struct AsOfFunction {
    as_of: AsOf,
    signature: Signature,
}

impl PartialEq for AsOfFunction {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.as_of.0, &other.as_of.0)
    }
}

impl Eq for AsOfFunction {}

impl Hash for AsOfFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.as_of.0).hash(state);
    }
}

impl ScalarUDFImpl for AsOfFunction {
    fn name(&self) -> &str {
        "as_of"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Microsecond, None))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(ScalarValue::TimestampMicrosecond(Some(self.as_of.get()), None)))
    }
}

type MaskKernel = fn(&[&Int64Array], usize) -> ArrayRef;

/// A function over BIGINT masks.
struct MaskFunction {
    name: &'static str,
    signature: Signature,
    returns: DataType,
    kernel: MaskKernel,
}

impl MaskFunction {
    fn new(name: &'static str, arity: usize, returns: DataType, kernel: MaskKernel) -> Self {
        let signature = Signature::exact(vec![DataType::Int64; arity], Volatility::Immutable);
        Self { name, signature, returns, kernel }
    }
}

impl fmt::Debug for MaskFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", type_name::<Self>(), self.name)
    }
}

impl PartialEq for MaskFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for MaskFunction {}

impl Hash for MaskFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for MaskFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let masks: Vec<&Int64Array> = arrays.iter().map(|a| a.as_primitive::<Int64Type>()).collect();
        Ok(ColumnarValue::Array((self.kernel)(&masks, args.number_rows)))
    }
}

/// Number of bits set.
fn popcount(masks: &[&Int64Array], _rows: usize) -> ArrayRef {
    Arc::new(masks[0].iter().map(|m| m.map(|m| i64::from(m.count_ones()))).collect::<Int64Array>())
}

/// Coefficient of variation of the intervals between set bits: 0 is a metronome. Null under three set bits.
fn cadence_cv(masks: &[&Int64Array], _rows: usize) -> ArrayRef {
    Arc::new(masks[0].iter().map(|m| m.and_then(cadence_cv_of)).collect::<Float64Array>())
}

fn cadence_cv_of(mask: i64) -> Option<f64> {
    let bits: Vec<i64> = (0..64).filter(|bit| mask >> bit & 1 == 1).collect();
    if bits.len() < 3 {
        return None;
    }
    let gaps: Vec<f64> = bits.windows(2).map(|w| (w[1] - w[0]) as f64).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|g| (g - mean) * (g - mean)).sum::<f64>() / gaps.len() as f64;
    Some(variance.sqrt() / mean)
}

/// Longest circular run of zero bits among the lowest `bits`: hours of sleep in a mask of 24 hours.
fn longest_gap(masks: &[&Int64Array], _rows: usize) -> ArrayRef {
    let pairs = masks[0].iter().zip(masks[1].iter());
    Arc::new(pairs.map(|(mask, bits)| Some(longest_gap_of(mask?, bits?))).collect::<Int64Array>())
}

fn longest_gap_of(mask: i64, bits: i64) -> i64 {
    let bits = bits.clamp(0, 64);
    let gaps = !u128::from(mask.cast_unsigned()) & ((1 << bits) - 1);
    // Twice around; each round every run of ones loses its first.
    let mut runs = gaps | gaps << bits;
    let mut longest = 0;
    while runs != 0 && longest < bits {
        runs &= runs << 1;
        longest += 1;
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cadence_of_a_metronome_is_zero_and_of_a_person_is_not() {
        assert_eq!(cadence_cv_of(0b1_0001_0001_0001), Some(0.0));
        assert!(cadence_cv_of(0b1_0000_0011_0001).is_some_and(|cv| cv > 0.5));
        assert_eq!(cadence_cv_of(0b11), None);
    }

    #[test]
    fn longest_gap_wraps_around_midnight() {
        assert_eq!(longest_gap_of(0, 24), 24);
        assert_eq!(longest_gap_of((1 << 24) - 1, 24), 0);
        let office_hours = ((1 << 18) - 1) & !((1 << 9) - 1);
        assert_eq!(longest_gap_of(office_hours, 24), 15);
    }
}

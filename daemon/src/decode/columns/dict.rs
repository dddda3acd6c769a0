//! A dictionary column while it is being filled: most values of a log are those of the row before.
//!
//! In: one value or none a row. Out: `Dictionary(Int32, Utf8)`, values in the order of their first row.

use std::ops::Range;
use std::sync::Arc;

use ahash::RandomState;
use arrow::array::{ArrayBuilder, DictionaryArray, PrimitiveBuilder, StringBuilder};
use arrow::datatypes::Int32Type;
use hashbrown::HashTable;

/// Rows are kept as runs until another value comes: a column without values costs a count a row.
#[derive(Default)]
pub(super) struct Dict {
    keys: PrimitiveBuilder<Int32Type>,
    values: StringBuilder,
    /// Keys by the hash of their value; seeded at random, so that nobody can choose values that collide.
    known: HashTable<i32>,
    hasher: RandomState,
    /// Of the rows of the run: `None` is null.
    key: Option<i32>,
    /// Where the run's value stands in `values`.
    value: Range<usize>,
    run: usize,
}

impl Dict {
    /// Appends a row of this value.
    pub(super) fn append_value(&mut self, value: &str) {
        if self.key.is_none() || self.values.values_slice()[self.value.clone()] != *value.as_bytes() {
            self.end_run();
            self.begin_run(value);
        }
        self.run += 1;
    }

    /// Appends a row without a value.
    pub(super) fn append_null(&mut self) {
        if self.key.is_some() {
            self.end_run();
            self.key = None;
        }
        self.run += 1;
    }

    fn end_run(&mut self) {
        let rows = std::mem::take(&mut self.run);
        match self.key {
            Some(key) => self.keys.append_value_n(key, rows),
            None if rows > 0 => self.keys.append_nulls(rows),
            None => {}
        }
    }

    fn begin_run(&mut self, value: &str) {
        let Self { values, known, hasher, .. } = self;
        let hash = hasher.hash_one(value.as_bytes());
        let known_key =
            known.find(hash, |key| values.values_slice()[place(values, *key)] == *value.as_bytes());
        let key = known_key.copied().unwrap_or_else(|| {
            let key = i32::try_from(values.len()).expect("a batch has fewer rows than there are keys");
            values.append_value(value);
            let rehash = |key: &i32| hasher.hash_one(&values.values_slice()[place(values, *key)]);
            *known.insert_unique(hash, key, rehash).get()
        });
        self.value = place(values, key);
        self.key = Some(key);
    }

    /// The rows so far; leaves none.
    pub(super) fn finish(&mut self) -> DictionaryArray<Int32Type> {
        self.end_run();
        self.key = None;
        self.known.clear();
        DictionaryArray::new(self.keys.finish(), Arc::new(self.values.finish()))
    }
}

/// Where the value of `key` stands in the bytes of `values`.
fn place(values: &StringBuilder, key: i32) -> Range<usize> {
    let offsets = values.offsets_slice();
    offsets[key as usize] as usize..offsets[key as usize + 1] as usize
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, StringDictionaryBuilder};

    use super::*;

    #[test]
    fn rows_are_those_that_arrows_own_builder_gives() {
        let mut random = 7_u64;
        let mut dict = Dict::default();
        for rows in [0, 1, 5, 3_000, 40] {
            let mut expected = StringDictionaryBuilder::<Int32Type>::new();
            for _ in 0..rows {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                match random >> 60 {
                    0..8 => {
                        dict.append_value("often");
                        expected.append_value("often");
                    }
                    8..11 => {
                        dict.append_null();
                        expected.append_null();
                    }
                    11..13 => {
                        dict.append_value("");
                        expected.append_value("");
                    }
                    _ => {
                        let value = format!("é{}", random >> 40);
                        dict.append_value(&value);
                        expected.append_value(&value);
                    }
                }
            }
            let (found, expected) = (dict.finish(), expected.finish());
            assert_eq!(found.to_data(), expected.to_data(), "{rows} rows");
        }
    }
}

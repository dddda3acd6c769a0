//! Texts as numbers, and outcomes remembered by tuples of them: work is done once per distinct tuple.
//!
//! In: dictionary columns of event batches. Out: one number a row and column; outcomes by tuple. Both are
//! bounded by the caller, which forgets everything when a bound is passed; outcomes never depend on that.

use ahash::RandomState;
use arrow::array::{Array, DictionaryArray, StringArray};
use arrow::datatypes::Int32Type;
use arrow::record_batch::RecordBatch;
use hashbrown::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// Number of a text; 0 is null.
pub(super) type TextId = u32;

/// The number of null.
pub(super) const NULL: TextId = 0;

/// Numbers texts, the same number for the same text whatever column it stands in.
#[derive(Debug, Default)]
pub(super) struct Texts {
    ids: HashMap<Arc<str>, TextId, RandomState>,
    values: Vec<Arc<str>>,
}

impl Texts {
    pub(super) fn id(&mut self, text: &str) -> TextId {
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        let text: Arc<str> = text.into();
        self.values.push(text.clone());
        let id = TextId::try_from(self.values.len()).expect("texts are forgotten long before 2^32");
        self.ids.insert(text, id);
        id
    }

    pub(super) fn get(&self, id: TextId) -> Option<&str> {
        self.values.get((id as usize).checked_sub(1)?).map(|text| &**text)
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn clear(&mut self) {
        self.ids.clear();
        self.values.clear();
    }

    /// One number a row of a dictionary column.
    pub(super) fn column(&mut self, batch: &RecordBatch, name: &str) -> Vec<TextId> {
        let column = dictionary(batch, name);
        let values = texts_of(column);
        let ids: Vec<TextId> = values.iter().map(|value| value.map_or(NULL, |text| self.id(text))).collect();
        codes(column).map(|code| code.map_or(NULL, |code| ids[code])).collect()
    }
}

/// The dictionary column `name` of a batch whose schema was checked.
pub(super) fn dictionary<'a>(batch: &'a RecordBatch, name: &str) -> &'a DictionaryArray<Int32Type> {
    let column = batch.column_by_name(name).expect("the event schema has this column");
    column.as_any().downcast_ref().expect("the event schema makes it a dictionary")
}

/// Its distinct values.
pub(super) fn texts_of(column: &DictionaryArray<Int32Type>) -> &StringArray {
    column.values().as_any().downcast_ref().expect("the event schema makes it a dictionary of texts")
}

/// Per row, the place of its value.
pub(super) fn codes(column: &DictionaryArray<Int32Type>) -> impl Iterator<Item = Option<usize>> {
    column.keys().iter().map(|key| key.map(|code| usize::try_from(code).expect("codes are not negative")))
}

/// Outcomes by tuple.
#[derive(Debug)]
pub(super) struct Memo<K, V> {
    numbers: HashMap<K, u32, RandomState>,
    outcomes: Vec<V>,
}

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Self { numbers: HashMap::default(), outcomes: Vec::new() }
    }
}

impl<K: Eq + Hash, V> Memo<K, V> {
    /// The number of the outcome of `key`, worked out if it is new.
    pub(super) fn number(&mut self, key: K, work_out: impl FnOnce() -> V) -> usize {
        let outcomes = &mut self.outcomes;
        let number = *self.numbers.entry(key).or_insert_with(|| {
            outcomes.push(work_out());
            u32::try_from(outcomes.len() - 1).expect("outcomes are forgotten long before 2^32")
        });
        number as usize
    }

    pub(super) fn get(&self, number: usize) -> &V {
        &self.outcomes[number]
    }

    pub(super) fn len(&self) -> usize {
        self.outcomes.len()
    }

    pub(super) fn clear(&mut self) {
        self.numbers.clear();
        self.outcomes.clear();
    }
}

//! Subjects of one kind by number: rows name them by four bytes.
//!
//! In: names. Out: numbers, given out at first sight of a row that is kept, and what all of them take in memory.

use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashMap;

use crate::rollup::Budget;

/// Number of a subject in [`Subjects`].
pub type SubjectId = u32;

/// Bytes of a subject beside its name: a hash table's place and a list's, of which half may be free, and the text's header.
const SUBJECT_BYTES: usize = 72;
/// Subjects of one kind by number. Numbers live as long as the process.
#[derive(Debug)]
pub struct Subjects {
    numbers: HashMap<Arc<str>, SubjectId, RandomState>,
    names: Vec<Arc<str>>,
    budget: Budget,
}

impl Default for Subjects {
    fn default() -> Self {
        Self::within(Budget::unlimited())
    }
}

impl Subjects {
    /// None yet; what they take is counted.
    pub fn within(budget: Budget) -> Self {
        Self { numbers: HashMap::default(), names: Vec::new(), budget }
    }

    /// The subject's number, given out at first sight.
    pub fn number(&mut self, name: &str) -> SubjectId {
        if let Some(id) = self.numbers.get(name) {
            return *id;
        }
        let id = self.names.len() as SubjectId;
        self.budget.add(name.len() + SUBJECT_BYTES);
        let name: Arc<str> = name.into();
        self.names.push(name.clone());
        self.numbers.insert(name, id);
        id
    }

    /// Gives the subjects of `known` the same numbers here; called before any other number is given out.
    pub fn extend(&mut self, known: &Self) {
        for name in &known.names {
            self.number(name);
        }
    }

    /// The number of a subject already seen.
    pub fn find(&self, name: &str) -> Option<SubjectId> {
        self.numbers.get(name).copied()
    }

    /// The subject's name.
    pub fn name(&self, id: SubjectId) -> &Arc<str> {
        &self.names[id as usize]
    }

    /// Every subject seen.
    pub fn all(&self) -> impl Iterator<Item = SubjectId> + use<> {
        0..self.names.len() as SubjectId
    }
}

impl Drop for Subjects {
    fn drop(&mut self) {
        self.budget.take(self.names.iter().map(|name| name.len() + SUBJECT_BYTES).sum());
    }
}

//! What the keys of a log mean, remembered from record to record: a producer writes the same keys in the same order.
//!
//! In: a key as it is spelt, and the group it stands in. Out: its meaning, the same as if it were not remembered.

use ahash::RandomState;
use hashbrown::HashTable;

use super::{Fact, Meaning};

/// Bytes of a name without dots and dashes; no format knows a longer one.
const NAME_BYTES_MAX: usize = 64;
/// Bytes of a key as it is spelt that is remembered.
const KEY_BYTES_MAX: usize = 2 * NAME_BYTES_MAX;
/// Keys remembered a format: beyond any operator's layouts, and at most 160 KiB. Others are worked out each time.
pub(super) const KEYS_MAX: usize = 1_024;
/// Stands for the start of a record: no key is in this group.
const NO_GROUP: usize = usize::MAX;

/// The keys of one format that were seen, each with the one that came after it last time.
pub(in crate::decode) struct Names {
    known: Vec<Known>,
    by_key: HashTable<usize>,
    /// Seeded at random, so that nobody can choose keys that collide.
    hasher: RandomState,
    /// The key before, in `known`.
    last: usize,
    /// Names of objects that hold facts. The first is the record itself.
    groups: Vec<String>,
}

struct Known {
    group: usize,
    key: Box<str>,
    meaning: Meaning,
    /// In `known`.
    next: usize,
}

impl Default for Names {
    fn default() -> Self {
        let start = Known { group: NO_GROUP, key: "".into(), meaning: Meaning::Nothing, next: 0 };
        Self {
            known: vec![start],
            by_key: HashTable::new(),
            hasher: RandomState::new(),
            last: 0,
            groups: vec![String::new()],
        }
    }
}

impl Names {
    /// A new record begins: its group.
    pub(super) fn begin(&mut self) -> usize {
        self.last = 0;
        0
    }

    /// What `key` means in `group`.
    pub(super) fn meaning<F: Fact>(&mut self, group: usize, key: &str) -> Meaning {
        let next = self.known[self.last].next;
        if self.known[next].is(group, key) {
            self.last = next;
            return self.known[next].meaning;
        }
        self.meaning_out_of_turn::<F>(group, key)
    }

    fn meaning_out_of_turn<F: Fact>(&mut self, group: usize, key: &str) -> Meaning {
        let hash = self.hasher.hash_one((group, key));
        let place = match self.by_key.find(hash, |place| self.known[*place].is(group, key)) {
            Some(place) => *place,
            None => {
                let meaning = self.work_out::<F>(group, key);
                if self.known.len() > KEYS_MAX || key.len() > KEY_BYTES_MAX {
                    return meaning;
                }
                self.remember(hash, Known { group, key: key.into(), meaning, next: 0 })
            }
        };
        self.known[self.last].next = place;
        self.last = place;
        self.known[place].meaning
    }

    fn remember(&mut self, hash: u64, known: Known) -> usize {
        let place = self.known.len();
        self.known.push(known);
        let Self { known, by_key, hasher, .. } = self;
        let rehash = |place: &usize| hasher.hash_one((known[*place].group, &*known[*place].key));
        by_key.insert_unique(hash, place, rehash);
        place
    }

    fn work_out<F: Fact>(&mut self, group: usize, key: &str) -> Meaning {
        let name = self.name(group, key);
        if name.len() > NAME_BYTES_MAX || name.len() == self.groups[group].len() {
            return Meaning::Nothing;
        }
        if let Some((fact, rank)) = F::of(&name) {
            return Meaning::Fact(fact.index(), rank);
        }
        if !F::is_group(&name) {
            return Meaning::Nothing;
        }
        let known = self.groups.iter().position(|group| *group == name);
        Meaning::Group(known.unwrap_or_else(|| {
            self.groups.push(name);
            self.groups.len() - 1
        }))
    }

    /// Letters and digits of the keys that lead to a value, in lower case; of what is too long only the start.
    pub(super) fn name(&self, group: usize, key: &str) -> String {
        let kept = key.bytes().filter(u8::is_ascii_alphanumeric).take(NAME_BYTES_MAX + 1);
        let mut name = self.groups[group].clone();
        name.extend(kept.map(|byte| char::from(byte.to_ascii_lowercase())));
        name
    }
}

#[cfg(test)]
impl Names {
    pub(super) fn keys_remembered(&self) -> usize {
        self.known.len() - 1
    }
}

impl Known {
    fn is(&self, group: usize, key: &str) -> bool {
        self.group == group && *self.key == *key
    }
}

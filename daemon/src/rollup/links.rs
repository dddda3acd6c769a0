//! Which subjects a token ties together: who gave it out, and who presents it.
//!
//! In: rows of rollups that name such columns. Out: the families of subjects: whose rows must be seen, and which
//! subjects are concerned, when one of them changes. A family may be too large, never too small: a token that is
//! long forgotten, or two that share a hash, cost time and change no answer. SQL alone decides who is related.

use ahash::RandomState;
use arrow::array::{Array, AsArray, StringArray};
use arrow::record_batch::RecordBatch;
use hashbrown::{HashMap, HashSet};
use xxhash_rust::xxh3::xxh3_64;

use crate::limits::{LINK_LEVELS_MAX, LINKS_MAX};
use crate::rollup::layout::Layout;
use crate::rollup::{SubjectId, Subjects};

/// Hash of a token's text.
type TokenHash = u64;

/// The tokens of all subjects of one kind.
#[derive(Debug, Default)]
pub struct Links {
    issued: Side,
    presented: Side,
}

impl Links {
    /// Notes the tokens in rows of one rollup; returns how many did not fit.
    pub fn add(&mut self, layout: &Layout, rows: &RecordBatch, subjects: &Subjects) -> u64 {
        let sides = [(layout.issued, &mut self.issued), (layout.presented, &mut self.presented)];
        let names: &StringArray = rows.column(layout.subject).as_string();
        let mut overflow = 0;
        for (column, side) in sides {
            let Some(column) = column else { continue };
            let tokens: &StringArray = rows.column(column).as_string();
            for row in (0..rows.num_rows()).filter(|row| names.is_valid(*row) && tokens.is_valid(*row)) {
                // A subject without a number has no row: there was no room for it, which was counted.
                let Some(subject) = subjects.find(names.value(row)) else { continue };
                let token = xxh3_64(tokens.value(row).as_bytes());
                overflow += u64::from(!side.add(token, subject));
            }
        }
        overflow
    }

    /// `subjects`, those whose tokens they present, and those who present theirs, level by level in each
    /// direction; in order of number. `subjects` alone where that would be more than `at_most`.
    pub fn family(&self, subjects: &[SubjectId], at_most: usize) -> Vec<SubjectId> {
        let mut family: HashSet<SubjectId, RandomState> = subjects.iter().copied().collect();
        for (from, to) in [(&self.presented, &self.issued), (&self.issued, &self.presented)] {
            let mut reached: HashSet<SubjectId, RandomState> = subjects.iter().copied().collect();
            let mut newest = subjects.to_vec();
            for _ in 0..LINK_LEVELS_MAX {
                newest = next_level(&newest, from, to, &mut reached);
                if newest.is_empty() {
                    break;
                }
                if reached.len() > at_most {
                    return subjects.to_vec();
                }
            }
            family.extend(reached);
        }
        let mut family: Vec<SubjectId> = family.into_iter().collect();
        family.sort_unstable();
        family
    }
}

/// Subjects that share a token with one of `subjects`, theirs on one side and its on the other, and are new.
fn next_level(
    subjects: &[SubjectId],
    from: &Side,
    to: &Side,
    reached: &mut HashSet<SubjectId, RandomState>,
) -> Vec<SubjectId> {
    let tokens = subjects.iter().filter_map(|subject| from.tokens.get(subject)).flatten();
    let others = tokens.filter_map(|token| to.subjects.get(token)).flatten();
    others.filter(|other| reached.insert(**other)).copied().collect()
}

/// Tokens and subjects of one direction, found from either.
#[derive(Debug, Default)]
struct Side {
    tokens: HashMap<SubjectId, HashSet<TokenHash, RandomState>, RandomState>,
    subjects: HashMap<TokenHash, Vec<SubjectId>, RandomState>,
    pairs: usize,
}

impl Side {
    /// Whether the pair is known now.
    fn add(&mut self, token: TokenHash, subject: SubjectId) -> bool {
        let tokens = self.tokens.entry(subject).or_default();
        if tokens.contains(&token) {
            return true;
        }
        if self.pairs >= LINKS_MAX {
            return false;
        }
        tokens.insert(token);
        self.subjects.entry(token).or_default().push(subject);
        self.pairs += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `issued` and `presented`: (subject, token).
    fn links(issued: &[(u32, u64)], presented: &[(u32, u64)]) -> Links {
        let mut links = Links::default();
        for (subject, token) in issued {
            assert!(links.issued.add(*token, *subject));
        }
        for (subject, token) in presented {
            assert!(links.presented.add(*token, *subject));
        }
        links
    }

    #[test]
    fn family_is_who_issued_and_who_presents_and_no_siblings() {
        // 1 gives 10 to 2 and 11 to 3; 2 gives 20 to 4; 5 is a stranger.
        let links = links(&[(1, 10), (1, 11), (2, 20)], &[(2, 10), (3, 11), (4, 20), (5, 50)]);
        for (of, expect) in [
            (&[1][..], &[1, 2, 3, 4][..]),
            (&[2], &[1, 2, 4]),
            (&[3], &[1, 3]),
            (&[4], &[1, 2, 4]),
            (&[5], &[5]),
            (&[3, 5], &[1, 3, 5]),
            (&[], &[]),
        ] {
            assert_eq!(links.family(of, usize::MAX), expect, "{of:?}");
        }
    }

    #[test]
    fn family_ends_after_so_many_levels_and_survives_circles() {
        let chain: Vec<(u32, u64)> = (0..20).map(|n| (n, u64::from(n))).collect();
        let presented: Vec<(u32, u64)> = (1..20).map(|n| (n, u64::from(n) - 1)).collect();
        let levels = LINK_LEVELS_MAX as u32;
        let expect: Vec<u32> = (10 - levels..=10 + levels).collect();
        assert_eq!(links(&chain, &presented).family(&[10], usize::MAX), expect);
        let circle = links(&[(1, 1), (2, 2)], &[(2, 1), (1, 2), (1, 1)]);
        assert_eq!(circle.family(&[1], usize::MAX), [1, 2]);
    }

    #[test]
    fn too_large_a_family_is_left_out_whole() {
        let presented: Vec<(u32, u64)> = (2..100).map(|n| (n, 1)).collect();
        let links = links(&[(1, 1)], &presented);
        assert_eq!(links.family(&[1], 98).len(), 1);
        assert_eq!(links.family(&[1], 99).len(), 99);
    }
}

//! Chance that repeats: every draw follows from the seed, a name and a moment.
//!
//! In: seed, name, moment. Out: numbers, choices and identifiers. No clock and no process-wide state.

use xxhash_rust::xxh3::xxh3_64_with_seed;

const DIGITS: &[u8] = b"0123456789";
const HEX: &[u8] = b"0123456789abcdef";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const MIXED: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";

/// A random generator for one name at one moment.
pub(super) struct Dice(fastrand::Rng);

impl Dice {
    /// The same three values always give the same draws.
    pub(super) fn of(seed: u64, name: &str, moment: i64) -> Self {
        let mixed = xxh3_64_with_seed(&moment.to_le_bytes(), seed);
        Self(fastrand::Rng::with_seed(xxh3_64_with_seed(name.as_bytes(), mixed)))
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.0.f64() < probability
    }

    /// From 0 to below `bound`.
    pub(super) fn below(&mut self, bound: i64) -> i64 {
        self.0.i64(0..bound.max(1))
    }

    /// A whole number whose mean is `mean`: spread by up to a half of it on each side.
    pub(super) fn around(&mut self, mean: f64) -> u32 {
        let spread = mean * (0.5 + self.0.f64());
        spread as u32 + u32::from(self.chance(spread.fract()))
    }

    /// One of `choices`, which must not be empty.
    pub(super) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.0.usize(0..choices.len())]
    }

    /// Lower-case UUID, version 4.
    pub(super) fn uuid(&mut self) -> String {
        let (high, low) = (self.0.u64(..), self.0.u64(..));
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            0x8000 | low >> 48 & 0x3fff,
            low & 0xffff_ffff_ffff
        )
    }

    /// `count` decimal digits.
    pub(super) fn digits(&mut self, count: usize) -> String {
        self.letters(DIGITS, count)
    }

    /// `count` hex digits.
    pub(super) fn hex(&mut self, count: usize) -> String {
        self.letters(HEX, count)
    }

    /// `prefix` and capitals up to `length`: AWS unique ids and access key ids.
    pub(super) fn aws_id(&mut self, prefix: &str, length: usize) -> String {
        format!("{prefix}{}", self.letters(UPPER, length - prefix.len()))
    }

    /// `prefix` and mixed letters up to `length`: Okta ids.
    pub(super) fn mixed_id(&mut self, prefix: &str, length: usize) -> String {
        format!("{prefix}{}", self.letters(MIXED, length - prefix.len()))
    }

    fn letters(&mut self, alphabet: &[u8], count: usize) -> String {
        (0..count).map(|_| char::from(alphabet[self.0.usize(0..alphabet.len())])).collect()
    }
}

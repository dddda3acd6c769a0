//! Chance that repeats: every draw follows from the seed, a name and a moment.
//!
//! In: seed, name, moment. Out: numbers, choices and identifiers. No clock and no process-wide state.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::template::Alphabet;

const HEX: &[u8; 16] = b"0123456789abcdef";
/// 32 letters each: five bits of chance a letter.
const UPPER: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// 64 places, some letters twice: six bits a letter, none that is mistaken for another.
const MIXED: &[u8; 64] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789abcdefg";

/// A random generator for one name at one moment.
pub(crate) struct Dice(fastrand::Rng);

impl Dice {
    /// The same three values always give the same draws.
    pub(crate) fn of(seed: u64, name: &str, moment: i64) -> Self {
        let mixed = xxh3_64_with_seed(&moment.to_le_bytes(), seed);
        Self(fastrand::Rng::with_seed(xxh3_64_with_seed(name.as_bytes(), mixed)))
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.0.f64() < probability
    }

    /// From 0 to below `bound`.
    pub(crate) fn below(&mut self, bound: i64) -> i64 {
        self.0.i64(0..bound.max(1))
    }

    /// From `from` to below `to`.
    pub(crate) fn between(&mut self, from: i64, to: i64) -> i64 {
        from + self.below(to - from)
    }

    /// From `from` to below `to`.
    pub(crate) fn real(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.0.f64()
    }

    /// A whole number whose mean is `mean`: spread by up to a half of it on each side.
    pub(crate) fn around(&mut self, mean: f64) -> u32 {
        let spread = mean * (0.5 + self.0.f64());
        spread as u32 + u32::from(self.chance(spread.fract()))
    }

    /// One of `choices`, which must not be empty.
    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.0.usize(0..choices.len())]
    }

    /// In another order.
    pub(crate) fn shuffle<T>(&mut self, things: &mut [T]) {
        self.0.shuffle(things);
    }

    /// Lower-case UUID, version 4.
    pub(crate) fn uuid(&mut self) -> String {
        let mut out = String::with_capacity(36);
        self.write_uuid(&mut out);
        out
    }

    /// Appends a lower-case UUID, version 4.
    pub(crate) fn write_uuid(&mut self, out: &mut String) {
        let (high, low) = (self.0.u64(..), self.0.u64(..));
        let high = high & !0xf000 | 0x4000;
        let low = low & !(0b11 << 62) | 0b10 << 62;
        let mut text = [b'-'; 36];
        let mut place = 0;
        for digit in 0..32_u32 {
            if matches!(place, 8 | 13 | 18 | 23) {
                place += 1;
            }
            let (word, shift) = if digit < 16 { (high, 60 - 4 * digit) } else { (low, 124 - 4 * digit) };
            text[place] = HEX[(word >> shift & 0xf) as usize];
            place += 1;
        }
        out.extend(text.iter().map(|letter| char::from(*letter)));
    }

    /// Appends so many letters.
    pub(crate) fn write_letters(&mut self, alphabet: Alphabet, count: usize, out: &mut String) {
        let (letters, bits): (&[u8], u32) = match alphabet {
            Alphabet::Digits => {
                out.extend((0..count).map(|_| char::from(b'0' + self.0.u8(0..10))));
                return;
            }
            Alphabet::Hex => (HEX, 4),
            Alphabet::Upper => (UPPER, 5),
            Alphabet::Mixed => (MIXED, 6),
        };
        let (mut chance, mut left) = (0_u64, 0_u32);
        for _ in 0..count {
            if left < bits {
                (chance, left) = (self.0.u64(..), 64);
            }
            out.push(char::from(letters[(chance & ((1 << bits) - 1)) as usize]));
            chance >>= bits;
            left -= bits;
        }
    }

    /// `prefix` and letters up to `length`.
    pub(crate) fn id(&mut self, prefix: &str, alphabet: Alphabet, length: usize) -> String {
        let mut out = String::with_capacity(length);
        out.push_str(prefix);
        self.write_letters(alphabet, length - prefix.len(), &mut out);
        out
    }
}

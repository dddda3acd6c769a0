//! A sketch of how many different values there were: Apache DataSketches' HyperLogLog, as bytes that merge.
//!
//! In: texts, whole numbers, bytes of other sketches. Out: bytes, and an estimate. Both depend on the set of values
//! alone, never on their order or on how they were spread over sketches: the estimator that follows the history of one
//! sketch (HIP) is not used. Bytes that no sketch of ours can have are an error, never a panic.
//!
//! Up to SKETCH_EXACT_MAX values it keeps one coupon each and the estimate is exact but for coupons that coincide, one
//! set in a thousand. Hashing is not keyed, so that sketches of all installs and releases merge: who chooses the values
//! can make them count as one, or as many.

use datasketches::hash::value::raw_bytes;
use datasketches::hll::{HllSketch, HllType, HllUnion};

use crate::limits::SKETCH_LG_REGISTERS;

/// Where the format of Apache DataSketches has what; the first eight bytes are the same in each mode.
const FLAGS: usize = 5;
const COUNT: usize = 6;
const MODE: usize = 7;
const MODE_MASK: u8 = 3;
const LIST: u8 = 0;
const LIST_COUPONS: usize = 8;
/// A list of eight is a set.
const LIST_COUNT_MAX: u8 = 7;
const SET: u8 = 1;
const SET_COUPONS: usize = 12;
const OUT_OF_ORDER: u8 = 16;
const HISTORY: std::ops::Range<usize> = 8..16;
const REGISTERS: usize = 40;
/// Registers hold the number of leading zeros of a 64-bit hash and one, cut to six bits.
const REGISTER_MAX: u8 = 63;

/// Why bytes are no sketch.
#[derive(Debug, thiserror::Error)]
pub enum SketchError {
    /// The library refuses them.
    #[error("not a sketch: {0}")]
    Malformed(#[from] datasketches::error::Error),
    /// The library would take them, but nothing here writes such.
    #[error("not a sketch of shadowprod: {0}")]
    Foreign(&'static str),
}

/// A set of values, as far as counting goes.
#[derive(Debug, Clone)]
pub struct Sketch(HllUnion);

impl Default for Sketch {
    fn default() -> Self {
        Self(HllUnion::new(SKETCH_LG_REGISTERS).expect("the library takes 4 to 21"))
    }
}

impl Sketch {
    /// Adds a text.
    pub fn add_text(&mut self, text: &str) {
        self.0.update_value(raw_bytes::from_str(text));
    }

    /// Adds a whole number.
    pub fn add_number(&mut self, number: i64) {
        self.0.update_value(raw_bytes::from_slice(&number.to_le_bytes()));
    }

    /// Adds everything that another sketch holds.
    pub fn absorb(&mut self, bytes: &[u8]) -> Result<(), SketchError> {
        self.0.update(&read(bytes)?);
        Ok(())
    }

    /// How many different values there were.
    pub fn estimate(&self) -> i64 {
        self.0.composite_estimate().round() as i64
    }

    /// The same bytes for the same set of values.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.0.to_sketch(HllType::Hll8).serialize();
        match bytes[MODE] & MODE_MASK {
            LIST => sort_coupons(&mut bytes[LIST_COUPONS..]),
            SET => sort_coupons(&mut bytes[SET_COUPONS..]),
            _ => {
                bytes[FLAGS] |= OUT_OF_ORDER;
                bytes[HISTORY].fill(0);
            }
        }
        bytes
    }

    /// Bytes that it takes in memory beside itself, about.
    pub fn size(&self) -> usize {
        self.0.estimated_size()
    }
}

/// The bytes of one sketch of all that both hold.
pub fn merged(one: &[u8], other: &[u8]) -> Result<Vec<u8>, SketchError> {
    let mut sketch = Sketch::default();
    sketch.absorb(one)?;
    sketch.absorb(other)?;
    Ok(sketch.to_bytes())
}

/// How many different values the sketch in `bytes` has seen.
pub fn estimate(bytes: &[u8]) -> Result<i64, SketchError> {
    let mut sketch = Sketch::default();
    sketch.absorb(bytes)?;
    Ok(sketch.estimate())
}

/// Refuses bytes that are no sketch of ours.
pub fn check(bytes: &[u8]) -> Result<(), SketchError> {
    read(bytes).map(drop)
}

/// A sketch as people read it.
pub fn shown(bytes: &[u8]) -> String {
    match estimate(bytes) {
        Ok(count) => format!("~{count} distinct"),
        Err(_) => "not a sketch".to_owned(),
    }
}

/// The library trusts what it cannot see to be wrong and panics on it later: coupons and registers are looked at here.
/// What it derives from registers is worked out anew when a sketch is absorbed.
fn read(bytes: &[u8]) -> Result<HllSketch, SketchError> {
    let sketch = HllSketch::deserialize(bytes)?;
    if sketch.lg_config_k() != SKETCH_LG_REGISTERS || sketch.target_type() != HllType::Hll8 {
        return Err(SketchError::Foreign("another size or kind"));
    }
    match bytes[MODE] & MODE_MASK {
        LIST if bytes[COUNT] > LIST_COUNT_MAX => return Err(SketchError::Foreign("too long a list")),
        LIST => check_coupons(&bytes[LIST_COUPONS..])?,
        SET => check_coupons(&bytes[SET_COUPONS..])?,
        _ if bytes.len() != REGISTERS + (1 << SKETCH_LG_REGISTERS) => {
            return Err(SketchError::Foreign("another number of registers"));
        }
        _ if bytes[REGISTERS..].iter().any(|register| *register > REGISTER_MAX) => {
            return Err(SketchError::Foreign("a register above 63"));
        }
        _ => {}
    }
    Ok(sketch)
}

fn coupons(bytes: &[u8]) -> Vec<u32> {
    let coupon = |four: &[u8]| u32::from_le_bytes([four[0], four[1], four[2], four[3]]);
    bytes.chunks_exact(4).map(coupon).collect()
}

fn sort_coupons(bytes: &mut [u8]) {
    let mut coupons = coupons(bytes);
    coupons.sort_unstable();
    for (place, coupon) in bytes.chunks_exact_mut(4).zip(coupons) {
        place.copy_from_slice(&coupon.to_le_bytes());
    }
}

fn check_coupons(bytes: &[u8]) -> Result<(), SketchError> {
    let coupons = coupons(bytes);
    let is_ascending = coupons.first() != Some(&0) && coupons.is_sorted_by(|a, b| a < b);
    if is_ascending && bytes.len().is_multiple_of(4) {
        return Ok(());
    }
    Err(SketchError::Foreign("coupons out of order"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::SKETCH_EXACT_MAX;

    fn of(numbers: impl IntoIterator<Item = u32>) -> Sketch {
        let mut sketch = Sketch::default();
        numbers.into_iter().for_each(|n| sketch.add_text(&format!("value-{n}")));
        sketch
    }

    /// Bytes, and whether the estimate is within `error`.
    fn check_estimate(count: u32, bytes_max: usize, error: f64) {
        let sketch = of(0..count);
        let (bytes, estimate) = (sketch.to_bytes().len(), sketch.estimate());
        let found = (estimate as f64 - f64::from(count)).abs() / f64::from(count.max(1));
        println!("{count} values: {bytes} bytes, estimate {estimate}, error {:.2} %", found * 100.0);
        assert!(found <= error && bytes <= bytes_max, "{count}: {estimate}, {bytes} bytes");
    }

    #[test]
    fn small_sets_are_exact_and_small_and_large_ones_near_and_bounded() {
        check_estimate(0, 8, 0.0);
        check_estimate(1, 12, 0.0);
        check_estimate(10, 52, 0.0);
        check_estimate(150, 612, 0.0);
        check_estimate(SKETCH_EXACT_MAX, 780, 0.0);
        for count in [193, 1_000, 10_000, 100_000, 1_000_000] {
            check_estimate(count, 2_088, 0.07);
        }
    }

    #[test]
    fn numbers_and_the_empty_text_are_values() {
        let mut sketch = Sketch::default();
        [0, -1, i64::MAX, 0].iter().for_each(|n| sketch.add_number(*n));
        sketch.add_text("");
        assert_eq!(sketch.estimate(), 4);
    }

    /// A release of the library that hashed or wrote otherwise would spoil what is stored.
    #[test]
    fn bytes_are_those_that_older_releases_stored() {
        let hex: String = of(0..2).to_bytes().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "0201070b0308020851b8050852db1b11");
        assert_eq!(of(0..1_000).estimate(), 1_017);
    }

    #[test]
    fn people_read_a_count() {
        assert_eq!(shown(&of(0..3).to_bytes()), "~3 distinct");
        assert_eq!(shown(b"3"), "not a sketch");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// Random values, of which few or most are new, in random order, in random parts, merged in random order.
        #[test]
        fn bytes_depend_on_the_set_alone(
            values in prop_oneof![
                proptest::collection::vec(0..40_u32, 0..60),
                proptest::collection::vec(0..400_u32, 0..500),
                proptest::collection::vec(0..20_000_u32, 0..4_000),
            ],
            part_count in 1..12_usize,
            seed in any::<u64>(),
        ) {
            let all = of(values.iter().copied());
            let mut dice = fastrand::Rng::with_seed(seed);
            let mut shuffled = values.clone();
            dice.shuffle(&mut shuffled);
            let mut parts = vec![Sketch::default(); part_count];
            for value in shuffled {
                parts[dice.usize(..part_count)].add_text(&format!("value-{value}"));
            }
            let mut parts: Vec<Vec<u8>> = parts.iter().map(Sketch::to_bytes).collect();
            while parts.len() > 1 {
                let one = parts.swap_remove(dice.usize(..parts.len()));
                let other = parts.swap_remove(dice.usize(..parts.len()));
                parts.push(merged(&one, &other).expect("both are sketches"));
            }
            prop_assert_eq!(&parts[0], &all.to_bytes());
            prop_assert_eq!(estimate(&parts[0]).expect("a sketch"), all.estimate());
            let distinct = values.iter().collect::<std::collections::HashSet<_>>().len();
            if distinct <= SKETCH_EXACT_MAX as usize {
                prop_assert_eq!(all.estimate(), distinct as i64);
            }
        }
    }

    /// Whatever is cut off or written over: an error or a sketch, on which nothing panics.
    #[test]
    fn damaged_bytes_never_panic() {
        let seed = 7;
        println!("seed {seed}");
        let mut dice = fastrand::Rng::with_seed(seed);
        let other = of(500..3_000);
        for count in [0, 1, 7, 8, 100, 192, 193, 5_000] {
            let whole = of(0..count).to_bytes();
            for len in 0..whole.len() {
                assert!(check(&whole[..len]).is_err(), "{len} bytes of {count} values");
            }
            for _ in 0..2_000 {
                let mut bytes = whole.clone();
                for _ in 0..dice.usize(1..4) {
                    let place = if dice.bool() {
                        dice.usize(..bytes.len().min(48))
                    } else {
                        dice.usize(..bytes.len())
                    };
                    bytes[place] = dice.u8(..);
                }
                let mut sketch = Sketch::default();
                if sketch.absorb(&bytes).is_ok() {
                    (0..300).for_each(|n| sketch.add_number(n));
                    sketch.absorb(&other.to_bytes()).expect("a sketch");
                    check(&sketch.to_bytes()).expect("what is written can be read");
                    sketch.estimate();
                }
                shown(&bytes);
            }
        }
    }
}

//! How sure a share is: Wilson's score interval.
//!
//! In: so many of so many. Out: the share and its 95% interval. E. B. Wilson, "Probable inference, the law of
//! succession, and statistical inference", Journal of the American Statistical Association 22 (1927).

use serde::Serialize;

/// Two-sided 95% of a normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// A share with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Share {
    /// 0 to 1.
    pub(super) value: f64,
    /// Lower end of the 95% interval.
    pub(super) low: f64,
    /// Upper end.
    pub(super) high: f64,
}

impl Share {
    /// `part` of `whole`; of nothing there is no share.
    pub(super) fn of(part: usize, whole: usize) -> Option<Self> {
        if whole == 0 {
            return None;
        }
        let (part, whole) = (part as f64, whole as f64);
        let value = part / whole;
        let scale = 1.0 + Z * Z / whole;
        let middle = (value + Z * Z / (2.0 * whole)) / scale;
        let reach = Z * (value * (1.0 - value) / whole + Z * Z / (4.0 * whole * whole)).sqrt() / scale;
        Some(Self { value, low: (middle - reach).max(0.0), high: (middle + reach).min(1.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values from the table in R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in
    /// Medicine 17 (1998): method 3.
    #[test]
    fn interval_is_the_published_one() {
        for (part, whole, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let share = Share::of(part, whole).expect("there is a whole");
            assert!((share.low - low).abs() < 5e-5 && (share.high - high).abs() < 5e-5, "{share:?}");
        }
        assert_eq!(Share::of(0, 0), None);
    }
}

//! Judging a kernel's f32 output against its f64 twin.

use std::fmt;

use crate::shape::check_len;

/// How far a value may be off: `absolute + relative · magnitude`, where the magnitude is `|want|` unless the caller
/// gives another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    pub absolute: f64,
    pub relative: f64,
}

/// A comparison that held.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The operation, as the caller named it.
    pub op: String,
    /// The shape, as the caller described it.
    pub shape: String,
    /// Values compared.
    pub count: usize,
    /// The worst error as a share of what is allowed, in 0..=1.
    pub worst_share: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = 100.0 * self.worst_share;
        write!(f, "{} {}: {} values, worst error {percent:.1}% of the allowed", self.op, self.shape, self.count)
    }
}

/// A comparison that failed; its `Display` tells where, and by how much.
#[derive(Clone, Debug, PartialEq)]
pub struct Mismatch {
    /// The operation, as the caller named it.
    pub op: String,
    /// The shape, as the caller described it.
    pub shape: String,
    pub cause: Cause,
}

/// Why a comparison failed.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    /// The two slices differ in length.
    Length { got: usize, want: usize },
    /// Some values are off by more than is allowed, or not finite.
    Values {
        /// How many.
        failed: usize,
        /// Of how many.
        count: usize,
        /// Flat index of the worst.
        index: usize,
        got: f32,
        want: f64,
        /// Its error as a share of the allowed: above 1, infinite where a value is not finite.
        share: f64,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.op, self.shape)?;
        match &self.cause {
            Cause::Length { got, want } => write!(f, "got {got} values, want {want}"),
            Cause::Values { failed, count, index, got, want, share } => write!(
                f,
                "{failed} of {count} values are off; the worst is [{index}]: got {got:e}, want {want:e}, \
                 error {:.0}% of the allowed",
                100.0 * share
            ),
        }
    }
}

impl std::error::Error for Mismatch {}

/// Compares `got` with `want` element by element; the allowed error is `absolute + relative · |want|`.
///
/// NaN and infinities fail on either side, equal or not: no kernel may produce one. `op` and `shape` only name the
/// comparison in the result.
pub fn compare(op: &str, shape: &str, got: &[f32], want: &[f64], tolerance: Tolerance) -> Result<Report, Mismatch> {
    let magnitude: Vec<f64> = want.iter().map(|value| value.abs()).collect();
    compare_with_magnitude(op, shape, got, want, &magnitude, tolerance)
}

/// Compares as [`compare`] does, but allows `absolute + relative · magnitude[i]`.
///
/// For sums, whose rounding error grows with their terms rather than with their value: let `magnitude` be the sum of
/// the terms' absolute values, which a linear twin gives when it is called on absolute values. It must be as long as
/// `want`.
pub fn compare_with_magnitude(
    op: &str,
    shape: &str,
    got: &[f32],
    want: &[f64],
    magnitude: &[f64],
    tolerance: Tolerance,
) -> Result<Report, Mismatch> {
    check_len("magnitude", magnitude.len(), want.len());
    let (op, shape, count) = (op.to_string(), shape.to_string(), want.len());
    if got.len() != count {
        return Err(Mismatch { op, shape, cause: Cause::Length { got: got.len(), want: count } });
    }
    let share = |index: usize| {
        let error = (f64::from(got[index]) - want[index]).abs();
        let allowed = tolerance.absolute + tolerance.relative * magnitude[index];
        if !error.is_finite() || !allowed.is_finite() {
            f64::INFINITY
        } else if error == 0.0 {
            0.0 // also where nothing is allowed
        } else {
            error / allowed
        }
    };
    let (mut worst, mut worst_share, mut failed) = (0, 0.0, 0);
    for index in 0..count {
        let share = share(index);
        failed += usize::from(share > 1.0);
        if share > worst_share {
            (worst, worst_share) = (index, share);
        }
    }
    if failed == 0 {
        return Ok(Report { op, shape, count, worst_share });
    }
    let (got, want) = (got[worst], want[worst]);
    Err(Mismatch { op, shape, cause: Cause::Values { failed, count, index: worst, got, want, share: worst_share } })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Tolerance = Tolerance { absolute: 0.5, relative: 0.25 };

    #[test]
    fn reports_the_worst_share() {
        let report = compare("sgd", "[3]", &[0.25, 3.0, -2.0], &[0.0, 2.0, -2.0], TOLERANCE).unwrap();
        assert_eq!(report.worst_share, 1.0);
        assert_eq!(report.to_string(), "sgd [3]: 3 values, worst error 100.0% of the allowed");
    }

    #[test]
    fn tells_where_the_worst_error_is() {
        let mismatch = compare("sgd", "[3]", &[0.75, 5.0, -2.0], &[0.0, 2.0, -2.0], TOLERANCE).unwrap_err();
        assert_eq!(mismatch.to_string(), "sgd [3]: 2 of 3 values are off; the worst is [1]: got 5e0, want 2e0, error 300% of the allowed");
    }

    #[test]
    fn the_magnitude_replaces_the_wanted_value() {
        assert!(compare("sum", "", &[1.0], &[0.0], TOLERANCE).is_err());
        let report = compare_with_magnitude("sum", "", &[1.0], &[0.0], &[6.0], TOLERANCE).unwrap();
        assert_eq!(report.worst_share, 0.5);
    }

    #[test]
    fn values_that_are_not_finite_always_fail() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(compare("op", "", &[bad as f32], &[bad], TOLERANCE).is_err(), "{bad} on both sides");
            assert!(compare("op", "", &[bad as f32], &[1.0], TOLERANCE).is_err(), "got {bad}");
            assert!(compare("op", "", &[1.0], &[bad], TOLERANCE).is_err(), "want {bad}");
        }
    }

    #[test]
    fn exact_comparisons_and_lengths() {
        let exact = Tolerance { absolute: 0.0, relative: 0.0 };
        assert_eq!(compare("op", "", &[1.5], &[1.5], exact).unwrap().worst_share, 0.0);
        assert!(compare("op", "", &[1.5], &[1.5 + 1e-12], exact).is_err());
        let mismatch = compare("op", "[2]", &[1.5], &[1.5, 2.0], exact).unwrap_err();
        assert_eq!(mismatch.to_string(), "op [2]: got 1 values, want 2");
    }
}

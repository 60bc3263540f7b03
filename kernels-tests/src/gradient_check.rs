//! Central differences and random data for the twins' own tests.

/// `len` values in [−1, 1), a function of `seed` alone (splitmix64).
pub fn random(seed: u64, len: usize) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    };
    (0..len).map(|_| (next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0).collect()
}

/// `Σ a·b`: with `b` = dy, a scalar whose gradient with respect to `a` = y is dy.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Checks `gradient`, claimed to be that of `objective` at `point`, element by element against central differences.
///
/// The step of 1e-5 leaves an error near 1e-10 on smooth objectives of the size used here; 1e-6 is far above it and
/// far below any wrong term.
#[track_caller]
pub fn assert_gradient(what: &str, point: &[f64], gradient: &[f64], objective: impl Fn(&[f64]) -> f64) {
    const STEP: f64 = 1e-5;
    assert_eq!(gradient.len(), point.len(), "{what}: gradient and point differ in length");
    let mut moved = point.to_vec();
    for index in 0..point.len() {
        moved[index] = point[index] + STEP;
        let above = objective(&moved);
        moved[index] = point[index] - STEP;
        let below = objective(&moved);
        moved[index] = point[index];
        let numeric = (above - below) / (2.0 * STEP);
        let error = (numeric - gradient[index]).abs();
        assert!(error <= 1e-6 * (1.0 + numeric.abs()), "{what}[{index}]: gradient {} but differences give {numeric}", gradient[index]);
    }
}

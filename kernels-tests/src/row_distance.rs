//! Twin of `row_distance.wgsl`.

use crate::shape::check_len;

/// `Σ (a − b)²`.
pub fn row_distance(a: &[f64], b: &[f64]) -> f64 {
    check_len("b", b.len(), a.len());
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!(row_distance(&[1.0, -2.0, 3.0], &[1.0, 1.0, -1.0]), 25.0);
        assert_eq!(row_distance(&[], &[]), 0.0);
    }
}

//! Twin of `residual_add.wgsl`.

use crate::shape::check_len;

/// `factor · (a + b)`, or `factor · a` where there is no `b`. Its own transpose: each term's gradient is `factor · dy`.
pub fn residual_add(a: &[f64], b: Option<&[f64]>, factor: f64) -> Vec<f64> {
    match b {
        Some(b) => {
            check_len("b", b.len(), a.len());
            a.iter().zip(b).map(|(a, b)| factor * (a + b)).collect()
        }
        None => a.iter().map(|a| factor * a).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_multiplies() {
        assert_eq!(residual_add(&[1.0, 2.0], Some(&[3.0, -2.0]), 2.0), [8.0, 0.0]);
        assert_eq!(residual_add(&[1.0, 2.0], None, 8.0), [8.0, 16.0]);
    }
}

//! Twin of `running_statistics.wgsl`.

/// Running statistics after one more batch: `before` moved by `momentum` of the way to `batch`, or, without a momentum, the mean
/// over the `step + 1` batches so far.
pub fn running_statistics(before: &[f64], batch: &[f64], momentum: Option<f64>, step: u32) -> Vec<f64> {
    let momentum = momentum.unwrap_or(1.0 / f64::from(step + 1));
    before.iter().zip(batch).map(|(r, b)| (1.0 - momentum) * r + momentum * b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!(running_statistics(&[1.0, 0.0], &[2.0, -4.0], Some(0.25), 7), [1.25, -1.0]);
        let batches = [[3.0], [5.0], [10.0]];
        let mean = (0..).zip(batches).fold(vec![99.0], |r, (step, b)| running_statistics(&r, &b, None, step));
        assert!((mean[0] - 6.0).abs() < 1e-12, "{mean:?}");
    }
}

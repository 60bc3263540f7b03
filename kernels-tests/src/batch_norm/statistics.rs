//! Twin of `batch_norm_statistics.wgsl`.

use crate::shape::{BatchNorm, check_len};

/// Per-channel statistics, each `[channels]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    pub mean: Vec<f64>,
    /// Biased: divided by the number of values, not by one less.
    pub variance: Vec<f64>,
}

/// Mean and biased variance of each channel of `z` (`[batch][channels][pixels]`) over its first `valid` samples.
pub fn batch_norm_statistics(shape: &BatchNorm, z: &[f64]) -> Statistics {
    shape.check();
    check_len("z", z.len(), shape.len());
    let count = (shape.valid * shape.pixels) as f64;
    let (mut mean, mut variance) = (Vec::new(), Vec::new());
    for channel in 0..shape.channels {
        let average = shape.elements(channel).map(|i| z[i]).sum::<f64>() / count;
        mean.push(average);
        variance.push(shape.elements(channel).map(|i| (z[i] - average).powi(2)).sum::<f64>() / count);
    }
    Statistics { mean, variance }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand_and_blind_to_the_padding_samples() {
        let shape = BatchNorm { batch: 3, valid: 2, channels: 2, pixels: 2 };
        let z = [1.0, 2.0, 10.0, 10.0, 3.0, 6.0, 10.0, 10.0, f64::NAN, f64::NAN, 1e9, -1e9];
        let statistics = batch_norm_statistics(&shape, &z);
        assert_eq!(statistics, Statistics { mean: vec![3.0, 10.0], variance: vec![3.5, 0.0] });
    }
}

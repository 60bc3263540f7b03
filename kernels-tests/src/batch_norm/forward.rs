//! Twin of `batch_norm_forward.wgsl`.

use crate::batch_norm::statistics::Statistics;
use crate::shape::{BatchNorm, check_len};

/// What a batch norm does besides its statistics.
#[derive(Clone, Copy, Debug)]
pub struct Normalization<'a> {
    /// Factor per channel (PyTorch's `weight`), `[channels]`.
    pub gamma: &'a [f64],
    /// Offset per channel (PyTorch's `bias`), `[channels]`.
    pub beta: &'a [f64],
    /// Added to the variance, 1e-5 in every network here.
    pub eps: f64,
    /// Whether a ReLU follows in the same kernel.
    pub relu: bool,
}

impl Normalization<'_> {
    /// The value before the ReLU.
    pub(crate) fn apply(&self, statistics: &Statistics, channel: usize, z: f64) -> f64 {
        let normalized = (z - statistics.mean[channel]) / (statistics.variance[channel] + self.eps).sqrt();
        self.gamma[channel] * normalized + self.beta[channel]
    }

    pub(crate) fn check(&self, shape: &BatchNorm, statistics: &Statistics) {
        shape.check();
        check_len("gamma", self.gamma.len(), shape.channels);
        check_len("beta", self.beta.len(), shape.channels);
        check_len("mean", statistics.mean.len(), shape.channels);
        check_len("variance", statistics.variance.len(), shape.channels);
    }
}

/// `y = γ·(z − mean)/√(variance + eps) + β`, then a ReLU if asked for; `[batch][channels][pixels]`.
///
/// Samples past the first `valid` give 0, whatever they hold. The statistics may be the batch's own or tracked ones.
pub fn batch_norm_forward(shape: &BatchNorm, z: &[f64], statistics: &Statistics, normalization: &Normalization) -> Vec<f64> {
    normalization.check(shape, statistics);
    check_len("z", z.len(), shape.len());
    let mut y = vec![0.0; shape.len()];
    for channel in 0..shape.channels {
        for i in shape.elements(channel) {
            let value = normalization.apply(statistics, channel, z[i]);
            // Not `max`, which would turn a NaN into 0 and hide it.
            y[i] = if normalization.relu && value < 0.0 { 0.0 } else { value };
        }
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch_norm::statistics::batch_norm_statistics;

    #[test]
    fn by_hand() {
        let shape = BatchNorm { batch: 3, valid: 2, channels: 1, pixels: 1 };
        let z = [1.0, 5.0, f64::NAN];
        // Mean 3, variance 4, so ±2/√(4 + 5) with this eps.
        let statistics = batch_norm_statistics(&shape, &z);
        let mut normalization = Normalization { gamma: &[3.0], beta: &[1.0], eps: 5.0, relu: false };
        assert_eq!(batch_norm_forward(&shape, &z, &statistics, &normalization), [-1.0, 3.0, 0.0]);
        normalization.relu = true;
        assert_eq!(batch_norm_forward(&shape, &z, &statistics, &normalization), [0.0, 3.0, 0.0]);
    }

    #[test]
    fn one_sample_of_one_pixel_gives_beta() {
        let shape = BatchNorm { batch: 1, valid: 1, channels: 2, pixels: 1 };
        let z = [7.0, -3.0];
        let normalization = Normalization { gamma: &[2.0, 2.0], beta: &[0.5, -0.5], eps: 1e-5, relu: false };
        let y = batch_norm_forward(&shape, &z, &batch_norm_statistics(&shape, &z), &normalization);
        assert_eq!(y, [0.5, -0.5]);
    }
}

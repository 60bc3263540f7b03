//! Twin of `batch_norm_backward.wgsl`.

use crate::batch_norm::forward::Normalization;
use crate::batch_norm::statistics::Statistics;
use crate::shape::{BatchNorm, check_len};

/// Gradients of a batch norm.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNormGradients {
    /// With respect to the input, times `scale`; `[batch][channels][pixels]`.
    pub dz: Vec<f64>,
    /// With respect to γ, `[channels]`.
    pub dgamma: Vec<f64>,
    /// With respect to β, `[channels]`.
    pub dbeta: Vec<f64>,
}

/// Backward of a batch norm (and the ReLU after it, if it has one) through its batch statistics.
///
/// `dy` is the gradient with respect to the output after the ReLU, whose derivative at 0 is 0; `statistics` must be
/// those of `z` itself, since they are differentiated through. `dz` comes multiplied by `scale`, the factor that made
/// `z` from the layer's un-scaled output, so it is the gradient with respect to the latter. Samples past the first
/// `valid` give `dz = 0` and add nothing to the sums.
pub fn batch_norm_backward(
    shape: &BatchNorm,
    dy: &[f64],
    z: &[f64],
    statistics: &Statistics,
    normalization: &Normalization,
    scale: f64,
) -> BatchNormGradients {
    normalization.check(shape, statistics);
    check_len("dy", dy.len(), shape.len());
    check_len("z", z.len(), shape.len());
    let count = (shape.valid * shape.pixels) as f64;
    let mut dz = vec![0.0; shape.len()];
    let (mut dgamma, mut dbeta) = (vec![0.0; shape.channels], vec![0.0; shape.channels]);
    for channel in 0..shape.channels {
        let deviation = (statistics.variance[channel] + normalization.eps).sqrt();
        let normalized = |i: usize| (z[i] - statistics.mean[channel]) / deviation;
        // The gradient before the ReLU.
        let gradient = |i: usize| {
            let blocked = normalization.relu && normalization.apply(statistics, channel, z[i]) <= 0.0;
            if blocked { 0.0 } else { dy[i] }
        };
        for i in shape.elements(channel) {
            dgamma[channel] += gradient(i) * normalized(i);
            dbeta[channel] += gradient(i);
        }
        // Moving z[i] also moves the mean and the variance, hence the two subtracted terms.
        for i in shape.elements(channel) {
            let through_statistics = (dbeta[channel] + normalized(i) * dgamma[channel]) / count;
            dz[i] = scale * normalization.gamma[channel] / deviation * (gradient(i) - through_statistics);
        }
    }
    BatchNormGradients { dz, dgamma, dbeta }
}

/// The same where `statistics` are given, as running ones are, and do not depend on `z`: nothing flows through them.
pub fn batch_norm_backward_running(
    shape: &BatchNorm,
    dy: &[f64],
    z: &[f64],
    statistics: &Statistics,
    normalization: &Normalization,
    scale: f64,
) -> BatchNormGradients {
    let mut gradients = batch_norm_backward(shape, dy, z, statistics, normalization, scale);
    for channel in 0..shape.channels {
        let deviation = (statistics.variance[channel] + normalization.eps).sqrt();
        for i in shape.elements(channel) {
            let blocked = normalization.relu && normalization.apply(statistics, channel, z[i]) <= 0.0;
            gradients.dz[i] = if blocked { 0.0 } else { scale * normalization.gamma[channel] / deviation * dy[i] };
        }
    }
    gradients
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch_norm::forward::batch_norm_forward;
    use crate::batch_norm::statistics::batch_norm_statistics;
    use crate::gradient_check::{assert_gradient, dot, random};
    use proptest::prelude::*;

    fn shapes() -> impl Strategy<Value = BatchNorm> {
        (1usize..5, 0usize..3, 1usize..4, 1usize..6).prop_map(|(valid, spare, channels, pixels)| BatchNorm {
            batch: valid + spare,
            valid,
            channels,
            pixels,
        })
    }

    proptest! {
        #[test]
        fn is_the_gradient(shape in shapes(), seed: u64, relu: bool, scale in 0.5f64..8.0) {
            // The layer's un-scaled output; the batch norm sees it times `scale`.
            let output = random(seed, shape.len());
            let (gamma, beta) = (random(seed ^ 1, shape.channels), random(seed ^ 2, shape.channels));
            let dy = random(seed ^ 3, shape.len());
            // A larger eps than the networks' keeps the curvature low where a channel has few values.
            fn with<'a>(gamma: &'a [f64], beta: &'a [f64], relu: bool) -> Normalization<'a> {
                Normalization { gamma, beta, eps: 0.1, relu }
            }
            let forward = |output: &[f64], gamma: &[f64], beta: &[f64], relu| {
                let z: Vec<f64> = output.iter().map(|value| value * scale).collect();
                batch_norm_forward(&shape, &z, &batch_norm_statistics(&shape, &z), &with(gamma, beta, relu))
            };
            // Differences are meaningless across the ReLU's kink.
            let valid_len = shape.valid * shape.channels * shape.pixels;
            let before = forward(&output, &gamma, &beta, false);
            prop_assume!(!relu || before[..valid_len].iter().all(|value| value.abs() > 1e-3));

            let z: Vec<f64> = output.iter().map(|value| value * scale).collect();
            let statistics = batch_norm_statistics(&shape, &z);
            let gradients = batch_norm_backward(&shape, &dy, &z, &statistics, &with(&gamma, &beta, relu), scale);
            assert_gradient("dz", &output, &gradients.dz, |output| dot(&forward(output, &gamma, &beta, relu), &dy));
            assert_gradient("dgamma", &gamma, &gradients.dgamma, |gamma| dot(&forward(&output, gamma, &beta, relu), &dy));
            assert_gradient("dbeta", &beta, &gradients.dbeta, |beta| dot(&forward(&output, &gamma, beta, relu), &dy));
        }

        #[test]
        fn of_given_statistics_is_the_gradient(shape in shapes(), seed: u64, scale in 0.5f64..8.0) {
            let (output, dy) = (random(seed, shape.len()), random(seed ^ 3, shape.len()));
            let (gamma, beta) = (random(seed ^ 1, shape.channels), random(seed ^ 2, shape.channels));
            let variance = random(seed ^ 5, shape.channels).iter().map(|v| v * v + 0.1).collect();
            let statistics = Statistics { mean: random(seed ^ 4, shape.channels), variance };
            let forward = |output: &[f64], gamma: &[f64], beta: &[f64]| {
                let z: Vec<f64> = output.iter().map(|value| value * scale).collect();
                batch_norm_forward(&shape, &z, &statistics, &Normalization { gamma, beta, eps: 1e-5, relu: false })
            };
            let z: Vec<f64> = output.iter().map(|value| value * scale).collect();
            let normalization = Normalization { gamma: &gamma, beta: &beta, eps: 1e-5, relu: false };
            let gradients = batch_norm_backward_running(&shape, &dy, &z, &statistics, &normalization, scale);
            assert_gradient("dz", &output, &gradients.dz, |output| dot(&forward(output, &gamma, &beta), &dy));
            assert_gradient("dgamma", &gamma, &gradients.dgamma, |gamma| dot(&forward(&output, gamma, &beta), &dy));
            assert_gradient("dbeta", &beta, &gradients.dbeta, |beta| dot(&forward(&output, &gamma, beta), &dy));
        }
    }

    #[test]
    fn padding_samples_are_ignored_whatever_they_hold() {
        let shape = BatchNorm { batch: 3, valid: 2, channels: 1, pixels: 1 };
        let z = [1.0, 2.0, f64::NAN];
        let normalization = Normalization { gamma: &[1.0], beta: &[0.0], eps: 1e-5, relu: true };
        let statistics = batch_norm_statistics(&shape, &z);
        let gradients = batch_norm_backward(&shape, &[1.0, 1.0, f64::NAN], &z, &statistics, &normalization, 1.0);
        assert_eq!(gradients.dz[2], 0.0);
        // Only the larger of the two passes the ReLU.
        assert_eq!(gradients.dbeta, [1.0]);
    }
}

//! Twin of `batch_norm_mix.wgsl`.

use crate::batch_norm::forward::Normalization;
use crate::batch_norm::statistics::Statistics;

/// One batch norm, `weight · (z − mean) · deviation + bias`, each `[channels]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixed {
    pub weight: Vec<f64>,
    pub bias: Vec<f64>,
    pub mean: Vec<f64>,
    /// 1 / √(variance + eps).
    pub deviation: Vec<f64>,
}

/// The batch norm that gives `(1 − lambda)` of the clean one's output and `lambda` of the adversarial one's.
///
/// Mean and deviation are those of the one with the larger share, of the clean one where both have half.
pub fn batch_norm_mix(clean: (Normalization, &Statistics), adversarial: (Normalization, &Statistics), lambda: f64) -> Mixed {
    let (first, second, share) = if lambda > 0.5 { (adversarial, clean, 1.0 - lambda) } else { (clean, adversarial, lambda) };
    let deviation = |(n, s): (Normalization, &Statistics), c: usize| 1.0 / (s.variance[c] + n.eps).sqrt();
    let mut mixed = Mixed { weight: vec![], bias: vec![], mean: first.1.mean.clone(), deviation: vec![] };
    for c in 0..first.0.gamma.len() {
        let (d1, d2) = (deviation(first, c), deviation(second, c));
        // Of the second: gamma2·(z − mean2)·d2 + beta2, in terms of (z − mean1)·d1.
        let slope = second.0.gamma[c] * d2;
        mixed.weight.push((1.0 - share) * first.0.gamma[c] + share * slope / d1);
        mixed.bias.push((1.0 - share) * first.0.beta[c] + share * (second.0.beta[c] + slope * (first.1.mean[c] - second.1.mean[c])));
        mixed.deviation.push(d1);
    }
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch_norm::forward::batch_norm_forward;
    use crate::gradient_check::random;
    use crate::shape::BatchNorm;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_the_mix_of_the_two_outputs(channels in 1usize..5, seed: u64, lambda in 0.0f64..=1.0) {
            let shape = BatchNorm { batch: 3, valid: 3, channels, pixels: 4 };
            let z = random(seed, shape.len());
            let part = |k: u64| random(seed ^ k, channels);
            let statistics = |k: u64| Statistics { mean: part(k), variance: part(k + 1).iter().map(|v| v * v + 0.1).collect() };
            let (s1, s2) = (statistics(1), statistics(3));
            let (g1, b1, g2, b2) = (part(5), part(6), part(7), part(8));
            let n1 = Normalization { gamma: &g1, beta: &b1, eps: 1e-5, relu: false };
            let n2 = Normalization { gamma: &g2, beta: &b2, eps: 1e-5, relu: false };
            let (y1, y2) = (batch_norm_forward(&shape, &z, &s1, &n1), batch_norm_forward(&shape, &z, &s2, &n2));
            let m = batch_norm_mix((n1, &s1), (n2, &s2), lambda);
            for i in 0..z.len() {
                let c = i / 4 % channels;
                let got = m.weight[c] * (z[i] - m.mean[c]) * m.deviation[c] + m.bias[c];
                prop_assert!((got - ((1.0 - lambda) * y1[i] + lambda * y2[i])).abs() < 1e-9);
            }
            // The ends are the two themselves.
            let ends = [(0.0, &g1, &b1, &s1), (1.0, &g2, &b2, &s2)];
            for (lambda, gamma, beta, s) in ends {
                let m = batch_norm_mix((n1, &s1), (n2, &s2), lambda);
                prop_assert_eq!((&m.weight, &m.bias, &m.mean), (gamma, beta, &s.mean));
            }
        }
    }
}

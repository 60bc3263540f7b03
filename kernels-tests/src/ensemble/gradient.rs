//! Twin of `ensemble_gradient.wgsl`.

use crate::shape::{Logits, check_len};
use crate::softmax_cross_entropy::log_sum_exp;

/// Gradient of the summed cross entropy of the bases' mean logits with respect to the logits of any one of them,
/// `[batch][classes]`; 0 past the first `valid` samples.
///
/// `logits` is `[base][batch][classes]`, `labels` `[batch]`.
pub fn ensemble_gradient(shape: &Logits, logits: &[f64], labels: &[u32]) -> Vec<f64> {
    let Logits { batch, valid, classes } = *shape;
    let bases = logits.len() / (batch * classes);
    check_len("logits", logits.len(), bases * batch * classes);
    check_len("labels", labels.len(), batch);
    let mut gradient = vec![0.0; batch * classes];
    for n in 0..valid {
        let mean = |c: usize| (0..bases).map(|b| logits[(b * batch + n) * classes + c]).sum::<f64>() / bases as f64;
        let row: Vec<f64> = (0..classes).map(mean).collect();
        let total = log_sum_exp(&row);
        for (c, value) in row.iter().enumerate() {
            let target = f64::from(u8::from(labels[n] as usize == c));
            gradient[n * classes + c] = ((value - total).exp() - target) / bases as f64;
        }
    }
    gradient
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ensemble::mean::ensemble_mean;

    #[test]
    fn it_is_the_slope_of_the_loss() {
        let shape = Logits { batch: 2, valid: 2, classes: 3 };
        let labels = [2, 0];
        let logits: Vec<f64> = (0..12).map(|i| f64::from((i * 7 + 3) % 11) / 5.0).collect();
        let loss = |logits: &[f64]| ensemble_mean(&shape, logits, &labels, &[2])[0].loss.iter().sum::<f64>();
        let gradient = ensemble_gradient(&shape, &logits, &labels);
        for i in 0..12 {
            let moved = |by: f64| {
                let mut l = logits.clone();
                l[i] += by;
                loss(&l)
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((slope - gradient[i % 6]).abs() < 1e-9, "{i}: {slope} and {}", gradient[i % 6]);
        }
    }
}

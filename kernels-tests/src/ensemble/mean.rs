//! Twin of `ensemble_mean.wgsl`.

use crate::shape::{Logits, check_len};
use crate::softmax_cross_entropy::{argmax, log_sum_exp};

/// What one width of the ensemble says of a mini-batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixed {
    /// Mean of the logits of the width's bases, `[batch][classes]`; 0 past the first `valid` samples.
    pub logits: Vec<f64>,
    /// Cross entropy of each sample, `[batch]`; 0 past the first `valid`.
    pub loss: Vec<f64>,
    /// Whether the first largest mean logit is the label's, `[batch]`; false past the first `valid`.
    pub correct: Vec<bool>,
}

/// For each entry `k` of `widths`, the first `k` bases mixed: the mean of their logits, and its loss and hits.
///
/// `logits` is `[base][batch][classes]` (any number of bases), `labels` `[batch]`; each width is between 1 and the
/// number of bases.
pub fn ensemble_mean(shape: &Logits, logits: &[f64], labels: &[u32], widths: &[usize]) -> Vec<Mixed> {
    let Logits { batch, valid, classes } = *shape;
    let bases = logits.len() / (batch * classes);
    check_len("logits", logits.len(), bases * batch * classes);
    check_len("labels", labels.len(), batch);
    let mix = |width: usize| {
        assert!(1 <= width && width <= bases, "width {width} of {bases} bases");
        let mut mixed = Mixed { logits: vec![0.0; batch * classes], loss: vec![0.0; batch], correct: vec![false; batch] };
        for n in 0..valid {
            let row = &mut mixed.logits[n * classes..(n + 1) * classes];
            for (class, mean) in row.iter_mut().enumerate() {
                let sum: f64 = (0..width).map(|base| logits[(base * batch + n) * classes + class]).sum();
                *mean = sum / width as f64;
            }
            mixed.loss[n] = log_sum_exp(row) - row[labels[n] as usize];
            mixed.correct[n] = argmax(row) == labels[n] as usize;
        }
        mixed
    };
    widths.iter().map(|&width| mix(width)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let shape = Logits { batch: 2, valid: 1, classes: 2 };
        let logits = [0.0, 2.0, 9.0, 9.0, 4.0, 0.0, 9.0, 9.0];
        let mixed = ensemble_mean(&shape, &logits, &[0, 0], &[1, 2]);
        assert_eq!(mixed[0].logits, [0.0, 2.0, 0.0, 0.0]);
        assert_eq!(mixed[1].logits, [2.0, 1.0, 0.0, 0.0]);
        assert_eq!((mixed[0].correct[0], mixed[1].correct[0]), (false, true));
        assert!((mixed[0].loss[0] - (1.0 + 2f64.exp()).ln()).abs() < 1e-15);
        assert!((mixed[1].loss[0] - (1.0 + (-1f64).exp()).ln()).abs() < 1e-15);
        assert_eq!((mixed[1].loss[1], mixed[1].correct[1]), (0.0, false));
    }
}

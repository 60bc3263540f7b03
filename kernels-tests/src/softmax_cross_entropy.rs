//! Twin of `softmax_cross_entropy.wgsl`, but for the classifier, which is [`crate::linear`]'s.

use crate::shape::{Logits, check_len};

/// Loss, its gradient and the hits of a mini-batch.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossEntropy {
    /// Loss of each sample, `[batch]`; 0 past the first `valid`.
    pub loss: Vec<f64>,
    /// Gradient of the *mean* loss over the valid samples, `[batch][classes]`; 0 past the first `valid`.
    pub dlogits: Vec<f64>,
    /// Whether the largest logit is the label's, `[batch]`; false past the first `valid`.
    pub correct: Vec<bool>,
}

impl CrossEntropy {
    /// Mean loss over the first `valid` samples.
    pub fn mean_loss(&self, valid: usize) -> f64 {
        self.loss[..valid].iter().sum::<f64>() / valid as f64
    }
}

/// Cross entropy of `softmax(multiplier · logits)`, with its gradient.
///
/// `logits` is `[batch][classes]`, `labels` `[batch]` (each below `classes`), `multiplier` `[classes]`: all ones for
/// the plain loss; for the masked one, 0 for the classes absent from the batch
/// ([`class_presence`]). A masked logit still counts in the softmax, as
/// exp(0). Correctness is judged on the logits as they are; of equal maxima the first wins.
pub fn softmax_cross_entropy(shape: &Logits, logits: &[f64], labels: &[u32], multiplier: &[f64]) -> CrossEntropy {
    let Logits { batch, valid, classes } = *shape;
    assert!(1 <= valid && valid <= batch, "{shape:?}: valid must be in 1..=batch");
    check_len("logits", logits.len(), batch * classes);
    check_len("labels", labels.len(), batch);
    check_len("multiplier", multiplier.len(), classes);
    let mut result = CrossEntropy { loss: vec![0.0; batch], dlogits: vec![0.0; batch * classes], correct: vec![false; batch] };
    for n in 0..valid {
        let row = &logits[n * classes..(n + 1) * classes];
        let label = labels[n] as usize;
        let masked: Vec<f64> = row.iter().zip(multiplier).map(|(logit, factor)| logit * factor).collect();
        let log_sum = log_sum_exp(&masked);
        result.loss[n] = log_sum - masked[label];
        result.correct[n] = argmax(row) == label;
        for class in 0..classes {
            let probability = (masked[class] - log_sum).exp();
            let target = if class == label { 1.0 } else { 0.0 };
            result.dlogits[n * classes + class] = multiplier[class] * (probability - target) / valid as f64;
        }
    }
    result
}

/// The multiplier of each class's logit in the loss, `[classes]`.
///
/// With `masked`, 1 for the classes found among the first `valid` labels and 0 for the others; else all ones. Labels
/// are below `classes`.
pub fn class_presence(labels: &[u32], valid: usize, classes: usize, masked: bool) -> Vec<f64> {
    let present = |class: usize| labels[..valid].contains(&(class as u32));
    (0..classes).map(|class| if !masked || present(class) { 1.0 } else { 0.0 }).collect()
}

/// `ln Σ exp(values)`, safe for large values.
pub(crate) fn log_sum_exp(values: &[f64]) -> f64 {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + values.iter().map(|value| (value - largest).exp()).sum::<f64>().ln()
}

/// Index of the first largest value.
pub(crate) fn argmax(values: &[f64]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradient_check::{assert_gradient, random};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_the_gradient(valid in 1usize..4, spare in 0usize..3, classes in 1usize..6, seed: u64, masked: bool) {
            let shape = Logits { batch: valid + spare, valid, classes };
            let logits: Vec<f64> = random(seed, shape.batch * classes).iter().map(|value| 5.0 * value).collect();
            let labels: Vec<u32> = random(seed ^ 1, shape.batch)
                .iter()
                .map(|value| ((value + 1.0) / 2.0 * classes as f64) as u32)
                .collect();
            let multiplier = class_presence(&labels, valid, classes, masked);
            let result = softmax_cross_entropy(&shape, &logits, &labels, &multiplier);
            assert_gradient("dlogits", &logits, &result.dlogits, |logits| {
                softmax_cross_entropy(&shape, logits, &labels, &multiplier).mean_loss(valid)
            });
        }
    }

    #[test]
    fn by_hand() {
        let shape = Logits { batch: 2, valid: 1, classes: 2 };
        let result = softmax_cross_entropy(&shape, &[0.0, 3f64.ln(), f64::NAN, f64::NAN], &[0, 0], &[1.0, 1.0]);
        // Probabilities 1/4 and 3/4.
        assert!((result.loss[0] - 4f64.ln()).abs() < 1e-15);
        assert!((result.dlogits[0] + 0.75).abs() < 1e-15 && (result.dlogits[1] - 0.75).abs() < 1e-15);
        assert_eq!(result.correct, [false, false]);
        assert_eq!((result.loss[1], &result.dlogits[2..]), (0.0, &[0.0, 0.0][..]));
    }

    #[test]
    fn a_masked_class_counts_as_exp_0_but_may_still_be_predicted() {
        let shape = Logits { batch: 1, valid: 1, classes: 2 };
        let result = softmax_cross_entropy(&shape, &[3f64.ln(), 50.0], &[0], &[1.0, 0.0]);
        assert!((result.loss[0] - (4.0f64 / 3.0).ln()).abs() < 1e-15);
        assert_eq!((result.dlogits[1], result.correct[0]), (0.0, false));
    }

    #[test]
    fn large_logits_do_not_overflow_and_the_first_maximum_wins() {
        let shape = Logits { batch: 1, valid: 1, classes: 2 };
        let result = softmax_cross_entropy(&shape, &[1e4, 1e4], &[0], &[1.0, 1.0]);
        assert!((result.loss[0] - 2f64.ln()).abs() < 1e-9);
        assert!(result.correct[0]);
    }

    #[test]
    fn only_valid_labels_count() {
        assert_eq!(class_presence(&[2, 0, 2, 1], 3, 4, true), [1.0, 0.0, 1.0, 0.0]);
        assert_eq!(class_presence(&[2, 0, 2, 1], 3, 4, false), [1.0; 4]);
    }
}

//! Cases of the classifier and its loss.

use super::{Case, Cases, LANES, Trial, Want, absolute, batch_sizes, padded_rows, parameter_rows, rounded};
use crate::kernels::linear::Linear;
use crate::kernels::softmax_cross_entropy::{self, SoftmaxCrossEntropy};
use kernels_tests::linear::linear_forward;
use kernels_tests::shape;
use kernels_tests::softmax_cross_entropy as twin;

/// The classifier, its loss, the gradient and the counters.
#[derive(Debug, Clone, Copy)]
pub struct LossCase {
    /// Capacity of a mini-batch.
    pub batch: usize,
    /// Features that the classifier is given.
    pub in_features: usize,
    /// Number of classes.
    pub classes: usize,
    /// Whether classes absent from the batch are masked.
    pub masked: bool,
    /// Gradient of the summed loss and not of the mean.
    pub summed: bool,
    /// Share of the loss in a sum of several.
    pub share: f32,
    /// Size of the weights: large logits must not overflow.
    pub size: f32,
}

impl Case for LossCase {
    fn op(&self) -> &'static str {
        "softmax_cross_entropy"
    }

    fn fill(&self, t: &mut Trial) {
        let (batch, classes, row) = (self.batch, self.classes, self.classes.next_multiple_of(4));
        let (features, in_row) = (self.in_features, self.in_features.next_multiple_of(4));
        let labels = t.labels(batch, classes);
        let real = |o, i| o < classes && i < features;
        let mut r = parameter_rows(&mut t.noise, (row, in_row, 1), real, |o, i, _| i * row + o);
        r.weights.iter_mut().flatten().for_each(|w| *w = rounded(*w * f64::from(self.size)));
        let (mut stored, mut want_logits, mut want_gradient) = (Vec::new(), Vec::new(), Vec::new());
        let (mut totals, mut want_totals) = (Vec::new(), Vec::new());
        for (l, [slot, parameters, ..]) in LANES.into_iter().enumerate() {
            let (slot, valid) = (slot as usize, batch_sizes(batch)[slot as usize]);
            let (weight, bias) = (&r.weights[parameters as usize], &r.biases[parameters as usize]);
            let drawn = t.noise.values(valid * features);
            let input = padded_rows((valid, valid, features), 0.0, 0.0, |i| drawn[i]);
            let shape = shape::Linear { batch: valid, in_features: in_row, out_features: row };
            let padded = linear_forward(&shape, &input, weight, bias, 1.0);
            let logits: Vec<f64> = padded.chunks_exact(row).flat_map(|logits| &logits[..classes]).copied().collect();
            let sizes = linear_forward(&shape, &absolute(&input), &absolute(weight), &absolute(bias), 1.0);
            let size = sizes.into_iter().fold(1.0, f64::max);
            let own = &labels[slot * batch..][..valid];
            let multiplier = twin::class_presence(own, valid, classes, self.masked);
            let loss = twin::softmax_cross_entropy(&shape::Logits { batch: valid, valid, classes }, &logits, own, &multiplier);
            let count = if self.summed { valid as f64 } else { 1.0 } * f64::from(self.share);
            let gradient_size = (1.0 + size) * count.max(0.1) / valid as f64;
            stored.extend(padded_rows((batch, valid, features), 0.0, f64::NAN, |i| drawn[i]));
            let (of_logits, of_gradient) =
                (|i: usize| Want::Near(logits[i], size), |i: usize| Want::Near(loss.dlogits[i] * count, gradient_size));
            want_logits.extend(padded_rows((batch, valid, classes), Want::Near(0.0, size), Want::Keep, of_logits));
            want_gradient.extend(padded_rows((batch, valid, classes), Want::Near(0.0, gradient_size), Want::Keep, of_gradient));
            // The counters are added to.
            let before = [1.5f32.to_bits(), 7, 11 + l as u32, 2];
            let correct = loss.correct.iter().filter(|c| **c).count() as u32;
            want_totals.push(Want::Near(1.5 + loss.loss.iter().sum::<f64>(), (2.0 * size + 1.0) * valid as f64));
            want_totals.extend([before[1] + correct, before[2] + valid as u32, before[3] + 1].map(Want::Bits));
            totals.extend(before);
        }
        let totals = t.words("totals", totals);
        t.expected.push((totals, want_totals));
        let b = softmax_cross_entropy::Buffers {
            tables: t.tables(batch),
            input: t.values("input", &stored),
            parameters: t.values("parameters", &r.stored()),
            batch_labels: t.words("batch labels", labels),
            logits: t.output("logits", want_logits),
            dlogits: t.output("dlogits", want_gradient),
            totals,
        };
        let linear = Linear { batch: batch as u32, in_blocks: in_row as u32 / 4, out_blocks: row as u32 / 4, place: r.place };
        let kernel = SoftmaxCrossEntropy { linear, classes: classes as u32, masked: self.masked, summed: self.summed, share: self.share };
        t.dispatches.push(kernel.dispatch("case", b));
    }
}

pub(super) fn standard(cases: &mut Cases) {
    for masked in [false, true] {
        let sizes = [(9, 64, 10, 1.0, 0.5), (70, 6, 3, 0.3, 1.0), (1, 1, 1, 1.0, 1.0), (130, 33, 65, 0.3, 30.0)];
        for (seed, (batch, in_features, classes, share, size)) in (450..).zip(sizes) {
            cases.add(seed, LossCase { batch, in_features, classes, masked, summed: masked, share, size });
        }
    }
}

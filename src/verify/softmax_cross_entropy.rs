//! Cases of the classifier and its loss.

use super::{Case, LANES, Noise, ROWS, Trial, Want, batch_sizes, labels, lane_table, size_table};
use crate::kernels::linear::Linear;
use crate::kernels::softmax_cross_entropy::SoftmaxCrossEntropy;
use crate::kernels::{ParameterPlace, Tuning, softmax_cross_entropy};
use kernels_tests::linear::linear_forward;
use kernels_tests::shape;
use kernels_tests::softmax_cross_entropy::{class_presence, softmax_cross_entropy as softmax_twin};

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
    /// Seed of the data.
    pub seed: u64,
}

impl Case for LossCase {
    fn op(&self) -> &'static str {
        "softmax_cross_entropy"
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let (batch, classes, row) = (self.batch, self.classes, self.classes.next_multiple_of(4));
        let (features, in_row) = (self.in_features, self.in_features.next_multiple_of(4));
        let labels = labels(&mut noise, batch, classes);
        let valid = batch_sizes(batch);
        // One row of parameters for every row of the table: weights [i][o], then the bias, among NaN.
        let blocks = (row / 4) as u32;
        let place = ParameterPlace { stride: (in_row as u32 + 1) * blocks + 2, weight: 1, bias: Some(1 + in_row as u32 * blocks) };
        let stride = place.stride as usize * 4;
        let mut words = vec![f32::NAN; ROWS * stride];
        let mut layers = Vec::new();
        for r in 0..ROWS {
            words[r * stride + 4..][..(in_row + 1) * row].fill(0.0);
            let weight: Vec<f64> = (0..classes * features).map(|_| f64::from((noise.value() * f64::from(self.size)) as f32)).collect();
            let bias: Vec<f64> = (0..classes).map(|_| noise.value()).collect();
            for c in 0..classes {
                for i in 0..features {
                    words[r * stride + 4 + i * row + c] = weight[c * features + i] as f32;
                }
                words[r * stride + 4 + in_row * row + c] = bias[c] as f32;
            }
            layers.push((weight, bias));
        }
        let mut stored = Vec::new();
        let mut want_logits = Vec::new();
        let mut want_gradient = Vec::new();
        let mut want_totals = Vec::new();
        let mut initial_totals = Vec::new();
        for (l, lane) in LANES.iter().enumerate() {
            let s = lane[0] as usize;
            let (weight, bias) = &layers[lane[1] as usize];
            let input: Vec<f64> = noise.values(valid[s] * features);
            let shape = shape::Linear { batch: valid[s], in_features: features, out_features: classes };
            let logits = linear_forward(&shape, &input, weight, bias, 1.0);
            let absolute = |v: &[f64]| v.iter().map(|v| v.abs()).collect::<Vec<_>>();
            let sizes = linear_forward(&shape, &absolute(&input), &absolute(weight), &absolute(bias), 1.0);
            let size = sizes.iter().copied().fold(1.0, f64::max);
            let own = &labels[s * batch..s * batch + valid[s]];
            let multiplier = class_presence(own, valid[s], classes, self.masked);
            let twin = softmax_twin(&shape::Logits { batch: valid[s], valid: valid[s], classes }, &logits, own, &multiplier);
            let mut rows = vec![f32::NAN; batch * in_row];
            let (mut lane_logits, mut gradient) = (vec![Want::Keep; batch * row], vec![Want::Keep; batch * row]);
            let count = if self.summed { valid[s] as f64 } else { 1.0 } * f64::from(self.share);
            for n in 0..valid[s] {
                rows[n * in_row..][..in_row].fill(0.0);
                for i in 0..features {
                    rows[n * in_row + i] = input[n * features + i] as f32;
                }
                for c in 0..row {
                    let at = n * classes + c;
                    let (logit, g) = if c < classes { (logits[at], twin.dlogits[at] * count) } else { (0.0, 0.0) };
                    lane_logits[n * row + c] = Want::Near(logit, size);
                    gradient[n * row + c] = Want::Near(g, (1.0 + size) * count.max(0.1) / valid[s] as f64);
                }
            }
            stored.extend(rows);
            want_logits.extend(lane_logits);
            want_gradient.extend(gradient);
            // The counters are added to.
            let before = [1.5f32.to_bits(), 7, 11 + l as u32, 2];
            let correct = twin.correct.iter().filter(|c| **c).count() as u32;
            let loss: f64 = twin.loss.iter().sum();
            want_totals.push(Want::Near(1.5 + loss, (2.0 * size + 1.0) * valid[s] as f64));
            want_totals.extend([before[1] + correct, before[2] + valid[s] as u32, before[3] + 1].map(Want::Bits));
            initial_totals.extend(before);
        }
        let totals = t.words("totals", initial_totals);
        t.expect(totals, want_totals);
        let b = softmax_cross_entropy::Buffers {
            lanes: t.words("lanes", lane_table()),
            batch_sizes: t.words("batch sizes", size_table(batch)),
            input: t.values("input", &stored),
            parameters: t.values("parameters", &words),
            batch_labels: t.words("batch labels", labels),
            logits: t.output("logits", want_logits),
            dlogits: t.output("dlogits", want_gradient),
            totals,
        };
        let linear = Linear { batch: batch as u32, in_blocks: in_row as u32 / 4, out_blocks: blocks, place };
        let kernel = SoftmaxCrossEntropy { linear, classes: classes as u32, masked: self.masked, summed: self.summed, share: self.share };
        t.dispatches = vec![kernel.dispatch("case", b)];
        t
    }
}

pub(super) fn standard() -> Vec<Box<dyn Case>> {
    let mut cases: Vec<Box<dyn Case>> = Vec::new();
    for masked in [false, true] {
        for (seed, (batch, in_features, classes)) in [(9, 64, 10), (70, 6, 3), (1, 1, 1), (130, 33, 65)].into_iter().enumerate() {
            let size = [0.5, 1.0, 1.0, 30.0][seed];
            cases.push(Box::new(LossCase {
                batch,
                in_features,
                classes,
                masked,
                summed: masked,
                share: [1.0, 0.3][seed % 2],
                size,
                seed: 450 + seed as u64,
            }));
        }
    }
    cases
}

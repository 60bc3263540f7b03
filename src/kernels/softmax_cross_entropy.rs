//! The classifier, softmax cross entropy, its gradient and the counters; see `shaders/softmax_cross_entropy.wgsl`.

use super::linear::Linear;
use super::{BufferId, Dispatch, LaneTables, Over, WORKGROUP, shader, uniforms};

/// What the kernel is given.
#[derive(Debug, Clone, Copy)]
pub struct SoftmaxCrossEntropy {
    /// The classifier.
    pub linear: Linear,
    /// Number of classes.
    pub classes: u32,
    /// Whether classes absent from the batch are masked in the loss.
    pub masked: bool,
    /// Whether the gradient is that of the summed loss and not of the mean.
    pub summed: bool,
    /// Share of this loss in a sum of several: a factor on the gradient, not on the counters.
    pub share: f32,
}

/// Its buffers.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// Of lanes and slots.
    pub tables: LaneTables,
    /// `[lane][n][block]` input of the classifier.
    pub input: BufferId,
    /// Rows of parameters.
    pub parameters: BufferId,
    /// `[slot][n]` u32.
    pub batch_labels: BufferId,
    /// Out: `[lane][n][block]` logits.
    pub logits: BufferId,
    /// Out: gradient of the loss with respect to them.
    pub dlogits: BufferId,
    /// Out, added to: per lane (loss f32, correct, samples, steps u32).
    pub totals: BufferId,
}

impl SoftmaxCrossEntropy {
    /// The dispatch, over lanes.
    pub fn dispatch(&self, label: &str, b: Buffers) -> Dispatch {
        let linear = &self.linear;
        let values = u64::from(linear.batch) * u64::from(self.classes);
        Dispatch::new(label, shader::softmax_cross_entropy, "softmax_cross_entropy", Over::Lanes, WORKGROUP)
            .constants(vec![("CLASSES", self.classes)])
            .uniforms(uniforms! {
                batch: linear.batch,
                in_blocks: linear.in_blocks,
                parameter_stride: linear.place.stride,
                weight: linear.place.weight,
                bias: linear.place.bias.expect("a linear layer has a bias"),
                masked: self.masked,
                summed: self.summed,
                share: self.share,
            })
            .tables(b.tables)
            .reads([b.input, b.parameters, b.batch_labels])
            .writes([b.logits, b.dlogits, b.totals])
            .cost(linear.flops() + values * 10, linear.bytes() + values * 4)
    }
}

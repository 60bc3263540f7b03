//! Softmax cross entropy, its gradient and the counters; see `shaders/softmax_cross_entropy.wgsl`.

use super::{Access::*, BufferId, Dispatch, Kernel, Over, WORKGROUP, shader};

/// What the kernels are given.
#[derive(Debug, Clone, Copy)]
pub struct SoftmaxCrossEntropy {
    /// Capacity of a mini-batch.
    pub batch: u32,
    /// Number of classes.
    pub classes: u32,
}

/// Buffers of both entry points.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// `vec4<u32>` of each lane: slot, parameter row, base, 0.
    pub lanes: BufferId,
    /// u32 valid samples of each slot.
    pub batch_sizes: BufferId,
    /// `[lane][n][block]` logits.
    pub logits: BufferId,
    /// `[slot][n]` u32.
    pub batch_labels: BufferId,
    /// `[slot][class]` f32.
    pub multiplier: BufferId,
    /// Out: gradient of the mean loss.
    pub dlogits: BufferId,
    /// Between the entry points: `[lane][n]` of (loss, correct).
    pub outcomes: BufferId,
    /// Out, added to: per lane (loss f32, correct, samples, steps u32).
    pub totals: BufferId,
}

impl SoftmaxCrossEntropy {
    /// Loss, gradient and correctness of every sample, then the lane's counters; over lanes.
    pub fn dispatches(&self, label: &str, b: Buffers) -> [Dispatch; 2] {
        let words = vec![self.batch, self.classes, self.classes.div_ceil(4)];
        let values = u64::from(self.batch) * u64::from(self.classes);
        [
            Dispatch {
                label: label.into(),
                kernel: Kernel {
                    shader: shader::softmax_cross_entropy,
                    entry: "loss",
                    constants: vec![],
                    access: &[Read, Read, Read, Read, Read, Write, Write],
                },
                words: words.clone(),
                step_word: None,
                buffers: vec![b.lanes, b.batch_sizes, b.logits, b.batch_labels, b.multiplier, b.dlogits, b.outcomes],
                invocations: self.batch,
                workgroup: WORKGROUP,
                over: Over::Lanes,
                flops: values * 10,
                bytes: values * 8,
            },
            Dispatch {
                label: format!("{label}, counters"),
                kernel: Kernel {
                    shader: shader::softmax_cross_entropy,
                    entry: "count",
                    constants: vec![],
                    access: &[Read, Read, Read, Write],
                },
                words,
                step_word: None,
                buffers: vec![b.lanes, b.batch_sizes, b.outcomes, b.totals],
                invocations: 1,
                workgroup: 1,
                over: Over::Lanes,
                flops: u64::from(self.batch) * 2,
                bytes: u64::from(self.batch) * 8 + 32,
            },
        ]
    }
}

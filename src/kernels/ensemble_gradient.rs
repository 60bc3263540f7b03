//! Gradient of an ensemble's loss with respect to its bases' logits; see `shaders/ensemble_gradient.wgsl`.

use super::{Access::*, BufferId, Dispatch, Kernel, Over, WORKGROUP, shader};

/// What the kernel is given.
#[derive(Debug, Clone, Copy)]
pub struct EnsembleGradient {
    /// Capacity of a mini-batch.
    pub batch: u32,
    /// Number of classes.
    pub classes: u32,
    /// Bases mixed: lanes of a slot.
    pub bases: u32,
}

/// Its buffers.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// u32 valid samples of each slot.
    pub batch_sizes: BufferId,
    /// `[slot · bases + base][n][block]` logits.
    pub logits: BufferId,
    /// `[slot][n]` u32.
    pub batch_labels: BufferId,
    /// Out: the gradient, as the logits.
    pub dlogits: BufferId,
}

impl EnsembleGradient {
    /// Place in the uniform block of the shift from a label to the class whose loss is meant: 0, or that of a target.
    pub const SHIFT_WORD: usize = 4;

    /// The dispatch, over slots.
    pub fn dispatch(&self, label: &str, b: Buffers) -> Dispatch {
        let values = u64::from(self.batch) * u64::from(self.classes);
        Dispatch {
            label: label.into(),
            kernel: Kernel {
                shader: shader::ensemble_gradient,
                entry: "ensemble_gradient",
                constants: vec![],
                access: &[Read, Read, Read, Write],
            },
            words: vec![self.batch, self.classes, self.classes.div_ceil(4), self.bases, 0],
            step_word: None,
            buffers: vec![b.batch_sizes, b.logits, b.batch_labels, b.dlogits],
            invocations: self.batch,
            workgroup: WORKGROUP,
            over: Over::Slots,
            flops: values * u64::from(self.bases + 8),
            bytes: values * 8 * u64::from(self.bases),
        }
    }
}

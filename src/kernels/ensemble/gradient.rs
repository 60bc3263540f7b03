//! Gradient of an ensemble's loss with respect to its bases' logits; see `shaders/ensemble_gradient.wgsl`.

use crate::kernels::{BufferId, Dispatch, Over, shader, uniforms};

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
    /// The dispatch, over slots. The uniform `shift` leads from a label to the class whose loss is meant: 0, or that of a target.
    pub fn dispatch(&self, label: &str, b: Buffers) -> Dispatch {
        let values = u64::from(self.batch) * u64::from(self.classes);
        Dispatch::new(label, shader::ensemble_gradient, "ensemble_gradient", Over::Slots, self.batch)
            .uniforms(uniforms! {
                batch: self.batch,
                classes: self.classes,
                blocks: self.classes.div_ceil(4),
                bases: self.bases,
                shift: 0,
            })
            .reads([b.batch_sizes, b.logits, b.batch_labels])
            .writes([b.dlogits])
            .cost(values * u64::from(self.bases + 8), values * 8 * u64::from(self.bases))
    }
}

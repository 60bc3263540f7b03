//! Mixing bases at evaluation; see `shaders/ensemble_mean.wgsl`.

use crate::kernels::{BufferId, Dispatch, Over, shader, uniforms};

/// What the kernels are given.
#[derive(Debug, Clone, Copy)]
pub struct EnsembleMean {
    /// Capacity of a mini-batch.
    pub batch: u32,
    /// Number of classes.
    pub classes: u32,
    /// Bases whose logits each slot has.
    pub bases: u32,
    /// Number of widths asked for.
    pub widths: u32,
}

/// Buffers of both entry points.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// u32 valid samples of each slot.
    pub batch_sizes: BufferId,
    /// `[slot · bases + base][n][block]` logits.
    pub logits: BufferId,
    /// `[slot][n]` u32.
    pub batch_labels: BufferId,
    /// u32 number of bases of each width.
    pub widths: BufferId,
    /// Out: `[slot][width][n][block]` mean logits.
    pub mixed: BufferId,
    /// Between the entry points: `[slot][width][n]` of (loss, correct).
    pub outcomes: BufferId,
    /// Out: `[slot][width]` of (loss f32, correct, samples, 0 u32).
    pub totals: BufferId,
}

impl EnsembleMean {
    /// Mean logits with loss and correctness of every sample, then the sums of each width; over slots.
    pub fn dispatches(&self, label: &str, b: Buffers) -> [Dispatch; 2] {
        let uniforms = uniforms! {
            batch: self.batch,
            classes: self.classes,
            blocks: self.classes.div_ceil(4),
            bases: self.bases,
            widths: self.widths,
        };
        let values = u64::from(self.batch) * u64::from(self.classes);
        [
            Dispatch::new(label, shader::ensemble_mean, "logits", Over::Slots, self.batch)
                .uniforms(uniforms.clone())
                .reads([b.batch_sizes, b.logits, b.batch_labels, b.widths])
                .writes([b.mixed, b.outcomes])
                .cost(values * u64::from(self.bases + 5 * self.widths), values * 4 * u64::from(self.bases + self.widths)),
            Dispatch::new(format!("{label}, counters"), shader::ensemble_mean, "count", Over::Slots, self.widths)
                .uniforms(uniforms)
                .reads([b.batch_sizes, b.outcomes])
                .writes([b.totals])
                .cost(u64::from(self.batch) * u64::from(self.widths) * 2, u64::from(self.batch) * u64::from(self.widths) * 8),
        ]
    }
}

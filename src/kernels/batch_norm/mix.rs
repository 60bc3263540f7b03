//! Batch norms prepared for evaluation, the λ-mix of dual ones among them; see `shaders/batch_norm_mix.wgsl`.

use crate::kernels::{BufferId, Dispatch, EPSILON, Over, shader, uniforms};
use crate::net::NormRow;

/// What the kernel is given.
#[derive(Debug, Clone, Copy)]
pub struct BatchNormMix {
    /// What a source row holds.
    pub row: NormRow,
    /// vec4 of a source row.
    pub stride: u32,
    /// Where its batch norms begin.
    pub start: u32,
    /// Whether a lane's row is that of its batch norms, and not that of its parameters.
    pub own_rows: bool,
    /// Whether moments are made of running statistics; they must be tracked.
    pub running: bool,
    /// Share of the adversarial batch norm, in [0, 1]; without effect on a single one.
    pub lambda: f32,
}

/// Its buffers.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// `vec4<u32>` of each lane: slot, parameter row, base, row of batch norms.
    pub lanes: BufferId,
    /// Rows with batch norms in them.
    pub source: BufferId,
    /// Out: `[lane]` γ of all layers, then β.
    pub mixed: BufferId,
    /// Out, where running: `[lane][block of any layer]` of (mean, 1 / √(var + ε), –).
    pub moments: BufferId,
}

impl BatchNormMix {
    /// Bytes of one lane's γ and β.
    pub fn mixed_bytes(&self) -> u64 {
        u64::from(self.row.blocks) * 32
    }

    /// The dispatch, over lanes.
    pub fn dispatch(&self, label: &str, b: Buffers) -> Dispatch {
        assert!(self.row.norms.tracked || !self.running, "no running statistics are kept");
        let values = u64::from(self.row.blocks) * 4;
        Dispatch::new(label, shader::batch_norm_mix, "batch_norm_mix", Over::Lanes, self.row.blocks)
            .uniforms(uniforms! {
                blocks: self.row.blocks,
                stride: self.stride,
                start: self.start,
                dual: self.row.norms.dual,
                running: self.running,
                own_rows: self.own_rows,
                lambda: self.lambda,
                epsilon: EPSILON,
            })
            .reads([b.lanes, b.source])
            .writes([b.mixed, b.moments])
            .cost(values * 12, u64::from(self.row.len()) * 16 + values * 8)
    }
}

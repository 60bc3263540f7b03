//! Adaptive average pooling, forward; see `shaders/average_pool_forward.wgsl`.

use super::AveragePool;
use crate::kernels::{BufferId, Dispatch, ImageLayout, Over, shader};

/// Buffers of the forward.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// `vec4<u32>` of each lane: slot, parameter row, base, row of batch norms.
    pub lanes: BufferId,
    /// u32 valid samples of each slot.
    pub batch_sizes: BufferId,
    /// The layer's input.
    pub x: BufferId,
    /// Out: the layer's output.
    pub y: BufferId,
}

impl AveragePool {
    /// The forward dispatch, over lanes, between the given layouts.
    pub fn forward(&self, label: &str, x: ImageLayout, y: ImageLayout, b: Buffers) -> Dispatch {
        Dispatch::new(label, shader::average_pool_forward, "average_pool_forward", Over::Lanes, y.row_invocations(self.batch))
            .constants(self.constants())
            .uniforms(self.uniforms(x, y))
            .reads([b.lanes, b.batch_sizes, b.x])
            .writes([b.y])
            .cost(u64::from(self.batch) * self.terms(), x.payload(self.batch) + y.payload(self.batch))
    }
}

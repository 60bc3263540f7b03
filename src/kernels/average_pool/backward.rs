//! Adaptive average pooling, gradient with respect to the input; see `shaders/average_pool_backward.wgsl`.

use super::AveragePool;
use crate::kernels::{BufferId, Dispatch, ImageLayout, Over, shader};

/// Buffers of the backward.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// `vec4<u32>` of each lane: slot, parameter row, base, row of batch norms.
    pub lanes: BufferId,
    /// u32 valid samples of each slot.
    pub batch_sizes: BufferId,
    /// Gradient of the output.
    pub dy: BufferId,
    /// Out: gradient of the input.
    pub dx: BufferId,
}

impl AveragePool {
    /// The backward dispatch, over lanes, between the given layouts.
    pub fn backward(&self, label: &str, dx: ImageLayout, dy: ImageLayout, b: Buffers) -> Dispatch {
        Dispatch::new(label, shader::average_pool_backward, "average_pool_backward", Over::Lanes, dx.row_invocations(self.batch))
            .constants(self.constants())
            .uniforms(self.uniforms(dx, dy))
            .reads([b.lanes, b.batch_sizes, b.dy])
            .writes([b.dx])
            .cost(u64::from(self.batch) * self.terms() * 2, dx.payload(self.batch) + dy.payload(self.batch))
    }
}

//! Max-pooling, gradient with respect to the input; see `shaders/max_pool_backward.wgsl`.

use super::MaxPool;
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
    /// The places that the forward kept.
    pub indices: BufferId,
    /// Out: gradient of the input.
    pub dx: BufferId,
}

impl MaxPool {
    /// The backward dispatch, over lanes, between the given layouts.
    pub fn backward(&self, label: &str, dx: ImageLayout, dy: ImageLayout, b: Buffers) -> Dispatch {
        Dispatch::new(label, shader::max_pool_backward, "max_pool_backward", Over::Lanes, dx.row_invocations(self.batch))
            .constants(self.constants())
            .uniforms(self.uniforms(dx, dy))
            .reads([b.lanes, b.batch_sizes, b.dy, b.indices])
            .writes([b.dx])
            .cost(u64::from(self.batch) * u64::from(self.input.len()), dx.payload(self.batch) + dy.payload(self.batch) + self.index_bytes())
    }
}

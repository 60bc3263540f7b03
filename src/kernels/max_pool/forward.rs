//! Max-pooling, forward; see `shaders/max_pool_forward.wgsl`.

use super::MaxPool;
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
    /// Out: u32 of four windows' places, a byte each.
    pub indices: BufferId,
}

impl MaxPool {
    /// The forward dispatch, over lanes, between the given layouts.
    pub fn forward(&self, label: &str, x: ImageLayout, y: ImageLayout, b: Buffers) -> Dispatch {
        Dispatch::new(label, shader::max_pool_forward, "max_pool_forward", Over::Lanes, y.row_invocations(self.batch))
            .constants(self.constants())
            .uniforms(self.uniforms(x, y))
            .reads([b.lanes, b.batch_sizes, b.x])
            .writes([b.y, b.indices])
            .cost(
                u64::from(self.kernel.0 * self.kernel.1) * u64::from(self.batch) * u64::from(self.output.len()),
                x.payload(self.batch) + y.payload(self.batch) + self.index_bytes(),
            )
    }
}

//! Rectification, forward; see `shaders/relu_forward.wgsl`.

use super::Relu;
use crate::kernels::{BufferId, Dispatch, ImageLayout, Over, shader, uniforms};

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

impl Relu {
    /// The forward dispatch, over lanes, writing the layout `y`.
    pub fn forward(&self, label: &str, y: ImageLayout, b: Buffers) -> Dispatch {
        Dispatch::new(label, shader::relu_forward, "relu_forward", Over::Lanes, y.row_invocations(self.batch))
            .uniforms(self.uniforms(&[y]).with(uniforms! { y_row: y.row(), y_image: y.image(), y_origin: y.origin(0) }))
            .reads([b.lanes, b.batch_sizes, b.x])
            .writes([b.y])
            .cost(u64::from(self.batch) * u64::from(y.shape.len()), y.payload(self.batch) * 2)
    }
}

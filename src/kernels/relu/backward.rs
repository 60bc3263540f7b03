//! Rectification, gradient with respect to the input; see `shaders/relu_backward.wgsl`.

use super::Relu;
use crate::kernels::{BufferId, Dispatch, ImageLayout, Over, shader, uniforms};

/// Buffers of the backward.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// `vec4<u32>` of each lane: slot, parameter row, base, row of batch norms.
    pub lanes: BufferId,
    /// u32 valid samples of each slot.
    pub batch_sizes: BufferId,
    /// The layer's input.
    pub x: BufferId,
    /// Gradient of the output.
    pub dy: BufferId,
    /// Out: gradient of the input.
    pub dx: BufferId,
}

impl Relu {
    /// The backward dispatch, over lanes, between the given layouts.
    pub fn backward(&self, label: &str, dx: ImageLayout, dy: ImageLayout, b: Buffers) -> Dispatch {
        Dispatch::new(label, shader::relu_backward, "relu_backward", Over::Lanes, dx.row_invocations(self.batch))
            .uniforms(self.uniforms(&[dy, dx]).with(uniforms! {
                dy_row: dy.row(),
                dy_image: dy.image(),
                dy_origin: dy.origin(0),
                dx_row: dx.row(),
                dx_image: dx.image(),
                dx_origin: dx.origin(0),
            }))
            .reads([b.lanes, b.batch_sizes, b.x, b.dy])
            .writes([b.dx])
            .cost(u64::from(self.batch) * u64::from(dx.shape.len()), dx.payload(self.batch) * 3)
    }
}

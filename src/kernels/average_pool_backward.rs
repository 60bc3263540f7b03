//! Adaptive average pooling, gradient with respect to the input; see `shaders/average_pool_backward.wgsl`.

use super::average_pool_forward::AveragePool;
use super::{Access::*, BufferId, Dispatch, ImageLayout, Kernel, Over, WORKGROUP, shader};

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
        Dispatch {
            label: label.into(),
            kernel: Kernel {
                shader: shader::average_pool_backward,
                entry: "average_pool_backward",
                constants: self.constants(),
                access: &[Read, Read, Read, Write],
            },
            uniforms: self.uniforms(dx, dy),
            step: None,
            buffers: vec![b.lanes, b.batch_sizes, b.dy, b.dx],
            invocations: dx.row_invocations(self.batch),
            workgroup: WORKGROUP,
            over: Over::Lanes,
            flops: u64::from(self.batch) * self.terms() * 2,
            bytes: dx.payload(self.batch) + dy.payload(self.batch),
        }
    }
}

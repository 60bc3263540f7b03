//! Rectification, forward; see `shaders/relu_forward.wgsl`. Also what both directions are given.

use super::{BufferId, Dispatch, ImageLayout, Over, Uniforms, shader, uniforms};

/// What the kernels are given.
#[derive(Debug, Clone, Copy)]
pub struct Relu {
    /// Capacity of a mini-batch.
    pub batch: u32,
    /// Layout of the layer's input.
    pub x: ImageLayout,
}

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
    /// What both directions are given of the layer and its input; `others` are of the input's shape.
    pub(super) fn uniforms(&self, others: &[ImageLayout]) -> Uniforms {
        let x = self.x;
        assert!(others.iter().all(|l| l.shape == x.shape), "{others:?} are of another shape than {x:?}");
        uniforms! {
            batch: self.batch,
            blocks: x.blocks(),
            height: x.shape.height,
            width: x.shape.width,
            x_row: x.row(),
            x_image: x.image(),
            x_origin: x.origin(0),
        }
    }

    /// The forward dispatch, over lanes, writing the layout `y`.
    pub fn forward(&self, label: &str, y: ImageLayout, b: Buffers) -> Dispatch {
        Dispatch::new(label, shader::relu_forward, "relu_forward", Over::Lanes, y.row_invocations(self.batch))
            .uniforms(self.uniforms(&[y]).with(uniforms! { y_row: y.row(), y_image: y.image(), y_origin: y.origin(0) }))
            .reads([b.lanes, b.batch_sizes, b.x])
            .writes([b.y])
            .cost(u64::from(self.batch) * u64::from(y.shape.len()), y.payload(self.batch) * 2)
    }
}

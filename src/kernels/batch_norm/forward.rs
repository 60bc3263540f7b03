//! Batch normalisation, ReLU and max-pooling, forward; see `shaders/batch_norm_forward.wgsl`.

use super::BatchNorm;
use crate::kernels::{BufferId, Dispatch, ImageLayout, Over, shader, uniforms};

/// Buffers of the forward.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// `vec4<u32>` of each lane: slot, parameter row, base, row of batch norms.
    pub lanes: BufferId,
    /// u32 valid samples of each slot.
    pub batch_sizes: BufferId,
    /// The layer's input.
    pub z: BufferId,
    /// `[lane][block of any layer]` of (mean, 1 / √(var + ε), unbiased variance).
    pub moments: BufferId,
    /// Rows of parameters, one a lane.
    pub parameters: BufferId,
    /// Out: the layer's output, pooled.
    pub y: BufferId,
}

impl BatchNorm {
    /// The dispatch, over lanes, writing the pooled output in the layout `y`.
    pub fn forward(&self, label: &str, y: ImageLayout, b: Buffers) -> Dispatch {
        let z = &self.z;
        assert!(y.shape.height == z.shape.height / self.pool && y.shape.width == z.shape.width / self.pool, "{y:?} is not what is left");
        Dispatch::new(label, shader::batch_norm_forward, "batch_norm_forward", Over::Lanes, y.row_invocations(self.batch))
            .constants(vec![("POOL", self.pool)])
            .uniforms(uniforms! {
                batch: self.batch,
                blocks: z.blocks(),
                height: y.shape.height,
                width: y.shape.width,
                in_row: z.row(),
                in_image: z.image(),
                in_origin: z.origin(0),
                out_row: y.row(),
                out_image: y.image(),
                out_origin: y.origin(0),
                parameter_stride: self.place.stride,
                weight: self.place.weight,
                bias: self.place.bias,
                relu: self.relu,
                moment_blocks: self.place.blocks,
                moment_first: self.place.first,
            })
            .reads([b.lanes, b.batch_sizes, b.z, b.moments, b.parameters])
            .writes([b.y])
            .cost(self.values() * 4, z.payload(self.batch) + y.payload(self.batch))
    }
}

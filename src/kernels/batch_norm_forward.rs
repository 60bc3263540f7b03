//! Batch normalisation, ReLU and max-pooling, forward; see `shaders/batch_norm_forward.wgsl`.

use super::batch_norm_statistics::BatchNorm;
use super::{Access::*, BufferId, Dispatch, ImageLayout, Kernel, Over, WORKGROUP, shader};

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
        Dispatch {
            label: label.into(),
            kernel: Kernel {
                shader: shader::batch_norm_forward,
                entry: "batch_norm_forward",
                constants: vec![("POOL", self.pool)],
                access: &[Read, Read, Read, Read, Read, Write],
            },
            words: vec![
                self.batch,
                z.blocks(),
                y.shape.height,
                y.shape.width,
                z.row(),
                z.image(),
                z.origin(0),
                y.row(),
                y.image(),
                y.origin(0),
                self.place.stride,
                self.place.weight,
                self.place.bias,
                u32::from(self.relu),
                self.place.blocks,
                self.place.first,
            ],
            step_word: None,
            buffers: vec![b.lanes, b.batch_sizes, b.z, b.moments, b.parameters, b.y],
            invocations: y.row_invocations(self.batch),
            workgroup: WORKGROUP,
            over: Over::Lanes,
            flops: self.values() * 4,
            bytes: z.payload(self.batch) + y.payload(self.batch),
        }
    }
}

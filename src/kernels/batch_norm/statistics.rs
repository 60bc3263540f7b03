//! Batch statistics; see `shaders/batch_norm_statistics.wgsl`.

use super::{BatchNorm, REDUCTION};
use crate::kernels::conv2d::forward::Conv2dForward;
use crate::kernels::{BufferId, Dispatch, EPSILON, Over, shader, uniforms};

/// Buffers of the statistics.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// `vec4<u32>` of each lane: slot, parameter row, base, row of batch norms.
    pub lanes: BufferId,
    /// u32 valid samples of each slot.
    pub batch_sizes: BufferId,
    /// The layer's input, or the tiles' statistics.
    pub z: BufferId,
    /// Out: `[lane][block of any layer]` of (mean, 1 / √(var + ε), unbiased variance).
    pub moments: BufferId,
}

impl BatchNorm {
    /// The dispatch, over lanes, from the layer's input.
    pub fn statistics(&self, label: &str, b: Buffers) -> Dispatch {
        let bytes = self.z.payload(self.batch) + self.moment_bytes();
        self.reduce(label, "of_image", b, (1, 1), self.values() * 4, bytes)
    }

    /// The dispatch, over lanes, from the statistics that the convolution before left of its tiles, `b.z`.
    pub fn statistics_of_tiles(&self, label: &str, conv: &Conv2dForward, b: Buffers) -> Dispatch {
        let tile = conv.tile();
        let bytes = conv.part_bytes() + self.moment_bytes();
        self.reduce(label, "of_tiles", b, (tile.rows, tile.pixels), conv.part_bytes(), bytes)
    }

    fn reduce(&self, label: &str, entry: &'static str, b: Buffers, tile: (u32, u32), flops: u64, bytes: u64) -> Dispatch {
        let z = &self.z;
        Dispatch::new(label, shader::batch_norm_statistics, entry, Over::Lanes, z.blocks() / self.group() * REDUCTION)
            .constants(vec![("GROUP", self.group())])
            .uniforms(uniforms! {
                batch: self.batch,
                blocks: z.blocks(),
                height: z.shape.height,
                width: z.shape.width,
                row: z.row(),
                image: z.image(),
                origin: z.origin(0),
                epsilon: EPSILON,
                tile_height: tile.0,
                tile_width: tile.1,
                moment_blocks: self.place.blocks,
                moment_first: self.place.first,
            })
            .reads([b.lanes, b.batch_sizes, b.z])
            .writes([b.moments])
            .workgroup(REDUCTION)
            .cost(flops, bytes)
    }
}

//! Batch statistics; see `shaders/batch_norm_statistics.wgsl`. Also the geometry that batch norm's kernels share.

use super::conv2d_forward::Conv2dForward;
use super::{BufferId, Dispatch, EPSILON, ImageLayout, Over, shader, uniforms};

/// Where the values of a batch norm layer lie, in vec4 or records of a channel block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NormPlace {
    /// Length of a lane's row of parameters.
    pub stride: u32,
    /// Start of γ in it.
    pub weight: u32,
    /// Start of β.
    pub bias: u32,
    /// Channel blocks of all layers: records of a lane's moments.
    pub blocks: u32,
    /// This layer's first.
    pub first: u32,
}

impl NormPlace {
    /// Bytes of one lane's moments, of all layers: mean, 1 / √(var + ε) and unbiased variance of each channel.
    pub fn moment_bytes(&self) -> u64 {
        u64::from(self.blocks) * 48
    }
}

/// A batch norm layer over the output of a convolution or linear layer, with the ReLU and the max-pooling after it.
#[derive(Debug, Clone, Copy)]
pub struct BatchNorm {
    /// Capacity of a mini-batch.
    pub batch: u32,
    /// Layout of the layer's input z.
    pub z: ImageLayout,
    /// Where its values lie.
    pub place: NormPlace,
    /// Whether a ReLU follows.
    pub relu: bool,
    /// Side and stride of the max-pooling's windows; 1 where there is none.
    pub pool: u32,
    /// Whether the moments are given, as those of running statistics, and not the batch's.
    pub running: bool,
}

/// Invocations of a workgroup that reduces a lane's channel blocks.
pub(super) const REDUCTION: u32 = 256;

impl BatchNorm {
    /// Bytes of this layer's moments of one lane.
    pub(super) fn moment_bytes(&self) -> u64 {
        u64::from(self.z.blocks()) * 48
    }

    /// Bytes of what [`BatchNorm::backward`] keeps of one lane between its stages: mean, deviation and two sums.
    pub fn sum_bytes(&self) -> u64 {
        u64::from(self.z.blocks()) * 64
    }

    /// Whether z is a row of features and no image, with kernels of its own ([`super::batch_norm_features`]).
    pub fn is_features(&self) -> bool {
        self.z.shape.height * self.z.shape.width == 1 && self.z.border == 0 && self.pool == 1
    }

    /// Channel blocks that one reducing workgroup takes.
    pub(super) fn group(&self) -> u32 {
        [4, 2, 1].into_iter().find(|g| self.z.blocks().is_multiple_of(*g)).unwrap_or(1)
    }

    pub(super) fn values(&self) -> u64 {
        u64::from(self.batch) * u64::from(self.z.shape.len())
    }

    pub(super) fn given(&self) -> (&'static str, u32) {
        ("RUNNING", u32::from(self.running))
    }
}

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

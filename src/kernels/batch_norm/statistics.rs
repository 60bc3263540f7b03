//! Batch statistics; see `shaders/batch_norm_statistics.wgsl`.

use super::{BatchNorm, REDUCTION};
use crate::kernels::conv2d::forward::Conv2dForward;
use crate::kernels::{BufferId, Dispatch, EPSILON, LaneTables, Over, shader, uniforms};

impl BatchNorm {
    /// The dispatch, over lanes, from the layer's input.
    pub fn statistics(&self, label: &str, tables: LaneTables) -> Dispatch {
        let bytes = self.z.layout.payload(self.batch) + self.moment_bytes();
        self.reduce(label, "of_image", (1, 1)).tables(tables).reads([self.z.buffer]).writes([self.moments]).cost(self.values() * 4, bytes)
    }

    /// The dispatch, over lanes, from the statistics that the convolution before left of its tiles in `parts`.
    pub fn statistics_of_tiles(&self, label: &str, tables: LaneTables, conv: &Conv2dForward, parts: BufferId) -> Dispatch {
        let (tile, bytes) = (conv.tile(), conv.part_bytes());
        self.reduce(label, "of_tiles", (tile.rows, tile.pixels))
            .tables(tables)
            .reads([parts])
            .writes([self.moments])
            .cost(bytes, bytes + self.moment_bytes())
    }

    fn reduce(&self, label: &str, entry: &'static str, tile: (u32, u32)) -> Dispatch {
        let z = &self.z.layout;
        Dispatch::new(label, shader::batch_norm_statistics, entry, Over::Lanes, z.blocks() / self.group() * REDUCTION)
            .constants([("GROUP", self.group())])
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
            .workgroup(REDUCTION)
    }
}

//! Fully connected layer, gradient with respect to the input; see `shaders/linear_backward_data.wgsl`.

use super::linear_forward::{Buffers, Linear, LinearTile};
use super::{Dispatch, ImageLayout, Over, Tuning, shader, uniforms};

impl Linear {
    /// The backward_data dispatch, over lanes: dx = dz · wᵀ, stored in the layout of the image that was flattened.
    pub fn backward_data(&self, label: &str, dx: ImageLayout, tuning: Tuning, b: Buffers) -> Dispatch {
        assert_eq!(dx.dense_blocks(1), self.in_blocks, "the layout is not of this layer's input");
        let tile = LinearTile::new(self.in_blocks, tuning);
        Dispatch::new(
            label,
            shader::linear_backward_data,
            "linear_backward_data",
            Over::Lanes,
            tile.invocations(self.batch, self.in_blocks),
        )
        .constants(tile.constants())
        .uniforms(uniforms! {
            batch: self.batch,
            in_blocks: self.in_blocks,
            out_blocks: self.out_blocks,
            parameter_stride: self.place.stride,
            weight: self.place.weight,
            blocks: dx.blocks(),
            width: dx.shape.width,
            row: dx.row(),
            image: dx.image(),
            origin: dx.origin(0),
        })
        .reads([b.lanes, b.batch_sizes, b.input, b.other])
        .writes([b.output])
        .cost(self.flops(), self.bytes())
    }
}

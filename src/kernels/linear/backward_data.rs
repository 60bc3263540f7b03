//! Fully connected layer, gradient with respect to the input; see `shaders/linear_backward_data.wgsl`.

use super::{Buffers, Linear, LinearTile};
use crate::kernels::{Dispatch, ImageLayout, Over, Tuning, shader, uniforms};

impl Linear {
    /// The backward_data dispatch, over lanes: dx = dz · wᵀ, stored in the layout of the image that was flattened.
    pub fn backward_data(&self, label: &str, dx: ImageLayout, tuning: Tuning, b: Buffers) -> Dispatch {
        assert_eq!(dx.dense_blocks(1), self.in_blocks, "the layout is not of this layer's input");
        let tile = LinearTile::new(self.in_blocks, tuning);
        let own = uniforms! {
            blocks: dx.blocks(),
            width: dx.shape.width,
            row: dx.row(),
            image: dx.image(),
            origin: dx.origin(0),
        };
        let invocations = tile.invocations(self.batch, self.in_blocks);
        let dispatch = Dispatch::new(label, shader::linear_backward_data, "linear_backward_data", Over::Lanes, invocations)
            .constants(tile.constants())
            .uniforms(uniforms! { batch: self.batch }.with(self.uniforms()).with(own));
        self.bound(dispatch, b)
    }
}

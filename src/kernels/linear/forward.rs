//! Fully connected layer, forward; see `shaders/linear_forward.wgsl`.

use super::{Buffers, Linear, LinearTile};
use crate::kernels::{Dispatch, Over, Tuning, shader, uniforms};

impl Linear {
    /// The forward dispatch, over lanes: z = scale · (input · w + bias).
    pub fn forward(&self, label: &str, scale: f32, tuning: Tuning, b: Buffers) -> Dispatch {
        let tile = LinearTile::new(self.out_blocks, tuning);
        let own = uniforms! { bias: self.place.bias.expect("a linear layer has a bias"), scale: scale };
        let invocations = tile.invocations(self.batch, self.out_blocks);
        let dispatch = Dispatch::new(label, shader::linear_forward, "linear_forward", Over::Lanes, invocations)
            .constants(tile.constants())
            .uniforms(uniforms! { batch: self.batch }.with(self.uniforms()).with(own));
        self.bound(dispatch, b)
    }
}

//! Rectification, gradient with respect to the input; see `shaders/relu_backward.wgsl`.

use super::Relu;
use crate::kernels::{Activation, Dispatch, LaneTables, Over, shader, uniforms};

impl Relu {
    /// The backward dispatch, over lanes, from the output's gradient into the input's.
    pub fn backward(&self, label: &str, tables: LaneTables, dy: Activation, dx: Activation) -> Dispatch {
        let (from, to) = (dy.layout, dx.layout);
        Dispatch::new(label, shader::relu_backward, "relu_backward", Over::Lanes, to.row_invocations(self.batch))
            .uniforms(self.uniforms(&[from, to]).with(uniforms! {
                dy_row: from.row(),
                dy_image: from.image(),
                dy_origin: from.origin(0),
                dx_row: to.row(),
                dx_image: to.image(),
                dx_origin: to.origin(0),
            }))
            .tables(tables)
            .reads([self.x.buffer, dy.buffer])
            .writes([dx.buffer])
            .cost(u64::from(self.batch) * u64::from(to.shape.len()), to.payload(self.batch) * 3)
    }
}

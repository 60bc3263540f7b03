//! Rectification, forward; see `shaders/relu_forward.wgsl`.

use super::Relu;
use crate::kernels::{Activation, Dispatch, LaneTables, Over, shader, uniforms};

impl Relu {
    /// The forward dispatch, over lanes, into `y`.
    pub fn forward(&self, label: &str, tables: LaneTables, y: Activation) -> Dispatch {
        let out = y.layout;
        Dispatch::new(label, shader::relu_forward, "relu_forward", Over::Lanes, out.row_invocations(self.batch))
            .uniforms(self.uniforms(&[out]).with(uniforms! { y_row: out.row(), y_image: out.image(), y_origin: out.origin(0) }))
            .tables(tables)
            .reads([self.x.buffer])
            .writes([y.buffer])
            .cost(u64::from(self.batch) * u64::from(out.shape.len()), out.payload(self.batch) * 2)
    }
}

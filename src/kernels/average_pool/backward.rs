//! Adaptive average pooling, gradient with respect to the input; see `shaders/average_pool_backward.wgsl`.

use super::AveragePool;
use crate::kernels::{Activation, Dispatch, LaneTables, Over, shader};

impl AveragePool {
    /// The backward dispatch, over lanes, from the output's gradient into the input's.
    pub fn backward(&self, label: &str, tables: LaneTables, dy: Activation, dx: Activation) -> Dispatch {
        let (from, to) = (dy.layout, dx.layout);
        Dispatch::new(label, shader::average_pool_backward, "average_pool_backward", Over::Lanes, to.row_invocations(self.batch))
            .constants(self.constants())
            .uniforms(self.uniforms(to, from))
            .tables(tables)
            .reads([dy.buffer])
            .writes([dx.buffer])
            .cost(u64::from(self.batch) * self.terms() * 2, to.payload(self.batch) + from.payload(self.batch))
    }
}

//! Adaptive average pooling, forward; see `shaders/average_pool_forward.wgsl`.

use super::AveragePool;
use crate::kernels::{Activation, Dispatch, LaneTables, Over, shader};

impl AveragePool {
    /// The forward dispatch, over lanes, from the layer's input into its output.
    pub fn forward(&self, label: &str, tables: LaneTables, x: Activation, y: Activation) -> Dispatch {
        let (from, to) = (x.layout, y.layout);
        Dispatch::new(label, shader::average_pool_forward, "average_pool_forward", Over::Lanes, to.row_invocations(self.batch))
            .constants(self.constants())
            .uniforms(self.uniforms(from, to))
            .tables(tables)
            .reads([x.buffer])
            .writes([y.buffer])
            .cost(u64::from(self.batch) * self.terms(), from.payload(self.batch) + to.payload(self.batch))
    }
}

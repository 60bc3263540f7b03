//! Max-pooling, forward; see `shaders/max_pool_forward.wgsl`.

use super::MaxPool;
use crate::kernels::{Activation, BufferId, Dispatch, LaneTables, Over, shader};

impl MaxPool {
    /// The forward dispatch, over lanes, from the layer's input into its output, and the places of the maxima into `indices`: a u32 of four
    /// windows' places, a byte each.
    pub fn forward(&self, label: &str, tables: LaneTables, x: Activation, y: Activation, indices: BufferId) -> Dispatch {
        let (from, to) = (x.layout, y.layout);
        Dispatch::new(label, shader::max_pool_forward, "max_pool_forward", Over::Lanes, to.row_invocations(self.batch))
            .constants(self.constants())
            .uniforms(self.uniforms(from, to))
            .tables(tables)
            .reads([x.buffer])
            .writes([y.buffer, indices])
            .cost(
                u64::from(self.kernel.0 * self.kernel.1) * u64::from(self.batch) * u64::from(self.output.len()),
                from.payload(self.batch) + to.payload(self.batch) + self.index_bytes(),
            )
    }
}

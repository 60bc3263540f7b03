//! Max-pooling, gradient with respect to the input; see `shaders/max_pool_backward.wgsl`.

use super::MaxPool;
use crate::kernels::{Activation, BufferId, Dispatch, LaneTables, Over, shader};

impl MaxPool {
    /// The backward dispatch, over lanes, from the output's gradient into the input's, by the places that the forward kept.
    pub fn backward(&self, label: &str, tables: LaneTables, dy: Activation, indices: BufferId, dx: Activation) -> Dispatch {
        let (from, to) = (dy.layout, dx.layout);
        Dispatch::new(label, shader::max_pool_backward, "max_pool_backward", Over::Lanes, to.row_invocations(self.batch))
            .constants(self.constants())
            .uniforms(self.uniforms(to, from))
            .tables(tables)
            .reads([dy.buffer, indices])
            .writes([dx.buffer])
            .cost(
                u64::from(self.batch) * u64::from(self.input.len()),
                to.payload(self.batch) + from.payload(self.batch) + self.index_bytes(),
            )
    }
}

//! Batch normalisation, ReLU and max-pooling, forward; see `shaders/batch_norm_forward.wgsl`.

use super::BatchNorm;
use crate::kernels::{Activation, Dispatch, LaneTables, Over, shader, uniforms};

impl BatchNorm {
    /// The dispatch, over lanes, into the pooled output `y`.
    pub fn forward(&self, label: &str, tables: LaneTables, y: Activation) -> Dispatch {
        let (z, out) = (&self.z.layout, y.layout);
        assert!(
            out.shape.height == z.shape.height / self.pool && out.shape.width == z.shape.width / self.pool,
            "{out:?} is not what is left"
        );
        Dispatch::new(label, shader::batch_norm_forward, "batch_norm_forward", Over::Lanes, out.row_invocations(self.batch))
            .constants(vec![("POOL", self.pool)])
            .uniforms(uniforms! {
                batch: self.batch,
                blocks: z.blocks(),
                height: out.shape.height,
                width: out.shape.width,
                in_row: z.row(),
                in_image: z.image(),
                in_origin: z.origin(0),
                out_row: out.row(),
                out_image: out.image(),
                out_origin: out.origin(0),
                parameter_stride: self.place.stride,
                weight: self.place.weight,
                bias: self.place.bias,
                relu: self.relu,
                moment_blocks: self.place.blocks,
                moment_first: self.place.first,
            })
            .tables(tables)
            .reads([self.z.buffer, self.moments, self.parameters])
            .writes([y.buffer])
            .cost(self.values() * 4, z.payload(self.batch) + out.payload(self.batch))
    }
}

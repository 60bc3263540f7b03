//! Batch normalisation, ReLU and max-pooling, backward; see `shaders/batch_norm_backward.wgsl`.

use super::{BatchNorm, REDUCTION};
use crate::kernels::{Activation, BufferId, Dispatch, LaneTables, Over, shader, uniforms};

/// What both stages go from and to.
#[derive(Debug, Clone, Copy)]
pub struct Gradients {
    /// Gradient of the pooled output.
    pub dy: Activation,
    /// Between the stages: `[lane][block]` of (mean, 1 / √(var + ε), Σ g, Σ g·x̂).
    pub sums: BufferId,
    /// Out: dγ and dβ in the lanes' gradient rows.
    pub gradient: BufferId,
    /// Out: gradient of the convolution or linear layer's plain output.
    pub dz: Activation,
}

impl BatchNorm {
    /// Both stages, over lanes; of a batch norm that runs on given statistics, the second alone. `scale` is the layer correction.
    pub fn backward(&self, label: &str, tables: LaneTables, scale: f32, g: Gradients) -> Vec<Dispatch> {
        let (z, dy, dz) = (&self.z.layout, g.dy.layout, g.dz.layout);
        let uniforms = uniforms! {
            batch: self.batch,
            blocks: z.blocks(),
            height: z.shape.height,
            width: z.shape.width,
            z_row: z.row(),
            z_image: z.image(),
            z_origin: z.origin(0),
            dy_row: dy.row(),
            dy_image: dy.image(),
            dy_origin: dy.origin(0),
            dz_row: dz.row(),
            dz_image: dz.image(),
            dz_origin: dz.origin(0),
            parameter_stride: self.place.stride,
            weight: self.place.weight,
            bias: self.place.bias,
            relu: self.relu,
            scale: scale,
            moment_blocks: self.place.blocks,
            moment_first: self.place.first,
        };
        let constants = vec![("POOL", self.pool), ("GROUP", self.group()), self.given()];
        let (z_bytes, dy_bytes) = (z.payload(self.batch), dy.payload(self.batch));
        let stages = vec![
            Dispatch::new(
                format!("{label} backward, sums"),
                shader::batch_norm_backward,
                "sums_of_gradients",
                Over::Lanes,
                z.blocks() / self.group() * REDUCTION,
            )
            .constants(constants.clone())
            .uniforms(uniforms.clone())
            .tables(tables)
            .reads([self.z.buffer, self.parameters, g.dy.buffer, self.moments])
            .writes([g.sums, g.gradient])
            .workgroup(REDUCTION)
            .cost(self.values() * 7, z_bytes + dy_bytes + self.sum_bytes()),
            Dispatch::new(
                format!("{label} backward"),
                shader::batch_norm_backward,
                "data",
                Over::Lanes,
                self.batch * z.shape.height.div_ceil(self.pool) * z.blocks(),
            )
            .constants(constants)
            .uniforms(uniforms)
            .tables(tables)
            .reads([self.z.buffer, self.parameters, g.dy.buffer, if self.running { self.moments } else { g.sums }])
            .writes([g.dz.buffer])
            .cost(self.values() * 11, 2 * z_bytes + dy_bytes),
        ];
        stages.into_iter().skip(usize::from(self.running)).collect()
    }
}

//! Batch normalisation and ReLU of features, each direction in one dispatch; see `shaders/batch_norm_features.wgsl`.

use super::BatchNorm;
use crate::kernels::{BufferId, Dispatch, EPSILON, LaneTables, Over, shader, uniforms};

impl BatchNorm {
    /// Statistics (but for a batch norm that runs on given ones) and the normalised features `y`, over lanes.
    ///
    /// # Panics
    /// As [`BatchNorm::features_backward`].
    pub fn features_forward(&self, label: &str, tables: LaneTables, y: BufferId) -> Dispatch {
        self.features(label, "forward", 1.0)
            .tables(tables)
            .reads([self.z.buffer, self.parameters])
            .writes([self.moments, y])
            .cost(self.values() * 8, 2 * self.z.layout.payload(self.batch) + self.moment_bytes())
    }

    /// dγ and dβ in the lanes' `gradient` rows (but for a batch norm that runs on given statistics), and the gradient of the plain linear layer's output in place of that of
    /// the features, `dz`; over lanes. `scale` is the layer correction.
    ///
    /// # Panics
    /// Where z is no row of features ([`BatchNorm::is_features`]).
    pub fn features_backward(&self, label: &str, tables: LaneTables, scale: f32, dz: BufferId, gradient: BufferId) -> Dispatch {
        self.features(label, "backward", scale)
            .tables(tables)
            .reads([self.z.buffer, self.parameters, self.moments])
            .writes([dz, gradient])
            .cost(self.values() * 18, 3 * self.z.layout.payload(self.batch) + self.moment_bytes())
    }

    fn features(&self, label: &str, entry: &'static str, scale: f32) -> Dispatch {
        assert!(self.is_features(), "{:?} is an image", self.z.layout);
        Dispatch::new(label, shader::batch_norm_features, entry, Over::Lanes, self.z.layout.blocks()).constants([self.given()]).uniforms(
            uniforms! {
                batch: self.batch,
                blocks: self.z.layout.blocks(),
                parameter_stride: self.place.stride,
                weight: self.place.weight,
                bias: self.place.bias,
                relu: self.relu,
                scale: scale,
                epsilon: EPSILON,
                moment_blocks: self.place.blocks,
                moment_first: self.place.first,
            },
        )
    }
}

//! Batch normalisation and ReLU of features, each direction in one dispatch; see `shaders/batch_norm_features.wgsl`.

use super::BatchNorm;
use crate::kernels::{BufferId, Dispatch, EPSILON, Over, shader, uniforms};

/// Buffers of both directions.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// `vec4<u32>` of each lane: slot, parameter row, base, row of batch norms.
    pub lanes: BufferId,
    /// u32 valid samples of each slot.
    pub batch_sizes: BufferId,
    /// The layer's input.
    pub z: BufferId,
    /// Rows of parameters, one a lane.
    pub parameters: BufferId,
    /// `[lane][block of any layer]` of (mean, 1 / √(var + ε), unbiased variance): out of the forward, into the backward.
    pub moments: BufferId,
}

impl BatchNorm {
    /// Statistics (but for a batch norm that runs on given ones) and the normalised features `y`, over lanes.
    ///
    /// # Panics
    /// As [`BatchNorm::features_backward`].
    pub fn features_forward(&self, label: &str, b: Buffers, y: BufferId) -> Dispatch {
        self.features(label, "forward", 1.0)
            .reads([b.lanes, b.batch_sizes, b.z, b.parameters])
            .writes([b.moments, y])
            .cost(self.values() * 8, 2 * self.z.payload(self.batch) + self.moment_bytes())
    }

    /// dγ and dβ in the lanes' `gradient` rows (but for a batch norm that runs on given statistics), and the gradient of the plain linear layer's output in place of that of
    /// the features, `dz`; over lanes. `scale` is the layer correction.
    ///
    /// # Panics
    /// Where z is no row of features ([`BatchNorm::is_features`]).
    pub fn features_backward(&self, label: &str, scale: f32, b: Buffers, dz: BufferId, gradient: BufferId) -> Dispatch {
        self.features(label, "backward", scale)
            .reads([b.lanes, b.batch_sizes, b.z, b.parameters, b.moments])
            .writes([dz, gradient])
            .cost(self.values() * 18, 3 * self.z.payload(self.batch) + self.moment_bytes())
    }

    fn features(&self, label: &str, entry: &'static str, scale: f32) -> Dispatch {
        assert!(self.is_features(), "{:?} is an image", self.z);
        Dispatch::new(label, shader::batch_norm_features, entry, Over::Lanes, self.z.blocks()).constants([self.given()]).uniforms(
            uniforms! {
                batch: self.batch,
                blocks: self.z.blocks(),
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

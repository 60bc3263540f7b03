//! Batch normalisation and ReLU, backward; see `shaders/batch_norm_backward.wgsl`.

use super::batch_norm_statistics::BatchNorm;
use super::{Access::*, BufferId, Dispatch, ImageLayout, Kernel, Over, WORKGROUP, rows_per_part, shader};

/// Buffers of the three stages.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// `vec4<u32>` of each lane: slot, parameter row, base, 0.
    pub lanes: BufferId,
    /// u32 valid samples of each slot.
    pub batch_sizes: BufferId,
    /// The layer's input.
    pub z: BufferId,
    /// `[lane][block]` of (mean, 1 / √(var + ε)).
    pub moments: BufferId,
    /// Rows of parameters.
    pub parameters: BufferId,
    /// In: gradient of the output; out, in its place: gradient of the convolution or linear layer's plain output.
    pub gradient_image: BufferId,
    /// Between the stages: `[lane][part][block]` of (Σ dy, Σ dy·x̂).
    pub partials: BufferId,
    /// Between the stages: `[lane][block]` of the same over all parts.
    pub sums: BufferId,
    /// Out: dγ and dβ in the lanes' gradient rows.
    pub gradient: BufferId,
}

impl BatchNorm {
    /// The three stages, over lanes. `dy` is the layout of the gradient that dz replaces; `scale` the layer correction.
    pub fn backward(&self, label: &str, dy: ImageLayout, scale: f32, b: Buffers) -> [Dispatch; 3] {
        let z = &self.z;
        let words = vec![
            self.batch,
            z.blocks(),
            z.shape.height,
            z.shape.width,
            z.row(),
            z.image(),
            z.origin(0),
            dy.row(),
            dy.image(),
            dy.origin(0),
            rows_per_part(z.shape.width),
            self.parts(),
            self.place.stride,
            self.place.weight,
            self.beta(),
            u32::from(self.relu),
            scale.to_bits(),
        ];
        let stage = |name: &str, entry, access, buffers, invocations, flops, bytes| Dispatch {
            label: format!("{label} {name}"),
            kernel: Kernel { shader: shader::batch_norm_backward, entry, constants: vec![], access },
            words: words.clone(),
            step_word: None,
            buffers,
            invocations,
            workgroup: WORKGROUP,
            over: Over::Lanes,
            flops,
            bytes,
        };
        let payload = z.payload(self.batch);
        [
            stage(
                "backward, sums",
                "partial",
                &[Read, Read, Read, Read, Read, Read, Write],
                vec![b.lanes, b.batch_sizes, b.z, b.moments, b.parameters, b.gradient_image, b.partials],
                self.parts() * z.blocks(),
                self.values() * 7,
                payload * 2 + self.partial_bytes(),
            ),
            stage(
                "backward, sums merged",
                "merge",
                &[Read, Read, Read, Write, Write],
                vec![b.lanes, b.batch_sizes, b.partials, b.sums, b.gradient],
                z.blocks(),
                u64::from(self.parts() * z.blocks()) * 4 * 2,
                self.partial_bytes() + self.moment_bytes(),
            ),
            stage(
                "backward",
                "data",
                &[Read, Read, Read, Read, Read, Read, Write],
                vec![b.lanes, b.batch_sizes, b.z, b.moments, b.parameters, b.sums, b.gradient_image],
                z.row_invocations(self.batch),
                self.values() * 11,
                payload * 3,
            ),
        ]
    }
}

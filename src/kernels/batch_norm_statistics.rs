//! Batch statistics; see `shaders/batch_norm_statistics.wgsl`. Also the geometry that batch norm's kernels share.

use super::{Access::*, BufferId, Dispatch, EPSILON, ImageLayout, Kernel, Over, ParameterPlace, WORKGROUP, rows_per_part, shader};

/// A batch norm layer over the output of a convolution or linear layer.
#[derive(Debug, Clone, Copy)]
pub struct BatchNorm {
    /// Capacity of a mini-batch.
    pub batch: u32,
    /// Layout of the layer's input z.
    pub z: ImageLayout,
    /// Where γ and β lie.
    pub place: ParameterPlace,
    /// Whether a ReLU follows.
    pub relu: bool,
}

impl BatchNorm {
    /// Parts of a full batch in the two-stage reductions.
    pub fn parts(&self) -> u32 {
        (self.batch * self.z.shape.height).div_ceil(rows_per_part(self.z.shape.width))
    }

    /// Bytes of one lane's parts.
    pub fn partial_bytes(&self) -> u64 {
        u64::from(self.parts()) * self.moment_bytes()
    }

    /// Bytes of one lane's moments, or of its two gradient sums.
    pub fn moment_bytes(&self) -> u64 {
        u64::from(self.z.blocks()) * 32
    }

    pub(super) fn values(&self) -> u64 {
        u64::from(self.batch) * u64::from(self.z.shape.len())
    }

    pub(super) fn beta(&self) -> u32 {
        self.place.bias.expect("batch norm has a β")
    }
}

/// Buffers of both stages.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// `vec4<u32>` of each lane: slot, parameter row, base, 0.
    pub lanes: BufferId,
    /// u32 valid samples of each slot.
    pub batch_sizes: BufferId,
    /// The layer's input.
    pub z: BufferId,
    /// Between the stages: `[lane][part][block]` of (mean, squared deviations).
    pub partials: BufferId,
    /// Out: `[lane][block]` of (mean, 1 / √(var + ε)).
    pub moments: BufferId,
}

impl BatchNorm {
    /// Both stages, over lanes.
    pub fn statistics(&self, label: &str, b: Buffers) -> [Dispatch; 2] {
        let z = &self.z;
        let words = vec![
            self.batch,
            z.blocks(),
            z.shape.height,
            z.shape.width,
            z.row(),
            z.image(),
            z.origin(0),
            rows_per_part(z.shape.width),
            self.parts(),
            EPSILON.to_bits(),
        ];
        let kernel = |entry| Kernel { shader: shader::batch_norm_statistics, entry, constants: vec![], access: &[Read, Read, Read, Write] };
        [
            Dispatch {
                label: format!("{label} statistics"),
                kernel: kernel("partial"),
                words: words.clone(),
                step_word: None,
                buffers: vec![b.lanes, b.batch_sizes, b.z, b.partials],
                invocations: self.parts() * z.blocks(),
                workgroup: WORKGROUP,
                over: Over::Lanes,
                flops: self.values() * 4,
                bytes: z.payload(self.batch) + self.partial_bytes(),
            },
            Dispatch {
                label: format!("{label} statistics, merged"),
                kernel: kernel("merge"),
                words,
                step_word: None,
                buffers: vec![b.lanes, b.batch_sizes, b.partials, b.moments],
                invocations: z.blocks(),
                workgroup: WORKGROUP,
                over: Over::Lanes,
                flops: u64::from(self.parts() * z.blocks()) * 4 * 8,
                bytes: self.partial_bytes() + self.moment_bytes(),
            },
        ]
    }
}

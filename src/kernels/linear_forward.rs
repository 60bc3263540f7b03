//! Fully connected layer, forward; see `shaders/linear_forward.wgsl`. Also the geometry shared by its three directions.

use super::{Access::*, BufferId, Dispatch, Kernel, Over, ParameterPlace, Tuning, WORKGROUP, shader};

/// A fully connected layer's geometry. Features are counted as stored: padded to multiples of four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linear {
    /// Capacity of a mini-batch.
    pub batch: u32,
    /// vec4 blocks of an input row.
    pub in_blocks: u32,
    /// vec4 blocks of an output row.
    pub out_blocks: u32,
    /// Where weight and bias lie.
    pub place: ParameterPlace,
}

impl Linear {
    pub(super) fn flops(&self) -> u64 {
        2 * u64::from(self.batch) * u64::from(self.in_blocks * 4) * u64::from(self.out_blocks * 4)
    }

    pub(super) fn bytes(&self) -> u64 {
        let (i, o) = (u64::from(self.in_blocks) * 16, u64::from(self.out_blocks) * 16);
        u64::from(self.batch) * (i + o) + i * o / 4
    }
}

/// Buffers of all three directions.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// `vec4<u32>` of each lane: slot, parameter row, base, 0.
    pub lanes: BufferId,
    /// u32 valid samples of each slot.
    pub batch_sizes: BufferId,
    /// Forward and backward_weight: the input; backward_data: dz.
    pub input: BufferId,
    /// Forward and backward_data: parameters; backward_weight: dz.
    pub other: BufferId,
    /// Out: z, dx or the gradient rows.
    pub output: BufferId,
}

impl Buffers {
    pub(super) fn list(&self) -> Vec<BufferId> {
        vec![self.lanes, self.batch_sizes, self.input, self.other, self.output]
    }
}

impl Linear {
    /// The forward dispatch, over lanes: z = scale · (input · w + bias).
    pub fn forward(&self, label: &str, scale: f32, tuning: Tuning, b: Buffers) -> Dispatch {
        Dispatch {
            label: label.into(),
            kernel: Kernel {
                shader: shader::linear_forward,
                entry: "linear_forward",
                constants: vec![("ROWS", tuning.rows)],
                access: &[Read, Read, Read, Read, Write],
            },
            words: vec![
                self.batch,
                self.in_blocks,
                self.out_blocks,
                self.place.stride,
                self.place.weight,
                self.place.bias.expect("a linear layer has a bias"),
                scale.to_bits(),
            ],
            step_word: None,
            buffers: b.list(),
            invocations: self.batch.div_ceil(tuning.rows) * self.out_blocks,
            workgroup: WORKGROUP,
            over: Over::Lanes,
            flops: self.flops(),
            bytes: self.bytes(),
        }
    }
}

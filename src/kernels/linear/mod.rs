//! Fully connected layer: its geometry, and the kernels of its three directions.

mod backward_data;
pub mod backward_weight;
mod forward;

use crate::kernels::{BufferId, Dispatch, LaneTables, ParameterPlace, Tuning, Uniforms, uniforms};

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

    /// What every direction is given of the layer, after its first uniform.
    pub(super) fn uniforms(&self) -> Uniforms {
        uniforms! {
            in_blocks: self.in_blocks,
            out_blocks: self.out_blocks,
            parameter_stride: self.place.stride,
            weight: self.place.weight,
        }
    }

    /// Binds the buffers of any direction, and says what it costs.
    pub(super) fn bound(&self, dispatch: Dispatch, b: Buffers) -> Dispatch {
        dispatch.tables(b.tables).reads([b.input, b.other]).writes([b.output]).cost(self.flops(), self.bytes())
    }
}

/// Buffers of all three directions.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// Of lanes and slots.
    pub tables: LaneTables,
    /// Forward and backward_weight: the input; backward_data: dz.
    pub input: BufferId,
    /// Forward and backward_data: parameters; backward_weight: dz.
    pub other: BufferId,
    /// Out: z, dx or the gradient rows.
    pub output: BufferId,
}

/// The tile of a linear layer's forward or backward_data over `features` blocks: samples, blocks of features, and
/// invocations that share loads. Layers too narrow for a subgroup share nothing.
pub(super) struct LinearTile {
    rows: u32,
    blocks: u32,
    subgroup: u32,
}

impl LinearTile {
    pub fn new(features: u32, tuning: Tuning) -> LinearTile {
        let shared = features >= tuning.subgroup * tuning.blocks;
        let (blocks, subgroup) = if shared { (tuning.blocks, tuning.subgroup) } else { (1, 1) };
        LinearTile { rows: tuning.rows, blocks, subgroup }
    }

    pub fn constants(&self) -> Vec<(&'static str, u32)> {
        vec![("ROWS", self.rows), ("BLOCKS", self.blocks), ("SUBGROUP", self.subgroup)]
    }

    pub fn invocations(&self, batch: u32, features: u32) -> u32 {
        features.div_ceil(self.blocks).next_multiple_of(self.subgroup) * batch.div_ceil(self.rows)
    }
}

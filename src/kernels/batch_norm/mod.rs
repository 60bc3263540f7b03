//! Batch norm: its geometry, and the kernels of its statistics, of both directions and of mixes.

pub mod backward;
mod features;
mod forward;
pub mod mix;
pub mod running_statistics;
mod statistics;

use crate::kernels::{Activation, BufferId};

/// Where the values of a batch norm layer lie, in vec4 or records of a channel block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NormPlace {
    /// Length of a lane's row of parameters.
    pub stride: u32,
    /// Start of γ in it.
    pub weight: u32,
    /// Start of β.
    pub bias: u32,
    /// Channel blocks of all layers: records of a lane's moments.
    pub blocks: u32,
    /// This layer's first.
    pub first: u32,
}

impl NormPlace {
    /// Bytes of one lane's moments, of all layers: mean, 1 / √(var + ε) and unbiased variance of each channel.
    pub fn moment_bytes(&self) -> u64 {
        u64::from(self.blocks) * 48
    }
}

/// A batch norm layer over the output of a convolution or linear layer, with the ReLU and the max-pooling after it.
#[derive(Debug, Clone, Copy)]
pub struct BatchNorm {
    /// Capacity of a mini-batch.
    pub batch: u32,
    /// The layer's input z.
    pub z: Activation,
    /// Rows of parameters, one a lane.
    pub parameters: BufferId,
    /// `[lane][block of any layer]` of (mean, 1 / √(var + ε), unbiased variance).
    pub moments: BufferId,
    /// Where its values lie.
    pub place: NormPlace,
    /// Whether a ReLU follows.
    pub relu: bool,
    /// Side and stride of the max-pooling's windows; 1 where there is none.
    pub pool: u32,
    /// Whether the moments are given, as those of running statistics, and not the batch's.
    pub running: bool,
}

/// Invocations of a workgroup that reduces a lane's channel blocks.
pub(super) const REDUCTION: u32 = 256;

impl BatchNorm {
    /// Bytes of this layer's moments of one lane.
    pub(super) fn moment_bytes(&self) -> u64 {
        u64::from(self.z.layout.blocks()) * 48
    }

    /// Bytes of what [`BatchNorm::backward`] keeps of one lane between its stages: mean, deviation and two sums.
    pub fn sum_bytes(&self) -> u64 {
        u64::from(self.z.layout.blocks()) * 64
    }

    /// Whether z is a row of features and no image, with kernels of its own: [`BatchNorm::features_forward`].
    pub fn is_features(&self) -> bool {
        self.z.layout.shape.height * self.z.layout.shape.width == 1 && self.z.layout.border == 0 && self.pool == 1
    }

    /// Channel blocks that one reducing workgroup takes.
    pub(super) fn group(&self) -> u32 {
        [4, 2, 1].into_iter().find(|g| self.z.layout.blocks().is_multiple_of(*g)).unwrap_or(1)
    }

    pub(super) fn values(&self) -> u64 {
        u64::from(self.batch) * u64::from(self.z.layout.shape.len())
    }

    pub(super) fn given(&self) -> (&'static str, u32) {
        ("RUNNING", u32::from(self.running))
    }
}

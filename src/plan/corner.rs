//! The corners of the server's bases: taken before a round or an evaluation, merged after one.

use super::{Extent, PhaseId, Plan};
use crate::kernels::corner::{self, Corner};
use crate::kernels::{BufferId, Over};
use crate::net::Network;

/// Corners of all bases at one width.
#[derive(Debug, Clone)]
pub struct CornerPlan {
    /// Buffers and dispatches.
    pub plan: Plan,
    /// Table of [`Network::corner_table`].
    pub places: BufferId,
    /// The server's bases (external).
    pub wide: BufferId,
    /// Their corners (external).
    pub narrow: BufferId,
    /// Takes the corners.
    pub take: PhaseId,
    /// What merges them, where that is wanted.
    pub merge: Option<Merge>,
}

/// Corners added to sums.
#[derive(Debug, Clone, Copy)]
pub struct Merge {
    /// Weight of each base's corner.
    pub weights: BufferId,
    /// Sums and masses in the form of the server's bases (external).
    pub sum: BufferId,
    /// See `sum`.
    pub mass: BufferId,
    /// All of it.
    pub phase: PhaseId,
}

impl CornerPlan {
    /// The plan for so many bases; where they are to be `merged`, with what that takes.
    pub fn new(wide: &Network, narrow: &Network, bases: u32, merged: bool) -> CornerPlan {
        let mut plan = Plan::default();
        let places = plan.buffer("places", Extent::Fixed(u64::from(narrow.parameter_blocks) * 16));
        let [wide_rows, narrow_rows] = ["server", "corners"].map(|label| plan.buffer(label, Extent::External));
        let kernel = Corner { narrow: narrow.parameter_blocks, wide: wide.parameter_blocks, over: Over::Fixed(bases) };
        let take = kernel.take("take corners", corner::Buffers { places, narrow: narrow_rows, wide: wide_rows });
        let take = plan.add_phase("take", vec![take]);
        let merge = merged.then(|| {
            let weights = plan.buffer("weights", Extent::Fixed(u64::from(bases) * 4));
            let [sum, mass] = ["sum", "mass"].map(|label| plan.buffer(label, Extent::External));
            let merge = kernel.merge("merge corners", corner::MergeBuffers { places, narrow: narrow_rows, weights, sum, mass });
            Merge { weights, sum, mass, phase: plan.add_phase("merge", vec![merge]) }
        });
        CornerPlan { plan, places, wide: wide_rows, narrow: narrow_rows, take, merge }
    }
}

/// The end of a merge: every value that somebody held becomes its mean.
#[derive(Debug, Clone)]
pub struct SettlePlan {
    /// Buffers and dispatches.
    pub plan: Plan,
    /// Sums (external).
    pub sum: BufferId,
    /// Masses (external).
    pub mass: BufferId,
    /// The server's bases (external).
    pub parameters: BufferId,
    /// All of it.
    pub settle: PhaseId,
}

impl SettlePlan {
    /// The plan for so many bases.
    pub fn new(network: &Network, bases: u32) -> SettlePlan {
        let mut plan = Plan::default();
        let [sum, mass, parameters] = ["sum", "mass", "server"].map(|label| plan.buffer(label, Extent::External));
        let kernel = Corner { narrow: 0, wide: network.parameter_blocks, over: Over::Fixed(bases) };
        let settle = kernel.settle("settle", corner::SettleBuffers { sum, mass, parameters });
        let settle = plan.add_phase("settle", vec![settle]);
        SettlePlan { plan, sum, mass, parameters, settle }
    }
}

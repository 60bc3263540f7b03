//! The corners of the server's bases: taken before a round or an evaluation, merged after one.

use super::{Extent, Plan};
use crate::kernels::corner::{self, Corner};
use crate::kernels::{BufferId, Over};
use crate::net::Network;

/// Corners of all bases at one width. Phases: `take`, `merge`.
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
    /// Weight of each base's corner in the merge.
    pub weights: BufferId,
    /// Sums and masses in the form of the server's bases (external).
    pub sum: BufferId,
    /// See `sum`.
    pub mass: BufferId,
}

impl CornerPlan {
    /// The plan for so many bases.
    pub fn new(wide: &Network, narrow: &Network, bases: u32) -> CornerPlan {
        let mut plan = Plan::default();
        let places = plan.buffer("places", Extent::Fixed(u64::from(narrow.parameter_blocks) * 16));
        let weights = plan.buffer("weights", Extent::Fixed(u64::from(bases) * 4));
        let [wide_rows, narrow_rows, sum, mass] = ["server", "corners", "sum", "mass"].map(|label| plan.buffer(label, Extent::External));
        let kernel = Corner { narrow: narrow.parameter_blocks, wide: wide.parameter_blocks, over: Over::Fixed(bases) };
        let take = kernel.take("take corners", corner::Buffers { places, narrow: narrow_rows, wide: wide_rows });
        let merge = kernel.merge("merge corners", corner::MergeBuffers { places, narrow: narrow_rows, weights, sum, mass });
        plan.phases = vec![("take", vec![take]), ("merge", vec![merge])];
        CornerPlan { plan, places, wide: wide_rows, narrow: narrow_rows, weights, sum, mass }
    }
}

/// The end of a merge: every value that somebody held becomes its mean. Phase: `settle`.
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
}

impl SettlePlan {
    /// The plan for so many bases.
    pub fn new(network: &Network, bases: u32) -> SettlePlan {
        let mut plan = Plan::default();
        let [sum, mass, parameters] = ["sum", "mass", "server"].map(|label| plan.buffer(label, Extent::External));
        let kernel = Corner { narrow: 0, wide: network.parameter_blocks, over: Over::Fixed(bases) };
        let settle = kernel.settle("settle", corner::SettleBuffers { sum, mass, parameters });
        plan.phases = vec![("settle", vec![settle])];
        SettlePlan { plan, sum, mass, parameters }
    }
}

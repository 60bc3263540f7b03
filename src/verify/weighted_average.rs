//! Cases of the average of a round.

use super::{Case, Cases, Trial, near_where};
use crate::kernels::weighted_average::{self, WeightedAverage, members};

/// The weighted average of a round in two waves; one base has no lane.
#[derive(Debug, Clone, Copy)]
pub struct AverageCase {
    /// vec4 of a base.
    pub length: u32,
}

impl Case for AverageCase {
    fn op(&self) -> &'static str {
        "weighted_average"
    }

    fn fill(&self, t: &mut Trial) {
        // A row ends in what is not averaged.
        let stride = self.length + 2;
        let row = stride as usize * 4;
        // Base 1 has no lane in this wave. What earlier waves have summed is added to.
        let lanes = [(2u32, 0.5f32), (0, 0.25), (2, 0.125), (0, 0.75)];
        let parameters = t.noise.values(lanes.len() * row);
        let before = t.noise.values(3 * row);
        let mut after = before.clone();
        for (lane, (base, weight)) in lanes.iter().enumerate() {
            for i in 0..row {
                after[*base as usize * row + i] += f64::from(*weight) * parameters[lane * row + i];
            }
        }
        let kernel = WeightedAverage { length: self.length, stride, bases: 3, lane_capacity: 6 };
        let mut table = members(3, &lanes);
        table.resize(kernel.member_bytes() as usize / 4, u32::MAX);
        let b = weighted_average::Buffers {
            members: t.words("members", table),
            parameters: t.values("parameters", &parameters),
            average: t.changed("average", &before, near_where(&after, 2.0, |i| i % row < self.length as usize * 4)),
        };
        t.dispatches.push(kernel.dispatch("case", b));
    }
}

pub(super) fn standard(cases: &mut Cases) {
    cases.add(421, AverageCase { length: 70 });
}

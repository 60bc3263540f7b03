//! Cases of the average of a round.

use super::{Case, Noise, Trial, Want};
use crate::kernels::weighted_average::{WeightedAverage, members};
use crate::kernels::{Tuning, weighted_average};

/// The weighted average of a round in two waves; one base has no lane.
#[derive(Debug, Clone, Copy)]
pub struct AverageCase {
    /// vec4 of a base.
    pub length: u32,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for AverageCase {
    fn op(&self) -> &'static str {
        "weighted_average"
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        // A row ends in what is not averaged.
        let stride = self.length + 2;
        let row = stride as usize * 4;
        let averaged = |i: usize| i % row < self.length as usize * 4;
        // Base 1 has no lane in this wave. What earlier waves have summed is added to.
        let lanes = [(2u32, 0.5f32), (0, 0.25), (2, 0.125), (0, 0.75)];
        let parameters = noise.values(lanes.len() * row);
        let before = noise.values(3 * row);
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
            parameters: t.values("parameters", &parameters.iter().map(|v| *v as f32).collect::<Vec<_>>()),
            average: t.values("average", &before.iter().map(|v| *v as f32).collect::<Vec<_>>()),
        };
        t.expect(b.average, after.iter().enumerate().map(|(i, v)| if averaged(i) { Want::Near(*v, 2.0) } else { Want::Keep }).collect());
        t.dispatches = vec![kernel.dispatch("case", b)];
        t
    }
}

pub(super) fn standard() -> Vec<Box<dyn Case>> {
    vec![Box::new(AverageCase { length: 70, seed: 421 })]
}

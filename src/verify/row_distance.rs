//! Cases of distances between rows.

use super::{Case, LANES, Noise, Trial, Want};
use crate::kernels::Tuning;
use crate::kernels::row_distance::{Buffers, RowDistance};

/// Squared distances of lanes from rows.
#[derive(Debug, Clone, Copy)]
pub struct DistanceCase {
    /// The kernel.
    pub kernel: RowDistance,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for DistanceCase {
    fn op(&self) -> &'static str {
        "row_distance"
    }

    fn trial(&self, _: Tuning) -> Trial {
        let (mut noise, mut t) = (Noise::new(self.seed), Trial::default());
        let row = self.kernel.stride as usize * 4;
        let (parameters, rows) = (noise.values(LANES.len() * row), noise.values(self.kernel.rows as usize * row));
        let f32s = |v: &[f64]| v.iter().map(|v| *v as f32).collect::<Vec<_>>();
        let mut want = Vec::new();
        for (lane, other) in parameters.chunks_exact(row).flat_map(|lane| rows.chunks_exact(row).map(move |other| (lane, other))) {
            let end = self.kernel.start + self.kernel.length;
            for start in (self.kernel.start..end).step_by(RowDistance::PART as usize) {
                let part = start as usize * 4..end.min(start + RowDistance::PART) as usize * 4;
                let sum = kernels_tests::row_distance::row_distance(&lane[part.clone()], &other[part]);
                want.push(Want::Near(sum, sum));
            }
        }
        let b = Buffers {
            parameters: t.values("parameters", &f32s(&parameters)),
            rows: t.values("rows", &f32s(&rows)),
            distances: t.output("distances", want),
        };
        t.dispatches = vec![self.kernel.dispatch("case", b)];
        t
    }
}

pub(super) fn standard() -> Vec<Box<dyn Case>> {
    let case = |start, length, stride, rows, seed| -> Box<dyn Case> {
        Box::new(DistanceCase { kernel: RowDistance { start, length, stride, rows }, seed })
    };
    let two = 2 * RowDistance::PART;
    vec![case(0, 70, 73, 3, 500), case(5, 1, 9, 1, 501), case(3, two + 100, two + 104, 2, 502)]
}

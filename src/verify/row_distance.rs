//! Cases of distances between rows.

use super::{Case, Cases, LANES, Trial, Want};
use crate::kernels::row_distance::{Buffers, RowDistance};

/// Squared distances of lanes from rows.
#[derive(Debug, Clone, Copy)]
pub struct DistanceCase {
    /// The kernel.
    pub kernel: RowDistance,
}

impl Case for DistanceCase {
    fn op(&self) -> &'static str {
        "row_distance"
    }

    fn fill(&self, t: &mut Trial) {
        let row = self.kernel.stride as usize * 4;
        let (parameters, rows) = (t.noise.values(LANES.len() * row), t.noise.values(self.kernel.rows as usize * row));
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
            parameters: t.values("parameters", &parameters),
            rows: t.values("rows", &rows),
            distances: t.output("distances", want),
        };
        t.dispatches.push(self.kernel.dispatch("case", b));
    }
}

pub(super) fn standard(cases: &mut Cases) {
    let two = 2 * RowDistance::PART;
    for (seed, (start, length, stride, rows)) in (500..).zip([(0, 70, 73, 3), (5, 1, 9, 1), (3, two + 100, two + 104, 2)]) {
        cases.add(seed, DistanceCase { kernel: RowDistance { start, length, stride, rows } });
    }
}

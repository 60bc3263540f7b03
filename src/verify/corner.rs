//! Cases of corners: taken, added, merged, settled.

use super::{Case, Cases, Trial, Want, exactly};
use crate::kernels::Over;
use crate::kernels::corner::{self, Corner};
use crate::net::NO_PLACE;
use kernels_tests::corner as twin;

/// What is done with corners.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CornerStep {
    /// Taken out of wide rows.
    Take,
    /// Added to wide rows.
    Add,
    /// Added by weight to sums, and the weights to masses.
    Merge,
    /// Sums over masses.
    Settle,
}

/// Corners of three rows that are matrices; narrow rows end in padding.
#[derive(Debug, Clone, Copy)]
pub struct CornerCase {
    /// What is done.
    pub step: CornerStep,
    /// Shape of a wide row, of a multiple of four values.
    pub wide: [usize; 2],
    /// Shape of its corner.
    pub narrow: [usize; 2],
}

impl Case for CornerCase {
    fn op(&self) -> &'static str {
        match self.step {
            CornerStep::Take => "corner, take",
            CornerStep::Add => "corner, add",
            CornerStep::Merge => "corner, merge",
            CornerStep::Settle => "corner, settle",
        }
    }

    fn fill(&self, t: &mut Trial) {
        const BASES: usize = 3;
        let wide = self.wide[0] * self.wide[1];
        let held = twin::corner_places(&self.wide, &self.narrow);
        let narrow = held.len().next_multiple_of(4) + 4;
        let mut table: Vec<u32> = held.iter().map(|i| *i as u32).collect();
        table.resize(narrow, NO_PLACE);
        let (rows, corners) = (t.noise.values(BASES * wide), t.noise.values(BASES * narrow));
        let masses: Vec<f64> = (0..BASES * wide).map(|_| f64::from(t.noise.below(3)) * 0.5).collect();
        let weights = [0.5, 0.0, 0.125];
        let kernel = Corner { narrow: narrow as u32 / 4, wide: wide as u32 / 4, over: Over::Fixed(BASES as u32) };
        // What happens to each value of the wide rows that its corner holds; the others stay, as does a row merged with weight 0.
        let of_wide = |f: &dyn Fn(usize, f64, f64) -> f64, before: &[f64]| {
            let mut want = vec![Want::Keep; BASES * wide];
            for base in (0..BASES).filter(|base| self.step != CornerStep::Merge || weights[*base] != 0.0) {
                for (i, place) in held.iter().enumerate() {
                    let at = base * wide + place;
                    want[at] = Want::Near(f(base, before[at], corners[base * narrow + i]), 2.0);
                }
            }
            want
        };
        let dispatch = match self.step {
            CornerStep::Take => {
                let padded = |row: &[f64]| {
                    let mut own = twin::take_corner(&self.wide, &self.narrow, row);
                    own.resize(narrow, 0.0);
                    exactly(&own)
                };
                let want = rows.chunks_exact(wide).flat_map(padded).collect();
                let (places, wide) = (t.words("places", table), t.values("wide", &rows));
                kernel.take("case", corner::Buffers { places, narrow: t.output("narrow", want), wide })
            }
            CornerStep::Add => {
                let (places, narrow) = (t.words("places", table), t.values("narrow", &corners));
                let wide = t.changed("wide", &rows, of_wide(&|_, before, own| before + own, &rows));
                kernel.add("case", corner::Buffers { places, narrow, wide })
            }
            CornerStep::Merge => {
                let (places, narrow) = (t.words("places", table), t.values("narrow", &corners));
                let sum = t.changed("sum", &rows, of_wide(&|base, before, own| before + weights[base] * own, &rows));
                let mass = t.changed("mass", &masses, of_wide(&|base, before, _| before + weights[base], &masses));
                let weights = t.values("weights", &weights);
                kernel.merge("case", corner::MergeBuffers { places, narrow, weights, sum, mass })
            }
            CornerStep::Settle => {
                let before = t.noise.values(BASES * wide);
                let mean = |(sum, mass): (&f64, &f64)| if *mass > 0.0 { Want::Near(sum / mass, 2.0) } else { Want::Keep };
                let want = rows.iter().zip(&masses).map(mean).collect();
                let (sum, mass) = (t.values("sum", &rows), t.values("mass", &masses));
                let parameters = t.changed("parameters", &before, want);
                kernel.settle("case", corner::SettleBuffers { sum, mass, parameters })
            }
        };
        t.dispatches.push(dispatch);
    }
}

pub(super) fn standard(cases: &mut Cases) {
    for step in [CornerStep::Take, CornerStep::Add, CornerStep::Merge, CornerStep::Settle] {
        cases.add(490, CornerCase { step, wide: [6, 10], narrow: [4, 7] });
        cases.add(491, CornerCase { step, wide: [20, 30], narrow: [20, 13] });
    }
}

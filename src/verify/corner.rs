//! Cases of corners: taken, added, merged, settled.

use super::{Case, Noise, Trial, Want};
use crate::kernels::corner::{Corner, NONE};
use crate::kernels::{Over, Tuning, corner};

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
    /// Seed of the data.
    pub seed: u64,
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

    fn trial(&self, _: Tuning) -> Trial {
        const BASES: usize = 3;
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let wide = self.wide[0] * self.wide[1];
        let held = kernels_tests::corner::corner_places(&self.wide, &self.narrow);
        let narrow = held.len().next_multiple_of(4) + 4;
        let mut table: Vec<u32> = held.iter().map(|i| *i as u32).collect();
        table.resize(narrow, NONE);
        let (rows, corners) = (noise.values(BASES * wide), noise.values(BASES * narrow));
        let masses: Vec<f64> = (0..BASES * wide).map(|_| f64::from(noise.below(3)) * 0.5).collect();
        let weights = [0.5, 0.0, 0.125];
        let f32s = |v: &[f64]| v.iter().map(|v| *v as f32).collect::<Vec<_>>();
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
        t.dispatches = vec![match self.step {
            CornerStep::Take => {
                let own = |base: usize| kernels_tests::corner::take_corner(&self.wide, &self.narrow, &rows[base * wide..][..wide]);
                let padded = |base| own(base).into_iter().chain(vec![0.0; narrow - held.len()]).map(|v| Want::Bits((v as f32).to_bits()));
                let want = (0..BASES).flat_map(padded).collect();
                let (places, wide) = (t.words("places", table), t.values("wide", &f32s(&rows)));
                kernel.take("case", corner::Buffers { places, narrow: t.output("narrow", want), wide })
            }
            CornerStep::Add => {
                let (places, narrow) = (t.words("places", table), t.values("narrow", &f32s(&corners)));
                let wide = t.values("wide", &f32s(&rows));
                t.expect(wide, of_wide(&|_, before, own| before + own, &rows));
                kernel.add("case", corner::Buffers { places, narrow, wide })
            }
            CornerStep::Merge => {
                let (places, narrow) = (t.words("places", table), t.values("narrow", &f32s(&corners)));
                let (sum, mass) = (t.values("sum", &f32s(&rows)), t.values("mass", &f32s(&masses)));
                t.expect(sum, of_wide(&|base, before, own| before + weights[base] * own, &rows));
                t.expect(mass, of_wide(&|base, before, _| before + weights[base], &masses));
                let weights = t.values("weights", &f32s(&weights));
                kernel.merge("case", corner::MergeBuffers { places, narrow, weights, sum, mass })
            }
            CornerStep::Settle => {
                let before = noise.values(BASES * wide);
                let mean = |(sum, mass): (&f64, &f64)| if *mass > 0.0 { Want::Near(sum / mass, 2.0) } else { Want::Keep };
                let want = rows.iter().zip(&masses).map(mean).collect();
                let (sum, mass) = (t.values("sum", &f32s(&rows)), t.values("mass", &f32s(&masses)));
                let parameters = t.values("parameters", &f32s(&before));
                t.expect(parameters, want);
                kernel.settle("case", corner::SettleBuffers { sum, mass, parameters })
            }
        }];
        t
    }
}

pub(super) fn standard() -> Vec<Box<dyn Case>> {
    let mut cases: Vec<Box<dyn Case>> = Vec::new();
    for step in [CornerStep::Take, CornerStep::Add, CornerStep::Merge, CornerStep::Settle] {
        cases.push(Box::new(CornerCase { step, wide: [6, 10], narrow: [4, 7], seed: 490 }));
        cases.push(Box::new(CornerCase { step, wide: [20, 30], narrow: [20, 13], seed: 491 }));
    }
    cases
}

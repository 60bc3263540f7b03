//! Cases of residual sums.

use super::{BETWEEN, Case, Noise, Trial, absolute, all_wanted, images, lane_table, size_table};
use crate::kernels::residual_add::ResidualAdd;
use crate::kernels::{ImageLayout, Tuning, residual_add};
use crate::net::Shape;
use kernels_tests::residual_add::residual_add as twin_add;

/// A sum of two images, or a multiple of one.
#[derive(Debug, Clone, Copy)]
pub struct ResidualAddCase {
    /// Capacity of a mini-batch.
    pub batch: usize,
    /// Shape of an image.
    pub shape: Shape,
    /// Whether there are two.
    pub two: bool,
    /// Factor on the sum.
    pub factor: f32,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for ResidualAddCase {
    fn op(&self) -> &'static str {
        "residual_add"
    }

    fn trial(&self, _: Tuning) -> Trial {
        let (mut noise, mut t) = (Noise::new(self.seed), Trial::default());
        let [a, b, y] = [1, 0, 2].map(|border| ImageLayout::new(self.shape, border));
        let lanes = t.words("lanes", lane_table());
        let batch_sizes = t.words("batch sizes", size_table(self.batch));
        let (of_a, values_a) = images(&mut t, &mut noise, "a", self.batch, a);
        let (of_b, values_b) = images(&mut t, &mut noise, "b", self.batch, b);
        let factor = f64::from(self.factor);
        let want = values_a.iter().zip(&values_b).map(|(a, b)| {
            let b = self.two.then_some(b.as_slice());
            let sizes = twin_add(&absolute(a), b.map(absolute).as_deref(), factor.abs());
            (twin_add(a, b, factor), sizes)
        });
        let out = t.output("y", all_wanted(y, self.batch, want));
        let kernel = ResidualAdd { batch: self.batch as u32, a, b: self.two.then_some(b), y, factor: self.factor };
        let buffers = residual_add::Buffers { lanes, batch_sizes, a: of_a, b: if self.two { of_b } else { of_a }, y: out };
        t.dispatches = vec![kernel.dispatch("case", buffers)];
        t
    }
}

pub(super) fn standard() -> Vec<Box<dyn Case>> {
    let mut cases: Vec<Box<dyn Case>> = Vec::new();
    for (seed, (batch, shape)) in (400..).zip(BETWEEN) {
        cases.push(Box::new(ResidualAddCase { batch, shape, two: true, factor: 1.0, seed }));
        cases.push(Box::new(ResidualAddCase { batch, shape, two: true, factor: 8.0, seed }));
        cases.push(Box::new(ResidualAddCase { batch, shape, two: false, factor: 8.0, seed }));
    }
    cases
}

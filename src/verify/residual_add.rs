//! Cases of residual sums.

use super::{BETWEEN, Case, Cases, Trial, absolute};
use crate::kernels::ImageLayout;
use crate::kernels::residual_add::ResidualAdd;
use crate::net::Shape;
use kernels_tests::residual_add::residual_add as twin;

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
}

impl Case for ResidualAddCase {
    fn op(&self) -> &'static str {
        "residual_add"
    }

    fn fill(&self, t: &mut Trial) {
        let (batch, tables) = (self.batch, t.tables(self.batch));
        let [a, b, y] = [1, 0, 2].map(|border| ImageLayout::new(self.shape, border));
        let (a, values_a) = t.images("a", batch, a);
        let (b, values_b) = t.images("b", batch, b);
        let factor = f64::from(self.factor);
        let want = values_a.iter().zip(&values_b).map(|(a, b)| {
            let b = self.two.then_some(b.as_slice());
            (twin(a, b, factor), twin(&absolute(a), b.map(absolute).as_deref(), factor.abs()))
        });
        let y = t.result("y", batch, y, want);
        let kernel = ResidualAdd { batch: batch as u32, factor: self.factor };
        t.dispatches.push(kernel.dispatch("case", tables, a, self.two.then_some(b), y));
    }
}

pub(super) fn standard(cases: &mut Cases) {
    for (seed, (batch, shape)) in (400..).zip(BETWEEN) {
        for (two, factor) in [(true, 1.0), (true, 8.0), (false, 8.0)] {
            cases.add(seed, ResidualAddCase { batch, shape, two, factor });
        }
    }
}

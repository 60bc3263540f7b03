//! Cases of residual sums.

use super::{BETWEEN, Case, Cases, Trial, absolute, all_wanted};
use crate::kernels::ImageLayout;
use crate::kernels::residual_add::{self, ResidualAdd};
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
        let [a, b, y] = [1, 0, 2].map(|border| ImageLayout::new(self.shape, border));
        let (lanes, batch_sizes) = (t.lanes(), t.batch_sizes(self.batch));
        let (of_a, values_a) = t.images("a", self.batch, a);
        let (of_b, values_b) = t.images("b", self.batch, b);
        let factor = f64::from(self.factor);
        let want = values_a.iter().zip(&values_b).map(|(a, b)| {
            let b = self.two.then_some(b.as_slice());
            (twin(a, b, factor), twin(&absolute(a), b.map(absolute).as_deref(), factor.abs()))
        });
        let out = t.output("y", all_wanted(y, self.batch, want));
        let kernel = ResidualAdd { batch: self.batch as u32, a, b: self.two.then_some(b), y, factor: self.factor };
        let buffers = residual_add::Buffers { lanes, batch_sizes, a: of_a, b: if self.two { of_b } else { of_a }, y: out };
        t.dispatches.push(kernel.dispatch("case", buffers));
    }
}

pub(super) fn standard(cases: &mut Cases) {
    for (seed, (batch, shape)) in (400..).zip(BETWEEN) {
        for (two, factor) in [(true, 1.0), (true, 8.0), (false, 8.0)] {
            cases.add(seed, ResidualAddCase { batch, shape, two, factor });
        }
    }
}

//! Cases of rectification, both directions.

use super::{BETWEEN, Case, Cases, Trial, absolute};
use crate::kernels::ImageLayout;
use crate::kernels::relu::Relu;
use crate::net::Shape;
use kernels_tests::relu as twin;

/// One direction of a rectification.
#[derive(Debug, Clone, Copy)]
pub struct ReluCase {
    /// Backward, or forward.
    pub backward: bool,
    /// Capacity of a mini-batch.
    pub batch: usize,
    /// Shape of an image.
    pub shape: Shape,
}

impl Case for ReluCase {
    fn op(&self) -> &'static str {
        if self.backward { "relu_backward" } else { "relu_forward" }
    }

    fn fill(&self, t: &mut Trial) {
        let (batch, tables) = (self.batch, t.tables(self.batch));
        let [x, dy, out] = [1, 0, 2].map(|border| ImageLayout::new(self.shape, border));
        let (x, values) = t.images("x", batch, x);
        let kernel = Relu { batch: batch as u32, x };
        let dispatch = if self.backward {
            let (dy, gradients) = t.images("dy", batch, dy);
            let want = values.iter().zip(&gradients).map(|(x, dy)| (twin::relu_backward(x, dy), absolute(dy)));
            kernel.backward("case", tables, dy, t.result("dx", batch, out, want))
        } else {
            let want = values.iter().map(|x| (twin::relu_forward(x), absolute(x)));
            kernel.forward("case", tables, t.result("y", batch, out, want))
        };
        t.dispatches.push(dispatch);
    }
}

pub(super) fn standard(cases: &mut Cases) {
    for (seed, (batch, shape)) in (400..).zip(BETWEEN) {
        [false, true].into_iter().for_each(|backward| cases.add(seed, ReluCase { backward, batch, shape }));
    }
}

//! Cases of rectification, both directions.

use super::{BETWEEN, Case, Cases, Trial, absolute, all_wanted};
use crate::kernels::ImageLayout;
use crate::kernels::relu::{self, Relu};
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
        let [x_layout, dy_layout, out] = [1, 0, 2].map(|border| ImageLayout::new(self.shape, border));
        let (lanes, batch_sizes) = (t.lanes(), t.batch_sizes(self.batch));
        let (x, values) = t.images("x", self.batch, x_layout);
        let kernel = Relu { batch: self.batch as u32, x: x_layout };
        let dispatch = if self.backward {
            let (dy, gradients) = t.images("dy", self.batch, dy_layout);
            let want = values.iter().zip(&gradients).map(|(x, dy)| (twin::relu_backward(x, dy), absolute(dy)));
            let dx = t.output("dx", all_wanted(out, self.batch, want));
            kernel.backward("case", out, dy_layout, relu::backward::Buffers { lanes, batch_sizes, x, dy, dx })
        } else {
            let want = values.iter().map(|x| (twin::relu_forward(x), absolute(x)));
            let y = t.output("y", all_wanted(out, self.batch, want));
            kernel.forward("case", out, relu::forward::Buffers { lanes, batch_sizes, x, y })
        };
        t.dispatches.push(dispatch);
    }
}

pub(super) fn standard(cases: &mut Cases) {
    for (seed, (batch, shape)) in (400..).zip(BETWEEN) {
        [false, true].into_iter().for_each(|backward| cases.add(seed, ReluCase { backward, batch, shape }));
    }
}

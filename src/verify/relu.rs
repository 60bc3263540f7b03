//! Cases of rectification, both directions.

use super::{BETWEEN, Case, Noise, Trial, absolute, all_wanted, images, lane_table, size_table};
use crate::kernels::relu::Relu;
use crate::kernels::{ImageLayout, Tuning, relu};
use crate::net::Shape;
use kernels_tests::relu::{relu_backward as twin_relu_backward, relu_forward as twin_relu_forward};

/// One direction of a rectification.
#[derive(Debug, Clone, Copy)]
pub struct ReluCase {
    /// Backward, or forward.
    pub backward: bool,
    /// Capacity of a mini-batch.
    pub batch: usize,
    /// Shape of an image.
    pub shape: Shape,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for ReluCase {
    fn op(&self) -> &'static str {
        if self.backward { "relu_backward" } else { "relu_forward" }
    }

    fn trial(&self, _: Tuning) -> Trial {
        let (mut noise, mut t) = (Noise::new(self.seed), Trial::default());
        let [x, dy, out] = [1, 0, 2].map(|border| ImageLayout::new(self.shape, border));
        let lanes = t.words("lanes", lane_table());
        let batch_sizes = t.words("batch sizes", size_table(self.batch));
        let (input, values) = images(&mut t, &mut noise, "x", self.batch, x);
        let kernel = Relu { batch: self.batch as u32, x };
        if self.backward {
            let (of_dy, gradients) = images(&mut t, &mut noise, "dy", self.batch, dy);
            let want = values.iter().zip(&gradients).map(|(x, dy)| (twin_relu_backward(x, dy), absolute(dy)));
            let out_buffer = t.output("dx", all_wanted(out, self.batch, want));
            let b = relu::backward::Buffers { lanes, batch_sizes, x: input, dy: of_dy, dx: out_buffer };
            t.dispatches = vec![kernel.backward("case", out, dy, b)];
        } else {
            let want = values.iter().map(|x| (twin_relu_forward(x), absolute(x)));
            let out_buffer = t.output("y", all_wanted(out, self.batch, want));
            let b = relu::forward::Buffers { lanes, batch_sizes, x: input, y: out_buffer };
            t.dispatches = vec![kernel.forward("case", out, b)];
        }
        t
    }
}

pub(super) fn standard() -> Vec<Box<dyn Case>> {
    let mut cases: Vec<Box<dyn Case>> = Vec::new();
    for (seed, (batch, shape)) in (400..).zip(BETWEEN) {
        for backward in [false, true] {
            cases.push(Box::new(ReluCase { backward, batch, shape, seed }));
        }
    }
    cases
}

//! Cases of adaptive average pooling, both directions.

use super::{Case, Noise, Trial, absolute, all_wanted, images, lane_table, size_table, valid};
use crate::kernels::average_pool::AveragePool;
use crate::kernels::{ImageLayout, Tuning, average_pool};
use crate::net::Shape;
use kernels_tests::average_pool::{average_pool_backward as twin_pool_backward, average_pool_forward as twin_pool_forward};
use kernels_tests::shape::AveragePool2d;

/// One direction of adaptive average pooling.
#[derive(Debug, Clone, Copy)]
pub struct AveragePoolCase {
    /// Backward, or forward.
    pub backward: bool,
    /// Capacity of a mini-batch.
    pub batch: usize,
    /// Shape of an input image.
    pub input: Shape,
    /// Height and width of an output image, at most those of the input.
    pub output: (u32, u32),
    /// Seed of the data.
    pub seed: u64,
}

impl Case for AveragePoolCase {
    fn op(&self) -> &'static str {
        if self.backward { "average_pool_backward" } else { "average_pool_forward" }
    }

    fn trial(&self, _: Tuning) -> Trial {
        let (mut noise, mut t) = (Noise::new(self.seed), Trial::default());
        let output = Shape { height: self.output.0, width: self.output.1, ..self.input };
        let pool = AveragePool { batch: self.batch as u32, input: self.input, output };
        let (x, y) = (ImageLayout::new(self.input, 1), ImageLayout::new(output, 2));
        let twin = |valid: usize| AveragePool2d {
            planes: valid * x.blocks() as usize * 4,
            in_height: self.input.height as usize,
            in_width: self.input.width as usize,
            out_height: self.output.0 as usize,
            out_width: self.output.1 as usize,
        };
        let lanes = t.words("lanes", lane_table());
        let batch_sizes = t.words("batch sizes", size_table(self.batch));
        let (from, to) = if self.backward { (y, x) } else { (x, y) };
        let (input, values) = images(&mut t, &mut noise, "input", self.batch, from);
        let run = |v: usize, values: &[f64]| {
            if self.backward { twin_pool_backward(&twin(v), values) } else { twin_pool_forward(&twin(v), values) }
        };
        let want = values.iter().zip(valid(self.batch)).map(|(values, v)| (run(v, values), run(v, &absolute(values))));
        let out = t.output("output", all_wanted(to, self.batch, want));
        t.dispatches = vec![if self.backward {
            pool.backward("case", x, y, average_pool::backward::Buffers { lanes, batch_sizes, dy: input, dx: out })
        } else {
            pool.forward("case", x, y, average_pool::forward::Buffers { lanes, batch_sizes, x: input, y: out })
        }];
        t
    }
}

pub(super) fn standard() -> Vec<Box<dyn Case>> {
    let image = |channels, height, width| Shape { channels, height, width };
    let mut cases: Vec<Box<dyn Case>> = Vec::new();
    let pools = [
        (4, image(64, 4, 4), (1, 1)),
        (3, image(32, 7, 7), (6, 6)),
        (3, image(5, 7, 9), (3, 4)),
        (2, image(4, 6, 5), (6, 5)),
        (2, image(1, 1, 1), (1, 1)),
        (5, image(6, 11, 3), (2, 3)),
    ];
    for (seed, (batch, input, output)) in (420..).zip(pools) {
        for backward in [false, true] {
            cases.push(Box::new(AveragePoolCase { backward, batch, input, output, seed }));
        }
    }
    cases
}

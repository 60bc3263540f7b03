//! Cases of adaptive average pooling, both directions.

use super::{Case, Cases, Trial, absolute, image, valid};
use crate::kernels::ImageLayout;
use crate::kernels::average_pool::AveragePool;
use crate::net::Shape;
use kernels_tests::average_pool as twin;
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
}

impl Case for AveragePoolCase {
    fn op(&self) -> &'static str {
        if self.backward { "average_pool_backward" } else { "average_pool_forward" }
    }

    fn fill(&self, t: &mut Trial) {
        let output = Shape { height: self.output.0, width: self.output.1, ..self.input };
        let pool = AveragePool { batch: self.batch as u32, input: self.input, output };
        let (x, y) = (ImageLayout::new(self.input, 1), ImageLayout::new(output, 2));
        let run = |valid: usize, values: &[f64]| {
            let shape = AveragePool2d {
                planes: valid * x.blocks() as usize * 4,
                in_height: self.input.height as usize,
                in_width: self.input.width as usize,
                out_height: self.output.0 as usize,
                out_width: self.output.1 as usize,
            };
            if self.backward { twin::average_pool_backward(&shape, values) } else { twin::average_pool_forward(&shape, values) }
        };
        let (from, to) = if self.backward { (y, x) } else { (x, y) };
        let tables = t.tables(self.batch);
        let (input, values) = t.images("input", self.batch, from);
        let want = values.iter().zip(valid(self.batch)).map(|(values, v)| (run(v, values), run(v, &absolute(values))));
        let output = t.result("output", self.batch, to, want);
        t.dispatches.push(if self.backward {
            pool.backward("case", tables, input, output)
        } else {
            pool.forward("case", tables, input, output)
        });
    }
}

pub(super) fn standard(cases: &mut Cases) {
    let pools = [
        (4, image(64, 4, 4), (1, 1)),
        (3, image(32, 7, 7), (6, 6)),
        (3, image(5, 7, 9), (3, 4)),
        (2, image(4, 6, 5), (6, 5)),
        (2, image(1, 1, 1), (1, 1)),
        (5, image(6, 11, 3), (2, 3)),
    ];
    for (seed, (batch, input, output)) in (420..).zip(pools) {
        [false, true].into_iter().for_each(|backward| cases.add(seed, AveragePoolCase { backward, batch, input, output }));
    }
}

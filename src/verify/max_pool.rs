//! Cases of max-pooling, both directions.

use super::{Case, Cases, LANES, Trial, Want, for_each_pixel, image, place, stored, valid};
use crate::kernels::max_pool::MaxPool;
use crate::kernels::{Activation, ImageLayout};
use crate::net::Shape;
use kernels_tests::max_pool as twin;
use kernels_tests::shape::Pool2d;

/// One direction of max-pooling.
#[derive(Debug, Clone, Copy)]
pub struct MaxPoolCase {
    /// Backward, or forward.
    pub backward: bool,
    /// Capacity of a mini-batch.
    pub batch: usize,
    /// Shape of an input image.
    pub input: Shape,
    /// Height and width of the window.
    pub kernel: u32,
    /// Stride.
    pub stride: u32,
    /// Padding, at most half the window.
    pub padding: u32,
}

impl MaxPoolCase {
    fn pool(&self) -> Option<MaxPool> {
        MaxPool::new(self.batch as u32, self.input, (self.kernel, self.kernel), self.stride, self.padding)
    }

    /// Whether at least one window fits; a case that does not cannot run.
    pub fn is_valid(&self) -> bool {
        self.pool().is_some()
    }
}

/// The twin's pooling of `valid` images by square windows; channels are padded.
pub(super) fn pool2d(input: Shape, valid: usize, kernel: u32, stride: u32, padding: u32) -> Pool2d {
    Pool2d {
        batch: valid,
        channels: input.channels.next_multiple_of(4) as usize,
        in_height: input.height as usize,
        in_width: input.width as usize,
        kernel: kernel as usize,
        stride: stride as usize,
        padding: padding as usize,
    }
}

impl Case for MaxPoolCase {
    fn op(&self) -> &'static str {
        if self.backward { "max_pool_backward" } else { "max_pool_forward" }
    }

    fn fill(&self, t: &mut Trial) {
        let (batch, valid) = (self.batch, valid(self.batch));
        let pool = self.pool().expect("a window fits");
        let (x_layout, y_layout) = (ImageLayout::new(pool.input, 1), ImageLayout::new(pool.output, 2));
        let shapes = valid.map(|valid| pool2d(self.input, valid, self.kernel, self.stride, self.padding));
        // Few different values, so that equal maxima are common and the first must win.
        let few = |x: f64| (x * 4.0).round() / 4.0;
        let x = valid.map(|v| t.noise.images(v, x_layout).into_iter().map(few).collect::<Vec<_>>());
        let tables = t.tables(batch);
        let maxima: Vec<_> = shapes.iter().zip(&x).map(|(shape, x)| twin::max_pool_forward(shape, x)).collect();
        // Four channels' places share a word; they are stored without borders.
        let dense = ImageLayout::new(pool.output, 0);
        let mut packed = vec![0u32; pool.index_bytes() as usize / 4 * LANES.len()];
        for (lane, (_, indices)) in maxima.iter().enumerate() {
            let start = lane * pool.index_bytes() as usize / 4;
            for_each_pixel(dense, valid[lane], |i, at| packed[start + at / 4] |= indices[i] << (8 * (at % 4)));
        }
        if self.backward {
            let (dy, gradients) = t.images("dy", batch, y_layout);
            let want = shapes.iter().zip(&gradients).zip(&maxima).map(|((shape, dy), (_, indices))| {
                let dx = twin::max_pool_backward(shape, dy, indices);
                let magnitude = vec![f64::from(self.kernel * self.kernel); dx.len()];
                (dx, magnitude)
            });
            let (dx, indices) = (t.result("dx", batch, x_layout, want), t.words("places", packed));
            t.dispatches.push(pool.backward("case", tables, dy, indices, dx));
            return;
        }
        // A NaN loses every comparison; a huge value wins it.
        let all: Vec<f32> = x.iter().zip(valid).flat_map(|(x, v)| stored(x_layout, batch, v, x, 0, 1e30)).collect();
        let want = maxima.iter().zip(valid).flat_map(|((y, _), v)| {
            let mut want = vec![Want::Keep; y_layout.bytes(batch as u32) as usize / 4];
            for_each_pixel(y_layout, v, |i, at| want[at] = Want::Bits((y[i] as f32).to_bits()));
            want
        });
        let want = want.collect();
        let per_sample = place(dense, 1, 0, 0, 0) / 4;
        let is_valid = |i: usize| i / per_sample % batch < valid[i / per_sample / batch];
        let places = packed.iter().enumerate().map(|(i, word)| if is_valid(i) { Want::Bits(*word) } else { Want::Keep }).collect();
        let x = Activation { buffer: t.values("x", &all), layout: x_layout };
        let y = Activation { buffer: t.output("y", want), layout: y_layout };
        let indices = t.output("places", places);
        t.dispatches.push(pool.forward("case", tables, x, y, indices));
    }
}

pub(super) fn standard(cases: &mut Cases) {
    let pools = [
        (3, image(8, 28, 28), 2, 2, 0),
        (4, image(8, 14, 14), 2, 2, 0),
        (3, image(5, 7, 9), 3, 2, 1),
        (2, image(1, 1, 1), 1, 1, 0),
        (3, image(4, 6, 5), 2, 3, 0),
        (2, image(7, 9, 8), 5, 1, 2),
    ];
    for (seed, (batch, input, kernel, stride, padding)) in (300..).zip(pools) {
        for backward in [false, true] {
            cases.add(seed, MaxPoolCase { backward, batch, input, kernel, stride, padding });
        }
    }
}

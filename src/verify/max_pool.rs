//! Cases of max-pooling, both directions.

use super::{Case, LANES, Noise, Trial, Want, for_each_pixel, lane_table, place, size_table, stored, valid, wanted};
use crate::kernels::max_pool::MaxPool;
use crate::kernels::{ImageLayout, Tuning, max_pool};
use crate::net::Shape;
use kernels_tests::max_pool::{max_pool_backward as twin_pool_backward, max_pool_forward as twin_pool_forward};
use kernels_tests::shape;

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
    /// Seed of the data.
    pub seed: u64,
}

impl MaxPoolCase {
    /// Whether at least one window fits; a case that does not cannot run.
    pub fn is_valid(&self) -> bool {
        MaxPool::new(self.batch as u32, self.input, (self.kernel, self.kernel), self.stride, self.padding).is_some()
    }
}

impl Case for MaxPoolCase {
    fn op(&self) -> &'static str {
        if self.backward { "max_pool_backward" } else { "max_pool_forward" }
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let batch = self.batch;
        let pool = MaxPool::new(batch as u32, self.input, (self.kernel, self.kernel), self.stride, self.padding).expect("a window fits");
        let (x_layout, y_layout) = (ImageLayout::new(pool.input, 1), ImageLayout::new(pool.output, 2));
        let channels = x_layout.blocks() as usize * 4;
        let twin = |valid| shape::Pool2d {
            batch: valid,
            channels,
            in_height: self.input.height as usize,
            in_width: self.input.width as usize,
            kernel: self.kernel as usize,
            stride: self.stride as usize,
            padding: self.padding as usize,
        };
        let valid = valid(batch);
        // Few different values, so that equal maxima are common and the first must win.
        let x: Vec<Vec<f64>> =
            valid.iter().map(|v| noise.images(*v, x_layout).into_iter().map(|x| (x * 4.0).round() / 4.0).collect()).collect();
        let lanes = t.words("lanes", lane_table());
        let sizes = t.words("batch sizes", size_table(batch));
        let forward: Vec<_> = (0..LANES.len()).map(|l| twin_pool_forward(&twin(valid[l]), &x[l])).collect();
        // Four channels' places share a word; they are stored without borders.
        let dense = ImageLayout::new(pool.output, 0);
        let mut packed = vec![0u32; pool.index_bytes() as usize / 4 * LANES.len()];
        for (lane, (_, indices)) in forward.iter().enumerate() {
            let start = lane * pool.index_bytes() as usize / 4;
            for_each_pixel(dense, valid[lane], |i, at| packed[start + at / 4] |= indices[i] << (8 * (at % 4)));
        }
        if self.backward {
            let dy: Vec<Vec<f64>> = valid.iter().map(|v| noise.images(*v, y_layout)).collect();
            let all: Vec<f32> = (0..LANES.len()).flat_map(|l| stored(y_layout, batch, valid[l], &dy[l], 0, f32::NAN)).collect();
            let want = (0..LANES.len()).flat_map(|l| {
                let dx = twin_pool_backward(&twin(valid[l]), &dy[l], &forward[l].1);
                let magnitude = vec![(self.kernel * self.kernel) as f64; dx.len()];
                wanted(x_layout, batch, valid[l], &dx, &magnitude)
            });
            let want = want.collect();
            let b = max_pool::backward::Buffers {
                lanes,
                batch_sizes: sizes,
                dy: t.values("dy", &all),
                indices: t.words("places", packed),
                dx: t.output("dx", want),
            };
            t.dispatches = vec![pool.backward("case", x_layout, y_layout, b)];
            return t;
        }
        // A NaN loses every comparison; a huge value wins it.
        let all: Vec<f32> = (0..LANES.len()).flat_map(|l| stored(x_layout, batch, valid[l], &x[l], 0, 1e30)).collect();
        let want = (0..LANES.len()).flat_map(|l| {
            let mut want = vec![Want::Keep; y_layout.bytes(batch as u32) as usize / 4];
            for_each_pixel(y_layout, valid[l], |i, at| want[at] = Want::Bits((forward[l].0[i] as f32).to_bits()));
            want
        });
        let want = want.collect();
        let per_sample = place(dense, 1, 0, 0, 0) / 4;
        let places = (0..packed.len()).map(|i| {
            let (lane, rest) = (i / (per_sample * batch), i % (per_sample * batch));
            if rest / per_sample < valid[lane] { Want::Bits(packed[i]) } else { Want::Keep }
        });
        let places = places.collect();
        let b = max_pool::forward::Buffers {
            lanes,
            batch_sizes: sizes,
            x: t.values("x", &all),
            y: t.output("y", want),
            indices: t.output("places", places),
        };
        t.dispatches = vec![pool.forward("case", x_layout, y_layout, b)];
        t
    }
}

pub(super) fn standard() -> Vec<Box<dyn Case>> {
    let image = |channels, height, width| Shape { channels, height, width };
    let mut cases: Vec<Box<dyn Case>> = Vec::new();
    let pools = [
        (3, image(8, 28, 28), 2, 2, 0),
        (4, image(8, 14, 14), 2, 2, 0),
        (3, image(5, 7, 9), 3, 2, 1),
        (2, image(1, 1, 1), 1, 1, 0),
        (3, image(4, 6, 5), 2, 3, 0),
        (2, image(7, 9, 8), 5, 1, 2),
    ];
    for (seed, (batch, input, kernel, stride, padding)) in pools.into_iter().enumerate() {
        for backward in [false, true] {
            cases.push(Box::new(MaxPoolCase { backward, batch, input, kernel, stride, padding, seed: 300 + seed as u64 }));
        }
    }
    cases
}

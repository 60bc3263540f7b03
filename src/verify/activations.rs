//! Cases of batch norm and max-pooling.

use super::{Case, LANES, Noise, ROWS, Trial, Want, batch_sizes, for_each_pixel, lane_table, place, size_table, stored, wanted};
use crate::kernels::batch_norm_statistics::{self, BatchNorm};
use crate::kernels::max_pool_forward::{self, MaxPool};
use crate::kernels::{
    EPSILON, ImageLayout, ParameterPlace, Tuning, batch_norm_backward, batch_norm_features, batch_norm_forward, max_pool_backward,
};
use crate::net::Shape;
use kernels_tests::batch_norm_backward::batch_norm_backward as twin_backward;
use kernels_tests::batch_norm_forward::{Normalization, batch_norm_forward as twin_forward};
use kernels_tests::batch_norm_statistics::batch_norm_statistics as twin_statistics;
use kernels_tests::max_pool_backward::max_pool_backward as twin_pool_backward;
use kernels_tests::max_pool_forward::max_pool_forward as twin_pool_forward;
use kernels_tests::shape;

/// Batch norm with ReLU and max-pooling: statistics, then forward or backward from them.
#[derive(Debug, Clone, Copy)]
pub struct BatchNormCase {
    /// Backward, or statistics and forward.
    pub backward: bool,
    /// Capacity of a mini-batch.
    pub batch: usize,
    /// Shape of the layer's input.
    pub shape: Shape,
    /// Whether a ReLU follows.
    pub relu: bool,
    /// Side of the max-pooling's windows after it, at most the image's height and width; 1 for none.
    pub pool: u32,
    /// Run the kernels for features; the shape must be of one pixel, without pooling.
    pub features: bool,
    /// Added to all inputs: a large mean must not cancel the variance.
    pub mean: f32,
    /// Factor on the gradient: the layer correction.
    pub scale: f32,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for BatchNormCase {
    fn op(&self) -> &'static str {
        match (self.features, self.backward) {
            (false, false) => "batch_norm_forward",
            (false, true) => "batch_norm_backward",
            (true, false) => "batch_norm_features, forward",
            (true, true) => "batch_norm_features, backward",
        }
    }

    fn shape(&self) -> String {
        let s = self.shape;
        format!(
            "{}×{}×{}×{}, mean {}, scale {}{}{}",
            self.batch,
            s.channels,
            s.height,
            s.width,
            self.mean,
            self.scale,
            if self.relu { ", ReLU" } else { "" },
            if self.pool > 1 { format!(", max-pooling {}", self.pool) } else { String::new() }
        )
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let batch = self.batch;
        let pooled = Shape { height: self.shape.height / self.pool, width: self.shape.width / self.pool, ..self.shape };
        let border = |wide| if self.features { 0 } else { wide };
        let z_layout = ImageLayout::new(self.shape, border(1));
        let y_layout = ImageLayout::new(pooled, border(2));
        let dz_layout = ImageLayout::new(self.shape, border(3));
        let channels = z_layout.blocks() as usize * 4;
        let (real, pixels) = (self.shape.channels as usize, (self.shape.height * self.shape.width) as usize);

        // γ and β of every row among NaN; padded channels have zeros.
        let place = ParameterPlace { stride: (channels / 4 * 2 + 3) as u32, weight: 1, bias: Some((channels / 4 + 2) as u32) };
        let mut words = vec![f32::NAN; ROWS * place.stride as usize * 4];
        let mut affine = Vec::new();
        for row in 0..ROWS {
            let start = row * place.stride as usize * 4;
            let gamma: Vec<f64> = (0..channels).map(|c| if c < real { 1.0 + 0.5 * noise.value() } else { 0.0 }).collect();
            let beta: Vec<f64> = (0..channels).map(|c| if c < real { noise.value() } else { 0.0 }).collect();
            for c in 0..channels {
                words[start + 4 + c] = gamma[c] as f32;
                words[start + (channels / 4 + 2) * 4 + c] = beta[c] as f32;
            }
            affine.push((words[start + 4..][..channels].iter().map(|v| f64::from(*v)).collect::<Vec<_>>(), beta));
        }
        let norm = BatchNorm { batch: batch as u32, z: z_layout, place, relu: self.relu, pool: self.pool };
        let twin = |valid| shape::BatchNorm { batch: valid, valid, channels, pixels };
        let valid: Vec<usize> = LANES.iter().map(|l| batch_sizes(batch)[l[0] as usize]).collect();
        // Rounded to f32 here, so that the twin sees what the kernel sees.
        let z: Vec<Vec<f64>> = valid
            .iter()
            .map(|v| {
                let images = noise.images(*v, z_layout);
                let with_mean =
                    |(i, x): (usize, f64)| f64::from((x + if i / pixels % channels < real { f64::from(self.mean) } else { 0.0 }) as f32);
                images.into_iter().enumerate().map(with_mean).collect()
            })
            .collect();
        let statistics: Vec<_> = (0..LANES.len()).map(|l| twin_statistics(&twin(valid[l]), &z[l])).collect();
        let normalization = |lane: usize| {
            let (gamma, beta) = &affine[LANES[lane][1] as usize];
            Normalization { gamma, beta, eps: f64::from(EPSILON), relu: self.relu }
        };
        let pool_twin = |valid| shape::Pool2d {
            batch: valid,
            channels,
            in_height: self.shape.height as usize,
            in_width: self.shape.width as usize,
            kernel: self.pool as usize,
            stride: self.pool as usize,
            padding: 0,
        };
        // The whole normalised image, then its maxima and their places.
        let normalised: Vec<Vec<f64>> =
            (0..LANES.len()).map(|l| twin_forward(&twin(valid[l]), &z[l], &statistics[l], &normalization(l))).collect();
        let maxima: Vec<_> = (0..LANES.len()).map(|l| twin_pool_forward(&pool_twin(valid[l]), &normalised[l])).collect();
        let out_pixels = (pooled.height * pooled.width) as usize;
        // ‖x̂‖ is at most √m and its error grows with the mean over the deviation.
        let size = 2.0 + f64::from(self.mean.abs());

        let lanes = t.words("lanes", lane_table());
        let sizes = t.words("batch sizes", size_table(batch));
        let all: Vec<f32> = (0..LANES.len()).flat_map(|l| stored(z_layout, batch, valid[l], &z[l], 0, f32::NAN)).collect();
        let z_buffer = t.values("z", &all);
        let parameters = t.values("parameters", &words);
        // [lane][block] of (mean ×4, deviation ×4).
        let mut moments_want = vec![Want::Keep; LANES.len() * channels * 2];
        for (lane, s) in statistics.iter().enumerate() {
            for c in 0..channels {
                let at = lane * channels * 2 + c / 4 * 8 + c % 4;
                moments_want[at] = Want::Near(s.mean[c], size);
                let deviation = 1.0 / (s.variance[c] + f64::from(EPSILON)).sqrt();
                // A single value a channel has no spread but its rounding.
                moments_want[at + 4] = Want::Near(deviation, size * deviation);
            }
        }
        let moments = t.output("moments", moments_want);
        let b = batch_norm_features::Buffers { lanes, batch_sizes: sizes, z: z_buffer, parameters, moments };
        if !self.features {
            t.dispatches =
                vec![norm.statistics("case", batch_norm_statistics::Buffers { lanes, batch_sizes: sizes, z: z_buffer, moments })];
        }
        if !self.backward || self.features {
            let want = (0..LANES.len()).flat_map(|l| {
                let y = &maxima[l].0;
                let sizes: Vec<f64> = spread(&statistics[l].variance, out_pixels, y.len()).iter().map(|d| size * d.max(1.0)).collect();
                wanted(y_layout, batch, valid[l], y, &sizes)
            });
            let want = want.collect();
            let y = t.output("y", want);
            t.dispatches.push(if self.features {
                norm.features_forward("case", b, y)
            } else {
                norm.forward(
                    "case",
                    y_layout,
                    batch_norm_forward::Buffers { lanes, batch_sizes: sizes, z: z_buffer, moments, parameters, y },
                )
            });
        }
        if !self.backward {
            return t;
        }
        let dy: Vec<Vec<f64>> = valid.iter().map(|v| noise.images(*v, y_layout)).collect();
        let all: Vec<f32> = (0..LANES.len()).flat_map(|l| stored(y_layout, batch, valid[l], &dy[l], 0, f32::NAN)).collect();
        let dy_buffer = t.values("dy", &all);
        let stride = place.stride as usize * 4;
        let mut want_gradient = vec![Want::Keep; LANES.len() * stride];
        let mut want_dz = Vec::new();
        for lane in 0..LANES.len() {
            let dy = twin_pool_backward(&pool_twin(valid[lane]), &dy[lane], &maxima[lane].1);
            let g = twin_backward(&twin(valid[lane]), &dy, &z[lane], &statistics[lane], &normalization(lane), f64::from(self.scale));
            let m = (valid[lane] * pixels) as f64;
            for c in 0..channels {
                want_gradient[lane * stride + 4 + c] = Want::Near(g.dgamma[c], m * size);
                want_gradient[lane * stride + (channels / 4 + 2) * 4 + c] = Want::Near(g.dbeta[c], m);
            }
            let spread = spread(&statistics[lane].variance, pixels, g.dz.len());
            let sizes: Vec<f64> = spread.iter().map(|d| 6.0 * size * d * f64::from(self.scale)).collect();
            want_dz.extend(wanted(dz_layout, batch, valid[lane], &g.dz, &sizes));
        }
        let gradient = t.output("gradient", want_gradient);
        if self.features {
            t.expect(dy_buffer, want_dz);
            t.dispatches.push(norm.features_backward("case", self.scale, b, dy_buffer, gradient));
        } else {
            let sums = t.scratch("sums", norm.sum_bytes() * LANES.len() as u64);
            let dz = t.output("dz", want_dz);
            let (z, batch_sizes) = (z_buffer, sizes);
            let b = batch_norm_backward::Buffers { lanes, batch_sizes, z, moments, parameters, dy: dy_buffer, sums, gradient, dz };
            t.dispatches.extend(norm.backward("case", y_layout, dz_layout, self.scale, b));
        }
        t
    }
}

/// 1 / √(var + ε) of each value of an N·C·H·W tensor: what an error of z is multiplied by.
fn spread(variance: &[f64], pixels: usize, len: usize) -> Vec<f64> {
    (0..len).map(|i| 1.0 / (variance[i / pixels % variance.len()] + f64::from(EPSILON)).sqrt()).collect()
}

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

    fn shape(&self) -> String {
        let i = self.input;
        format!(
            "{}×{}×{}×{}, window {}, stride {}, padding {}",
            self.batch, i.channels, i.height, i.width, self.kernel, self.stride, self.padding
        )
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
        let valid: Vec<usize> = LANES.iter().map(|l| batch_sizes(batch)[l[0] as usize]).collect();
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
            let b = max_pool_backward::Buffers {
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
        let b = max_pool_forward::Buffers {
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
    let norms = [
        (3, image(8, 28, 28), true, 2, 0.0, 8.0),
        (4, image(8, 14, 14), true, 2, 0.0, 8.0),
        (5, image(16, 7, 7), true, 1, 0.5, 8.0),
        (18, image(64, 1, 1), true, 1, 0.0, 1.0),
        (4, image(5, 3, 2), false, 1, 1.0, 1.0),
        (6, image(1, 11, 9), true, 2, 100.0, 1.0),
        (2, image(3, 1, 270), true, 1, 0.0, 2.0),
        (3, image(10, 7, 8), false, 3, -2.0, 4.0),
        (2, image(4, 300, 3), true, 3, 0.0, 1.0),
    ];
    for (seed, (batch, shape, relu, pool, mean, scale)) in norms.into_iter().enumerate() {
        for backward in [false, true] {
            let seed = 200 + seed as u64;
            let case = BatchNormCase { backward, batch, shape, relu, pool, features: false, mean, scale, seed };
            cases.push(Box::new(case));
            if (shape.height, shape.width) == (1, 1) {
                cases.push(Box::new(BatchNormCase { features: true, ..case }));
            }
        }
    }
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

//! Cases of batch norm: statistics and both directions, mixes, running statistics.

use super::{Case, LANES, Noise, ROWS, Trial, Want, lane_table, size_table, stored, valid, wanted};
use crate::gpu::Active;
use crate::kernels::batch_norm::mix::BatchNormMix;
use crate::kernels::batch_norm::running_statistics::RunningStatistics;
use crate::kernels::batch_norm::{BatchNorm, NormPlace};
use crate::kernels::{EPSILON, ImageLayout, Tuning, batch_norm};
use crate::net::{Branch, NormRow, Norms, Shape};
use kernels_tests::batch_norm::{
    Normalization, Statistics, batch_norm_backward as twin_backward, batch_norm_backward_running as twin_backward_running,
    batch_norm_forward as twin_forward, batch_norm_mix, batch_norm_statistics as twin_statistics, running_statistics as twin_running,
};
use kernels_tests::max_pool::{max_pool_backward as twin_pool_backward, max_pool_forward as twin_pool_forward};
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
    /// Normalise by given statistics, not by the batch's.
    pub running: bool,
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

        // γ and β of every lane among NaN; padded channels have zeros. The moments are of more layers than this.
        let blocks = channels as u32 / 4;
        let place = NormPlace { stride: 2 * blocks + 3, weight: 1, bias: blocks + 2, blocks: blocks + 3, first: 2 };
        let mut words = vec![f32::NAN; LANES.len() * place.stride as usize * 4];
        let mut affine = Vec::new();
        for row in 0..LANES.len() {
            let start = row * place.stride as usize * 4;
            let gamma: Vec<f64> = (0..channels).map(|c| if c < real { 1.0 + 0.5 * noise.value() } else { 0.0 }).collect();
            let beta: Vec<f64> = (0..channels).map(|c| if c < real { noise.value() } else { 0.0 }).collect();
            for c in 0..channels {
                words[start + 4 + c] = gamma[c] as f32;
                words[start + (channels / 4 + 2) * 4 + c] = beta[c] as f32;
            }
            affine.push((words[start + 4..][..channels].iter().map(|v| f64::from(*v)).collect::<Vec<_>>(), beta));
        }
        let norm = BatchNorm { batch: batch as u32, z: z_layout, place, relu: self.relu, pool: self.pool, running: self.running };
        let twin = |valid| shape::BatchNorm { batch: valid, valid, channels, pixels };
        let valid = valid(batch);
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
        let mut statistics: Vec<_> = (0..LANES.len()).map(|l| twin_statistics(&twin(valid[l]), &z[l])).collect();
        if self.running {
            // Those of other data: a bit off, and never without spread.
            for s in &mut statistics {
                s.mean.iter_mut().for_each(|m| *m = f64::from((*m + 0.25 * noise.value()) as f32));
                s.variance.iter_mut().for_each(|v| *v = (*v + 0.5) * (1.0 + 0.5 * noise.value()));
            }
        }
        let normalization = |lane: usize| {
            let (gamma, beta) = &affine[lane];
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
        // [lane][block of any layer] of (mean ×4, deviation ×4, unbiased variance ×4).
        let records = place.moment_bytes() as usize / 4 * LANES.len();
        let (mut moments_want, mut given) = (vec![Want::Keep; records], vec![f32::NAN; records]);
        for (lane, s) in statistics.iter().enumerate() {
            let m = (valid[lane] * pixels) as f64;
            for c in 0..channels {
                let at = ((lane * place.blocks as usize + place.first as usize + c / 4) * 3) * 4 + c % 4;
                moments_want[at] = Want::Near(s.mean[c], size);
                let deviation = 1.0 / (s.variance[c] + f64::from(EPSILON)).sqrt();
                // A single value a channel has no spread but its rounding.
                moments_want[at + 4] = Want::Near(deviation, size * deviation);
                moments_want[at + 8] = Want::Near(s.variance[c] * m / (m - 1.0).max(1.0), size * size);
                (given[at], given[at + 4]) = (s.mean[c] as f32, deviation as f32);
            }
        }
        let moments = if self.running { t.values("moments", &given) } else { t.output("moments", moments_want) };
        let b = batch_norm::features::Buffers { lanes, batch_sizes: sizes, z: z_buffer, parameters, moments };
        if !self.features && !self.running {
            t.dispatches =
                vec![norm.statistics("case", batch_norm::statistics::Buffers { lanes, batch_sizes: sizes, z: z_buffer, moments })];
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
                    batch_norm::forward::Buffers { lanes, batch_sizes: sizes, z: z_buffer, moments, parameters, y },
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
            let twin_backward = if self.running { twin_backward_running } else { twin_backward };
            let g = twin_backward(&twin(valid[lane]), &dy, &z[lane], &statistics[lane], &normalization(lane), f64::from(self.scale));
            let m = (valid[lane] * pixels) as f64;
            // By given statistics, γ and β are not trained.
            for c in (0..channels).filter(|_| !self.running) {
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
            let b = batch_norm::backward::Buffers { lanes, batch_sizes, z, moments, parameters, dy: dy_buffer, sums, gradient, dz };
            t.dispatches.extend(norm.backward("case", y_layout, dz_layout, self.scale, b));
        }
        t
    }
}

/// 1 / √(var + ε) of each value of an N·C·H·W tensor: what an error of z is multiplied by.
fn spread(variance: &[f64], pixels: usize, len: usize) -> Vec<f64> {
    (0..len).map(|i| 1.0 / (variance[i / pixels % variance.len()] + f64::from(EPSILON)).sqrt()).collect()
}

/// Batch norms prepared for evaluation: the λ-mix of dual ones.
#[derive(Debug, Clone, Copy)]
pub struct BatchNormMixCase {
    /// Channel blocks of all layers.
    pub blocks: u32,
    /// What is kept.
    pub norms: Norms,
    /// Whether moments are made of running statistics.
    pub running: bool,
    /// Whether the row is that of the lane's batch norms.
    pub own_rows: bool,
    /// Share of the adversarial ones.
    pub lambda: f32,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for BatchNormMixCase {
    fn op(&self) -> &'static str {
        "batch_norm_mix"
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let row = NormRow { blocks: self.blocks, norms: self.norms };
        let (stride, start) = (row.len() + 3, 2);
        let channels = self.blocks as usize * 4;
        let mut words = vec![f32::NAN; ROWS * stride as usize * 4];
        let kernel = BatchNormMix { row, stride, start, own_rows: self.own_rows, running: self.running, lambda: self.lambda };
        let mut table = lane_table();
        // Rows of batch norms in another order than those of parameters.
        table.iter_mut().skip(3).step_by(4).zip([1, 3, 0, 2]).for_each(|(w, row)| *w = row);
        let mut rows = Vec::new();
        for r in 0..ROWS {
            let branches: Vec<Branch> =
                [Branch::Clean, Branch::Adversarial].into_iter().take(if self.norms.dual { 2 } else { 1 }).collect();
            let mut norms = Vec::new();
            for branch in branches {
                let mut array = |at: u32, positive: bool| {
                    let values: Vec<f32> =
                        (0..channels).map(|_| noise.value()).map(|v| if positive { 1.5 + v } else { v } as f32).collect();
                    words[(r * stride as usize + (start + at) as usize) * 4..][..channels].copy_from_slice(&values);
                    values.into_iter().map(f64::from).collect::<Vec<_>>()
                };
                let affine = row.affine(branch);
                let (gamma, beta) = (array(affine, false), array(affine + row.blocks, false));
                let (mean, variance) = match self.norms.tracked {
                    true => (array(row.running(branch), false), array(row.running(branch) + row.blocks, true)),
                    false => (vec![0.0; channels], vec![1.0; channels]),
                };
                // By batch statistics x̂ is given: mean 0, deviation 1.
                let statistics = match self.running {
                    true => Statistics { mean, variance },
                    false => Statistics { mean: vec![0.0; channels], variance: vec![1.0 - f64::from(EPSILON); channels] },
                };
                norms.push((gamma, beta, statistics));
            }
            rows.push(norms);
        }
        let (mut want_mixed, mut want_moments) = (Vec::new(), Vec::new());
        for lane in table.chunks_exact(4) {
            let norms = &rows[if self.own_rows { lane[3] } else { lane[1] } as usize];
            let of = |i: usize| {
                let (gamma, beta, s) = &norms[i.min(norms.len() - 1)];
                (Normalization { gamma, beta, eps: f64::from(EPSILON), relu: false }, s)
            };
            let lambda = if self.norms.dual { f64::from(self.lambda) } else { 0.0 };
            let m = batch_norm_mix(of(0), of(1), lambda);
            want_mixed.extend(m.weight.iter().map(|v| Want::Near(*v, 4.0)));
            want_mixed.extend(m.bias.iter().map(|v| Want::Near(*v, 8.0)));
            for b in 0..self.blocks as usize {
                let record =
                    |v: &[f64]| (0..4).map(|c| if self.running { Want::Near(v[b * 4 + c], 2.0) } else { Want::Keep }).collect::<Vec<_>>();
                want_moments.extend(record(&m.mean));
                want_moments.extend(record(&m.deviation));
                want_moments.extend([Want::Keep; 4]);
            }
        }
        let b = batch_norm::mix::Buffers {
            lanes: t.words("lanes", table),
            source: t.values("source", &words),
            mixed: t.output("mixed", want_mixed),
            moments: t.output("moments", want_moments),
        };
        t.dispatches = vec![kernel.dispatch("case", b)];
        t
    }
}

/// Running statistics over several batches.
#[derive(Debug, Clone, Copy)]
pub struct RunningStatisticsCase {
    /// Channel blocks of all layers.
    pub blocks: u32,
    /// The mean over all steps so far, not the moving average of momentum 0.1.
    pub cumulative: bool,
    /// Local step.
    pub step: u32,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for RunningStatisticsCase {
    fn op(&self) -> &'static str {
        "running_statistics"
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let channels = self.blocks as usize * 4;
        let (stride, mean) = (2 * self.blocks + 3, 2);
        let (mut rows, mut moments) = (vec![f32::NAN; LANES.len() * stride as usize * 4], Vec::new());
        let mut want = vec![Want::Keep; rows.len()];
        for lane in 0..LANES.len() {
            let start = (lane as u32 * stride + mean) as usize * 4;
            let before = noise.values(2 * channels);
            let batch = noise.values(2 * channels);
            let momentum = if self.cumulative { None } else { Some(f64::from(batch_norm::running_statistics::MOMENTUM)) };
            let after = twin_running(&before, &batch, momentum, self.step);
            for i in 0..2 * channels {
                rows[start + i] = before[i] as f32;
                want[start + i] = Want::Near(after[i], 2.0);
            }
            for b in 0..channels / 4 {
                moments.extend(batch[b * 4..][..4].iter().map(|v| *v as f32));
                moments.extend([f32::NAN; 4]);
                moments.extend(batch[channels + b * 4..][..4].iter().map(|v| *v as f32));
            }
        }
        let rows = t.values("rows", &rows);
        t.expect(rows, want);
        let momentum = (!self.cumulative).then_some(batch_norm::running_statistics::MOMENTUM);
        let kernel = RunningStatistics { blocks: self.blocks, stride, mean, momentum };
        let moments = t.values("moments", &moments);
        t.dispatches = vec![kernel.dispatch("case", moments, rows)];
        t.active = Some(Active { lanes: LANES.len() as u32, slots: 0, step: self.step });
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
        for (backward, running) in [(false, false), (true, false), (false, true), (true, true)] {
            let seed = 200 + seed as u64;
            let case = BatchNormCase { backward, batch, shape, relu, pool, features: false, mean, scale, running, seed };
            cases.push(Box::new(case));
            if (shape.height, shape.width) == (1, 1) {
                cases.push(Box::new(BatchNormCase { features: true, ..case }));
            }
        }
    }
    let (dual, tracked) = ([false, true], [false, true]);
    for (dual, running) in dual.into_iter().flat_map(|d| tracked.map(|t| (d, t))) {
        let case = |lambda, own_rows, seed| {
            let norms = Norms { dual, tracked: running };
            Box::new(BatchNormMixCase { blocks: 88, norms, running, own_rows, lambda, seed })
        };
        for (i, lambda) in [0.0, 0.2, 0.5, 0.8, 1.0].into_iter().enumerate() {
            cases.push(case(lambda, i % 2 == 1, 350 + i as u64));
        }
    }
    let kept = Norms { dual: true, tracked: true };
    cases.push(Box::new(BatchNormMixCase { blocks: 3, norms: kept, running: false, own_rows: false, lambda: 0.3, seed: 360 }));
    for (cumulative, step) in [(false, 0), (false, 3), (true, 0), (true, 9)] {
        cases.push(Box::new(RunningStatisticsCase { blocks: 88, cumulative, step, seed: 370 }));
    }
    cases
}

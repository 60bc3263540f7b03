//! Cases of batch norm: statistics and both directions, mixes, running statistics.

use super::max_pool::pool2d;
use super::{Case, Cases, LANES, Noise, ROWS, Trial, Want, all_wanted, image, lanes_with_norms, rounded, valid};
use crate::kernels::batch_norm::mix::{self, BatchNormMix};
use crate::kernels::batch_norm::running_statistics::{MOMENTUM, RunningStatistics};
use crate::kernels::batch_norm::{BatchNorm, NormPlace, backward::Gradients};
use crate::kernels::{EPSILON, ImageLayout, LaneTables};
use crate::net::{Branch, NormRow, Norms, Shape};
use kernels_tests::batch_norm::{self as twin, Normalization, Statistics};
use kernels_tests::max_pool::{max_pool_backward, max_pool_forward};
use kernels_tests::shape::{self, Pool2d};

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

    fn fill(&self, t: &mut Trial) {
        let (batch, blocks, size) = (self.batch, self.shape.channels.div_ceil(4), self.size());
        let z_layout = self.layout(self.shape, 1);
        let pooled = Shape { height: self.shape.height / self.pool, width: self.shape.width / self.pool, ..self.shape };
        let y_layout = self.layout(pooled, 2);
        // The moments are of more layers than this.
        let place = NormPlace { stride: 2 * blocks + 3, weight: 1, bias: blocks + 2, blocks: blocks + 3, first: 2 };
        let layers = self.layers(z_layout, &mut t.noise);
        let tables = t.tables(batch);
        let z = t.store("z", batch, z_layout, layers.iter().map(|l| &l.z));
        let parameters = t.values("parameters", &layers.iter().flat_map(|l| l.parameters(&place)).collect::<Vec<_>>());
        // A single value a channel has no spread but its rounding.
        let of_lanes = layers.iter().map(|l| (l.statistics.clone(), l.shape.valid * l.shape.pixels, size));
        let want_moments = moments(&place, of_lanes, |size, deviation| size * deviation);
        let moments = if self.running {
            let given = |(i, want): (usize, &Want)| match *want {
                Want::Near(value, _) if i / 4 % 3 < 2 => value,
                _ => f64::NAN,
            };
            t.values("moments", &want_moments.iter().enumerate().map(given).collect::<Vec<_>>())
        } else {
            t.output("moments", want_moments)
        };
        let (relu, pool, running) = (self.relu, self.pool, self.running);
        let norm = BatchNorm { batch: batch as u32, z, parameters, moments, place, relu, pool, running };
        if !self.features && !self.running {
            t.dispatches.push(norm.statistics("case", tables));
        }
        if !self.backward || self.features {
            let out_pixels = (pooled.height * pooled.width) as usize;
            let want = layers.iter().map(|l| (l.maxima.clone(), l.spread(out_pixels).map(|d| size * d.max(1.0)).collect()));
            let y = t.result("y", batch, y_layout, want);
            t.dispatches.push(if self.features {
                norm.features_forward("case", tables, y.buffer)
            } else {
                norm.forward("case", tables, y)
            });
        }
        if self.backward {
            self.gradients(t, tables, norm, &layers, y_layout);
        }
    }
}

/// A lane's layer, as the twin has it.
struct Layer {
    shape: shape::BatchNorm,
    relu: bool,
    gamma: Vec<f64>,
    beta: Vec<f64>,
    z: Vec<f64>,
    statistics: Statistics,
    pool: Pool2d,
    /// Maxima of the normalised image, and their places.
    maxima: Vec<f64>,
    indices: Vec<u32>,
}

impl BatchNormCase {
    /// A layout with this border, but for features.
    fn layout(&self, shape: Shape, border: u32) -> ImageLayout {
        ImageLayout::new(shape, if self.features { 0 } else { border })
    }

    /// ‖x̂‖ is at most √m and its error grows with the mean over the deviation.
    fn size(&self) -> f64 {
        2.0 + f64::from(self.mean.abs())
    }

    fn gradients(&self, t: &mut Trial, tables: LaneTables, norm: BatchNorm, layers: &[Layer], y: ImageLayout) {
        let (place, size, scale) = (norm.place, self.size(), f64::from(self.scale));
        let (dy, gradients) = t.images("dy", self.batch, y);
        let (mut want_gradient, mut want_dz) = (Vec::new(), Vec::new());
        for (l, dy) in layers.iter().zip(&gradients) {
            let g = l.backward(dy, scale, self.running);
            let m = (l.shape.valid * l.shape.pixels) as f64;
            let near = |values: &[f64], size| values.iter().map(|v| Want::Near(*v, size)).collect::<Vec<_>>();
            // By given statistics, γ and β are not trained.
            let trained = [(place.weight, near(&g.dgamma, m * size)), (place.bias, near(&g.dbeta, m))];
            want_gradient.extend(in_row(place.stride, Want::Keep, trained.into_iter().filter(|_| !self.running)));
            want_dz.push((g.dz, l.spread(l.shape.pixels).map(|d| 6.0 * size * d * scale).collect()));
        }
        let gradient = t.output("gradient", want_gradient);
        let dz = self.layout(self.shape, 3);
        if self.features {
            t.expected.push((dy.buffer, all_wanted(dz, self.batch, want_dz.into_iter())));
            t.dispatches.push(norm.features_backward("case", tables, self.scale, dy.buffer, gradient));
        } else {
            let sums = t.scratch("sums", norm.sum_bytes() * LANES.len() as u64);
            let dz = t.result("dz", self.batch, dz, want_dz.into_iter());
            t.dispatches.extend(norm.backward("case", tables, self.scale, Gradients { dy, sums, gradient, dz }));
        }
    }

    /// Every lane's layer. Padded channels have zeros for γ and β.
    fn layers(&self, z: ImageLayout, noise: &mut Noise) -> Vec<Layer> {
        let (channels, real) = (z.blocks() as usize * 4, self.shape.channels as usize);
        let pixels = (self.shape.height * self.shape.width) as usize;
        let affine = LANES.map(|_| {
            let mut array = |offset: f64, factor: f64| {
                (0..channels).map(|c| if c < real { rounded(offset + factor * noise.value()) } else { 0.0 }).collect::<Vec<_>>()
            };
            (array(1.0, 0.5), array(0.0, 1.0))
        });
        // Rounded to f32 here, so that the twin sees what the kernel sees.
        let with_mean = |(i, x): (usize, f64)| rounded(x + if i / pixels % channels < real { f64::from(self.mean) } else { 0.0 });
        let z = valid(self.batch).map(|v| noise.images(v, z).into_iter().enumerate().map(with_mean).collect::<Vec<_>>());
        let mut layers = Vec::new();
        for (((gamma, beta), z), valid) in affine.into_iter().zip(z).zip(valid(self.batch)) {
            let shape = shape::BatchNorm { batch: valid, valid, channels, pixels };
            let mut statistics = twin::batch_norm_statistics(&shape, &z);
            if self.running {
                // Those of other data: a bit off, and never without spread.
                statistics.mean.iter_mut().for_each(|m| *m = rounded(*m + 0.25 * noise.value()));
                statistics.variance.iter_mut().for_each(|v| *v = (*v + 0.5) * (1.0 + 0.5 * noise.value()));
            }
            let pool = pool2d(self.shape, valid, self.pool, self.pool, 0);
            let mut layer = Layer { shape, relu: self.relu, gamma, beta, z, statistics, pool, maxima: vec![], indices: vec![] };
            let normalised = twin::batch_norm_forward(&shape, &layer.z, &layer.statistics, &layer.normalization());
            (layer.maxima, layer.indices) = max_pool_forward(&pool, &normalised);
            layers.push(layer);
        }
        layers
    }
}

impl Layer {
    fn normalization(&self) -> Normalization<'_> {
        Normalization { gamma: &self.gamma, beta: &self.beta, eps: f64::from(EPSILON), relu: self.relu }
    }

    /// γ and β in a row of parameters among NaN.
    fn parameters(&self, place: &NormPlace) -> Vec<f64> {
        in_row(place.stride, f64::NAN, [(place.weight, self.gamma.clone()), (place.bias, self.beta.clone())])
    }

    fn backward(&self, dy: &[f64], scale: f64, running: bool) -> twin::BatchNormGradients {
        let dy = max_pool_backward(&self.pool, dy, &self.indices);
        let twin = if running { twin::batch_norm_backward_running } else { twin::batch_norm_backward };
        twin(&self.shape, &dy, &self.z, &self.statistics, &self.normalization(), scale)
    }

    /// 1 / √(var + ε) of each value of an N·C·H·W tensor of so many pixels: what an error of z is multiplied by.
    fn spread(&self, pixels: usize) -> impl Iterator<Item = f64> {
        let variance = &self.statistics.variance;
        (0..self.shape.valid * variance.len() * pixels).map(move |i| deviation(variance[i / pixels % variance.len()]))
    }
}

/// 1 / √(var + ε)
fn deviation(variance: f64) -> f64 {
    1.0 / (variance + f64::from(EPSILON)).sqrt()
}

/// A row of `stride` vec4 with these values from their places on, in vec4.
fn in_row<T: Copy>(stride: u32, elsewhere: T, parts: impl IntoIterator<Item = (u32, Vec<T>)>) -> Vec<T> {
    let mut row = vec![elsewhere; stride as usize * 4];
    parts.into_iter().for_each(|(start, values)| row[start as usize * 4..][..values.len()].copy_from_slice(&values));
    row
}

/// `[lane][block of any layer]` of (mean ×4, deviation ×4, unbiased variance ×4) of lanes' statistics, each with the number of values of a
/// channel and their size; `deviation_size(size, deviation)` is that of a deviation.
pub(super) fn moments(
    place: &NormPlace,
    lanes: impl Iterator<Item = (Statistics, usize, f64)>,
    deviation_size: impl Fn(f64, f64) -> f64,
) -> Vec<Want> {
    let of_lane = |(s, values, size): (Statistics, usize, f64)| {
        let unbiased = values as f64 / (values as f64 - 1.0).max(1.0);
        let mut row = vec![Want::Keep; place.moment_bytes() as usize / 4];
        for (c, (mean, variance)) in s.mean.iter().zip(&s.variance).enumerate() {
            let at = (place.first as usize + c / 4) * 12 + c % 4;
            let deviation = deviation(*variance);
            row[at] = Want::Near(*mean, size);
            row[at + 4] = Want::Near(deviation, deviation_size(size, deviation));
            row[at + 8] = Want::Near(variance * unbiased, size * size);
        }
        row
    };
    lanes.flat_map(of_lane).collect()
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
}

impl Case for BatchNormMixCase {
    fn op(&self) -> &'static str {
        "batch_norm_mix"
    }

    fn fill(&self, t: &mut Trial) {
        let row = NormRow { blocks: self.blocks, norms: self.norms };
        let (stride, start) = (row.len() + 3, 2);
        let channels = self.blocks as usize * 4;
        let kernel = BatchNormMix { row, stride, start, own_rows: self.own_rows, running: self.running, lambda: self.lambda };
        // Rows of batch norms in another order than those of parameters.
        let table = lanes_with_norms([1, 3, 0, 2]);
        let (mut words, mut rows) = (Vec::new(), Vec::new());
        for _ in 0..ROWS {
            let (mut parts, mut norms) = (Vec::new(), Vec::new());
            for branch in [Branch::Clean, Branch::Adversarial].into_iter().take(if self.norms.dual { 2 } else { 1 }) {
                let mut array = |at: u32, offset: f64| {
                    let values: Vec<f64> = (0..channels).map(|_| rounded(offset + t.noise.value())).collect();
                    parts.push((start + at, values.clone()));
                    values
                };
                let affine = row.affine(branch);
                let (gamma, beta) = (array(affine, 0.0), array(affine + row.blocks, 0.0));
                let tracked = self.norms.tracked.then(|| {
                    let at = row.running(branch);
                    Statistics { mean: array(at, 0.0), variance: array(at + row.blocks, 1.5) }
                });
                // By batch statistics x̂ is given: mean 0, deviation 1.
                let given = Statistics { mean: vec![0.0; channels], variance: vec![1.0 - f64::from(EPSILON); channels] };
                norms.push((gamma, beta, tracked.filter(|_| self.running).unwrap_or(given)));
            }
            words.extend(in_row(stride, f64::NAN, parts));
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
            let m = twin::batch_norm_mix(of(0), of(1), lambda);
            want_mixed.extend(m.weight.iter().map(|v| Want::Near(*v, 4.0)));
            want_mixed.extend(m.bias.iter().map(|v| Want::Near(*v, 8.0)));
            for (mean, deviation) in m.mean.chunks_exact(4).zip(m.deviation.chunks_exact(4)) {
                let record = mean.iter().chain(deviation).map(|v| if self.running { Want::Near(*v, 2.0) } else { Want::Keep });
                want_moments.extend(record.chain([Want::Keep; 4]));
            }
        }
        let b = mix::Buffers {
            lanes: t.words("lanes", table),
            source: t.values("source", &words),
            mixed: t.output("mixed", want_mixed),
            moments: t.output("moments", want_moments),
        };
        t.dispatches.push(kernel.dispatch("case", b));
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
}

impl Case for RunningStatisticsCase {
    fn op(&self) -> &'static str {
        "running_statistics"
    }

    fn fill(&self, t: &mut Trial) {
        let channels = self.blocks as usize * 4;
        let (stride, mean) = (2 * self.blocks + 3, 2);
        let momentum = (!self.cumulative).then_some(MOMENTUM);
        let (mut rows, mut moments, mut want) = (Vec::new(), Vec::new(), Vec::new());
        for _ in LANES {
            let (before, batch) = (t.noise.values(2 * channels), t.noise.values(2 * channels));
            let after = twin::running_statistics(&before, &batch, momentum.map(f64::from), self.step);
            rows.extend(in_row(stride, f64::NAN, [(mean, before)]));
            want.extend(in_row(stride, Want::Keep, [(mean, after.into_iter().map(|v| Want::Near(v, 2.0)).collect())]));
            let (means, variances) = batch.split_at(channels);
            for (mean, variance) in means.chunks_exact(4).zip(variances.chunks_exact(4)) {
                moments.extend([mean, &[f64::NAN; 4], variance].concat());
            }
        }
        let rows = t.changed("rows", &rows, want);
        let moments = t.values("moments", &moments);
        let kernel = RunningStatistics { blocks: self.blocks, stride, mean, momentum };
        t.dispatches.push(kernel.dispatch("case", moments, rows));
        t.active.step = self.step;
    }
}

pub(super) fn standard(cases: &mut Cases) {
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
    for (seed, (batch, shape, relu, pool, mean, scale)) in (200..).zip(norms) {
        for (backward, running) in [(false, false), (true, false), (false, true), (true, true)] {
            let case = BatchNormCase { backward, batch, shape, relu, pool, features: false, mean, scale, running };
            cases.add(seed, case);
            if (shape.height, shape.width) == (1, 1) {
                cases.add(seed, BatchNormCase { features: true, ..case });
            }
        }
    }
    for (dual, tracked) in [(false, false), (false, true), (true, false), (true, true)] {
        let norms = Norms { dual, tracked };
        for (seed, lambda) in (350..).zip([0.0, 0.2, 0.5, 0.8, 1.0]) {
            cases.add(seed, BatchNormMixCase { blocks: 88, norms, running: tracked, own_rows: seed % 2 == 1, lambda });
        }
    }
    let norms = Norms { dual: true, tracked: true };
    cases.add(360, BatchNormMixCase { blocks: 3, norms, running: false, own_rows: false, lambda: 0.3 });
    for (cumulative, step) in [(false, 0), (false, 3), (true, 0), (true, 9)] {
        cases.add(370, RunningStatisticsCase { blocks: 88, cumulative, step });
    }
}

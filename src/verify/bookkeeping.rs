//! Cases of everything round the layers: gathering, loss, optimiser, download, average and mixing.

use super::{Case, LANES, Noise, ROWS, SLOTS, Trial, Want, batch_sizes, lane_table, place, size_table, stored, wanted};
use crate::gpu::Active;
use crate::kernels::adam::{self, Adam};
use crate::kernels::attack::{AttackImages, By};
use crate::kernels::copy_bases::{self, CopyBases};
use crate::kernels::corner::{self, Corner, NONE};
use crate::kernels::ensemble::{self, gradient::EnsembleGradient, mean::EnsembleMean};
use crate::kernels::gather_images::{self, Augment, GatherImages};
use crate::kernels::linear::Linear;
use crate::kernels::proximal::{self, Proximal};
use crate::kernels::sgd::{self, Sgd};
use crate::kernels::softmax_cross_entropy::{self, SoftmaxCrossEntropy};
use crate::kernels::weighted_average::{self, WeightedAverage, members};
use crate::kernels::{ImageLayout, Over, ParameterPlace, Tuning};
use crate::net::Shape;
use kernels_tests::attack;
use kernels_tests::linear::linear_forward;
use kernels_tests::shape;
use kernels_tests::softmax_cross_entropy::{class_presence, softmax_cross_entropy as softmax_twin};

/// Gathering a mini-batch from two chunks of images.
#[derive(Debug, Clone, Copy)]
pub struct GatherCase {
    /// Capacity of a mini-batch.
    pub batch: usize,
    /// Shape of an image, at most four channels.
    pub shape: Shape,
    /// Images in the set; the second chunk starts at the first multiple of four past the middle.
    pub images: u32,
    /// Local step whose row of the schedule is read.
    pub step: u32,
    /// Changes to every image.
    pub augment: Option<Augment>,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for GatherCase {
    fn op(&self) -> &'static str {
        if self.augment.is_some() { "gather_images, augmented" } else { "gather_images" }
    }

    fn shape(&self) -> String {
        let s = self.shape;
        let changes = self
            .augment
            .map_or(String::new(), |a| format!(", padding {}, {}rotation {}°", a.padding, if a.flip { "flip, " } else { "" }, a.rotation));
        format!("{}×{}×{}×{} of {} images, step {}{changes}", self.batch, s.channels, s.height, s.width, self.images, self.step)
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let (batch, each) = (self.batch, self.shape.len() as usize);
        let layout = ImageLayout::new(self.shape, 2);
        let bytes: Vec<u8> = (0..self.images as usize * each).map(|_| noise.below(256) as u8).collect();
        let labels: Vec<u32> = (0..self.images).map(|_| noise.below(10)).collect();
        let chunk = (self.images / 2).max(1).next_multiple_of(4);
        let (head, tail) = bytes.split_at((chunk.min(self.images) as usize) * each);
        let mut pack = |label: &str, bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes.resize(bytes.len().next_multiple_of(4).max(4), 0xff);
            t.words(label, bytemuck::pod_collect_to_vec(&bytes))
        };
        let images = [pack("images 0", head), pack("images 1", tail)];
        let valid = batch_sizes(batch);
        let mut schedule = vec![u32::MAX; (self.step as usize + 1) * SLOTS * (1 + batch)];
        let mut want = vec![Want::Keep; SLOTS * layout.bytes(batch as u32) as usize / 4];
        let mut want_labels = vec![Want::Keep; SLOTS * batch];
        for slot in 0..SLOTS {
            let row = (self.step as usize * SLOTS + slot) * (1 + batch);
            schedule[row] = valid[slot] as u32;
            let indices: Vec<u32> = (0..valid[slot]).map(|_| noise.below(self.images)).collect();
            schedule[row + 1..row + 1 + indices.len()].copy_from_slice(&indices);
            let image = shape::Image {
                channels: self.shape.channels as usize,
                height: self.shape.height as usize,
                width: self.shape.width as usize,
            };
            let (mut x, batch_labels) = kernels_tests::gather_images::gather_images(&image, &bytes, &labels, &indices, valid[slot]);
            if let Some(a) = self.augment {
                let (rotation, round) = (f64::from(a.rotation), 0);
                let twin = kernels_tests::gather_images::Augment {
                    padding: a.padding,
                    flip: a.flip,
                    rotation,
                    seed: a.seed,
                    round,
                    step: self.step,
                };
                for (own, index) in x.chunks_exact_mut(image.len()).zip(&indices) {
                    let changed = kernels_tests::gather_images::augment(&image, own, &twin.draw(*index));
                    own.copy_from_slice(&changed);
                }
            }
            let start = slot * layout.bytes(batch as u32) as usize / 4;
            for n in 0..valid[slot] {
                want_labels[slot * batch + n] = Want::Bits(batch_labels[n]);
                for y in 0..image.height {
                    for column in 0..image.width {
                        for c in 0..4 {
                            let from = ((n * image.channels + c) * image.height + y) * image.width + column;
                            let value = if c < image.channels { x[from] } else { 0.0 };
                            want[start + place(layout, n, c, y, column)] = Want::Near(value, 0.0);
                        }
                    }
                }
            }
        }
        let b = gather_images::Buffers {
            schedule: t.words("schedule", schedule),
            images,
            labels: t.words("labels", labels),
            input: t.output("input", want),
            batch_labels: t.output("batch labels", want_labels),
            batch_sizes: t.output("batch sizes", valid.iter().map(|v| Want::Bits(*v as u32)).collect()),
        };
        let kernel = GatherImages {
            batch: batch as u32,
            slot_capacity: SLOTS as u32,
            images_per_chunk: chunk,
            input: layout,
            augment: self.augment,
        };
        t.dispatches = vec![kernel.dispatch("case", b)];
        t.active = Some(Active { lanes: 0, slots: SLOTS as u32, step: self.step });
        t
    }
}

/// Labels of every slot; those past the batch size name a class all the same.
fn labels(noise: &mut Noise, batch: usize, classes: usize) -> Vec<u32> {
    (0..SLOTS * batch).map(|_| noise.below(classes as u32)).collect()
}

/// Rows of logits as stored, those past `valid` and the padding all NaN.
fn rows_of_logits(values: &[f64], batch: usize, valid: usize, classes: usize) -> Vec<f32> {
    let row = classes.next_multiple_of(4);
    let mut out = vec![f32::NAN; batch * row];
    for n in 0..valid {
        for c in 0..classes {
            out[n * row + c] = values[n * classes + c] as f32;
        }
    }
    out
}

/// Logits of several bases, one after the other, as stored. Padded classes hold zeros, as a linear layer leaves them.
fn logits_of_bases(values: &[f64], batch: usize, valid: usize, classes: usize) -> Vec<f32> {
    let row = classes.next_multiple_of(4);
    let padded = |(i, v): (usize, f32)| if i / row < valid && i % row >= classes { 0.0 } else { v };
    let of_base = |own| rows_of_logits(own, batch, valid, classes).into_iter().enumerate().map(padded).collect::<Vec<_>>();
    values.chunks_exact(valid * classes).flat_map(of_base).collect()
}

/// The classifier, its loss, the gradient and the counters.
#[derive(Debug, Clone, Copy)]
pub struct LossCase {
    /// Capacity of a mini-batch.
    pub batch: usize,
    /// Features that the classifier is given.
    pub in_features: usize,
    /// Number of classes.
    pub classes: usize,
    /// Whether classes absent from the batch are masked.
    pub masked: bool,
    /// Gradient of the summed loss and not of the mean.
    pub summed: bool,
    /// Share of the loss in a sum of several.
    pub share: f32,
    /// Size of the weights: large logits must not overflow.
    pub size: f32,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for LossCase {
    fn op(&self) -> &'static str {
        "softmax_cross_entropy"
    }

    fn shape(&self) -> String {
        format!(
            "{} × {} features, {} classes, weights to ±{}{}{}",
            self.batch,
            self.in_features,
            self.classes,
            self.size,
            if self.masked { ", masked" } else { "" },
            if self.summed { ", summed" } else { "" }
        ) + &if self.share == 1.0 { String::new() } else { format!(", share {}", self.share) }
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let (batch, classes, row) = (self.batch, self.classes, self.classes.next_multiple_of(4));
        let (features, in_row) = (self.in_features, self.in_features.next_multiple_of(4));
        let labels = labels(&mut noise, batch, classes);
        let valid = batch_sizes(batch);
        // One row of parameters for every row of the table: weights [i][o], then the bias, among NaN.
        let blocks = (row / 4) as u32;
        let place = ParameterPlace { stride: (in_row as u32 + 1) * blocks + 2, weight: 1, bias: Some(1 + in_row as u32 * blocks) };
        let stride = place.stride as usize * 4;
        let mut words = vec![f32::NAN; ROWS * stride];
        let mut layers = Vec::new();
        for r in 0..ROWS {
            words[r * stride + 4..][..(in_row + 1) * row].fill(0.0);
            let weight: Vec<f64> = (0..classes * features).map(|_| f64::from((noise.value() * f64::from(self.size)) as f32)).collect();
            let bias: Vec<f64> = (0..classes).map(|_| noise.value()).collect();
            for c in 0..classes {
                for i in 0..features {
                    words[r * stride + 4 + i * row + c] = weight[c * features + i] as f32;
                }
                words[r * stride + 4 + in_row * row + c] = bias[c] as f32;
            }
            layers.push((weight, bias));
        }
        let mut stored = Vec::new();
        let mut want_logits = Vec::new();
        let mut want_gradient = Vec::new();
        let mut want_totals = Vec::new();
        let mut initial_totals = Vec::new();
        for (l, lane) in LANES.iter().enumerate() {
            let s = lane[0] as usize;
            let (weight, bias) = &layers[lane[1] as usize];
            let input: Vec<f64> = noise.values(valid[s] * features);
            let shape = shape::Linear { batch: valid[s], in_features: features, out_features: classes };
            let logits = linear_forward(&shape, &input, weight, bias, 1.0);
            let absolute = |v: &[f64]| v.iter().map(|v| v.abs()).collect::<Vec<_>>();
            let sizes = linear_forward(&shape, &absolute(&input), &absolute(weight), &absolute(bias), 1.0);
            let size = sizes.iter().copied().fold(1.0, f64::max);
            let own = &labels[s * batch..s * batch + valid[s]];
            let multiplier = class_presence(own, valid[s], classes, self.masked);
            let twin = softmax_twin(&shape::Logits { batch: valid[s], valid: valid[s], classes }, &logits, own, &multiplier);
            let mut rows = vec![f32::NAN; batch * in_row];
            let (mut lane_logits, mut gradient) = (vec![Want::Keep; batch * row], vec![Want::Keep; batch * row]);
            let count = if self.summed { valid[s] as f64 } else { 1.0 } * f64::from(self.share);
            for n in 0..valid[s] {
                rows[n * in_row..][..in_row].fill(0.0);
                for i in 0..features {
                    rows[n * in_row + i] = input[n * features + i] as f32;
                }
                for c in 0..row {
                    let at = n * classes + c;
                    let (logit, g) = if c < classes { (logits[at], twin.dlogits[at] * count) } else { (0.0, 0.0) };
                    lane_logits[n * row + c] = Want::Near(logit, size);
                    gradient[n * row + c] = Want::Near(g, (1.0 + size) * count.max(0.1) / valid[s] as f64);
                }
            }
            stored.extend(rows);
            want_logits.extend(lane_logits);
            want_gradient.extend(gradient);
            // The counters are added to.
            let before = [1.5f32.to_bits(), 7, 11 + l as u32, 2];
            let correct = twin.correct.iter().filter(|c| **c).count() as u32;
            let loss: f64 = twin.loss.iter().sum();
            want_totals.push(Want::Near(1.5 + loss, (2.0 * size + 1.0) * valid[s] as f64));
            want_totals.extend([before[1] + correct, before[2] + valid[s] as u32, before[3] + 1].map(Want::Bits));
            initial_totals.extend(before);
        }
        let totals = t.words("totals", initial_totals);
        t.expect(totals, want_totals);
        let b = softmax_cross_entropy::Buffers {
            lanes: t.words("lanes", lane_table()),
            batch_sizes: t.words("batch sizes", size_table(batch)),
            input: t.values("input", &stored),
            parameters: t.values("parameters", &words),
            batch_labels: t.words("batch labels", labels),
            logits: t.output("logits", want_logits),
            dlogits: t.output("dlogits", want_gradient),
            totals,
        };
        let linear = Linear { batch: batch as u32, in_blocks: in_row as u32 / 4, out_blocks: blocks, place };
        let kernel = SoftmaxCrossEntropy { linear, classes: classes as u32, masked: self.masked, summed: self.summed, share: self.share };
        t.dispatches = vec![kernel.dispatch("case", b)];
        t
    }
}

/// Steps of SGD with momentum and weight decay.
#[derive(Debug, Clone, Copy)]
pub struct SgdCase {
    /// vec4 of a lane.
    pub length: u32,
    /// Start and length of a range to leave alone.
    pub skip: (u32, u32),
    /// Add the gradient of a second loss.
    pub two: bool,
    /// Steps on the same gradient.
    pub steps: usize,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for SgdCase {
    fn op(&self) -> &'static str {
        if self.two { "sgd, two losses" } else { "sgd" }
    }

    fn shape(&self) -> String {
        let skipped = if self.skip.1 > 0 { format!(" but {:?}", self.skip) } else { String::new() };
        format!("{} parameters{skipped}, {} steps", self.length * 4, self.steps)
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        // A row ends in what is not trained.
        let stride = self.length + 3;
        let n = LANES.len() * stride as usize * 4;
        let (theta, g, buf) = (noise.values(n), noise.values(n), noise.values(n));
        let second = noise.values(n);
        let whole: Vec<f64> = g.iter().zip(&second).map(|(a, b)| if self.two { a + b } else { *a }).collect();
        let settings = kernels_tests::sgd::Sgd { learning_rate: 0.125, momentum: 0.875, weight_decay: 0.03125 };
        let (mut theta_after, mut buf_after) = (theta.clone(), buf.clone());
        for _ in 0..self.steps {
            kernels_tests::sgd::sgd(&settings, &mut theta_after, &mut buf_after, &whole);
        }
        let f32s = |v: &[f64]| v.iter().map(|v| *v as f32).collect::<Vec<_>>();
        let (start, count) = self.skip;
        let skipped = |i: usize| {
            let place = i as u32 / 4 % stride;
            (start..start + count).contains(&place) || place >= self.length
        };
        let near = |v: &[f64]| {
            let one = |(i, v): (usize, &f64)| if skipped(i) { Want::Keep } else { Want::Near(*v, 4.0) };
            v.iter().enumerate().map(one).collect::<Vec<_>>()
        };
        let b = sgd::Buffers {
            gradient: t.values("gradient", &f32s(&g)),
            other: self.two.then(|| t.values("other gradient", &f32s(&second))),
            momentum: t.values("momentum", &f32s(&buf)),
            parameters: t.values("parameters", &f32s(&theta)),
        };
        t.expect(b.parameters, near(&theta_after));
        t.expect(b.momentum, near(&buf_after));
        t.expect(b.gradient, vec![Want::Keep; n]);
        let kernel = Sgd { length: self.length, stride, skip: self.skip, learning_rate: 0.125, momentum: 0.875, weight_decay: 0.03125 };
        t.dispatches = vec![kernel.dispatch("case", b); self.steps];
        t
    }
}

/// Adam's steps.
#[derive(Debug, Clone, Copy)]
pub struct AdamCase {
    /// vec4 of a lane that are trained.
    pub length: u32,
    /// Add the gradient of a second loss.
    pub two: bool,
    /// The step, from 0; at 0 the means before count as 0.
    pub step: u32,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for AdamCase {
    fn op(&self) -> &'static str {
        if self.two { "adam, two losses" } else { "adam" }
    }

    fn shape(&self) -> String {
        format!("{} parameters, step {}", self.length * 4, self.step)
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let stride = self.length + 3;
        let n = LANES.len() * stride as usize * 4;
        let (theta, mean, g, second) = (noise.values(n), noise.values(n), noise.values(n), noise.values(n));
        // Not near 0, where the root would magnify rounding.
        let square: Vec<f64> = noise.values(n).into_iter().map(|v| 1.25 + v).collect();
        let whole: Vec<f64> = g.iter().zip(&second).map(|(a, b)| if self.two { a + b } else { *a }).collect();
        let (learning_rate, weight_decay) = (0.125, 0.03125);
        let settings = kernels_tests::adam::Adam { learning_rate, first: 0.9, second: 0.999, epsilon: 1e-8, weight_decay };
        let (mut theta_after, mut mean_after, mut square_after) = (theta.clone(), mean.clone(), square.clone());
        kernels_tests::adam::adam(&settings, self.step, &mut theta_after, &mut mean_after, &mut square_after, &whole);
        let f32s = |v: &[f64]| v.iter().map(|v| *v as f32).collect::<Vec<_>>();
        let near = |v: &[f64]| {
            let one = |(i, v): (usize, &f64)| if i as u32 / 4 % stride < self.length { Want::Near(*v, 4.0) } else { Want::Keep };
            v.iter().enumerate().map(one).collect::<Vec<_>>()
        };
        let b = adam::Buffers {
            gradient: t.values("gradient", &f32s(&g)),
            other: self.two.then(|| t.values("other gradient", &f32s(&second))),
            corrections: t.values("corrections", &Adam::corrections(self.step + 1).concat()),
            mean: t.values("mean", &f32s(&mean)),
            square: t.values("square", &f32s(&square)),
            parameters: t.values("parameters", &f32s(&theta)),
        };
        t.expect(b.parameters, near(&theta_after));
        t.expect(b.mean, near(&mean_after));
        t.expect(b.square, near(&square_after));
        let kernel = Adam { length: self.length, stride, learning_rate: learning_rate as f32, weight_decay: weight_decay as f32 };
        t.dispatches = vec![kernel.dispatch("case", b)];
        t.active = Some(Active { lanes: LANES.len() as u32, slots: SLOTS as u32, step: self.step });
        t
    }
}

/// FedProx's proximal term.
#[derive(Debug, Clone, Copy)]
pub struct ProximalCase {
    /// vec4 of a lane that the term is on.
    pub length: u32,
    /// Its weight.
    pub mu: f32,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for ProximalCase {
    fn op(&self) -> &'static str {
        "proximal"
    }

    fn shape(&self) -> String {
        format!("{} parameters, μ {}", self.length * 4, self.mu)
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let row = (self.length as usize + 3) * 4;
        let (server, theta, g) = (noise.values(3 * row), noise.values(LANES.len() * row), noise.values(LANES.len() * row));
        let f32s = |v: &[f64]| v.iter().map(|v| *v as f32).collect::<Vec<_>>();
        let mut want = Vec::new();
        for (lane, base) in LANES.iter().map(|l| l[2] as usize).enumerate() {
            let own = |v: &[f64]| v[lane * row..][..row].to_vec();
            let after = kernels_tests::proximal::proximal(f64::from(self.mu), &own(&theta), &server[base * row..][..row], &own(&g));
            let reached = self.length as usize * 4;
            want.extend(after.into_iter().enumerate().map(|(i, v)| if i < reached { Want::Near(v, 4.0) } else { Want::Keep }));
        }
        let b = proximal::Buffers {
            lanes: t.words("lanes", lane_table()),
            server: t.values("server", &f32s(&server)),
            parameters: t.values("parameters", &f32s(&theta)),
            gradient: t.values("gradient", &f32s(&g)),
        };
        t.expect(b.gradient, want);
        t.dispatches = vec![Proximal { length: self.length, stride: row as u32 / 4, mu: self.mu }.dispatch("case", b)];
        t
    }
}

/// Lanes downloading their bases.
#[derive(Debug, Clone, Copy)]
pub struct CopyCase {
    /// vec4 of a base.
    pub length: u32,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for CopyCase {
    fn op(&self) -> &'static str {
        "copy_bases"
    }

    fn shape(&self) -> String {
        format!("{} parameters", self.length * 4)
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let server = noise.values(3 * self.length as usize * 4);
        let bases: Vec<u32> = LANES.iter().map(|l| l[2]).collect();
        let want = kernels_tests::copy_bases::copy_bases(3, &server, &bases);
        let b = copy_bases::Buffers {
            lanes: t.words("lanes", lane_table()),
            server: t.values("server", &server.iter().map(|v| *v as f32).collect::<Vec<_>>()),
            parameters: t.output("parameters", want.iter().map(|v| Want::Bits((*v as f32).to_bits())).collect()),
            momentum: t.output("momentum", vec![Want::Bits(0); want.len()]),
        };
        t.dispatches = vec![CopyBases { length: self.length }.dispatch("case", b)];
        t
    }
}

/// The weighted average of a round in two waves; one base has no lane.
#[derive(Debug, Clone, Copy)]
pub struct AverageCase {
    /// vec4 of a base.
    pub length: u32,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for AverageCase {
    fn op(&self) -> &'static str {
        "weighted_average"
    }

    fn shape(&self) -> String {
        format!("{} parameters, 4 lanes of 3 bases, a wave on top of another", self.length * 4)
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        // A row ends in what is not averaged.
        let stride = self.length + 2;
        let row = stride as usize * 4;
        let averaged = |i: usize| i % row < self.length as usize * 4;
        // Base 1 has no lane in this wave. What earlier waves have summed is added to.
        let lanes = [(2u32, 0.5f32), (0, 0.25), (2, 0.125), (0, 0.75)];
        let parameters = noise.values(lanes.len() * row);
        let before = noise.values(3 * row);
        let mut after = before.clone();
        for (lane, (base, weight)) in lanes.iter().enumerate() {
            for i in 0..row {
                after[*base as usize * row + i] += f64::from(*weight) * parameters[lane * row + i];
            }
        }
        let kernel = WeightedAverage { length: self.length, stride, bases: 3, lane_capacity: 6 };
        let mut table = members(3, &lanes);
        table.resize(kernel.member_bytes() as usize / 4, u32::MAX);
        let b = weighted_average::Buffers {
            members: t.words("members", table),
            parameters: t.values("parameters", &parameters.iter().map(|v| *v as f32).collect::<Vec<_>>()),
            average: t.values("average", &before.iter().map(|v| *v as f32).collect::<Vec<_>>()),
        };
        t.expect(b.average, after.iter().enumerate().map(|(i, v)| if averaged(i) { Want::Near(*v, 2.0) } else { Want::Keep }).collect());
        t.dispatches = vec![kernel.dispatch("case", b)];
        t
    }
}

/// What is done with corners.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CornerStep {
    /// Taken out of wide rows.
    Take,
    /// Added to wide rows.
    Add,
    /// Added by weight to sums, and the weights to masses.
    Merge,
    /// Sums over masses.
    Settle,
}

/// Corners of three rows that are matrices; narrow rows end in padding.
#[derive(Debug, Clone, Copy)]
pub struct CornerCase {
    /// What is done.
    pub step: CornerStep,
    /// Shape of a wide row, of a multiple of four values.
    pub wide: [usize; 2],
    /// Shape of its corner.
    pub narrow: [usize; 2],
    /// Seed of the data.
    pub seed: u64,
}

impl Case for CornerCase {
    fn op(&self) -> &'static str {
        match self.step {
            CornerStep::Take => "corner, take",
            CornerStep::Add => "corner, add",
            CornerStep::Merge => "corner, merge",
            CornerStep::Settle => "corner, settle",
        }
    }

    fn shape(&self) -> String {
        format!("{}×{} of {}×{}", self.narrow[0], self.narrow[1], self.wide[0], self.wide[1])
    }

    fn trial(&self, _: Tuning) -> Trial {
        const BASES: usize = 3;
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let wide = self.wide[0] * self.wide[1];
        let held = kernels_tests::corner::corner_places(&self.wide, &self.narrow);
        let narrow = held.len().next_multiple_of(4) + 4;
        let mut table: Vec<u32> = held.iter().map(|i| *i as u32).collect();
        table.resize(narrow, NONE);
        let (rows, corners) = (noise.values(BASES * wide), noise.values(BASES * narrow));
        let masses: Vec<f64> = (0..BASES * wide).map(|_| f64::from(noise.below(3)) * 0.5).collect();
        let weights = [0.5, 0.0, 0.125];
        let f32s = |v: &[f64]| v.iter().map(|v| *v as f32).collect::<Vec<_>>();
        let kernel = Corner { narrow: narrow as u32 / 4, wide: wide as u32 / 4, over: Over::Fixed(BASES as u32) };
        // What happens to each value of the wide rows that its corner holds; the others stay, as does a row merged with weight 0.
        let of_wide = |f: &dyn Fn(usize, f64, f64) -> f64, before: &[f64]| {
            let mut want = vec![Want::Keep; BASES * wide];
            for base in (0..BASES).filter(|base| self.step != CornerStep::Merge || weights[*base] != 0.0) {
                for (i, place) in held.iter().enumerate() {
                    let at = base * wide + place;
                    want[at] = Want::Near(f(base, before[at], corners[base * narrow + i]), 2.0);
                }
            }
            want
        };
        t.dispatches = vec![match self.step {
            CornerStep::Take => {
                let own = |base: usize| kernels_tests::corner::take_corner(&self.wide, &self.narrow, &rows[base * wide..][..wide]);
                let padded = |base| own(base).into_iter().chain(vec![0.0; narrow - held.len()]).map(|v| Want::Bits((v as f32).to_bits()));
                let want = (0..BASES).flat_map(padded).collect();
                let (places, wide) = (t.words("places", table), t.values("wide", &f32s(&rows)));
                kernel.take("case", corner::Buffers { places, narrow: t.output("narrow", want), wide })
            }
            CornerStep::Add => {
                let (places, narrow) = (t.words("places", table), t.values("narrow", &f32s(&corners)));
                let wide = t.values("wide", &f32s(&rows));
                t.expect(wide, of_wide(&|_, before, own| before + own, &rows));
                kernel.add("case", corner::Buffers { places, narrow, wide })
            }
            CornerStep::Merge => {
                let (places, narrow) = (t.words("places", table), t.values("narrow", &f32s(&corners)));
                let (sum, mass) = (t.values("sum", &f32s(&rows)), t.values("mass", &f32s(&masses)));
                t.expect(sum, of_wide(&|base, before, own| before + weights[base] * own, &rows));
                t.expect(mass, of_wide(&|base, before, _| before + weights[base], &masses));
                let weights = t.values("weights", &f32s(&weights));
                kernel.merge("case", corner::MergeBuffers { places, narrow, weights, sum, mass })
            }
            CornerStep::Settle => {
                let before = noise.values(BASES * wide);
                let mean = |(sum, mass): (&f64, &f64)| if *mass > 0.0 { Want::Near(sum / mass, 2.0) } else { Want::Keep };
                let want = rows.iter().zip(&masses).map(mean).collect();
                let (sum, mass) = (t.values("sum", &f32s(&rows)), t.values("mass", &f32s(&masses)));
                let parameters = t.values("parameters", &f32s(&before));
                t.expect(parameters, want);
                kernel.settle("case", corner::SettleBuffers { sum, mass, parameters })
            }
        }];
        t
    }
}

/// Mean logits of several widths, their losses and counters.
#[derive(Debug, Clone, Copy)]
pub struct EnsembleCase {
    /// Capacity of a mini-batch.
    pub batch: usize,
    /// Number of classes.
    pub classes: usize,
    /// Number of bases; all widths from one base to all are mixed, the widest first.
    pub bases: usize,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for EnsembleCase {
    fn op(&self) -> &'static str {
        "ensemble_mean"
    }

    fn shape(&self) -> String {
        format!("{} of {} classes, {} bases", self.batch, self.classes, self.bases)
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let (batch, classes, bases, row) = (self.batch, self.classes, self.bases, self.classes.next_multiple_of(4));
        let labels = labels(&mut noise, batch, classes);
        let valid = batch_sizes(batch);
        let widths: Vec<usize> = (1..=bases).rev().collect();
        let mut stored = Vec::new();
        let (mut want_mixed, mut want_outcomes, mut want_totals) = (Vec::new(), Vec::new(), Vec::new());
        for s in 0..SLOTS {
            let logits = noise.values(bases * valid[s] * classes);
            stored.extend(logits_of_bases(&logits, batch, valid[s], classes));
            let shape = shape::Logits { batch: valid[s], valid: valid[s], classes };
            let own = &labels[s * batch..s * batch + valid[s]];
            for mixed in kernels_tests::ensemble::ensemble_mean(&shape, &logits, own, &widths) {
                let mut out = vec![Want::Keep; batch * row];
                let mut outcomes = vec![Want::Keep; batch * 2];
                for n in 0..valid[s] {
                    for c in 0..row {
                        let value = if c < classes { mixed.logits[n * classes + c] } else { 0.0 };
                        out[n * row + c] = Want::Near(value, 1.0);
                    }
                    outcomes[2 * n] = Want::Near(mixed.loss[n], 4.0);
                    outcomes[2 * n + 1] = Want::Bits(f32::from(u8::from(mixed.correct[n])).to_bits());
                }
                want_mixed.extend(out);
                want_outcomes.extend(outcomes);
                let loss: f64 = mixed.loss.iter().sum();
                want_totals.push(Want::Near(loss, 4.0 * valid[s] as f64));
                let correct = mixed.correct.iter().filter(|c| **c).count() as u32;
                want_totals.extend([correct, valid[s] as u32, 0].map(Want::Bits));
            }
        }
        let b = ensemble::mean::Buffers {
            batch_sizes: t.words("batch sizes", size_table(batch)),
            logits: t.values("logits", &stored),
            batch_labels: t.words("batch labels", labels),
            widths: t.words("widths", widths.iter().map(|w| *w as u32).collect()),
            mixed: t.output("mixed", want_mixed),
            outcomes: t.output("outcomes", want_outcomes),
            totals: t.output("totals", want_totals),
        };
        let kernel = EnsembleMean { batch: batch as u32, classes: classes as u32, bases: bases as u32, widths: widths.len() as u32 };
        t.dispatches = kernel.dispatches("case", b).to_vec();
        t
    }
}

/// The gradient of an ensemble's loss with respect to its bases' logits.
#[derive(Debug, Clone, Copy)]
pub struct EnsembleGradientCase {
    /// Capacity of a batch.
    pub batch: usize,
    /// Number of classes.
    pub classes: usize,
    /// Bases mixed.
    pub bases: usize,
    /// Places from a label to the class meant.
    pub shift: u32,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for EnsembleGradientCase {
    fn op(&self) -> &'static str {
        "ensemble_gradient"
    }

    fn shape(&self) -> String {
        format!("{} of {} classes, {} bases, shift {}", self.batch, self.classes, self.bases, self.shift)
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let (batch, classes, bases, row) = (self.batch, self.classes, self.bases, self.classes.next_multiple_of(4));
        let labels = labels(&mut noise, batch, classes);
        let valid = batch_sizes(batch);
        let (mut stored, mut want) = (Vec::new(), Vec::new());
        for s in 0..SLOTS {
            let logits = noise.values(bases * valid[s] * classes);
            stored.extend(logits_of_bases(&logits, batch, valid[s], classes));
            let shape = shape::Logits { batch: valid[s], valid: valid[s], classes };
            let own = labels[s * batch..s * batch + valid[s]].iter().map(|l| (l + self.shift) % classes as u32).collect::<Vec<_>>();
            let gradient = kernels_tests::ensemble::ensemble_gradient(&shape, &logits, &own);
            for _ in 0..bases {
                let at = |i: usize| match (i / row, i % row) {
                    (n, _) if n >= valid[s] => Want::Keep,
                    (_, c) if c >= classes => Want::Near(0.0, 0.0),
                    (n, c) => Want::Near(gradient[n * classes + c], 4.0 / bases as f64),
                };
                want.extend((0..batch * row).map(at));
            }
        }
        let b = ensemble::gradient::Buffers {
            batch_sizes: t.words("batch sizes", size_table(batch)),
            logits: t.values("logits", &stored),
            batch_labels: t.words("batch labels", labels),
            dlogits: t.output("dlogits", want),
        };
        let kernel = EnsembleGradient { batch: batch as u32, classes: classes as u32, bases: bases as u32 };
        let mut dispatch = kernel.dispatch("case", b);
        dispatch.uniforms.set("shift", self.shift);
        t.dispatches = vec![dispatch];
        t
    }
}

/// Start or step of an attack on images.
#[derive(Debug, Clone, Copy)]
pub struct AttackCase {
    /// A step, not the start.
    pub step: bool,
    /// Capacity of a batch.
    pub batch: usize,
    /// Bases attacked together; 0: every lane attacks for itself.
    pub bases: usize,
    /// Shape of an image, of up to four channels.
    pub shape: Shape,
    /// Radius.
    pub epsilon: f32,
    /// Step size.
    pub alpha: f32,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for AttackCase {
    fn op(&self) -> &'static str {
        if self.step { "attack, step" } else { "attack, start" }
    }

    fn shape(&self) -> String {
        let s = self.shape;
        let who = if self.bases == 0 { "each lane".into() } else { format!("{} bases", self.bases) };
        format!("{}×({}×{}×{}), {who}, ε {}, α {}", self.batch, s.channels, s.height, s.width, self.epsilon, self.alpha)
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let batch = self.batch;
        let (images, gradient) = (ImageLayout::new(self.shape, 2), ImageLayout::new(self.shape, 1));
        let (channels, area) = (self.shape.channels as usize, (self.shape.height * self.shape.width) as usize);
        let (epsilon, alpha) = (f64::from(self.epsilon), f64::from(self.alpha));
        let (seed, round, local_step) = (self.seed as u32, 3, 1);
        let by = if self.bases == 0 { By::Lane } else { By::Slot { bases: self.bases as u32 } };
        // [step][slot][1 + batch], indices of images anywhere; and the clean images of each slot.
        let valid = batch_sizes(batch);
        let mut schedule = vec![u32::MAX; (local_step as usize + 1) * SLOTS * (1 + batch)];
        let row = |slot: usize| (local_step as usize * SLOTS + slot) * (1 + batch);
        let (mut clean, mut clean_words) = (Vec::new(), Vec::new());
        for (s, valid) in valid.into_iter().enumerate() {
            schedule[row(s)] = valid as u32;
            (0..valid).for_each(|n| schedule[row(s) + 1 + n] = (noise.value().abs() * 1e6) as u32);
            // Pixels in [0, 1], the padded channels 0.
            clean.push(noise.images(valid, images).iter().map(|v| f64::from(v.abs().min(1.0) as f32)).collect::<Vec<_>>());
            clean_words.extend(stored(images, batch, valid, &clean[s], 0, f32::NAN));
        }
        // Slot and base of whoever is attacked.
        let attackers: Vec<(usize, u32)> = match by {
            By::Slot { .. } => (0..SLOTS).map(|s| (s, attack::ENSEMBLE)).collect(),
            By::Lane => LANES.iter().map(|l| (l[0] as usize, l[2])).collect(),
        };
        let (mut attacked_words, mut dx_words, mut want, mut want_moved) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (slot, base) in attackers.iter().copied() {
            let (valid, clean) = (valid[slot], &clean[slot]);
            let key = attack::NoiseKey { seed, round, step: local_step, base };
            // Attacked ones lie anywhere in the ball.
            let inside = |(c, v): (&f64, f64)| f64::from(attack::clip(c + epsilon * v, *c, epsilon) as f32);
            let before: Vec<f64> = clean.iter().zip(noise.images(valid, images)).map(inside).collect();
            let mut gradients: Vec<Vec<f64>> = (0..self.bases.max(1)).map(|_| noise.images(valid, gradient)).collect();
            // Every other image has no gradient.
            let flat = |i: usize| i / (4 * area) % 2 == 1;
            gradients.iter_mut().flat_map(|g| g.iter_mut().enumerate()).filter(|(i, _)| flat(*i)).for_each(|(_, g)| *g = 0.0);
            want_moved.extend((0..batch).map(|n| match (n < valid, self.step) {
                (false, _) => Want::Keep,
                (true, false) => Want::Bits(0),
                (true, true) => Want::Bits(6 | u32::from(n % 2 == 0)),
            }));
            let value = |i: usize| {
                let (n, c, p) = (i / (4 * area), i / area % 4, i % area);
                if c >= channels {
                    return 0.0;
                }
                if self.step {
                    // Summed in f32 in the bases' order, for a sign has no tolerance.
                    let sum = gradients.iter().fold(0.0f32, |sum, g| sum + g[i] as f32);
                    return attack::step(before[i], clean[i], f64::from(sum), alpha, epsilon);
                }
                attack::start(clean[i], attack::noise(key, schedule[row(slot) + 1 + n], p as u32)[c], epsilon)
            };
            let after: Vec<f64> = (0..clean.len()).map(value).collect();
            want.extend(wanted(images, batch, valid, &after, &vec![1.0; after.len()]));
            attacked_words.extend(stored(images, batch, valid, &before, 0, f32::NAN));
            for g in &gradients {
                dx_words.extend(stored(gradient, batch, valid, g, 0, f32::NAN));
            }
        }
        let attacked = t.values("attacked", &attacked_words);
        t.expect(attacked, want);
        // A step sets the lowest bit and leaves the others.
        let moved = t.words("moved", vec![6; attackers.len() * batch]);
        t.expect(moved, want_moved);
        let b = crate::kernels::attack::Buffers {
            batch_sizes: t.words("batch sizes", size_table(batch)),
            clean: t.values("clean", &clean_words),
            lanes: t.words("lanes", lane_table()),
            schedule: t.words("schedule", schedule),
            dx: t.values("dx", &dx_words),
            attacked,
            moved,
            outcomes: moved,
            worst: moved,
        };
        let kernel = AttackImages {
            batch: batch as u32,
            by,
            images,
            gradient,
            seed,
            start: self.epsilon,
            epsilon: self.epsilon,
            alpha: self.alpha,
            slot_capacity: SLOTS as u32,
        };
        let mut dispatch = if self.step { kernel.step("case", b) } else { kernel.start("case", b) };
        dispatch.uniforms.set("round", round);
        t.dispatches = vec![dispatch];
        t.active = Some(Active { lanes: LANES.len() as u32, slots: SLOTS as u32, step: local_step });
        t
    }
}

/// The worst of the outcomes of an attack's restarts.
#[derive(Debug, Clone, Copy)]
pub struct WorstCase {
    /// Capacity of a batch.
    pub batch: usize,
    /// The first restart, which forgets what was before.
    pub first: bool,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for WorstCase {
    fn op(&self) -> &'static str {
        "attack, worst"
    }

    fn shape(&self) -> String {
        format!("{}, {} restart", self.batch, if self.first { "first" } else { "another" })
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let valid = batch_sizes(self.batch);
        let (mut now, mut before, mut want) = (Vec::new(), Vec::new(), Vec::new());
        for valid in valid {
            for n in 0..self.batch {
                let mut outcome = || [noise.value().abs() as f32, f32::from(u8::from(noise.value() > 0.0))];
                let (a, b) = (outcome(), outcome());
                let merged = if self.first { a } else { [a[0].max(b[0]), a[1].min(b[1])] };
                now.extend(if n < valid { a } else { [f32::NAN; 2] });
                before.extend(if n < valid && !self.first { b } else { [f32::NAN; 2] });
                want.extend(merged.map(|v| if n < valid { Want::Bits(v.to_bits()) } else { Want::Keep }));
            }
        }
        let worst = t.values("worst", &before);
        t.expect(worst, want);
        let outcomes = t.values("outcomes", &now);
        let b = crate::kernels::attack::Buffers {
            batch_sizes: t.words("batch sizes", size_table(self.batch)),
            clean: worst,
            lanes: worst,
            schedule: worst,
            dx: worst,
            attacked: worst,
            moved: worst,
            outcomes,
            worst,
        };
        let layout = ImageLayout::new(Shape { channels: 3, height: 2, width: 2 }, 0);
        let batch = self.batch as u32;
        let kernel = AttackImages {
            batch,
            by: By::Slot { bases: 1 },
            images: layout,
            gradient: layout,
            seed: 0,
            start: 0.0,
            epsilon: 0.0,
            alpha: 0.0,
            slot_capacity: 1,
        };
        let mut dispatch = kernel.worst("case", b);
        dispatch.uniforms.set("restart", u32::from(!self.first));
        t.dispatches = vec![dispatch];
        t
    }
}

pub(super) fn standard() -> Vec<Box<dyn Case>> {
    let changed = |padding, flip, rotation| Some(Augment { padding, flip, rotation, seed: 77 });
    let image = |channels, height, width| Shape { channels, height, width };
    let mut cases: Vec<Box<dyn Case>> = vec![
        Box::new(GatherCase { batch: 5, shape: image(3, 28, 28), images: 30, step: 0, augment: None, seed: 400 }),
        Box::new(GatherCase { batch: 4, shape: image(1, 5, 3), images: 9, step: 2, augment: None, seed: 401 }),
        Box::new(GatherCase { batch: 3, shape: image(4, 2, 7), images: 16, step: 1, augment: None, seed: 402 }),
        Box::new(GatherCase { batch: 5, shape: image(3, 32, 32), images: 30, step: 2, augment: changed(4, true, 0.0), seed: 403 }),
        Box::new(GatherCase { batch: 3, shape: image(3, 40, 36), images: 9, step: 0, augment: changed(0, true, 30.0), seed: 404 }),
        Box::new(GatherCase { batch: 6, shape: image(1, 7, 10), images: 12, step: 1, augment: changed(2, false, 180.0), seed: 405 }),
        Box::new(SgdCase { length: 70, skip: (0, 0), two: false, steps: 1, seed: 410 }),
        Box::new(SgdCase { length: 9, skip: (2, 5), two: false, steps: 5, seed: 411 }),
        Box::new(SgdCase { length: 70, skip: (0, 0), two: true, steps: 2, seed: 412 }),
        Box::new(AdamCase { length: 70, two: false, step: 0, seed: 413 }),
        Box::new(AdamCase { length: 9, two: true, step: 1, seed: 414 }),
        Box::new(AdamCase { length: 70, two: false, step: 300, seed: 415 }),
        Box::new(ProximalCase { length: 70, mu: 0.125, seed: 416 }),
        Box::new(CopyCase { length: 70, seed: 420 }),
        Box::new(AverageCase { length: 70, seed: 421 }),
        Box::new(EnsembleCase { batch: 9, classes: 10, bases: 8, seed: 430 }),
        Box::new(EnsembleCase { batch: 3, classes: 4, bases: 1, seed: 431 }),
        Box::new(EnsembleGradientCase { batch: 9, classes: 10, bases: 8, shift: 0, seed: 440 }),
        Box::new(EnsembleGradientCase { batch: 3, classes: 5, bases: 1, shift: 3, seed: 441 }),
    ];
    for step in [CornerStep::Take, CornerStep::Add, CornerStep::Merge, CornerStep::Settle] {
        cases.push(Box::new(CornerCase { step, wide: [6, 10], narrow: [4, 7], seed: 490 }));
        cases.push(Box::new(CornerCase { step, wide: [20, 30], narrow: [20, 13], seed: 491 }));
    }
    for first in [true, false] {
        cases.push(Box::new(WorstCase { batch: 70, first, seed: 470 }));
    }
    for step in [false, true] {
        let case = AttackCase { step, batch: 5, bases: 3, shape: image(3, 28, 28), epsilon: 8.0 / 255.0, alpha: 2.0 / 255.0, seed: 480 };
        cases.push(Box::new(case));
        cases.push(Box::new(AttackCase { batch: 3, bases: 1, shape: image(1, 5, 3), epsilon: 0.5, alpha: 0.75, ..case }));
        cases.push(Box::new(AttackCase { bases: 2, shape: image(4, 3, 7), epsilon: 0.0, ..case }));
        cases.push(Box::new(AttackCase { bases: 0, ..case }));
        cases.push(Box::new(AttackCase { bases: 0, batch: 3, shape: image(1, 5, 3), epsilon: 0.5, alpha: 0.75, ..case }));
    }
    for masked in [false, true] {
        for (seed, (batch, in_features, classes)) in [(9, 64, 10), (70, 6, 3), (1, 1, 1), (130, 33, 65)].into_iter().enumerate() {
            let size = [0.5, 1.0, 1.0, 30.0][seed];
            cases.push(Box::new(LossCase {
                batch,
                in_features,
                classes,
                masked,
                summed: masked,
                share: [1.0, 0.3][seed % 2],
                size,
                seed: 450 + seed as u64,
            }));
        }
    }
    cases
}

//! Cases of convolutions, three directions each, and of the step of an attack at the end of one.

use super::{
    Case, DIRECTIONS, Direction, LANES, Noise, SLOTS, Trial, Want, absolute, batch_sizes, lane_table, parameter_rows, size_table, stored,
    wanted,
};
use crate::kernels::batch_norm::{BatchNorm, NormPlace};
use crate::kernels::conv2d::Conv2d;
use crate::kernels::conv2d::backward_data::Conv2dBackwardData;
use crate::kernels::conv2d::backward_weight::Conv2dBackwardWeight;
use crate::kernels::conv2d::forward::Conv2dForward;
use crate::kernels::sum_partials::SumPartials;
use crate::kernels::{EPSILON, ImageLayout, Tuning, batch_norm, conv2d};
use crate::net::Shape;
use kernels_tests::batch_norm::batch_norm_statistics;
use kernels_tests::conv2d::{
    conv2d_backward_data as twin_backward_data, conv2d_backward_weight as twin_backward_weight, conv2d_forward as twin_forward,
};
use kernels_tests::{attack, shape};

/// One direction of a convolution.
#[derive(Debug, Clone, Copy)]
pub struct ConvCase {
    /// Direction.
    pub direction: Direction,
    /// Capacity of a mini-batch.
    pub batch: usize,
    /// Shape of an input image.
    pub input: Shape,
    /// Output channels.
    pub out_channels: u32,
    /// Height and width of the kernel.
    pub kernel: (u32, u32),
    /// Stride.
    pub stride: u32,
    /// Zero padding, less than both kernel sizes.
    pub padding: u32,
    /// The layer correction.
    pub scale: f32,
    /// Whether lanes of a slot share its images.
    pub input_per_slot: bool,
    /// Forward: leave the statistics of the tiles, and merge them to batch norm's moments.
    pub statistics: bool,
    /// Seed of the data.
    pub seed: u64,
}

impl ConvCase {
    /// Whether at least one window fits; a case that does not cannot run.
    pub fn is_valid(&self) -> bool {
        Conv2d::new(self.input, self.out_channels, self.kernel, self.stride, self.padding).is_some()
    }
}

impl Case for ConvCase {
    fn op(&self) -> &'static str {
        match self.direction {
            Direction::Forward if self.statistics => "conv2d_forward, statistics",
            Direction::Forward => "conv2d_forward",
            Direction::BackwardData => "conv2d_backward_data",
            Direction::BackwardWeight => "conv2d_backward_weight",
        }
    }

    fn shape(&self) -> String {
        let (i, k) = (self.input, self.kernel);
        format!(
            "{}×{}×{}×{} → {}, kernel {}×{}, stride {}, padding {}, scale {}{}",
            self.batch,
            i.channels,
            i.height,
            i.width,
            self.out_channels,
            k.0,
            k.1,
            self.stride,
            self.padding,
            self.scale,
            if self.input_per_slot { ", images per slot" } else { "" }
        )
    }

    fn trial(&self, tuning: Tuning) -> Trial {
        let conv = Conv2d::new(self.input, self.out_channels, self.kernel, self.stride, self.padding).expect("a window fits");
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let batch = self.batch;
        // One pixel more of border than needed, so that origins are not taken for granted.
        let input = ImageLayout::new(conv.input, conv.input_border() + 1);
        let dz_layout = ImageLayout::new(conv.output, conv.gradient_border() + 1);
        let (ci, co) = (input.blocks() as usize * 4, dz_layout.blocks() as usize * 4);
        let (kh, kw) = (self.kernel.0 as usize, self.kernel.1 as usize);
        let real = |o: usize, i: usize| o < self.out_channels as usize && i < self.input.channels as usize;
        let r = parameter_rows(&mut noise, co, ci, kh * kw, real, |o, i, tap| (tap * ci + i) * co + o);
        let lanes = t.words("lanes", lane_table());
        let sizes = t.words("batch sizes", size_table(batch));
        let twin = |valid: usize| shape::Conv2d {
            batch: valid,
            in_channels: ci,
            in_height: conv.input.height as usize,
            in_width: conv.input.width as usize,
            out_channels: co,
            kernel_height: kh,
            kernel_width: kw,
            stride: self.stride as usize,
            padding: self.padding as usize,
        };
        let valid: Vec<usize> = LANES.iter().map(|l| batch_sizes(batch)[l[0] as usize]).collect();

        // Inputs per slot or lane.
        let sources = if self.input_per_slot { SLOTS } else { LANES.len() };
        let source_valid = |s: usize| if self.input_per_slot { batch_sizes(batch)[s] } else { valid[s] };
        let images: Vec<Vec<f64>> = (0..sources).map(|s| noise.images(source_valid(s), input)).collect();
        let source = |lane: usize| if self.input_per_slot { LANES[lane][0] as usize } else { lane };
        let store_inputs = |t: &mut Trial| {
            let all: Vec<f32> =
                (0..sources).flat_map(|s| stored(input, batch, source_valid(s), &images[s], conv.input_border(), f32::NAN)).collect();
            t.values("input", &all)
        };
        let gradients: Vec<Vec<f64>> = valid.iter().map(|v| noise.images(*v, dz_layout)).collect();
        // Only backward_data looks past the gradient's edge.
        let ring = if self.direction == Direction::BackwardData { conv.gradient_border() } else { 0 };
        let store_gradients = |t: &mut Trial| {
            let all: Vec<f32> = valid.iter().zip(&gradients).flat_map(|(v, g)| stored(dz_layout, batch, *v, g, ring, f32::NAN)).collect();
            t.values("dz", &all)
        };

        match self.direction {
            Direction::Forward => {
                let output = ImageLayout::new(conv.output, 2);
                let kernel = Conv2dForward {
                    conv,
                    batch: batch as u32,
                    input,
                    output,
                    input_per_slot: self.input_per_slot,
                    place: r.place,
                    scale: self.scale,
                    tuning,
                    statistics: self.statistics,
                };
                let mut want = Vec::new();
                // [lane][block] of (mean ×4, deviation ×4, unbiased variance ×4), between those of other layers.
                let blocks = output.blocks() + 2;
                let place = NormPlace { stride: 0, weight: 0, bias: 0, blocks, first: 1 };
                let mut want_moments = vec![Want::Keep; LANES.len() * blocks as usize * 12];
                for lane in 0..LANES.len() {
                    let (x, row) = (&images[source(lane)], LANES[lane][1] as usize);
                    let (w, b, scale) = (&r.weights[row], &r.biases[row], f64::from(self.scale));
                    let z = twin_forward(&twin(valid[lane]), x, w, b, scale);
                    let size = twin_forward(&twin(valid[lane]), &absolute(x), &absolute(w), &absolute(b), scale.abs());
                    want.extend(wanted(output, batch, valid[lane], &z, &size));
                    let largest = size.iter().copied().fold(0.0, f64::max);
                    let pixels = (conv.output.height * conv.output.width) as usize;
                    let norm = shape::BatchNorm { batch: valid[lane], valid: valid[lane], channels: co, pixels };
                    let statistics = batch_norm_statistics(&norm, &z);
                    for c in 0..co {
                        let at = ((lane * blocks as usize + 1 + c / 4) * 3) * 4 + c % 4;
                        let m = (valid[lane] * pixels) as f64;
                        let deviation = 1.0 / (statistics.variance[c] + f64::from(EPSILON)).sqrt();
                        want_moments[at] = Want::Near(statistics.mean[c], largest);
                        want_moments[at + 4] = Want::Near(deviation, deviation * (1.0 + largest * deviation));
                        want_moments[at + 8] = Want::Near(statistics.variance[c] * m / (m - 1.0).max(1.0), largest * largest);
                    }
                }
                let parts = t.scratch("tiles", kernel.part_bytes() * LANES.len() as u64);
                let b = conv2d::forward::Buffers {
                    lanes,
                    batch_sizes: sizes,
                    input: store_inputs(&mut t),
                    parameters: t.values("parameters", &r.words),
                    output: t.output("z", want),
                    parts,
                };
                t.dispatches = vec![kernel.dispatch("case", b)];
                if self.statistics {
                    let norm = BatchNorm { batch: batch as u32, z: output, place, relu: true, pool: 1, running: false };
                    let b =
                        batch_norm::statistics::Buffers { lanes, batch_sizes: sizes, z: parts, moments: t.output("moments", want_moments) };
                    t.dispatches.push(norm.statistics_of_tiles("case", &kernel, b));
                }
            }
            Direction::BackwardData => {
                let dx = ImageLayout::new(conv.input, 1);
                let want = (0..LANES.len()).flat_map(|lane| {
                    let (g, w) = (&gradients[lane], &r.weights[LANES[lane][1] as usize]);
                    let value = twin_backward_data(&twin(valid[lane]), g, w);
                    let size = twin_backward_data(&twin(valid[lane]), &absolute(g), &absolute(w));
                    wanted(dx, batch, valid[lane], &value, &size)
                });
                let want = want.collect();
                let b = conv2d::backward_data::Buffers {
                    lanes,
                    batch_sizes: sizes,
                    dz: store_gradients(&mut t),
                    parameters: t.values("parameters", &r.words),
                    dx: t.output("dx", want),
                };
                let kernel = Conv2dBackwardData { conv, batch: batch as u32, dx, dz: dz_layout, place: r.place, tuning };
                t.dispatches = vec![kernel.dispatch("case", b)];
            }
            Direction::BackwardWeight => {
                let kernel =
                    Conv2dBackwardWeight { conv, batch: batch as u32, input, input_per_slot: self.input_per_slot, dz: dz_layout, tuning };
                let stride = r.place.stride as usize * 4;
                let mut want = vec![Want::Keep; LANES.len() * stride];
                for lane in 0..LANES.len() {
                    let (x, g) = (&images[source(lane)], &gradients[lane]);
                    let (dw, db) = twin_backward_weight(&twin(valid[lane]), x, g);
                    let (sw, sb) = twin_backward_weight(&twin(valid[lane]), &absolute(x), &absolute(g));
                    let start = lane * stride + r.place.weight as usize * 4;
                    for o in 0..co {
                        for i in 0..ci {
                            for tap in 0..kh * kw {
                                let from = (o * ci + i) * kh * kw + tap;
                                want[start + (tap * ci + i) * co + o] = Want::Near(dw[from], sw[from]);
                            }
                        }
                        want[start + kh * kw * ci * co + o] = Want::Near(db[o], sb[o]);
                    }
                }
                let b = conv2d::backward_weight::Buffers {
                    lanes,
                    batch_sizes: sizes,
                    input: store_inputs(&mut t),
                    dz: store_gradients(&mut t),
                    partial: t.scratch("parts", kernel.partial_bytes() * LANES.len() as u64),
                };
                let gradient = t.output("gradient", want);
                let sum = SumPartials {
                    length: kernel.partial_stride(),
                    parts: kernel.parts(),
                    partial_stride: kernel.partial_stride(),
                    parameter_stride: r.place.stride,
                    offset: r.place.weight,
                };
                t.dispatches = vec![kernel.dispatch("case", b), sum.dispatch("sum", b.partial, gradient)];
            }
        }
        t
    }
}

/// A step of an attack at the end of the first convolution's backward_data. Its numbers are whole, so that a gradient's sign is
/// exact.
#[derive(Debug, Clone, Copy)]
pub struct AttackStepCase {
    /// Capacity of a mini-batch.
    pub batch: usize,
    /// Shape of an image, of up to four channels.
    pub input: Shape,
    /// Output channels.
    pub out_channels: u32,
    /// Height and width of the kernel.
    pub kernel: (u32, u32),
    /// Stride.
    pub stride: u32,
    /// Zero padding, less than both kernel sizes.
    pub padding: u32,
    /// Seed of the data.
    pub seed: u64,
}

impl AttackStepCase {
    /// Whether at least one window fits; a case that does not cannot run.
    pub fn is_valid(&self) -> bool {
        Conv2d::new(self.input, self.out_channels, self.kernel, self.stride, self.padding).is_some()
    }
}

impl Case for AttackStepCase {
    fn op(&self) -> &'static str {
        "conv2d_backward_data, attack step"
    }

    fn shape(&self) -> String {
        let (i, k) = (self.input, self.kernel);
        format!(
            "{}×{}×{}×{} → {}, kernel {}×{}, stride {}, padding {}",
            self.batch, i.channels, i.height, i.width, self.out_channels, k.0, k.1, self.stride, self.padding
        )
    }

    fn trial(&self, tuning: Tuning) -> Trial {
        let conv = Conv2d::new(self.input, self.out_channels, self.kernel, self.stride, self.padding).expect("a window fits");
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let batch = self.batch;
        let (epsilon, alpha) = (0.25, 0.1875);
        let images = ImageLayout::new(conv.input, conv.input_border() + 1);
        let dz_layout = ImageLayout::new(conv.output, conv.gradient_border() + 1);
        let (ci, co) = (images.blocks() as usize * 4, dz_layout.blocks() as usize * 4);
        let (kh, kw) = (self.kernel.0 as usize, self.kernel.1 as usize);
        let real = |o: usize, i: usize| o < self.out_channels as usize && i < self.input.channels as usize;
        let mut r = parameter_rows(&mut noise, co, ci, kh * kw, real, |o, i, tap| (tap * ci + i) * co + o);
        let whole = |v: f64| (2.0 * v).round();
        r.words.iter_mut().for_each(|v| *v = whole(f64::from(*v)) as f32);
        r.weights.iter_mut().flatten().for_each(|v| *v = whole(*v));
        let sizes = batch_sizes(batch);
        let unit = |v: f64| f64::from(v.abs().min(1.0) as f32);
        let clean: Vec<Vec<f64>> = sizes.iter().map(|v| noise.images(*v, images).into_iter().map(unit).collect()).collect();
        let clean_words: Vec<f32> = (0..SLOTS).flat_map(|s| stored(images, batch, sizes[s], &clean[s], 0, f32::NAN)).collect();
        let (mut dz_words, mut attacked_words, mut want) = (Vec::new(), Vec::new(), Vec::new());
        for lane in LANES {
            let (slot, valid) = (lane[0] as usize, sizes[lane[0] as usize]);
            let dz: Vec<f64> = noise.images(valid, dz_layout).into_iter().map(whole).collect();
            let twin = shape::Conv2d {
                batch: valid,
                in_channels: ci,
                in_height: conv.input.height as usize,
                in_width: conv.input.width as usize,
                out_channels: co,
                kernel_height: kh,
                kernel_width: kw,
                stride: self.stride as usize,
                padding: self.padding as usize,
            };
            let dx = twin_backward_data(&twin, &dz, &r.weights[lane[1] as usize]);
            let clean = &clean[slot];
            let near = |(c, v): (&f64, f64)| f64::from(attack::clip(c + epsilon * v, *c, epsilon) as f32);
            let before: Vec<f64> = clean.iter().zip(noise.images(valid, images)).map(near).collect();
            let used = |i: usize| i / (conv.input.height * conv.input.width) as usize % ci < self.input.channels as usize;
            let step = |i: usize| if used(i) { attack::step(before[i], clean[i], dx[i], alpha, epsilon) } else { 0.0 };
            let after: Vec<f64> = (0..dx.len()).map(step).collect();
            want.extend(wanted(images, batch, valid, &after, &vec![1.0; after.len()]));
            dz_words.extend(stored(dz_layout, batch, valid, &dz, conv.gradient_border(), f32::NAN));
            attacked_words.extend(stored(images, batch, valid, &before, 0, f32::NAN));
        }
        let attacked = t.values("attacked", &attacked_words);
        t.expect(attacked, want);
        let kernel = Conv2dBackwardData { conv, batch: batch as u32, dx: images, dz: dz_layout, place: r.place, tuning };
        let b = conv2d::backward_data::Buffers {
            lanes: t.words("lanes", lane_table()),
            batch_sizes: t.words("batch sizes", size_table(batch)),
            dz: t.values("dz", &dz_words),
            parameters: t.values("parameters", &r.words),
            dx: attacked,
        };
        let clean = t.values("clean", &clean_words);
        let step = conv2d::backward_data::Step { clean, attacked, images, epsilon: epsilon as f32, alpha: alpha as f32 };
        t.dispatches = vec![kernel.attack_step("case", b, &step)];
        t
    }
}

pub(super) fn standard() -> Vec<Box<dyn Case>> {
    let mut cases: Vec<Box<dyn Case>> = Vec::new();
    let image = |channels, height, width| Shape { channels, height, width };
    // (batch, input, out, kernel, stride, padding, images per slot): the Digits CNN's own, then odd ones.
    let convolutions = [
        (3, image(3, 28, 28), 8, (5, 5), 1, 2, true),
        (3, image(8, 14, 14), 8, (5, 5), 1, 2, false),
        (5, image(8, 7, 7), 16, (5, 5), 1, 2, false),
        (2, image(1, 1, 1), 1, (1, 1), 1, 0, true),
        (4, image(5, 9, 11), 6, (3, 3), 1, 1, false),
        (2, image(3, 13, 10), 7, (3, 5), 1, 0, false),
        (3, image(4, 9, 16), 5, (3, 3), 2, 1, false),
        (2, image(2, 23, 19), 3, (11, 11), 4, 2, true),
        (3, image(9, 6, 5), 4, (1, 1), 2, 0, false),
        (2, image(20, 6, 5), 9, (3, 3), 1, 1, false),
        (3, image(3, 9, 8), 5, (7, 7), 1, 3, true),
        (3, image(8, 17, 33), 12, (3, 3), 2, 1, false),
        (2, image(3, 14, 17), 5, (5, 4), 3, 2, true),
        (2, image(4, 11, 12), 6, (2, 2), 3, 0, false),
        (1, image(3, 47, 70), 8, (11, 11), 4, 2, true),
        (2, image(16, 18, 18), 4, (1, 1), 2, 0, false),
        (2, image(36, 4, 17), 20, (5, 5), 1, 2, false),
        (3, image(40, 9, 13), 7, (3, 3), 2, 1, false),
        (2, image(1, 15, 19), 3, (11, 11), 4, 2, true),
    ];
    for (seed, (batch, input, out_channels, kernel, stride, padding, input_per_slot)) in convolutions.into_iter().enumerate() {
        for direction in DIRECTIONS {
            let scale = if seed % 2 == 0 { 8.0 } else { 1.0 };
            let seed = seed as u64;
            let case =
                ConvCase { direction, batch, input, out_channels, kernel, stride, padding, scale, input_per_slot, statistics: false, seed };
            cases.push(Box::new(case));
            if direction == Direction::Forward {
                cases.push(Box::new(ConvCase { statistics: true, ..case }));
            }
        }
        if input.channels <= 4 {
            cases.push(Box::new(AttackStepCase { batch, input, out_channels, kernel, stride, padding, seed: seed as u64 }));
        }
    }
    cases
}

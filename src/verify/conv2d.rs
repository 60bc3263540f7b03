//! Cases of convolutions, three directions each, and of the step of an attack at the end of one.

use super::{
    Case, DIRECTIONS, Direction, LANES, Noise, ParameterRows, SLOTS, Trial, Want, absolute, batch_sizes, lane_table, parameter_rows,
    size_table, stored, valid, wanted,
};
use crate::kernels::batch_norm::{BatchNorm, NormPlace};
use crate::kernels::conv2d::Conv2d;
use crate::kernels::conv2d::backward_data::Conv2dBackwardData;
use crate::kernels::conv2d::backward_weight::Conv2dBackwardWeight;
use crate::kernels::conv2d::forward::Conv2dForward;
use crate::kernels::sum_partials::SumPartials;
use crate::kernels::{BufferId, EPSILON, ImageLayout, Tuning, batch_norm, conv2d};
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

    fn trial(&self, tuning: Tuning) -> Trial {
        let drawn = Drawn::new(*self, tuning);
        match self.direction {
            Direction::Forward => drawn.forward(),
            Direction::BackwardData => drawn.backward_data(),
            Direction::BackwardWeight => drawn.backward_weight(),
        }
    }
}

/// The twin's convolution of `valid` samples, channels padded.
fn twin(conv: &Conv2d, valid: usize) -> shape::Conv2d {
    shape::Conv2d {
        batch: valid,
        in_channels: conv.input.channels.next_multiple_of(4) as usize,
        in_height: conv.input.height as usize,
        in_width: conv.input.width as usize,
        out_channels: conv.output.channels.next_multiple_of(4) as usize,
        kernel_height: conv.kernel_height as usize,
        kernel_width: conv.kernel_width as usize,
        stride: conv.stride as usize,
        padding: conv.padding as usize,
    }
}

/// Parameters of a convolution: weights `[tap][i][o]` on the GPU.
fn parameters(noise: &mut Noise, conv: &Conv2d) -> ParameterRows {
    let c = twin(conv, 0);
    let real = |o: usize, i: usize| o < conv.output.channels as usize && i < conv.input.channels as usize;
    let taps = c.kernel_height * c.kernel_width;
    parameter_rows(noise, c.out_channels, c.in_channels, taps, real, |o, i, tap| (tap * c.in_channels + i) * c.out_channels + o)
}

/// The data of a case, from which each direction makes its trial.
struct Drawn {
    case: ConvCase,
    tuning: Tuning,
    conv: Conv2d,
    input: ImageLayout,
    dz: ImageLayout,
    rows: ParameterRows,
    /// Valid samples of each lane.
    valid: [usize; LANES.len()],
    /// Inputs of each slot or lane, and the valid ones among them.
    images: Vec<(usize, Vec<f64>)>,
    /// Gradients of each lane's output.
    gradients: Vec<Vec<f64>>,
    lanes: BufferId,
    sizes: BufferId,
    t: Trial,
}

impl Drawn {
    fn new(case: ConvCase, tuning: Tuning) -> Drawn {
        let conv = Conv2d::new(case.input, case.out_channels, case.kernel, case.stride, case.padding).expect("a window fits");
        let mut noise = Noise::new(case.seed);
        // One pixel more of border than needed, so that origins are not taken for granted.
        let input = ImageLayout::new(conv.input, conv.input_border() + 1);
        let dz = ImageLayout::new(conv.output, conv.gradient_border() + 1);
        let rows = parameters(&mut noise, &conv);
        let valid = valid(case.batch);
        let sources = if case.input_per_slot { batch_sizes(case.batch).to_vec() } else { valid.to_vec() };
        let images = sources.into_iter().map(|n| (n, noise.images(n, input))).collect();
        let gradients = valid.iter().map(|n| noise.images(*n, dz)).collect();
        let mut t = Trial::default();
        let (lanes, sizes) = (t.words("lanes", lane_table()), t.words("batch sizes", size_table(case.batch)));
        Drawn { case, tuning, conv, input, dz, rows, valid, images, gradients, lanes, sizes, t }
    }

    fn twin(&self, lane: usize) -> shape::Conv2d {
        twin(&self.conv, self.valid[lane])
    }

    /// The input of a lane.
    fn source(&self, lane: usize) -> &[f64] {
        &self.images[if self.case.input_per_slot { LANES[lane][0] as usize } else { lane }].1
    }

    /// The buffer of the inputs.
    fn store_input(&mut self) -> BufferId {
        let one = |(n, x): &(usize, Vec<f64>)| stored(self.input, self.case.batch, *n, x, self.conv.input_border(), f32::NAN);
        let all: Vec<f32> = self.images.iter().flat_map(one).collect();
        self.t.values("input", &all)
    }

    /// The buffer of the gradients, with zeros `ring` pixels round them.
    fn store_gradients(&mut self, ring: u32) -> BufferId {
        let lanes = self.valid.iter().zip(&self.gradients);
        let all: Vec<f32> = lanes.flat_map(|(n, g)| stored(self.dz, self.case.batch, *n, g, ring, f32::NAN)).collect();
        self.t.values("dz", &all)
    }

    fn forward(mut self) -> Trial {
        let (case, conv) = (self.case, self.conv);
        let output = ImageLayout::new(conv.output, 2);
        let kernel = Conv2dForward {
            conv,
            batch: case.batch as u32,
            input: self.input,
            output,
            input_per_slot: case.input_per_slot,
            place: self.rows.place,
            scale: case.scale,
            tuning: self.tuning,
            statistics: case.statistics,
        };
        let mut want = Vec::new();
        // [lane][block] of (mean ×4, deviation ×4, unbiased variance ×4), between those of other layers.
        let blocks = output.blocks() + 2;
        let place = NormPlace { stride: 0, weight: 0, bias: 0, blocks, first: 1 };
        let mut want_moments = vec![Want::Keep; LANES.len() * blocks as usize * 12];
        for (lane, [_, row, ..]) in LANES.into_iter().enumerate() {
            let (x, row, valid) = (self.source(lane), row as usize, self.valid[lane]);
            let (w, b, scale) = (&self.rows.weights[row], &self.rows.biases[row], f64::from(case.scale));
            let z = twin_forward(&self.twin(lane), x, w, b, scale);
            let size = twin_forward(&self.twin(lane), &absolute(x), &absolute(w), &absolute(b), scale.abs());
            want.extend(wanted(output, case.batch, valid, &z, &size));
            let largest = size.iter().copied().fold(0.0, f64::max);
            let pixels = (conv.output.height * conv.output.width) as usize;
            let channels = output.blocks() as usize * 4;
            let statistics = batch_norm_statistics(&shape::BatchNorm { batch: valid, valid, channels, pixels }, &z);
            for c in 0..channels {
                let at = ((lane * blocks as usize + 1 + c / 4) * 3) * 4 + c % 4;
                let m = (valid * pixels) as f64;
                let deviation = 1.0 / (statistics.variance[c] + f64::from(EPSILON)).sqrt();
                want_moments[at] = Want::Near(statistics.mean[c], largest);
                want_moments[at + 4] = Want::Near(deviation, deviation * (1.0 + largest * deviation));
                want_moments[at + 8] = Want::Near(statistics.variance[c] * m / (m - 1.0).max(1.0), largest * largest);
            }
        }
        let input = self.store_input();
        let (lanes, batch_sizes, mut t) = (self.lanes, self.sizes, self.t);
        let parts = t.scratch("tiles", kernel.part_bytes() * LANES.len() as u64);
        let (parameters, output_buffer) = (t.values("parameters", &self.rows.words), t.output("z", want));
        let b = conv2d::forward::Buffers { lanes, batch_sizes, input, parameters, output: output_buffer, parts };
        t.dispatches = vec![kernel.dispatch("case", b)];
        if case.statistics {
            let norm = BatchNorm { batch: case.batch as u32, z: output, place, relu: true, pool: 1, running: false };
            let b = batch_norm::statistics::Buffers { lanes, batch_sizes, z: parts, moments: t.output("moments", want_moments) };
            t.dispatches.push(norm.statistics_of_tiles("case", &kernel, b));
        }
        t
    }

    fn backward_data(mut self) -> Trial {
        let layout = ImageLayout::new(self.conv.input, 1);
        let want = (0..LANES.len()).flat_map(|lane| {
            let (g, w) = (&self.gradients[lane], &self.rows.weights[LANES[lane][1] as usize]);
            let value = twin_backward_data(&self.twin(lane), g, w);
            let size = twin_backward_data(&self.twin(lane), &absolute(g), &absolute(w));
            wanted(layout, self.case.batch, self.valid[lane], &value, &size)
        });
        let want = want.collect();
        // Only this direction looks past the gradient's edge.
        let dz = self.store_gradients(self.conv.gradient_border());
        let (lanes, batch_sizes, batch, place, mut t) = (self.lanes, self.sizes, self.case.batch as u32, self.rows.place, self.t);
        let (parameters, dx) = (t.values("parameters", &self.rows.words), t.output("dx", want));
        let kernel = Conv2dBackwardData { conv: self.conv, batch, dx: layout, dz: self.dz, place, tuning: self.tuning };
        t.dispatches = vec![kernel.dispatch("case", conv2d::backward_data::Buffers { lanes, batch_sizes, dz, parameters, dx })];
        t
    }

    fn backward_weight(mut self) -> Trial {
        let place = self.rows.place;
        let stride = place.stride as usize * 4;
        let mut want = vec![Want::Keep; LANES.len() * stride];
        for lane in 0..LANES.len() {
            let (x, g, c) = (self.source(lane), &self.gradients[lane], self.twin(lane));
            let (dw, db) = twin_backward_weight(&c, x, g);
            let (sw, sb) = twin_backward_weight(&c, &absolute(x), &absolute(g));
            let start = lane * stride + place.weight as usize * 4;
            let taps = c.kernel_height * c.kernel_width;
            for o in 0..c.out_channels {
                for i in 0..c.in_channels {
                    for tap in 0..taps {
                        let from = (o * c.in_channels + i) * taps + tap;
                        want[start + (tap * c.in_channels + i) * c.out_channels + o] = Want::Near(dw[from], sw[from]);
                    }
                }
                want[start + taps * c.in_channels * c.out_channels + o] = Want::Near(db[o], sb[o]);
            }
        }
        let (input, dz) = (self.store_input(), self.store_gradients(0));
        let (case, lanes, batch_sizes, mut t) = (self.case, self.lanes, self.sizes, self.t);
        let kernel = Conv2dBackwardWeight {
            conv: self.conv,
            batch: case.batch as u32,
            input: self.input,
            input_per_slot: case.input_per_slot,
            dz: self.dz,
            tuning: self.tuning,
        };
        let partial = t.scratch("parts", kernel.partial_bytes() * LANES.len() as u64);
        let gradient = t.output("gradient", want);
        let sum = SumPartials {
            length: kernel.partial_stride(),
            parts: kernel.parts(),
            partial_stride: kernel.partial_stride(),
            parameter_stride: place.stride,
            offset: place.weight,
        };
        let b = conv2d::backward_weight::Buffers { lanes, batch_sizes, input, dz, partial };
        t.dispatches = vec![kernel.dispatch("case", b), sum.dispatch("sum", partial, gradient)];
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

    fn trial(&self, tuning: Tuning) -> Trial {
        let conv = Conv2d::new(self.input, self.out_channels, self.kernel, self.stride, self.padding).expect("a window fits");
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let batch = self.batch;
        let (epsilon, alpha) = (0.25, 0.1875);
        let images = ImageLayout::new(conv.input, conv.input_border() + 1);
        let dz_layout = ImageLayout::new(conv.output, conv.gradient_border() + 1);
        let ci = images.blocks() as usize * 4;
        let mut r = parameters(&mut noise, &conv);
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
            let dx = twin_backward_data(&twin(&conv, valid), &dz, &r.weights[lane[1] as usize]);
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

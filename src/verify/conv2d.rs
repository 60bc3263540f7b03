//! Cases of convolutions, three directions each, and of the step of an attack at the end of one.

use super::{
    Case, Cases, DIRECTIONS, Direction, LANES, ParameterRows, Trial, Want, batch_norm::moments, batch_sizes, image, parameter_rows, sized,
    stored, valid, wanted,
};
use crate::kernels::batch_norm::{BatchNorm, NormPlace};
use crate::kernels::conv2d::Conv2d;
use crate::kernels::conv2d::backward_data::{Conv2dBackwardData, Step};
use crate::kernels::conv2d::backward_weight::Conv2dBackwardWeight;
use crate::kernels::conv2d::forward::Conv2dForward;
use crate::kernels::sum_partials::SumPartials;
use crate::kernels::{Activation, ImageLayout, LaneTables};
use crate::net::Shape;
use kernels_tests::batch_norm::batch_norm_statistics;
use kernels_tests::{attack, conv2d as twin, shape};

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
}

impl ConvCase {
    fn conv(&self) -> Option<Conv2d> {
        Conv2d::new(self.input, self.out_channels, self.kernel, self.stride, self.padding)
    }

    /// Whether at least one window fits; a case that does not cannot run.
    pub fn is_valid(&self) -> bool {
        self.conv().is_some()
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

    fn fill(&self, t: &mut Trial) {
        let drawn = Drawn::new(*self, t);
        match self.direction {
            Direction::Forward => drawn.forward(t),
            Direction::BackwardData => drawn.backward_data(t),
            Direction::BackwardWeight => drawn.backward_weight(t),
        }
    }
}

/// The twin's convolution of `batch` samples, channels padded.
fn shape(conv: &Conv2d, batch: usize) -> shape::Conv2d {
    shape::Conv2d {
        batch,
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
fn parameters(t: &mut Trial, conv: &Conv2d) -> ParameterRows {
    let c = shape(conv, 0);
    let real = |o: usize, i: usize| o < conv.output.channels as usize && i < conv.input.channels as usize;
    let taps = c.kernel_height * c.kernel_width;
    let at = |o: usize, i: usize, tap: usize| (tap * c.in_channels + i) * c.out_channels + o;
    parameter_rows(&mut t.noise, (c.out_channels, c.in_channels, taps), real, at)
}

/// The data of a case, from which each direction makes its trial.
struct Drawn {
    case: ConvCase,
    conv: Conv2d,
    input: ImageLayout,
    dz: ImageLayout,
    rows: ParameterRows,
    /// The twin's convolution of each lane.
    shapes: [shape::Conv2d; LANES.len()],
    /// Inputs of each slot or lane, and the valid ones among them.
    images: Vec<(usize, Vec<f64>)>,
    /// Gradients of each lane's output.
    gradients: [Vec<f64>; LANES.len()],
    tables: LaneTables,
}

impl Drawn {
    fn new(case: ConvCase, t: &mut Trial) -> Drawn {
        let conv = case.conv().expect("a window fits");
        // One pixel more of border than needed, so that origins are not taken for granted.
        let input = ImageLayout::new(conv.input, conv.input_border() + 1);
        let dz = ImageLayout::new(conv.output, conv.gradient_border() + 1);
        let rows = parameters(t, &conv);
        let sources = if case.input_per_slot { batch_sizes(case.batch).to_vec() } else { valid(case.batch).to_vec() };
        let images = sources.into_iter().map(|n| (n, t.noise.images(n, input))).collect();
        let gradients = valid(case.batch).map(|n| t.noise.images(n, dz));
        let shapes = valid(case.batch).map(|n| shape(&conv, n));
        Drawn { case, conv, input, dz, rows, shapes, images, gradients, tables: t.tables(case.batch) }
    }

    /// Each lane's row of parameters, twin's shape, input and gradient.
    fn of_lanes(&self) -> impl Iterator<Item = (usize, &shape::Conv2d, &[f64], &[f64])> {
        let of_lane = |(lane, [slot, row, ..]): (usize, [u32; 4])| {
            let source = if self.case.input_per_slot { slot as usize } else { lane };
            (row as usize, &self.shapes[lane], self.images[source].1.as_slice(), self.gradients[lane].as_slice())
        };
        LANES.into_iter().enumerate().map(of_lane)
    }

    fn store_input(&self, t: &mut Trial) -> Activation {
        let one = |(n, x): &(usize, Vec<f64>)| stored(self.input, self.case.batch, *n, x, self.conv.input_border(), f32::NAN);
        Activation { buffer: t.values("input", &self.images.iter().flat_map(one).collect::<Vec<_>>()), layout: self.input }
    }

    /// The gradients, with zeros `ring` pixels round them.
    fn store_gradients(&self, t: &mut Trial, ring: u32) -> Activation {
        let lanes = valid(self.case.batch).into_iter().zip(&self.gradients);
        let all = lanes.flat_map(|(n, g)| stored(self.dz, self.case.batch, n, g, ring, f32::NAN));
        Activation { buffer: t.values("dz", &all.collect::<Vec<_>>()), layout: self.dz }
    }

    fn forward(&self, t: &mut Trial) {
        let (case, conv, rows, tables) = (self.case, self.conv, &self.rows, self.tables);
        let scale = f64::from(case.scale);
        let of_lane = |(row, shape, x, _): (usize, &shape::Conv2d, &[f64], &[f64])| {
            sized([x, &rows.weights[row], &rows.biases[row]], |[x, w, b]| twin::conv2d_forward(shape, x, w, b, scale))
        };
        let results: Vec<_> = self.of_lanes().map(of_lane).collect();
        let (layout, parameters) = (ImageLayout::new(conv.output, 2), t.values("parameters", &rows.stored()));
        let kernel = Conv2dForward {
            conv,
            batch: case.batch as u32,
            input: self.store_input(t),
            input_per_slot: case.input_per_slot,
            output: t.result("z", case.batch, layout, results.iter().cloned()),
            place: rows.place,
            scale: case.scale,
            tuning: t.tuning,
            statistics: case.statistics,
        };
        let parts = t.scratch("tiles", kernel.part_bytes() * LANES.len() as u64);
        t.dispatches.push(kernel.dispatch("case", tables, parameters, parts));
        if !case.statistics {
            return;
        }
        // Between the records of other layers.
        let place = NormPlace { stride: 0, weight: 0, bias: 0, blocks: layout.blocks() + 2, first: 1 };
        let of_lane = |((z, size), batch): (&(Vec<f64>, Vec<f64>), usize)| {
            let (channels, pixels) = (layout.blocks() as usize * 4, (conv.output.height * conv.output.width) as usize);
            let shape = shape::BatchNorm { batch, valid: batch, channels, pixels };
            (batch_norm_statistics(&shape, z), batch * pixels, size.iter().copied().fold(0.0, f64::max))
        };
        let of_lanes = results.iter().zip(valid(case.batch)).map(of_lane);
        let want = moments(&place, of_lanes, |largest, deviation| deviation * (1.0 + largest * deviation));
        let moments = t.output("moments", want);
        let (batch, z) = (case.batch as u32, kernel.output);
        let norm = BatchNorm { batch, z, parameters, moments, place, relu: true, pool: 1, running: false };
        t.dispatches.push(norm.statistics_of_tiles("case", tables, &kernel, parts));
    }

    fn backward_data(&self, t: &mut Trial) {
        let layout = ImageLayout::new(self.conv.input, 1);
        let want = self
            .of_lanes()
            .map(|(row, shape, _, dz)| sized([dz, &self.rows.weights[row]], |[dz, w]| twin::conv2d_backward_data(shape, dz, w)));
        let (dx, parameters) = (t.result("dx", self.case.batch, layout, want), t.values("parameters", &self.rows.stored()));
        // Only this direction looks past the gradient's edge.
        let dz = self.store_gradients(t, self.conv.gradient_border());
        let (batch, place) = (self.case.batch as u32, self.rows.place);
        let kernel = Conv2dBackwardData { conv: self.conv, batch, dz, place, tuning: t.tuning };
        t.dispatches.push(kernel.dispatch("case", self.tables, parameters, dx));
    }

    fn backward_weight(&self, t: &mut Trial) {
        let (case, place) = (self.case, self.rows.place);
        let of_lane = |(_, shape, x, dz): (usize, &shape::Conv2d, &[f64], &[f64])| {
            sized([x, dz], |[x, dz]| twin::conv2d_backward_weight(shape, x, dz))
        };
        let want = self.rows.gradients(self.of_lanes().map(of_lane));
        let want = want.into_iter().map(|g| g.map_or(Want::Keep, |(value, size)| Want::Near(value, size))).collect();
        let kernel = Conv2dBackwardWeight {
            conv: self.conv,
            batch: case.batch as u32,
            input: self.store_input(t),
            input_per_slot: case.input_per_slot,
            dz: self.dz,
            tuning: t.tuning,
        };
        let partial = t.scratch("parts", kernel.partial_bytes() * LANES.len() as u64);
        let dz = self.store_gradients(t, 0).buffer;
        let gradient = t.output("gradient", want);
        let sum = SumPartials {
            length: kernel.partial_stride(),
            parts: kernel.parts(),
            partial_stride: kernel.partial_stride(),
            parameter_stride: place.stride,
            offset: place.weight,
        };
        t.dispatches = vec![kernel.dispatch("case", self.tables, dz, partial), sum.dispatch("sum", partial, gradient)];
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
}

impl AttackStepCase {
    fn conv(&self) -> Option<Conv2d> {
        Conv2d::new(self.input, self.out_channels, self.kernel, self.stride, self.padding)
    }

    /// Whether at least one window fits; a case that does not cannot run.
    pub fn is_valid(&self) -> bool {
        self.conv().is_some()
    }
}

impl Case for AttackStepCase {
    fn op(&self) -> &'static str {
        "conv2d_backward_data, attack step"
    }

    fn fill(&self, t: &mut Trial) {
        let conv = self.conv().expect("a window fits");
        let batch = self.batch;
        let (epsilon, alpha) = (0.25, 0.1875);
        let images = ImageLayout::new(conv.input, conv.input_border() + 1);
        let dz_layout = ImageLayout::new(conv.output, conv.gradient_border() + 1);
        let whole = |v: f64| (2.0 * v).round();
        let mut rows = parameters(t, &conv);
        rows.weights.iter_mut().chain(&mut rows.biases).flatten().for_each(|v| *v = whole(*v));
        let sizes = batch_sizes(batch);
        let clean = sizes.map(|v| t.noise.pixels(v, images));
        let clean_words: Vec<f32> = clean.iter().zip(sizes).flat_map(|(x, v)| stored(images, batch, v, x, 0, f32::NAN)).collect();
        let (mut dz_words, mut attacked_words, mut want) = (Vec::new(), Vec::new(), Vec::new());
        for [slot, row, ..] in LANES {
            let (clean, valid) = (&clean[slot as usize], sizes[slot as usize]);
            let dz: Vec<f64> = t.noise.images(valid, dz_layout).into_iter().map(whole).collect();
            let shape = shape(&conv, valid);
            let dx = twin::conv2d_backward_data(&shape, &dz, &rows.weights[row as usize]);
            let before = t.noise.near(clean, valid, images, epsilon);
            let used = |i: usize| i / (shape.in_height * shape.in_width) % shape.in_channels < self.input.channels as usize;
            let step = |i: usize| if used(i) { attack::step(before[i], clean[i], dx[i], alpha, epsilon) } else { 0.0 };
            let after: Vec<f64> = (0..dx.len()).map(step).collect();
            want.extend(wanted(images, batch, valid, &after, &vec![1.0; after.len()]));
            dz_words.extend(stored(dz_layout, batch, valid, &dz, conv.gradient_border(), f32::NAN));
            attacked_words.extend(stored(images, batch, valid, &before, 0, f32::NAN));
        }
        let attacked = Activation { buffer: t.changed("attacked", &attacked_words, want), layout: images };
        let dz = Activation { buffer: t.values("dz", &dz_words), layout: dz_layout };
        let kernel = Conv2dBackwardData { conv, batch: batch as u32, dz, place: rows.place, tuning: t.tuning };
        let step = Step { clean: t.values("clean", &clean_words), attacked, epsilon: epsilon as f32, alpha: alpha as f32 };
        let (tables, parameters) = (t.tables(batch), t.values("parameters", &rows.stored()));
        t.dispatches.push(kernel.attack_step("case", tables, parameters, &step));
    }
}

pub(super) fn standard(cases: &mut Cases) {
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
    for (seed, (batch, input, out_channels, kernel, stride, padding, input_per_slot)) in (0..).zip(convolutions) {
        let scale = if seed % 2 == 0 { 8.0 } else { 1.0 };
        for direction in DIRECTIONS {
            let case =
                ConvCase { direction, batch, input, out_channels, kernel, stride, padding, scale, input_per_slot, statistics: false };
            cases.add(seed, case);
            if direction == Direction::Forward {
                cases.add(seed, ConvCase { statistics: true, ..case });
            }
        }
        if input.channels <= 4 {
            cases.add(seed, AttackStepCase { batch, input, out_channels, kernel, stride, padding });
        }
    }
}

//! Cases of linear layers, three directions each.

use super::{Case, Cases, DIRECTIONS, Direction, LANES, Trial, Want, image, parameter_rows, sgd, sized, valid};
use crate::kernels::ImageLayout;
use crate::kernels::linear::backward_weight::SgdBuffers;
use crate::kernels::linear::{self, Linear};
use crate::net::Shape;
use kernels_tests::{linear as twin, shape};

/// One direction of a linear layer.
#[derive(Debug, Clone, Copy)]
pub struct LinearCase {
    /// Direction.
    pub direction: Direction,
    /// Capacity of a mini-batch.
    pub batch: usize,
    /// The image that is flattened, or (features, 1, 1).
    pub from: Shape,
    /// Output features.
    pub out_features: u32,
    /// The layer correction.
    pub scale: f32,
    /// Gradient of weight and bias: spend it on the spot by SGD.
    pub sgd: bool,
}

impl Case for LinearCase {
    fn op(&self) -> &'static str {
        match self.direction {
            Direction::Forward => "linear_forward",
            Direction::BackwardData => "linear_backward_data",
            Direction::BackwardWeight if self.sgd => "linear_backward_weight, sgd",
            Direction::BackwardWeight => "linear_backward_weight",
        }
    }

    fn fill(&self, t: &mut Trial) {
        let (batch, tuning) = (self.batch, t.tuning);
        let flat = ImageLayout::new(self.from, 0);
        let out = ImageLayout::new(image(self.out_features, 1, 1), 0);
        let (channels, area) = (flat.blocks() as usize * 4, (self.from.height * self.from.width) as usize);
        let (inputs, outputs) = (channels * area, out.blocks() as usize * 4);
        let real = |o: usize, i: usize| o < self.out_features as usize && i / area < self.from.channels as usize;
        // The twin flattens channel by channel, the engine pixel by pixel.
        let at = |o: usize, i: usize, _| ((i % area) * channels + i / area) * outputs + o;
        let r = parameter_rows(&mut t.noise, (outputs, inputs, 1), real, at);
        let layer = Linear { batch: batch as u32, in_blocks: flat.image(), out_blocks: out.image(), place: r.place };
        let shapes = valid(batch).map(|batch| shape::Linear { batch, in_features: inputs, out_features: outputs });
        let images = valid(batch).map(|v| t.noise.images(v, flat));
        let gradients = valid(batch).map(|v| t.noise.images(v, out));
        let tables = t.tables(batch);
        let buffers = |input, other, output| linear::Buffers { tables, input, other, output };
        let of_lanes = LANES.iter().zip(&shapes).map(|([_, row, ..], shape)| (shape, &r.weights[*row as usize], &r.biases[*row as usize]));
        match self.direction {
            Direction::Forward => {
                let scale = f64::from(self.scale);
                let want = of_lanes
                    .zip(&images)
                    .map(|((shape, w, b), x)| sized([x, w, b], |[x, w, b]| twin::linear_forward(shape, x, w, b, scale)));
                let (input, z) = (t.store("input", batch, flat, &images), t.result("z", batch, out, want));
                let b = buffers(input.buffer, t.values("parameters", &r.stored()), z.buffer);
                t.dispatches.push(layer.forward("case", self.scale, tuning, b));
            }
            Direction::BackwardData => {
                let dx = ImageLayout::new(self.from, 2);
                let want =
                    of_lanes.zip(&gradients).map(|((shape, w, _), dz)| sized([dz, w], |[dz, w]| twin::linear_backward_data(shape, dz, w)));
                let (dz, dx) = (t.store("dz", batch, out, &gradients), t.result("dx", batch, dx, want));
                let b = buffers(dz.buffer, t.values("parameters", &r.stored()), dx.buffer);
                t.dispatches.push(layer.backward_data("case", dx.layout, tuning, b));
            }
            Direction::BackwardWeight => {
                let of_lanes = shapes.iter().zip(&images).zip(&gradients);
                let gradient =
                    r.gradients(of_lanes.map(|((shape, x), dz)| sized([x, dz], |[x, dz]| twin::linear_backward_weight(shape, x, dz))));
                let (input, dz) = (t.store("input", batch, flat, &images).buffer, t.store("dz", batch, out, &gradients).buffer);
                if self.sgd {
                    self.descend(t, &layer, &gradient, SgdBuffers { tables, input, dz, momentum: dz, parameters: dz });
                } else {
                    let want = gradient.into_iter().map(|g| g.map_or(Want::Keep, |(value, size)| Want::Near(value, size)));
                    let b = buffers(input, dz, t.output("gradient", want.collect()));
                    t.dispatches.push(layer.backward_weight("case", tuning, b));
                }
            }
        }
    }
}

impl LinearCase {
    /// SGD by gradients of so many values and sizes; `b` is without the rows that it changes.
    fn descend(&self, t: &mut Trial, layer: &Linear, gradient: &[Option<(f64, f64)>], b: SgdBuffers) {
        let (theta, buf) = (t.noise.values(gradient.len()), t.noise.values(gradient.len()));
        let (mut theta_after, mut buf_after) = (theta.clone(), buf.clone());
        let values: Vec<f64> = gradient.iter().map(|g| g.map_or(0.0, |(value, _)| value)).collect();
        kernels_tests::sgd::sgd(&sgd::SETTINGS, &mut theta_after, &mut buf_after, &values);
        let near = |after: &[f64]| {
            let all = gradient.iter().zip(after);
            all.map(|(g, v)| g.map_or(Want::Keep, |(_, size)| Want::Near(*v, size + 4.0))).collect()
        };
        let (momentum, parameters) = (t.changed("momentum", &buf, near(&buf_after)), t.changed("parameters", &theta, near(&theta_after)));
        let sgd = sgd::kernel(layer.place.stride, layer.place.stride, (0, 0));
        t.dispatches.push(layer.backward_weight_sgd("case", t.tuning, &sgd, SgdBuffers { momentum, parameters, ..b }));
    }
}

pub(super) fn standard(cases: &mut Cases) {
    let linears = [
        (7, image(16, 7, 7), 256),
        (18, image(256, 1, 1), 64),
        (6, image(23, 1, 1), 37),
        (5, image(64, 1, 1), 10),
        (1, image(1, 1, 1), 1),
        (9, image(5, 2, 3), 7),
        (35, image(13, 1, 1), 9),
    ];
    for (seed, (batch, from, out_features)) in (100..).zip(linears) {
        for direction in DIRECTIONS {
            let scale = if seed % 2 == 0 { 8.0 } else { 1.0 };
            let case = LinearCase { direction, batch, from, out_features, scale, sgd: false };
            cases.add(seed, case);
            if direction == Direction::BackwardWeight {
                cases.add(seed, LinearCase { sgd: true, ..case });
            }
        }
    }
}

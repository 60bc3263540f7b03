//! Cases of linear layers, three directions each.

use super::{
    Case, DIRECTIONS, Direction, LANES, Noise, Trial, Want, absolute, lane_table, parameter_rows, size_table, stored, valid, wanted,
};
use crate::kernels::linear::Linear;
use crate::kernels::linear::backward_weight::SgdBuffers;
use crate::kernels::sgd::Sgd;
use crate::kernels::{ImageLayout, Tuning, linear};
use crate::net::Shape;
use kernels_tests::{linear as linear_twin, sgd as sgd_twin, shape};

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
    /// Seed of the data.
    pub seed: u64,
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

    fn trial(&self, tuning: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let batch = self.batch;
        let flat = ImageLayout::new(self.from, 0);
        let out = ImageLayout::new(Shape { channels: self.out_features, height: 1, width: 1 }, 0);
        let (channels, area) = (flat.blocks() as usize * 4, (self.from.height * self.from.width) as usize);
        let (inputs, outputs) = (channels * area, out.blocks() as usize * 4);
        let real = |o: usize, i: usize| o < self.out_features as usize && i / area < self.from.channels as usize;
        // The twin flattens channel by channel, the engine pixel by pixel.
        let r = parameter_rows(&mut noise, outputs, inputs, 1, real, |o, i, _| ((i % area) * channels + i / area) * outputs + o);
        let linear = Linear { batch: batch as u32, in_blocks: flat.image(), out_blocks: out.image(), place: r.place };
        let twin = |valid| shape::Linear { batch: valid, in_features: inputs, out_features: outputs };
        let valid = valid(batch);
        let images: Vec<Vec<f64>> = valid.iter().map(|v| noise.images(*v, flat)).collect();
        let gradients: Vec<Vec<f64>> = valid.iter().map(|v| noise.images(*v, out)).collect();
        let lanes = t.words("lanes", lane_table());
        let sizes = t.words("batch sizes", size_table(batch));
        let all = |layout: ImageLayout, data: &[Vec<f64>]| -> Vec<f32> {
            valid.iter().zip(data).flat_map(|(v, d)| stored(layout, batch, *v, d, 0, f32::NAN)).collect()
        };
        let buffers = |input, other, output| linear::Buffers { lanes, batch_sizes: sizes, input, other, output };
        match self.direction {
            Direction::Forward => {
                let want = (0..LANES.len()).flat_map(|lane| {
                    let (x, row) = (&images[lane], LANES[lane][1] as usize);
                    let (w, b, scale) = (&r.weights[row], &r.biases[row], f64::from(self.scale));
                    let z = linear_twin::linear_forward(&twin(valid[lane]), x, w, b, scale);
                    let size = linear_twin::linear_forward(&twin(valid[lane]), &absolute(x), &absolute(w), &absolute(b), scale.abs());
                    wanted(out, batch, valid[lane], &z, &size)
                });
                let want = want.collect();
                let b = buffers(t.values("input", &all(flat, &images)), t.values("parameters", &r.words), t.output("z", want));
                t.dispatches = vec![linear.forward("case", self.scale, tuning, b)];
            }
            Direction::BackwardData => {
                let dx = ImageLayout::new(self.from, 2);
                let want = (0..LANES.len()).flat_map(|lane| {
                    let (g, w) = (&gradients[lane], &r.weights[LANES[lane][1] as usize]);
                    let value = linear_twin::linear_backward_data(&twin(valid[lane]), g, w);
                    let size = linear_twin::linear_backward_data(&twin(valid[lane]), &absolute(g), &absolute(w));
                    wanted(dx, batch, valid[lane], &value, &size)
                });
                let want = want.collect();
                let b = buffers(t.values("dz", &all(out, &gradients)), t.values("parameters", &r.words), t.output("dx", want));
                t.dispatches = vec![linear.backward_data("case", dx, tuning, b)];
            }
            Direction::BackwardWeight => {
                let stride = r.place.stride as usize * 4;
                // Values and sizes by place, of all lanes.
                let mut gradient = vec![None; LANES.len() * stride];
                for lane in 0..LANES.len() {
                    let (x, g) = (&images[lane], &gradients[lane]);
                    let (dw, db) = linear_twin::linear_backward_weight(&twin(valid[lane]), x, g);
                    let (sw, sb) = linear_twin::linear_backward_weight(&twin(valid[lane]), &absolute(x), &absolute(g));
                    let start = lane * stride + r.place.weight as usize * 4;
                    for o in 0..outputs {
                        for i in 0..inputs {
                            let at = start + ((i % area) * channels + i / area) * outputs + o;
                            gradient[at] = Some((dw[o * inputs + i], sw[o * inputs + i]));
                        }
                        gradient[start + inputs * outputs + o] = Some((db[o], sb[o]));
                    }
                }
                let (input, dz) = (t.values("input", &all(flat, &images)), t.values("dz", &all(out, &gradients)));
                if !self.sgd {
                    let want = gradient.iter().map(|g| g.map_or(Want::Keep, |(value, size)| Want::Near(value, size)));
                    let b = buffers(input, dz, t.output("gradient", want.collect()));
                    t.dispatches = vec![linear.backward_weight("case", tuning, b)];
                    return t;
                }
                let (theta, buf) = (noise.values(gradient.len()), noise.values(gradient.len()));
                let (mut theta_after, mut buf_after) = (theta.clone(), buf.clone());
                let settings = sgd_twin::Sgd { learning_rate: 0.125, momentum: 0.875, weight_decay: 0.03125 };
                let values: Vec<f64> = gradient.iter().map(|g| g.map_or(0.0, |(value, _)| value)).collect();
                sgd_twin::sgd(&settings, &mut theta_after, &mut buf_after, &values);
                let near = |after: &[f64]| {
                    let all = gradient.iter().zip(after);
                    all.map(|(g, v)| g.map_or(Want::Keep, |(_, size)| Want::Near(*v, size + 4.0))).collect::<Vec<_>>()
                };
                let f32s = |v: &[f64]| v.iter().map(|v| *v as f32).collect::<Vec<_>>();
                let b = SgdBuffers {
                    lanes,
                    batch_sizes: sizes,
                    input,
                    dz,
                    momentum: t.values("momentum", &f32s(&buf)),
                    parameters: t.values("parameters", &f32s(&theta)),
                };
                t.expect(b.momentum, near(&buf_after));
                t.expect(b.parameters, near(&theta_after));
                let sgd = Sgd {
                    length: r.place.stride,
                    stride: r.place.stride,
                    skip: (0, 0),
                    learning_rate: 0.125,
                    momentum: 0.875,
                    weight_decay: 0.03125,
                };
                t.dispatches = vec![linear.backward_weight_sgd("case", tuning, &sgd, b)];
            }
        }
        t
    }
}

pub(super) fn standard() -> Vec<Box<dyn Case>> {
    let mut cases: Vec<Box<dyn Case>> = Vec::new();
    let image = |channels, height, width| Shape { channels, height, width };
    let linears = [
        (7, image(16, 7, 7), 256),
        (18, image(256, 1, 1), 64),
        (6, image(23, 1, 1), 37),
        (5, image(64, 1, 1), 10),
        (1, image(1, 1, 1), 1),
        (9, image(5, 2, 3), 7),
        (35, image(13, 1, 1), 9),
    ];
    for (seed, (batch, from, out_features)) in linears.into_iter().enumerate() {
        for direction in DIRECTIONS {
            let scale = if seed % 2 == 0 { 8.0 } else { 1.0 };
            let case = LinearCase { direction, batch, from, out_features, scale, sgd: false, seed: 100 + seed as u64 };
            cases.push(Box::new(case));
            if direction == Direction::BackwardWeight {
                cases.push(Box::new(LinearCase { sgd: true, ..case }));
            }
        }
    }
    cases
}
